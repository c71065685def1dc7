"""Rows of x padded or cropped, and its windows read without copying them.

A row is a position along one spatial axis. Every function that a fused loop calls is made of lax
operations: `jnp.where` and others like it are calls, which XLA does not fuse here. Operators and
methods of arrays are no calls, but take three times as long to trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jconv._core.geometry import Axis, Size, is_static, max_size

MAX_TERMS_PER_LOOP = 16  # terms, each with windows of its own; in longer sums XLA copies windows
MAX_MASK_BYTES = 1 << 25  # bytes of an axis' mask (o, k), which is a constant of the program


def resize(x: jax.Array, dim: int, low: Size, size: Size, *, interior: int = 0) -> jax.Array:
    """x (dilated first, if `interior`) with `low` rows of zeros in front and `size` rows in all.

    A negative `low` crops, and so does a `size` below what there is.
    """
    rows = x.shape[dim] if interior == 0 else max_size((interior + 1) * (x.shape[dim] - 1) + 1, 0)
    if is_static(low) and low == 0 and interior == 0 and is_static(rows, size) and rows == size:
        return x
    amounts: list[tuple[Any, Any, int]] = [(0, 0, 0)] * x.ndim
    amounts[dim] = (low, size - rows - low, interior)
    return lax.pad(x, jnp.zeros((), x.dtype), amounts)


def rows_of_tap(x: jax.Array, dim: int, tap: int, axis: Axis) -> jax.Array:
    """The row that one tap reads in every window along one axis, of an x padded by `resize`."""
    start = tap * axis.d
    return lax.slice_in_dim(x, start, start + axis.s * (axis.o - 1) + 1, axis.s, axis=dim)


def places(x: jax.Array, dim: int, start: int, steps: Sequence[tuple[int, int]]) -> jax.Array:
    """One dimension of x as several, each of (count, step): index (n, m, ...) reads one row.

    That row is start + n*step + m*step' + ..., modulo the rows of x. With copies of x laid end to
    end, start + n*(step + c*rows) is the same row for any whole c, so steps can be chosen
    large enough for overlapping places to lie side by side. Each dimension is then a slice and a
    reshape, and a loop into which XLA fuses all of this copies nothing.
    """
    for at, (count, step) in enumerate(steps, dim):
        size = x.shape[at]
        reach = 1 + sum((count - 1) * step for count, step in steps[at - dim + 1 :])
        step += size * max(0, -(-(reach - step) // size))
        first, start = start % size, 0
        copies = -(-(first + count * step) // size)
        lead, rest = x.shape[:at], x.shape[at + 1 :]
        shape = (*lead, copies, size, *rest)
        x = lax.broadcast_in_dim(x, shape, [dim for dim in range(len(shape)) if dim != at])
        x = lax.reshape(x, (*lead, copies * size, *rest))
        x = lax.slice_in_dim(x, first, first + count * step, axis=at)
        x = lax.reshape(x, (*lead, count, step, *rest))
        x = lax.slice_in_dim(x, 0, reach, axis=at + 1)
    return lax.squeeze(x, [dim + len(steps)])


def windows_around(x: jax.Array, dim: int, axis: Axis) -> jax.Array:
    """One axis of x as its windows (o, k); a tap outside of x reads a row from the other end."""
    return places(x, dim, -axis.p0, [(axis.o, axis.s), (axis.k, axis.d)])


def lies_inside(axis: Axis) -> np.ndarray:
    """The mask (o, k) of the taps that lie inside of x."""
    at = axis.s * np.arange(axis.o)[:, None] + axis.d * np.arange(axis.k) - axis.p0
    return (at >= 0) & (at < axis.i)


def mask_too_large(axes: Sequence[Axis]) -> str | None:
    """The reason not to use `lies_inside` for these axes, if there is one."""
    if any(axis.o * axis.k > MAX_MASK_BYTES for axis in axes):
        return f"would need a mask of over {MAX_MASK_BYTES} bytes"
    return None


def masked(
    masks: Sequence[np.ndarray], x: jax.Array, pairs: Sequence[tuple[int, int]]
) -> jax.Array:
    """x where each mask, over its pair of x's dimensions, is true; zeros elsewhere.

    The masks are not combined into one constant, which would be as large as an image.
    """
    held = None
    for mask, dims in zip(masks, pairs, strict=True):
        if not mask.all():
            mask = lax.broadcast_in_dim(mask, x.shape, dims)
            held = mask if held is None else lax.bitwise_and(held, mask)
    return x if held is None else lax.select(held, x, lax.full_like(x, 0))


def multiply(a: jax.Array, b: jax.Array) -> jax.Array:
    """a*b, each repeated along the dimensions in which it has one element."""
    shape = lax.broadcast_shapes(a.shape, b.shape)
    every = range(len(shape))
    return lax.mul(lax.broadcast_in_dim(a, shape, every), lax.broadcast_in_dim(b, shape, every))
