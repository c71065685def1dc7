"""The grid of transformations, each with the legs that its results must equal.

An operation f with two operands and a result occupies the three slots of the trilinear form. A way
is a function of JAX's transformations, given f, its operands a and b, a cotangent c, and a second
draw of each array, a1, b1 and c1. Each array that it returns must equal one leg, which is written
as the two arrays that the leg is taken on: "a b" is f(a, b), "c b" the gradient in a along c, and
"a1 b" the tangent of f along a1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


@dataclasses.dataclass(frozen=True)
class Way:
    """One transformation.

    Attributes:
        property: what a report calls it.
        run: the function of f, a, b, c, a1, b1 and c1.
        results: the two arrays that each result is the leg of.
    """

    property: str
    run: Callable[..., Iterable[Any]]
    results: tuple[str, ...]

    def legs(self, out: str, a: str, b: str) -> list[tuple[str, dict[str, int]]]:
        """The slot of each result, and by slot which draw of its operands it is taken on.

        `out`, `a` and `b` are the slots of f's result and operands.
        """
        slots, legs = {"a": a, "b": b, "c": out}, []
        for names in self.results:
            draws = {slots[name[0]]: int(name[1:] or 0) for name in names.split()}
            (free,) = set(slots.values()) - draws.keys()
            legs.append((free, draws))
        return legs


def _pull(f: Any, a: Any, b: Any, c: Any) -> Any:
    """Both gradients."""
    return jax.vjp(f, a, b)[1](c)


def _push_a(f: Any, a: Any, b: Any, a1: Any) -> Any:
    return jax.jvp(lambda a: f(a, b), (a,), (a1,))[1]


def _push_b(f: Any, a: Any, b: Any, b1: Any) -> Any:
    return jax.jvp(lambda b: f(a, b), (b,), (b1,))[1]


def _forward(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    return _push_a(f, a, b, a1), _push_b(f, a, b, b1)


def _linearize(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    _, in_a = jax.linearize(lambda a: f(a, b), a)
    _, in_b = jax.linearize(lambda b: f(a, b), b)
    return in_a(a1), in_b(b1)


def _linear_transpose(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    in_a = jax.linear_transpose(lambda a: f(a, b), a)(c)
    in_b = jax.linear_transpose(lambda b: f(a, b), b)(c)
    return *in_a, *in_b


def _reverse_over_reverse(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    in_a = jax.vjp(lambda b, c: _pull(f, a, b, c)[0], b, c)[1](a1)
    in_b = jax.vjp(lambda a, c: _pull(f, a, b, c)[1], a, c)[1](b1)
    return *in_a, *in_b


def _forward_over_reverse(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    in_b = jax.jvp(lambda b: _pull(f, a, b, c)[0], (b,), (b1,))[1]
    in_a = jax.jvp(lambda a: _pull(f, a, b, c)[1], (a,), (a1,))[1]
    return in_b, in_a


def _reverse_over_forward(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    in_a = jax.vjp(lambda a: _push_b(f, a, b, b1), a)[1](c)
    in_b = jax.vjp(lambda b: _push_a(f, a, b, a1), b)[1](c)
    return *in_a, *in_b


def _checkpoint(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    return _pull(jax.checkpoint(f), a, b, c)


def _vmap_last(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    mapped = jax.vmap(f, (-1, None), -1)(jnp.stack([a, a1], -1), b)
    return jnp.moveaxis(mapped, -1, 0)


def _vmap_nested(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    inner = jax.vmap(f, (None, 0))
    rows = jax.vmap(inner, (0, None))(jnp.stack([a, a1]), jnp.stack([b, b1]))
    return [array for row in rows for array in row]


def _vmap_of_grads(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    stacks = (jnp.stack(pair) for pair in ((a, a1), (b, b1), (c, c1)))
    in_a, in_b = jax.vmap(lambda a, b, c: _pull(f, a, b, c))(*stacks)
    return *in_a, *in_b


def _grad_of_vmap(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    stacks = (jnp.stack(pair) for pair in ((a, a1), (b, b1), (c, c1)))
    in_a, in_b = _pull(jax.vmap(f), *stacks)
    return *in_a, *in_b


def _scan(f: Any, b: Any, stack: Any) -> Any:
    return lax.scan(lambda carry, a: (carry, f(a, b)), 0, stack)[1]


def _grad_of_scan(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    stack, cotangents = jnp.stack([a, a1]), jnp.stack([c, c1])
    (grads,) = jax.vjp(lambda stack: _scan(f, b, stack), stack)[1](cotangents)
    return grads


def _while(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    start = 0, jnp.zeros_like(c)
    return [lax.while_loop(lambda s: s[0] < 1, lambda s: (s[0] + 1, f(a, b)), start)[1]]


def _cond(f: Any, a: Any, b: Any, c: Any, a1: Any, b1: Any, c1: Any) -> Any:
    return [lax.cond(jnp.sum(a) == jnp.sum(a), f, lambda a, b: jnp.zeros_like(c), a, b)]


BOTH_GRADIENTS = ("c b", "c a")
MAPPED_OVER_A = ("a b", "a1 b")
TANGENTS = ("a1 b", "a b1")
MIXED = ("c b1", "c a1")  # the second derivatives in both operands
MAPPED_GRADIENTS = ("c b", "c1 b1", "c a", "c1 a1")

WAYS: dict[str, Way] = {
    "value": Way("values", lambda f, a, b, c, a1, b1, c1: [f(a, b)], ("a b",)),
    "reverse": Way("gradients", lambda f, a, b, c, a1, b1, c1: _pull(f, a, b, c), BOTH_GRADIENTS),
    "forward": Way("forward mode", _forward, TANGENTS),
    "linearize": Way("forward mode", _linearize, TANGENTS),
    "linear-transpose": Way("linear transpose", _linear_transpose, BOTH_GRADIENTS),
    "reverse-over-reverse": Way(
        "second order", _reverse_over_reverse, ("c a1", "a1 b", "c b1", "a b1")
    ),
    "forward-over-reverse": Way("second order, forward", _forward_over_reverse, MIXED),
    "reverse-over-forward": Way("second order, forward", _reverse_over_forward, MIXED),
    "vmap-first": Way(
        "vmap",
        lambda f, a, b, c, a1, b1, c1: jax.vmap(f, (0, None))(jnp.stack([a, a1]), b),
        MAPPED_OVER_A,
    ),
    "vmap-second": Way(
        "vmap",
        lambda f, a, b, c, a1, b1, c1: jax.vmap(f, (None, 0))(a, jnp.stack([b, b1])),
        ("a b", "a b1"),
    ),
    "vmap-both": Way(
        "vmap",
        lambda f, a, b, c, a1, b1, c1: jax.vmap(f)(jnp.stack([a, a1]), jnp.stack([b, b1])),
        ("a b", "a1 b1"),
    ),
    "vmap-last-axis": Way("vmap", _vmap_last, MAPPED_OVER_A),
    "vmap-nested": Way("vmap", _vmap_nested, ("a b", "a b1", "a1 b", "a1 b1")),
    "vmap-of-gradients": Way("vmap of gradients", _vmap_of_grads, MAPPED_GRADIENTS),
    "gradients-of-vmap": Way("vmap of gradients", _grad_of_vmap, MAPPED_GRADIENTS),
    "checkpoint": Way("control flow", _checkpoint, BOTH_GRADIENTS),
    "scan": Way(
        "control flow",
        lambda f, a, b, c, a1, b1, c1: _scan(f, b, jnp.stack([a, a1])),
        MAPPED_OVER_A,
    ),
    "gradients-of-scan": Way("control flow", _grad_of_scan, ("c b", "c1 b")),
    "while": Way("control flow", _while, ("a b",)),
    "cond": Way("control flow", _cond, ("a b",)),
}
"""Every way by name; "value" is the operation as it stands."""
