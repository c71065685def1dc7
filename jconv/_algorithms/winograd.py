"""winograd: stride-1 and strided convolutions by tiles, with fewer products than the definition.

Both operands of a tile are transformed, one product over the channels is made at each point, and
the results are transformed back (`_tiles` derives the transforms, `_transforms` makes them).

The outputs of a tile are combinations of the same products, so the rounding of one depends on what
the others read, and a NaN in a tile reaches all of its outputs. With tiles of two outputs a window
of zeros still gives exactly zero, with those of four it does not.

The points of all axes but the last are lines, and every line goes through the same transforms
along that one: these are kept apart as computations of their own, compiled once for all lines.
Filters, and what becomes of a line, are transformed by products of matrices instead.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import _cost
from jconv._algorithms._arrange import (
    TEMPORARIES,
    channels,
    chunk,
    in_chunks,
    may_transform,
    precision,
    waiting_chunks,
    widen,
    window_axes,
)
from jconv._algorithms._record import MARGIN, Algorithm, Planner, static_on_cpu
from jconv._algorithms._tiles import Tile, count_products, tile
from jconv._algorithms._transforms import (
    multiply,
    of_all,
    transform_back,
    transform_lead,
    transform_line,
)
from jconv._algorithms._window import resize
from jconv._core.geometry import Axis
from jconv._core.problem import Problem
from jconv._core.xla_cpu import kept_apart


def tiles_of(axes: Sequence[Axis], m: int) -> list[Tile]:
    return [tile(axis.k, m, axis.s, axis.b, -axis.p0 % axis.b) for axis in axes]


def _geometry(axes: Sequence[Axis], tiles: Sequence[Tile]):
    """For each axis: tiles, low padding of x and its rows."""
    counts = [-(-axis.o // t.outputs) for axis, t in zip(axes, tiles, strict=True)]
    # With input dilation b tiles are laid from where b*i = o - p0 has a solution.
    lows = [-(-axis.p0 // axis.b) for axis in axes]
    rows = [(count - 1) * t.step + t.rows for count, t in zip(counts, tiles, strict=True)]
    return counts, lows, rows


def _windows(problem: Problem, x: jax.Array, w: jax.Array, m: int) -> jax.Array:
    axes = window_axes(problem)
    tiles = tiles_of(axes, m)
    counts, lows, rows = _geometry(axes, tiles)
    *lead, last = tiles
    rank, made = problem.rank, [t.outputs for t in tiles]
    columns = channels(problem)[1]
    flip = problem.leg == "input_grad"
    options = {"precision": precision(problem), "preferred_element_type": x.dtype}
    # The filter stays as it lies: a transposed copy would cost more.
    sides = (((2,), (2 if flip else 1,)), ((0,), (0,)))
    taps = w.reshape(-1, *w.shape[-2:])
    factors = [of_all([*([row] for row in each), last.w]) for each in product(*(t.w for t in lead))]
    factors = [jnp.asarray(factor[:, ::-1] if flip else factor) for factor in factors]

    def of_x(x: jax.Array) -> jax.Array:
        return transform_line(x, last.x, last.step, counts[-1])

    def outputs(v: jax.Array, factor: jax.Array, taps: jax.Array) -> jax.Array:
        products = lax.dot_general(v, multiply(factor, taps), sides, **options)
        return multiply(of_all([last.y]).T, products)

    line = _line(problem, m, outputs, of_x)

    def run(x: jax.Array) -> jax.Array:
        n = x.shape[0]
        lines = transform_lead(_padded(x, lows, rows), tiles, counts, "x")
        lines = [line(flat(v), factor, taps) for v, factor in zip(lines, factors, strict=True)]
        y = transform_back(
            [_outputs_last(line.reshape(last.outputs, n, *counts, -1)) for line in lines],
            [t.y for t in lead],
            [n, *(size for pair in zip(counts, made, strict=True) for size in pair), columns],
            [0, *range(1, 2 * rank, 2), 2 * rank, 2 * rank + 1],
        )
        y = y.reshape(n, *(c * m for c, m in zip(counts, made, strict=True)), columns)
        return lax.slice(y, [0] * y.ndim, [n, *(axis.o for axis in axes), columns])

    return in_chunks(run, (x,), _chunk(problem, m))


def _filter_grad(problem: Problem, x: jax.Array, g: jax.Array, m: int) -> jax.Array:
    axes = problem.axes
    tiles = tiles_of(axes, m)
    counts, lows, rows = _geometry(axes, tiles)
    *lead, last = tiles
    options = {"precision": precision(problem), "preferred_element_type": x.dtype}

    def of_x(x: jax.Array) -> jax.Array:
        return transform_line(x, last.x, last.step, counts[-1])

    def of_g(g: jax.Array) -> jax.Array:
        return transform_line(g, last.y, last.outputs, counts[-1])

    def taps(v: jax.Array, h: jax.Array) -> jax.Array:
        products = lax.dot_general(v, h, (((1,), (1,)), ((0,), (0,))), **options)
        return multiply(of_all([last.w]).T, products)

    line = _line(problem, m, taps, of_x, of_g)

    def run(x: jax.Array, g: jax.Array) -> jax.Array:
        made = [count * t.outputs for count, t in zip(counts, tiles, strict=True)]
        xs = transform_lead(_padded(x, lows, rows), tiles, counts, "x")
        gs = transform_lead(_padded(g, [0] * len(made), made), tiles, counts, "y")
        lines = [line(flat(x), flat(g)) for x, g in zip(xs, gs, strict=True)]
        # (k..., c, f), the last axis of each line there already
        return transform_back(
            lines, [t.w for t in lead], problem.out_shape, range(len(lead), problem.rank + 2)
        )

    return in_chunks(run, (x, g), _chunk(problem, m), total=True)


def _padded(x: jax.Array, lows: Sequence[int], rows: Sequence[int]) -> jax.Array:
    for dim, (low, size) in enumerate(zip(lows, rows, strict=True), start=1):
        x = resize(x, dim, low, size)
    return lax.optimization_barrier(x)


def _outputs_last(line: jax.Array) -> jax.Array:
    """(outputs of a tile, N, tiles..., F) as (N, tiles..., outputs, F)."""
    return lax.transpose(line, [*range(1, line.ndim - 1), 0, line.ndim - 1])


def flat(line: jax.Array) -> jax.Array:
    """Batch and tiles of the other axes as one dimension."""
    return line.reshape(-1, *line.shape[-2:])


def _line(
    problem: Problem,
    m: int,
    multiplied: Callable[..., jax.Array],
    *stages: Callable[[jax.Array], jax.Array],
) -> Callable[..., jax.Array]:
    """What becomes of a line: operands transformed by their stages, then multiplied.

    Products are left outside of the computations kept apart, where those of several lines can
    run side by side; unless their operands are large, which had better be used while in cache.
    """

    def line(*operands: jax.Array) -> jax.Array:
        made = [stage(a) for stage, a in zip(stages, operands, strict=False)]
        return multiplied(*made, *operands[len(stages) :])

    if problem.rank == 1:
        return line
    if together(problem, m):
        return _apart(line)
    stages = tuple(map(_apart, stages))
    return line


def _apart(stage: Callable[..., Any]) -> Callable[..., Any]:
    return kept_apart(jax.jit(stage))


LARGE = 1 << 19  # bytes of a filter's matrix that are not in cache for long
SPREAD = 3 << 23  # bytes of all points of a batch that are not either
MOST = _cost.KEPT - (3 << 20)  # bytes of temporaries that are surely not fresh on every call


def together(problem: Problem, m: int) -> bool:
    """Whether a line's products are made where its operands are."""
    if problem.rank == 1 or 4 * problem.c * problem.f >= LARGE:
        return problem.rank > 1
    if problem.leg == "filter_grad" or any(axis.s > 1 for axis in window_axes(problem)):
        return False  # no gain was seen there
    return problem.n * _points(problem, m) > SPREAD


