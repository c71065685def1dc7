"""Filter backprops of groups of few channels: every output times its window, summed in one loop."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import cost
from jconv._algorithms.batches import spans
from jconv._algorithms.compiling import Work
from jconv._algorithms.taps.window_sums import read_by, repeat_channels
from jconv._algorithms.windows import (
    MAX_TERMS_PER_LOOP,
    lies_inside,
    mask_too_large,
    masked,
    multiply,
    windows_around,
)
from jconv._core.geometry import Axis
from jconv._core.problem import Problem, itemsize
from jconv._core.xla_cpu import kept_apart, traced_once

MAX_IMAGES_PER_LOOP = 8  # large images summed by one loop
MAX_STORED_BYTES = 1 << 24  # bytes of sums that one loop stores; more would leave the cache
MAX_REPEATED_BYTES = 1 << 30  # bytes of the copies of x, end to end, from which windows are read
MAX_PAIRS = 256  # pairs of channels (in, out) of a group; one loop makes the products of all
VECTOR = 8  # channels that one vector instruction multiplies
MAX_BLOCKS = 64  # blocks of rows, each with a loop that is compiled
MAX_CALLS = 1024  # calls of these loops

Axes = tuple[Axis, ...]


def supports(problem: Problem) -> str | None:
    if problem.c * problem.f > MAX_PAIRS:
        return f"only supports groups of up to {MAX_PAIRS} pairs of channels"
    if any(axis.b > 1 for axis in problem.axes):
        return "does not support filter backprops with input dilation"
    blocks = -(-problem.axes[0].o // rows_at_once(problem))
    if blocks > MAX_BLOCKS or blocks * -(-problem.n // images(problem)) > MAX_CALLS:
        return f"would take over {MAX_BLOCKS} loops or {MAX_CALLS} calls, which compile slowly"
    return mask_too_large(problem.axes)


def run(problem: Problem, x: jax.Array, g: jax.Array) -> jax.Array:
    """A few images at a time, and some rows of their outputs."""
    groups, c, f = problem.groups, problem.c, problem.f
    if _as_groups(problem):
        x, groups, f = repeat_channels(x, f), groups * f, 1
    calls = []
    for block in spans(problem.axes[0].o, rows_at_once(problem)):
        one = functools.partial(grads_of_rows, groups, problem.axes, *block)
        calls.append(kept_apart(jax.jit(one, static_argnums=0)))
    batches = spans(problem.n, images(problem))
    grads = [call(size, at, x, g) for call in calls for at, size in batches]
    w = functools.reduce(lax.add, grads).reshape(-1, groups, c, f)
    return jnp.swapaxes(w, 1, 2).reshape(problem.out_shape)


def seconds(problem: Problem) -> float:
    blocks = -(-problem.axes[0].o // rows_at_once(problem))
    calls = -(-problem.n // images(problem))
    stored = calls * problem.axes[0].o * _stored_per_row(problem)
    run = problem.c * problem.f * (problem.groups if _as_groups(problem) else 1)
    total = cost.sums_of_products(problem, problem.multiplications, run)
    total += cost.moved(problem, cost.operands(problem) + 2 * stored)
    return total + cost.kernels(4 * blocks, calls)


def compiling(problem: Problem) -> Work:
    blocks = -(-problem.axes[0].o // rows_at_once(problem))
    batches = -(-problem.n // images(problem))
    different = blocks * (2 if problem.n % batches else 1)  # sizes of batches differ by one
    terms = 2 * MAX_TERMS_PER_LOOP * problem.rank  # of x, and of its windows
    each = Work(kernels=6 * different, terms=different * terms)
    return each.again(batches - 1)


def workspace(problem: Problem) -> int:
    """Elements of x repeated for a multiplier, of what a loop stores, and of the parts' sums."""
    repeated = 0
    if _as_groups(problem) and problem.f > 1:
        repeated = problem.f * math.prod(problem.shape("x"))
    rows = rows_at_once(problem)
    parts = -(-problem.n // images(problem)) * -(-problem.axes[0].o // rows)
    stored = (rows + 1) * _stored_per_row(problem)  # and their sum
    return repeated + stored + parts * math.prod(problem.out_shape)


def _as_groups(problem: Problem) -> bool:
    """Whether each filter of one input channel becomes a group: alone they fill no vector."""
    return problem.c == 1 and problem.f < VECTOR


def grads_of_rows(
    groups: int, axes: Axes, first: int, rows: int, size: int, at: Any, x: jax.Array, g: jax.Array
) -> jax.Array:
    """What `rows` rows of the outputs of `size` images add to every tap: (k..., groups, c, f)."""
    sums = functools.partial(sums_of_windows, groups, axes, first, rows, size)
    sums = kept_apart(jax.jit(sums))(at, x, g)
    # As a product with ones, since XLA does not vectorise a reduction over leading dimensions.
    total = lax.dot_general(
        jnp.ones((1, len(sums)), sums.dtype),
        sums.reshape(len(sums), -1),
        (((1,), (0,)), ((), ())),
        precision=lax.Precision.HIGHEST,
        preferred_element_type=sums.dtype,
    )
    # (k, o, k, o, k, ...): the outputs of all axes but the first are still there.
    return total.reshape(sums.shape[1:]).sum(range(1, 2 * len(axes) - 1, 2))


def sums_of_windows(
    groups: int, axes: Axes, first: int, rows: int, size: int, at: Any, x: jax.Array, g: jax.Array
) -> jax.Array:
    """x*g for every tap, summed over images and pieces of the last axis.

    The result is (o, k, ..., groups, c, f). Each output is multiplied with its whole window, so
    that what one tap reads is in cache for the next. Windows are not copied for it, and products
    with what lies outside of x are dropped.
    """
    counts = [rows, *(axis.o for axis in axes[1:])]
    pieces = _pieces(counts[-1], size)
    counts[-1] //= pieces
    terms = []
    for piece in range(pieces):
        begin = [first, *[0] * (len(axes) - 1)]
        begin[-1] += piece * counts[-1]
        parts = [read_by(axis, at, o) for axis, at, o in zip(axes, begin, counts, strict=True)]
        if all(axis.i for _, axis in parts):  # else everything that is read lies outside of x
            of_image = functools.partial(products_of_image, groups, tuple(parts), tuple(begin))
            of_image = traced_once(jax.jit(of_image))
            terms += [of_image(lax.add(at, image), x, g) for image in range(size)]
    if terms:
        return functools.reduce(lax.add, terms)
    sizes = [size for axis, o in zip(axes, counts, strict=True) for size in (o, axis.k)]
    return jnp.zeros((*sizes, groups, x.shape[-1] // groups, g.shape[-1] // groups), x.dtype)


def products_of_image(
    groups: int,
    parts: Sequence[tuple[int, Axis]],
    begin: Sequence[int],
    image: Any,
    x: jax.Array,
    g: jax.Array,
) -> jax.Array:
    """The outputs of an image from `begin` on, each times its window, which begins in `parts`."""
    met = [axis for _, axis in parts]
    window = _cut(x, image, [start for start, _ in parts], [axis.i for axis in met])
    for dim in reversed(range(len(met))):
        window = windows_around(window, dim, met[dim])
    row = _cut(g, image, begin, [axis.o for axis in met])
    row = lax.expand_dims(row, range(1, 2 * len(met), 2))
    lead, c, f = window.shape[:-1], window.shape[-1] // groups, row.shape[-1] // groups
    window = lax.reshape(window, (*lead, groups, c, 1))
    row = lax.reshape(row, (*row.shape[:-1], groups, 1, f))
    pairs = [(dim, dim + 1) for dim in range(0, 2 * len(met), 2)]
    return masked([*map(lies_inside, met)], multiply(window, row), pairs)


def _cut(a: jax.Array, image: Any, begin: Sequence[int], sizes: Sequence[int]) -> jax.Array:
    """The rows of one image from `begin` on, `sizes` of them on each axis."""
    a = lax.squeeze(lax.dynamic_slice_in_dim(a, image, 1, allow_negative_indices=False), [0])
    ends = [at + size for at, size in zip(begin, sizes, strict=True)]
    return lax.slice(a, [*begin, 0], [*ends, a.shape[-1]])


def rows_at_once(problem: Problem) -> int:
    """Rows of the first axis for one loop, so that what it stores stays in cache.

    The copies of x that its windows are read from are limited as well, in case XLA makes them.
    """
    first = problem.axes[0]
    stored = _stored_per_row(problem) * itemsize(problem.wide_dtype)
    copied = math.isqrt(MAX_REPEATED_BYTES * first.k // (stored * first.s))
    return max(1, min(MAX_STORED_BYTES // stored, copied, first.o))


def images(problem: Problem) -> int:
    """Images that one loop sums."""
    image = problem.f * math.prod(problem.shape("x")[1:]) + math.prod(problem.shape("y")[1:])
    small = MAX_TERMS_PER_LOOP * image * itemsize(problem.wide_dtype) <= MAX_STORED_BYTES
    return min(problem.n, MAX_TERMS_PER_LOOP if small else MAX_IMAGES_PER_LOOP)


def _stored_per_row(problem: Problem) -> int:
    """Elements that one loop stores for a row of the first axis."""
    outputs = [axis.o for axis in problem.axes]
    pieces = _pieces(outputs[-1], images(problem))
    return -(-math.prod(outputs[1:]) * math.prod(problem.out_shape) // pieces)


def _pieces(rows: int, size: int) -> int:
    """Equal pieces of the last axis that one loop sums, together with `size` images."""
    return max(p for p in range(1, max(MAX_TERMS_PER_LOOP // size, 1) + 1) if rows % p == 0)
