"""What an algorithm is: a record of functions over a Problem. No autodiff in here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import jax

from jconv._core.geometry import Size
from jconv._core.problem import Problem

MARGIN = 1.2  # of algorithms of many kernels, which cores that share no cache slow by more


class Planner(Protocol):
    """What an algorithm may ask of the planner: to take over a simpler problem made of its own."""

    @property
    def platform(self) -> str: ...

    def cost(self, problem: Problem) -> float: ...

    def run(self, problem: Problem, a: jax.Array, b: jax.Array) -> jax.Array: ...


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """One way to compute a leg.

    Attributes:
        name: what policies, plans and profilers call it.
        exact: whether it forms the products of the index equation and no others, so that it
            differs from any other exact algorithm only in the order of the sum.
        error: root-mean-square error against float64, at most this multiple of direct's.
        supports: None, or the reason why this problem is not for it. Asked first: the other
            functions see only problems that it passed.
        cost: predicted seconds on the processor that the constants were fitted on; only
            comparisons between algorithms mean anything.
        workspace: bytes of temporaries that a run makes beside operands and result.
        run: (problem, planner, a, b) -> the leg's output, in the output slot's shape; `a` and
            `b` are the leg's operands in the dtypes of their slots, and the result may come in
            any dtype that holds it: the caller rounds it once.
        margin: how many times as long as predicted it may take, for all that is known: a choice
            counts on that. 1 where it is direct's own work with less around it.
        local: None where an output is a sum of its own window's products alone, so that a NaN
            anywhere else never reaches it; or the reason why not. The policy "local" admits no
            others. A window is what the index equation gives an output, padding's zeros and the
            holes of an input dilation included; no product with a zero that is not in the
            definition's operands may be added, not even in a sum that is dropped again if it is
            dropped by a product. A choice of formulation or of blocks may depend on the problem.
    """

    name: str
    exact: bool
    error: float
    supports: Callable[[Problem, str], str | None]
    cost: Callable[[Problem, Planner], float]
    workspace: Callable[[Problem, str], Size]
    run: Callable[[Problem, Planner, jax.Array, jax.Array], jax.Array]
    margin: Callable[[Problem], float] = lambda problem: MARGIN
    local: Callable[[Problem], str | None] = lambda problem: "mixes the windows of several outputs"


def always_local(problem: Problem) -> str | None:
    """The `local` of an algorithm that sums up the window's own products whatever the problem."""
    return None


def static_on_cpu(problem: Problem, platform: str) -> str | None:
    """The reason that every formulation made for XLA's CPU backend has in common."""
    return "only supports CPU" if platform != "cpu" else static(problem, platform)


def static(problem: Problem, platform: str) -> str | None:
    """The reason that every formulation but lax's own has in common."""
    if problem.empty:
        return "is for sums that have terms"
    if problem.vmapped:
        return "takes one convolution at a time"
    return None if problem.static else "is for sizes that are numbers"
