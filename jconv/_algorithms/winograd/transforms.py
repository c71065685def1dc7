"""Winograd's transforms: as sums of slices, or as a product with a matrix.

The tiles of an operand overlap, so their points are sums of slices, and all points of a line are
one array. A filter has a dimension of taps, and products have one of points: these dimensions
are multiplied by the tile's factor, since a matrix product takes XLA little time to compile, where
sums took most of the time.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jconv._algorithms.winograd.points import Matrix
from jconv._algorithms.winograd.tiles import Tile

Arrays = list[jax.Array]


class Sums:
    """Sums of arrays of one shape; each coefficient is broadcast once for all sums."""

    def __init__(self, like: jax.Array):
        self.spread = functools.cache(lambda c: lax.full_like(like, c))

    def __call__(self, rows: Sequence[jax.Array], coefficients: Sequence[float]) -> jax.Array:
        """The sum of the rows times their coefficients, of which at least one is not 0."""
        total: Any = None
        for negative, at in sorted((c < 0, at) for at, c in enumerate(coefficients) if c != 0):
            size = abs(coefficients[at])
            term = rows[at] if size == 1 else lax.mul(rows[at], self.spread(size))
            if total is None:
                total = lax.neg(term) if negative else term
            else:
                total = (lax.sub if negative else lax.add)(total, term)
        return total


def transform(arrays: Arrays, matrix: Matrix) -> Arrays:
    """A combination of the arrays for each row of the matrix.

    The points p and -p differ in the sign of every second coefficient. Their rows share the two
    halves of a sum, and their columns a sum and a difference, which halves what XLA compiles: it
    fuses these into every kernel that reads them.
    """
    columns, combine = list(zip(*matrix, strict=True)), Sums(arrays[0])
    for i, j in _opposite(columns):
        a, b = arrays[i], arrays[j]
        both, rest = lax.add(a, b), lax.sub(a, b)
        arrays = [*arrays[:i], both, *arrays[i + 1 : j], rest, *arrays[j + 1 :]]
        same, other = _halves(columns[i], columns[j])
        columns[i], columns[j] = same, other
    rows = list(zip(*columns, strict=True))
    made: dict[int, Any] = {}
    for i, j in _opposite(rows):
        same, other = (combine(arrays, half) for half in _halves(rows[i], rows[j]))
        made[i], made[j] = lax.add(same, other), lax.sub(same, other)
    return [made[at] if at in made else combine(arrays, row) for at, row in enumerate(rows)]


def _opposite(vectors: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pairs of vectors whose entries are all equal or opposite, and some of each but 0."""
    free, pairs = list(range(len(vectors))), []
    for i, j in itertools.combinations(free, 2):
        if i in free and j in free and all(map(any, _halves(vectors[i], vectors[j]) or [[0]])):
            free = [at for at in free if at not in (i, j)]
            pairs.append((i, j))
    return pairs


def _halves(a: Sequence[float], b: Sequence[float]) -> list[tuple[float, ...]]:
    """The entries of `a` equal to those of `b`, and those opposite; [] if any is neither."""
    if any(abs(p) != abs(q) for p, q in zip(a, b, strict=True)):
        return []
    signs = (1, -1)
    return [tuple(p * (p == s * q) for p, q in zip(a, b, strict=True)) for s in signs]


def transform_tiles(x: jax.Array, dim: int, matrix: Matrix, step: int, count: int) -> Arrays:
    """One axis of x, cut into tiles that begin `step` rows apart: an array for each point."""
    width = len(matrix[0])
    return transform(
        [lax.slice_in_dim(x, i, i + (count - 1) * step + 1, step, axis=dim) for i in range(width)],
        matrix,
    )


def transform_lead(x: jax.Array, tiles: Sequence[Tile], counts: Sequence[int], slot: str) -> Arrays:
    """x (N, i..., C) along all axes but the last: an array for each point."""
    arrays = [x]
    for dim, (t, count) in enumerate(zip(tiles[:-1], counts, strict=False), start=1):
        step = t.step if slot == "x" else t.outputs
        each = (dim, getattr(t, slot), step, count)
        arrays = [point for a in arrays for point in transform_tiles(a, *each)]
    return arrays


def transform_line(x: jax.Array, matrix: Matrix, step: int, count: int) -> jax.Array:
    """x (M, i, C) along its only axis: all points as one array (points, tiles, C)."""
    points = transform_tiles(x, 1, matrix, step, count)
    # A join along a new leading dimension fuses with the sums that it joins.
    flat = (1, points[0].size // points[0].shape[-1], points[0].shape[-1])
    return lax.concatenate([lax.reshape(a, flat) for a in points], 0)


def transform_back(
    lines: Arrays, matrices: Sequence[Matrix], shape: Sequence[int], kept: Sequence[int]
) -> jax.Array:
    """The lines, one for each point of the leading axes, combined into the result.

    A line has the dimensions `kept` of the result, in order. Each matrix makes one of the others.
    One loop writes the whole result in place: computed one by one and joined, the outputs of a
    tile took a fifth of a convolution's time.
    """
    made = [dim for dim in range(len(shape)) if dim not in kept]
    total: Any = None
    for line, rows in zip(lines, itertools.product(*matrices), strict=True):
        term = lax.broadcast_in_dim(line, shape, kept)
        for dim, row in zip(made, rows, strict=True):
            factor = lax.broadcast_in_dim(np.asarray(row, np.float32), shape, [dim])
            term = lax.mul(term, factor)
        total = term if total is None else lax.add(total, term)
    return total


def of_all(matrices: Sequence[Any]) -> np.ndarray:
    """The Kronecker product of the axes' factors: one factor for all, the last axis fastest."""
    return functools.reduce(np.kron, [np.asarray(m, np.float32) for m in matrices])


def multiply(matrix: Any, arrays: jax.Array) -> jax.Array:
    """The matrix times the leading dimension."""
    made = lax.dot_general(
        jnp.asarray(matrix),
        arrays.reshape(arrays.shape[0], -1),
        (((1,), (0,)), ((), ())),
        precision=lax.Precision.HIGHEST,
    )
    return made.reshape(-1, *arrays.shape[1:])
