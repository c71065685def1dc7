"""The operations on a device's own parts of arrays, for use inside `jax.shard_map`.

Each takes local parts and returns local parts. `axis_names` says for each spatial axis which mesh
axis splits it; devices send each other the rows that windows read from a neighbour's part. Nothing
is passed for a batch or channels that are split over a mesh axis. Sums over these (of conv over
input channels, of conv_filter_grad over the batch) are the caller's: `jax.lax.psum` over that axis.
All of it is differentiable, to any order and in both modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from jconv._check.arrays import as_operand, make_call
from jconv._check.call import Call
from jconv._core.errors import ConvError, Remedy
from jconv._core.layout import Layout, parse_layout
from jconv._core.problem import OUTPUT
from jconv._devices.local import LocalLeg, localize, run_local
from jconv._devices.roles import Split
from jconv._diagnosis.diagnose import resolve_or_explain
from jconv._ops.conv import Ints, Padding
from jconv._ops.conv import Layout as LayoutLike
from jconv._ops.primitives import run_leg
from jconv._planner.policy import capture

AxisNames = Sequence[str | Sequence[str] | None]


def conv(
    x: ArrayLike,
    w: ArrayLike,
    *,
    axis_names: AxisNames,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    input_dilation: Ints = 1,
    groups: int = 1,
    layout: LayoutLike = None,
    padding_mode: str = "zeros",
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """The local part of `jconv.conv` of an input whose spatial axes are split over mesh axes.

    Args:
        x: the local part of the input.
        w: the filter, whole.
        axis_names: for each spatial axis the mesh axis that splits it, several of them, or None.
        stride, padding, dilation, input_dilation, groups, layout, padding_mode, precision,
            preferred_element_type: as in `jconv.conv`; padding is that of the whole axis.

    Returns:
        The local part of the result.

    Raises:
        ConvError: where the result's rows do not divide among the devices, or as `jconv.conv`.

    Examples:
        >>> import jax, jax.numpy as jnp, jconv, jconv.sharding
        >>> from jax.sharding import AxisType, PartitionSpec as P
        >>> mesh = jax.make_mesh((1,), ("rows",), axis_types=(AxisType.Auto,))
        >>> def local(x, w):
        ...     return jconv.sharding.conv(x, w, axis_names=("rows", None))
        >>> parts = P(None, "rows")
        >>> f = jax.shard_map(local, mesh=mesh, in_specs=(parts, P()), out_specs=parts)
        >>> f(jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))).shape
        (1, 8, 8, 4)
    """
    return _operate(
        "conv",
        {"x": x, "w": w},
        axis_names,
        stride=stride,
        padding=padding,
        dilation=dilation,
        input_dilation=input_dilation,
        groups=groups,
        layout=layout,
        padding_mode=padding_mode,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_input_grad(
    g: ArrayLike,
    w: ArrayLike,
    *,
    axis_names: AxisNames,
    input_shape: Sequence[int],
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    input_dilation: Ints = 1,
    groups: int = 1,
    layout: LayoutLike = None,
    padding_mode: str = "zeros",
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """The local part of `jconv.conv_input_grad`, spatial axes split over mesh axes.

    Args:
        g: the local part of the cotangent.
        w: the filter, whole.
        axis_names: for each spatial axis the mesh axis that splits it, several of them, or None.
        input_shape: shape of the local part of x, full or the spatial sizes alone.
        stride, padding, dilation, input_dilation, groups, layout, padding_mode, precision,
            preferred_element_type: as in `jconv.conv`.

    Returns:
        The local part of x', of shape `input_shape`.

    Raises:
        ConvError: as `jconv.conv_input_grad` on the whole arrays.

    Examples:
        >>> import jax, jax.numpy as jnp, jconv, jconv.sharding
        >>> from jax.sharding import AxisType, PartitionSpec as P
        >>> mesh = jax.make_mesh((1,), ("rows",), axis_types=(AxisType.Auto,))
        >>> def local(g, w):
        ...     names = ("rows", None)
        ...     return jconv.sharding.conv_input_grad(g, w, axis_names=names, input_shape=(8, 8))
        >>> parts = P(None, "rows")
        >>> f = jax.shard_map(local, mesh=mesh, in_specs=(parts, P()), out_specs=parts)
        >>> f(jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 3, 4))).shape
        (1, 8, 8, 3)
    """
    return _operate(
        "conv_input_grad",
        {"g": g, "w": w},
        axis_names,
        stride=stride,
        padding=padding,
        dilation=dilation,
        input_dilation=input_dilation,
        groups=groups,
        layout=layout,
        padding_mode=padding_mode,
        precision=precision,
        preferred_element_type=preferred_element_type,
        input_shape=input_shape,
    )


def conv_filter_grad(
    x: ArrayLike,
    g: ArrayLike,
    *,
    axis_names: AxisNames,
    filter_shape: Sequence[int],
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    input_dilation: Ints = 1,
    groups: int = 1,
    layout: LayoutLike = None,
    padding_mode: str = "zeros",
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """`jconv.conv_filter_grad` of parts split along spatial axes, added over their mesh axes.

    A batch that is split as well is summed by the caller: `jax.lax.psum` over its mesh axis.

    Args:
        x, g: the local parts of input and cotangent.
        axis_names: for each spatial axis the mesh axis that splits it, several of them, or None.
        filter_shape: shape of w, full or the spatial sizes alone.
        stride, padding, dilation, input_dilation, groups, layout, padding_mode, precision,
            preferred_element_type: as in `jconv.conv`.

    Returns:
        w', the same on all devices of `axis_names`.

    Raises:
        ConvError: as `jconv.conv_filter_grad` on the whole arrays.

    Examples:
        >>> import jax, jax.numpy as jnp, jconv, jconv.sharding
        >>> from jax.sharding import AxisType, PartitionSpec as P
        >>> mesh = jax.make_mesh((1,), ("rows",), axis_types=(AxisType.Auto,))
        >>> def local(x, g):
        ...     names = ("rows", None)
        ...     return jconv.sharding.conv_filter_grad(x, g, axis_names=names, filter_shape=(3, 3))
        >>> parts = P(None, "rows")
        >>> f = jax.shard_map(local, mesh=mesh, in_specs=(parts, parts), out_specs=P())
        >>> f(jnp.ones((1, 8, 8, 3)), jnp.ones((1, 8, 8, 4))).shape
        (3, 3, 3, 4)
    """
    return _operate(
        "conv_filter_grad",
        {"x": x, "g": g},
        axis_names,
        stride=stride,
        padding=padding,
        dilation=dilation,
        input_dilation=input_dilation,
        groups=groups,
        layout=layout,
        padding_mode=padding_mode,
        precision=precision,
        preferred_element_type=preferred_element_type,
        filter_shape=filter_shape,
    )


def conv_transpose(
    x: ArrayLike,
    w: ArrayLike,
    *,
    axis_names: AxisNames,
    stride: Ints = 1,
    padding: Padding = "SAME",
    output_padding: Ints | None = None,
    output_shape: Sequence[int] | None = None,
    dilation: Ints = 1,
    groups: int = 1,
    layout: LayoutLike = None,
    padding_mode: str = "zeros",
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """The local part of `jconv.conv_transpose`, spatial axes split over mesh axes.

    Args:
        x: the local part of the input.
        w: the filter, whole.
        axis_names: for each spatial axis the mesh axis that splits it, several of them, or None.
        output_padding: how many rows more than the smallest size, on the whole axis.
        output_shape: shape of the local part of the result, full or the spatial sizes alone.
        stride, padding, dilation, groups, layout, padding_mode, precision,
            preferred_element_type: as in `jconv.conv_transpose`.

    Returns:
        The local part of the result.

    Raises:
        ConvError: where the result's rows do not divide among the devices, or as
            `jconv.conv_transpose`.

    Examples:
        >>> import jax, jax.numpy as jnp, jconv, jconv.sharding
        >>> from jax.sharding import AxisType, PartitionSpec as P
        >>> mesh = jax.make_mesh((1,), ("rows",), axis_types=(AxisType.Auto,))
        >>> def local(x, w):
        ...     return jconv.sharding.conv_transpose(x, w, axis_names=("rows", None), stride=2)
        >>> parts = P(None, "rows")
        >>> f = jax.shard_map(local, mesh=mesh, in_specs=(parts, P()), out_specs=parts)
        >>> f(jnp.ones((1, 4, 4, 8)), jnp.ones((3, 3, 2, 8))).shape
        (1, 8, 8, 2)
    """
    return _operate(
        "conv_transpose",
        {"x": x, "w": w},
        axis_names,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        layout=layout,
        padding_mode=padding_mode,
        precision=precision,
        preferred_element_type=preferred_element_type,
        output_padding=output_padding,
        output_shape=output_shape,
    )


SIZES = {"input_shape": "x", "output_shape": "x"}  # arguments that are a local part's shape: slot


def _operate(op: str, arrays: dict[str, Any], axis_names: Any, **keywords: Any) -> Array:
    call = make_call(op, arrays, **keywords)
    rank = max(len(shape) for shape in call.shapes.values()) - 2
    names = _read_names(op, axis_names, rank)
    sizes = {name: _axis_size(op, name) for axis in names for name in axis}
    split = Split(tuple((a, axis) for a, axis in enumerate(names) if axis), tuple(sizes.items()))
    resolved = resolve_or_explain(_whole(call, keywords, split, rank))
    layout, problem = resolved.layout, capture(resolved.problem, keywords["precision"])
    leg = localize(problem.replace(borders=resolved.borders), split)
    _check_parts(op, leg, axis_names)
    operands = [
        jnp.transpose(as_operand(arrays[name]), getattr(layout, slot))
        for name, slot in call.operation.arrays.items()
    ]
    first, second = operands
    out = run_local(leg, first, second, run_leg)
    return jnp.transpose(out, layout.inverse(OUTPUT[problem.leg]))


def _read_names(op: str, value: Any, rank: int) -> tuple[tuple[str, ...], ...]:
    """The mesh axes of every spatial axis."""
    entries = value if isinstance(value, tuple | list) else ()
    read = [(e,) if isinstance(e, str) else tuple(e or ()) for e in entries]
    flat = [name for names in read for name in names]
    if len(read) != rank or len(set(flat)) != len(flat) or not all(type(n) is str for n in flat):
        raise ConvError(
            f"{op}: `axis_names` takes one entry for each of the {rank} spatial axes: a mesh "
            "axis, several or None, and each mesh axis once.",
            argument="axis_names",
            got=value,
            expected=f"{rank} entries, such as {('rows',) + (None,) * (rank - 1)}",
            remedies=[Remedy("axis_names", (None,) * rank, "pass None for axes that are whole")],
        )
    return tuple(read)


def _axis_size(op: str, name: str) -> int:
    try:
        return lax.axis_size(name)
    except NameError:
        raise ConvError(
            f"{op}: `axis_names` names {name!r}, which is no mesh axis of a shard_map around it.",
            argument="axis_names",
            got=name,
            expected="a mesh axis that jax.shard_map maps over",
            remedies=[
                Remedy("axis_names", None, "call it inside jax.shard_map over a mesh that has it")
            ],
        ) from None


def _whole(call: Call, keywords: dict[str, Any], split: Split, rank: int) -> Call:
    """The call on whole arrays that corresponds to the given call on local parts."""
    parts = [split.parts(a) for a in range(rank)]
    layout = _layout(keywords["layout"], rank)

    def grown(slot: str, shape: Any) -> tuple[int, ...]:
        sizes = list(shape)
        if len(sizes) == rank:
            return tuple(size * n for size, n in zip(sizes, parts, strict=True))
        if len(sizes) == rank + 2 and layout is not None:
            for a, at in enumerate(layout.spatial(slot)):
                sizes[at] *= parts[a]
        return tuple(sizes)

    slots = call.operation.arrays
    shapes = {
        name: shape if slots[name] == "w" else grown(slots[name], shape)
        for name, shape in call.shapes.items()
    }
    told = {
        name: grown(slot, keywords[name])
        for name, slot in SIZES.items()
        if keywords.get(name) is not None and hasattr(keywords[name], "__len__")
    }
    return call.replace(shapes=shapes, **told)


def _layout(value: Any, rank: int) -> Layout | None:
    try:
        return parse_layout(value, rank)
    except (ValueError, TypeError):  # the checks raise the error again, with remedies
        return None


def _check_parts(op: str, leg: LocalLeg, axis_names: Any) -> None:
    """Refuse a result that cannot be split into parts of one size, as shard_map needs."""
    slot = OUTPUT[leg.problem.leg]
    if slot == "w":
        return
    first = len(leg.problem.vmapped) + 1
    for a in range(leg.problem.rank):
        rows, parts = leg.problem.shape(slot)[first + a], leg.split.parts(a)
        if rows % parts:
            raise ConvError(
                f"{op}: the result has {rows} rows on spatial axis {a}, which {parts} devices "
                "cannot hold in parts of one size, as jax.shard_map needs them. Under jit, "
                "outside of shard_map, jconv's operations split them all the same.",
                argument="axis_names",
                got=axis_names,
                expected=f"a number of devices that divides {rows}",
                remedies=[Remedy("axis_names", None, "call jconv's operation outside shard_map")],
            )
