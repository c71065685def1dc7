"""Bytes of temporaries of a leg: an algorithm's own, and those of the part that takes most.

An algorithm that hands parts back to the planner states only what it holds around them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jconv._algorithms import Algorithm, grouped, phase, space_to_batch, wide
from jconv._core.geometry import Size
from jconv._core.problem import Problem

PARTS: dict[str, Callable[[Problem], Iterable[Problem]]] = {
    "grouped": lambda problem: [grouped.block_problem(problem)],
    "phase": lambda problem: [
        part for _, part in phase.different_parts(problem.replace(n=phase.images(problem)))
    ],
    "space_to_batch": lambda problem: [
        space_to_batch.dense(problem.replace(n=space_to_batch.images(problem)))
    ],
    "wide": lambda problem: [wide.whole(problem)],
}


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
        chosen: what runs a part that an algorithm hands back to the planner.
    """
    held = algorithm.workspace(problem, platform)
    if algorithm.name not in PARTS or not problem.static:
        return held
    most = 0
    for part in PARTS[algorithm.name](problem):
        if not part.empty:
            most = max(most, workspace(chosen(part), part, platform, chosen))  # pyright: ignore[reportArgumentType]
    return held + most
