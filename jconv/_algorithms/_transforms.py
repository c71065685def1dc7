"""Winograd's transforms: sums of slices with a tile's coefficients, each behind a barrier."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
from jax import lax

from jconv._algorithms._tiles import Matrix

Arrays = list[jax.Array]


def combine(rows: Sequence[jax.Array], coefficients: Sequence[float]) -> jax.Array:
    """The sum of the rows with a coefficient other than 0: there is one."""
    total: Any = None
    for row, c in zip(rows, coefficients, strict=True):
        if c == 0:
            continue
        if total is None:
            total = row if c == 1 else row * c
        elif c in (1, -1):
            total = total + row if c == 1 else total - row
        else:
            total = total + row * c
    return total


def transform(arrays: Arrays, matrix: Matrix) -> Arrays:
    """A combination of the arrays for each row of the matrix, behind a barrier.

    The points p and -p differ in the sign of every other coefficient. Their rows share two
    halves of a sum, and their columns a sum and a difference, which is half as much to compile:
    whatever reads them fuses them in.
    """
    columns = list(zip(*matrix, strict=True))
    for i, j in _opposite(columns):
        a, b = arrays[i], arrays[j]
        arrays = [*arrays[:i], a + b, *arrays[i + 1 : j], a - b, *arrays[j + 1 :]]
        same, other = _halves(columns[i], columns[j])
        columns[i], columns[j] = same, other
    rows = list(zip(*columns, strict=True))
    made: dict[int, Any] = {}
    for i, j in _opposite(rows):
        same, other = (combine(arrays, half) for half in _halves(rows[i], rows[j]))
        made[i], made[j] = same + other, same - other
    return lax.optimization_barrier(
        [made[at] if at in made else combine(arrays, row) for at, row in enumerate(rows)]
    )


def _opposite(vectors: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pairs of vectors that are equal here and opposite there, apart from zeros."""
    free, pairs = list(range(len(vectors))), []
    for i, j in itertools.combinations(free, 2):
        if i in free and j in free and all(map(any, _halves(vectors[i], vectors[j]) or [[0]])):
            free = [at for at in free if at not in (i, j)]
            pairs.append((i, j))
    return pairs


def _halves(a: Sequence[float], b: Sequence[float]) -> list[tuple[float, ...]]:
    """The entries of `a` that `b` has too, and those that it has opposite; none if some differ."""
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


def transform_line(x: jax.Array, matrices: Sequence[Matrix], steps, counts) -> Arrays:
    """x (M, i..., C), each i cut into tiles: a (tiles, C) matrix for each point."""
    arrays = [x]
    for dim, each in enumerate(zip(matrices, steps, counts, strict=True), start=1):
        arrays = [point for a in arrays for point in transform_tiles(a, dim, *each)]
    return [a.reshape(-1, a.shape[-1]) for a in arrays]


def taps_of(w: jax.Array, flip: bool) -> Arrays:
    taps = [w[i] for i in range(w.shape[0])]
    return taps[::-1] if flip else taps


def transform_filter(w: jax.Array, matrices: Sequence[Matrix], flip: bool) -> Arrays:
    """w (k..., ., .): a matrix for each point."""
    arrays = [w]
    for matrix in matrices:
        arrays = [point for a in arrays for point in transform(taps_of(a, flip), matrix)]
    return arrays


def transform_back(points: Arrays, matrices: Sequence[Matrix]) -> Arrays:
    """Points of all axes to outputs of all axes, the last axis fastest in both."""
    arrays = points
    for at in reversed(range(len(matrices))):
        matrix = matrices[at]
        after = math.prod(len(m[0]) for m in matrices[at + 1 :])
        columns = tuple(zip(*matrix, strict=True))
        made = [
            transform(
                [arrays[(before * len(matrix) + p) * after + later] for p in range(len(matrix))],
                columns,
            )
            for before in range(len(arrays) // (len(matrix) * after))
            for later in range(after)
        ]
        arrays = [
            made[before * after + later][o]
            for before in range(len(made) // after)
            for o in range(len(columns))
            for later in range(after)
        ]
    return arrays


def interleave(arrays: Arrays, n: int, counts, sizes) -> jax.Array:
    """Outputs of each tile, one (tiles, F) array a position, as (N, o..., F).

    Joined along the last dimension, where a join copies whole runs of memory, axis by axis.
    """
    width = arrays[0].shape[-1]
    for at in reversed(range(len(sizes))):
        size = sizes[at]
        lead = n * math.prod(counts[: at + 1])
        arrays = [a.reshape(lead, -1) for a in arrays]
        arrays = [
            lax.concatenate(arrays[i : i + size], 1) if size > 1 else arrays[i]
            for i in range(0, len(arrays), size)
        ]
    spatial = [count * size for count, size in zip(counts, sizes, strict=True)]
    return arrays[0].reshape(n, *spatial, width)
