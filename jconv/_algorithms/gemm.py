"""gemm: a leg as one matrix product for each chunk of the batch.

With a kernel of one tap it is the product of the pixels, strided if need be, and the filter.
Otherwise `conv` and `filter_grad` copy each window into a row of a matrix (im2col), and
`input_grad` adds each row of products back to where its window lies in x (col2im).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import cost
from jconv._algorithms.batches import chunk, in_chunks, unjoined_bytes
from jconv._algorithms.col2im import col2im, count_loops
from jconv._algorithms.compiling import OfPart, Work
from jconv._algorithms.im2col import im2col, passes
from jconv._algorithms.legs import precision, widen
from jconv._algorithms.record import Algorithm, Planner, always_local, static
from jconv._algorithms.windows import mask_too_large
from jconv._core.geometry import product
from jconv._core.problem import Problem, itemsize
from jconv._core.xla_cpu import FEW_TASKS

Options = dict

MIN_CHANNELS_TO_TRANSPOSE = 192, 128  # (in, out); with more, transposing pixels first is faster
MIN_WINDOWS_TO_TRANSPOSE = 1024  # windows of a product that pay for transposing the filter
MIN_PIXELS_TO_TRANSPOSE = 256  # pixels of a filter backprop that pay for transposing its result
MAX_TRANSPOSED_BYTES = (16 if FEW_TASKS else 26) << 20  # bytes of pixels; more leave the cache
MAX_LOOPS = 64  # loops of an input backprop; each takes about 0.1 s to lower and to compile


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    options = {"precision": precision(problem), "preferred_element_type": a.dtype}
    return _LEGS[problem.leg](problem, a, b, options)


def _conv(problem: Problem, x: jax.Array, w: jax.Array, options: Options) -> jax.Array:
    matrix, inner = w.reshape(-1, w.shape[-1]), 0
    if transposes_filter(problem):
        matrix, inner = lax.optimization_barrier(matrix.T), 1

    def one(x: jax.Array) -> jax.Array:
        rows = im2col(x, problem.axes)
        y = lax.dot_general(rows, matrix, (((1,), (inner,)), ((), ())), **options)
        return y.reshape(x.shape[0], *(axis.o for axis in problem.axes), w.shape[-1])

    return in_chunks(one, (x,), images(problem))


def _input_grad(problem: Problem, g: jax.Array, w: jax.Array, options: Options) -> jax.Array:
    matrix = w.reshape(-1, w.shape[-1])

    def one(g: jax.Array) -> jax.Array:
        pixels = g.reshape(-1, g.shape[-1])
        rows = lax.dot_general(pixels, matrix, (((1,), (1,)), ((), ())), **options)
        return col2im(rows, problem.axes)

    return in_chunks(one, (g,), images(problem))


def _filter_grad(problem: Problem, x: jax.Array, g: jax.Array, options: Options) -> jax.Array:
    def one(x: jax.Array, g: jax.Array) -> jax.Array:
        rows, pixels = im2col(x, problem.axes), g.reshape(-1, g.shape[-1])
        if transposes_pixels(problem):
            # The transpose of a plain matrix, XLA would make a part of the product again.
            parts = g.shape[0] if g.shape[0] > 1 else g.shape[1]
            rows = jnp.moveaxis(rows.reshape(parts, -1, problem.c), -1, 0).reshape(problem.c, -1)
            return lax.dot_general(rows, pixels, (((1,), (0,)), ((), ())), **options)
        return _contracted(rows, pixels, options)

    grads = in_chunks(one, (x, g), images(problem), total=True)
    return grads.reshape(problem.out_shape)


def _contracted(a: jax.Array, b: jax.Array, options: Options) -> jax.Array:
    """The product of a's transpose and b, computed with the operand of fewer columns first.

    That is up to five times faster where the other's columns are a power of two. With few pixels
    it does not pay for the transpose of the result.
    """
    sides = (((0,), (0,)), ((), ()))
    if a.shape[1] <= b.shape[1] or a.shape[0] < MIN_PIXELS_TO_TRANSPOSE:
        return lax.dot_general(a, b, sides, **options)
    # Without a barrier XLA would undo this: it makes the transpose a part of the product.
    return lax.optimization_barrier(lax.dot_general(b, a, sides, **options)).T


_LEGS = {"conv": _conv, "input_grad": _input_grad, "filter_grad": _filter_grad}


# --- the record -----------------------------------------------------------------------------


def pointwise(problem: Problem) -> bool:
    """Whether the kernel has one tap."""
    return all(axis.k == 1 for axis in problem.axes)


def transposes_filter(problem: Problem) -> bool:
    """Whether the forward leg transposes its filter first: few windows do not pay for the copy."""
    windows = images(problem) * _windows(problem)
    return not pointwise(problem) and windows >= MIN_WINDOWS_TO_TRANSPOSE


def transposes_pixels(problem: Problem) -> bool:
    """Whether the filter backprop of one tap transposes its pixels before the product.

    The product would otherwise sum over the rows of both operands, which is slow where both have
    many columns.
    """
    strided = any(axis.s > 1 for axis in problem.axes)  # strided pixels are a copy already
    if problem.leg != "filter_grad" or not pointwise(problem) or strided:
        return False
    if problem.c < MIN_CHANNELS_TO_TRANSPOSE[0] or problem.f < MIN_CHANNELS_TO_TRANSPOSE[1]:
        return False
    return problem.n * _pixels(problem) * itemsize(problem.wide_dtype) <= MAX_TRANSPOSED_BYTES


def _pixels(problem: Problem) -> int:
    """Elements that one tap reads of an image."""
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
        return "only supports one group"
    if any(axis.b > 1 for axis in problem.axes):
        return "does not support input dilation"
    if problem.leg == "input_grad" and count_loops(problem.axes) > MAX_LOOPS:
        return f"would take over {MAX_LOOPS} loops, which compile slowly"
    return mask_too_large(problem.axes)


def _windows(problem: Problem) -> int:
    """Windows of an image."""
    return math.prod(axis.o for axis in problem.axes)


def _taps(problem: Problem) -> int:
    return math.prod(axis.k for axis in problem.axes)


def _laid_out(problem: Problem) -> int:
    """Elements of an image's temporaries: its windows as rows, or the products of these."""
    if problem.leg == "input_grad":
        return _windows(problem) * _taps(problem) * problem.c
    if transposes_pixels(problem):
        return _pixels(problem)
    return sum(each.elements for each in passes(problem.axes, problem.c) if each.copies)


