"""Which algorithm runs a leg: pure and deterministic, every rejection with its reason."""

from __future__ import annotations

import dataclasses

from jconv._algorithms import BY_NAME, REGISTRY, Algorithm
from jconv._problem import Problem


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen algorithm, and why each of the others was not."""

    algorithm: Algorithm
    rejected: dict[str, str]


def choose(problem: Problem, platform: str) -> Choice:
    """The algorithm for one leg on one platform under the problem's policy."""
    supported: list[Algorithm] = []
    rejected: dict[str, str] = {}
    exact_only = problem.policy == "exact" or "HIGHEST" in problem.precision
    for algorithm in REGISTRY:
        reason = algorithm.supports(problem, platform)
        if reason is None and exact_only and not algorithm.exact:
            reason = "forms other products than the definition, which this policy excludes"
        if reason is None:
            supported.append(algorithm)
        else:
            rejected[algorithm.name] = reason
    named = BY_NAME.get(problem.policy)
    chosen = named if named in supported else supported[-1]
    assert chosen is not None
    for algorithm in supported:
        if algorithm is not chosen:
            rejected[algorithm.name] = f"{chosen.name} is preferred here"
    return Choice(chosen, rejected)
