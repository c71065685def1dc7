"""A loss of one example as a program in two parts.

The first part computes values from parameters alone, which are equal for every example: a filter
as it is, or cast, or standardised; a bias repeated over the image. The second part computes values
that depend on the example. An equation of the second part that reads a value of the first is a use
of parameters. A gradient for each example follows from two values at each use: its other operands,
and the cotangents of its results. These cotangents are found as derivatives in zeros that are
added to the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jconv._core import jax_hooks

# Primitives that only call their body, by their names in several JAX releases.
_INLINED = {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"}
# Primitives that only move numbers, each of them once, so that a norm stays as it is.
ISOMETRIC = {
    "convert_element_type",
    "copy",
    "copy_p",
    "expand_dims",
    "rev",
    "reshape",
    "squeeze",
    "transpose",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Use:
    """An equation that combines parameters with values of the example.

    Attributes:
        equation: the equation.
        params: positions of its operands that depend on parameters alone.
        examples: positions of its operands that depend on the example.
        results: positions of its results that have derivatives.
    """

    equation: Any
    params: tuple[int, ...]
    examples: tuple[int, ...]
    results: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A loss of one example, taken apart.

    Attributes:
        uses: where parameters meet the example, in the order of the program.
        frontier: the variables of the first part that the second part reads.
        prepared: function from the parameters to the values of the frontier.
        run: function of the frontier's values, the example, and for each use zeros to add to its
            results; returns the loss and for each use its operands that depend on the example.
        sources: for each variable of the frontier, the numbers of the parameters that it depends
            on, and whether it is one parameter's numbers, only moved.
    """

    uses: tuple[Use, ...]
    frontier: tuple[Any, ...]
    prepared: Callable[..., Any]
    run: Callable[..., Any]
    sources: dict[Any, tuple[frozenset[int], bool]]


def take_apart(closed: Any, params: int) -> Program:
    """The program of a jaxpr whose first `params` inputs are parameters, the rest the example.

    Raises:
        ValueError: if its one result does not depend on the example.
    """
    closed = _inlined(closed)
    jaxpr, consts = closed.jaxpr, closed.consts
    literal = jax_hooks.JAXPRS.Literal
    sources: dict[Any, tuple[frozenset[int], bool]] = {
        variable: (frozenset({n}), True) for n, variable in enumerate(jaxpr.invars[:params])
    }
    of_example = set(jaxpr.invars[params:])
    before, after, uses, frontier = [], [], [], {}
    for equation in jaxpr.eqns:
        operands = [None if isinstance(v, literal) else v for v in equation.invars]
        if not any(v in of_example for v in operands if v is not None):
            before.append(equation)
            _follow(equation, operands, sources)
            continue
        after.append(equation)
        of_example.update(equation.outvars)
        outside = [v for v in operands if v is not None and v not in of_example]
        frontier.update(dict.fromkeys(outside))
        use = _use(equation, operands, sources, of_example)
        if use is not None:
            uses.append(use)
    (result,) = jaxpr.outvars
    if isinstance(result, literal) or result not in of_example:
        raise ValueError("the result does not depend on the example")
    known = dict(zip(jaxpr.constvars, consts, strict=True))
    variables = tuple(frontier)

    def prepared(values: Sequence[jax.Array]) -> list[jax.Array]:
        env = {**known, **dict(zip(jaxpr.invars[:params], values, strict=True))}
        _evaluate(before, env)
        return [env[v] for v in variables]

    def run(values: Sequence[Any], example: Sequence[Any], zeros: Sequence[Any]) -> Any:
        env = dict(zip(variables, values, strict=True))
        env.update(zip(jaxpr.invars[params:], example, strict=True))
        added = {id(use.equation): (use, more) for use, more in zip(uses, zeros, strict=True)}
        saved = _evaluate(after, env, added)
        return env[result], [saved[id(use.equation)] for use in uses]

    return Program(tuple(uses), variables, prepared, run, sources)


def _use(equation: Any, operands: list[Any], sources: Any, of_example: set[Any]) -> Use | None:
    """The equation as a Use; None if no operand comes from parameters alone."""
    params = tuple(
        n
        for n, v in enumerate(operands)
        if v is not None and v not in of_example and sources.get(v, ((), True))[0]
    )
    results = tuple(n for n, v in enumerate(equation.outvars) if _inexact(v.aval))
    if not params or not results:
        return None
    examples = tuple(n for n, v in enumerate(operands) if v is not None and v in of_example)
    return Use(equation, params, examples, results)


def _follow(equation: Any, operands: list[Any], sources: dict[Any, Any]) -> None:
    """Note which parameters the results of an equation of the first part depend on."""
    known = [sources[v] for v in operands if v is not None and v in sources]
    if not known or equation.primitive.name == "stop_gradient":
        return
    numbers = frozenset().union(*(params for params, _ in known))
    kept = len(known) == 1 and known[0][1] and _isometric(equation)
    for variable in equation.outvars:
        if _inexact(variable.aval):
            sources[variable] = (numbers, kept)


def _isometric(equation: Any) -> bool:
    name = equation.primitive.name
    if name == "broadcast_in_dim":
        return equation.invars[0].aval.size == equation.outvars[0].aval.size
    return name in ISOMETRIC


def _inexact(aval: Any) -> bool:
    return hasattr(aval, "dtype") and jnp.issubdtype(aval.dtype, jnp.inexact)


def _evaluate(equations: Sequence[Any], env: dict[Any, Any], added: Any = None) -> dict[int, Any]:
    """Run equations in `env`, adding `added` to results; returns the uses' operands by id."""
    literal = jax_hooks.JAXPRS.Literal
    saved = {}
    for equation in equations:
        operands = [v.val if isinstance(v, literal) else env[v] for v in equation.invars]
        results = jax_hooks.bind_equation(equation, operands)
        if added and id(equation) in added:
            use, zeros = added[id(equation)]
            saved[id(equation)] = [operands[n] for n in use.examples]
            for n, zero in zip(use.results, zeros, strict=True):
                results[n] = results[n] + zero
        env.update(zip(equation.outvars, results, strict=True))
    return saved


def _inlined(closed: Any) -> Any:
    """A jaxpr in which calls are replaced by their bodies."""
    avals = [variable.aval for variable in closed.jaxpr.invars]
    return jax.make_jaxpr(lambda *args: _call(closed.jaxpr, closed.consts, args))(*avals)


def _call(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    literal = jax_hooks.JAXPRS.Literal
    env = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))
    read = lambda v: v.val if isinstance(v, literal) else env[v]  # noqa: E731
    for equation in jaxpr.eqns:
        operands = [read(v) for v in equation.invars]
        body = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        if equation.primitive.name in _INLINED and body is not None:
            inner = getattr(body, "jaxpr", body)
            results = _call(inner, getattr(body, "consts", ()), operands)
        else:
            results = jax_hooks.bind_equation(equation, operands)
        env.update(zip(equation.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]
