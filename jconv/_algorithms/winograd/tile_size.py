"""How many outputs a tile has, and what it takes in time and memory."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

from jconv._algorithms import cost
from jconv._algorithms.batches import TEMPORARIES, chunk, waiting_chunks
from jconv._algorithms.legs import channels, window_axes
from jconv._algorithms.winograd.tiles import Tile, count_products, tile
from jconv._core.geometry import Axis
from jconv._core.problem import Problem


def tiles_of(axes: Sequence[Axis], m: int) -> list[Tile]:
    return [tile(axis.k, m, axis.s, axis.b, -axis.p0 % axis.b) for axis in axes]


def geometry(axes: Sequence[Axis], tiles: Sequence[Tile]):
    """For each axis: tiles, low padding of x and its rows."""
    counts = [-(-axis.o // t.outputs) for axis, t in zip(axes, tiles, strict=True)]
    # With input dilation b tiles are laid from where b*i = o - p0 has a solution.
    lows = [-(-axis.p0 // axis.b) for axis in axes]
    rows = [(count - 1) * t.step + t.rows for count, t in zip(counts, tiles, strict=True)]
    return counts, lows, rows


LARGE = 1 << 19  # bytes of a filter's matrix that are not in cache for long
SPREAD = 3 << 23  # bytes of all points of a batch that are not either
MOST = cost.CONSTANTS.kept_bytes - (
    3 << 20
)  # bytes of temporaries that are surely not fresh on every call


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
def extent_of(axes: tuple[Axis, ...], m: int) -> Extent:
    tiles = tiles_of(axes, m)
    counts, _, rows = geometry(axes, tiles)
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
    extent = extent_of(axes, m)
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
    extent = extent_of(window_axes(problem), m)
    return 4 * extent.tiles * extent.products * (problem.c + problem.f)


def images(problem: Problem, m: int) -> int:
    points = _points(problem, m)
    if together(problem, m):
        points //= extent_of(window_axes(problem), m).lines
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
    tiles, extent = tiles_of(axes, m), extent_of(axes, m)
    inner, columns = channels(problem)
    count, points = extent.tiles * problem.n, extent.products
    calls = -(-problem.n // images(problem, m))
    of_x = _terms(tiles, "x", [t.step for t in tiles])
    of_y = _terms(tiles, "y", [t.outputs for t in tiles])
    of_w = _terms(tiles, "w", [axis.k for axis in axes])
    terms = count * (inner * of_x + columns * of_y) + inner * columns * of_w
    total = cost.tile_transforms(problem, terms)
    total += cost.moved(problem, 2 * points * (count * (inner + columns) + inner * columns))
    if problem.leg == "filter_grad":
        products = cost.batch_transposed_dot(problem, points, inner, count / calls, columns)
        total += cost.moved(problem, 2 * (calls - 1) * math.prod(problem.out_shape))
    else:
        products = cost.batch_dot(problem, points, count / calls, inner, columns)
    lines, line = extent.lines, extent.products_of_line
    total += cost.fresh_pages(_held(problem, m, images(problem, m), 1))
    compiled = 1.5 * (lines + line)
    return total + calls * products + cost.kernels(compiled, calls * lines)


def _terms(tiles: Sequence[Tile], slot: str, sizes: Sequence[int]) -> int:
    """Terms of a tile's transform, axis after axis: those after the first act on its points."""
    return sum(
        math.prod(t.products for t in tiles[:at]) * t.terms[slot] * math.prod(sizes[at + 1 :])
        for at, t in enumerate(tiles)
    )


def workspace(problem: Problem, platform: str) -> int:
    m = choose_outputs(problem)
    lines = 1 if together(problem, m) else extent_of(window_axes(problem), m).lines
    size = images(problem, m)
    held = _held(problem, m, size, lines)
    if problem.leg != "filter_grad":
        held += waiting_chunks(problem.n, size, 4 * math.prod(problem.out_shape))
    return cost.widened(problem) + held
