"""taps: depthwise legs as elementwise products of shifted slices, along the channels.

With one input channel a group, XLA fuses the sum over the filter's taps into one loop. The filter
backprop, of groups of a few channels too, multiplies every output with its window instead.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jconv._algorithms import _cost
from jconv._algorithms._arrange import rows_read, spans, widen, window_axes
from jconv._algorithms._record import Algorithm, Planner, always_local, static
from jconv._algorithms._rows import (
    TERMS,
    around,
    lies_inside,
    only,
    padded_rows,
    shifts_of,
    tap_of,
    too_many_places,
)
from jconv._algorithms._window import resize
from jconv._core.geometry import Axis
from jconv._core.problem import Problem, itemsize
from jconv._core.xla_cpu import FEW_TASKS, kept_apart

MAX_IMAGES_PER_LOOP = 8  # large images that one loop of a filter backprop adds up
STORED = 1 << 24  # bytes of the images that one loop adds up, at most: they stay in cache
COPIES = 1 << 30  # bytes of x laid end to end, of which windows are cut, at most
PAIRS = 256  # pairs of channels (in, out) of a group, at most: one loop makes all products
VECTOR = 8  # channels that one vector instruction multiplies
FILTERS = 8  # filters of a group, at most, with a sum of their own: each is compiled
LARGE = 1 << 22  # bytes of x; a padded copy of more would leave the cache
MOST_TERMS = 1024  # slices of a sum: each takes about 3 ms to lower and to compile
MOST_BLOCKS = 64  # loops of a filter backprop: each is compiled
MOST_CALLS = 1024  # calls of the loops of a filter backprop, in all
MOSTLY = 0.8  # share of windows inside x; from it on, edges are summed apart

Axes = tuple[Axis, ...]


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    return (_filter_grad if problem.leg == "filter_grad" else _windows)(problem, a, b)


def _windows(problem: Problem, x: jax.Array, w: jax.Array) -> jax.Array:
    axes, f = window_axes(problem), problem.f
    if problem.leg == "conv":
        return _sum(_repeat(x, f), w[..., 0, :], axes)
    w = lax.rev(w[..., 0, :], range(problem.rank))
    if f == 1:
        return _sum(x, w, axes)
    if f > FILTERS:
        y = _sum(x, w, axes)
        return y.reshape(*y.shape[:-1], problem.groups, f).sum(-1)
    # The filters of a group are added up as whole arrays: along the last dimension it is slow.
    parts = [(x[..., at::f], w[..., at::f]) for at in range(f)]
    sums = [_sum(x, w, axes) for x, w in lax.optimization_barrier(parts)]
    return sum(sums[1:], sums[0])


def _repeat(x: jax.Array, f: int) -> jax.Array:
    return x if f == 1 else jnp.repeat(x, f, axis=-1)


def _sum(x: jax.Array, w: jax.Array, axes: Axes) -> jax.Array:
    """The windows of x, channel by channel.

    A padded copy of a large x costs as much as the sum itself. Windows inside of x need none:
    they make a whole result at once, and what lies along its edges is put in its place there.
    """
    if not framed(axes, x.size * x.dtype.itemsize):
        return _sum_of_slices(x, w, axes)
    inside = [_inside(axis) for axis in axes]
    y = _region(x, w, axes, inside)
    edges = [(first, axis.o - last, 0) for (first, last), axis in zip(inside, axes, strict=True)]
    y = lax.pad(y, jnp.zeros((), y.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    for dim, axis in enumerate(axes):
        first, last = inside[dim]
        for edge in ((0, first), (last, axis.o)):
            region = [*inside[:dim], edge, *((0, later.o) for later in axes[dim + 1 :])]
            if edge[0] < edge[1]:
                part = _region(x, w, axes, region)
                y = lax.dynamic_update_slice(y, part, [0, *(first for first, _ in region), 0])
    return y


def _inside(axis: Axis) -> tuple[int, int]:
    """The outputs whose windows lie inside of x: from the first to before the last."""
    first, last = _outputs_at(axis, 0)[0], _outputs_at(axis, axis.k - 1)[1]
    return first, max(first, last)


def _outputs_at(axis: Axis, k: int) -> tuple[int, int]:
    """The outputs that find tap k inside of x: from the first to before the last, if there are."""
    at = axis.d * k - axis.p0
    return max(0, -(at // axis.s)), min((axis.i - 1 - at) // axis.s + 1, axis.o)


def framed(axes: Axes, size: int) -> bool:
    """Whether most windows of an x of many bytes lie inside of it, and some do not."""
    if any(axis.b > 1 for axis in axes) or size < LARGE or few(axes):
        return False
    inside = math.prod(last - first for first, last in map(_inside, axes))
    outputs = math.prod(axis.o for axis in axes)
    return MOSTLY * outputs <= inside < outputs


def _region(x: jax.Array, w: jax.Array, axes: Axes, region: Sequence[tuple[int, int]]) -> jax.Array:
    """Some of the outputs: on each axis, from the first to before the last."""
    pairs = zip(axes, region, strict=True)
    starts, parts = zip(*(_part(axis, at, end - at) for axis, (at, end) in pairs), strict=True)
    stops = [start + part.i for start, part in zip(starts, parts, strict=True)]
    x = lax.slice(x, [0, *starts, 0], [x.shape[0], *stops, x.shape[-1]])
    return _sum_of_slices(x, w, parts)


def _part(axis: Axis, first: int, o: int) -> tuple[int, Axis]:
    """The first row of x that `o` outputs from `first` on read, and the axis of those rows."""
    low = axis.s * first - axis.p0
    part = dataclasses.replace(axis, o=o)
    start = min(max(low, 0), axis.i)
    stop = max(start, min(low + rows_read(part), axis.i))
    return start, dataclasses.replace(part, i=stop - start, p0=start - low)


def _sum_of_slices(x: jax.Array, w: jax.Array, axes: Axes) -> jax.Array:
    """One sum of slices, for all residues of the input dilation at once.

    An output o meets the taps with b*i = s*o + d*k - p0, so that the outputs o = b*u + c of one
    residue c read the rows i = s*u + r, one tap each. Every r that any residue has is a term for
    all of them, of zeros where it has no tap: results need not be interleaved.
    """
    shifts = [shifts_of(axis) for axis in axes]
    counts = [-(-axis.o // axis.b) for axis in axes]
    lows = [0] * len(axes)
    copied = not few(axes)
    for dim, (axis, each, count) in enumerate(zip(axes, shifts, counts, strict=True), start=1):
        if copied:
            lows[dim - 1] = max(0, -min(each, default=0))
            last = max(each, default=0) + axis.s * (count - 1)
            x = resize(x, dim, lows[dim - 1], lows[dim - 1] + last + 1)
        w = _taps_of(w, 2 * (dim - 1), axis, each)
    x, w = lax.optimization_barrier((x, w))
    n, channels = x.shape[0], x.shape[-1]
    dilations = [axis.b for axis in axes]
    shape = [size for b in dilations for size in (1, b)]
    pairs = [(at, at + 1) for at in range(1, 2 * len(axes), 2)]
    products = []
    for terms in itertools.product(*map(enumerate, shifts)):
        rows, met = x, []
        for dim, (axis, each, count, low, (_, r)) in enumerate(
            zip(axes, shifts, counts, lows, terms, strict=True)
        ):
            read = dataclasses.replace(axis, i=x.shape[dim + 1], o=count, k=1, d=1, p0=-low - r)
            if copied:
                rows = tap_of(lax.slice_in_dim(rows, low + r, None, axis=dim + 1), dim + 1, 0, read)
            else:
                rows = lax.squeeze(around(rows, dim + 1, read), [dim + 2])
            reached = [c in each[r] for c in range(axis.b)]
            met.append(np.outer(lies_inside(read), reached))
        rows = lax.expand_dims(rows, range(2, 2 * len(axes) + 1, 2))
        tap = w[tuple(index for q, _ in terms for index in (q, slice(None)))]
        products.append(only(met, rows * tap.reshape(1, *shape, channels), pairs))
    sizes = [count * b for count, b in zip(counts, dilations, strict=True)]
    none = jnp.zeros((n, *sizes, channels), x.dtype)
    total = sum(products[1:], products[0]) if products else none
    outputs = [0] * (len(axes) + 2), [n, *(axis.o for axis in axes), channels]
    return lax.slice(total.reshape(n, *sizes, channels), *outputs)


def few(axes: Axes) -> bool:
    """Whether one loop takes in all terms of a sum with each its own way around x, not padded."""
    return terms_of(axes) <= TERMS and all(a.i for a in axes)


def terms_of(axes: Axes) -> int:
    """How many slices are added up, counted without making them: taps may be in the millions."""
    return math.prod(_terms(axis) for axis in axes)


@functools.lru_cache(maxsize=1024)
def _terms(axis: Axis) -> int:
    """As many as `shifts_of` has rows: without input dilation one for each tap."""
    if axis.b == 1:
        return axis.k
    places = axis.k * axis.b  # in which `shifts_of` looks
    return len(shifts_of(axis)) if places <= MOST_TERMS // 4 else MOST_TERMS * places


def _taps_of(w: jax.Array, dim: int, axis: Axis, shifts: dict[int, dict[int, int]]) -> jax.Array:
    """One axis of w as two: a row for each shift, the taps of the residues in it."""
    if axis.b == 1:
        return lax.expand_dims(w, [dim + 1])
    absent: int = axis.k  # a tap of zeros, for residues that meet none in a row
    w = resize(w, dim, 0, absent + 1)
    places = [taps.get(c, absent) for taps in shifts.values() for c in range(axis.b)]
    rows = [lax.slice_in_dim(w, 0, 0, axis=dim)]
    rows += [lax.slice_in_dim(w, k, k + 1, axis=dim) for k in places]
    shape = (*w.shape[:dim], len(shifts), axis.b, *w.shape[dim + 1 :])
    return lax.concatenate(rows, dim).reshape(shape)


def _filter_grad(problem: Problem, x: jax.Array, g: jax.Array) -> jax.Array:
    """A few images at a time, and rows of their outputs."""
    groups, c, f = problem.groups, problem.c, problem.f
    if _as_groups(problem):
        x, groups, f = _repeat(x, f), groups * f, 1
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


def _as_groups(problem: Problem) -> bool:
    """Whether filters of one channel are groups of their own: they are too few for a loop."""
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
        parts = [_part(axis, at, o) for axis, at, o in zip(axes, begin, counts, strict=True)]
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
    stored = _stored(problem) * itemsize(problem.wide_dtype)
    copied = math.isqrt(COPIES * first.k // (stored * first.s))
    return max(1, min(STORED // stored, copied, first.o))


def images(problem: Problem) -> int:
    """Images that one loop adds up."""
    image = problem.f * math.prod(problem.shape("x")[1:]) + math.prod(problem.shape("y")[1:])
    small = TERMS * image * itemsize(problem.wide_dtype) <= STORED
    return min(problem.n, TERMS if small else MAX_IMAGES_PER_LOOP)


def _stored(problem: Problem) -> int:
    """Elements that one loop stores for a row of the first axis."""
    outputs = [axis.o for axis in problem.axes]
    pieces = _pieces(outputs[-1], images(problem))
    return -(-math.prod(outputs[1:]) * math.prod(problem.out_shape) // pieces)


def _pieces(rows: int, size: int) -> int:
    """Pieces of the last axis that one loop adds up, together with `size` images."""
    return max(p for p in range(1, max(TERMS // size, 1) + 1) if rows % p == 0)


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static(problem, platform):
        return reason
    if problem.leg != "filter_grad":
        depthwise = problem.c == 1 and problem.groups > 1
        if not depthwise:
            return "is for depthwise convolutions, but for the filter backprop"
        if terms_of(window_axes(problem)) > MOST_TERMS:
            return f"adds up over {MOST_TERMS} slices here, which compile slowly"
        return None
    if problem.c * problem.f > PAIRS:
        return f"is for up to {PAIRS} pairs of channels to a group"
    if any(axis.b > 1 for axis in problem.axes):
        return "its filter backprop is not for input dilation"
    blocks = -(-problem.axes[0].o // rows_at_once(problem))
    if blocks > MOST_BLOCKS or blocks * -(-problem.n // images(problem)) > MOST_CALLS:
        return f"takes over {MOST_BLOCKS} loops or {MOST_CALLS} calls here, which compile slowly"
    return too_many_places(problem.axes)


def cost(problem: Problem, planner: Planner) -> float:
    if problem.leg == "filter_grad":
        blocks = -(-problem.axes[0].o // rows_at_once(problem))
        calls = -(-problem.n // images(problem))
        stored = calls * problem.axes[0].o * _stored(problem)
        run = problem.c * problem.f
        if _as_groups(problem):
            run *= problem.groups
        total = _cost.fused_pairs(problem, problem.multiplications, run)
        total += _cost.moved(problem, _cost.operands(problem) + 2 * stored)
        return total + _cost.kernels(4 * blocks, calls)
    axes = window_axes(problem)
    taps = terms_of(axes)
    channels = problem.n * problem.groups * problem.f
    total = _cost.taps(problem, channels * math.prod(axis.o for axis in axes) * taps, taps)
    size = channels * math.prod(axis.i for axis in axes) * itemsize(problem.wide_dtype)
    edges = 2 * problem.rank if framed(axes, size) else 0
    copies = 0 if few(axes) else 1
    total += _cost.moved(problem, (1 + copies) * _cost.operands(problem))
    return total + _cost.kernels(1 + 2 * copies + 3 * edges)


def workspace(problem: Problem, platform: str) -> int:
    """The padded operand; or one repeated for a multiplier, and what a loop stores."""
    padded = problem.f * math.prod(problem.shape("x"))
    axes = window_axes(problem)
    read = problem.n * problem.groups * math.prod(axis.i for axis in axes) * problem.f
    if problem.leg != "filter_grad" and not framed(axes, read * itemsize(problem.wide_dtype)):
        padded = problem.n * problem.groups * problem.f * padded_rows(axes)
    # XLA of jaxlib 0.11 on copies the filters of a group apart before it adds them up.
    read_in_place = problem.f == 1 or (problem.leg == "input_grad" and FEW_TASKS)
    if problem.leg != "filter_grad" and read_in_place and few(axes):
        padded = 0
    if problem.leg == "filter_grad":
        repeated = _as_groups(problem) and problem.f > 1
        rows = rows_at_once(problem) + 1  # and their sum
        parts = -(-problem.n // images(problem)) * -(-problem.axes[0].o // (rows - 1))
        padded = repeated * padded + rows * _stored(problem) + parts * math.prod(problem.out_shape)
    return _cost.widened(problem) + padded * itemsize(problem.wide_dtype)


TAPS = Algorithm(
    name="taps",
    exact=True,
    error=2.0,
    supports=supports,
    cost=cost,
    workspace=workspace,
    run=run,
    local=always_local,
)
