"""Jaxprs with lax's convolutions exchanged for jconv's, wherever in them they stand.

An equation either is a convolution, or holds jaxprs among its parameters (jit, scan, while,
cond, remat, shard_map), or functions that make them when they are asked (custom_jvp,
custom_vjp), or none of these. Parameters are known by what they are, never by their names,
which differ between JAX's releases.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._core import jax_hooks
from jconv._core.errors import ConvError
from jconv._core.problem import Problem
from jconv._ops.primitives import PRIMITIVES
from jconv._planner.policy import captured
from jconv.compat.lax import conv_general_dilated

_ACCEPTED = set(inspect.signature(conv_general_dilated).parameters)

Run = Callable[[Callable[..., Any]], Callable[..., Any]]

# Jaxpr -> what it was rewritten to, None for itself, under each policy and tuning table. JAX
# compiles a jaxpr once for as long as it is the same object.
_done: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()


def rewrite(value: Any, run: Run) -> Any:
    """A jaxpr, with constants or without, whose convolutions are jconv's.

    Args:
        value: the jaxpr.
        run: what turns a function of arrays into one with convolutions by jconv; backward
            passes of custom_vjp are kept as functions.
    """
    known, key = _done.setdefault(value, {}), tuple(captured().items())
    if key not in known:
        changed = jax_hooks.with_equations(value, lambda old: _equation(old, run))
        known[key] = None if changed is value else changed
    return value if known[key] is None else known[key]


def _equation(equation: Any, run: Run) -> list[Any]:
    if equation.primitive is lax.conv_general_dilated_p:
        return _convolution(equation)
    params = {name: _parameter(value, run) for name, value in equation.params.items()}
    if all(params[name] is value for name, value in equation.params.items()):
        return [equation]
    assert jax_hooks.JAXPRS is not None  # accelerate checked it
    if equation.primitive is jax_hooks.JAXPRS.remat_p:
        params = {name: _counting_convolutions(value) for name, value in params.items()}
    return [equation.replace(params=params)]


def _convolution(equation: Any) -> list[Any]:
    """The equations that take a convolution's place; itself where jconv has none for it."""
    params = dict(equation.params)
    (result,) = equation.outvars
    if not set(params) <= _ACCEPTED:
        return [equation]
    if params["precision"] is None:  # it was the default where this was traced, and here too
        params["precision"] = lax.Precision.DEFAULT

    def convolve(lhs: jax.Array, rhs: jax.Array) -> jax.Array:
        return jax_hooks.reshard_like(conv_general_dilated(lhs, rhs, **params), result.aval)

    try:
        closed = jax_hooks.traced_in_place_of(equation, convolve)
    except ConvError:
        return [equation]
    (out,) = closed.out_avals
    if (out.shape, out.dtype) != (result.aval.shape, result.aval.dtype):
        return [equation]
    return _inlined(closed, equation)


def _inlined(closed: Any, equation: Any) -> list[Any]:
    """A jaxpr's equations between the operands and the result of the equation they replace."""
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
    """A rematerialisation policy that takes jconv's primitives for the convolutions they are."""
    if not callable(value):
        return value

    def policy(primitive: Any, *avals: Any, **params: Any) -> Any:
        if primitive in PRIMITIVES:
            primitive, params = lax.conv_general_dilated_p, lax_params(params["problem"])
        return value(primitive, *avals, **params)

    return policy


def lax_params(problem: Problem) -> dict[str, Any]:
    """The parameters of the lax convolution that a leg is, channels last."""
    rank, filter_grad = problem.rank, problem.leg == "filter_grad"
    axes = problem.axes
    if problem.leg != "conv":
        axes = [axis.filter_grad() if filter_grad else axis.input_grad() for axis in axes]
    lhs, rhs = (0, rank + 1, *range(1, rank + 1)), (rank + 1, rank, *range(rank))
    return {
        "window_strides": tuple(axis.s for axis in axes),
        "padding": tuple((axis.p0, axis.p1) for axis in axes),
        "lhs_dilation": tuple(axis.b for axis in axes),
        "rhs_dilation": tuple(axis.d for axis in axes),
        "dimension_numbers": lax.ConvDimensionNumbers(lhs, rhs, lhs),
        "feature_group_count": 1 if filter_grad else problem.groups,
        "batch_group_count": problem.groups if filter_grad else 1,
        "precision": None,
        "preferred_element_type": jnp.dtype(problem.out_dtype),
        "out_sharding": None,
    }
