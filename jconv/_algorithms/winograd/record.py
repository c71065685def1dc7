"""Winograd's record."""

from __future__ import annotations

from jconv._algorithms.legs import may_transform, window_axes
from jconv._algorithms.record import MARGIN, Algorithm, static_on_cpu
from jconv._algorithms.winograd.run import run
from jconv._algorithms.winograd.tile_size import MOST_PRODUCTS, best, tile_sizes, workspace
from jconv._core.problem import Problem


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_on_cpu(problem, platform):
        return reason
    if not may_transform(problem):
        return "would lose accuracy at these dtypes"
    if problem.groups > 1:
        return "is for one group"
    axes = window_axes(problem)
    if any(axis.d > 1 for axis in axes):
        return "is not for filter dilation"
    if any(min(axis.s, axis.b) > 1 or axis.s * axis.b > 2 for axis in axes):
        return "is for a stride or an input dilation of at most 2"
    if any(axis.k < axis.b for axis in axes):
        return "leaves outputs that no tap reaches"
    if problem.leg == "filter_grad" and any(axis.b > 1 for axis in axes):
        return "its filter backprop is not for input dilation"
    if all(axis.k <= max(axis.s, axis.b) for axis in axes):
        return "saves no products here"
    if not tile_sizes(problem):
        return f"takes over {MOST_PRODUCTS} products to a tile here, which compile slowly"
    return None


FEW = 16  # channels up to which, as on lines, no gain was seen that was worth the risk


def margin(problem: Problem) -> float:
    return 1.5 if problem.rank == 1 or min(problem.c, problem.f) <= FEW else MARGIN


WINOGRAD = Algorithm(
    name="winograd",
    exact=False,
    error=8.0,
    supports=supports,
    cost=lambda problem, planner: best(problem)[0],
    workspace=workspace,
    run=run,
    margin=margin,
)
