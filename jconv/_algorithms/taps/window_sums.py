"""Depthwise."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jconv._algorithms.legs import rows_read, window_axes
from jconv._algorithms.windows import TERMS, around, lies_inside, only, resize, tap_of
from jconv._core.geometry import Axis
from jconv._core.problem import Problem

FILTERS = 8  # filters of a group, at most, with a sum of their own: each is compiled
LARGE = 1 << 22  # bytes of x; a padded copy of more would leave the cache
MOST_TERMS = 1024  # slices of a sum: each takes about 3 ms to lower and to compile
MOSTLY = 0.8  # share of windows inside x; from it on, edges are summed apart
Axes = tuple[Axis, ...]


def window_sums(problem: Problem, x: jax.Array, w: jax.Array) -> jax.Array:
    axes, f = window_axes(problem), problem.f
    if problem.leg == "conv":
        return _sum(repeat_channels(x, f), w[..., 0, :], axes)
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


def repeat_channels(x: jax.Array, f: int) -> jax.Array:
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
    if any(axis.b > 1 for axis in axes) or size < LARGE or few_terms(axes):
        return False
    inside = math.prod(last - first for first, last in map(_inside, axes))
    outputs = math.prod(axis.o for axis in axes)
    return MOSTLY * outputs <= inside < outputs


def _region(x: jax.Array, w: jax.Array, axes: Axes, region: Sequence[tuple[int, int]]) -> jax.Array:
    """Some of the outputs: on each axis, from the first to before the last."""
    pairs = zip(axes, region, strict=True)
    starts, parts = zip(
        *(rows_of_outputs(axis, at, end - at) for axis, (at, end) in pairs), strict=True
    )
    stops = [start + part.i for start, part in zip(starts, parts, strict=True)]
    x = lax.slice(x, [0, *starts, 0], [x.shape[0], *stops, x.shape[-1]])
    return _sum_of_slices(x, w, parts)


def rows_of_outputs(axis: Axis, first: int, o: int) -> tuple[int, Axis]:
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
    shifts = [_shifts(axis) for axis in axes]
    counts = [-(-axis.o // axis.b) for axis in axes]
    lows = [0] * len(axes)
    copied = not few_terms(axes)
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


def few_terms(axes: Axes) -> bool:
    """Whether one loop takes in all terms of a sum with each its own way around x, not padded."""
    return count_terms(axes) <= TERMS and all(a.i for a in axes)


def count_terms(axes: Axes) -> int:
    """How many slices are added up, counted without making them: taps may be in the millions."""
    return math.prod(_terms(axis) for axis in axes)


@functools.lru_cache(maxsize=1024)
def _terms(axis: Axis) -> int:
    """As many as `_shifts` has rows: without input dilation one for each tap."""
    if axis.b == 1:
        return axis.k
    places = axis.k * axis.b  # in which `_shifts` looks
    return len(_shifts(axis)) if places <= MOST_TERMS // 4 else MOST_TERMS * places


def _shifts(axis: Axis) -> dict[int, dict[int, int]]:
    """For each row r that any residue reads at u = 0, the tap that each of these meets there.

    b*i = s*(b*u + c) + d*k - p0, so i = s*u + (s*c + d*k - p0)/b where that is whole.
    """
    shifts: dict[int, dict[int, int]] = {}
    for k, c in itertools.product(range(axis.k), range(axis.b)):
        row = axis.s * c + axis.d * k - axis.p0
        if row % axis.b == 0:
            shifts.setdefault(row // axis.b, {})[c] = k
    return shifts


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
