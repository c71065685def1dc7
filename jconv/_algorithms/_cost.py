"""Predicted seconds on a CPU: what every algorithm's cost is made of.

Four mechanisms explain the times: matrix products, XLA's own convolution, fused sums of slices,
and memory moved; and each kernel has a price of its own, to call and to compile. The constants
are fitted to measurements (benchmarks/cost_model) on one machine. Only comparisons mean
anything, and those carry over to machines of another speed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from jconv._core.geometry import Axis, product
from jconv._core.problem import OPERANDS, OUTPUT, Problem, itemsize
from jconv._core.xla_cpu import FEW_TASKS


@dataclasses.dataclass(frozen=True)
class Constants:
    """Rates a second, and the sizes at which half of one is reached.

    Fitted, direct's to its own times first, and then moved a little one after another, as far as
    the choices among the same measurements got better by it: the report has what they choose.
    Those of products are from products timed by themselves (products.py), but for one that is
    turned, which is fitted to gemm's filter backprops alone. Two were set by hand after that:
    `conv_spread`, which the choices could do without and the times could not, and `transformed`.
    """

    dot: float = 4.2e11  # operations of a matrix product with no short side
    dot_rows: float = 9.3
    dot_inner: float = 3.5
    dot_columns: float = 17
    dot_turned: float = 12  # columns of a batch whose operands are contracted on their rows
    turned: float = 3.3e11  # operations of one product of that kind
    turned_rows: float = 3.7
    turned_columns: float = 6.5
    product: float = 4.5e-5  # seconds for a product of any size
    batch: float = 6.35e11  # operations of products that are a batch
    conv: float = 3.7e11  # operations of XLA's convolution with many channels
    conv_inner: float = 4.55  # products to a window
    conv_columns: float = 9.21
    conv_outputs: float = 4.11  # of an image: few, where they are a filter's taps
    conv_ragged: float = 0.72  # of its rate where the channels made are no whole vectors
    conv_spread: float = 0.9  # of that where taps lie apart
    conv_unpadded: float = 0.861  # of that where nothing pads an image
    packed: float = 9.42e8  # elements of a filter rearranged by one thread
    turned_over: float = 1.12e10  # bytes of arrays whose rows and columns change places
    conv_alone: float = 0.366  # of what the threads lose in it that have no task
    conv_odd: float = 6.09e7  # windows over pixels that are no whole vectors
    volume: float = 1.02e9  # elements of windows on three axes, packed as whole vectors
    volume_apart: float = 1.71e8  # and packed one by one
    dilated: float = 1.97e11  # the same with input dilation
    dilated_holes: float = 32.8
    scalar: float = 8.14e8  # the same with groups, for each channel that a group makes
    bytes: float = 2.5e10  # operations of int8 into int32
    bytes_grouped: float = 1.5e8  # the same with groups, for each channel that a group makes
    integers: float = 5e9  # operations of a matrix product of integers: XLA has a loop nest
    loops: float = 1.47e9  # operations where XLA has only a loop nest: other dtypes or ranks
    swapped: float = 3e9  # operations inside of x where XLA swaps a convolution's operands
    swapped_filter: float = 1e6  # bytes of a filter with which it takes twice as long
    fused: float = 5.92e10  # terms of a fused sum of slices
    fused_pairs: float = 8.36e10  # products of windows and outputs, summed over these
    pairs_run: float = 31.5  # channels of one group, or groups of one channel, side by side
    transformed: float = 4.5e10  # terms of a Winograd tile's transforms
    bandwidth: float = 6.3e10  # bytes
    run: float = 11.8  # elements of a run of which copies take twice as long as of a long one
    fresh: float = 3.59e9  # bytes of temporaries beyond what the allocator keeps
    spectra: float = 4.71e9  # points of a Fourier transform, for each factor of two in its size
    spectral: float = 1.78e9  # products of spectra
    long_sums: float = 2.54e9  # terms of a sum of over LONG slices, which XLA does not vectorise
    call: float = 3.55e-9  # seconds for a kernel
    wide: float = 0.5  # a float64's rate, of a float32's


LONG = 100
THREADS = 2  # of the machine that the constants are from
SMALL = 16  # channels up to which there are few
TASK, ASPECT, AREA, EFFORT = 64, 4, 1 << 16, 1 << 16  # see task
VECTOR = 4  # elements that XLA's convolution packs at once
COMPILE = 0.015  # seconds to compile a kernel
COMPILE_AGAIN = 0.001  # and for each place that it is called in
KEPT = 1 << 25  # bytes: glibc gives larger blocks back at once
RUNS = 3e3  # over which a compilation should have paid

# XLA of jaxlib 0.11 on has other convolutions: what is measured there is told by itself.
NEWER = Constants(
    dot=4.3e11,
    dot_rows=9.8,
    dot_inner=0.7,
    dot_columns=19,
    turned_rows=7.8,
    product=3.9e-5,
    batch=8.33e11,
    conv=4.94e11,
    conv_inner=0.339,
    conv_columns=14.1,
    conv_outputs=7,
    conv_ragged=0.757,
    conv_unpadded=1.07,
    packed=5.99e8,
    turned_over=4.61e9,
    conv_alone=0.335,
    conv_odd=1.01e8,
    volume=9.19e8,
    volume_apart=1.6e8,
    dilated=1.93e11,
    dilated_holes=10.6,
    scalar=1.31e9,
    loops=1.19e9,
    fused=6.5e10,
    fused_pairs=8.03e10,
    pairs_run=20.9,
    transformed=4.58e10,
    bandwidth=7e10,
    run=11.5,
    fresh=4.16e9,
    spectra=5.45e9,
    spectral=3.39e9,
    long_sums=2.4e9,
    call=2.12e-8,
)

CONSTANTS = Constants() if FEW_TASKS else NEWER


def _share(size: float, half: float) -> float:
    return size / (size + half)


def dot(problem: Problem, rows: float, inner: float, columns: float) -> float:
    """Seconds of a matrix product of (rows, inner) and (inner, columns)."""
    return CONSTANTS.product + _multiplied(problem, rows, inner, columns)


def turned(problem: Problem, rows: float, inner: float, columns: float) -> float:
    """Seconds of a product of (inner, rows), transposed first, and (inner, columns)."""
    c = CONSTANTS
    rate = c.turned * _share(rows, c.turned_rows) * _share(columns, c.turned_columns)
    return c.product + 2 * rows * inner * columns / (rate * _width(problem))


def batch(problem: Problem, count: float, rows: float, inner: float, columns: float) -> float:
    """Seconds of `count` products in one call; up to jaxlib 0.10 they run one after another."""
    once = alone(rows, inner, columns) * _multiplied(problem, rows, inner, columns)
    return count * once * CONSTANTS.dot / CONSTANTS.batch


def batch_turned(
    problem: Problem, count: float, rows: float, inner: float, columns: float
) -> float:
    """Seconds of `count` products in one call whose first operand is transposed."""
    once = _multiplied(problem, rows, inner, columns)
    return count * once / _share(columns, CONSTANTS.dot_turned)


def _multiplied(problem: Problem, rows: float, inner: float, columns: float) -> float:
    c = CONSTANTS
    if "int" in problem.wide_dtype:
        return 2 * rows * inner * columns / c.integers
    rate = c.dot * _share(rows, c.dot_rows) * _share(inner, c.dot_inner)
    return 2 * rows * inner * columns / (rate * _share(columns, c.dot_columns) * _width(problem))


def fused(problem: Problem, terms: float) -> float:
    """Seconds of a sum of slices that has `terms` terms in all."""
    return terms / (CONSTANTS.fused * _width(problem))


def transformed(problem: Problem, terms: float) -> float:
    """Seconds of the sums of slices that transform a tile; `terms` in all."""
    return terms / (CONSTANTS.transformed * _width(problem))


def taps(problem: Problem, terms: float, count: int) -> float:
    """Seconds of sums of `count` slices each; `terms` terms in all."""
    return terms / CONSTANTS.long_sums if count > LONG else fused(problem, terms)


def fused_pairs(problem: Problem, terms: float, run: float) -> float:
    """Seconds of a loop that adds up `terms` products; `run` channels of them lie side by side."""
    rate = CONSTANTS.fused_pairs * _share(run, CONSTANTS.pairs_run)
    return terms / (rate * _width(problem))


def convolution(problem: Problem, axes: Sequence[Axis], inner: float, columns: float) -> float:
    """Seconds of XLA's own convolution from `inner` to `columns` channels."""
    c = CONSTANTS
    holes = product([axis.b for axis in axes])
    windows = product([axis.o * axis.k for axis in axes])  # pads and holes included
    operations = 2 * problem.n * problem.groups * problem.c * problem.f * windows
    if problem.sums_bytes:
        return c.product + operations / holes / _bytes_rate(problem, columns)
    if problem.wide_dtype != "float32" or len(axes) > 3:
        return operations / holes / c.loops
    if operands_swapped(axes) and problem.groups == 1:
        filter_bytes = itemsize(problem.wide_dtype) * _taps(axes) * inner * columns
        # Windows outside of x are skipped: an output meets at most as many taps as x has pixels.
        met = product([axis.o * min(axis.i, axis.k) for axis in axes])
        rate = c.swapped / (1 + filter_bytes / c.swapped_filter)
        return c.product + 2 * problem.n * problem.c * problem.f * met / rate
    if len(axes) == 3:
        return c.product + _volume(axes, operations, inner, columns)
    if problem.groups > 1:
        return operations / (c.scalar * columns)
    if holes > 1:
        rate = c.dilated * (1 - _share(holes, c.dilated_holes))
    else:
        rate = c.conv * _share(inner * product([axis.k for axis in axes]), c.conv_inner)
        if len(axes) > 1:  # on a line nothing was lost by it
            rate *= _share(product([axis.o for axis in axes]), c.conv_outputs)
        rate *= 1.0 if columns % VECTOR == 0 else c.conv_ragged
        rate *= c.conv_spread if any(axis.d > 1 for axis in axes) else 1.0
        rate *= c.conv_unpadded if all(max(axis.pads) <= 0 for axis in axes) else 1.0
    rate *= _share(columns, c.conv_columns)
    seconds = operations / holes / rate
    backprop = problem.leg == "filter_grad"
    if inner % VECTOR and not backprop and not _few(inner, columns):
        seconds += problem.n * product([axis.o for axis in axes]) / c.conv_odd
    if holes == 1:
        seconds *= idle(axes, inner, columns)
    return c.product + seconds


