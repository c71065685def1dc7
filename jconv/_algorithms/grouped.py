"""grouped: neighbouring groups merged into blocks, each block a convolution without groups.

XLA's CPU backend runs grouped convolutions and their backprops orders of magnitude slower than
dense ones. A block's filter holds its groups on the diagonal and zeros elsewhere; the products
with those zeros cost less than a convolution over too few channels would. Where only the
definition's own products are wanted, a block is a single group.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import _cost
from jconv._algorithms._arrange import part_of, widen
from jconv._algorithms._record import Algorithm, Planner, always_local, static
from jconv._core.problem import ONE_WINDOW, OPERANDS, Problem, itemsize
from jconv._core.xla_cpu import kept_apart

CHANNELS = 16  # that a block should have, on its narrower side
BLOCKS = 64  # more would take long to compile
MOST_BLOCKS = 256  # where groups must not be merged
UNROLLED = 4  # so would more than these by algorithms of many kernels, all of them inexact


def blocks_of(problem: Problem) -> int:
    """How many blocks the groups are merged into."""
    if problem.policy in ("exact", ONE_WINDOW) or "HIGHEST" in problem.precision:
        return problem.groups
    groups, narrow = problem.groups, min(problem.c, problem.f)
    most = min(BLOCKS, groups * narrow // CHANNELS, groups)
    return next((count for count in range(most, 1, -1) if groups % count == 0), 1)


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = (a, b) if problem.sums_bytes else widen(problem, a, b)
    count = blocks_of(problem)
    block = block_problem(problem)
    operands = [
        _filters(problem, array, count) if slot == "w" else _split(array, count)
        for slot, array in zip(OPERANDS[problem.leg], (a, b), strict=True)
    ]
    one = functools.partial(planner.run, block)
    one = kept_apart(jax.jit(one)) if count > 1 else one  # compiled once for all of them
    parts = [one(*pair) for pair in zip(*operands, strict=True)]
    if problem.leg == "filter_grad":
        parts = [_diagonal(problem, part, problem.groups // count) for part in parts]
    return lax.concatenate(parts, parts[0].ndim - 1)


def block_problem(problem: Problem) -> Problem:
    count = blocks_of(problem)
    merged = problem.groups // count
    sizes = {"groups": 1, "c": problem.c * merged, "f": problem.f * merged}
    block = problem.replace(**sizes) if problem.sums_bytes else part_of(problem, **sizes)
    many = count > UNROLLED and problem.policy in ("auto", "grouped")
    return block.replace(policy="exact") if many else block


def _split(array: jax.Array, count: int) -> list[jax.Array]:
    return jnp.split(array, count, axis=-1)


def _filters(problem: Problem, w: jax.Array, count: int) -> list[jax.Array]:
    """w (k..., C, G*F) as a block-diagonal filter (k..., m*C, m*F) for each block."""
    merged = problem.groups // count
    filters = []
    for block in _split(w, count):
        rows = []
        for at, part in enumerate(_split(block, merged)):
            edges = [(0, 0, 0)] * (w.ndim - 1)
            before, after = at * problem.f, (merged - 1 - at) * problem.f
            rows.append(lax.pad(part, jnp.zeros((), w.dtype), [*edges, (before, after, 0)]))
        filters.append(lax.optimization_barrier(lax.concatenate(rows, w.ndim - 2)))
    return filters


def _diagonal(problem: Problem, w: jax.Array, merged: int) -> jax.Array:
    """The blocks on the diagonal of (k..., m*C, m*F), side by side: (k..., C, m*F)."""
    parts = [
        lax.slice_in_dim(row, at * problem.f, (at + 1) * problem.f, axis=-1)
        for at, row in enumerate(jnp.split(w, merged, axis=-2))
    ]
    return lax.concatenate(parts, w.ndim - 1)


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static(problem, platform):
        return reason
    if problem.groups == 1:
        return "there are no groups to merge"
    if blocks_of(problem) > MOST_BLOCKS:
        return f"makes over {MOST_BLOCKS} convolutions here, which compile slowly"
    return None


def cost(problem: Problem, planner: Planner) -> float:
    count = blocks_of(problem)
    blocks = count * planner.cost(block_problem(problem))
    return blocks + _cost.moved(problem, 2 * _cost.operands(problem)) + _cost.kernels(4 * count)


def workspace(problem: Problem, platform: str) -> int:
    """Copies of everything, rearranged; the planner adds what a block takes."""
    count = blocks_of(problem)
    merged = math.prod(problem.shape("w")) * (problem.groups // count)
    apart = int(_cost.operands(problem)) if count > 1 else 0
    return _cost.widened(problem) + (apart + merged) * itemsize(problem.wide_dtype)


GROUPED = Algorithm(
    name="grouped",
    exact=True,
    error=2.0,
    supports=supports,
    cost=cost,
    workspace=workspace,
    run=run,
    local=always_local,
)