@dataclasses.dataclass(frozen=True)
class Extent:
    """Of one image: its tiles, a tile's lines and products, and elements of all lines."""

    tiles: int
    lines: int
    products: int
    lines_of_x: int
    lines_of_y: int

    @property
    def products_of_line(self) -> int:
        return self.products // self.lines


@functools.lru_cache(maxsize=1024)
def _extent(axes: tuple[Axis, ...], m: int) -> Extent:
    tiles = tiles_of(axes, m)
    counts, _, rows = _geometry(axes, tiles)
    made = [count * t.outputs for count, t in zip(counts, tiles, strict=True)]
    lines = math.prod(t.products for t in tiles[:-1])
    return Extent(
        tiles=math.prod(counts),
        lines=lines,
        products=lines * tiles[-1].products,
        lines_of_x=lines * math.prod(counts[:-1]) * rows[-1],
        lines_of_y=lines * math.prod(counts[:-1]) * made[-1],
    )


def _held(problem: Problem, m: int, images: int, lines_of_points: int) -> int:
    """Bytes of temporaries: every line of the operands, and the points of some lines."""
    axes = window_axes(problem)
    extent = _extent(axes, m)
    inner, columns = channels(problem)
    of_x, of_y = extent.lines_of_x * inner, extent.lines_of_y * columns
    points = lines_of_points * extent.products_of_line
    if problem.leg == "filter_grad":
        lines = of_x + of_y
        filters = points + extent.lines * axes[-1].k
    else:  # lines of the result take the place of those of x, but for the one that is made
        lines = max(of_x, of_y) + of_y // extent.lines
        filters = points
    lines += points * extent.tiles * (inner + columns)
    return 4 * (images * lines + filters * inner * columns)


