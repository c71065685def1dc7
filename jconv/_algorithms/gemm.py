"""gemm: a leg as one matrix product for each chunk of the batch, its windows laid out as rows.

A kernel of one tap needs no layout, only a stride: the product of the pixels and the filter.
Otherwise `conv` and `filter_grad` gather each window into a row (im2col) and `input_grad` adds
each row of products back to where its window lay (col2im). Where the stride is the kernel's
size the windows share no pixel, and both are a transpose. Few input channels make short runs to
copy: the filter backprop then lays out planes, one for each tap and channel.
"""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import _cost
from jconv._algorithms._arrange import (
    chunk,
    in_chunks,
    interleave,
    precision,
    rows_read,
    widen,
)
from jconv._algorithms._record import Algorithm, Planner, static_on_cpu
from jconv._algorithms._window import resize
from jconv._geometry import Axis, product
from jconv._jax import FEW_TASKS
from jconv._problem import Problem, itemsize

Options = dict

PLANES = 8  # input channels up to which a filter backprop copies rows of pixels, not of channels


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    options = {"precision": precision(problem), "preferred_element_type": a.dtype}
    legs = _POINTWISE if pointwise(problem) else _LEGS
    return legs[problem.leg](problem, a, b, options)


# --- one tap: pixels as rows ------------------------------------------------------------------


def _pixels(x: jax.Array, axes: tuple[Axis, ...]) -> jax.Array:
    """The pixels that a kernel of one tap reads, as a matrix."""
    for dim, axis in enumerate(axes, start=1):
        x = _tap(resize(x, dim, axis.p0, rows_read(axis)), dim, 0, axis)
    return x.reshape(-1, x.shape[-1])


def _pointwise_conv(problem: Problem, x: jax.Array, w: jax.Array, options: Options) -> jax.Array:
    rows = _pixels(x, problem.axes)
    y = lax.dot_general(rows, w.reshape(w.shape[-2:]), (((1,), (0,)), ((), ())), **options)
    return y.reshape(problem.out_shape)


def _pointwise_input_grad(
    problem: Problem, g: jax.Array, w: jax.Array, options: Options
) -> jax.Array:
    rows = g.reshape(-1, g.shape[-1])
    x = lax.dot_general(rows, w.reshape(w.shape[-2:]), (((1,), (1,)), ((), ())), **options)
    x = x.reshape(*g.shape[:-1], problem.c)
    # Row s*o - p0 of x gets the product of row o; the others get zeros.
    edges = [(-a.p0, a.i + a.p0 - (a.s * (a.o - 1) + 1), a.s - 1) for a in problem.axes]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])


def _pointwise_filter_grad(
    problem: Problem, x: jax.Array, g: jax.Array, options: Options
) -> jax.Array:
    rows = _pixels(x, problem.axes)
    w = lax.dot_general(rows, g.reshape(-1, g.shape[-1]), (((0,), (0,)), ((), ())), **options)
    return w.reshape(problem.out_shape)


_POINTWISE = {
    "conv": _pointwise_conv,
    "input_grad": _pointwise_input_grad,
    "filter_grad": _pointwise_filter_grad,
}

# --- several taps: windows as rows ------------------------------------------------------------


def _conv(problem: Problem, x: jax.Array, w: jax.Array, options: Options) -> jax.Array:
    matrix = lax.optimization_barrier(w.reshape(-1, w.shape[-1]).T)

    def one(x: jax.Array) -> jax.Array:
        rows = gather(x, problem.axes)
        y = lax.dot_general(rows, matrix, (((1,), (1,)), ((), ())), **options)
        return y.reshape(x.shape[0], *(axis.o for axis in problem.axes), w.shape[-1])

    return in_chunks(one, (x,), images(problem))


def _input_grad(problem: Problem, g: jax.Array, w: jax.Array, options: Options) -> jax.Array:
    if problem.c == 1:
        return _input_grad_of_planes(problem, g, w, options)
    matrix = w.reshape(-1, w.shape[-1])

    def one(g: jax.Array) -> jax.Array:
        rows = lax.dot_general(
            g.reshape(-1, w.shape[-1]), matrix, (((1,), (1,)), ((), ())), **options
        )
        taps = [axis.k for axis in problem.axes]
        return scatter(rows.reshape(*g.shape[:-1], *taps, problem.c), problem.axes)

    return in_chunks(one, (g,), images(problem))


