"""A convolution on any Axis as one lax convolution: the form that all three legs take.

    y[n, o, (g, f)] = sum over c and b*i + p0 = s*o + d*k of x[n, i, (g, c)] * w[k, c, (g, f)]

Always NHWC and HWIO with feature groups: on CPU every other order, batch groups included, is
a scalar loop nest inside scan and while.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._core.geometry import Axis, Size, is_static, max_size, span
from jconv._core.xla_cpu import UNPADDED_IS_SLOW

ROWS = 16  # of outputs, beside which one more costs little


def window_sum(
    x: jax.Array, w: jax.Array, axes: tuple[Axis, ...], groups: int, **options: Any
) -> jax.Array:
    """x (N, i..., G*C) and w (k..., C, G*F) to (N, o..., G*F)."""
    if all(axis.static for axis in axes):
        return _static(x, w, axes, groups, options)
    return _symbolic(x, w, axes, groups, options)


def _convolve(
    x: jax.Array,
    w: jax.Array,
    groups: int,
    options: dict[str, Any],
    **window: Any,
) -> jax.Array:
    rank = x.ndim - 2
    lhs = (0, rank + 1, *range(1, rank + 1))
    rhs = (rank + 1, rank, *range(rank))
    return lax.conv_general_dilated(
        x,
        w,
        dimension_numbers=lax.ConvDimensionNumbers(lhs, rhs, lhs),
        feature_group_count=groups,
        **window,
        **options,
    )


def _static(
    x: jax.Array, w: jax.Array, axes: tuple[Axis, ...], groups: int, options: dict[str, Any]
) -> jax.Array:
    pads, starts, stops = [], [0] * x.ndim, list(x.shape)
    for dim, axis in enumerate(axes, start=1):
        # Negative pads crop x itself: XLA's CPU backend has read out of bounds with them
        # (openxla/xla 48713). A crop of c dilated rows removes ceil(c/b) rows of x, and the
        # rest of the last one's dilation comes back as padding.
        low, high = axis.pads
        first, last = -(min(low, 0) // axis.b), -(min(high, 0) // axis.b)
        starts[dim], stops[dim] = first, axis.i - last
        pads.append((low + first * axis.b, high + last * axis.b))
    if any(stop <= start for start, stop in zip(starts[1:-1], stops[1:-1], strict=True)):
        shape = (x.shape[0], *(axis.o for axis in axes), w.shape[-1])
        return jnp.zeros(shape, options["preferred_element_type"])
    if (starts, stops) != ([0] * x.ndim, list(x.shape)):
        x = lax.slice(x, starts, stops)
    strides = [axis.s for axis in axes]
    traps = swap_traps(axes, pads)
    if any(trap and axis.b == 1 for trap, axis in zip(traps, axes, strict=True)):
        # A caller's lax.pad with interior padding would be folded in as input dilation.
        x = lax.optimization_barrier(x)
    shift = [trap and axis.b > 1 for trap, axis in zip(traps, axes, strict=True)]
    if all(shift):  # nothing is left to swap
        shift = [False] * len(axes)
    if jnp.issubdtype(x.dtype, jnp.inexact) and adds_a_row(axes, pads):
        shift[0] = True
    pads = [
        (low + s if moved else low, high)
        for (low, high), s, moved in zip(pads, strides, shift, strict=True)
    ]
    y = _convolve(
        x,
        w,
        groups,
        options,
        window_strides=strides,
        padding=pads,
        lhs_dilation=[axis.b for axis in axes],
        rhs_dilation=[axis.d for axis in axes],
    )
    return lax.slice(y, [0, *map(int, shift), 0], y.shape) if any(shift) else y


def adds_a_row(axes: Sequence[Axis], pads: Sequence[tuple[int, int]]) -> bool:
    """Whether a row is padded and an output dropped, as XLA is slow without any padding."""
    dense = len(axes) in (2, 3) and all(axis.s == axis.b == 1 for axis in axes)
    return UNPADDED_IS_SLOW and dense and not any(map(sum, pads)) and axes[0].o >= ROWS


def swap_traps(axes: tuple[Axis, ...], pads: list[tuple[int, int]]) -> list[bool]:
    """The axes on which XLA may take the process down, whatever their sizes.

    Its algebraic simplifier swaps the operands of a convolution whose kernel is larger than its
    input (of a grouped one too, where another pass has rewritten the groups, as for integers).
    It takes an axis without pads or filter dilation, of kernel size k, stride k-1 and input
    dilation k, for a group dimension, leaves it unswapped beside axes that it does swap, and
    dies ("Window dimensions do not match RHS shape"). One more stride of low padding, and the
    first output dropped, takes an axis out of that class; a test of sizes would not do, since
    padding in the caller's code is folded in before the swap.
    """
    if len(axes) < 2:
        return [False] * len(axes)
    return [
        axis.d == 1
        and axis.k >= 2
        and axis.s == axis.k - 1
        and pair == (0, 0)
        and axis.b in (1, axis.k)
        for axis, pair in zip(axes, pads, strict=True)
    ]


def _symbolic(
    x: jax.Array, w: jax.Array, axes: tuple[Axis, ...], groups: int, options: dict[str, Any]
) -> jax.Array:
    # The convolution's own pads must be numbers, so the symbolic part goes into lax.pad, whose
    # amounts may be of unknown sign. Without input dilation x is brought to the rows that o
    # windows read, and the output size comes out as o without any assumption; with it, the
    # full correlation (pads K-1, numbers) is computed at stride 1 and brought to o*s rows,
    # of which every s-th is one of the told o.
    pads, strides, dilated = [], [], []
    for dim, axis in enumerate(axes, start=1):
        if axis.b > 1 and is_static(axis.k):
            pads.append((span(axis.k, axis.d) - 1,) * 2)
            strides.append(1)
            dilated.append(axis.b)
            continue
        window = span(max_size(axis.k, 1), axis.d)
        rows = axis.o * axis.s + _at_least_zero(window - axis.s)
        if not is_static(axis.k):
            # A kernel of symbolic size (a cotangent) over a static count of outputs.
            rows = window + (axis.o - 1) * axis.s
        x = resize(x, dim, axis.p0, rows, interior=axis.b - 1)
        pads.append((0, 0))
        strides.append(axis.s)
        dilated.append(1)
    if any(a.d == 1 and not (is_static(a.k) and a.s != a.k - 1) for a in axes):
        x = lax.optimization_barrier(x)  # see swap_traps
    # A kernel axis that may have no rows is given one: it is zero, and so is what it adds.
    for dim, axis in enumerate(axes):
        w = resize(w, dim, 0, max_size(axis.k, 1))
        x = resize(x, dim + 1, 0, max_size(x.shape[dim + 1], 1)) if dilated[dim] > 1 else x
    y = _convolve(
        x,
        w,
        groups,
        options,
        window_strides=strides,
        padding=pads,
        lhs_dilation=dilated,
        rhs_dilation=[axis.d for axis in axes],
    )
    for dim, axis in enumerate(axes, start=1):
        if dilated[dim - 1] > 1:
            y = resize(y, dim, axis.p0 - (span(axis.k, axis.d) - 1), axis.o * axis.s)
            y = lax.slice_in_dim(y, 0, axis.o * axis.s, axis.s, axis=dim)
    return y


def _at_least_zero(size: Size) -> Size:
    return max_size(size, 0)


def resize(x: jax.Array, dim: int, low: Size, size: Size, *, interior: int = 0) -> jax.Array:
    """Rows -low ... size-low of x (dilated first): zeros where there are none."""
    rows = x.shape[dim] if interior == 0 else max_size((interior + 1) * (x.shape[dim] - 1) + 1, 0)
    if is_static(low) and low == 0 and interior == 0 and is_static(rows, size) and rows == size:
        return x
    amounts: list[tuple[Any, Any, int]] = [(0, 0, 0)] * x.ndim
    amounts[dim] = (low, size - rows - low, interior)
    return lax.pad(x, jnp.zeros((), x.dtype), amounts)
