"""Rows of x: padded or cut, and its windows where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jconv._core.geometry import Axis, Size, is_static, max_size

TERMS = 16  # that one loop adds up, each of its own windows: of more, XLA copies what they read


def tap_of(x: jax.Array, dim: int, tap: int, axis: Axis) -> jax.Array:
    """What one tap reads along one axis, for every window."""
    start = tap * axis.d
    return lax.slice_in_dim(x, start, start + axis.s * (axis.o - 1) + 1, axis.s, axis=dim)


def places(x: jax.Array, dim: int, start: int, steps: Sequence[tuple[int, int]]) -> jax.Array:
    """One dimension of x as several, of (count, step) each, read where they lie.

    Place start + n*step + m*step' + ... goes round at the ends. Among copies of x laid end to end
    it is also found at n*(step + c*size) for any whole c, so that places that overlap lie side by
    side there, and a cut is a slice and a reshape. A loop that all of this is fused into copies
    nothing for it.
    """
    for at, (count, step) in enumerate(steps, dim):
        size = x.shape[at]
        reach = 1 + sum((count - 1) * step for count, step in steps[at - dim + 1 :])
        step += size * max(0, -(-(reach - step) // size))
        first, start = start % size, 0
        copies = -(-(first + count * step) // size)
        lead, rest = x.shape[:at], x.shape[at + 1 :]
        x = jnp.broadcast_to(lax.expand_dims(x, [at]), (*lead, copies, size, *rest))
        x = lax.slice_in_dim(x.reshape(*lead, -1, *rest), first, first + count * step, axis=at)
        x = lax.slice_in_dim(x.reshape(*lead, count, step, *rest), 0, reach, axis=at + 1)
    return lax.squeeze(x, [dim + len(steps)])


def around(x: jax.Array, dim: int, axis: Axis) -> jax.Array:
    """One axis of x as its windows (o, k), read where they lie: places outside go round."""
    return places(x, dim, -axis.p0, [(axis.o, axis.s), (axis.k, axis.d)])


def lies_inside(axis: Axis) -> np.ndarray:
    """Whether output o finds tap k inside of x."""
    at = axis.s * np.arange(axis.o)[:, None] + axis.d * np.arange(axis.k) - axis.p0
    return (at >= 0) & (at < axis.i)


MOST_PLACES = 1 << 25  # bytes of an axis' mask (o, k): it is a constant of the program


def too_many_places(axes: Sequence[Axis]) -> str | None:
    """The reason why windows of these axes are not to be told from what lies outside of x."""
    if any(axis.o * axis.k > MOST_PLACES for axis in axes):
        return f"needs a mask of over {MOST_PLACES} bytes for its windows"
    return None


def only(inside: Sequence[np.ndarray], x: jax.Array, pairs: Sequence[tuple[int, int]]) -> jax.Array:
    """x with zeros but where each pair of its dimensions says so.

    A select of lax: `jnp.where` is a call, which would not fuse. One array for all of them would
    be of the size of an image.
    """
    held = None
    for each, dims in zip(inside, pairs, strict=True):
        if not each.all():
            each = lax.broadcast_in_dim(each, x.shape, dims)
            held = each if held is None else held & each
    return x if held is None else lax.select(held, x, lax.full_like(x, 0))


def resize(x: jax.Array, dim: int, low: Size, size: Size, *, interior: int = 0) -> jax.Array:
    """Rows -low ... size-low of x (dilated first): zeros where there are none."""
    rows = x.shape[dim] if interior == 0 else max_size((interior + 1) * (x.shape[dim] - 1) + 1, 0)
    if is_static(low) and low == 0 and interior == 0 and is_static(rows, size) and rows == size:
        return x
    amounts: list[tuple[Any, Any, int]] = [(0, 0, 0)] * x.ndim
    amounts[dim] = (low, size - rows - low, interior)
    return lax.pad(x, jnp.zeros((), x.dtype), amounts)
