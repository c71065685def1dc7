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
    precision,
    rows_read,
    widen,
)
from jconv._algorithms._record import MARGIN, Algorithm, Planner, static_on_cpu
from jconv._algorithms._rows import add_up, gather, resize_all, scatter, tap_of, windows
from jconv._algorithms._window import resize
from jconv._geometry import product
from jconv._jax import FEW_TASKS
from jconv._problem import Problem, itemsize

Options = dict

TURNED = 192  # channels from which on pixels turned over make a quicker product, copy included
COPIED = (16 if FEW_TASKS else 26) << 20  # bytes of them, at most
PLANES = 8  # input channels up to which a filter backprop copies rows of pixels, not of channels


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    options = {"precision": precision(problem), "preferred_element_type": a.dtype}
    legs = _POINTWISE if pointwise(problem) else _LEGS
    return legs[problem.leg](problem, a, b, options)


# --- one tap: pixels as rows ------------------------------------------------------------------


def _pointwise_conv(problem: Problem, x: jax.Array, w: jax.Array, options: Options) -> jax.Array:
    rows = gather(x, problem.axes)
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
    columns = g.reshape(-1, g.shape[-1])
    if turned_over(problem):
        x = resize_all(x, problem.axes)
        # Not the transpose of a matrix, which XLA would make a part of the product again.
        x = x.reshape(x.shape[0] if x.shape[0] > 1 else x.shape[1], -1, problem.c)
        rows = jnp.moveaxis(x, -1, 0).reshape(problem.c, -1)
        w = lax.dot_general(rows, columns, (((1,), (0,)), ((), ())), **options)
    else:
        rows = gather(x, problem.axes)
        w = lax.dot_general(rows, columns, (((0,), (0,)), ((), ())), **options)
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
        x = lax.optimization_barrier(resize_all(x, problem.axes))
        side = windows(x, problem.rank, last)
        matrix = g.reshape(-1, f)
        products = []
        for taps in itertools.product(*(range(axis.k) for axis in outer)):
            rows = side
            for dim, (tap, axis) in enumerate(zip(taps, outer, strict=True), start=1):
                rows = tap_of(rows, dim, tap, axis)
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
            taps = [tap_of(planes, at, k, axis) for k in range(axis.k)]
            planes = lax.optimization_barrier(jnp.stack(taps))
        rows = planes.reshape(-1, g.size // f)
        return lax.dot_general(rows, g.reshape(-1, f), (((1,), (0,)), ((), ())), **options)

    grads = in_chunks(one, (x, g), images(problem), total=True)
    return grads.reshape(problem.out_shape)


_LEGS = {"conv": _conv, "input_grad": _input_grad, "filter_grad": _filter_grad}


# --- the record -----------------------------------------------------------------------------


def pointwise(problem: Problem) -> bool:
    return all(axis.k == 1 for axis in problem.axes)


def turned_over(problem: Problem) -> bool:
    """Whether the filter backprop of one tap turns its pixels over.

    A product contracted on its operands' rows is slow where the first of them has many columns.
    """
    strided = any(axis.s > 1 for axis in problem.axes)  # which is a copy by itself
    if problem.leg != "filter_grad" or not pointwise(problem) or strided or problem.c < TURNED:
        return False
    return problem.n * _pixels(problem) * itemsize(problem.wide_dtype) <= COPIED


def _pixels(problem: Problem) -> int:
    """Elements of an image that one tap reads."""
    return math.prod(axis.o for axis in problem.axes) * problem.c


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
        return _pixels(problem) if turned_over(problem) else 0
    taps = [axis.k for axis in problem.axes]
    kept = taps[-1:] if problem.leg == "filter_grad" and not by_planes(problem) else taps
    return product([axis.o for axis in problem.axes]) * math.prod(kept) * problem.c


def _interleaved(problem: Problem) -> int:
    """Elements of an image that residues are joined to, axis after axis, in an input backprop."""
    total, axes = 0, problem.axes
    for dim, axis in enumerate(axes):
        lie = dim == len(axes) - 1 and axis.k == axis.s and axis.d == 1
        if axis.s > 1 and not (lie or pointwise(problem)):
            done = math.prod(each.i for each in axes[: dim + 1])
            total += done * math.prod(each.o * each.k for each in axes[dim + 1 :]) * problem.c
    return total


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
    copies = 1 if pointwise(problem) or disjoint(problem) else 3
    held = (1 if pointwise(problem) else 2) * _gathered(problem) * images(problem)
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
            + _cost.moved(problem, 2 * (gathered + problem.n * _interleaved(problem)))
        )
    if by_planes(problem):
        multiply = _cost.dot(problem, taps * problem.c, windows / calls, problem.f)
        return total + calls * multiply + _cost.moved(problem, 2 * gathered)
    last = problem.axes[-1].k
    if turned_over(problem):
        multiply = _cost.dot(problem, problem.c, windows / calls, problem.f)
        return total + calls * multiply + _cost.moved(problem, 2 * gathered)
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
    margin=lambda problem: 1.0 if pointwise(problem) and problem.rank > 1 and FEW_TASKS else MARGIN,
)
