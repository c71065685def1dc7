"""Convolutions of streams: chunk after chunk, with a state between chunks.

The first spatial axis is time. An output depends on rows up to its own and never on later ones
(CAUSAL padding), so a chunk only needs the last K-1 rows of the past: they are the state. For the
transposed convolution the state is what its windows have written beyond the end of the chunk, also
K-1 rows at most. The number of rows in a chunk is any multiple of the stride and may change from
chunk to chunk. The chunks' results joined equal the result of the whole stream in one call, since
equal products are summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from jconv._check import settings
from jconv._check.arrays import as_operand, check_array, given_dtype, make_call
from jconv._check.foreign_errors import same_value, worded
from jconv._check.resolve import Resolved
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Axis, Shape, is_static, resolve_axis, span
from jconv._core.layout import LayoutError, parse_layout
from jconv._core.problem import compute_dtype
from jconv._diagnosis.diagnose import resolve_or_explain
from jconv._ops import conv as ops
from jconv._ops.conv import Ints, Layout, Padding, PaddingMode, Precision

__all__ = ["conv", "conv_transpose", "init"]


def init(
    w: ArrayLike,
    *,
    batch: int,
    channels: int,
    stride: Ints = 1,
    dilation: Ints = 1,
    groups: int = 1,
    spatial: Sequence[int] = (),
    dtype: DTypeLike | None = None,
    layout: Layout = None,
) -> Array:
    """The state before the first chunk of `conv` or `conv_transpose`: an array of zeros.

    Args:
        w: the filter; only its shape and dtype are read.
        batch: the number of streams in the batch.
        channels: the channels of a chunk: C for `conv`, O for `conv_transpose`.
        stride, dilation, groups, layout: as they will be passed with each chunk.
        spatial: sizes of the spatial axes after time: of a chunk for `conv`, of the result for
            `conv_transpose`.
        dtype: dtype of the state; by default w's, or float32 if that is half precision.

    Returns:
        zeros (batch, K-1, spatial..., C), channels last whatever the layout.

    Raises:
        ConvError: if the arguments do not fit together.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> w = jnp.ones((5, 3, 8))
        >>> jconv.streaming.init(w, batch=2, channels=3).shape
        (2, 4, 3)
    """
    op = "streaming.init"
    check_array(op, "w", w)
    shape = tuple(jnp.shape(w))
    rank = len(shape) - 2
    if rank < 1:
        raise ConvError(
            f"{op}: `w` has {len(shape)} dimensions: time and both channels are needed.",
            argument="w",
            got=shape,
            expected="3 dimensions or more",
        )
    try:
        order = parse_layout(tuple(layout) if isinstance(layout, list) else layout, rank)
    except (LayoutError, TypeError) as error:
        expected = repr(parse_layout(None, rank).names[0])
        raise ConvError(
            f"{op}: `layout` {error}.", argument="layout", got=layout, expected=expected
        ) from None
    time, *_, inputs, outputs = order.canonical("w", shape)
    dilations = settings.read_factors(op, "dilation", dilation, rank)
    settings.read_factors(op, "stride", stride, rank)
    inputs *= settings.read_groups(op, groups)
    if channels not in (inputs, outputs):
        raise ConvError(
            f"{op}: chunks have {inputs} channels for conv and {outputs} for conv_transpose with "
            f"this filter, not {channels}.",
            argument="channels",
            got=channels,
            expected=f"{inputs} or {outputs}",
            remedies=[Remedy("channels", inputs, f"pass channels={inputs}")],
        )
    further = settings.read_shape(op, "spatial", spatial)
    if len(further) != rank - 1:
        raise ConvError(
            f"{op}: `spatial` needs the sizes of the {rank - 1} spatial axes after time.",
            argument="spatial",
            got=spatial,
            expected=f"{rank - 1} sizes",
        )
    (streams,) = settings.read_shape(op, "batch", (batch,))
    name = given_dtype(op, "dtype", dtype) or compute_dtype(str(jnp.asarray(w).dtype))
    return jnp.zeros((streams, _carried(time, dilations[0]), *further, inputs), name)


def conv(
    chunk: ArrayLike,
    w: ArrayLike,
    state: ArrayLike,
    *,
    stride: Ints = 1,
    dilation: Ints = 1,
    groups: int = 1,
    layout: Layout = None,
    padding: Padding = "SAME",
    padding_mode: PaddingMode = "zeros",
    precision: Precision = None,
    preferred_element_type: DTypeLike | None = None,
) -> tuple[Array, Array]:
    """The next chunk of a convolution that is CAUSAL in time, the first spatial axis.

    The results joined are `jconv.conv(x, w, ...)` of the chunks joined, with the padding
    (K-1, 0) in time.

    Args:
        chunk: the next rows, (N, time, spatial..., C); their number is a multiple of the stride.
        w: filter, (time, spatial..., C / groups, O).
        state: the state that `init` or the call before returned.
        stride, dilation, groups, layout, precision, preferred_element_type: as in `conv`.
        padding, padding_mode: for the spatial axes after time, as in `conv`; one entry for all of
            these axes, or an entry for each.

    Returns:
        (y, state): time / stride rows of the result, and the state for the next chunk.

    Raises:
        ConvError: if the arguments do not fit together.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> w = jnp.ones((3, 1, 1))
        >>> state = jconv.streaming.init(w, batch=1, channels=1)
        >>> for chunk in [1.0, 2.0], [3.0]:
        ...     y, state = jconv.streaming.conv(jnp.array(chunk)[None, :, None], w, state)
        ...     print(y[0, :, 0].tolist())
        [1.0, 3.0]
        [6.0]
    """
    keywords = {
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
        "layout": layout,
        "precision": precision,
        "preferred_element_type": preferred_element_type,
    }
    op = "streaming.conv"
    resolved = _resolve(op, chunk, w, keywords)
    order, problem = resolved.layout, resolved.problem
    time, *others = problem.axes
    rows = jnp.transpose(as_operand(chunk), order.x)
    if is_static(rows.shape[1]) and rows.shape[1] % time.s:
        raise _uneven(op, rows.shape[1], time.s)
    kept = _carried(time.k, time.d)
    past = _checked_state(op, state, (rows.shape[0], kept, *rows.shape[2:]))
    pads = _further_pads(op, padding, others)
    modes = settings.read_modes(op, padding_mode, len(others))
    # The state holds rows of earlier chunks, so it has the chunks' dtype.
    seen = jnp.concatenate([past.astype(rows.dtype), rows], axis=1)
    y = ops.conv(
        seen,
        jnp.transpose(as_operand(w), order.w),
        padding=[(0, 0), *pads],
        padding_mode=["zeros", *modes],
        **{**keywords, "layout": None},
    )
    left = lax.slice_in_dim(seen, rows.shape[1], rows.shape[1] + kept, axis=1)
    return jnp.transpose(y, order.inverse("y")), left.astype(past.dtype)


def conv_transpose(
    chunk: ArrayLike,
    w: ArrayLike,
    state: ArrayLike,
    *,
    stride: Ints = 1,
    dilation: Ints = 1,
    groups: int = 1,
    layout: Layout = None,
    padding: Padding = "SAME",
    precision: Precision = None,
    preferred_element_type: DTypeLike | None = None,
) -> tuple[Array, Array]:
    """The next chunk of a transposed convolution, its overlap added to the one before.

    Row o writes to the rows `s*o` to `s*o + K-1`, so that no result waits for a later chunk. The
    results joined are `jconv.conv_transpose(x, w, ...)` of the chunks joined, with the padding
    (0, K-s) in time, s rows for each row; the state left at the end holds what would follow.

    Args:
        chunk: the next rows, (N, time, spatial..., O), any number of them.
        w: filter, (time, spatial..., C / groups, O): C are the results' channels.
        state: the state that `init` or the call before returned.
        stride, dilation, groups, layout, precision, preferred_element_type: as in
            `conv_transpose`.
        padding: for the spatial axes after time, as in `conv_transpose`; the result's sizes on
            these axes are the state's.

    Returns:
        (y, state): time * stride rows of the result, and the state for the next chunk.

    Raises:
        ConvError: if the arguments do not fit together.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> w = jnp.ones((3, 1, 1))
        >>> state = jconv.streaming.init(w, batch=1, channels=1, stride=2)
        >>> for chunk in [1.0, 2.0], [3.0]:
        ...     x = jnp.array(chunk)[None, :, None]
        ...     y, state = jconv.streaming.conv_transpose(x, w, state, stride=2)
        ...     print(y[0, :, 0].tolist())
        [1.0, 1.0, 3.0, 2.0]
        [5.0, 3.0]
    """
    keywords = {
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
        "layout": layout,
        "precision": precision,
        "preferred_element_type": preferred_element_type,
    }
    op = "streaming.conv_transpose"
    resolved = _resolve(op, chunk, w, keywords)
    order, problem = resolved.layout, resolved.problem
    time, *others = problem.axes
    rows = jnp.transpose(as_operand(chunk), order.y)
    kept = _carried(time.k, time.d)
    channels = problem.groups * problem.c
    spatial = tuple(jnp.shape(state))[2:-1]
    if len(spatial) != len(others):
        spatial = tuple(axis.i for axis in others)
    overlap = _checked_state(op, state, (rows.shape[0], kept, *spatial, channels))
    if is_static(rows.shape[1]) and rows.shape[1] == 0:
        empty = jnp.zeros((rows.shape[0], 0, *spatial, channels), problem.out_dtype)
        return jnp.transpose(empty, order.inverse("x")), overlap
    # All rows that the chunk writes to, and at least s rows for each of its rows and the state.
    made = time.s * rows.shape[1]
    high = span(time.k, time.d) - time.s - kept
    given = [(0, high)]
    given += [
        _pair(entry, axis, size)
        for entry, axis, size in zip(_entries(op, padding, others), others, spatial, strict=True)
    ]
    names = {"x": "chunk", "w": "w", "output_shape": "state", **{n: n for n in keywords}}
    with worded(op, names, {"chunk": chunk, "w": w, "state": state, **keywords}, {}):
        written = ops.conv_transpose(
            rows,
            jnp.transpose(as_operand(w), order.w),
            padding=given,
            output_shape=(made + kept, *spatial),
            **{**keywords, "layout": None, "preferred_element_type": str(overlap.dtype)},
        )
    after = [(0, 0, 0), (0, made, 0), *[(0, 0, 0)] * (len(spatial) + 1)]
    written = written + lax.pad(overlap, jnp.zeros((), overlap.dtype), after)
    y = lax.slice_in_dim(written, 0, made, axis=1).astype(problem.out_dtype)
    left = lax.slice_in_dim(written, made, made + kept, axis=1)
    return jnp.transpose(y, order.inverse("x")), left


def _carried(k: int, d: int) -> int:
    """The number of past rows that the next output reads: K-1."""
    return max(span(k, d) - 1, 0)


def _resolve(op: str, chunk: Any, w: Any, keywords: dict[str, Any]) -> Resolved:
    """The plain operation on the chunk alone, checked but for its padding."""
    names = {"x": "chunk", "w": "w", **{name: name for name in keywords}}
    given = {"chunk": chunk, "w": w, **keywords}
    with worded(op, names, given, dict.fromkeys(names, same_value)):
        plain = {**keywords, "padding": "CAUSAL"}
        plain.pop("padding_mode", None)
        call = make_call(op.partition(".")[2], {"x": chunk, "w": w}, **plain)
        return resolve_or_explain(call)


def _checked_state(op: str, state: Any, expected: Shape) -> Array:
    check_array(op, "state", state)
    if tuple(state.shape) != expected:
        raise ConvError(
            f"{op}: `state` has the shape {tuple(state.shape)}, where this filter and chunk go on "
            f"from {expected}.",
            argument="state",
            got=tuple(state.shape),
            expected=f"shape {expected}: a state of jconv.streaming.init with this filter",
            remedies=[Remedy("state", expected, f"give state the shape {expected}")],
        )
    return jnp.asarray(state)


def _uneven(op: str, rows: int, stride: int) -> ConvError:
    lower, upper = rows - rows % stride, rows - rows % stride + stride
    return ConvError(
        f"{op}: a chunk must have a multiple of the stride {stride} of rows, so that the next one "
        f"begins with a window of its own; this one has {rows}.",
        argument="chunk",
        got=rows,
        expected=f"a multiple of {stride} rows, such as {lower or upper}",
    )


def _entries(op: str, padding: Padding, axes: Sequence[Axis]) -> tuple[Any, ...]:
    return settings.read_padding(op, padding, len(axes)) if axes else ()


def _further_pads(op: str, padding: Padding, axes: Sequence[Axis]) -> list[Any]:
    """(low, high) for each spatial axis after time."""
    entries = _entries(op, padding, axes)
    return [_pair(entry, axis, axis.i) for entry, axis in zip(entries, axes, strict=True)]


def _pair(entry: Any, axis: Axis, size: Any) -> tuple[Any, Any]:
    return resolve_axis(size, axis.k, entry, s=axis.s, b=1, d=axis.d)[1:]
