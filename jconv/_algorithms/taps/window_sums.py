"""Depthwise forward passes and input backprops: sums of shifted slices of x, times the taps.

With one input channel to a group, XLA fuses the sum over the taps into one loop.
"""

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

from jconv._algorithms import cost
from jconv._algorithms.compiling import Work
from jconv._algorithms.legs import rows_read
from jconv._algorithms.windows import (
    MAX_TERMS_PER_LOOP,
    lies_inside,
    masked,
    multiply,
    resize,
    rows_of_tap,
    windows_around,
)
from jconv._core.geometry import Axis
from jconv._core.problem import Problem, itemsize
from jconv._core.xla_cpu import FEW_TASKS

MAX_SUMS = 8  # filters of a group that are summed one by one; each sum is compiled
MIN_BYTES_TO_FRAME = 1 << 22  # bytes of x, of which a padded copy would leave the L3 cache
MIN_SHARE_INSIDE = 0.8  # share of windows inside of x, above which edges are summed apart
MAX_TERMS = 1024  # slices of a sum; each takes about 3 ms to lower and to compile

Axes = tuple[Axis, ...]


def supports(problem: Problem) -> str | None:
    if problem.c > 1 or problem.groups == 1:
        return "only supports depthwise convolutions"
    if count_terms(problem.window_axes) > MAX_TERMS:
        return f"would sum over {MAX_TERMS} slices, which compile slowly"
    return None


def run(problem: Problem, x: jax.Array, w: jax.Array) -> jax.Array:
    axes, f = problem.window_axes, problem.f
    if problem.leg == "conv":
        return _sum(repeat_channels(x, f), w[..., 0, :], axes)
    w = lax.rev(w[..., 0, :], range(problem.rank))
    if f == 1:
        return _sum(x, w, axes)
    if f > MAX_SUMS:
        y = _sum(x, w, axes)
        return y.reshape(*y.shape[:-1], problem.groups, f).sum(-1)
    # The filters of a group are summed as whole arrays: a sum over the last dimension is slow.
    parts = [(x[..., at::f], w[..., at::f]) for at in range(f)]
    sums = [_sum(x, w, axes) for x, w in lax.optimization_barrier(parts)]
    return sum(sums[1:], sums[0])


def compiling(problem: Problem) -> Work:
    axes = problem.window_axes
    apart = problem.leg == "input_grad" and 1 < problem.f <= MAX_SUMS
    sums = problem.f if apart else 1
    size = math.prod(problem.shape("x")) * 4
    regions = 2 * problem.rank + 1 if framed(axes, size) else 1
    terms = count_terms(axes) * problem.rank * sums
    return Work(2 + 2 * regions + sums, 0, terms * regions)


def seconds(problem: Problem) -> float:
    axes = problem.window_axes
    terms = count_terms(axes)
    channels = problem.n * problem.groups * problem.f
    outputs = channels * math.prod(axis.o for axis in axes)
    total = cost.sums_of_slices(problem, outputs * terms, terms)
    size = channels * math.prod(axis.i for axis in axes) * itemsize(problem.wide_dtype)
    edges = 2 * problem.rank if framed(axes, size) else 0
    copies = 0 if reads_in_place(axes) else 1
    total += cost.moved(problem, (1 + copies) * cost.operands(problem))
    return total + cost.kernels(1 + 2 * copies + 3 * edges)


def workspace(problem: Problem) -> int:
    """Elements of the padded operand."""
    # XLA of jaxlib 0.11 on copies the filters of a group apart before it sums them.
    in_place = problem.f == 1 or (problem.leg == "input_grad" and FEW_TASKS)
    axes = problem.window_axes
    if in_place and reads_in_place(axes):
        return 0
    channels = problem.n * problem.groups * problem.f
    size = channels * math.prod(axis.i for axis in axes) * itemsize(problem.wide_dtype)
    if framed(axes, size):
        return problem.f * math.prod(problem.shape("x"))
    return channels * _padded_places(axes)


