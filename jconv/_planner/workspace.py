"""Bytes of temporaries of a leg: an algorithm's own, and those of the part that takes most.

An algorithm that hands parts on to the planner states only what it holds around them.
"""

from __future__ import annotations

from collections.abc import Callable

from jconv._algorithms import Algorithm
from jconv._core.geometry import Size
from jconv._core.problem import Problem


def workspace(
    algorithm: Algorithm,
    problem: Problem,
    platform: str,
    chosen: Callable[[Problem], Algorithm],
) -> Size:
    """Bytes of temporaries that a leg takes by an algorithm that supports it.

    Args:
        algorithm: what runs the leg.
        problem: the leg.
        platform: what it is compiled for.
        chosen: what runs a part that an algorithm hands on to the planner.
    """
    held = algorithm.workspace(problem, platform)
    if not problem.static:
        return held
    most: Size = 0
    for part in algorithm.parts(problem):
        if not part.empty:
            most = max(most, workspace(chosen(part), part, platform, chosen))  # pyright: ignore[reportArgumentType]
    return held + most
