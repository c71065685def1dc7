"""The algorithms, one file each; a new one is a module here and a line in REGISTRY."""

from __future__ import annotations

from jconv._algorithms._record import Algorithm as Algorithm
from jconv._algorithms.direct import DIRECT

# In order of preference among equals; `direct` supports everything and stands last.
REGISTRY: tuple[Algorithm, ...] = (DIRECT,)
BY_NAME: dict[str, Algorithm] = {algorithm.name: algorithm for algorithm in REGISTRY}


def algorithms() -> tuple[str, ...]:
    """The names that a policy can ask for.

    Example:
        >>> import jconv
        >>> "direct" in jconv.algorithms()
        True
    """
    return tuple(BY_NAME)
