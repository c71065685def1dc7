"""Predicted seconds on a CPU: what every algorithm's cost is made of.

Four mechanisms explain the times: matrix products, XLA's own convolution, fused loops over slices,
and memory moved. Each kernel adds a price of its own, to call and to compile. The constants
stand in `cost_constants`; benchmarks/cost_model measures and fits them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from jconv._algorithms.cost_constants import CONSTANTS
from jconv._core.geometry import Axis, product
from jconv._core.problem import OPERANDS, OUTPUT, Problem, Slot, itemsize
from jconv._core.xla_cpu import FEW_TASKS


def _share(size: float, half: float) -> float:
    """The share of a full rate that is reached at a size, where `half` reaches one half."""
    return size / (size + half)


def _width(problem: Problem) -> float:
    """The share of float32's rate at which the leg's dtype is computed."""
    return CONSTANTS.float64_share ** math.log2(max(itemsize(problem.wide_dtype), 4) / 4)


def _dot_share(problem: Problem) -> float:
    """The share of float32's rate at which products of matrices of the leg's dtype are made."""
    share = CONSTANTS.complex_dot_share if _complex(problem) else 1.0
    double = problem.wide_dtype in ("float64", "complex128")
    return share * (CONSTANTS.float64_share if double else 1.0)


def _complex(problem: Problem) -> bool:
    return "complex" in problem.wide_dtype


# --- matrix products --------------------------------------------------------------------------


def dot(problem: Problem, rows: float, inner: float, columns: float) -> float:
    """Seconds of a matrix product of (rows, inner) and (inner, columns)."""
    return CONSTANTS.dot_start + _multiplied(problem, rows, inner, columns)


def transposed_dot(problem: Problem, rows: float, inner: float, columns: float) -> float:
    """Seconds of a product of (inner, rows), transposed first, and (inner, columns)."""
    c = CONSTANTS
    rate = c.transposed_dot_rate * _share(rows, c.transposed_dot_half_rows)
    rate *= _share(columns, c.transposed_dot_half_columns)
    return c.dot_start + 2 * rows * inner * columns / (rate * _dot_share(problem))


def batch_dot(problem: Problem, count: float, rows: float, inner: float, columns: float) -> float:
    """Seconds of `count` products in one call; up to jaxlib 0.10 they run one after another."""
    once = _idle_factor(rows, inner, columns) * _multiplied(problem, rows, inner, columns)
    return count * once * CONSTANTS.dot_rate / CONSTANTS.batch_dot_rate


def batch_transposed_dot(
    problem: Problem, count: float, rows: float, inner: float, columns: float
) -> float:
    """Seconds of `count` products in one call whose first operands are transposed."""
    once = _multiplied(problem, rows, inner, columns)
    return count * once / _share(columns, CONSTANTS.batch_transposed_dot_half_columns)


def _multiplied(problem: Problem, rows: float, inner: float, columns: float) -> float:
    c = CONSTANTS
    if "int" in problem.wide_dtype:
        return 2 * rows * inner * columns / c.integer_dot_rate
    rate = c.dot_rate * _share(rows, c.dot_half_rows) * _share(inner, c.dot_half_inner)
    rate *= _share(columns, c.dot_half_columns)
    return 2 * rows * inner * columns / (rate * _dot_share(problem))


# --- XLA's own convolution --------------------------------------------------------------------


def convolution(problem: Problem, axes: Sequence[Axis], inner: float, columns: float) -> float:
    """Seconds of XLA's own convolution from `inner` to `columns` channels."""
    c = CONSTANTS
    if _complex(problem):  # JAX makes three real ones of it, of sums of the operands' parts
        real = problem.wide_dtype.replace("complex64", "float32").replace("complex128", "float64")
        real = problem.replace(x_dtype=real, w_dtype=real, y_dtype=real)
        return 3 * convolution(real, axes, inner, columns) + moved(problem, 3 * operands(problem))
    holes = product([axis.b for axis in axes])
    windows = product([axis.o * axis.k for axis in axes])  # padding and holes included
    operations = 2 * problem.n * problem.groups * problem.c * problem.f * windows
    if problem.sums_bytes:
        return c.dot_start + operations / holes / _int8_rate(problem, columns)
    if problem.wide_dtype != "float32" or len(axes) > 3:
        return operations / holes / c.conv_loops_rate
    if operands_swapped(axes) and problem.groups == 1:
        return c.dot_start + _swapped(problem, axes, inner, columns)
    if len(axes) == 3:
        return c.dot_start + _on_three_axes(axes, operations, inner, columns)
    if problem.groups > 1:
        return operations / (c.conv_groups_rate * columns)
    if holes > 1:
        rate = c.conv_holes_rate * (1 - _share(holes, c.conv_holes_half))
    else:
        rate = c.conv_rate * _share(inner * _taps(axes), c.conv_half_inner)
        if len(axes) > 1:  # on one axis no loss was measured
            rate *= _share(product([axis.o for axis in axes]), c.conv_half_outputs)
        rate *= 1.0 if columns % c.conv_vector == 0 else c.conv_ragged
        rate *= c.conv_dilated_filter if any(axis.d > 1 for axis in axes) else 1.0
        rate *= c.conv_unpadded if all(max(axis.pads) <= 0 for axis in axes) else 1.0
    rate *= _share(columns, c.conv_half_columns)
    seconds = operations / holes / rate
    backprop = problem.leg == "filter_grad"
    if inner % c.conv_vector and not backprop and not _few_channels(inner, columns):
        seconds += problem.n * product([axis.o for axis in axes]) / c.conv_odd_windows
    if holes == 1:
        seconds *= conv_idle_factor(axes, inner, columns)
    return c.dot_start + seconds


