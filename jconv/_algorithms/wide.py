"""wide: pictures side by side in one wide picture, so that XLA's convolution can use all threads.

Up to jaxlib 0.10 it divides its work by channels made and along the last axis only, and one
picture of few channels is a single task, of however large a batch. Windows that would reach
from one picture into the next are computed and dropped. Later jaxlibs do not need it.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import _cost
from jconv._algorithms._arrange import (
    channels,
    chunk,
    in_chunks,
    part_of,
    widen,
    window_axes,
)
from jconv._algorithms._record import Algorithm, Planner, static_on_cpu
from jconv._algorithms._window import resize
from jconv._geometry import Axis
from jconv._problem import Problem, itemsize


def _side_by_side(axes: tuple[Axis, ...], count: int) -> tuple[Axis, ...]:
    """The axes of so many pictures in a row, padded to the rows that their windows read."""
    *outer, last = (dataclasses.replace(axis, i=_rows(axis), p0=0) for axis in axes)
    each = _each(last)
    wide = dataclasses.replace(last, i=count * each * last.s, o=count * each)
    return (*outer, wide)


def _rows(axis: Axis) -> int:
    return axis.s * (axis.o - 1) + axis.d * (axis.k - 1) + 1


def _each(axis: Axis) -> int:
    """Windows to a picture: those that are wanted, and those that reach into the next one."""
    return -(-_rows(axis) // axis.s)


@functools.lru_cache(maxsize=1024)
def pictures(problem: Problem) -> int:
    """How many to a row: the fewest that take about the least time."""
    axes = window_axes(problem)

    def seconds(count: int) -> float:
        wide = _side_by_side(axes, count)
        return _cost.idle(wide, *channels(problem)) * wide[-1].o / count

    times = {n: seconds(n) for n in range(2, problem.n + 1) if problem.n % n == 0}
    return next(n for n, time in times.items() if time <= 1.1 * min(times.values()))


def wide_problem(problem: Problem, count: int = 0) -> Problem:
    count = count or pictures(problem)
    axes = _side_by_side(window_axes(problem), count)
    if problem.leg == "input_grad":
        axes = tuple(axis.input_grad() for axis in axes)
    return dataclasses.replace(part_of(problem, axes=axes, n=problem.n // count), policy="direct")


def images(problem: Problem) -> int:
    """Images to a chunk of the batch: whole rows of pictures."""
    count = pictures(problem)
    row = _elements(problem) * count // problem.n * itemsize(problem.wide_dtype)
    return chunk(problem.n // count, row) * count


def _elements(problem: Problem) -> int:
    part = wide_problem(problem)
    return math.prod(part.shape("x")) + math.prod(part.shape("y"))


def run(problem: Problem, planner: Planner, x: jax.Array, w: jax.Array) -> jax.Array:
    x, w = widen(problem, x, w)
    one = lambda x: _run(problem.replace(n=x.shape[0]), pictures(problem), planner, x, w)  # noqa: E731
    return in_chunks(one, (x,), images(problem))


def _run(problem: Problem, count: int, planner: Planner, x: jax.Array, w: jax.Array) -> jax.Array:
    axes = window_axes(problem)
    for dim, axis in enumerate(axes, start=1):
        rows = _each(axis) * axis.s if dim == len(axes) else _rows(axis)
        x = resize(x, dim, axis.p0, rows)
    x = x.reshape(-1, count, *x.shape[1:])
    x = jnp.moveaxis(x, 1, -3)
    x = lax.optimization_barrier(x.reshape(*x.shape[:-3], -1, x.shape[-1]))
    y = planner.run(wide_problem(problem, count), x, w)
    y = y.reshape(*y.shape[:-2], count, -1, y.shape[-1])
    y = lax.slice_in_dim(y, 0, axes[-1].o, axis=-2)
    return jnp.moveaxis(y, -3, 1).reshape(problem.out_shape)


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_on_cpu(problem, platform):
        return reason
    if problem.leg == "filter_grad":
        return "has no filter backprop"
    axes = window_axes(problem)
    if len(axes) != 2 or any(axis.b > 1 for axis in axes) or problem.groups > 1:
        return "is for two axes and one group, without input dilation"
    if problem.wide_dtype != "float32":
        return "is for what XLA has a fast convolution for"
    return "is for several pictures" if problem.n == 1 else None


def cost(problem: Problem, planner: Planner) -> float:
    calls = -(-problem.n // images(problem))
    moved = _cost.moved(problem, 2 * _elements(problem))
    return planner.cost(wide_problem(problem)) + moved + _cost.kernels(3, calls)


def workspace(problem: Problem, platform: str) -> int:
    held = _elements(problem) * images(problem) // problem.n * itemsize(problem.wide_dtype)
    return _cost.widened(problem) + held


WIDE = Algorithm(
    name="wide",
    exact=True,
    error=2.0,
    supports=supports,
    cost=cost,
    workspace=workspace,
    run=run,
)
