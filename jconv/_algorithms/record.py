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

    def cost(self, problem: Problem) -> float:
        """Predicted seconds of the algorithm that the planner chooses for it, without a margin."""
        ...

    def run(self, problem: Problem, a: jax.Array, b: jax.Array) -> jax.Array:
        """The leg on its operands, by that algorithm. The problem must not be `empty`."""
        ...


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
        supports: (problem, platform) -> None, or the reason why this problem is not for it, as
            the end of a sentence that begins with the algorithm's name: "only supports stride 1".
            Asked first: the other functions see only problems that it passed. The platform is
            "cpu", "cuda", "rocm", "tpu" or "other".
        cost: predicted seconds on the processor that the constants were fitted on; only
            comparisons between algorithms mean anything.
        run: (problem, planner, a, b) -> the leg's output, in the output slot's shape. `a` and
            `b` are the leg's operands in the dtypes of their slots: x and w, g and w, or x and g,
            w always as the forward convolution has it, not flipped. The result may come in
            any dtype that holds it: the caller rounds it once.
        workspace: bytes of temporaries that a run makes beside operands and result, those of its
            `parts` not counted.
        parts: the problems that a run hands on to the planner, each different one once, as `run`
            passes it (with the images of one chunk where it cuts the batch into chunks). The
            planner adds the workspace of the largest. Default: none.
        compiling: (problem, of_part) -> the `Work` that it leaves to XLA's CPU compiler;
            `of_part(problem)` is that of a problem that is handed on. Default: six kernels, which
            is too little for one with parts.
        exact: whether it forms the products of the index equation and no others, so that it
            differs from any other exact algorithm only in the order of the sum. Parts do not
            count: they have the problem's policy, or a stricter one. Default: True.
        error: the root-mean-square error against float64, as a multiple of direct's, at most;
            parts do not count. Default: 2.
        margin: problem -> factor by which a run may take longer than predicted; the choice counts
            on it, and on 50 us more. 1 (and no more) only where predictions are as good as
            direct's own. Default: 1.2.
        local: None where an output is a sum of the products of its own window alone, so that a
            NaN anywhere else never reaches it; or the reason why not. The policy "local" admits
            no other algorithm. A window is what the index equation gives an output, with the
            zeros of padding, stride and input dilation. No product with any other zero may be
            added, not even where its result is dropped. An algorithm may compute differently under
            this policy, as `grouped` does. It then sees the policy `ONE_WINDOW`, which its parts
            inherit, and one example of the batch (a filter backprop all of them). Default: a
            reason, so that it is not admitted.
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
    """None, or why no algorithm but direct may run a problem. Every `supports` begins with it.

    There is such a reason for a problem without products, for one that vmap has mapped over both
    operands, and for symbolic sizes.
    """
    if problem.empty:
        return "has no products to sum here"
    if problem.vmapped:
        return "only supports one convolution at a time"
    return None if problem.static else "only supports sizes that are numbers"


def static_in_parts(problem: Problem, platform: str) -> str | None:
    """`static` of an algorithm that hands parts on; on CPU it refuses complex numbers.

    `real` makes such a leg real once, before it is cut up into parts.
    """
    if reason := static(problem, platform):
        return reason
    real = platform != "cpu" or "complex" not in problem.wide_dtype
    return None if real else "leaves complex numbers to real"


def static_on_cpu(problem: Problem, platform: str) -> str | None:
    """`static` of an algorithm that is made for XLA's CPU backend: other platforms are refused."""
    if reason := static(problem, platform):
        return reason
    return None if platform == "cpu" else "only supports CPU"
