"""What an algorithm is: a record of functions over a Problem."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Protocol

import jax

from jconv._algorithms.compiling import OfPart, Work, few_kernels
from jconv._algorithms.cost import operands, widened
from jconv._core.geometry import Size
from jconv._core.problem import Problem, itemsize

MARGIN = 1.2  # factor; what many small kernels lose on cores that do not share a cache


class Planner(Protocol):
    """What an algorithm may ask of the planner: to predict and to run a simpler problem."""

    @property
    def platform(self) -> str: ...

    def cost(self, problem: Problem) -> float: ...

    def run(self, problem: Problem, a: jax.Array, b: jax.Array) -> jax.Array: ...


def rearranged(problem: Problem, platform: str) -> Size:
    """The workspace of an algorithm that copies operands and result once, in another order."""
    return widened(problem) + int(operands(problem)) * itemsize(problem.wide_dtype)


def mixes_windows(problem: Problem) -> str | None:
    """The `local` of an algorithm whose outputs are combinations of several windows' products."""
    return "mixes the windows of several outputs"


def always_local(problem: Problem) -> str | None:
    """The `local` of an algorithm that sums the products of an output's own window alone."""
    return None


def no_parts(problem: Problem) -> Iterable[Problem]:
    """The `parts` of an algorithm that hands nothing on to the planner."""
    return ()


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """One way to compute a leg.

    Attributes:
        name: what policies, plans and profilers call it.
        supports: None, or the reason why this problem is not for it, as the end of a sentence
            that begins with the algorithm's name: "only supports stride 1". Asked first: the
            other functions see only problems that it passed.
        cost: predicted seconds on the processor that the constants were fitted on; only
            comparisons between algorithms mean anything.
        run: (problem, planner, a, b) -> the leg's output, in the output slot's shape. `a` and
            `b` are the leg's operands in the dtypes of their slots. The result may come in
            any dtype that holds it: the caller rounds it once.
        workspace: bytes of temporaries that a run makes beside operands and result, those of its
            `parts` not counted.
        parts: the problems that a run hands on to the planner, each kind once, with as many images
            as a chunk of the batch has. The planner adds the workspace of the largest.
        compiling: (problem, of_part) -> how many kernels and calls it leaves to XLA's CPU
            compiler; `of_part(problem)` is that of a problem that is handed on.
        exact: whether it forms the products of the index equation and no others, so that it
            differs from any other exact algorithm only in the order of the sum.
        error: the root-mean-square error against float64, as a multiple of direct's, at most.
        margin: factor by which a run may take longer than predicted; the choice counts on it.
            1 where a run is direct's own convolution with less around it.
        local: None where an output is a sum of the products of its own window alone, so that a
            NaN anywhere else never reaches it; or the reason why not. The policy "local" admits
            no other algorithm. A window is what the index equation gives an output, with the
            zeros of padding and of input dilation. No product with any other zero may be added,
            not even where a later product would drop it. A choice of formulation or of blocks
            may depend on the problem.
    """

    name: str
    supports: Callable[[Problem, str], str | None]
    cost: Callable[[Problem, Planner], float]
    run: Callable[[Problem, Planner, jax.Array, jax.Array], jax.Array]
    workspace: Callable[[Problem, str], Size] = rearranged
    parts: Callable[[Problem], Iterable[Problem]] = no_parts
    compiling: Callable[[Problem, OfPart], Work] = few_kernels
    exact: bool = True
    error: float = 2.0
    margin: Callable[[Problem], float] = lambda problem: MARGIN
    local: Callable[[Problem], str | None] = mixes_windows


def static(problem: Problem, platform: str) -> str | None:
    """The reason why only direct supports a problem, where that holds for any other algorithm.

    There is such a reason for a problem without products, for one that vmap has mapped over both
    operands, and for symbolic sizes. Otherwise None: the algorithm decides.
    """
    if problem.empty:
        return "has no products to sum here"
    if problem.vmapped:
        return "only supports one convolution at a time"
    return None if problem.static else "only supports sizes that are numbers"


def static_in_parts(problem: Problem, platform: str) -> str | None:
    """`static` of an algorithm that hands parts on: on CPU, `real` takes complex numbers first."""
    if reason := static(problem, platform):
        return reason
    real = platform != "cpu" or "complex" not in problem.wide_dtype
    return None if real else "leaves complex numbers to real"


def static_on_cpu(problem: Problem, platform: str) -> str | None:
    """`static` of an algorithm that is made for XLA's CPU backend: other platforms are refused."""
    if reason := static(problem, platform):
        return reason
    return None if platform == "cpu" else "only supports CPU"
