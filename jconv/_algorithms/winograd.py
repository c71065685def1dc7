"""winograd: stride-1 and strided convolutions by tiles, with fewer products than the definition.

Both operands of a tile are transformed, one dot over the channels is made at each point, and
the results are transformed back (`_tiles` derives the transforms). Every transform is a sum of
slices and stands behind a barrier: fused into its readers it would be computed again for each.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import _cost
from jconv._algorithms._arrange import (
    TEMPORARIES,
    in_chunks,
    may_transform,
    precision,
    widen,
    window_axes,
)
from jconv._algorithms._record import Algorithm, Planner, static_on_cpu
from jconv._algorithms._tiles import Matrix, Tile, tile
from jconv._algorithms._window import resize
from jconv._geometry import Axis
from jconv._problem import Problem


def tiles_of(axes: Sequence[Axis], m: int) -> list[Tile]:
    return [tile(axis.k, m, axis.s, axis.b) for axis in axes]


def combine(rows: Sequence[jax.Array], coefficients: Sequence[float]) -> jax.Array | None:
    """The sum of the rows with a coefficient other than 0."""
    total = None
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


def transform(arrays: list[list[jax.Array]], matrix: Matrix) -> list[list[jax.Array]]:
    """Each group of slices as one array for each row of the matrix, behind a barrier."""
    return lax.optimization_barrier([[combine(group, row) for row in matrix] for group in arrays])


def transform_windows(x: jax.Array, tiles: Sequence[Tile], factor: str, steps, counts):
    """x (N, i..., C), cut into tiles on each axis: a (tiles, C) matrix for each point."""
    arrays = [x]
    for dim, (t, step, count) in enumerate(zip(tiles, steps, counts, strict=True), start=1):
        matrix = getattr(t, factor)
        groups = [
            [
                lax.slice_in_dim(a, i, i + (count - 1) * step + 1, step, axis=dim)
                for i in range(len(matrix[0]))
            ]
            for a in arrays
        ]
        arrays = [a for group in transform(groups, matrix) for a in group]
    return [a.reshape(-1, a.shape[-1]) for a in arrays]


def transform_filter(w: jax.Array, tiles: Sequence[Tile], flip: bool):
    """w (k..., ., .): a matrix for each point."""
    arrays = [w]
    for t in tiles:
        groups = []
        for a in arrays:
            taps = [a[i] for i in range(a.shape[0])]
            groups.append(taps[::-1] if flip else taps)
        arrays = [a for group in transform(groups, t.w) for a in group]
    return arrays


def transform_back(points: list[jax.Array], matrices: Sequence[Matrix]) -> list[jax.Array]:
    """Points of all axes to outputs of all axes, the last axis fastest in both."""
    arrays = points
    for at in reversed(range(len(matrices))):
        matrix = matrices[at]
        after = math.prod(len(m[0]) for m in matrices[at + 1 :])
        groups = [
            [arrays[(before * len(matrix) + p) * after + later] for p in range(len(matrix))]
            for before in range(len(arrays) // (len(matrix) * after))
            for later in range(after)
        ]
        columns = [tuple(column) for column in zip(*matrix, strict=True)]
        made = transform(groups, tuple(columns))
        arrays = [
            made[(before * after) + later][o]
            for before in range(len(groups) // after)
            for o in range(len(columns))
            for later in range(after)
        ]
    return arrays


def _geometry(axes: Sequence[Axis], tiles: Sequence[Tile]):
    """For each axis: outputs to drop at the start, tiles, low padding of x and its rows."""
    drops, counts, lows, rows = [], [], [], []
    for axis, t in zip(axes, tiles, strict=True):
        # With input dilation b a tile begins where b*i = o - p0 has a solution.
        drop = -axis.p0 % axis.b
        count = -(-(axis.o + drop) // t.outputs)
        drops.append(drop)
        counts.append(count)
        lows.append((axis.p0 + drop) // axis.b)
        rows.append((count - 1) * t.step + t.rows)
    return drops, counts, lows, rows


def _windows(problem: Problem, x: jax.Array, w: jax.Array, m: int) -> jax.Array:
    axes = window_axes(problem)
    tiles = tiles_of(axes, m)
    drops, counts, lows, rows = _geometry(axes, tiles)
    flip = problem.leg == "input_grad"
    filters = transform_filter(w, tiles, flip)
    contracted = 1 if flip else 0  # the filter stays as it lies: a transposed copy would cost more
    options = {"precision": precision(problem), "preferred_element_type": x.dtype}

    def run(x: jax.Array) -> jax.Array:
        for dim, (low, size) in enumerate(zip(lows, rows, strict=True), start=1):
            x = resize(x, dim, low, size)
        x = lax.optimization_barrier(x)
        points = transform_windows(x, tiles, "x", [t.step for t in tiles], counts)
        products = [
            lax.dot_general(v, u, (((1,), (contracted,)), ((), ())), **options)
            for v, u in zip(points, filters, strict=True)
        ]
        outputs = transform_back(lax.optimization_barrier(products), [t.y for t in tiles])
        y = interleave(outputs, x.shape[0], counts, [t.outputs for t in tiles])
        start = [0, *drops, 0]
        stop = [x.shape[0], *(d + a.o for d, a in zip(drops, axes, strict=True)), y.shape[-1]]
        return lax.slice(y, start, stop)

    return in_chunks(run, (x,), _chunk(problem, m))


def interleave(arrays: list[jax.Array], n: int, counts, sizes) -> jax.Array:
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


def _filter_grad(problem: Problem, x: jax.Array, g: jax.Array, m: int) -> jax.Array:
    axes = problem.axes
    tiles = tiles_of(axes, m)
    _, counts, lows, rows = _geometry(axes, tiles)
    options = {"precision": precision(problem), "preferred_element_type": x.dtype}

    def run(x: jax.Array, g: jax.Array) -> list[jax.Array]:
        for dim, (low, size, count, t) in enumerate(
            zip(lows, rows, counts, tiles, strict=True), start=1
        ):
            x = resize(x, dim, low, size)
            g = resize(g, dim, 0, count * t.outputs)
        x, g = lax.optimization_barrier((x, g))
        xs = transform_windows(x, tiles, "x", [t.step for t in tiles], counts)
        gs = transform_windows(g, tiles, "y", [t.outputs for t in tiles], counts)
        return [
            lax.dot_general(v, h, (((0,), (0,)), ((), ())), **options)
            for v, h in zip(xs, gs, strict=True)
        ]

    points = in_chunks(run, (x, g), _chunk(problem, m), total=True)
    taps = transform_back(lax.optimization_barrier(points), [t.w for t in tiles])
    return jnp.stack(taps).reshape(problem.out_shape)


@functools.lru_cache(maxsize=1024)
def _extent(axes: tuple[Axis, ...], m: int) -> tuple[int, int]:
    """The tiles of an image, and the products of a tile."""
    tiles = tiles_of(axes, m)
    _, counts, _, _ = _geometry(axes, tiles)
    return math.prod(counts), math.prod(t.products for t in tiles)


def _chunk(problem: Problem, m: int) -> int:
    count, points = _extent(window_axes(problem), m)
    image = count * points * (problem.c + problem.f) * 4
    return max(1, min(problem.n, TEMPORARIES // max(image, 1)))


MOST_PRODUCTS = 81  # matrix products of a tile: each is a kernel or three to compile


def tile_sizes(problem: Problem) -> list[int]:
    """Outputs that a tile may have on each axis."""
    axes = window_axes(problem)
    return [m for m in (2, 4) if _extent(axes, m)[1] <= MOST_PRODUCTS]


@functools.lru_cache(maxsize=1024)
def best(problem: Problem) -> tuple[float, int]:
    """The predicted seconds of the best tile size, and that size."""
    return min((seconds(problem, m), m) for m in tile_sizes(problem))


def choose_outputs(problem: Problem) -> int:
    return best(problem)[1]


def seconds(problem: Problem, m: int) -> float:
    axes = window_axes(problem)
    tiles, (count, points) = tiles_of(axes, m), _extent(axes, m)
    inner, columns = (
        (problem.f, problem.c) if problem.leg == "input_grad" else (problem.c, problem.f)
    )
    count *= problem.n
    calls = -(-problem.n // _chunk(problem, m))
    terms = {slot: math.prod(t.terms[slot] for t in tiles) for slot in "xwy"}
    tiled = count * (inner * terms["x"] + columns * terms["y"])
    total = _cost.fused(problem, tiled + inner * columns * terms["w"])
    total += _cost.moved(problem, 2 * points * (count * (inner + columns) + inner * columns))
    if problem.leg == "filter_grad":
        products = _cost.dot(problem, inner, count / calls, columns)
        kept = 2 * (calls - 1) * points * inner * columns  # partial sums, read and written
        total += _cost.moved(problem, kept)
    else:
        products = _cost.dot(problem, count / calls, inner, columns)
    total += _cost.fresh(4 * points * (inner * columns + count / calls * (inner + columns)))
    stages = 3 * points + math.prod(t.outputs for t in tiles)
    return total + calls * points * products + _cost.kernels(stages, calls)


def workspace(problem: Problem, platform: str) -> int:
    m = choose_outputs(problem)
    count, points = _extent(window_axes(problem), m)
    tiled = _chunk(problem, m) * count * (problem.c + problem.f)
    return _cost.widened(problem) + 4 * points * (tiled + problem.c * problem.f)


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    m = choose_outputs(problem)
    return (_filter_grad if problem.leg == "filter_grad" else _windows)(problem, a, b, m)


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_on_cpu(problem, platform):
        return reason
    if not may_transform(problem):
        return "would lose accuracy at these dtypes"
    if problem.groups > 1:
        return "is for one group"
    axes = window_axes(problem)
    if any(axis.d > 1 for axis in axes):
        return "is not for filter dilation"
    if any(min(axis.s, axis.b) > 1 or axis.s * axis.b > 2 for axis in axes):
        return "is for a stride or an input dilation of at most 2"
    if any(axis.k < axis.b for axis in axes):
        return "leaves outputs that no tap reaches"
    if problem.leg == "filter_grad" and any(axis.b > 1 for axis in axes):
        return "its filter backprop is not for input dilation"
    if all(axis.k <= max(axis.s, axis.b) for axis in axes):
        return "saves no products here"
    if not tile_sizes(problem):
        return f"takes over {MOST_PRODUCTS} products to a tile here, which compile slowly"
    return None


WINOGRAD = Algorithm(
    name="winograd",
    exact=False,
    error=8.0,
    supports=supports,
    cost=lambda problem, planner: best(problem)[0],
    workspace=workspace,
    run=run,
)
