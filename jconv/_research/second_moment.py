"""The second moment of a convolution's windows: the sum over places of window window^T.

`patches` lays windows out as rows, a block at a time, and multiplies. `autocorrelation` is for
stride 1: tap k of window o is pixel q = o + d*k, so an entry of the sum depends on the two taps by
their distance alone, but for the places near a border::

    sum over o of x[o + d*k] x[o + d*k']^T
        = sum over all q in the core of x[q + d*(k - k')] x[q]^T          one filter backprop
        + the places o whose q = o + d*k' is not in the core              few windows, laid out

The core is the rows that every tap reads in some window: from D = d*(K - 1) up to o.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jconv._algorithms.legs import precision
from jconv._algorithms.windows import resize
from jconv._core.geometry import Axis, product
from jconv._core.problem import Problem, itemsize
from jconv._ops.primitives import run_leg

Box = tuple[tuple[int, int], ...]  # on each axis the first place and how many


def reach(axis: Axis) -> int:
    """Rows from a window's first tap to its last."""
    return axis.d * (axis.k - 1)


def padded(problem: Problem, x: jax.Array) -> jax.Array:
    """x (N, q..., G*C): on each axis the rows that windows read, dilated and padded."""
    for dim, axis in enumerate(problem.axes, start=1):
        rows = axis.s * (axis.o - 1) + reach(axis) + 1
        x = resize(x, dim, axis.p0, rows, interior=axis.b - 1)
    return x


def by_patches(problem: Problem, x: jax.Array, limit: int) -> jax.Array:
    """(G, taps*C, taps*C) from the padded x, with about `limit` bytes of windows at a time."""
    everywhere = tuple((0, axis.o) for axis in problem.axes)
    return _laid_out(problem, x, everywhere, limit)


def by_autocorrelation(problem: Problem, x: jax.Array, limit: int) -> jax.Array:
    """What `by_patches` returns, for stride 1 and more than 2 * D places on each axis."""
    rank, groups, c = problem.rank, problem.groups, problem.c
    core = x
    for dim, axis in enumerate(problem.axes, start=1):
        core = lax.slice_in_dim(core, reach(axis), axis.o, axis=dim)
    moments = run_leg(core_problem(problem), x, core).reshape(-1, c, groups, c)
    moments = jnp.transpose(moments, (2, 0, 1, 3))
    places = _distances(problem.axes)
    moments = moments[:, places.reshape(-1)]
    taps = product([axis.k for axis in problem.axes])
    moments = moments.reshape(groups, taps, taps, c, c)
    moments = jnp.transpose(moments, (0, 1, 3, 2, 4)).reshape(groups, taps * c, taps * c)
    for at in range(rank):
        for box in strips(problem.axes, at):
            moments = moments + _laid_out(problem, x, box, limit, outside=True)
    return (moments + jnp.swapaxes(moments, 1, 2)) / 2


def core_problem(problem: Problem) -> Problem:
    """The filter backprop of the padded x and its core: 2k - 1 distances on each axis."""
    axes = tuple(
        Axis(i=a.o + reach(a), k=2 * a.k - 1, o=a.o - reach(a), d=a.d) for a in problem.axes
    )
    return problem.replace(axes=axes, f=problem.c, y_dtype=problem.x_dtype)


def strips(axes: Sequence[Axis], at: int) -> list[Box]:
    """Boxes of places near the two borders of axis `at` and near no border of earlier axes."""
    edge, size = reach(axes[at]), axes[at].o
    if not edge:
        return []
    before = tuple((reach(axis), axis.o - 2 * reach(axis)) for axis in axes[:at])
    behind = tuple((0, axis.o) for axis in axes[at + 1 :])
    return [(*before, (first, edge), *behind) for first in (0, size - edge)]


def _distances(axes: Sequence[Axis]) -> np.ndarray:
    """For each pair of taps (k, k') the number of its distance, (taps, taps)."""
    taps = np.array(list(itertools.product(*(range(axis.k) for axis in axes))))
    apart = taps[:, None] - taps[None] + np.array([axis.k - 1 for axis in axes])
    sizes = tuple(2 * axis.k - 1 for axis in axes)
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(apart, -1, 0)), sizes))


