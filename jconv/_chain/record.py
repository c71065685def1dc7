"""The records of a planned chain, which its table and its picture are made from."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

from jconv._chain.devices import LayerDevices, summed
from jconv._chain.names import SizeNames
from jconv._chain.parts import Layer
from jconv._chain.restores import Restore
from jconv._core.geometry import Shape, Size
from jconv._core.layout import parse_layout, spatial_names
from jconv._devices.roles import Spec
from jconv._plan.plan import Plan


@dataclasses.dataclass(frozen=True, eq=False)
class ChainRow:
    """One layer of a planned chain.

    Attributes:
        name, kind: of the layer.
        detail: its kernel and stride in a few characters, such as "3x3 /2".
        inputs: the layers that it reads; "x" is the network's input.
        in_shape, out_shape: of its first input and its result.
        receptive_field: on each axis the rows of the network's input that one of its cells
            depends on, ignoring the input's borders; the whole input after a global pool.
        step: rows of the input from one cell to the next, on each axis; None after a global pool.
        parameters: weights.
        forward: operations of the layer itself, two for each product.
        operations: operations of the layer and of both its backprops.
        memory: bytes of its result; 0 where it is computed with the layer before it.
    """

    name: str
    kind: str
    detail: str
    inputs: tuple[str, ...]
    in_shape: Shape
    out_shape: Shape
    receptive_field: Shape
    step: tuple[Fraction, ...] | None
    parameters: Size
    forward: Size
    operations: Size
    memory: Size

    def to_dict(self) -> dict[str, Any]:
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChainRow) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))


@dataclasses.dataclass(frozen=True, eq=False)
class ChainRecord:
    """The fields of a `ChainPlan`, whose docstring describes them."""

    x_shape: Shape
    y_shape: Shape
    rows: tuple[ChainRow, ...]
    restores: tuple[Restore, ...]
    plan_records: tuple[tuple[str, Plan], ...]
    layers: tuple[Layer, ...]
    dtype: str
    platform: str
    constraints: tuple[str, ...]
    layout: str | None
    mesh: tuple[tuple[str, Size], ...] = ()
    x_spec: Spec = ()
    device_records: tuple[tuple[str, LayerDevices], ...] = ()

    @property
    def devices(self) -> dict[str, LayerDevices]:
        """What one device of the mesh holds and sends, by the layer's name; empty without one."""
        return dict(self.device_records)

    @property
    def step(self) -> dict[str, Size]:
        """Bytes "permuted", "reduced" and "gathered" by one device in a training step."""
        return summed(self.devices)

    @property
    def plans(self) -> dict[str, Plan]:
        """The Plan of each convolution, by the layer's name."""
        return dict(self.plan_records)

    @property
    def parameters(self) -> Size:
        return sum(row.parameters for row in self.rows)

    @property
    def forward(self) -> Size:
        """Operations of one run."""
        return sum(row.forward for row in self.rows)

    @property
    def operations(self) -> Size:
        """Operations with both backprops."""
        return sum(row.operations for row in self.rows)

    @property
    def memory(self) -> Size:
        """Bytes of all results."""
        return sum(row.memory for row in self.rows)

    @property
    def receptive_field(self) -> Shape:
        return self.rows[-1].receptive_field

    @property
    def size_names(self) -> SizeNames:
        """The names of symbolic sizes in the table, with their `legend`."""
        rank = len(self.x_shape) - 2
        axes = ("n", *spatial_names(rank).lower(), "c")
        letters = parse_layout(self.layout, rank).caller("x", axes)
        # An axis whose size is the symbol h names its later sizes h1, h2, ...
        plain = [str(size) if str(size).isidentifier() else "" for size in self.x_shape]
        letters = [own or letter for own, letter in zip(plain, letters, strict=True)]
        shapes = sorted((row.out_shape for row in self.rows), key=len, reverse=True)
        named = [(letters if len(shape) == len(letters) else "nc", shape) for shape in shapes]
        return SizeNames(self.x_shape, named, self.constraints)

    def to_dict(self) -> dict[str, Any]:
        """Everything in the plan, in types that JSON knows; symbolic sizes as text."""
        return {
            "x_shape": _plain(self.x_shape),
            "y_shape": _plain(self.y_shape),
            "dtype": self.dtype,
            "platform": self.platform,
            "layout": self.layout,
            "constraints": list(self.constraints),
            "layers": [
                {"kind": layer.kind, "name": layer.name, **_plain(dict(layer.settings))}
                for layer in self.layers
            ],
            "rows": [row.to_dict() for row in self.rows],
            "restores": [restore.to_dict() for restore in self.restores],
            "sizes": self.size_names.legend,
            "plans": {name: plan.to_dict() for name, plan in self.plan_records},
            "parameters": _plain(self.parameters),
            "forward": _plain(self.forward),
            "operations": _plain(self.operations),
            "memory": _plain(self.memory),
            **self._on_a_mesh(),
        }

    def _on_a_mesh(self) -> dict[str, Any]:
        if not self.mesh:
            return {}
        return {
            "mesh": _plain(dict(self.mesh)),
            "x_spec": _plain(self.x_spec),
            "devices": {name: layer.to_dict() for name, layer in self.device_records},
            "step": _plain(self.step),
        }

    def _key(self) -> str:
        # Compared as text, because JAX refuses to compare symbols of two scopes.
        policies = [(p.problem.policy, p.problem.precision) for _, p in self.plan_records]
        return repr((self.to_dict(), policies))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChainRecord) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def _plain(value: Any) -> Any:
    """Nested tuples as lists, whole fractions as ints, symbolic sizes as text."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if isinstance(value, Fraction) and value.denominator == 1:
        return int(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
