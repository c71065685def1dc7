"""gemm: a leg as one matrix product for each chunk of the batch, its windows laid out as rows.

A kernel of one tap needs no layout, only a stride: the product of the pixels and the filter.
Otherwise `conv` and `filter_grad` gather each window into a row (im2col) and `input_grad` adds
each row of products back to where its window lay (col2im).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import _cost
from jconv._algorithms._arrange import (
    chunk,
    in_chunks,
    precision,
    waiting_chunks,
    widen,
)
from jconv._algorithms._record import Algorithm, Planner, always_local, static
from jconv._algorithms._rows import gather, passes, too_many_places
from jconv._algorithms._scatter import loops, scatter
from jconv._core.geometry import product
from jconv._core.problem import Problem, itemsize
from jconv._core.xla_cpu import FEW_TASKS

Options = dict

MIN_CHANNELS_TO_TRANSPOSE = 192, 128  # (in, out): above, transposing pixels first is faster
MIN_WINDOWS_TO_TRANSPOSE = 1024  # of one product: with fewer, transposing the filter takes longer
MIN_ROWS_TO_TRANSPOSE = 256  # of a filter backprop: with fewer, transposing its result takes longer
MOST_LOOPS = 64  # of an input backprop: each takes about 0.1 s to lower and to compile
COPIED = (16 if FEW_TASKS else 26) << 20  # bytes of them, at most


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    options = {"precision": precision(problem), "preferred_element_type": a.dtype}
    return _LEGS[problem.leg](problem, a, b, options)


def _conv(problem: Problem, x: jax.Array, w: jax.Array, options: Options) -> jax.Array:
    matrix, inner = w.reshape(-1, w.shape[-1]), 0
    if transposes_filter(problem):
        matrix, inner = lax.optimization_barrier(matrix.T), 1

    def one(x: jax.Array) -> jax.Array:
        rows = gather(x, problem.axes)
        y = lax.dot_general(rows, matrix, (((1,), (inner,)), ((), ())), **options)
        return y.reshape(x.shape[0], *(axis.o for axis in problem.axes), w.shape[-1])

    return in_chunks(one, (x,), images(problem))


def _input_grad(problem: Problem, g: jax.Array, w: jax.Array, options: Options) -> jax.Array:
    matrix = w.reshape(-1, w.shape[-1])

    def one(g: jax.Array) -> jax.Array:
        pixels = g.reshape(-1, g.shape[-1])
        rows = lax.dot_general(pixels, matrix, (((1,), (1,)), ((), ())), **options)
        return scatter(rows, problem.axes)

    return in_chunks(one, (g,), images(problem))


def _filter_grad(problem: Problem, x: jax.Array, g: jax.Array, options: Options) -> jax.Array:
    def one(x: jax.Array, g: jax.Array) -> jax.Array:
        rows, pixels = gather(x, problem.axes), g.reshape(-1, g.shape[-1])
        if turned_over(problem):
            # Not the transpose of a matrix, which XLA would make a part of the product again.
            parts = g.shape[0] if g.shape[0] > 1 else g.shape[1]
            rows = jnp.moveaxis(rows.reshape(parts, -1, problem.c), -1, 0).reshape(problem.c, -1)
            return lax.dot_general(rows, pixels, (((1,), (0,)), ((), ())), **options)
        return _contracted(rows, pixels, options)

    grads = in_chunks(one, (x, g), images(problem), total=True)
    return grads.reshape(problem.out_shape)


def _contracted(a: jax.Array, b: jax.Array, options: Options) -> jax.Array:
    """A product of operands contracted on their rows: quicker with the fewer columns first.

    Up to five times, where the others are a power of two; but few rows do not pay for the
    transpose of the result.
    """
    sides = (((0,), (0,)), ((), ()))
    if a.shape[1] <= b.shape[1] or a.shape[0] < MIN_ROWS_TO_TRANSPOSE:
        return lax.dot_general(a, b, sides, **options)
    # Without a barrier XLA makes the transpose a part of the product, the other way round.
    return lax.optimization_barrier(lax.dot_general(b, a, sides, **options)).T


_LEGS = {"conv": _conv, "input_grad": _input_grad, "filter_grad": _filter_grad}


# --- the record -----------------------------------------------------------------------------


def pointwise(problem: Problem) -> bool:
    return all(axis.k == 1 for axis in problem.axes)


def transposes_filter(problem: Problem) -> bool:
    """Whether the forward leg's filter is transposed first: a copy that few windows do not pay."""
    windows = images(problem) * _windows(problem)
    return not pointwise(problem) and windows >= MIN_WINDOWS_TO_TRANSPOSE