def _int8_rate(problem: Problem, columns: float) -> float:
    """Operations a second of XLA's convolution of int8 into int32."""
    c = CONSTANTS
    rate = c.conv_int8_rate if problem.rank == 2 else c.integer_dot_rate
    return min(rate, c.conv_int8_groups_rate * columns) if problem.groups > 1 else rate


def operands_swapped(axes: Sequence[Axis]) -> bool:
    """Whether XLA makes x the filter: it does where a filter has more taps than x has pixels.

    The convolution that results reads reversed windows, for which XLA's CPU library has only a
    loop nest.
    """
    return _taps(axes) > product([axis.i for axis in axes])


def _swapped(problem: Problem, axes: Sequence[Axis], inner: float, columns: float) -> float:
    """Windows outside of x are skipped: an output meets at most as many taps as x has pixels."""
    filter_bytes = itemsize(problem.wide_dtype) * _taps(axes) * inner * columns
    met = product([axis.o * min(axis.i, axis.k) for axis in axes])
    rate = CONSTANTS.conv_swapped_rate / (1 + filter_bytes / CONSTANTS.conv_swapped_half)
    return 2 * problem.n * problem.c * problem.f * met / rate


def _taps(axes: Sequence[Axis]) -> int:
    return product([axis.k for axis in axes])


def _on_three_axes(axes: Sequence[Axis], operations: float, inner: float, columns: float) -> float:
    """On three axes most of the time goes into packing the windows, holes included."""
    c = CONSTANTS
    single = inner % c.conv_vector or any(axis.d > 1 or axis.b > 1 for axis in axes)
    packing = c.conv_packing_single if single else c.conv_packing
    rate = c.conv_rate * _share(columns, c.conv_half_columns)
    return operations / rate + operations / (2 * columns * packing)


def _few_channels(inner: float, columns: float) -> bool:
    """Whether the channels are so few that XLA's convolution was not seen to lose by them."""
    return inner == 1 or max(inner, columns) <= CONSTANTS.conv_few_channels


def packed_filter(elements: float) -> float:
    """Seconds to bring a filter's elements into another order."""
    return elements / CONSTANTS.filter_packing


def conv_idle_factor(axes: Sequence[Axis], inner: float, columns: float) -> float:
    """How many times as long XLA's convolution takes because some threads have no task.

    Up to jaxlib 0.10 its work is divided by the channels made and along the last axis only.
    """
    if len(axes) != 2 or _few_channels(inner, columns):
        return 1.0
    return _idle_factor(axes[-1].o, inner * _taps(axes), columns)


