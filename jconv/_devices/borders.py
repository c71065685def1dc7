"""Padding modes other than zeros: rows put around an array, and the adjoint of that.

A border is the rows that one side of one axis of x is padded with, before any input dilation. It
is zeros, or a copy of rows of x: reflect takes the rows next to the edge in reverse, edge repeats
the last row, circular takes the rows of the other end. A side whose amount is negative is cropped
once the axis has its borders. The adjoint adds each border's cotangent to the rows that it was
copied from. It is written out and not left to JAX's transposition, which would add a second sum
over devices inside shard_map. An axis of zeros on both sides is padded by the convolution itself.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax

from jconv._core import jax_sharding
from jconv._core.geometry import Shape, Size, is_static, max_size
from jconv._core.problem import Borders


@dataclasses.dataclass(frozen=True)
class Frame:
    """The `Borders` that one device makes alone: on the axes that no mesh axis splits."""

    modes: tuple[tuple[str, str], ...]
    sizes: Shape
    pads: tuple[tuple[Size, Size], ...]


def pad_borders(x: jax.Array, borders: Borders) -> jax.Array:
    """x (N, i..., C) with its borders around it."""
    x = jax_sharding.unsharded(x, range(1, x.ndim - 1))
    for dim, (modes, (low, high)) in enumerate(
        zip(borders.modes, borders.pads, strict=True), start=1
    ):
        rows = x.shape[dim]
        grow_low, grow_high = max_size(low, 0), max_size(high, 0)
        parts = [
            _border(x, dim, grow_low, modes[0], at_start=True),
            x,
            _border(x, dim, grow_high, modes[1], at_start=False),
        ]
        x = jnp.concatenate([p for p in parts if p is not None], axis=dim)
        x = _crop(x, dim, grow_low - low, grow_high - high, rows + grow_low + grow_high)
    return x


def pad_borders_adjoint(g: jax.Array, borders: Borders) -> jax.Array:
    """The adjoint of `pad_borders`, from the padded array's cotangent to x's (N, i..., C)."""
    for dim, (rows, modes, (low, high)) in enumerate(
        zip(borders.sizes, borders.modes, borders.pads, strict=True), start=1
    ):
        grow_low, grow_high = max_size(low, 0), max_size(high, 0)
        total = rows + grow_low + grow_high
        g = _place(g, dim, grow_low - low, total)
        inner = lax.slice_in_dim(g, grow_low, grow_low + rows, axis=dim)
        if modes[0] != "zeros" and not _none(grow_low):
            border = lax.slice_in_dim(g, 0, grow_low, axis=dim)
            inner = inner + _border_adjoint(border, dim, rows, grow_low, modes[0], at_start=True)
        if modes[1] != "zeros" and not _none(grow_high):
            border = lax.slice_in_dim(g, grow_low + rows, total, axis=dim)
            inner = inner + _border_adjoint(border, dim, rows, grow_high, modes[1], at_start=False)
        g = inner
    return g


def _none(amount: Size) -> bool:
    return is_static(amount) and amount == 0


def _source(rows: Size, amount: Size, mode: str, *, at_start: bool) -> tuple[Size, Size]:
    """The rows of x that a border of `amount` rows is copied from."""
    if mode == "reflect":
        return (1, 1 + amount) if at_start else (rows - 1 - amount, rows - 1)
    if mode == "edge":
        return (0, 1) if at_start else (rows - 1, rows)
    return (rows - amount, rows) if at_start else (0, amount)


def _border(x: jax.Array, dim: int, amount: Size, mode: str, *, at_start: bool) -> jax.Array | None:
    if _none(amount):
        return None
    if mode == "zeros":
        return jnp.zeros((*x.shape[:dim], amount, *x.shape[dim + 1 :]), x.dtype)
    first, last = _source(x.shape[dim], amount, mode, at_start=at_start)
    border = lax.slice_in_dim(x, first, last, axis=dim)
    if mode == "reflect":
        return lax.rev(border, (dim,))
    if mode == "edge":
        shape = (*x.shape[:dim], amount, *x.shape[dim + 1 :])
        return jnp.broadcast_to(border, shape)
    return border


def _border_adjoint(
    g: jax.Array, dim: int, rows: Size, amount: Size, mode: str, *, at_start: bool
) -> jax.Array:
    first, _ = _source(rows, amount, mode, at_start=at_start)
    if mode == "reflect":
        g = lax.rev(g, (dim,))
    elif mode == "edge":
        g = jnp.sum(g, axis=dim, keepdims=True)
    return _place(g, dim, first, rows)


def _crop(x: jax.Array, dim: int, low: Size, high: Size, rows: Size) -> jax.Array:
    if _none(low) and _none(high):
        return x
    if is_static(low, high, rows):
        first = min(low, rows)
        return lax.slice_in_dim(x, first, max(first, rows - high), axis=dim)
    return lax.slice_in_dim(x, low, rows - high, axis=dim)


def _place(g: jax.Array, dim: int, first: Size, rows: Size) -> jax.Array:
    """g as the rows from `first` on of an array of `rows` rows, zeros elsewhere."""
    if is_static(first, rows, g.shape[dim]) and (first, rows) == (0, g.shape[dim]):
        return g
    amounts = [(0, 0, 0)] * g.ndim
    amounts[dim] = (first, rows - first - g.shape[dim], 0)
    return lax.pad(g, jnp.zeros((), g.dtype), amounts)
