"""The grid of transformations, each with what it must equal: a list of legs.

For an operation f with operands a and b in slots p and q and its result in slot r, f(a, b) is the
leg of r. A way is a JAX function of f, of operands a, b and a cotangent c, and of a second draw
of each, a1, b1, c1; and a table that says which leg every array of its result is. A leg is written
as its slot and, for each operand's slot, which of the two draws it is taken on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Legs = list[tuple[str, dict[str, int]]]


@dataclasses.dataclass(frozen=True)
class Way:
    """One transformation: what a report calls it, how it is run, and what it must equal."""

    property: str
    run: Callable[..., Iterable[Any]]
    legs: Callable[[str, str, str], Legs]


def _once(r: str, p: str, q: str) -> Legs:
    return [(r, {p: 0, q: 0})]


def _both_grads(r: str, p: str, q: str) -> Legs:
    return [(p, {r: 0, q: 0}), (q, {r: 0, p: 0})]


def _over_a(r: str, p: str, q: str) -> Legs:
    return [(r, {p: 0, q: 0}), (r, {p: 1, q: 0})]


def _over_b(r: str, p: str, q: str) -> Legs:
    return [(r, {p: 0, q: 0}), (r, {p: 0, q: 1})]


def _over_both(r: str, p: str, q: str) -> Legs:
    return [(r, {p: 0, q: 0}), (r, {p: 1, q: 1})]


def _nested(r: str, p: str, q: str) -> Legs:
    return [(r, {p: i, q: j}) for i in (0, 1) for j in (0, 1)]


def _grads_of_both(r: str, p: str, q: str) -> Legs:
    return [(p, {r: n, q: n}) for n in (0, 1)] + [(q, {r: n, p: n}) for n in (0, 1)]


def _grads_of_scan(r: str, p: str, q: str) -> Legs:
    return [(p, {r: n, q: 0}) for n in (0, 1)]


def _tangents(r: str, p: str, q: str) -> Legs:
    return [(r, {p: 1, q: 0}), (r, {p: 0, q: 1})]


def _second(r: str, p: str, q: str) -> Legs:
    along_a = [(q, {r: 0, p: 1}), (r, {p: 1, q: 0})]
    along_b = [(p, {r: 0, q: 1}), (r, {p: 0, q: 1})]
    return [*along_a, *along_b]


def _mixed(r: str, p: str, q: str) -> Legs:
    return [(p, {r: 0, q: 1}), (q, {r: 0, p: 1})]


# --- the functions --------------------------------------------------------------------------


def _pull(f: Any, a: Any, b: Any, c: Any) -> Any:
    """Both gradients: slots p and q."""
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


WAYS: dict[str, Way] = {
    "value": Way("values", lambda f, a, b, c, a1, b1, c1: [f(a, b)], _once),
    "reverse": Way("gradients", lambda f, a, b, c, a1, b1, c1: _pull(f, a, b, c), _both_grads),
    "forward": Way("forward mode", _forward, _tangents),
    "linearize": Way("forward mode", _linearize, _tangents),
    "linear-transpose": Way("linear transpose", _linear_transpose, _both_grads),
    "reverse-over-reverse": Way("second order", _reverse_over_reverse, _second),
    "forward-over-reverse": Way("second order, forward", _forward_over_reverse, _mixed),
    "reverse-over-forward": Way("second order, forward", _reverse_over_forward, _mixed),
    "vmap-first": Way(
        "vmap",
        lambda f, a, b, c, a1, b1, c1: jax.vmap(f, (0, None))(jnp.stack([a, a1]), b),
        _over_a,
    ),
    "vmap-second": Way(
        "vmap",
        lambda f, a, b, c, a1, b1, c1: jax.vmap(f, (None, 0))(a, jnp.stack([b, b1])),
        _over_b,
    ),
    "vmap-both": Way(
        "vmap",
        lambda f, a, b, c, a1, b1, c1: jax.vmap(f)(jnp.stack([a, a1]), jnp.stack([b, b1])),
        _over_both,
    ),
    "vmap-last-axis": Way("vmap", _vmap_last, _over_a),
    "vmap-nested": Way("vmap", _vmap_nested, _nested),
    "vmap-of-gradients": Way("vmap of gradients", _vmap_of_grads, _grads_of_both),
    "gradients-of-vmap": Way("vmap of gradients", _grad_of_vmap, _grads_of_both),
    "checkpoint": Way("control flow", _checkpoint, _both_grads),
    "scan": Way(
        "control flow",
        lambda f, a, b, c, a1, b1, c1: _scan(f, b, jnp.stack([a, a1])),
        _over_a,
    ),
    "gradients-of-scan": Way("control flow", _grad_of_scan, _grads_of_scan),
    "while": Way("control flow", _while, _once),
    "cond": Way("control flow", _cond, _once),
}
"""Every way by name; "value" is the operation as it stands."""