def _bytes_rate(problem: Problem, columns: float) -> float:
    """Operations a second of XLA's convolution of int8 into int32."""
    c = CONSTANTS
    rate = c.bytes if problem.rank == 2 else c.integers  # its fast library takes two axes
    return min(rate, c.bytes_grouped * columns) if problem.groups > 1 else rate


def operands_swapped(axes: Sequence[Axis]) -> bool:
    """Whether XLA makes x the filter: it does where a filter has more taps than x has pixels.

    What comes out reads reversed windows, for which XLA's CPU library has only a loop nest.
    """
    return _taps(axes) > product([axis.i for axis in axes])


def _taps(axes: Sequence[Axis]) -> int:
    return product([axis.k for axis in axes])


def _volume(axes: Sequence[Axis], operations: float, inner: float, columns: float) -> float:
    """The same on three axes, where what takes the time is to pack windows, holes included."""
    apart = inner % VECTOR or any(axis.d > 1 or axis.b > 1 for axis in axes)
    packing = CONSTANTS.volume_apart if apart else CONSTANTS.volume
    rate = CONSTANTS.conv * _share(columns, CONSTANTS.conv_columns)
    return operations / rate + operations / (2 * columns * packing)


def _few(inner: float, columns: float) -> bool:
    """Whether there are so few channels that XLA's convolution was not seen to lose by them."""
    return inner == 1 or max(inner, columns) <= SMALL


