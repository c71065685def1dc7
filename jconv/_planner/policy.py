"""What the planner may choose from and goes by; jit's caches are keyed on it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from jconv._algorithms import BY_NAME
from jconv._core.errors import ConvError, Remedy
from jconv._core.jax_hooks import make_user_context
from jconv._core.problem import Tuning

RULES = ("auto", "exact")


@dataclasses.dataclass(frozen=True)
class Policy:
    """A rule ("auto", "exact" or the name of an algorithm) and a memory limit in bytes."""

    rule: str = "auto"
    workspace: int | None = None


_context: Any = make_user_context(Policy())
tuning_context: Any = make_user_context(None)


def current_policy() -> Policy:
    return _context.value


def current_tuning() -> Tuning | None:
    """The tuning table in force on this thread."""
    return tuning_context.value


def captured() -> dict[str, Any]:
    """What a traced call depends on, as fields of its problem: its gradients inherit them."""
    policy = current_policy()
    return {"policy": policy.rule, "workspace": policy.workspace, "tuning": current_tuning()}


@contextlib.contextmanager
def policy(rule: str = "auto", *, workspace: int | None = None) -> Iterator[Policy]:
    """Within this context, what algorithms may run.

    Args:
        rule: "auto", whatever is fastest within the stated error bounds; "exact", only
            algorithms that form the products of the definition; or an algorithm's name, which
            gives way to auto where it does not support a leg.
        workspace: the most bytes of temporaries that an algorithm may take.

    Raises:
        ConvError: if `rule` or `workspace` is none of those.

    Example:
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
            remedies=[Remedy("rule", "auto", "policy('auto')")],
        )
    if workspace is not None and (
        isinstance(workspace, bool) or not isinstance(workspace, int) or workspace < 0
    ):
        raise ConvError(
            "policy: `workspace` is a number of bytes.",
            argument="workspace",
            got=workspace,
            expected="None, or an integer >= 0",
            remedies=[Remedy("workspace", None, "leave workspace out")],
        )
    value = Policy(rule, workspace)
    with _context(value):
        yield value
