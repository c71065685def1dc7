"""Windows of x as the rows of a matrix, and back: im2col and col2im, axis by axis."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms._arrange import interleave, rows_read
from jconv._algorithms._window import resize
from jconv._geometry import Axis


def resize_all(x: jax.Array, axes: tuple[Axis, ...]) -> jax.Array:
    """The rows of x from the first that a window reads to the last."""
    for dim, axis in enumerate(axes, start=1):
        x = resize(x, dim, axis.p0, rows_read(axis))
    return x


def tap_of(x: jax.Array, dim: int, tap: int, axis: Axis) -> jax.Array:
    """What one tap reads along one axis, for every window."""
    start = tap * axis.d
    return lax.slice_in_dim(x, start, start + axis.s * (axis.o - 1) + 1, axis.s, axis=dim)


def windows(x: jax.Array, dim: int, axis: Axis) -> jax.Array:
    """One axis of x as its windows, their taps laid side by side before the channels."""
    if axis.k == 1:
        return tap_of(x, dim, 0, axis)
    if axis.d == 1 and axis.s == axis.k:
        # The windows lie end to end: a reshape, then the taps move behind the other axes.
        shape = (*x.shape[:dim], axis.o, axis.k, *x.shape[dim + 1 :])
        return _flatten_last(jnp.moveaxis(x.reshape(shape), dim + 1, -2))
    taps = [tap_of(x, dim, tap, axis) for tap in range(axis.k)]
    return lax.optimization_barrier(lax.concatenate(taps, x.ndim - 1))


def around(x: jax.Array, dim: int, axis: Axis) -> jax.Array:
    """One axis of x as its windows (o, k), read where they lie: places outside go round.

    Among copies of x laid end to end, row s*o + d*k is also found at o*(s + c*i) + d*k, for any
    whole c: windows that share rows lie side by side there. A loop that all of this is fused
    into copies nothing for it.
    """
    i, reach = x.shape[dim], axis.d * (axis.k - 1) + 1
    step = axis.s + i * max(0, -(-(reach - axis.s) // i))
    start = -axis.p0 % i
    copies = -(-(start + axis.o * step) // i)
    lead, rest = x.shape[:dim], x.shape[dim + 1 :]
    x = jnp.broadcast_to(lax.expand_dims(x, [dim]), (*lead, copies, i, *rest))
    x = lax.slice_in_dim(x.reshape(*lead, -1, *rest), start, start + axis.o * step, axis=dim)
    return lax.slice_in_dim(x.reshape(*lead, axis.o, step, *rest), 0, reach, axis.d, axis=dim + 1)


def _flatten_last(x: jax.Array) -> jax.Array:
    return x.reshape(*x.shape[:-2], -1)


def gather(x: jax.Array, axes: tuple[Axis, ...]) -> jax.Array:
    """x (N, i..., C) as a matrix with a row (k..., C) for each window."""
    x = resize_all(x, axes)
    # The last axis first, so that its taps end up fastest.
    for dim in reversed(range(1, len(axes) + 1)):
        x = windows(x, dim, axes[dim - 1])
    return x.reshape(-1, x.shape[-1])


def scatter(rows: jax.Array, axes: tuple[Axis, ...]) -> jax.Array:
    """Rows (N, o..., k..., C) added up to x (N, i..., C): the transpose of gather."""
    rank = len(axes)
    for dim, axis in enumerate(axes, start=1):
        rows = add_up(rows, rank + 1, dim, axis)
    return rows


def add_up(rows: jax.Array, taps: int, dim: int, axis: Axis) -> jax.Array:
    """Put product (o, k) of one axis, `dim` and `taps`, at row s*o + d*k - p0 of x.

    Rows of one residue modulo s are sums of shifted taps; the residues interleave.
    """
    s, d, o = axis.s, axis.d, axis.o
    if s == axis.k and d == 1 and taps == dim + 1:  # they lie as they are to lie
        shape = (*rows.shape[:dim], o * s, *rows.shape[taps + 1 :])
        return resize(rows.reshape(shape), dim, -axis.p0, axis.i)
    shifts = [divmod(d * k, s) for k in range(axis.k)]
    furthest = max(q for q, _ in shifts)
    product_of = lambda k: lax.index_in_dim(rows, k, taps, keepdims=False)  # noqa: E731
    at = dim - (taps < dim)
    phases = []
    for residue in range(s):
        terms = [
            resize(product_of(k), at, q, o + furthest)
            for k, (q, r) in enumerate(shifts)
            if r == residue
        ]
        phases.append(sum(terms[1:], terms[0]) if terms else None)
    like = next(phase for phase in phases if phase is not None)
    phases = [jnp.zeros_like(like) if phase is None else phase for phase in phases]
    x = interleave(phases, at) if s > 1 else phases[0]
    return resize(lax.optimization_barrier(x), at, -axis.p0, axis.i)
