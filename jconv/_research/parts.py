"""Groups of parameters whose squared norms are found together, and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jconv._core import jax_hooks
from jconv._planner.policy import captured
from jconv._research.chunks import CHUNK_BYTES, map_chunks
from jconv._research.program import Program, Use
from jconv._research.rules import PLACED, rule_of


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Parameters that share a use, and so are handled together; often a single one.

    Attributes:
        params: the parameters' positions.
        uses: the positions of their uses in the program's list.
        way: in words, how the norms are found.
        unruled: names of the equations for which there is no rule.
        squares: function of the parameters, and for each use its saved operands and its results'
            cotangents, examples in front; the squared norm of each example's gradient.
    """

    params: tuple[int, ...]
    uses: tuple[int, ...]
    way: str
    unruled: tuple[str, ...]
    squares: Callable[..., jax.Array]


def parts_of(program: Program, avals: Sequence[Any], examples: int) -> list[Part]:
    """The parts of a program whose parameters are described by `avals`."""
    grouped: list[tuple[set[int], list[int]]] = []
    for n, use in enumerate(program.uses):
        params, members = set(_params(program, use)), [n]
        for other in [entry for entry in grouped if entry[0] & params]:
            grouped.remove(other)
            params, members = params | other[0], other[1] + members
        grouped.append((params, members))
    return [
        _part(program, tuple(sorted(params)), tuple(members), avals, examples)
        for params, members in grouped
    ]


def _params(program: Program, use: Use) -> frozenset[int]:
    sources = (program.sources[use.equation.invars[n]][0] for n in use.params)
    return frozenset().union(*sources)


def _part(
    program: Program, params: tuple[int, ...], members: tuple[int, ...], avals: Any, examples: int
) -> Part:
    uses = [program.uses[n] for n in members]
    own = len(uses) == 1 and len(params) == 1
    if own and program.sources[uses[0].equation.invars[uses[0].params[0]]][1]:
        rule = rule_of(uses[0], examples)
        if rule is not None:
            way, squares = rule
            return Part(params, members, way, (), lambda _, saved, g: squares(saved[0][0], g[0][0]))
    return _formed(program, params, members, avals)


def _formed(
    program: Program, params: tuple[int, ...], members: tuple[int, ...], avals: Any
) -> Part:
    """Gradients formed, some examples at a time, and all uses of a parameter added up."""
    uses = [program.uses[n] for n in members]
    read = tuple(dict.fromkeys(use.equation.invars[n] for use in uses for n in use.params))
    places = [program.frontier.index(variable) for variable in read]

    def squares(values: Sequence[Any], saved: Any, cotangents: Any) -> jax.Array:
        frontier = program.prepared(values)

        def chosen(some: list[Any]) -> list[Any]:
            filled = list(values)
            for n, value in zip(params, some, strict=True):
                filled[n] = value
            found = program.prepared(filled)
            return [found[place] for place in places]

        _, pull = jax.vjp(chosen, [values[n] for n in params])

        def one(saved: Any, cotangents: Any) -> jax.Array:
            total = dict(zip(read, (jnp.zeros_like(frontier[p]) for p in places), strict=True))
            for use, operands, g in zip(uses, saved, cotangents, strict=True):
                for variable, value in _pulled(program, use, frontier, operands, g):
                    total[variable] = total[variable] + value
            (grads,) = pull([total[variable] for variable in read])
            wide = [g.astype(jnp.promote_types(g.dtype, jnp.float32)) for g in grads]
            return sum(jnp.sum(jnp.abs(g) ** 2) for g in wide)  # pyright: ignore

        return map_chunks(jax.vmap(one), (saved, cotangents), chunk)

    sizes = [v.aval for v in read] + [avals[n] for n in params]
    made = sum(aval.size for aval in sizes)
    results = sum(use.equation.outvars[n].aval.size for use in uses for n in use.results)
    placed = all(use.equation.primitive.name in PLACED for use in uses)
    limit = captured()["workspace"]
    width = max(aval.dtype.itemsize for aval in sizes)
    chunk = max(1, min(CHUNK_BYTES, limit or CHUNK_BYTES) // max(1, made * width))
    if placed and made <= 4 * results:
        chunk = max(
            chunk, 1 << 62
        )  # the cotangents are in memory already and only summed over places
    known = [use.equation.primitive.name in PLACED or rule_of(use, 1) for use in uses]
    unruled = [u.equation.primitive.name for u, k in zip(uses, known, strict=True) if not k]
    way = "sums over places" if placed else "formed"
    return Part(params, members, way, tuple(dict.fromkeys(unruled)), squares)


def _pulled(program: Program, use: Use, frontier: Any, saved: Any, cotangents: Any) -> Any:
    """Cotangents of the operands of a use that come from parameters, of one example."""
    equation = use.equation
    literal = jax_hooks.JAXPRS.Literal
    of_example = dict(zip(use.examples, saved, strict=True))
    known = dict(zip(program.frontier, frontier, strict=True))
    operands = [
        v.val if isinstance(v, literal) else of_example.get(n, known.get(v))
        for n, v in enumerate(equation.invars)
    ]

    def apply(*some: Any) -> list[Any]:
        filled = list(operands)
        for n, value in zip(use.params, some, strict=True):
            filled[n] = value
        results = jax_hooks.bind_equation(equation, filled)
        return [results[n] for n in use.results]

    _, pull = jax.vjp(apply, *(operands[n] for n in use.params))
    return zip((equation.invars[n] for n in use.params), pull(list(cotangents)), strict=True)
