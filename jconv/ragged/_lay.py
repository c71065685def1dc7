"""Each example laid where its own padding puts it, and zeros kept beyond its own size.

All arrays are (N, spatial..., C), `sizes` (N, axes). All functions are linear in the array and made
of selections, slices and pads at positions given for each example, so JAX can differentiate, batch
and split them without rules of jconv's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._core.geometry import Size, max_size

MOST_SELECTED = 4
"""The most possible starts of an example's rows on an axis that are slices to select from."""

Low = tuple[Any, int, int]  # rows before each example: (for each example or for all, least, most)
Start = tuple[Any, int, int]  # the row that each example begins at, likewise


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


def lay(x: jax.Array, lows: Sequence[Low], rows: Sequence[Size], fill: Any = 0) -> jax.Array:
    """x moved into `rows` rows an axis, each example behind its own `low` rows; `fill` around."""
    starts, pads = [], [(0, 0, 0)]
    for size, (low, least, most), total in zip(x.shape[1:-1], lows, rows, strict=True):
        before = max(most, 0)
        starts.append((before - low, before - most, before - least))
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
        starts.append((before + low, before + least, before + most))
        pads.append((before, max_size(total + most - size, 0), 0))
    g = lax.pad(g, jnp.zeros((), g.dtype), [*pads, (0, 0, 0)])
    return keep(_cut(g, starts, rows), sizes)


def _cut(x: jax.Array, starts: Sequence[Start], rows: Sequence[Size]) -> jax.Array:
    """`rows` rows an axis of each example, from its own start on.

    Where few starts are possible every one of them is a slice, and each example selects its own in
    one fused loop. A slice at a traced start for each example is a gather, which XLA's CPU compiler
    runs element by element.
    """
    gathered = []
    for a, ((start, least, most), total) in enumerate(zip(starts, rows, strict=True), start=1):
        if most - least >= MOST_SELECTED:
            gathered.append(start)
            continue
        gathered.append(0)
        cut = lax.slice_in_dim(x, least, least + total, axis=a)
        for other in range(least + 1, most + 1):
            own = lax.expand_dims(start == other, range(1, x.ndim))
            cut = jnp.where(own, lax.slice_in_dim(x, other, other + total, axis=a), cut)
        x = cut
    if all(isinstance(start, int) for start in gathered):
        return x
    batch, channels = x.shape[0], x.shape[-1]
    columns = [jnp.broadcast_to(jnp.asarray(v, jnp.int32), (batch,)) for v in (*gathered, 0)]

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