def blocks(problem: Problem, box: Box, limit: int) -> tuple[int, int, int]:
    """(images, axis, places of it) of which the windows take about `limit` bytes."""
    sizes = [size for _, size in box]
    axis = int(np.argmax(sizes))
    window = product([a.k for a in problem.axes]) * problem.groups * problem.c
    row = window * (product(sizes) // max(sizes[axis], 1)) * itemsize(problem.wide_dtype)
    places = _divisor(sizes[axis], limit // row)
    images = _divisor(problem.n, limit // (row * places)) if places == sizes[axis] else 1
    return images, axis, places


def _divisor(number: int, most: int) -> int:
    """The largest divisor up to `most`; 1 if there is none."""
    return max((n for n in range(1, number + 1) if number % n == 0 and n <= most), default=1)


def _laid_out(
    problem: Problem, x: jax.Array, box: Box, limit: int, *, outside: bool = False
) -> jax.Array:
    """The sum over the places of a box; `outside`: only where the second tap is not in the core."""
    images, split, places = blocks(problem, box, limit)
    across = box[split][1] // places
    axes = problem.axes
    sizes = [places if at == split else size for at, (_, size) in enumerate(box)]
    rows = [a.s * (size - 1) + reach(a) + 1 for a, size in zip(axes, sizes, strict=True)]

    def block(number: Any) -> jax.Array:
        image, part = number // across * images, number % across * places
        starts = [first + part * (at == split) for at, (first, _) in enumerate(box)]
        corner = (image, *(a.s * start for a, start in zip(axes, starts, strict=True)), 0)
        piece = lax.dynamic_slice(x, corner, (images, *rows, x.shape[-1]))
        windows = _windows(problem, piece, sizes)
        second = windows
        if outside:
            inside = jnp.ones((1,) * (2 * len(axes)), bool)
            for at, (axis, size) in enumerate(zip(axes, sizes, strict=True)):
                row = starts[at] + jnp.arange(size)[:, None] + axis.d * jnp.arange(axis.k)
                within = (row >= reach(axis)) & (row < axis.o)
                shape = [1] * (2 * len(axes))
                shape[at], shape[len(axes) + at] = within.shape
                inside = inside & within.reshape(shape)
            inside = inside.reshape(1, product(sizes), -1, 1, 1)
            places_taps = windows.reshape(images, product(sizes), -1, *_last(problem))
            second = jnp.where(inside, 0, places_taps)
        return _moment(problem, windows, second)

    total = problem.n // images * across
    if total == 1:
        return block(0)
    first = jnp.zeros_like(block(0)) if total else 0
    return lax.fori_loop(0, total, lambda n, found: found + block(n), first)


def _last(problem: Problem) -> tuple[int, int]:
    return problem.groups, problem.c


def _windows(problem: Problem, x: jax.Array, sizes: Sequence[int]) -> jax.Array:
    """(N, o..., k..., G, C): the first `sizes` windows of each axis, from the first row of x on."""
    rank = problem.rank
    for dim in range(rank, 0, -1):
        axis, size = problem.axes[dim - 1], sizes[dim - 1]
        taps = [
            lax.slice_in_dim(x, axis.d * k, axis.d * k + axis.s * (size - 1) + 1, axis.s, axis=dim)
            for k in range(axis.k)
        ]
        x = jnp.stack(taps, axis=rank + 1)
    return x.reshape(*x.shape[:-1], *_last(problem))


def _moment(problem: Problem, first: jax.Array, second: jax.Array) -> jax.Array:
    """(G, taps*C, taps*C): the product of two lots of windows, summed over all places."""
    taps = product([axis.k for axis in problem.axes])
    groups, c = _last(problem)
    rows = [v.reshape(-1, taps, groups, c) for v in (first, second)]
    if groups == 1:
        a, b = (v.reshape(-1, taps * c) for v in rows)
        numbers = (((0,), (0,)), ((), ()))
        return lax.dot_general(a, b, numbers, precision=precision(problem))[None]
    a, b = (jnp.transpose(v, (2, 0, 1, 3)).reshape(groups, -1, taps * c) for v in rows)
    numbers = (((1,), (1,)), ((0,), (0,)))
    return lax.dot_general(a, b, numbers, precision=precision(problem))
