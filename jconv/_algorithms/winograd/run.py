"""The legs by tiles: operands transformed, multiplied at each point, and transformed back.

Every line goes through the same transforms along the last axis. These are computations of their
own, compiled once for all lines. Filters and products are transformed by matrix products instead.

The outputs of a tile are combinations of the same products, so the rounding of one depends on what
the others read, and a NaN in a tile reaches all of its outputs. With tiles of two outputs a window
of zeros still gives exactly zero, with tiles of four it does not.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms.batches import in_chunks
from jconv._algorithms.legs import channels, precision, widen
from jconv._algorithms.record import Planner
from jconv._algorithms.windows import resize
from jconv._algorithms.winograd import tile_size
from jconv._algorithms.winograd.points import Matrix
from jconv._algorithms.winograd.tile_size import geometry, images, joined, tiles_of
from jconv._algorithms.winograd.transforms import (
    multiply,
    of_all,
    transform_back,
    transform_lead,
    transform_line,
)
from jconv._core.problem import Problem
from jconv._core.xla_cpu import kept_apart


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    m = tile_size.choose_outputs(problem)
    return (_filter_grad if problem.leg == "filter_grad" else _windows)(problem, a, b, m)


def _windows(problem: Problem, x: jax.Array, w: jax.Array, m: int) -> jax.Array:
    axes = problem.window_axes
    tiles = tiles_of(axes, m)
    counts, lows, rows = geometry(axes, tiles)
    *lead, last = tiles
    rank, made = problem.rank, [t.outputs for t in tiles]
    columns = channels(problem)[1]
    flip = problem.leg == "input_grad"
    options = {"precision": precision(problem), "preferred_element_type": x.dtype}
    # The product reads the filter in the caller's order: a transposed copy would cost more.
    sides = (((2,), (2 if flip else 1,)), ((0,), (0,)))
    taps = w.reshape(-1, *w.shape[-2:])
    factors = [of_all([*([row] for row in each), last.w]) for each in product(*(t.w for t in lead))]
    factors = [jnp.asarray(factor[:, ::-1] if flip else factor) for factor in factors]

    of_x = _stage(last.x, last.step, counts[-1])

    def outputs(v: jax.Array, factor: jax.Array, taps: jax.Array) -> jax.Array:
        products = lax.dot_general(v, multiply(factor, taps), sides, **options)
        return multiply(of_all([last.y]).T, products)

    line = _line(problem, m, outputs, of_x)

    def one(x: jax.Array) -> jax.Array:
        n = x.shape[0]
        lines = transform_lead(_padded(x, lows, rows), tiles, counts, "x")
        lines = [line(flat(v), factor, taps) for v, factor in zip(lines, factors, strict=True)]
        y = transform_back(
            [_outputs_last(line.reshape(last.outputs, n, *counts, -1)) for line in lines],
            [t.y for t in lead],
            [n, *(size for pair in zip(counts, made, strict=True) for size in pair), columns],
            [0, *range(1, 2 * rank, 2), 2 * rank, 2 * rank + 1],
        )
        y = lax.reshape(y, (n, *(c * m for c, m in zip(counts, made, strict=True)), columns))
        return lax.slice(y, [0] * y.ndim, [n, *(axis.o for axis in axes), columns])

    return in_chunks(one, (x,), images(problem, m))


def _filter_grad(problem: Problem, x: jax.Array, g: jax.Array, m: int) -> jax.Array:
    axes = problem.axes
    tiles = tiles_of(axes, m)
    counts, lows, rows = geometry(axes, tiles)
    *lead, last = tiles
    options = {"precision": precision(problem), "preferred_element_type": x.dtype}

    of_x = _stage(last.x, last.step, counts[-1])
    of_g = _stage(last.y, last.outputs, counts[-1])

    def taps(v: jax.Array, h: jax.Array) -> jax.Array:
        products = lax.dot_general(v, h, (((1,), (1,)), ((0,), (0,))), **options)
        return multiply(of_all([last.w]).T, products)

    line = _line(problem, m, taps, of_x, of_g)

    def one(x: jax.Array, g: jax.Array) -> jax.Array:
        made = [count * t.outputs for count, t in zip(counts, tiles, strict=True)]
        xs = transform_lead(_padded(x, lows, rows), tiles, counts, "x")
        gs = transform_lead(_padded(g, [0] * len(made), made), tiles, counts, "y")
        lines = [line(flat(x), flat(g)) for x, g in zip(xs, gs, strict=True)]
        # (k..., c, f), of which each line has its last axis of taps already
        return transform_back(
            lines, [t.w for t in lead], problem.out_shape, range(len(lead), problem.rank + 2)
        )

    return in_chunks(one, (x, g), images(problem, m), total=True)


def _padded(x: jax.Array, lows: Sequence[int], rows: Sequence[int]) -> jax.Array:
    for dim, (low, size) in enumerate(zip(lows, rows, strict=True), start=1):
        x = resize(x, dim, low, size)
    return lax.optimization_barrier(x)


def _outputs_last(line: jax.Array) -> jax.Array:
    """(outputs of a tile, N, tiles..., F) as (N, tiles..., outputs, F)."""
    return lax.transpose(line, [*range(1, line.ndim - 1), 0, line.ndim - 1])


def flat(line: jax.Array) -> jax.Array:
    """Batch and tiles of the other axes as one dimension."""
    return lax.reshape(line, (math.prod(line.shape[:-2]), *line.shape[-2:]))


def _line(
    problem: Problem,
    m: int,
    multiplied: Callable[..., jax.Array],
    *stages: Callable[[jax.Array], jax.Array],
) -> Callable[..., jax.Array]:
    """The function of one line: its operands transformed, each by its stage, and multiplied.

    XLA compiles the stages once for all lines; the products too where they are `joined` to them.
    """

    def line(*operands: jax.Array) -> jax.Array:
        made = [stage(a) for stage, a in zip(stages, operands, strict=False)]
        return multiplied(*made, *operands[len(stages) :])

    if problem.rank == 1:
        return line
    if joined(problem, m):
        return kept_apart(jax.jit(line))
    stages = tuple(map(_apart, stages))
    return line


@functools.lru_cache(maxsize=512)
def _stage(matrix: Matrix, step: int, count: int) -> Callable[[jax.Array], jax.Array]:
    return functools.partial(transform_line, matrix=matrix, step=step, count=count)


@functools.lru_cache(maxsize=512)
def _apart(stage: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """One function for each stage: JAX traces it once for all legs that have it in common."""
    return kept_apart(jax.jit(stage))
