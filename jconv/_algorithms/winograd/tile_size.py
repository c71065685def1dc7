"""How many outputs a tile has, and what each size takes in time and memory.

A point is one product of a tile on all axes. A line is what the points of all axes but the last
leave: an array whose last axis has yet to be transformed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

from jconv._algorithms import cost
from jconv._algorithms.batches import chunk, unjoined_bytes
from jconv._algorithms.legs import channels
from jconv._algorithms.winograd.tiles import Tile, count_products, tile
from jconv._core.geometry import Axis
from jconv._core.problem import Problem

MIN_FILTER_BYTES_TO_JOIN = 1 << 19  # bytes of a filter's matrix that do not stay in cache
MIN_POINTS_BYTES_TO_JOIN = 3 << 23  # bytes of a batch's points that do not stay in cache
MAX_HELD_BYTES = cost.CONSTANTS.kept_bytes - (3 << 20)  # bytes whose pages are surely kept
MAX_PRODUCTS = 100  # matrix products of a tile; the sums of slices for each of them compile slowly
LARGER_TILE_MARGIN = 1.15  # factor; tiles of 4 outputs take twice as long to compile as tiles of 2


def tiles_of(axes: Sequence[Axis], m: int) -> list[Tile]:
    """The tile of each axis, of m outputs for each residue."""
    return [tile(axis.k, m, axis.s, axis.b, -axis.p0 % axis.b) for axis in axes]


def geometry(axes: Sequence[Axis], tiles: Sequence[Tile]) -> tuple[list[int], list[int], list[int]]:
    """For each axis: the number of tiles, the low padding of x, and the rows of the padded x."""
    counts = [-(-axis.o // t.outputs) for axis, t in zip(axes, tiles, strict=True)]
    # With input dilation b, tiles begin where b*i = o - p0 has a solution.
    lows = [-(-axis.p0 // axis.b) for axis in axes]
    rows = [(count - 1) * t.step + t.rows for count, t in zip(counts, tiles, strict=True)]
    return counts, lows, rows


def joined(problem: Problem, m: int) -> bool:
    """Whether a line's products are computed together with its transforms.

    Apart, the products of several lines can run side by side. Large operands are better used
    while they are in cache.
    """
    if problem.rank == 1 or 4 * problem.c * problem.f >= MIN_FILTER_BYTES_TO_JOIN:
        return problem.rank > 1
    if problem.leg == "filter_grad" or any(axis.s > 1 for axis in problem.window_axes):
        return False  # no gain was measured there
    return problem.n * _points_bytes(problem, m) > MIN_POINTS_BYTES_TO_JOIN


@dataclasses.dataclass(frozen=True)
class Extent:
    """The sizes of one image: tiles, lines and products of a tile, elements of all lines."""

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


def _held_bytes(problem: Problem, m: int, images: int, lines_of_points: int) -> int:
    """Bytes of temporaries: every line of the operands, and the points of some lines."""
    axes = problem.window_axes
    extent = _extent(axes, m)
    inner, columns = channels(problem)
    of_x, of_y = extent.lines_of_x * inner, extent.lines_of_y * columns
    points = lines_of_points * extent.products_of_line
    if problem.leg == "filter_grad":
        lines = of_x + of_y
        filters = points + extent.lines * axes[-1].k
    else:  # a line of the result takes the place of one of x, once it is finished
        lines = max(of_x, of_y) + of_y // extent.lines
        filters = points
    lines += points * extent.tiles * (inner + columns)
    return 4 * (images * lines + filters * inner * columns)


def _points_bytes(problem: Problem, m: int) -> int:
    """Bytes of all points of an image."""
    extent = _extent(problem.window_axes, m)
    return 4 * extent.tiles * extent.products * (problem.c + problem.f)


def images(problem: Problem, m: int) -> int:
    """Images to a chunk of the batch."""
    points = _points_bytes(problem, m)
    if joined(problem, m):
        points //= _extent(problem.window_axes, m).lines
    if problem.leg == "filter_grad":  # its product reads both operands once more
        return chunk(problem.n, points)
    lines = _held_bytes(problem, m, 1, 1) - _held_bytes(problem, m, 0, 1)
    return chunk(problem.n, max(lines, points), MAX_HELD_BYTES)


def tile_sizes(problem: Problem) -> list[int]:
    """Outputs that a tile may have on each axis."""
    axes = problem.window_axes
    strided = any(axis.s * axis.b > 1 for axis in axes)  # tiles of four are slower there
    return [m for m in (2, 4)[: 2 - strided] if _count_products(axes, m) <= MAX_PRODUCTS]


def _count_products(axes: Sequence[Axis], m: int) -> int:
    """Products of a tile on all axes, counted without making the tile."""
    return math.prod(count_products(axis.k, m, axis.s, axis.b) for axis in axes)


@functools.lru_cache(maxsize=1024)
def best(problem: Problem) -> tuple[float, int]:
    """The predicted seconds of the best tile size, and that size."""
    costs = {m: seconds(problem, m) for m in tile_sizes(problem)}
    # Tiles of four outputs gain more than predicted in filter backprops, and need no margin there.
    margin = 1.0 if problem.leg == "filter_grad" else LARGER_TILE_MARGIN
    m = min(costs, key=lambda m: costs[m] * (margin if m > 2 else 1.0))
    return costs[m], m


def choose_outputs(problem: Problem) -> int:
    """The outputs of a tile on each axis."""
    return best(problem)[1]


def share_of_products(problem: Problem) -> float:
    """Products of a tile, as a share of those that its outputs have by definition."""
    axes, m = problem.window_axes, choose_outputs(problem)
    # A tile has m*b outputs an axis; each meets one in b of the taps, the others lie on zeros.
    return _count_products(axes, m) / math.prod(m * axis.k for axis in axes)


def seconds(problem: Problem, m: int) -> float:
    """Predicted seconds with tiles of m outputs."""
    axes = problem.window_axes
    tiles, extent = tiles_of(axes, m), _extent(axes, m)
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
    total += cost.fresh_pages(_held_bytes(problem, m, images(problem, m), 1))
    compiled = 1.5 * (lines + line)
    return total + calls * products + cost.kernels(compiled, calls * lines)


def _terms(tiles: Sequence[Tile], slot: str, sizes: Sequence[int]) -> int:
    """Terms of a tile's transform, one axis after another: each works on the points before it."""
    return sum(
        math.prod(t.products for t in tiles[:at]) * t.terms[slot] * math.prod(sizes[at + 1 :])
        for at, t in enumerate(tiles)
    )


def workspace(problem: Problem, platform: str) -> int:
    m = choose_outputs(problem)
    extent, size = _extent(problem.window_axes, m), images(problem, m)
    lines = 1 if joined(problem, m) else extent.lines
    if problem.leg == "filter_grad":
        lines = min(lines, 2)  # each is multiplied and brought back before the next but one
    held = _held_bytes(problem, m, size, lines)
    inner, columns = channels(problem)
    if problem.leg != "filter_grad" and columns == problem.rank == 1:
        # XLA makes a sum of a product by one column, and another copy of its operand.
        held += 4 * size * lines * extent.products_of_line * extent.tiles * inner
    if problem.leg != "filter_grad":
        held += unjoined_bytes(problem.n, size, 4 * math.prod(problem.out_shape))
    return cost.widened(problem) + held