def _padded_places(axes: Axes) -> int:
    """Places of the padded operand's copy; 0 where the operand is read as it is."""
    sizes = []
    for axis in axes:
        rows = _shifts(axis)
        low = max(0, -min(rows, default=0))
        last = max(rows, default=0) + axis.s * (-(-axis.o // axis.b) - 1)
        sizes.append(low + last + 1)
    return 0 if sizes == [axis.i for axis in axes] else math.prod(sizes)


def repeat_channels(x: jax.Array, f: int) -> jax.Array:
    return x if f == 1 else jnp.repeat(x, f, axis=-1)


def _sum(x: jax.Array, w: jax.Array, axes: Axes) -> jax.Array:
    """The sums over the windows of x, channel by channel.

    A padded copy of a large x costs as much as the sum itself. Where most windows lie inside of x,
    these are summed without padding, and the outputs along the edges are put beside them.
    """
    if not framed(axes, x.size * x.dtype.itemsize):
        return _sum_of_slices(x, w, axes)
    inside = [_outputs_inside(axis) for axis in axes]
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


def _outputs_inside(axis: Axis) -> tuple[int, int]:
    """The outputs (first, stop) whose windows lie inside of x."""
    first, stop = _outputs_of_tap(axis, 0)[0], _outputs_of_tap(axis, axis.k - 1)[1]
    return first, max(first, stop)


def _outputs_of_tap(axis: Axis, k: int) -> tuple[int, int]:
    """The outputs (first, stop) that find tap k inside of x; stop <= first if there are none."""
    at = axis.d * k - axis.p0
    return max(0, -(at // axis.s)), min((axis.i - 1 - at) // axis.s + 1, axis.o)


def framed(axes: Axes, size: int) -> bool:
    """Whether the edges of an x of `size` bytes are summed apart from its inside."""
    if any(axis.b > 1 for axis in axes) or size < MIN_BYTES_TO_FRAME or reads_in_place(axes):
        return False
    inside = math.prod(stop - first for first, stop in map(_outputs_inside, axes))
    outputs = math.prod(axis.o for axis in axes)
    return MIN_SHARE_INSIDE * outputs <= inside < outputs


def _region(x: jax.Array, w: jax.Array, axes: Axes, region: Sequence[tuple[int, int]]) -> jax.Array:
    """The outputs of a region: (first, stop) on each axis."""
    starts, parts = [], []
    for axis, (first, stop) in zip(axes, region, strict=True):
        start, part = read_by(axis, first, stop - first)
        starts, parts = [*starts, start], [*parts, part]
    stops = [start + part.i for start, part in zip(starts, parts, strict=True)]
    x = lax.slice(x, [0, *starts, 0], [x.shape[0], *stops, x.shape[-1]])
    return _sum_of_slices(x, w, tuple(parts))


def read_by(axis: Axis, first: int, o: int) -> tuple[int, Axis]:
    """The first row of x that `o` outputs from `first` on read, and the axis of what they read."""
    low = axis.s * first - axis.p0
    part = dataclasses.replace(axis, o=o)
    start = min(max(low, 0), axis.i)
    stop = max(start, min(low + rows_read(part), axis.i))
    return start, dataclasses.replace(part, i=stop - start, p0=start - low)


def _sum_of_slices(x: jax.Array, w: jax.Array, axes: Axes) -> jax.Array:
    """One sum of slices, for all residues of the input dilation at once.

    An output o meets the taps with b*i = s*o + d*k - p0. The outputs o = b*u + c of one residue c
    therefore read the rows i = s*u + r, one tap for each r. Each r that any residue reads is a term
    for all residues, of zeros where a residue has no tap there. So results are never interleaved.
    """
    shifts = [_shifts(axis) for axis in axes]
    counts = [-(-axis.o // axis.b) for axis in axes]
    lows = [0] * len(axes)
    copied = not reads_in_place(axes)
    for dim, (axis, each, count) in enumerate(zip(axes, shifts, counts, strict=True), start=1):
        if copied:
            lows[dim - 1] = max(0, -min(each, default=0))
            last = max(each, default=0) + axis.s * (count - 1)
            x = resize(x, dim, lows[dim - 1], lows[dim - 1] + last + 1)
        w = _taps_of_shifts(w, 2 * (dim - 1), axis, each)
    x, w = lax.optimization_barrier((x, w))
    n, channels = x.shape[0], x.shape[-1]
    dilations = [axis.b for axis in axes]
    pairs = [(at, at + 1) for at in range(1, 2 * len(axes), 2)]
    products = []
    for terms in itertools.product(*map(enumerate, shifts)):
        rows, met = x, []
        for dim, (axis, each, count, low, (_, r)) in enumerate(
            zip(axes, shifts, counts, lows, terms, strict=True), start=1
        ):
            read = dataclasses.replace(axis, i=x.shape[dim], o=count, k=1, d=1, p0=-low - r)
            if copied:
                rows = rows_of_tap(lax.slice_in_dim(rows, low + r, None, axis=dim), dim, 0, read)
            else:
                rows = lax.squeeze(windows_around(rows, dim, read), [dim + 1])
            reached = [c in each[r] for c in range(axis.b)]
            met.append(np.outer(lies_inside(read), reached))
        rows = lax.expand_dims(rows, range(2, 2 * len(axes) + 1, 2))
        products.append(masked(met, multiply(rows, _tap(w, [q for q, _ in terms])), pairs))
    sizes = [count * b for count, b in zip(counts, dilations, strict=True)]
    none = jnp.zeros((n, *sizes, channels), x.dtype)
    total = functools.reduce(lax.add, products) if products else none
    outputs = [0] * (len(axes) + 2), [n, *(axis.o for axis in axes), channels]
    return lax.slice(total.reshape(n, *sizes, channels), *outputs)


def _tap(w: jax.Array, at: Sequence[int]) -> jax.Array:
    """One tap of w (shift, residue, ..., channels), with a dimension of one for the batch."""
    starts = [start for q in at for start in (q, 0)]
    stops = [stop for q, b in zip(at, w.shape[1:-1:2], strict=True) for stop in (q + 1, b)]
    tap = lax.slice(w, [*starts, 0], [*stops, w.shape[-1]])
    return lax.expand_dims(tap, [0])


def reads_in_place(axes: Axes) -> bool:
    """Whether the terms are so few that one loop reads them all from x, which is not padded."""
    return count_terms(axes) <= MAX_TERMS_PER_LOOP and all(a.i for a in axes)


def count_terms(axes: Axes) -> int:
    """How many slices are summed, counted without making them: taps may be in the millions."""
    return math.prod(_count_shifts(axis) for axis in axes)


@functools.lru_cache(maxsize=1024)
def _count_shifts(axis: Axis) -> int:
    """The length of `_shifts`, or more than MAX_TERMS if it would take long to make."""
    if axis.b == 1:
        return axis.k
    steps = axis.k * axis.b  # of the loop in `_shifts`
    return len(_shifts(axis)) if steps <= MAX_TERMS // 4 else MAX_TERMS * steps


def _shifts(axis: Axis) -> dict[int, dict[int, int]]:
    """For each row r that any residue reads at u = 0, the tap of each residue that reads it.

    b*i = s*(b*u + c) + d*k - p0, so i = s*u + (s*c + d*k - p0)/b where that is whole.
    """
    shifts: dict[int, dict[int, int]] = {}
    for k, c in itertools.product(range(axis.k), range(axis.b)):
        row = axis.s * c + axis.d * k - axis.p0
        if row % axis.b == 0:
            shifts.setdefault(row // axis.b, {})[c] = k
    return shifts


def _taps_of_shifts(
    w: jax.Array, dim: int, axis: Axis, shifts: dict[int, dict[int, int]]
) -> jax.Array:
    """One axis of w as two, (shift, residue): the taps that `_shifts` lists."""
    if axis.b == 1:
        return lax.expand_dims(w, [dim + 1])
    absent: int = axis.k  # the index of an added tap of zeros, for residues that have none
    w = resize(w, dim, 0, absent + 1)
    places = [taps.get(c, absent) for taps in shifts.values() for c in range(axis.b)]
    rows = [lax.slice_in_dim(w, 0, 0, axis=dim)]
    rows += [lax.slice_in_dim(w, k, k + 1, axis=dim) for k in places]
    shape = (*w.shape[:dim], len(shifts), axis.b, *w.shape[dim + 1 :])
    return lax.concatenate(rows, dim).reshape(shape)
