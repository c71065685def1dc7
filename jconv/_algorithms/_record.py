"""What an algorithm is: a record of functions over a Problem. No autodiff in here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax

from jconv._geometry import Size
from jconv._problem import Problem


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """One way to compute a leg.

    Attributes:
        name: what policies, plans and profilers call it.
        exact: whether it forms the products of the index equation and no others, so that it
            differs from any other exact algorithm only in the order of the sum.
        supports: None, or the reason why this problem is not for it.
        workspace: bytes of temporaries that a run makes beside operands and result.
        run: (problem, platform, a, b) -> the leg's output, in the output slot's shape; `a` and
            `b` are the leg's operands in the dtypes of their slots, and the result may come in
            any dtype that holds it: the caller rounds it once.
    """

    name: str
    exact: bool
    supports: Callable[[Problem, str], str | None]
    workspace: Callable[[Problem, str], Size]
    run: Callable[[Problem, str, jax.Array, jax.Array], jax.Array]