def _input_grad_of_planes(
    problem: Problem, g: jax.Array, w: jax.Array, options: Options
) -> jax.Array:
    """One input channel: a plane of products for each tap, so that rows of pixels lie together."""
    matrix = w.reshape(-1, w.shape[-1])
    taps = [axis.k for axis in problem.axes]

    def one(g: jax.Array) -> jax.Array:
        planes = lax.dot_general(
            matrix, g.reshape(-1, w.shape[-1]), (((1,), (1,)), ((), ())), **options
        )
        planes = lax.optimization_barrier(planes).reshape(*taps, *g.shape[:-1])
        for dim, axis in enumerate(problem.axes):
            # The taps of one axis are used up: the axis after the batch takes their place.
            at = planes.ndim - problem.rank + dim
            planes = add_up(planes, 0, at, axis)
        return planes[..., None]

    return in_chunks(one, (g,), images(problem))


def _filter_grad(problem: Problem, x: jax.Array, g: jax.Array, options: Options) -> jax.Array:
    """One product for each tap of all axes but the last, whose taps lie side by side."""
    if by_planes(problem):
        return _filter_grad_by_planes(problem, x, g, options)
    *outer, last = problem.axes
    f = g.shape[-1]

    def one(x: jax.Array, g: jax.Array) -> jax.Array:
        for dim, axis in enumerate(problem.axes, start=1):
            x = resize(x, dim, axis.p0, rows_read(axis))
        x = lax.optimization_barrier(x)
        side = windows(x, problem.rank, last)
        matrix = g.reshape(-1, f)
        products = []
        for taps in itertools.product(*(range(axis.k) for axis in outer)):
            rows = side
            for dim, (tap, axis) in enumerate(zip(taps, outer, strict=True), start=1):
                rows = _tap(rows, dim, tap, axis)
            rows = rows.reshape(matrix.shape[0], -1)
            # This way round a product of two operands contracted on their rows is faster.
            products.append(lax.dot_general(matrix, rows, (((0,), (0,)), ((), ())), **options))
        return jnp.stack(products)

    grads = in_chunks(one, (x, g), images(problem), total=True)
    return jnp.swapaxes(grads, 1, 2).reshape(problem.out_shape)


