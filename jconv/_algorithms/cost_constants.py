"""The constants of the cost model: each one's unit, origin, value for each XLA, and meaning.

They describe one machine of two threads. Predictions are only compared with each other, and
these comparisons carry over to machines of another speed.

A rate that depends on a size reaches `size / (size + half)` of its full value, and `half` is the
size at which it reaches one half: `dot_half_rows` is that of a product's rows, for instance.
"""

from __future__ import annotations

import types
from typing import Any, NamedTuple

from jconv._core.xla_cpu import FEW_TASKS


class Constant(NamedTuple):
    """One constant of the cost model.

    Attributes:
        name: how the cost model reads it.
        unit: what its number counts; "factor" where it counts nothing.
        origin: "fitted" by benchmarks/cost_model/fit.py to the times of whole legs and to the
            choices among them; "products", from matrix products timed by themselves
            (products.py); "set", a fact or a decision that no fit may move.
        value_0_10: the value with jaxlib 0.10 and before.
        value_0_11: the value from jaxlib 0.11 on, whose XLA has other convolutions.
        meaning: what it is the rate, the share or the size of.
    """

    name: str
    unit: str
    origin: str
    value_0_10: float
    value_0_11: float
    meaning: str


# fmt: off
_ROWS = (
    # Matrix products
    Constant("dot_rate", "operations/s", "products", 4.2e11, 4.3e11,
             "of a product with no short side"),
    Constant("dot_half_rows", "rows", "products", 9.3, 9.8,
             "of the first operand"),
    Constant("dot_half_inner", "terms", "products", 3.5, 0.7,
             "of each sum"),
    Constant("dot_half_columns", "columns", "products", 17, 19,
             "of the second operand"),
    Constant("dot_start", "s", "products", 4.5e-5, 3.9e-5,
             "to start a product of any size"),
    Constant("transposed_dot_rate", "operations/s", "products", 3.3e11, 3.3e11,
             "of a product whose first operand is transposed"),
    Constant("transposed_dot_half_rows", "rows", "products", 3.7, 7.8,
             "of that product's result"),
    Constant("transposed_dot_half_columns", "columns", "products", 6.5, 6.5,
             "of that product's result"),
    Constant("batch_dot_rate", "operations/s", "fitted", 6.35e11, 8.33e11,
             "of many products made in one call"),
    Constant("batch_transposed_dot_half_columns", "columns", "products", 12, 12,
             "where each first operand of such a call is transposed"),
    Constant("integer_dot_rate", "operations/s", "set", 5e9, 5e9,
             "of a product of integers, for which XLA has a loop nest"),
    # XLA's own convolution
    Constant("conv_rate", "operations/s", "fitted", 3.7e11, 4.94e11,
             "of a convolution of many channels"),
    Constant("conv_half_inner", "terms", "fitted", 4.55, 0.339,
             "of a window: taps times channels read"),
    Constant("conv_half_columns", "channels", "fitted", 9.21, 14.1,
             "that are made"),
    Constant("conv_half_outputs", "outputs", "fitted", 4.11, 7,
             "of an image; few where they are the taps of a filter gradient"),
    Constant("conv_ragged", "factor", "fitted", 0.72, 0.757,
             "of the rate where the channels made do not fill whole vectors"),
    Constant("conv_dilated_filter", "factor", "fitted", 0.9, 0.9,
             "of the rate where the filter is dilated; set by hand after the fit, whose "
             "choices do not need it and whose times do"),
    Constant("conv_unpadded", "factor", "fitted", 0.861, 1.07,
             "of the rate where no axis is padded"),
    Constant("conv_idle", "factor", "fitted", 0.366, 0.335,
             "by which idle threads count: at 1 all that they could have done is lost"),
    Constant("conv_odd_windows", "windows/s", "fitted", 6.09e7, 1.01e8,
             "laid out, where the channels read do not fill whole vectors"),
    Constant("conv_packing", "elements/s", "fitted", 1.02e9, 9.19e8,
             "of windows on three axes, packed in whole vectors"),
    Constant("conv_packing_single", "elements/s", "fitted", 1.71e8, 1.6e8,
             "of windows on three axes, packed one by one"),
    Constant("conv_holes_rate", "operations/s", "fitted", 1.97e11, 1.93e11,
             "of a convolution with input dilation, zeros not counted"),
    Constant("conv_holes_half", "positions", "fitted", 32.8, 10.6,
             "of input dilation, over all axes, that halve that rate"),
    Constant("conv_groups_rate", "operations/s", "fitted", 8.14e8, 1.31e9,
             "of a convolution in groups, for each channel that a group makes"),
    Constant("conv_loops_rate", "operations/s", "fitted", 1.47e9, 1.19e9,
             "of dtypes and ranks for which XLA has only a loop nest"),
    Constant("conv_swapped_rate", "operations/s", "fitted", 3e9, 3e9,
             "inside of x, where XLA swaps a convolution's operands"),
    Constant("conv_swapped_half", "bytes", "fitted", 1e6, 1e6,
             "of a filter with which a swapped convolution takes twice as long"),
    Constant("conv_int8_rate", "operations/s", "set", 2.5e10, 2.5e10,
             "of int8 into int32 on two axes, for which XLA has a library"),
    Constant("conv_int8_groups_rate", "operations/s", "set", 1.5e8, 1.5e8,
             "of int8 into int32 in groups, for each channel that a group makes"),
    Constant("conv_vector", "elements", "set", 4, 4,
             "that XLA's convolution packs at once"),
    Constant("conv_few_channels", "channels", "set", 16, 16,
             "up to which no loss by odd channels or idle threads was seen"),
    Constant("threads", "threads", "set", 2, 2,
             "of the machine that was measured"),
    Constant("task_side", "rows or columns", "set", 64, 64,
             "that a thread's part of a product has at least, up to jaxlib 0.10"),
    Constant("task_aspect", "factor", "set", 4, 4,
             "by which such a part may be taller than wide before it grows in width"),
    Constant("task_most_area", "elements", "set", 1 << 16, 1 << 16,
             "of a result that such a part covers at most"),
    Constant("task_least_work", "elements", "set", 1 << 16, 1 << 16,
             "of both operands that such a part should read at least"),
    # Fused loops
    Constant("slices_rate", "terms/s", "fitted", 5.92e10, 6.5e10,
             "of sums of slices in one fused loop"),
    Constant("many_slices_rate", "terms/s", "fitted", 2.54e9, 2.4e9,
             "of sums of more than `many_slices` slices, whose loop XLA does not vectorise"),
    Constant("many_slices", "slices", "set", 100, 100,
             "above which XLA does not vectorise their sum"),
    Constant("pairs_rate", "products/s", "fitted", 8.36e10, 8.03e10,
             "of windows and outputs, summed in the loop that makes them"),
    Constant("pairs_half_run", "channels", "fitted", 31.5, 20.9,
             "whose products lie side by side in that loop"),
    Constant("tile_transforms_rate", "terms/s", "fitted", 4.5e10, 4.58e10,
             "of the sums that transform Winograd tiles; set by hand after the fit for jaxlib "
             "0.10"),
    Constant("fourier_rate", "points/s", "fitted", 4.71e9, 5.45e9,
             "of a Fourier transform, for each factor of two in its size"),
    Constant("spectrum_products_rate", "products/s", "fitted", 1.78e9, 3.39e9,
             "of complex numbers"),
    # Memory
    Constant("copy_rate", "bytes/s", "fitted", 6.3e10, 7e10,
             "of memory copied in long runs"),
    Constant("copy_half_run", "elements", "fitted", 11.8, 11.5,
             "of runs whose copy takes twice as long as that of long runs"),
    Constant("transpose_rate", "bytes/s", "fitted", 1.12e10, 4.61e9,
             "of a matrix that is transposed"),
    Constant("filter_packing", "elements/s", "fitted", 9.42e8, 5.99e8,
             "of a filter that one thread brings into another order"),
    Constant("page_rate", "bytes/s", "fitted", 3.59e9, 4.16e9,
             "of temporaries whose memory pages are new on every call"),
    Constant("kept_bytes", "bytes", "set", 1 << 25, 1 << 25,
             "of a block that glibc's allocator keeps at most; larger ones it gives back"),
    Constant("complex_dot_share", "factor", "set", 0.14, 0.14,
             "of a float32 product's rate that XLA's complex product reaches"),
    Constant("float64_share", "factor", "set", 0.5, 0.5,
             "of a float32's rate that float64 reaches"),
    # Kernels
    Constant("kernel_call", "s", "fitted", 3.55e-9, 2.12e-8,
             "to call a kernel"),
    Constant("kernel_compile", "s", "set", 0.015, 0.015,
             "to compile a kernel"),
    Constant("kernel_compile_call", "s", "set", 0.001, 0.001,
             "to compile each place that calls it"),
    Constant("runs", "calls", "set", 3e3, 3e3,
             "of a program over which the time to compile it is spread"),
)
# fmt: on

TABLE: dict[str, Constant] = {constant.name: constant for constant in _ROWS}


def values(newer: bool) -> Any:
    """The value of every constant as an attribute, of jaxlib 0.11 if `newer`, else of 0.10."""
    chosen = {name: c.value_0_11 if newer else c.value_0_10 for name, c in TABLE.items()}
    return types.SimpleNamespace(**chosen)


CONSTANTS = values(newer=not FEW_TASKS)
