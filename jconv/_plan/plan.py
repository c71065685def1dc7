"""Plan: one convolution before it runs. Shapes, pads, cost and algorithm, from shapes alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from jax.typing import DTypeLike

from jconv._check.arrays import given_dtype
from jconv._check.call import Call
from jconv._check.operations import OPERATIONS
from jconv._check.resolve import Resolved
from jconv._check.settings import as_int, entries_of, read_shape, read_symbols
from jconv._check.words import check_words, in_jconvs_words
from jconv._core import symbols
from jconv._core.geometry import Size, span
from jconv._core.layout import parse_layout
from jconv._core.problem import LEGS, Problem, Slot
from jconv._devices.mesh_plan import legs_devices
from jconv._devices.mesh_read import read_split
from jconv._devices.roles import Spec
from jconv._diagnosis.diagnose import resolve_or_explain
from jconv._diagnosis.doubts import looks_like_another_order
from jconv._plan.calls import PlanCalls
from jconv._plan.leg import Leg as Leg
from jconv._plan.leg import plan_leg, read_number_dtype, read_platform
from jconv._plan.picture.picture import plan_html, plan_svg
from jconv._plan.splits import Splits, compare_splits
from jconv._plan.table import plan_table
from jconv._planner.policy import capture


class Plan(PlanCalls):
    """One planned convolution or transposed convolution; a value: hashable and comparable.

    Attributes:
        op: "conv" or "conv_transpose".
        x_shape, w_shape, y_shape: the operation's own input, filter and result.
        padding: the explicit (low, high) of the forward convolution on each axis.
        remainder: rows of the forward convolution's input that it never reads, on each axis.
        effective_kernel: rows that the dilated filter covers, on each axis.
        receptive_field: rows of x that one row of y depends on, on each axis.
        settings: the keywords, as they were given.
        platform: the one that algorithms were chosen for.
        notes: sentences about what is doubtful, such as a filter in another framework's order.
    """

    def __str__(self) -> str:
        return plan_table(self)

    def splits(self, devices: Iterable[int] | None = None) -> Splits:
        """How much each split of x moves between devices, and which one moves least.

        Args:
            devices: numbers of devices; None for 1, 2, 4 and so on to 4096.

        Returns:
            Splits: print it. Its rows hold, for each number of devices, the bytes that one device
            sends in a training step (all three legs) where the batch, the first spatial axis, the
            first two or several of these are split, w being whole on every device. Where one size
            is a symbol it says from which size on another split moves less; sizes are then taken
            to divide among the devices, and halos to fit in a part.

        Examples:
            >>> import jconv
            >>> splits = jconv.plan((8, 64, 64, 16), (3, 3, 16, 16)).splits((8, 32))
            >>> [row.least[0][1] for row in splits.rows]
            ['batch', 'batch+H']
        """
        return compare_splits(self, devices)

    def to_svg(self) -> str:
        """A picture: the windows on each axis, what they read and what they make."""
        return plan_svg(self)

    def _repr_html_(self) -> str:
        return plan_html(self)

    def at(self, **sizes: Size) -> Plan:
        """This plan with some of its symbols given sizes.

        Examples:
            >>> import jconv
            >>> p = jconv.plan(("b", "h", "w", 3), (7, 7, 3, 64), stride=2)
            >>> p.at(b=8, h=224, w=224).y_shape
            (8, 112, 112, 64)
        """
        mesh = dict(self.mesh)
        known = symbols.symbols_in((*self.x_shape, *self.w_shape, *mesh.values()))
        sizes = read_symbols("plan.at", sizes, known)
        return _plan(
            self.op,
            symbols.substitute(self.x_shape, sizes),
            symbols.substitute(self.w_shape, sizes),
            {n: symbols.substitute(v, sizes) for n, v in self.settings},
            self.dtype,
            self.platform,
            symbols.constrain("plan.at", self.constraints, sizes),
            {n: symbols.substitute(size, sizes) for n, size in mesh.items()} or None,
            dict(self.specs),
        )


@in_jconvs_words
def plan(
    x_shape: Iterable[Any],
    w_shape: Iterable[Any],
    *,
    dtype: DTypeLike = "float32",
    platform: str | None = None,
    constraints: Iterable[str] = (),
    mesh: Any = None,
    x_spec: Any = None,
    w_spec: Any = None,
    **settings: Any,
) -> Plan:
    """Plan a convolution from shapes: what comes out, what it costs, which algorithm runs.

    Args:
        x_shape, w_shape: shapes of the operands of `conv`. A size is a whole number, text such
            as "b" or "2*h+1", or a jax.export dimension; text of the same name is one symbol.
        dtype: that of the operands.
        platform: "cpu", "cuda", "rocm" or "tpu"; None for the default backend's.
        constraints: facts about symbols, such as "h >= 7".
        mesh: the devices that arrays are split over: the size of every mesh axis, {"data": 8}, a
            number or a symbol, or a jax.sharding.Mesh; `Plan.devices` is then of one device.
        x_spec, w_spec: for each dimension of x and w the mesh axis that splits it, as in a
            jax.sharding.PartitionSpec.
        **settings: the keywords of `conv`.

    Returns:
        A Plan: print it, compare it, call it.

    Raises:
        ConvError: as `conv` would raise it.

    Examples:
        >>> import jconv
        >>> p = jconv.plan((8, 224, 224, 3), (7, 7, 3, 64), stride=2)
        >>> p.y_shape, p.padding, p.remainder
        ((8, 112, 112, 64), ((2, 3), (2, 3)), (0, 0))
    """
    specs = {"x": x_spec, "w": w_spec}
    return _plan("conv", x_shape, w_shape, settings, dtype, platform, constraints, mesh, specs)


@in_jconvs_words
def plan_transpose(
    x_shape: Iterable[Any],
    w_shape: Iterable[Any],
    *,
    dtype: DTypeLike = "float32",
    platform: str | None = None,
    constraints: Iterable[str] = (),
    mesh: Any = None,
    x_spec: Any = None,
    w_spec: Any = None,
    **settings: Any,
) -> Plan:
    """Plan a transposed convolution; arguments as in `plan`, keywords those of `conv_transpose`.

    Examples:
        >>> import jconv
        >>> jconv.plan_transpose((1, "h", "w", 8), (2, 2, 4, 8), stride=2, padding="VALID").y_shape
        (1, 2*h, 2*w, 4)
    """
    specs = {"x": x_spec, "w": w_spec}
    return _plan(
        "conv_transpose", x_shape, w_shape, settings, dtype, platform, constraints, mesh, specs
    )


def _plan(
    op: str,
    x_shape: Any,
    w_shape: Any,
    settings: dict[str, Any],
    dtype: Any,
    platform: str | None,
    constraints: Iterable[str],
    mesh: Any,
    specs: Mapping[str, Any],
) -> Plan:
    own = ("x_shape", "w_shape", "dtype", "platform", "constraints")
    check_words("plan", settings, (*own, *OPERATIONS[op].keywords))
    facts = symbols.read_constraints("plan", constraints)
    shapes = {"x_shape": _listed(x_shape), "w_shape": _listed(w_shape)}
    if settings.get("output_shape") is not None:
        shapes["output_shape"] = _listed(settings["output_shape"])
    scope = symbols.find_scope(shapes.values(), facts)
    shapes = {name: symbols.read_sizes(name, shape, scope) for name, shape in shapes.items()}
    if "output_shape" in shapes:
        settings["output_shape"] = shapes["output_shape"]
    wanted = settings.get("preferred_element_type")
    settings["preferred_element_type"] = given_dtype("plan", "preferred_element_type", wanted)
    name = read_number_dtype("plan", dtype)
    platform = read_platform("plan", platform)
    x, w = (read_shape("plan", argument, shapes[argument]) for argument in ("x_shape", "w_shape"))
    call = Call(OPERATIONS[op], {"x": x, "w": w}, {"x": name, "w": name}, **settings)
    resolved = resolve_or_explain(call)
    problem = capture(resolved.problem, settings.get("precision"))
    made = _assemble(call, resolved, problem, name, platform, facts)
    split = read_split(op, mesh, specs, call.shapes, resolved.layout, scope)
    if split is None:
        return made
    sizes, lies = split
    written = tuple((name, _frozen(spec)) for name, spec in specs.items())
    return dataclasses.replace(on_mesh(made, sizes, lies), specs=written)


def on_mesh(made: Plan, mesh: Mapping[str, Size], lies: Mapping[Slot, Spec]) -> Plan:
    """A plan with what each device of a mesh holds and sends.

    Args:
        made: the plan.
        mesh: the size of every mesh axis.
        lies: how arrays lie on it, in the library's own layout: w and one of x and y, or more.
    """
    problem = made.problem.replace(borders=made.borders)
    return dataclasses.replace(
        made,
        mesh=tuple(mesh.items()),
        device_records=legs_devices(problem, lies, mesh, made.platform),
    )


def _listed(shape: Any) -> Any:
    """A shape as a tuple; a value that is not a sequence is returned, to be refused later."""
    if isinstance(shape, str):
        return shape
    try:
        return tuple(shape)
    except Exception:  # such as an array without dimensions
        return shape


def _assemble(
    call: Call,
    resolved: Resolved,
    problem: Problem,
    dtype: str,
    platform: str,
    constraints: tuple[str, ...],
) -> Plan:
    own_pads = tuple(
        pair if modes == ("zeros", "zeros") else (0, 0)
        for modes, pair in zip(resolved.modes, resolved.pads, strict=True)
    )
    fields = [f for f in dataclasses.fields(call) if f.name in call.operation.keywords]
    given = {f.name: _frozen(getattr(call, f.name)) for f in fields}
    if isinstance(given["padding"], str):
        given["padding"] = given["padding"].upper()
    settings = tuple((f.name, given[f.name]) for f in fields if given[f.name] != f.default)
    return Plan(
        op=call.op,
        x_shape=call.shapes["x"],
        w_shape=call.shapes["w"],
        y_shape=resolved.out_shape,
        padding=resolved.pads,
        dtype=dtype,
        platform=platform,
        settings=settings,
        constraints=constraints,
        problem=problem,
        layout=resolved.layout,
        notes=tuple(looks_like_another_order(call)),
        borders=resolved.borders,
        **_consequences(problem, call.op, platform, own_pads),
    )


def _consequences(
    problem: Problem, op: str, platform: str, pads: tuple[tuple[Size, Size], ...]
) -> dict[str, Any]:
    """What follows; `pads` are those of the problem itself (none, where borders were added)."""
    axes = problem.axes
    covered = tuple(span(axis.k, axis.d) for axis in axes)
    steps = [axis.b if op == "conv" else axis.s for axis in axes]
    return {
        "remainder": tuple(
            (span(axis.i, axis.b) + low + high - span(axis.k, axis.d)) % axis.s
            for axis, (low, high) in zip(axes, pads, strict=True)
        ),
        "effective_kernel": covered,
        "receptive_field": tuple(
            (rows - 1) // step + 1 for rows, step in zip(covered, steps, strict=True)
        ),
        "leg_records": tuple((leg, plan_leg(problem.replace(leg=leg), platform)) for leg in LEGS),
    }


def plan_of(problem: Problem, platform: str | None = None) -> Plan:
    """The plan of the convolution whose leg a problem is, in the library's own layout."""
    platform = read_platform("plan", platform)
    axes = problem.axes
    pads = tuple(axis.pads if axis.static else (axis.p0, axis.p1) for axis in axes)
    settings = {
        "stride": tuple(axis.s for axis in axes),
        "padding": pads,
        "dilation": tuple(axis.d for axis in axes),
        "input_dilation": tuple(axis.b for axis in axes),
        "groups": problem.groups,
    }
    ones = (1,) * len(axes)
    return Plan(
        op="conv",
        x_shape=problem.shape("x"),
        w_shape=problem.shape("w"),
        y_shape=problem.shape("y"),
        padding=pads,
        dtype=problem.x_dtype,
        platform=platform,
        settings=tuple((n, v) for n, v in settings.items() if v not in (1, ones)),
        constraints=(),
        problem=problem,
        layout=parse_layout(None, len(axes)),
        **_consequences(problem, "conv", platform, pads),
    )


def _frozen(value: Any) -> Any:
    """Sequences and arrays as tuples of ints, so that equal settings are equal and hash alike."""
    number, entries = as_int(value), entries_of(value)
    if number is not None:
        return number
    return value if entries is None else tuple(_frozen(entry) for entry in entries)