def _idle_factor(rows: float, inner: float, columns: float) -> float:
    """How many times as long a matrix product takes because some threads have no task."""
    if not FEW_TASKS:
        return 1.0
    c = CONSTANTS
    high, wide = _task(rows, inner, columns)
    tasks = math.ceil(rows / high) * math.ceil(columns / wide)
    times = c.threads * math.ceil(tasks / c.threads) * high * wide / (rows * columns)
    return 1 + c.conv_idle * max(0.0, times - 1)


def _task(rows: float, inner: float, columns: float) -> tuple[float, float]:
    """Rows and columns of a product's result that one task of XLA makes, up to jaxlib 0.10.

    The shape grows from 16 by 64, as XLA's own rule does, until the task is large enough to be
    worth a thread.
    """
    c = CONSTANTS
    terms = min(inner, 1024)
    least = min(rows, c.task_side) * min(columns, c.task_side)
    high, wide = min(rows, 16), min(columns, c.task_side)
    while high * wide < least or (
        (high + wide) * terms < c.task_least_work and high * wide < c.task_most_area
    ):
        if (c.task_aspect * wide <= high or high >= rows) and wide < columns:
            wide *= 2
        elif (high <= c.task_aspect * wide or wide >= columns) and high < rows:
            high *= 2
        else:
            break
    return min(high, rows), min(wide, columns)


# --- fused loops and transforms ---------------------------------------------------------------


def sums_of_slices(problem: Problem, terms: float, slices: int = 1) -> float:
    """Seconds of a loop that adds up `slices` slices, which have `terms` elements in all."""
    if slices > CONSTANTS.many_slices:
        return terms / CONSTANTS.many_slices_rate
    return terms / (CONSTANTS.slices_rate * _width(problem))


def sums_of_products(problem: Problem, terms: float, run: float) -> float:
    """Seconds of a loop that sums `terms` products, those of `run` channels side by side."""
    rate = CONSTANTS.pairs_rate * _share(run, CONSTANTS.pairs_half_run)
    return terms / (rate * _width(problem))


def tile_transforms(problem: Problem, terms: float) -> float:
    """Seconds of the sums of slices that transform Winograd tiles; `terms` in all."""
    return terms / (CONSTANTS.tile_transforms_rate * _width(problem))


def fourier_transforms(points: float, size: int) -> float:
    """Seconds of Fourier transforms of size `size` that have `points` points in all."""
    return points * math.log2(max(size, 2)) / CONSTANTS.fourier_rate


def spectrum_products(products: float) -> float:
    """Seconds of products of complex numbers, point by point."""
    return products / CONSTANTS.spectrum_products_rate


# --- memory and kernels -----------------------------------------------------------------------


def moved(problem: Problem, elements: float) -> float:
    """Seconds to read or write `elements` elements in long runs."""
    return elements * itemsize(problem.wide_dtype) / CONSTANTS.copy_rate


def transposed(problem: Problem, elements: float) -> float:
    """Seconds to transpose a matrix of `elements` elements."""
    return elements * itemsize(problem.wide_dtype) / CONSTANTS.transpose_rate


def as_long_runs(elements: float, run: float) -> float:
    """The elements that a copy in long runs moves while `elements` move in runs of `run`."""
    return elements * (1 + CONSTANTS.copy_half_run / run)


def fresh_pages(size: float) -> float:
    """Seconds that new memory pages take on every call, for temporaries of `size` bytes."""
    return size / CONSTANTS.page_rate if size > CONSTANTS.kept_bytes else 0.0


def kernels(count: float, calls: float = 1.0) -> float:
    """Seconds of `count` kernels, each called `calls` times.

    The time to compile them is included, spread over the calls of a program that `runs` assumes.
    """
    c = CONSTANTS
    compiling = (c.kernel_compile + calls * c.kernel_compile_call) / c.runs
    return count * (calls * c.kernel_call + compiling)


def operands(problem: Problem) -> int:
    """Elements of the operands and the result."""
    return sum(product(problem.shape(slot)) for slot in _slots(problem))


def widened(problem: Problem) -> int:
    """Bytes of operands and result in the dtype computed in, where that is not their own."""
    wide = problem.wide_dtype
    copies = [product(problem.shape(s)) for s in _slots(problem) if problem.dtype(s) != wide]
    return sum(copies) * itemsize(wide)


def _slots(problem: Problem) -> tuple[Slot, ...]:
    return (*OPERANDS[problem.leg], OUTPUT[problem.leg])
