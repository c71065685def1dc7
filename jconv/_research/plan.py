"""plan_operation: how an operation that is built from convolutions will run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import product
from jconv._core.problem import Problem, itemsize
from jconv._plan.plan import plan
from jconv._plan.table import rejections, wrap
from jconv._planner.choose import choose, needs
from jconv._research import kfac, norms
from jconv._research.norms import Way

OPERATIONS = ("per_example_filter_grads", "filter_grad_norms", "kfac_factors", "locally_connected")


@dataclasses.dataclass(frozen=True)
class OperationPlan:
    """How one operation will run; print it.

    Attributes:
        operation: the operation's name.
        way: the name of the way that runs.
        examples: the number of examples computed at a time.
        workspace_bytes: predicted bytes of temporaries, without operands and result.
        rejections: the ways that do not run, each with the reason.
    """

    operation: str
    way: str
    examples: int
    workspace_bytes: int
    rejections: tuple[tuple[str, str], ...] = ()

    @property
    def rejected(self) -> dict[str, str]:
        return dict(self.rejections)

    def __str__(self) -> str:
        lines = [
            f"{self.operation}: {self.way}, {self.examples} examples at a time, "
            f"{self.workspace_bytes} bytes of workspace"
        ]
        lines += [line for text in rejections(self.rejections) for line in wrap(f"  {text}")]
        return "\n".join(lines)


def plan_operation(
    operation: str, x_shape: Iterable[int], w_shape: Iterable[int], **settings: Any
) -> OperationPlan:
    """Plan an operation built from convolutions: which of its ways runs, and in what memory.

    Args:
        operation: "per_example_filter_grads", "filter_grad_norms", "kfac_factors" or
            "locally_connected".
        x_shape, w_shape: shapes of x and of the filter (for "locally_connected", of all filters).
        **settings: the keywords of `plan`: those of `conv`, dtype and platform.

    Returns:
        The plan, under the policy in force.

    Raises:
        ConvError: as the operation would raise it, or for an operation without such a plan.

    Examples:
        >>> import jconv
        >>> jconv.plan_operation("filter_grad_norms", (32, 7, 7, 512), (3, 3, 512, 512)).way
        'gram'
    """
    if operation not in OPERATIONS:
        raise ConvError(
            "plan_operation: there is no such operation.",
            argument="operation",
            got=operation,
            expected=" or ".join(map(repr, OPERATIONS)),
            remedies=[Remedy("operation", OPERATIONS[0], f"pass {OPERATIONS[0]!r}")],
        )
    x_shape, w_shape = tuple(x_shape), tuple(w_shape)
    if operation == "locally_connected":
        w_shape = w_shape[len(x_shape) - 2 :]
    planned = plan(x_shape, w_shape, **settings)
    problem = planned.problem.replace(leg="filter_grad")
    way = _WAYS[operation](problem, planned.platform)
    return OperationPlan(
        operation, way.name, way.examples, way.workspace_bytes, tuple(way.rejected.items())
    )


def _grads(problem: Problem, platform: str) -> Way:
    one = problem.replace(n=1)
    choice = choose(one, platform)
    needed = needs(choice.algorithm, one, platform)
    return Way(choice.algorithm.name, problem.n * choice.cost, needed, 1, choice.rejected)


def _norms(problem: Problem, platform: str) -> Way:
    return norms.choose_way(problem.replace(n=1), problem.n, platform)


def _factors(problem: Problem, platform: str) -> Way:
    return kfac.choose_way(problem, platform)


def _local(problem: Problem, platform: str) -> Way:
    places = product([axis.o for axis in problem.axes])
    taps = product([axis.k for axis in problem.axes])
    windows = problem.n * places * taps * problem.c * itemsize(problem.wide_dtype)
    return Way("a product for each place", 0.0, 2 * windows, problem.n, {})


_WAYS = {
    "per_example_filter_grads": _grads,
    "filter_grad_norms": _norms,
    "kfac_factors": _factors,
    "locally_connected": _local,
}
