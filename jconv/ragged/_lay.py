"""Each example laid where its own padding puts it, and zeros kept beyond its own size.

All arrays are (N, spatial..., C), `sizes` (N, axes). All functions are linear in the array and made
of selections, slices and pads at positions given for each example, so JAX can differentiate, batch
and split them without rules of jconv's own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._core.geometry import Size, max_size

WIDEST_STRIP = 16
"""The most rows of each example that are zeroed in place, by a small write for each row. For more
rows, one pass over the whole array is as fast."""

Low = tuple[Any, int, int]  # rows before each example: (for each example or for all, least, most)


def valid(shape: Sequence[Size], sizes: jax.Array) -> jax.Array:
    """Which cells of an array of this shape belong to an example, (N, spatial..., 1)."""
    rank = len(shape) - 2
    own: Any = True
    for a in range(rank):
        rows = jnp.arange(shape[a + 1], dtype=sizes.dtype)
        rows = lax.expand_dims(rows, [d for d in range(rank + 2) if d != a + 1])
        own = own & (rows < lax.expand_dims(sizes[:, a], range(1, rank + 2)))
    return own


def keep(x: jax.Array, sizes: jax.Array, fill: Any = 0) -> jax.Array:
    """x within each example's size, `fill` beyond it, whatever x holds there."""
    return jnp.where(valid(x.shape, sizes), x, jnp.asarray(fill, x.dtype))


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def zero_beyond(y: jax.Array, sizes: jax.Array, widths: tuple[int, ...]) -> jax.Array:
    """`keep` for a y that only holds other numbers in the first `widths` rows beyond each size.

    Only these rows are zeroed, in place. That costs almost nothing, while `keep` reads and writes
    all of y again. Tangents and cotangents go through `keep`, because they may hold anything.
    """
    if max(widths) > WIDEST_STRIP:
        return keep(y, sizes)
    for a, width in enumerate(widths):
        if width:
            rows = sizes[:, a, None] + jnp.arange(width, dtype=sizes.dtype)[None]
            at = (slice(None),) * a

            def strip(one: jax.Array, rows: jax.Array, at: Any = at) -> jax.Array:
                return one.at[(*at, rows)].set(0, mode="drop", unique_indices=True)

            y = jax.vmap(strip)(y, rows)
    return y


@zero_beyond.defjvp
def _zero_beyond_jvp(widths: tuple[int, ...], primals: Any, tangents: Any) -> Any:
    (y, sizes), (dy, _) = primals, tangents
    return zero_beyond(y, sizes, widths), keep(dy, sizes)


def lay(x: jax.Array, lows: Sequence[Low], rows: Sequence[Size], fill: Any = 0) -> jax.Array:
    """x moved into `rows` rows an axis, each example behind its own `low` rows; `fill` around."""
    starts, pads = [], [(0, 0, 0)]
    for size, (low, least, most), total in zip(x.shape[1:-1], lows, rows, strict=True):
        before = max(most, 0)
        starts.append(before - low)
        pads.append((before, max_size(total - least - size, 0), 0))
    x = lax.pad(x, jnp.asarray(fill, x.dtype), [*pads, (0, 0, 0)])
    return _cut(x, starts, rows)


def lay_adjoint(
    g: jax.Array, sizes: jax.Array, lows: Sequence[Low], rows: Sequence[Size]
) -> jax.Array:
    """The adjoint of `lay`: `rows` rows an axis, with zeros beyond each example's size."""
    starts, pads = [], [(0, 0, 0)]
    for size, (low, least, most), total in zip(g.shape[1:-1], lows, rows, strict=True):
        before = max(-least, 0)
        starts.append(before + low)
        pads.append((before, max_size(total + most - size, 0), 0))
    g = lax.pad(g, jnp.zeros((), g.dtype), [*pads, (0, 0, 0)])
    return keep(_cut(g, starts, rows), sizes)


