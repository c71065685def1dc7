"""direct: every leg as one lax convolution. It supports every problem.

On CPU, and wherever sizes are symbolic, each leg is the forward convolution on axes whose roles are
exchanged. On GPU and TPU each backprop has the form that lax's own autodiff emits, which XLA
recognises and hands to the vendor's library.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import cost
from jconv._algorithms.compiling import OfPart, Work
from jconv._algorithms.lax_conv import adds_a_row, lax_conv
from jconv._algorithms.legs import groups_to_vmapped, precision, vmapped_to_groups
from jconv._algorithms.record import Algorithm, Planner, always_local
from jconv._core.geometry import Axis, Size, product, same
from jconv._core.problem import OPERANDS, OUTPUT, Problem, Slot, compute_dtype, itemsize
from jconv._core.xla_cpu import kept_apart


def _run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    if written_as_lax(problem, planner.platform):
        return _lax_form(problem, a, b)
    dtype = compute_dtype(str(a.dtype), str(b.dtype), problem.out_dtype)
    options = {"precision": precision(problem), "preferred_element_type": dtype}
    if not problem.sums_bytes:  # for which XLA has a fast convolution as they are
        a, b = a.astype(dtype), b.astype(dtype)
    run = _LEGS[problem.leg]
    if not problem.vmapped:
        return run(problem, a, b, options)
    # Both operands are batched, which runs as a loop: XLA's CPU backend is slow with grouped
    # convolutions, and a symbolic number of groups cannot be lowered at all.
    one = problem.replace(vmapped=())
    return lax.map(lambda operands: run(one, *operands, options), (a, b))


def _conv(problem: Problem, x: jax.Array, w: jax.Array, options: dict) -> jax.Array:
    return lax_conv(x, w, problem.axes, problem.groups, **options)


def _input_grad(problem: Problem, g: jax.Array, w: jax.Array, options: dict) -> jax.Array:
    rank, groups = problem.rank, problem.groups
    axes = tuple(axis.input_grad() for axis in problem.axes)
    flipped = lax.rev(w, range(rank))
    flipped = jnp.swapaxes(flipped.reshape(*w.shape[:-1], groups, problem.f), rank, rank + 2)
    flipped = flipped.reshape(*w.shape[:-2], problem.f, groups * problem.c)
    return lax_conv(g, flipped, axes, groups, **options)


def _filter_grad(problem: Problem, x: jax.Array, g: jax.Array, options: dict) -> jax.Array:
    rank, groups = problem.rank, problem.groups
    x, axes = _without_remainder(x, problem.axes) if problem.static else (x, problem.axes)
    axes = tuple(axis.filter_grad() for axis in axes)
    # The sum runs over the batch, so it becomes the channel: x as (C, i..., G*N), g as a
    # filter (o..., N, G*F), and the result is (C, k..., G*F).
    lhs = x.reshape(*x.shape[:-1], groups, problem.c)
    lhs = jnp.transpose(lhs, (rank + 2, *range(1, rank + 1), rank + 1, 0))
    lhs = lhs.reshape(problem.c, *x.shape[1:-1], groups * problem.n)
    rhs = jnp.moveaxis(g, 0, rank)
    return jnp.moveaxis(lax_conv(lhs, rhs, axes, groups, **options), 0, rank)


def _without_remainder(x: jax.Array, axes: tuple[Axis, ...]) -> tuple[jax.Array, tuple[Axis, ...]]:
    """x without the last rows, which no window reads, and its axes.

    The slice is kept apart from the transpose that follows, since XLA's transpose of a slice takes
    up to twice as long as the two one after the other.
    """
    kept = [axis.i if axis.b > 1 else min(axis.i, axis.i + axis.p1) for axis in axes]
    if min(kept) <= 0 or kept == [axis.i for axis in axes]:
        return x, axes
    shape = (x.shape[0], *kept, x.shape[-1])
    x = kept_apart(jax.jit(lambda x: lax.slice(x, [0] * x.ndim, shape)))(x)
    return x, tuple(dataclasses.replace(axis, i=i) for axis, i in zip(axes, kept, strict=True))


_LEGS = {"conv": _conv, "input_grad": _input_grad, "filter_grad": _filter_grad}


def written_as_lax(problem: Problem, platform: str) -> bool:
    """Whether direct writes a leg as lax does, in the caller's own layout."""
    return platform != "cpu" and problem.static and not problem.empty


def _high(axis: Axis, given: int) -> int:
    """The high pad: equal to the low one, as cuDNN wants it, if the windows stay the same."""
    return axis.p0 if 0 <= axis.p1 <= axis.p0 < axis.p1 + axis.s else given