def _points(problem: Problem, m: int) -> int:
    """Bytes of all points of an image."""
    extent = _extent(window_axes(problem), m)
    return 4 * extent.tiles * extent.products * (problem.c + problem.f)


def _chunk(problem: Problem, m: int) -> int:
    points = _points(problem, m)
    if together(problem, m):
        points //= _extent(window_axes(problem), m).lines
    if problem.leg == "filter_grad":  # a sum of products needs their operands once more
        return chunk(problem.n, points, TEMPORARIES)
    lines = _held(problem, m, 1, 1) - _held(problem, m, 0, 1)
    return chunk(problem.n, max(lines, points), MOST)


MOST_PRODUCTS = 100  # matrix products of a tile: each takes its sums of slices to compile


def tile_sizes(problem: Problem) -> list[int]:
    """Outputs that a tile may have on each axis."""
    axes = window_axes(problem)
    strided = any(axis.s * axis.b > 1 for axis in axes)  # four take longer there than two
    return [m for m in (2, 4)[: 2 - strided] if _products(axes, m) <= MOST_PRODUCTS]


def _products(axes: Sequence[Axis], m: int) -> int:
    """Products of a tile on all axes, counted without making the tile."""
    return math.prod(count_products(axis.k, m, axis.s, axis.b) for axis in axes)


# Tiles of four outputs take twice as long to compile, so they should be ahead by more than what
# predictions are off by; in filter backprops they gain more than predicted.
LARGER = 1.15


@functools.lru_cache(maxsize=1024)
def best(problem: Problem) -> tuple[float, int]:
    """The predicted seconds of the best tile size, and that size."""
    costs = {m: seconds(problem, m) for m in tile_sizes(problem)}
    margin = 1.0 if problem.leg == "filter_grad" else LARGER
    m = min(costs, key=lambda m: costs[m] * (margin if m > 2 else 1.0))
    return costs[m], m


def choose_outputs(problem: Problem) -> int:
    return best(problem)[1]


def seconds(problem: Problem, m: int) -> float:
    axes = window_axes(problem)
    tiles, extent = tiles_of(axes, m), _extent(axes, m)
    inner, columns = channels(problem)
    count, points = extent.tiles * problem.n, extent.products
    calls = -(-problem.n // _chunk(problem, m))
    of_x = _terms(tiles, "x", [t.step for t in tiles])
    of_y = _terms(tiles, "y", [t.outputs for t in tiles])
    of_w = _terms(tiles, "w", [axis.k for axis in axes])
    terms = count * (inner * of_x + columns * of_y) + inner * columns * of_w
    total = _cost.transformed(problem, terms)
    total += _cost.moved(problem, 2 * points * (count * (inner + columns) + inner * columns))
    if problem.leg == "filter_grad":
        products = _cost.batch_turned(problem, points, inner, count / calls, columns)
        total += _cost.moved(problem, 2 * (calls - 1) * math.prod(problem.out_shape))
    else:
        products = _cost.batch(problem, points, count / calls, inner, columns)
    lines, line = extent.lines, extent.products_of_line
    total += _cost.fresh(_held(problem, m, _chunk(problem, m), 1))
    compiled = 1.5 * (lines + line)
    return total + calls * products + _cost.kernels(compiled, calls * lines)


def _terms(tiles: Sequence[Tile], slot: str, sizes: Sequence[int]) -> int:
    """Terms of a tile's transform, axis after axis: those after the first act on its points."""
    return sum(
        math.prod(t.products for t in tiles[:at]) * t.terms[slot] * math.prod(sizes[at + 1 :])
        for at, t in enumerate(tiles)
    )


def workspace(problem: Problem, platform: str) -> int:
    m = choose_outputs(problem)
    extent, size = _extent(window_axes(problem), m), _chunk(problem, m)
    lines = 1 if together(problem, m) else extent.lines
    if problem.leg == "filter_grad":
        lines = min(lines, 2)  # each is multiplied and brought back before the next but one
    held = _held(problem, m, size, lines)
    inner, columns = channels(problem)
    if problem.leg != "filter_grad" and columns == problem.rank == 1:
        # XLA makes a sum of a product by one column, and another copy of its operand.
        held += 4 * size * lines * extent.products_of_line * extent.tiles * inner
    if problem.leg != "filter_grad":
        held += waiting_chunks(problem.n, size, 4 * math.prod(problem.out_shape))
    return _cost.widened(problem) + held


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


FEW = 16  # channels up to which, as on lines, no gain was seen that was worth the risk


def margin(problem: Problem) -> float:
    return 1.5 if problem.rank == 1 or min(problem.c, problem.f) <= FEW else MARGIN


WINOGRAD = Algorithm(
    name="winograd",
    exact=False,
    error=8.0,
    supports=supports,
    cost=lambda problem, planner: best(problem)[0],
    workspace=workspace,
    run=run,
    margin=margin,
)