def _cut(x: jax.Array, starts: Sequence[Any], rows: Sequence[Size]) -> jax.Array:
    """`rows` rows an axis of each example, from its own start on."""
    if all(isinstance(start, int) for start in starts):
        for a, (start, total) in enumerate(zip(starts, rows, strict=True), start=1):
            x = lax.slice_in_dim(x, start, start + total, axis=a)
        return x
    batch, channels = x.shape[0], x.shape[-1]
    columns = [jnp.broadcast_to(jnp.asarray(v, jnp.int32), (batch,)) for v in (*starts, 0)]

    def one(example: jax.Array, start: jax.Array) -> jax.Array:
        return lax.dynamic_slice(example, list(start), (*rows, channels))

    return jax.vmap(one)(x, jnp.stack(columns, axis=1))


def resized(x: jax.Array, rows: Sequence[Size]) -> jax.Array:
    """x with rows cut off or zeros added at the end of each axis."""
    ends = [(0, total - size, 0) for size, total in zip(x.shape[1:-1], rows, strict=True)]
    if not any(pad for _, pad, _ in ends):
        return x
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *ends, (0, 0, 0)])


# Padding modes other than zeros ---------------------------------------------------------------


Modes = tuple[str, str]  # of the border before an example's rows, and of the one behind them


def borders(
    x: jax.Array, sizes: jax.Array, axis: int, low: Low, pads: Any, modes: Modes
) -> jax.Array:
    """x, laid out, with each example's border rows on one axis copied from its own rows."""
    for to, source in _border_rows(sizes[:, axis], low[0], pads, modes, x.shape[axis + 1]):
        x = _moved(x, axis, source, to)
    return x


def borders_adjoint(
    g: jax.Array, sizes: jax.Array, axis: int, low: Low, pads: Any, modes: Modes
) -> jax.Array:
    """The adjoint of `borders`: each border row is added to the row that it is a copy of."""
    rows = _border_rows(sizes[:, axis], low[0], pads, modes, g.shape[axis + 1])
    for to, source in reversed(rows):
        g = _moved(g, axis, to, source)
    return g


def _border_rows(
    sizes: jax.Array, low: Any, pads: Any, modes: Modes, total: Size
) -> list[tuple[jax.Array, jax.Array]]:
    """For each side whose border is copied, the rows (N, p) to fill and the rows that they copy.

    A row outside of 0..total stands for no row. Where an example has fewer rows than its border
    copies, its nearest row is taken.
    """
    sides = []
    last = sizes[:, None] - 1
    start = jnp.broadcast_to(jnp.asarray(low, sizes.dtype), sizes.shape)[:, None]
    for at_start, (amount, most), mode in zip((True, False), pads, modes, strict=True):
        if most <= 0 or mode == "zeros":
            continue
        n = jnp.arange(most, dtype=sizes.dtype)[None, :]
        source = {
            "reflect": 1 + n if at_start else last - 1 - n,
            "edge": jnp.zeros_like(n) if at_start else last + 0 * n,
            "circular": last - n if at_start else n,
        }[mode]
        source = start + jnp.clip(source, 0, jnp.maximum(last, 0))
        to = start - 1 - n if at_start else start + last + 1 + n
        amount = jnp.broadcast_to(jnp.asarray(amount, sizes.dtype), sizes.shape)[:, None]
        there = (n < amount) & (last >= 0) & (to < total)
        sides.append((jnp.where(there, to, total), jnp.where(there, source, total)))
    return sides


def _moved(x: jax.Array, axis: int, source: jax.Array, to: jax.Array) -> jax.Array:
    """x with its rows `source` added to its rows `to`, on one axis, for each example."""
    at = (slice(None),) * axis

    def one(example: jax.Array, source: jax.Array, to: jax.Array) -> jax.Array:
        rows = example.at[(*at, source)].get(mode="fill", fill_value=0)
        return example.at[(*at, to)].add(rows, mode="drop")

    return jax.vmap(one)(x, source, to)