def _lax_form(problem: Problem, a: jax.Array, b: jax.Array) -> jax.Array:
    """The leg as lax's autodiff writes it; a dimension that vmap added becomes groups."""
    extra = math.prod(problem.vmapped)
    x, w, y = (problem.replace(vmapped=()).order(slot) for slot in ("x", "w", "y"))
    axes, channel = problem.axes, {"x": x[-1], "w": w[-1], "y": y[-1]}
    given = problem.high or [axis.pads[1] for axis in axes]

    def conv(x_array: jax.Array, w_array: jax.Array, accumulator: Any = None) -> jax.Array:
        return lax.conv_general_dilated(
            x_array,
            w_array,
            window_strides=[axis.s for axis in axes],
            padding=[(axis.p0, _high(axis, at)) for axis, at in zip(axes, given, strict=True)],
            lhs_dilation=[axis.b for axis in axes],
            rhs_dilation=[axis.d for axis in axes],
            dimension_numbers=lax.ConvDimensionNumbers(
                (x[0], x[-1], *x[1:-1]), (w[-1], w[-2], *w[:-2]), (y[0], y[-1], *y[1:-1])
            ),
            feature_group_count=problem.groups * extra,
            precision=precision(problem),
            preferred_element_type=accumulator,
        )

    def fold(array: jax.Array, slot: Slot) -> jax.Array:
        return vmapped_to_groups(array, channel[slot]) if problem.vmapped else array

    def unfold(array: jax.Array) -> jax.Array:
        at = channel[OUTPUT[problem.leg]]
        return groups_to_vmapped(array, problem.vmapped, at) if problem.vmapped else array

    a, b = (fold(v, s) for v, s in zip((a, b), OPERANDS[problem.leg], strict=True))
    if problem.leg == "conv" and a.dtype == b.dtype:
        return unfold(conv(a, b, jnp.dtype(problem.out_dtype)))
    # lax cannot transpose a convolution with a preferred element type, so operands of different
    # dtypes are widened. These platforms accumulate half precision in float32 anyway.
    names = {str(a.dtype), str(b.dtype), problem.out_dtype}
    dtype = a.dtype if len(names) == 1 else jnp.dtype(compute_dtype(*names))
    a, b = a.astype(dtype), b.astype(dtype)
    if problem.leg == "conv":
        return unfold(conv(a, b))
    out = OUTPUT[problem.leg]
    aval = jax.ShapeDtypeStruct(problem.laid_out(out), dtype)
    aval = jax.eval_shape(lambda array: fold(array, out), aval)
    if problem.leg == "input_grad":
        return unfold(jax.linear_transpose(lambda x: conv(x, b), aval)(a)[0])
    return unfold(jax.linear_transpose(lambda w: conv(a, w), aval)(b)[0])


def _workspace(problem: Problem, platform: str) -> Size:
    """Widened, flipped or transposed copies of the operands, and the unrounded result."""
    names = [problem.dtype(slot) for slot in OPERANDS[problem.leg]]
    wide = compute_dtype(*names, problem.out_dtype)
    rearranged = {"conv": "", "input_grad": "w", "filter_grad": "xy"}[problem.leg]
    if rearranged == "xy" and same(problem.n, 1):  # one image lies in the right order already
        rearranged = "" if same(problem.c, 1) else "x"
    total: Size = 0
    for slot in OPERANDS[problem.leg]:
        if platform == "cpu" and (problem.dtype(slot) != wide or slot in rearranged):
            total += product(problem.shape(slot)) * itemsize(wide)
    if problem.static and platform == "cpu" and "float" in wide:
        axes = problem.window_axes
        if problem.leg != "filter_grad" and adds_a_row(axes, [axis.pads for axis in axes]):
            total += product(problem.out_shape) * itemsize(wide)
    if wide != problem.out_dtype or problem.leg == "filter_grad":
        total += product(problem.out_shape) * itemsize(wide)
    return total


def seconds(problem: Problem, planner: Planner) -> float:
    if planner.platform != "cpu" or not problem.static or problem.empty:
        return 0.0  # no other algorithm is measured there, or supports such a problem
    if problem.leg == "input_grad":
        axes = tuple(axis.input_grad() for axis in problem.axes)
        seconds = cost.convolution(problem, axes, problem.f, problem.c)
        seconds += cost.packed_filter(product(problem.shape("w")))  # to flip the filter
    elif problem.leg == "filter_grad":
        axes = tuple(axis.filter_grad() for axis in problem.axes)
        seconds = cost.convolution(problem, axes, problem.n, problem.f)
        seconds += cost.transposed(problem, cost.operands(problem))
    else:
        seconds = cost.convolution(problem, problem.axes, problem.c, problem.f)
    seconds += cost.moved(problem, cost.operands(problem)) + cost.kernels(3)
    return seconds + cost.fresh_pages(_workspace(problem, planner.platform))


def compiling(problem: Problem, of_part: OfPart) -> Work:
    return Work(kernels={"conv": 0, "input_grad": 2, "filter_grad": 6}[problem.leg])


DIRECT = Algorithm(
    name="direct",
    supports=lambda problem, platform: None,
    cost=seconds,
    workspace=_workspace,
    compiling=compiling,
    run=_run,
    error=1.0,
    local=always_local,
)
