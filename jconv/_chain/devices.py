"""A chain on a mesh: what one device holds of every layer, and what it sends in a training step.

Convolutions are planned as `plan` plans them, every layer's input lying as the layer before it
leaves it. A training step runs a convolution, its filter gradient, and its input gradient where
something before it is trained; devices add up the gradients of all other parameters too. What the
compiler sends for other layers, such as the rows that a pooling window shares, is not counted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from jconv._chain.parts import Feature, Layer, Made, Surroundings
from jconv._core import symbols
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Shape, Size, is_static
from jconv._core.layout import Layout
from jconv._core.problem import LEG_OF, OPERANDS, OUTPUT, Leg, Slot, itemsize
from jconv._devices.mesh_plan import LegDevices
from jconv._devices.mesh_read import check_divided, read_mesh, read_spec
from jconv._devices.roles import Spec
from jconv._plan.leg import plain
from jconv._plan.plan import on_mesh

MOVED = ("permuted", "reduced", "gathered")


@dataclasses.dataclass(frozen=True)
class LayerDevices:
    """One layer of a chain on every device of a mesh.

    Attributes:
        shape: a device's part of the layer's result, in the chain's layout.
        spec: the mesh axes of every dimension of the result, in that layout.
        leg_records: what a training step runs of a convolution, by its leg's name.
        parameters: bytes of the gradients of other parameters (biases, a dense layer's weights)
            that devices add up.
    """

    shape: Shape
    spec: Spec
    leg_records: tuple[tuple[str, LegDevices], ...] = ()
    parameters: Size = 0

    @property
    def legs(self) -> dict[str, LegDevices]:
        """What a training step runs of a convolution, by its leg's name."""
        return dict(self.leg_records)

    @property
    def permuted(self) -> Size:
        """Bytes that a device sends to another one each time, in a training step."""
        return sum(leg.permuted for _, leg in self.leg_records)

    @property
    def reduced(self) -> Size:
        """Bytes of the gradients and results that devices add up in a training step."""
        return sum(leg.reduced for _, leg in self.leg_records) + self.parameters

    @property
    def gathered(self) -> Size:
        """Bytes of the parts that a device sends where an operand is brought together."""
        return sum(leg.gathered for _, leg in self.leg_records)

    def to_dict(self) -> dict[str, Any]:
        """The record in types that JSON knows; symbolic sizes as text."""
        return {
            "shape": plain(self.shape),
            "spec": plain(self.spec),
            "legs": {name: leg.to_dict() for name, leg in self.leg_records},
            **{name: plain(getattr(self, name)) for name in MOVED},
        }


def read_mesh_of_chain(
    mesh: Any, x_spec: Any, x: Shape, layout: Layout, scope: Any
) -> tuple[tuple[tuple[str, Size], ...], Spec]:
    """The mesh axes' sizes, and those that split x in the library's own layout."""
    if mesh is None:
        if x_spec is not None:
            raise ConvError(
                "plan_chain: `x_spec` names mesh axes, and there is no `mesh`.",
                argument="mesh",
                got=None,
                expected="the sizes of the mesh axes, such as {'data': 8}",
                remedies=[Remedy("x_spec", None, "leave x_spec out")],
            )
        return (), ()
    sizes = read_mesh("plan_chain", mesh)
    values = symbols.read_sizes("mesh", tuple(sizes.values()), scope)
    sizes = dict(zip(sizes, values, strict=True))
    spec = read_spec("plan_chain", "x_spec", x_spec, len(x), sizes)
    check_divided("plan_chain", "x_spec", x, spec, sizes)
    return tuple(sizes.items()), layout.canonical("x", spec)


def on_devices(
    layer: Layer, source: Feature, made: Made, around: Surroundings, *, trained: bool
) -> tuple[Made, LayerDevices]:
    """What follows from a layer, its convolution planned on the mesh; and its record.

    Args:
        layer: the layer.
        source: what it reads, with how that lies.
        made: what follows from the layer on one device.
        around: the chain, with its mesh.
        trained: whether something before the layer is trained, so that its input's gradient runs.
    """
    if made.plan is None:
        return made, _record(_follow(layer, source, made), made, (), around)
    problem, mesh = made.plan.problem, dict(around.mesh)
    own: Leg = problem.leg
    read = OPERANDS[own][0]
    given = read_spec(layer.kind, "w_spec", layer.get("w_spec"), len(made.plan.w_shape), mesh)
    check_divided(layer.kind, "w_spec", made.plan.w_shape, given, mesh)
    lies: dict[Slot, Spec] = {read: source.spec, "w": around.layout.canonical("w", given)}
    plan = on_mesh(made.plan, mesh, lies)
    spec = dict(plan.devices[own].specs)[OUTPUT[own]]
    legs = (own, *((LEG_OF[read],) if trained else ()), "filter_grad")
    kept = tuple((leg, plan.devices[leg]) for leg in legs)
    made = dataclasses.replace(made, plan=plan)
    return made, _record(spec, made, kept, around)


def _record(
    spec: Spec, made: Made, legs: tuple[tuple[str, LegDevices], ...], around: Surroundings
) -> LayerDevices:
    mesh = dict(around.mesh)
    flat = len(made.shape) == 2
    entries = spec if flat else around.caller(spec)
    parts = [math.prod((mesh[name] for name in names), start=1) for names in entries]
    shape = tuple(_share(size, n) for size, n in zip(made.shape, parts, strict=True))
    filters = made.plan.parameters if made.plan is not None else 0
    others = made.parameters - filters
    channels = math.prod((mesh[name] for name in spec[-1]), start=1)
    # The compiler adds up such a gradient once for each dimension that is split.
    times = sum(1 for names in spec[:-1] if names)
    reduced = times * _share(others, channels) * itemsize(around.dtype)
    return LayerDevices(shape, entries, legs, reduced)


def _share(size: Size, parts: Size) -> Size:
    return size if is_static(parts) and parts == 1 else -(-size // parts)


def _follow(layer: Layer, source: Feature, made: Made) -> Spec:
    """How the result of a layer without a filter lies: as its input does, where it can."""
    if len(made.shape) == len(source.shape):
        if layer.kind == "dense":  # its weights are whole, and so is every example's result
            return (source.spec[0], ())
        return source.spec
    channels = source.spec[-1] if layer.kind == "global_pool" else ()
    return (source.spec[0], channels)


def summed(layers: Mapping[str, LayerDevices]) -> dict[str, Size]:
    """Bytes that one device sends in a training step, of every kind."""
    return {name: sum(getattr(layer, name) for layer in layers.values()) for name in MOVED}