def packed(elements: float) -> float:
    """A filter's elements in another order."""
    return elements / CONSTANTS.packed


def idle(axes: Sequence[Axis], inner: float, columns: float) -> float:
    """How many times as long XLA's convolution takes for want of tasks for every thread.

    Up to jaxlib 0.10 it is split by channels made and along the last axis only.
    """
    if len(axes) != 2 or _few(inner, columns):
        return 1.0
    return alone(axes[-1].o, inner * product([axis.k for axis in axes]), columns)


def alone(rows: float, inner: float, columns: float) -> float:
    """The same of a product of these sizes: where there is one task, it runs alone."""
    if not FEW_TASKS:
        return 1.0
    wide, deep = task(rows, inner, columns)
    tasks = math.ceil(rows / wide) * math.ceil(columns / deep)
    times = THREADS * math.ceil(tasks / THREADS) * wide * deep / (rows * columns)
    return 1 + CONSTANTS.conv_alone * max(0.0, times - 1)


def task(rows: float, inner: float, columns: float) -> tuple[float, float]:
    """Rows and columns of a task of XLA's products, up to jaxlib 0.10.

    At least 64 by 64, they grow until a task takes some effort.
    """
    terms = min(inner, 1024)
    least = min(rows, TASK) * min(columns, TASK)
    wide, deep = min(rows, 16), min(columns, TASK)
    while wide * deep < least or ((wide + deep) * terms < EFFORT and wide * deep < AREA):
        if (ASPECT * deep <= wide or wide >= rows) and deep < columns:
            deep *= 2
        elif (wide <= ASPECT * deep or deep >= columns) and wide < rows:
            wide *= 2
        else:
            break
    return min(wide, rows), min(deep, columns)


