"""wide: images side by side in one wide image, so that XLA's convolution can use all threads.

Up to jaxlib 0.10 XLA divides a convolution by the channels made and along the last axis only, so
that images of few channels run on one thread, however large the batch. Windows that reach from one
image into the next are computed and dropped. Later releases of jaxlib do not need it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import cost
from jconv._algorithms.batches import chunk, in_chunks
from jconv._algorithms.legs import channels, part_of, rows_read, widen
from jconv._algorithms.record import Algorithm, Planner, static_on_cpu
from jconv._algorithms.windows import resize
from jconv._core.geometry import Axis
from jconv._core.problem import Problem, itemsize
from jconv._core.xla_cpu import kept_apart


def _side_by_side(axes: tuple[Axis, ...], count: int) -> tuple[Axis, ...]:
    """The axes of `count` images side by side, each padded to the rows that its windows read."""
    *outer, last = (dataclasses.replace(axis, i=rows_read(axis), p0=0) for axis in axes)
    each = _each(last)
    wide = dataclasses.replace(last, i=count * each * last.s, o=count * each)
    return (*outer, wide)


def _each(axis: Axis) -> int:
    """Windows along an image: those that are kept, and those that reach into the next image."""
    return -(-rows_read(axis) // axis.s)


MAX_IMAGES_PER_ROW = 64  # images; far fewer already make a task for every thread


@functools.lru_cache(maxsize=1024)
def images_per_row(problem: Problem) -> int:
    """How many images lie side by side: the fewest that take at most 1.1 of the least time."""
    axes = problem.window_axes

    def seconds(count: int) -> float:
        wide = _side_by_side(axes, count)
        return cost.conv_idle_factor(wide, *channels(problem)) * wide[-1].o / count

    most = min(problem.n, MAX_IMAGES_PER_ROW)
    counts = [n for n in range(2, most + 1) if problem.n % n == 0] or [problem.n]
    times = {n: seconds(n) for n in counts}
    return next(n for n, time in times.items() if time <= 1.1 * min(times.values()))


def _wide(problem: Problem, count: int, rows: int) -> Problem:
    """The convolution that makes `rows` rows of outputs of `count` images side by side."""
    first, last = problem.window_axes
    axes = _side_by_side((dataclasses.replace(first, o=rows), last), count)
    if problem.leg == "input_grad":
        axes = tuple(axis.input_grad() for axis in axes)
    return dataclasses.replace(part_of(problem, axes=axes, n=problem.n // count), policy="direct")


def whole(problem: Problem) -> Problem:
    """The convolution of wide images, all rows at once."""
    return _wide(problem, images_per_row(problem), problem.window_axes[0].o)


def images(problem: Problem) -> int:
    """Images to a chunk of the batch: a multiple of the images side by side."""
    count = images_per_row(problem)
    row = _elements(problem) * count // problem.n * itemsize(problem.wide_dtype)
    return chunk(problem.n // count, row) * count


def _elements(problem: Problem) -> int:
    part = whole(problem)
    return math.prod(part.shape("x")) + math.prod(part.shape("y"))


def run(problem: Problem, planner: Planner, x: jax.Array, w: jax.Array) -> jax.Array:
    x, w = widen(problem, x, w)
    count = images_per_row(problem)

    def one(x: jax.Array) -> jax.Array:
        return _run_side_by_side(problem.replace(n=x.shape[0]), count, planner, x, w)

    return in_chunks(one, (x,), images(problem))


STRIP_BYTES = 1 << 23  # bytes of rows made at a time, still in cache when they are moved


def _run_side_by_side(
    problem: Problem, count: int, planner: Planner, x: jax.Array, w: jax.Array
) -> jax.Array:
    first, last = problem.window_axes
    x = resize(x, 1, first.p0, rows_read(first))
    x = resize(x, 2, last.p0, _each(last) * last.s)
    x = jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, 2)
    x = lax.optimization_barrier(x.reshape(*x.shape[:2], -1, x.shape[-1]))

    def strip(at: Any, rows: int, x: jax.Array, w: jax.Array) -> jax.Array:
        read = rows_read(dataclasses.replace(first, o=rows))
        seen = lax.dynamic_slice_in_dim(x, at * first.s, read, axis=1)
        y = planner.run(_wide(problem, count, rows), seen, w)
        y = y.reshape(*y.shape[:2], count, -1, y.shape[-1])[..., : last.o, :]
        return jnp.moveaxis(y, 2, 1).reshape(problem.n, rows, last.o, -1)

    def put(at: Any, rows: int, y: jax.Array, x: jax.Array, w: jax.Array) -> jax.Array:
        return lax.dynamic_update_slice_in_dim(y, strip(at, rows, x, w), at, 1)

    size = chunk(first.o, math.prod(problem.out_shape) // first.o * 4, STRIP_BYTES)
    if size == first.o:
        return strip(0, first.o, x, w)
    call = kept_apart(jax.jit(put, static_argnums=1))
    y = jnp.zeros(problem.out_shape, x.dtype)
    for at in range(0, first.o, size):
        y = call(at, min(size, first.o - at), y, x, w)
    return y


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_on_cpu(problem, platform):
        return reason
    if problem.leg == "filter_grad":
        return "does not support filter backprops"
    axes = problem.window_axes
    if len(axes) != 2 or any(axis.b > 1 for axis in axes) or problem.groups > 1:
        return "only supports two spatial axes, one group and no input dilation"
    if problem.wide_dtype != "float32":
        return "only supports arithmetic in float32"
    return "only supports batches of more than one image" if problem.n == 1 else None


def seconds(problem: Problem, planner: Planner) -> float:
    calls = -(-problem.n // images(problem))
    moved = cost.moved(problem, 2 * _elements(problem))
    return planner.cost(whole(problem)) + moved + cost.kernels(3, calls)


def workspace(problem: Problem, platform: str) -> int:
    held = _elements(problem) * images(problem) // problem.n * itemsize(problem.wide_dtype)
    return cost.widened(problem) + held


WIDE = Algorithm(
    name="wide",
    supports=supports,
    cost=seconds,
    margin=lambda problem: 1.15,  # factor; it is one convolution, as direct is
    workspace=workspace,
    parts=lambda problem: [whole(problem)],
    run=run,
)