def _filter_grad_by_planes(
    problem: Problem, x: jax.Array, g: jax.Array, options: Options
) -> jax.Array:
    """Few input channels: a plane of pixels for each tap and channel, copied in whole rows."""
    *outer, last = problem.axes
    rank, f = problem.rank, g.shape[-1]

    def one(x: jax.Array, g: jax.Array) -> jax.Array:
        for dim, axis in enumerate(problem.axes, start=1):
            rows = rows_read(axis) if dim < rank else -(-rows_read(axis) // last.s) * last.s
            x = resize(x, dim, axis.p0, rows)
        # Pixels s apart on the last axis lie side by side in a plane of their own.
        x = x.reshape(*x.shape[:-2], -1, last.s * problem.c)
        planes = lax.optimization_barrier(jnp.moveaxis(x, -1, 0))
        planes = planes.reshape(last.s, problem.c, *planes.shape[1:])
        near = [divmod(last.d * k, last.s) for k in range(last.k)]
        taps = [lax.slice_in_dim(planes[r], q, q + last.o, axis=-1) for q, r in near]
        planes = lax.optimization_barrier(jnp.stack(taps))
        for dim in reversed(range(len(outer))):
            at, axis = planes.ndim - rank + dim, outer[dim]
            taps = [_tap(planes, at, k, axis) for k in range(axis.k)]
            planes = lax.optimization_barrier(jnp.stack(taps))
        rows = planes.reshape(-1, g.size // f)
        return lax.dot_general(rows, g.reshape(-1, f), (((1,), (0,)), ((), ())), **options)

    grads = in_chunks(one, (x, g), images(problem), total=True)
    return grads.reshape(problem.out_shape)


_LEGS = {"conv": _conv, "input_grad": _input_grad, "filter_grad": _filter_grad}


# --- windows as rows, and back --------------------------------------------------------------


def _tap(x: jax.Array, dim: int, tap: int, axis: Axis) -> jax.Array:
    start = tap * axis.d
    return lax.slice_in_dim(x, start, start + axis.s * (axis.o - 1) + 1, axis.s, axis=dim)


def windows(x: jax.Array, dim: int, axis: Axis) -> jax.Array:
    """One axis of x as its windows, their taps laid side by side before the channels."""
    if axis.k == 1:
        return _tap(x, dim, 0, axis)
    if axis.d == 1 and axis.s == axis.k:
        # The windows lie end to end: a reshape, then the taps move behind the other axes.
        shape = (*x.shape[:dim], axis.o, axis.k, *x.shape[dim + 1 :])
        return _flatten_last(jnp.moveaxis(x.reshape(shape), dim + 1, -2))
    taps = [_tap(x, dim, tap, axis) for tap in range(axis.k)]
    return lax.optimization_barrier(lax.concatenate(taps, x.ndim - 1))


def _flatten_last(x: jax.Array) -> jax.Array:
    return x.reshape(*x.shape[:-2], -1)


def gather(x: jax.Array, axes: tuple[Axis, ...]) -> jax.Array:
    """x (N, i..., C) as a matrix with a row (k..., C) for each window."""
    for dim, axis in enumerate(axes, start=1):
        x = resize(x, dim, axis.p0, rows_read(axis))
    # The last axis first, so that its taps end up fastest.
    for dim in reversed(range(1, len(axes) + 1)):
        x = windows(x, dim, axes[dim - 1])
    return x.reshape(-1, x.shape[-1])


def scatter(rows: jax.Array, axes: tuple[Axis, ...]) -> jax.Array:
    """Rows (N, o..., k..., C) added up to x (N, i..., C): the transpose of gather."""
    rank = len(axes)
    for dim, axis in enumerate(axes, start=1):
        rows = add_up(rows, rank + 1, dim, axis)
    return rows


def add_up(rows: jax.Array, taps: int, dim: int, axis: Axis) -> jax.Array:
    """Put product (o, k) of one axis, `dim` and `taps`, at row s*o + d*k - p0 of x.

    Rows of one residue modulo s are sums of shifted taps; the residues interleave.
    """
    s, d, o = axis.s, axis.d, axis.o
    if s == axis.k and d == 1 and taps == dim + 1:  # they lie as they are to lie
        shape = (*rows.shape[:dim], o * s, *rows.shape[taps + 1 :])
        return resize(rows.reshape(shape), dim, -axis.p0, axis.i)
    shifts = [divmod(d * k, s) for k in range(axis.k)]
    furthest = max(q for q, _ in shifts)
    tap_of = lambda k: lax.index_in_dim(rows, k, taps, keepdims=False)  # noqa: E731
    at = dim - (taps < dim)
    phases = []
    for residue in range(s):
        terms = [
            resize(tap_of(k), at, q, o + furthest)
            for k, (q, r) in enumerate(shifts)
            if r == residue
        ]
        phases.append(sum(terms[1:], terms[0]) if terms else None)
    like = next(phase for phase in phases if phase is not None)
    phases = [jnp.zeros_like(like) if phase is None else phase for phase in phases]
    x = interleave(phases, at) if s > 1 else phases[0]
    return resize(lax.optimization_barrier(x), at, -axis.p0, axis.i)


# --- the record -----------------------------------------------------------------------------


def pointwise(problem: Problem) -> bool:
    return all(axis.k == 1 for axis in problem.axes)


def disjoint(problem: Problem) -> bool:
    """Whether no two windows share a pixel and none is skipped over."""
    return all(axis.k == axis.s and axis.d == 1 for axis in problem.axes)


def by_planes(problem: Problem) -> bool:
    """Whether a filter backprop has so few input channels that their pixels are not worth a run."""
    return problem.leg == "filter_grad" and problem.c <= PLANES and not pointwise(problem)


def images(problem: Problem) -> int:
    """Images to a chunk of the batch."""
    if pointwise(problem):
        return problem.n
    if by_planes(problem):
        return chunk(problem.n, 2 * int(_gathered(problem)) * itemsize(problem.wide_dtype))
    *outer, last = problem.axes
    rows = product([axis.o for axis in problem.axes])
    if problem.leg == "filter_grad":
        taps = math.prod(axis.k for axis in outer)
        rows = product([rows_read(axis) for axis in outer]) * last.o + taps * rows
        held = rows * last.k
    else:
        held = 2 * rows * math.prod(axis.k for axis in problem.axes)  # joined, and as laid out
    return chunk(problem.n, held * problem.c * itemsize(problem.wide_dtype))


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_on_cpu(problem, platform):
        return reason
    if problem.groups > 1:
        return "is for one group"
    if any(axis.b > 1 for axis in problem.axes):
        return "is not for input dilation"
    return None


def _gathered(problem: Problem) -> float:
    """Elements that the windows of one image hold."""
    if pointwise(problem) and all(axis.s == 1 for axis in problem.axes):
        return 0
    taps = [axis.k for axis in problem.axes]
    kept = taps[-1:] if problem.leg == "filter_grad" and not by_planes(problem) else taps
    return product([axis.o for axis in problem.axes]) * math.prod(kept) * problem.c


def _kernels(problem: Problem) -> int:
    if pointwise(problem):
        return 2
    if problem.leg == "input_grad":
        return 2 + sum(2 + axis.s for axis in problem.axes)
    if by_planes(problem):
        return 4 + problem.rank
    products = math.prod(axis.k for axis in problem.axes[:-1])
    return 3 + (2 * products if problem.leg == "filter_grad" else problem.rank)


def cost(problem: Problem, planner: Planner) -> float:
    taps = product([axis.k for axis in problem.axes])
    windows = problem.n * product([axis.o for axis in problem.axes])
    calls = -(-problem.n // images(problem))
    run = problem.axes[-1].o if by_planes(problem) else problem.c
    gathered = problem.n * _cost.in_runs(_gathered(problem), run)
    total = _cost.kernels(_kernels(problem), calls)
    if not pointwise(problem):  # whose operands the product itself reads
        total += _cost.moved(problem, _cost.operands(problem))
        if problem.leg == "conv" or (problem.leg == "filter_grad" and not by_planes(problem)):
            total += _cost.packed(product(problem.shape("w")))  # the filter turned over
    copies = 1 if pointwise(problem) else 3
    held = 2 * _gathered(problem) * images(problem)
    total += _cost.fresh(held * itemsize(problem.wide_dtype))
    if problem.leg == "conv":
        multiply = _cost.dot(problem, windows / calls, taps * problem.c, problem.f)
        return total + calls * multiply + _cost.moved(problem, copies * gathered)
    if problem.leg == "input_grad":
        multiply = _cost.dot(problem, windows / calls, problem.f, taps * problem.c)
        return (
            total
            + calls * multiply
            + _cost.fused(problem, gathered)
            + _cost.moved(problem, 2 * gathered)
        )
    if by_planes(problem):
        multiply = _cost.dot(problem, taps * problem.c, windows / calls, problem.f)
        return total + calls * multiply + _cost.moved(problem, 2 * gathered)
    last = problem.axes[-1].k
    multiply = _cost.turned(problem, problem.f, windows / calls, last * problem.c)
    outer = taps // max(last, 1)
    copies = 1 if pointwise(problem) else 2 + outer
    return total + calls * outer * multiply + _cost.moved(problem, copies * gathered)


def workspace(problem: Problem, platform: str) -> int:
    widened = _cost.widened(problem)
    return widened + int(2 * images(problem) * _gathered(problem)) * itemsize(problem.wide_dtype)


GEMM = Algorithm(
    name="gemm",
    exact=True,
    error=2.0,
    supports=supports,
    cost=cost,
    workspace=workspace,
    run=run,
    # A line's pixels lie in a row, and XLA's own convolution reads them so from jaxlib 0.11 on.
    sure=lambda problem: pointwise(problem) and problem.rank > 1 and FEW_TASKS,
)
