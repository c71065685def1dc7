"""Rows sent between the devices that hold neighbouring parts of one spatial axis.

`receive` puts the rows that a device's windows read around its own ones (and makes its borders).
`give_back` is the adjoint: it returns the cotangents of received rows to the devices that own
these rows. It is written out and not left to JAX's transposition, which would add a second sum
over devices inside shard_map.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jconv._core import jax_sharding
from jconv._devices.halo import NOTHING, Halo

Names = tuple[str, ...]


def receive(x: jax.Array, dim: int, names: Names, halo: Halo) -> jax.Array:
    """The rows that a device's windows read, from its part of an axis split over `names`."""
    x = without_tail(x, dim, names, halo.parts, halo.size)
    if halo.sources is None:
        below, above = halo.blank
        rows = _pad(_joined(x, dim, names, halo), dim, below, above)
        return _cut(rows, dim, names, halo.starts, halo.axis.i)
    rows, table = _joined(x, dim, names, halo), _of_this_part(halo.sources, names)
    taken = jnp.take(rows, jnp.maximum(table, 0), axis=dim, mode="clip")
    return jnp.where(_along(table != NOTHING, dim, x.ndim), taken, jnp.zeros((), x.dtype))


def give_back(rows: jax.Array, dim: int, names: Names, halo: Halo) -> jax.Array:
    """The adjoint of `receive`: every row added to the part's row that it was copied from."""
    total = halo.low + halo.rows + halo.high
    if halo.sources is None:
        below, above = halo.blank
        spread = _place(rows, dim, names, halo.starts, below + total + above)
        spread = lax.slice_in_dim(spread, below, below + total, axis=dim)
    else:
        table = _of_this_part(halo.sources, names)
        known = jnp.where(_along(table != NOTHING, dim, rows.ndim), rows, jnp.zeros((), rows.dtype))
        shape = (*rows.shape[:dim], total, *rows.shape[dim + 1 :])
        at = (*(slice(None),) * dim, jnp.maximum(table, 0))
        spread, known = jax_sharding.make_varying_alike(jnp.zeros(shape, rows.dtype), known)
        spread = spread.at[at].add(known)
    out = lax.slice_in_dim(spread, halo.low, halo.low + halo.rows, axis=dim)
    first = halo.low
    for distance, amount in halo.hops(before=True):
        first -= amount
        sent = lax.slice_in_dim(spread, first, first + amount, axis=dim)
        sent = _send(sent, names, halo, distance)
        out = out + _pad(sent, dim, halo.rows - amount, 0)
    last = halo.low + halo.rows
    for distance, amount in halo.hops(before=False):
        sent = lax.slice_in_dim(spread, last, last + amount, axis=dim)
        sent = _send(sent, names, halo, -distance)
        out = out + _pad(sent, dim, 0, halo.rows - amount)
        last += amount
    return without_tail(out, dim, names, halo.parts, halo.size)


def without_tail(x: jax.Array, dim: int, names: Names, parts: int, size: int) -> jax.Array:
    """A part with zeros for its rows beyond the whole axis' `size`, which may hold anything."""
    rows = x.shape[dim]
    if rows * parts == size:
        return x
    inside = lax.iota("int32", rows) < size - lax.axis_index(names) * rows
    return jnp.where(_along(inside, dim, x.ndim), x, jnp.zeros((), x.dtype))


def own_outputs(y: jax.Array, dim: int, names: Names, halo: Halo) -> jax.Array:
    """A part's own outputs, cut from those that the local convolution makes (see Halo.shifts)."""
    return _cut(y, dim, names, halo.shifts, halo.made)


def as_outputs(g: jax.Array, dim: int, names: Names, halo: Halo) -> jax.Array:
    """The adjoint of `own_outputs`: cotangents of a part, zeros for the other local outputs."""
    g = without_tail(g, dim, names, halo.parts, halo.out)
    return _place(g, dim, names, halo.shifts, halo.axis.o)


def _joined(x: jax.Array, dim: int, names: Names, halo: Halo) -> jax.Array:
    """The received rows on both sides of a part's own ones."""
    parts = [x]
    for distance, amount in halo.hops(before=True):
        sent = lax.slice_in_dim(x, halo.rows - amount, halo.rows, axis=dim)
        parts.insert(0, _send(sent, names, halo, -distance))
    for distance, amount in halo.hops(before=False):
        sent = lax.slice_in_dim(x, 0, amount, axis=dim)
        parts.append(_send(sent, names, halo, distance))
    return lax.concatenate(parts, dim) if len(parts) > 1 else x


def _send(rows: jax.Array, names: Names, halo: Halo, distance: int) -> jax.Array:
    """The `rows` of the device `distance` parts further on; zeros where there is no such part."""
    if distance % halo.parts == 0:
        return rows  # the way around a ring of parts ends at the device itself
    pairs = [
        ((part + distance) % halo.parts, part)
        for part in range(halo.parts)
        if halo.ring or 0 <= part + distance < halo.parts
    ]
    return jax_sharding.permute(rows, names, pairs)


def _of_this_part(table: Sequence, names: Names) -> jax.Array:
    return jnp.asarray(table, jnp.int32)[lax.axis_index(names)]


def _cut(x: jax.Array, dim: int, names: Names, starts: Sequence[int], amount: int) -> jax.Array:
    """`amount` rows from the part's own start on."""
    if len(set(starts)) == 1:
        return lax.slice_in_dim(x, starts[0], starts[0] + amount, axis=dim)
    return lax.dynamic_slice_in_dim(x, _of_this_part(starts, names), amount, axis=dim)


def _place(x: jax.Array, dim: int, names: Names, starts: Sequence[int], total: int) -> jax.Array:
    """The adjoint of `_cut`: the rows from the part's own start on, zeros around them."""
    if len(set(starts)) == 1:
        return _pad(x, dim, starts[0], total - starts[0] - x.shape[dim])
    shape = (*x.shape[:dim], total, *x.shape[dim + 1 :])
    empty, x = jax_sharding.make_varying_alike(jnp.zeros(shape, x.dtype), x)
    return lax.dynamic_update_slice_in_dim(empty, x, _of_this_part(starts, names), dim)


def _pad(x: jax.Array, dim: int, low: int, high: int) -> jax.Array:
    if low == high == 0:
        return x
    amounts = [(0, 0, 0)] * x.ndim
    amounts[dim] = (low, high, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), amounts)


def _along(row: jax.Array, dim: int, ndim: int) -> jax.Array:
    return row.reshape((1,) * dim + row.shape + (1,) * (ndim - dim - 1))