def seconds(problem: Problem, planner: Planner) -> float:
    taps, windows = _taps(problem), problem.n * _windows(problem)
    chunks = -(-problem.n // images(problem))
    held = _laid_out(problem)
    total = cost.fresh_pages(held * images(problem) * itemsize(problem.wide_dtype))
    if problem.leg == "input_grad":
        multiply = cost.dot(problem, windows / chunks, problem.f, taps * problem.c)
        added = 0 if pointwise(problem) else problem.n * held
        total += cost.sums_of_slices(problem, added) + cost.moved(problem, added)
        kernels = 1 + count_loops(problem.axes)
        return total + chunks * multiply + cost.kernels(kernels, chunks)
    copies = [each for each in passes(problem.axes, problem.c) if each.copies]
    total += cost.kernels(2 + len(copies), chunks)
    for each in copies:
        total += cost.moved(problem, problem.n * cost.as_long_runs(each.elements, each.run))
    if problem.leg == "conv":
        if transposes_filter(problem):
            total += cost.transposed(problem, product(problem.shape("w")))
        return total + chunks * cost.dot(problem, windows / chunks, taps * problem.c, problem.f)
    if transposes_pixels(problem):
        multiply = cost.dot(problem, problem.c, windows / chunks, problem.f)
        return total + chunks * multiply + cost.moved(problem, 2 * problem.n * held)
    fewer, more = sorted((problem.f, taps * problem.c))
    return total + chunks * cost.transposed_dot(problem, fewer, windows / chunks, more)


def workspace(problem: Problem, platform: str) -> int:
    size = images(problem)
    held = size * _laid_out(problem) * itemsize(problem.wide_dtype)
    if problem.leg == "input_grad" and all(axis.k == axis.s == 1 for axis in problem.axes):
        held = 0  # the products are the result
    if size < problem.n:  # the images that a chunk reads are cut out for it
        read = {"conv": "x", "input_grad": "y", "filter_grad": "xy"}[problem.leg]
        elements = sum(math.prod(problem.shape(slot)) for slot in ("x", "y") if slot in read)
        held += size * elements // problem.n * itemsize(problem.wide_dtype)
    if problem.leg != "filter_grad":  # chunks of that are added up
        result = product(problem.out_shape) * itemsize(problem.wide_dtype)
        held += unjoined_bytes(problem.n, size, result)
    return cost.widened(problem) + held


def compiling(problem: Problem, of_part: OfPart) -> Work:
    if pointwise(problem):
        return Work(kernels=1)
    chunks = -(-problem.n // images(problem))
    if problem.leg != "input_grad":
        return Work(kernels=6).again(chunks - 1)
    counts = (-(-axis.k // axis.s) if axis.d == 1 else axis.k for axis in problem.axes)
    terms = math.prod(counts) * problem.rank
    return Work(1 + count_loops(problem.axes), 0, terms).again(chunks - 1)


def margin(problem: Problem) -> float:
    if problem.rank == 1 or (pointwise(problem) and not FEW_TASKS):
        return 1.4  # factor; XLA's own convolution reads these pixels as well as a product does
    if pointwise(problem):
        return 1.0
    # Few kernels lose little on cores without a common cache; predictions of filter backprops are
    # less accurate. But where the channels of x fill no vectors, XLA's own convolution takes up to
    # ten times as long as predicted on some processors.
    odd = problem.c > 1 and problem.c % cost.CONSTANTS.conv_vector
    if problem.leg == "filter_grad":
        return 1.15 if odd else 1.25
    return 1.05 if odd and problem.leg == "conv" else 1.1


GEMM = Algorithm(
    name="gemm",
    supports=supports,
    cost=seconds,
    workspace=workspace,
    compiling=compiling,
    run=run,
    local=always_local,
    margin=margin,
)
