"""The policy in force: what the planner may choose from. jit's caches are keyed on it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax

from jconv._algorithms import BY_NAME
from jconv._check import settings
from jconv._core.errors import ConvError, Remedy
from jconv._core.jax_hooks import make_user_context
from jconv._core.problem import Problem, Tuning

RULES = ("auto", "exact", "local")


@dataclasses.dataclass(frozen=True)
class Policy:
    """What may run and what counts.

    A rule ("auto", "exact", "local" or the name of an algorithm), a memory limit in bytes, and
    over how many runs of a program compiling it is to pay.
    """

    rule: str = "auto"
    workspace: int | None = None
    runs: int | None = None


_context: Any = make_user_context(Policy())
tuning_context: Any = make_user_context(None)


def current_policy() -> Policy:
    return _context.value


def current_tuning() -> Tuning | None:
    """The tuning table in force on this thread."""
    return tuning_context.value


def captured() -> dict[str, Any]:
    """What a traced call depends on, as fields of its problem, which its gradients inherit."""
    policy = current_policy()
    return {
        "policy": policy.rule,
        "workspace": policy.workspace,
        "runs": policy.runs,
        "tuning": current_tuning(),
    }


def capture(problem: Problem, precision: Any) -> Problem:
    """The problem with what a traced call depends on, so that its gradients inherit it."""
    changes = captured()
    default = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    if precision is None and default is not None:
        changes["precision"] = settings.default_precision(default)
    return problem.replace(**changes)


@contextlib.contextmanager
def policy(
    rule: str = "auto", *, workspace: int | None = None, runs: int | None = None
) -> Iterator[Policy]:
    """Sets which algorithms may run within this context.

    Args:
        rule: what may run. One of

            - "auto": whatever is fastest within a bound on the error of the whole result: its
              root mean square is at most eight times direct's. It says nothing of one output by
              itself: a NaN may reach its neighbours, zeros beside other values may come out as
              1e-7, values near float32's largest may overflow.
            - "exact": only algorithms that form the products of the definition.
            - "local": only those whose outputs depend on their own windows alone, bit by bit. A
              NaN or an infinity reaches the outputs that read it and no others, a window of zeros
              gives exactly zero, whole numbers stay whole, the range is direct's, and an
              example's result is the same whoever shares its batch. The window of an element of
              a filter gradient is the set of products that belong to its tap and channels, over
              the whole batch. Padding, and the rows of zeros that a stride or an input dilation
              puts between others, are members of a window: times a NaN of the filter (or of g,
              in a filter gradient) they are NaN, as in lax. Kept on CPU; elsewhere the
              platform's own convolution runs, with whatever that keeps.
            - the name of an algorithm, which gives way to auto where it does not support a leg.
        workspace: the most bytes of temporaries that an algorithm may take.
        runs: how often a compiled program will run. The choice is then by the predicted seconds
            of all runs and of compiling once, so that a script of a few steps waits less. None
            means so often that compiling does not count; but an algorithm that is predicted to
            compile for more than a second then gives way to one that takes at most twice as
            long per run. On CPU alone.

    Raises:
        ConvError: for any other `rule`, `workspace` or `runs`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> with jconv.policy("exact"):
        ...     y = jconv.conv(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)))
    """
    names = (*RULES, *BY_NAME)
    if not isinstance(rule, str) or rule not in names:
        raise ConvError(
            "policy: there is no such rule.",
            argument="rule",
            got=rule,
            expected=" or ".join(repr(name) for name in names),
            remedies=[Remedy.use("rule", "auto")],
        )
    _check_count("workspace", workspace, 0, "a number of bytes")
    _check_count("runs", runs, 1, "how often a compiled program will run")
    value = Policy(rule, workspace, runs)
    with _context(value):
        yield value


def _check_count(name: str, value: Any, least: int, meaning: str) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (whole and value >= least):
        raise ConvError(
            f"policy: `{name}` is {meaning}.",
            argument=name,
            got=value,
            expected=f"None, or an integer >= {least}",
            remedies=[Remedy.omit(name)],
        )
