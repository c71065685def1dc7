"""taps."""

from __future__ import annotations

import math

import jax

from jconv._algorithms import cost
from jconv._algorithms.legs import widen, window_axes
from jconv._algorithms.record import Algorithm, Planner, always_local, static
from jconv._algorithms.taps import filter_grads, window_sums
from jconv._algorithms.windows import too_many_places
from jconv._core.problem import Problem, itemsize
from jconv._core.xla_cpu import FEW_TASKS


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    return (filter_grads.filter_grad if problem.leg == "filter_grad" else window_sums.window_sums)(
        problem, a, b
    )


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static(problem, platform):
        return reason
    if problem.leg != "filter_grad":
        depthwise = problem.c == 1 and problem.groups > 1
        if not depthwise:
            return "is for depthwise convolutions, but for the filter backprop"
        if window_sums.count_terms(window_axes(problem)) > window_sums.MOST_TERMS:
            return f"adds up over {window_sums.MOST_TERMS} slices here, which compile slowly"
        return None
    if problem.c * problem.f > filter_grads.PAIRS:
        return f"is for up to {filter_grads.PAIRS} pairs of channels to a group"
    if any(axis.b > 1 for axis in problem.axes):
        return "its filter backprop is not for input dilation"
    blocks = -(-problem.axes[0].o // filter_grads.rows_at_once(problem))
    if (
        blocks > filter_grads.MOST_BLOCKS
        or blocks * -(-problem.n // filter_grads.images(problem)) > filter_grads.MOST_CALLS
    ):
        most = f"{filter_grads.MOST_BLOCKS} loops or {filter_grads.MOST_CALLS} calls"
        return f"takes over {most} here, which compile slowly"
    return too_many_places(problem.axes)


def seconds(problem: Problem, planner: Planner) -> float:
    if problem.leg == "filter_grad":
        blocks = -(-problem.axes[0].o // filter_grads.rows_at_once(problem))
        calls = -(-problem.n // filter_grads.images(problem))
        stored = calls * problem.axes[0].o * filter_grads.stored_per_row(problem)
        run = problem.c * problem.f
        if filter_grads.as_groups(problem):
            run *= problem.groups
        total = cost.sums_of_products(problem, problem.multiplications, run)
        total += cost.moved(problem, cost.operands(problem) + 2 * stored)
        return total + cost.kernels(4 * blocks, calls)
    axes = window_axes(problem)
    taps = window_sums.count_terms(axes)
    channels = problem.n * problem.groups * problem.f
    total = cost.sums_of_slices(problem, channels * math.prod(axis.o for axis in axes) * taps, taps)
    size = channels * math.prod(axis.i for axis in axes) * itemsize(problem.wide_dtype)
    edges = 2 * problem.rank if window_sums.framed(axes, size) else 0
    copies = 0 if window_sums.few_terms(axes) else 1
    total += cost.moved(problem, (1 + copies) * cost.operands(problem))
    return total + cost.kernels(1 + 2 * copies + 3 * edges)


def workspace(problem: Problem, platform: str) -> int:
    """The padded operand; or one repeated for a multiplier, and what a loop stores."""
    padded = problem.f * math.prod(problem.shape("x"))
    # XLA of jaxlib 0.11 on copies the filters of a group apart before it adds them up.
    read_in_place = problem.f == 1 or (problem.leg == "input_grad" and FEW_TASKS)
    if (
        problem.leg != "filter_grad"
        and read_in_place
        and window_sums.few_terms(window_axes(problem))
    ):
        padded = 0
    if problem.leg == "filter_grad":
        repeated = filter_grads.as_groups(problem) and problem.f > 1
        rows = filter_grads.rows_at_once(problem) + 1  # and their sum
        parts = -(-problem.n // filter_grads.images(problem)) * -(-problem.axes[0].o // (rows - 1))
        padded = (
            repeated * padded
            + rows * filter_grads.stored_per_row(problem)
            + parts * math.prod(problem.out_shape)
        )
    return cost.widened(problem) + padded * itemsize(problem.wide_dtype)


TAPS = Algorithm(
    name="taps",
    exact=True,
    error=2.0,
    supports=supports,
    cost=seconds,
    workspace=workspace,
    run=run,
    local=always_local,
)
