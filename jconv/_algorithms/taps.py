"""taps: depthwise legs as sums over the filter's taps of shifted slices, one tap at a time.

With one input channel a group there is nothing to contract, so every tap is an elementwise
product, and XLA fuses the sum over taps into one loop along the channels.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jconv._algorithms import _cost
from jconv._algorithms._arrange import chunk, rows_read, widen, window_axes
from jconv._algorithms._record import Algorithm, Planner, static_on_cpu
from jconv._algorithms._window import resize
from jconv._geometry import Axis
from jconv._jax import kept_apart
from jconv._problem import Problem, itemsize

TERMS = 16  # products that one loop of the filter backprop adds up before it stores
FOLD = 8  # images among them, at most
WHOLE = 1 << 24  # bytes that every tap of the filter backprop reads again, without a chunk
CACHE = 1 << 22  # and those of a chunk, where there are more
FILTERS = 8  # of a group that are summed one by one: each has its taps to compile
LARGE = 1 << 22  # bytes of x, of which a padded copy leaves the cache
MOSTLY = 0.8  # of the windows lie inside of x, where its edges are done by themselves

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
            spans = [*inside[:dim], edge, *((0, later.o) for later in axes[dim + 1 :])]
            if edge[0] < edge[1]:
                part = _region(x, w, axes, spans)
                y = lax.dynamic_update_slice(y, part, [0, *(first for first, _ in spans), 0])
    return y


def _inside(axis: Axis) -> tuple[int, int]:
    """The outputs whose windows lie inside of x: from the first to before the last."""
    first, last = _outputs_at(axis, 0)[0], _outputs_at(axis, axis.k - 1)[1]
    return first, max(first, last)


def _outputs_at(axis: Axis, k: int) -> tuple[int, int]:
    """The outputs that find tap k inside of x: from the first to before the last, if there are."""
    at = axis.d * k - axis.p0
    return max(0, -(at // axis.s)), min((axis.i - 1 - at) // axis.s + 1, axis.o)


def _met_by(axis: Axis, k: int) -> int:
    first, last = _outputs_at(axis, k)
    return max(0, last - first)


def framed(axes: Axes, size: int) -> bool:
    """Whether most windows of an x of many bytes lie inside of it, and some do not."""
    if any(axis.b > 1 for axis in axes) or size < LARGE:
        return False
    inside = math.prod(last - first for first, last in map(_inside, axes))
    outputs = math.prod(axis.o for axis in axes)
    return MOSTLY * outputs <= inside < outputs


def _region(x: jax.Array, w: jax.Array, axes: Axes, spans: Sequence[tuple[int, int]]) -> jax.Array:
    """Some of the outputs: on each axis, from the first to before the last."""
    starts, stops, parts = [], [], []
    for axis, (first, last) in zip(axes, spans, strict=True):
        low = axis.s * first - axis.p0
        part = dataclasses.replace(axis, o=last - first)
        start = min(max(low, 0), axis.i)
        stop = max(start, min(low + rows_read(part), axis.i))
        parts.append(dataclasses.replace(part, i=stop - start, p0=start - low))
        starts.append(start)
        stops.append(stop)
    x = lax.slice(x, [0, *starts, 0], [x.shape[0], *stops, x.shape[-1]])
    return _sum_of_slices(x, w, tuple(parts))


def _sum_of_slices(x: jax.Array, w: jax.Array, axes: Axes) -> jax.Array:
    """One sum of slices, for all residues of the input dilation at once.

    An output o meets the taps with b*i = s*o + d*k - p0, so that the outputs o = b*u + c of one
    residue c read the rows i = s*u + r, one tap each. Every r that any residue has is a term for
    all of them, of zeros where it has no tap: results need not be interleaved.
    """
    shifts = [_shifts(axis) for axis in axes]
    counts = [-(-axis.o // axis.b) for axis in axes]
    lows = [max(0, -min(each, default=0)) for each in shifts]
    for dim, (axis, each, low, count) in enumerate(
        zip(axes, shifts, lows, counts, strict=True), start=1
    ):
        x = resize(x, dim, low, low + max(each, default=0) + axis.s * (count - 1) + 1)
        w = _taps_of(w, 2 * (dim - 1), axis, each)
    x, w = lax.optimization_barrier((x, w))
    n, channels = x.shape[0], x.shape[-1]
    strides, dilations = zip(*((axis.s, axis.b) for axis in axes), strict=True)
    products = []
    for terms in itertools.product(*map(enumerate, shifts)):
        starts = [low + r for (_, r), low in zip(terms, lows, strict=True)]
        stops = [
            start + axis.s * (count - 1) + 1
            for start, axis, count in zip(starts, axes, counts, strict=True)
        ]
        rows = lax.slice(x, [0, *starts, 0], [n, *stops, channels], [1, *strides, 1])
        rows = lax.expand_dims(rows, range(2, 2 * len(axes) + 1, 2))
        tap = w[tuple(index for q, _ in terms for index in (q, slice(None)))]
        tap = tap.reshape(*(size for b in dilations for size in (1, b)), channels)
        met = _met(axes, shifts, [r for _, r in terms])
        if not met.all():  # a select of lax: jnp.where is a call, which would not fuse
            shape = (n, *(size for pair in zip(counts, dilations, strict=True) for size in pair))
            rows, met = (jnp.broadcast_to(each, (*shape, channels)) for each in (rows, met))
            rows = lax.select(met, rows, jnp.zeros_like(rows))
        products.append(rows * tap)
    sizes = [count * b for count, b in zip(counts, dilations, strict=True)]
    none = jnp.zeros((n, *sizes, channels), x.dtype)
    total = sum(products[1:], products[0]) if products else none
    outputs = [0] * (len(axes) + 2), [n, *(axis.o for axis in axes), channels]
    return lax.slice(total.reshape(n, *sizes, channels), *outputs)


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


def _met(axes: Axes, shifts: list[dict[int, dict[int, int]]], rows: list[int]) -> np.ndarray:
    """Which residues have a tap in these rows, along the dimensions of a sum."""
    met = np.ones((), bool)
    for axis, each, r in zip(axes, shifts, rows, strict=True):
        met = np.logical_and.outer(met, [[c in each[r] for c in range(axis.b)]])
    return met[..., None]


def _filter_grad(problem: Problem, x: jax.Array, g: jax.Array) -> jax.Array:
    x = _repeat(x, problem.f)
    size, at, grads = images(problem), 0, []
    while at < problem.n:  # what whole chunks leave over goes in smaller ones
        size = _whole_folds(min(size, problem.n - at))
        end = at + (problem.n - at) // size * size
        grads.append(_grads(problem, x[at:end], g[at:end], size))
        at = end
    return sum(grads[1:], grads[0]).reshape(problem.out_shape)


def _whole_folds(size: int) -> int:
    return size if size <= FOLD else size // FOLD * FOLD


def images(problem: Problem) -> int:
    """Images to a chunk: as many as stay in cache while every tap reads them."""
    wide = itemsize(problem.wide_dtype)
    image = (
        math.prod(problem.shape("x")[1:]) * problem.f + math.prod(problem.shape("y")[1:])
    ) * wide
    whole = problem.n * image <= WHOLE
    return _whole_folds(problem.n if whole else chunk(problem.n, image, CACHE))


def _grads(problem: Problem, x: jax.Array, g: jax.Array, size: int) -> jax.Array:
    """The sum over chunks of so many images, all of one size: (taps, C)."""
    if x.shape[0] > size:
        sums = _sums_of_chunks(x, g, problem.axes, size)
    else:
        sums = _tap_sums(x, g, problem.axes, min(size, FOLD))
    return lax.concatenate([_total(part) for part in lax.optimization_barrier(sums)], 0)


def _sums_of_chunks(x: jax.Array, g: jax.Array, axes: Axes, size: int) -> list[jax.Array]:
    """What `_tap_sums` makes of each chunk, added up; every chunk is padded in cache."""
    padded = tuple(dataclasses.replace(axis, i=rows_read(axis), p0=0) for axis in axes)

    def part(at: Any, x: jax.Array, g: jax.Array) -> list[jax.Array]:
        x, g = (lax.dynamic_slice_in_dim(a, at, size) for a in (x, g))
        for dim, axis in enumerate(axes, start=1):
            x = resize(x, dim, axis.p0, rows_read(axis))
        return _tap_sums(lax.optimization_barrier(x), g, padded, min(size, FOLD))

    def add(at: Any, x: jax.Array, g: jax.Array, sums: list[jax.Array]) -> list[jax.Array]:
        return [old + new for old, new in zip(sums, part(at, x, g), strict=True)]

    call = kept_apart(jax.jit(add))
    sums = [jnp.zeros(s.shape, s.dtype) for s in jax.eval_shape(part, 0, x, g)]
    for at in range(0, x.shape[0], size):
        sums = call(at, x, g, sums)
    return sums


def _tap_sums(x: jax.Array, g: jax.Array, axes: Axes, fold: int) -> list[jax.Array]:
    """For each tap x*g, with so many images and pieces of the last axis added up: (rows, C).

    A reduction over leading dimensions is not vectorised, so some are added elementwise, and
    what is left is a product with ones. Each tap meets the outputs that find it inside of x,
    which need not be padded then.
    """
    x, g = (a.reshape(-1, fold, *a.shape[1:]) for a in (x, g))
    channels = g.shape[-1]

    def slices(taps: Sequence[int]) -> jax.Array:
        met = [_outputs_at(axis, k) for axis, k in zip(axes, taps, strict=True)]
        counts = [last - first for first, last in met]
        if min(counts) <= 0:
            return jnp.zeros((1, channels), x.dtype)
        pieces = _pieces(counts[-1], fold)
        counts[-1] //= pieces
        products = []
        for image, piece in itertools.product(range(fold), range(pieces)):
            begin = [first for first, _ in met]
            begin[-1] += piece * counts[-1]
            seen = [
                axis.s * o + axis.d * k - axis.p0
                for axis, k, o in zip(axes, taps, begin, strict=True)
            ]
            term = _rows(x, image, seen, counts, [axis.s for axis in axes])
            products.append(term * _rows(g, image, begin, counts, [1] * len(axes)))
        return sum(products[1:], products[0]).reshape(-1, channels)

    return [slices(taps) for taps in itertools.product(*(range(axis.k) for axis in axes))]


def _rows(
    a: jax.Array, image: int, begin: Sequence[int], counts: Sequence[int], steps: Sequence[int]
) -> jax.Array:
    """From where to begin so many rows of one image of each fold, on each axis by its steps."""
    ends = [at + s * (count - 1) + 1 for at, count, s in zip(begin, counts, steps, strict=True)]
    first, last = [0, image, *begin, 0], [a.shape[0], image + 1, *ends, a.shape[-1]]
    return lax.slice(a, first, last, [1, 1, *steps, 1])


def _pieces(rows: int, fold: int) -> int:
    """Pieces of the last axis that one loop adds up, beside so many images."""
    return max(p for p in range(1, TERMS // fold + 1) if rows % p == 0)


def _total(part: jax.Array) -> jax.Array:
    return lax.dot_general(
        jnp.ones((1, part.shape[0]), part.dtype),
        part,
        (((1,), (0,)), ((), ())),
        precision=lax.Precision.HIGHEST,
        preferred_element_type=part.dtype,
    )


def _taps(problem: Problem) -> int:
    return math.prod(axis.k for axis in problem.axes)


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_on_cpu(problem, platform):
        return reason
    if problem.c != 1 or problem.groups == 1:
        return "is for depthwise convolutions"
    if problem.leg == "filter_grad" and any(axis.b > 1 for axis in problem.axes):
        return "its filter backprop is not for input dilation"
    if problem.leg == "filter_grad" and _taps(problem) > _cost.LONG:
        return f"its filter backprop takes a kernel for each tap, over {_cost.LONG} here"
    return None


def cost(problem: Problem, planner: Planner) -> float:
    terms = problem.multiplications
    total = _cost.moved(problem, 2 * _cost.operands(problem))
    taps = _taps(problem)
    if problem.leg == "filter_grad":
        calls = -(-problem.n // images(problem))
        return total + _cost.fused_pairs(problem, terms) + _cost.kernels(2 * taps, calls)
    axes = window_axes(problem)
    taps = math.prod(len(_shifts(axis)) for axis in axes)
    channels = problem.n * problem.groups * problem.f
    sums = _cost.taps(problem, channels * math.prod(axis.o for axis in axes) * taps, taps)
    size = channels * math.prod(axis.i for axis in axes) * itemsize(problem.wide_dtype)
    edges = 2 * problem.rank if framed(axes, size) else 0
    return total + sums + _cost.kernels(3 * (1 + edges))


def workspace(problem: Problem, platform: str) -> int:
    """The padded operand, and the sums of each tap before they are joined."""
    padded = problem.f * math.prod(problem.shape("x"))
    if problem.leg == "filter_grad":
        size = images(problem)
        fold = min(size, FOLD)
        counts = [[_met_by(axis, k) for k in range(axis.k)] for axis in problem.axes]
        rows = math.prod(map(sum, counts[:-1])) * sum(n // _pieces(n, fold) for n in counts[-1])
        whole = [axis.o for axis in problem.axes]  # by each tap, where chunks are padded
        padded_rows = math.prod(whole) // _pieces(whole[-1], fold) * _taps(problem)
        sums = 2 * -(-size // FOLD) * max(rows, padded_rows) * problem.groups * problem.f
        padded = padded * size // max(problem.n, 1) + sums
    return _cost.widened(problem) + padded * itemsize(problem.wide_dtype)


TAPS = Algorithm(
    name="taps",
    exact=True,
    error=2.0,
    supports=supports,
    cost=cost,
    workspace=workspace,
    run=run,
)