def spectra(problem: Problem, points: float, size: int) -> float:
    """Seconds of Fourier transforms of size `size` that have `points` points in all."""
    return points * math.log2(max(size, 2)) / CONSTANTS.spectra


def spectral(problem: Problem, products: float) -> float:
    return products / CONSTANTS.spectral


def moved(problem: Problem, elements: float) -> float:
    return elements * itemsize(problem.wide_dtype) / CONSTANTS.bandwidth


def turned_over(problem: Problem, elements: float) -> float:
    """Seconds to transpose `elements` elements."""
    return elements * itemsize(problem.wide_dtype) / CONSTANTS.turned_over


def in_runs(elements: float, run: float) -> float:
    """The elements that a copy in long runs moves while these are copied in runs of `run`."""
    return elements * (1 + CONSTANTS.run / run)


def fresh(size: float) -> float:
    """Seconds that new memory pages take on every call, for temporaries of `size` bytes."""
    return size / CONSTANTS.fresh if size > KEPT else 0.0


def kernels(count: float, calls: float = 1.0) -> float:
    """Seconds of `count` kernels, each called `calls` times, with their share of compiling."""
    return count * (calls * CONSTANTS.call + (COMPILE + calls * COMPILE_AGAIN) / RUNS)


def _width(problem: Problem) -> float:
    return CONSTANTS.wide if itemsize(problem.wide_dtype) == 8 else 1.0


def operands(problem: Problem) -> float:
    """Elements read and written, once each."""
    slots = (*OPERANDS[problem.leg], OUTPUT[problem.leg])
    return sum(product(problem.shape(slot)) for slot in slots)


def widened(problem: Problem) -> int:
    """Bytes of operands and result in the dtype computed in, where that is not their own."""
    slots = (*OPERANDS[problem.leg], OUTPUT[problem.leg])
    wide = problem.wide_dtype
    copies = [product(problem.shape(s)) for s in slots if problem.dtype(s) != wide]
    return sum(copies) * itemsize(wide)
