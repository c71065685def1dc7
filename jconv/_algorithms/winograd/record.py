"""The record of winograd."""

from __future__ import annotations

import math

from jconv._algorithms.compiling import OfPart, Work
from jconv._algorithms.legs import may_transform
from jconv._algorithms.record import MARGIN, Algorithm, static_on_cpu
from jconv._algorithms.winograd.run import run
from jconv._algorithms.winograd.tile_size import (
    MAX_PRODUCTS,
    best,
    choose_outputs,
    share_of_products,
    tile_sizes,
    tiles_of,
    workspace,
)
from jconv._core.problem import Problem

FEW_CHANNELS = 16  # channels; up to here, and on one axis, gains were too small to be sure of
MOST_PRODUCTS = 2 / 3  # of the definition's; strided tiles that save less gained too little as well


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_on_cpu(problem, platform):
        return reason
    if not may_transform(problem):
        return "would lose accuracy at these dtypes"
    if problem.groups > 1:
        return "only supports one group"
    axes = problem.window_axes
    if any(axis.d > 1 for axis in axes):
        return "does not support filter dilation"
    if any(min(axis.s, axis.b) > 1 or axis.s * axis.b > 2 for axis in axes):
        return "only supports a stride or an input dilation of at most 2"
    if any(axis.k < axis.b for axis in axes):
        return "only supports kernels that reach every output"
    if problem.leg == "filter_grad" and any(axis.b > 1 for axis in axes):
        return "does not support filter backprops with input dilation"
    if all(axis.k <= max(axis.s, axis.b) for axis in axes):
        return "would save no products"
    if not tile_sizes(problem):
        return f"would take over {MAX_PRODUCTS} products to a tile, which compile slowly"
    return None


def margin(problem: Problem) -> float:
    if problem.rank == 1 or min(problem.c, problem.f) <= FEW_CHANNELS:
        return 1.5
    strided = any(axis.s * axis.b > 1 for axis in problem.window_axes)
    windows = strided and problem.leg != "filter_grad"
    if windows and share_of_products(problem) > MOST_PRODUCTS:
        return 1.4
    return MARGIN


def compiling(problem: Problem, of_part: OfPart) -> Work:
    *lead, last = tiles_of(problem.window_axes, choose_outputs(problem))
    lines = math.prod(tile.products for tile in lead)
    operands = 2 if problem.leg == "filter_grad" else 1
    return Work(kernels=1.5 * operands * (lines + last.products) + 4, calls=lines)


WINOGRAD = Algorithm(
    name="winograd",
    supports=supports,
    cost=lambda problem, planner: best(problem)[0],
    run=run,
    workspace=workspace,
    compiling=compiling,
    exact=False,
    error=8.0,
    margin=margin,
)