def turned_over(problem: Problem) -> bool:
    """Whether the filter backprop of one tap turns its pixels over.

    A product contracted on its operands' rows is slow where both of them have many columns.
    """
    strided = any(axis.s > 1 for axis in problem.axes)  # which is a copy by itself
    if problem.leg != "filter_grad" or not pointwise(problem) or strided:
        return False
    if problem.c < MIN_CHANNELS_TO_TRANSPOSE[0] or problem.f < MIN_CHANNELS_TO_TRANSPOSE[1]:
        return False
    return problem.n * _pixels(problem) * itemsize(problem.wide_dtype) <= COPIED


def _pixels(problem: Problem) -> int:
    """Elements of an image that one tap reads."""
    return math.prod(axis.o for axis in problem.axes) * problem.c


def images(problem: Problem) -> int:
    """Images to a chunk of the batch."""
    if pointwise(problem):
        return problem.n
    return chunk(problem.n, _laid_out(problem) * itemsize(problem.wide_dtype))


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static(problem, platform):
        return reason
    if problem.groups > 1:
        return "is for one group"
    if any(axis.b > 1 for axis in problem.axes):
        return "is not for input dilation"
    if problem.leg == "input_grad" and loops(problem.axes) > MOST_LOOPS:
        return f"takes over {MOST_LOOPS} loops to add its products up, which compile slowly"
    return too_many_places(problem.axes)


def _windows(problem: Problem) -> int:
    """Of an image."""
    return math.prod(axis.o for axis in problem.axes)


def _taps(problem: Problem) -> int:
    return math.prod(axis.k for axis in problem.axes)


def _laid_out(problem: Problem) -> int:
    """Elements of an image's temporaries: its windows as rows, or products for them."""
    if problem.leg == "input_grad":
        return _windows(problem) * _taps(problem) * problem.c
    if turned_over(problem):
        return _pixels(problem)
    return sum(each.elements for each in passes(problem.axes, problem.c) if each.copies)


def cost(problem: Problem, planner: Planner) -> float:
    taps, windows = _taps(problem), problem.n * _windows(problem)
    chunks = -(-problem.n // images(problem))
    held = _laid_out(problem)
    total = _cost.fresh(held * images(problem) * itemsize(problem.wide_dtype))
    if problem.leg == "input_grad":
        multiply = _cost.dot(problem, windows / chunks, problem.f, taps * problem.c)
        added = 0 if pointwise(problem) else problem.n * held
        total += _cost.fused(problem, added) + _cost.moved(problem, added)
        kernels = 1 + loops(problem.axes)
        return total + chunks * multiply + _cost.kernels(kernels, chunks)
    copies = [each for each in passes(problem.axes, problem.c) if each.copies]
    total += _cost.kernels(2 + len(copies), chunks)
    for each in copies:
        total += _cost.moved(problem, problem.n * _cost.in_runs(each.elements, each.run))
    if problem.leg == "conv":
        if transposes_filter(problem):
            total += _cost.turned_over(problem, product(problem.shape("w")))
        return total + chunks * _cost.dot(problem, windows / chunks, taps * problem.c, problem.f)
    if turned_over(problem):
        multiply = _cost.dot(problem, problem.c, windows / chunks, problem.f)
        return total + chunks * multiply + _cost.moved(problem, 2 * problem.n * held)
    fewer, more = sorted((problem.f, taps * problem.c))
    return total + chunks * _cost.turned(problem, fewer, windows / chunks, more)


def workspace(problem: Problem, platform: str) -> int:
    size = images(problem)
    held = size * _laid_out(problem) * itemsize(problem.wide_dtype)
    if problem.leg == "input_grad" and all(axis.k == axis.s == 1 for axis in problem.axes):
        held = 0  # the products are the result
    if size < problem.n:  # what a chunk reads is cut out for it
        read = {"conv": "x", "input_grad": "y", "filter_grad": "xy"}[problem.leg]
        elements = sum(math.prod(problem.shape(slot)) for slot in ("x", "y") if slot in read)
        held += size * elements // problem.n * itemsize(problem.wide_dtype)
    if problem.leg != "filter_grad":  # whose chunks are added up
        result = product(problem.out_shape) * itemsize(problem.wide_dtype)
        held += waiting_chunks(problem.n, size, result)
    return _cost.widened(problem) + held


def _margin(problem: Problem) -> float:
    if problem.rank == 1 or (pointwise(problem) and not FEW_TASKS):
        return 1.4  # XLA's own convolution reads what lies in a row as a product does
    if pointwise(problem):
        return 1.0
    # Few kernels lose less to cores that are apart, but filter backprops are predicted less well.
    return 1.25 if problem.leg == "filter_grad" else 1.1


GEMM = Algorithm(
    name="gemm",
    exact=True,
    error=2.0,
    supports=supports,
    cost=cost,
    workspace=workspace,
    run=run,
    local=always_local,
    margin=_margin,
)
