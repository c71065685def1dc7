"""Depthwise filter."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms.batches import spans
from jconv._algorithms.taps.window_sums import repeat_channels, rows_of_outputs
from jconv._algorithms.windows import TERMS, around, lies_inside, only
from jconv._core.geometry import Axis
from jconv._core.problem import Problem, itemsize
from jconv._core.xla_cpu import kept_apart

MAX_IMAGES_PER_LOOP = 8  # large images that one loop of a filter backprop adds up
STORED = 1 << 24  # bytes of the images that one loop adds up, at most: they stay in cache
COPIES = 1 << 30  # bytes of x laid end to end, of which windows are cut, at most
PAIRS = 256  # pairs of channels (in, out) of a group, at most: one loop makes all products
VECTOR = 8  # channels that one vector instruction multiplies
MOST_BLOCKS = 64  # loops of a filter backprop: each is compiled
MOST_CALLS = 1024  # calls of the loops of a filter backprop, in all
Axes = tuple[Axis, ...]


def filter_grad(problem: Problem, x: jax.Array, g: jax.Array) -> jax.Array:
    """A few_terms images at a time, and rows of their outputs."""
    groups, c, f = problem.groups, problem.c, problem.f
    if as_groups(problem):
        x, groups, f = repeat_channels(x, f), groups * f, 1
    blocks = spans(problem.axes[0].o, rows_at_once(problem))
    calls = [
        kept_apart(
            jax.jit(
                functools.partial(grads_of_rows, groups, problem.axes, *block), static_argnums=0
            )
        )
        for block in blocks
    ]
    batches = spans(problem.n, images(problem))
    grads = [call(size, at, x, g) for call in calls for at, size in batches]
    w = functools.reduce(lax.add, grads).reshape(-1, groups, c, f)
    return jnp.swapaxes(w, 1, 2).reshape(problem.out_shape)


def as_groups(problem: Problem) -> bool:
    """Whether filters of one channel are groups of their own: they are too few_terms for a loop."""
    return problem.c == 1 and problem.f < VECTOR


def grads_of_rows(
    groups: int, axes: Axes, first: int, rows: int, size: int, at: Any, x: jax.Array, g: jax.Array
) -> jax.Array:
    """What `rows` rows of `size` images' outputs add to every tap: (k..., groups, c, f)."""
    sums = functools.partial(sums_of_windows, groups, axes, first, rows, size)
    sums = kept_apart(jax.jit(sums))(at, x, g)
    # A product with ones: a reduction over leading dimensions is not vectorised.
    total = lax.dot_general(
        jnp.ones((1, len(sums)), sums.dtype),
        sums.reshape(len(sums), -1),
        (((1,), (0,)), ((), ())),
        precision=lax.Precision.HIGHEST,
        preferred_element_type=sums.dtype,
    )
    # (k, o, k, o, k, ...): the outputs of all axes but the first are left.
    return total.reshape(sums.shape[1:]).sum(range(1, 2 * len(axes) - 1, 2))


def sums_of_windows(
    groups: int, axes: Axes, first: int, rows: int, size: int, at: Any, x: jax.Array, g: jax.Array
) -> jax.Array:
    """x*g for every tap, images and pieces of the last axis added up: (o, k, ..., groups, c, f).

    Each output is multiplied with its whole window, so that what one tap reads is in cache for
    the next. Windows are not copied for it, and what they find outside of x is not used.
    """
    counts = [rows, *(axis.o for axis in axes[1:])]
    pieces = _pieces(counts[-1], size)
    counts[-1] //= pieces
    pairs = [(at, at + 1) for at in range(0, 2 * len(axes), 2)]
    terms = []
    for image, piece in itertools.product(range(size), range(pieces)):
        begin = [first, *[0] * (len(axes) - 1)]
        begin[-1] += piece * counts[-1]
        parts = [
            rows_of_outputs(axis, at, o) for axis, at, o in zip(axes, begin, counts, strict=True)
        ]
        seen, met = [start for start, _ in parts], [axis for _, axis in parts]
        if not all(axis.i for axis in met):  # all of it lies outside of x
            continue
        window = _cut(x, at + image, seen, [axis.i for axis in met])
        for dim in reversed(range(len(axes))):
            window = around(window, dim, met[dim])
        row = lax.expand_dims(_cut(g, at + image, begin, counts), range(1, 2 * len(axes), 2))
        term = window.reshape(*window.shape[:-1], groups, -1, 1)
        term *= row.reshape(*row.shape[:-1], groups, 1, -1)
        terms.append(only([*map(lies_inside, met)], term, pairs))
    if terms:
        return sum(terms[1:], terms[0])
    sizes = [size for axis, o in zip(axes, counts, strict=True) for size in (o, axis.k)]
    return jnp.zeros((*sizes, groups, x.shape[-1] // groups, g.shape[-1] // groups), x.dtype)


def _cut(a: jax.Array, image: Any, begin: Sequence[int], sizes: Sequence[int]) -> jax.Array:
    """The rows of one image from `begin` on, `sizes` of them on each axis."""
    a = lax.squeeze(lax.dynamic_slice_in_dim(a, image, 1), [0])
    ends = [at + size for at, size in zip(begin, sizes, strict=True)]
    return lax.slice(a, [*begin, 0], [*ends, a.shape[-1]])


def rows_at_once(problem: Problem) -> int:
    """Rows of the first axis for one loop: what it stores stays in cache.

    And windows are read from few copies of x, which no loop would hold if one were to make them.
    """
    first = problem.axes[0]
    stored = stored_per_row(problem) * itemsize(problem.wide_dtype)
    copied = math.isqrt(COPIES * first.k // (stored * first.s))
    return max(1, min(STORED // stored, copied, first.o))


def images(problem: Problem) -> int:
    """Images that one loop adds up."""
    image = problem.f * math.prod(problem.shape("x")[1:]) + math.prod(problem.shape("y")[1:])
    small = TERMS * image * itemsize(problem.wide_dtype) <= STORED
    return min(problem.n, TERMS if small else MAX_IMAGES_PER_LOOP)


def stored_per_row(problem: Problem) -> int:
    """Elements that one loop stores for a row of the first axis."""
    outputs = [axis.o for axis in problem.axes]
    pieces = _pieces(outputs[-1], images(problem))
    return -(-math.prod(outputs[1:]) * math.prod(problem.out_shape) // pieces)


def _pieces(rows: int, size: int) -> int:
    """Pieces of the last axis that one loop adds up, together with `size` images."""
    return max(p for p in range(1, max(TERMS // size, 1) + 1) if rows % p == 0)
