"""Predicted seconds to compile a leg on CPU: an algorithm's own work, and that of its parts."""

from __future__ import annotations

from collections.abc import Callable

from jconv._algorithms import Algorithm
from jconv._algorithms.compiling import SECONDS, Work
from jconv._core.problem import Problem

LIMIT = 1.0  # seconds to compile; above, a slower algorithm may be chosen (WORTH_COMPILING)
LIMIT_OF_CALLS = 4.0  # seconds to compile; calls for each example are a loop where they take longer

Chosen = Callable[[Problem], Algorithm]  # what runs a part that an algorithm hands to the planner


def compile_seconds(algorithm: Algorithm, problem: Problem, chosen: Chosen) -> float:
    """Predicted seconds to compile a leg by an algorithm on CPU, with nothing else around it.

    Args:
        algorithm: what runs the leg; it supports it.
        problem: the leg; 0 seconds more than a program's own where it has symbolic sizes.
        chosen: what runs a part that the algorithm hands on to the planner.
    """
    return work(algorithm, problem, chosen).seconds


def most_calls(algorithm: Algorithm, problem: Problem, chosen: Chosen) -> int:
    """How many calls of a leg's program compile within `LIMIT_OF_CALLS`; at least one."""
    once = work(algorithm, problem, chosen)
    left = max(LIMIT_OF_CALLS - once.seconds, 0.0)
    return 1 + int(left / (SECONDS.call * max(once.copied, 1.0)))


def work(algorithm: Algorithm, problem: Problem, chosen: Chosen) -> Work:
    """What a leg leaves to the compiler; nothing is known of symbolic sizes."""
    if not problem.static or problem.empty or problem.vmapped:
        return Work()
    return algorithm.compiling(problem, lambda part: work(chosen(part), part, chosen))
