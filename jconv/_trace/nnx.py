"""Flax NNX modules as arguments: objects that a function may change while it runs.

Flax is never imported: whoever passes a module has imported it already.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

import jax

Call = tuple[Callable[..., Any], tuple[Any, ...], Callable[[Any], Any]]


def without_modules(fn: Callable[..., Any], args: Any, kwargs: Any) -> Call:
    """(a function of values alone, its arguments, a function from its result to fn's result).

    A module is split into its arrays before the call and rebuilt inside it. What fn changes in it
    comes back as values, which are written to the caller's module.
    """
    nnx = sys.modules.get("flax.nnx")
    leaves, tree = [], None
    if nnx is not None:
        leaves, tree = jax.tree.flatten((args, kwargs), is_leaf=nnx.graph.is_graph_node)
    modules = [leaf for leaf in leaves if nnx is not None and nnx.graph.is_graph_node(leaf)]
    if nnx is None or tree is None or not modules:
        return lambda args, kwargs: fn(*args, **kwargs), (args, kwargs), lambda result: result
    graph, state = nnx.split(modules)
    places = {id(module): number for number, module in enumerate(modules)}
    others = [None if id(leaf) in places else leaf for leaf in leaves]

    def pure(others: list[Any], state: Any) -> Any:
        before = jax.tree.leaves(state)  # a merged module holds the state's own variables
        inner = nnx.merge(graph, state)
        filled = [
            inner[places[id(leaf)]] if id(leaf) in places else other
            for leaf, other in zip(leaves, others, strict=True)
        ]
        args, kwargs = jax.tree.unflatten(tree, filled)
        result = fn(*args, **kwargs)
        after = nnx.split(inner)[1]
        return result, None if _same(before, jax.tree.leaves(after)) else after

    def finish(result: Any) -> Any:
        result, after = result
        if after is not None:
            nnx.update(modules, after)
        return result

    return pure, (others, state), finish


def _same(before: list[Any], after: list[Any]) -> bool:
    """Whether fn changed nothing: writing to a module made in another trace is an error."""
    return len(before) == len(after) and all(map(operator.is_, before, after))
