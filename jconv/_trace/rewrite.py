"""`rewrite`: a jaxpr in which jconv's convolutions replace lax's, at any depth.

An equation is a convolution, or its parameters hold jaxprs (jit, scan, while, cond, remat,
shard_map) or functions that return jaxprs (custom_jvp, custom_vjp), or neither. Parameters are
recognised by their types, never by their names, which differ between JAX's releases.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from jconv._core import jax_hooks, jax_sharding
from jconv._core.errors import ConvError
from jconv._ops.primitives import PRIMITIVES
from jconv._planner.policy import captured
from jconv._trace.lax_primitive import PARAMETERS, from_lax, lax_params
from jconv._trace.neighbours import Neighbours
from jconv._trace.recognise_legs import Clues

Run = Callable[[Callable[..., Any]], Callable[..., Any]]

# From a jaxpr to its rewritten form under each policy and tuning table; None where nothing
# changes. Kept because JAX compiles a jaxpr again if it is another object, however equal.
_done: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()


def rewrite(value: Any, run: Run) -> Any:
    """The jaxpr, with constants or without, its convolutions replaced by jconv's.

    Args:
        value: the jaxpr.
        run: turns a function of arrays into one whose convolutions jconv runs. It is for the
            backward passes of custom_vjp, which JAX keeps as functions.
    """
    known, key = _done.setdefault(value, {}), tuple(captured().items())
    if key not in known:
        around = Neighbours(getattr(value, "jaxpr", value))
        changed = jax_hooks.with_equations(value, lambda old: _equation(old, around, run))
        known[key] = None if changed is value else changed
    return value if known[key] is None else known[key]


def _equation(equation: Any, around: Neighbours, run: Run) -> list[Any]:
    if equation.primitive is lax.conv_general_dilated_p:
        return _convolution(equation, around.clues(equation))
    params = {name: _parameter(value, run) for name, value in equation.params.items()}
    if all(params[name] is value for name, value in equation.params.items()):
        return [equation]
    assert jax_hooks.JAXPRS is not None  # accelerate checked it
    if equation.primitive is jax_hooks.JAXPRS.remat_p:
        params = {name: _counting_convolutions(value) for name, value in params.items()}
    return [equation.replace(params=params)]


def _convolution(equation: Any, clues: Clues) -> list[Any]:
    """The equations that replace a convolution; itself where jconv has no operation for it."""
    (result,) = equation.outvars
    if set(equation.params) != PARAMETERS:
        return [equation]

    def on_jconv(lhs: jax.Array, rhs: jax.Array) -> jax.Array:
        return jax_sharding.reshard_like(from_lax(lhs, rhs, equation.params, clues), result.aval)

    try:
        closed = jax_hooks.traced_in_place_of(equation, on_jconv)
    except ConvError:
        return [equation]
    (out,) = closed.out_avals
    if (out.shape, out.dtype) != (result.aval.shape, result.aval.dtype):
        return [equation]
    return _inlined(closed, equation)


def _inlined(closed: Any, equation: Any) -> list[Any]:
    """A jaxpr's equations, on the operands and the result of the equation that they replace."""
    literal = jax_hooks.JAXPRS.Literal
    jaxpr = closed.jaxpr
    atoms = dict(zip(jaxpr.invars, equation.invars, strict=True))
    for variable, value in zip(jaxpr.constvars, closed.consts, strict=True):
        atoms[variable] = literal(value, variable.aval)
    results = dict(zip(jaxpr.outvars, equation.outvars, strict=True))

    def atom(old: Any) -> Any:
        return old if isinstance(old, literal) else atoms.get(old, old)

    return [
        inner.replace(
            invars=[atom(v) for v in inner.invars],
            outvars=[results.get(v, v) for v in inner.outvars],
            source_info=equation.source_info,
        )
        for inner in jaxpr.eqns
    ]


def _parameter(value: Any, run: Run) -> Any:
    if hasattr(value, "eqns"):
        return rewrite(value, run)
    if hasattr(value, "call_wrapped"):
        return jax_hooks.rewrapped(value, _thunk(value, run))
    if isinstance(value, tuple | list):
        entries = [_parameter(entry, run) for entry in value]
        if all(new is old for new, old in zip(entries, value, strict=True)):
            return value
        return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)
    return value


def _thunk(fn: Any, run: Run) -> Callable[..., Any]:
    """A function of a custom derivative: it takes arrays, or flags and returns a jaxpr."""

    def call(*args: Any) -> Any:
        if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(args)):
            return run(fn.call_wrapped)(*args)
        result = fn.call_wrapped(*args)
        if isinstance(result, tuple | list):
            return type(result)(rewrite(v, run) if hasattr(v, "eqns") else v for v in result)
        return result

    return call


# Rematerialisation policies ---------------------------------------------------------------------


def _counting_convolutions(value: Any) -> Any:
    """A rematerialisation policy that treats jconv's primitives as lax's convolution."""
    if not callable(value):
        return value

    def policy(primitive: Any, *avals: Any, **params: Any) -> Any:
        if primitive in PRIMITIVES:
            primitive, params = lax.conv_general_dilated_p, lax_params(params["problem"])
        return value(primitive, *avals, **params)

    return policy
