"""The record of taps: the filter backprop is one formulation, the other two legs another."""

from __future__ import annotations

from types import ModuleType

import jax

from jconv._algorithms import cost
from jconv._algorithms.legs import widen
from jconv._algorithms.record import Algorithm, Planner, always_local, static
from jconv._algorithms.taps import filter_grads, window_sums
from jconv._core.problem import Problem, itemsize


def _of(problem: Problem) -> ModuleType:
    return filter_grads if problem.leg == "filter_grad" else window_sums


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    return _of(problem).run(problem, *widen(problem, a, b))


def workspace(problem: Problem, platform: str) -> int:
    return cost.widened(problem) + _of(problem).workspace(problem) * itemsize(problem.wide_dtype)


TAPS = Algorithm(
    name="taps",
    supports=lambda problem, platform: static(problem, platform) or _of(problem).supports(problem),
    cost=lambda problem, planner: _of(problem).seconds(problem),
    run=run,
    workspace=workspace,
    compiling=lambda problem, of_part: _of(problem).compiling(problem),
    local=always_local,
)
