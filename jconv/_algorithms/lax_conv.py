"""A convolution on any axes as one lax convolution: the form that all three legs take.

    y[n, o, (g, f)] = sum over c and b*i + p0 = s*o + d*k of x[n, i, (g, c)] * w[k, c, (g, f)]

Dimensions are always in the order NHWC and HWIO, and groups are feature groups. On CPU, XLA runs
any other order, and batch groups, as a scalar loop nest inside `scan` and `while`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms.windows import resize
from jconv._core.geometry import Axis, is_static, max_size, span
from jconv._core.xla_cpu import UNPADDED_IS_SLOW

MIN_ROWS_TO_PAD = 16  # rows of outputs; beside fewer, the row that padding adds costs too much


def lax_conv(
    x: jax.Array, w: jax.Array, axes: tuple[Axis, ...], groups: int, **options: Any
) -> jax.Array:
    """x (N, i..., G*C) and w (k..., C, G*F) to (N, o..., G*F)."""
    if all(axis.static for axis in axes):
        return _static(x, w, axes, groups, options)
    return _symbolic(x, w, axes, groups, options)


def _convolve(
    x: jax.Array,
    w: jax.Array,
    axes: tuple[Axis, ...],
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
        rhs_dilation=[axis.d for axis in axes],
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
        # Negative pads become a slice of x: XLA's CPU backend has read out of bounds with them
        # (openxla/xla 48713). A crop of c rows of the dilated x removes ceil(c/b) rows of x, and
        # the pad that remains puts back the zeros that this removes beyond c.
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
        # Otherwise XLA would turn interior padding in the caller's code into input dilation.
        x = lax.optimization_barrier(x)
    shift = [trap and axis.b > 1 for trap, axis in zip(traps, axes, strict=True)]
    if all(shift):  # no axis is left that XLA would swap
        shift = [False] * len(axes)
    if jnp.issubdtype(x.dtype, jnp.inexact) and adds_a_row(axes, pads):
        shift[0] = True
    pads = [
        (low + s if moved else low, high)
        for (low, high), s, moved in zip(pads, strides, shift, strict=True)
    ]
    window = {"window_strides": strides, "padding": pads, "lhs_dilation": [a.b for a in axes]}
    y = _convolve(x, w, axes, groups, options, **window)
    return lax.slice(y, [0, *map(int, shift), 0], y.shape) if any(shift) else y


def adds_a_row(axes: Sequence[Axis], pads: Sequence[tuple[int, int]]) -> bool:
    """Whether a row is padded and its output dropped, as XLA is slow without any padding."""
    dense = len(axes) in (2, 3) and all(axis.s == axis.b == 1 for axis in axes)
    return UNPADDED_IS_SLOW and dense and not any(map(sum, pads)) and axes[0].o >= MIN_ROWS_TO_PAD


def swap_traps(axes: tuple[Axis, ...], pads: list[tuple[int, int]]) -> list[bool]:
    """The axes on which XLA may take the process down, whatever their sizes.

    XLA's algebraic simplifier swaps the operands of a convolution whose kernel is larger than its
    input (of a grouped one too, where another pass has rewritten the groups, as for integers).
    It mistakes an axis without pads or filter dilation, of kernel size k, stride k-1 and input
    dilation k, for a group dimension, leaves it as it is beside axes that it does swap, and
    aborts ("Window dimensions do not match RHS shape"). With one more stride of low padding, and
    the first output dropped, an axis is not mistaken. A test of sizes would not be enough, since
    XLA folds padding in the caller's code into the convolution before the swap.
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
    # The pads of a lax convolution must be numbers, so symbolic pads go into lax.pad, whose
    # amounts may be of unknown sign. Without input dilation x is resized to the rows that o
    # windows read, so that the output size is o without any assumption. With it, the full
    # correlation (whose pads K-1 are numbers) is computed at stride 1 and resized to o*s rows,
    # and every s-th of them is an output.
    pads, strides, dilated = [], [], []
    for dim, axis in enumerate(axes, start=1):
        if axis.b > 1 and is_static(axis.k):
            pads.append((span(axis.k, axis.d) - 1,) * 2)
            strides.append(1)
            dilated.append(axis.b)
            continue
        window = span(max_size(axis.k, 1), axis.d)
        rows = axis.o * axis.s + max_size(window - axis.s, 0)
        if not is_static(axis.k):
            # The kernel is a cotangent of symbolic size, and the count of outputs is a number.
            rows = window + (axis.o - 1) * axis.s
        x = resize(x, dim, axis.p0, rows, interior=axis.b - 1)
        pads.append((0, 0))
        strides.append(axis.s)
        dilated.append(1)
    if any(a.d == 1 and not (is_static(a.k) and a.s != a.k - 1) for a in axes):
        x = lax.optimization_barrier(x)  # see swap_traps
    # A kernel axis that may have no rows is given one of zeros, which adds zeros.
    for dim, axis in enumerate(axes):
        w = resize(w, dim, 0, max_size(axis.k, 1))
        x = resize(x, dim + 1, 0, max_size(x.shape[dim + 1], 1)) if dilated[dim] > 1 else x
    window = {"window_strides": strides, "padding": pads, "lhs_dilation": dilated}
    y = _convolve(x, w, axes, groups, options, **window)
    for dim, axis in enumerate(axes, start=1):
        if dilated[dim - 1] > 1:
            y = resize(y, dim, axis.p0 - (span(axis.k, axis.d) - 1), axis.o * axis.s)
            y = lax.slice_in_dim(y, 0, axis.o * axis.s, axis.s, axis=dim)
    return y
