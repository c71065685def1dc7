"""grouped: neighbouring groups merged into blocks, each block a convolution of one group.

XLA's CPU backend runs grouped convolutions and their backprops orders of magnitude slower than
dense ones. The filter of a block holds its groups on the diagonal and zeros elsewhere. Products
with these zeros cost less than a convolution over too few channels would. Where a policy or a
precision asks for the products of the definition alone, each block is one group.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import cost
from jconv._algorithms.compiling import OfPart, Work
from jconv._algorithms.legs import part_of, widen
from jconv._algorithms.record import Algorithm, Planner, always_local, static_in_parts
from jconv._core.problem import ONE_WINDOW, OPERANDS, Problem, itemsize
from jconv._core.xla_cpu import kept_apart

MIN_BLOCK_CHANNELS = 16  # channels of a block, in or out; with fewer, blocks run slowly
MAX_MERGED_BLOCKS = 64  # blocks where groups may be merged; more would compile slowly
MAX_BLOCKS = 256  # blocks where each is one group
MAX_INEXACT_BLOCKS = 4  # blocks run by inexact algorithms, whose many kernels compile slowly


def blocks_of(problem: Problem) -> int:
    """How many blocks the groups are merged into."""
    if problem.policy in ("exact", ONE_WINDOW) or "HIGHEST" in problem.precision:
        return problem.groups
    groups, narrow = problem.groups, min(problem.c, problem.f)
    most = min(MAX_MERGED_BLOCKS, groups * narrow // MIN_BLOCK_CHANNELS, groups)
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
    one = kept_apart(jax.jit(one)) if count > 1 else one  # compiled once for all blocks
    parts = [one(*pair) for pair in zip(*operands, strict=True)]
    if problem.leg == "filter_grad":
        parts = [_diagonal(problem, part, problem.groups // count) for part in parts]
    return lax.concatenate(parts, parts[0].ndim - 1)


def block_problem(problem: Problem) -> Problem:
    """The convolution of one block."""
    count = blocks_of(problem)
    merged = problem.groups // count
    sizes = {"groups": 1, "c": problem.c * merged, "f": problem.f * merged}
    block = problem.replace(**sizes) if problem.sums_bytes else part_of(problem, **sizes)
    many = count > MAX_INEXACT_BLOCKS and problem.policy in ("auto", "grouped")
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
    if reason := static_in_parts(problem, platform):
        return reason
    if problem.groups == 1:
        return "only supports more than one group"
    if blocks_of(problem) > MAX_BLOCKS:
        return f"would make over {MAX_BLOCKS} convolutions, which compile slowly"
    return None


def seconds(problem: Problem, planner: Planner) -> float:
    count = blocks_of(problem)
    blocks = count * planner.cost(block_problem(problem))
    return blocks + cost.moved(problem, 2 * cost.operands(problem)) + cost.kernels(4 * count)


def workspace(problem: Problem, platform: str) -> int:
    """Copies of everything, rearranged; the planner adds what a block takes."""
    count = blocks_of(problem)
    merged = math.prod(problem.shape("w")) * (problem.groups // count)
    apart = int(cost.operands(problem)) if count > 1 else 0
    return cost.widened(problem) + (apart + merged) * itemsize(problem.wide_dtype)


def compiling(problem: Problem, of_part: OfPart) -> Work:
    count = blocks_of(problem)
    filters = problem.groups  # cut out one by one, and set among zeros where they are merged
    return Work(kernels=count + filters) + of_part(block_problem(problem)).again(count - 1)


GROUPED = Algorithm(
    name="grouped",
    supports=supports,
    cost=seconds,
    run=run,
    workspace=workspace,
    parts=lambda problem: [block_problem(problem)],
    compiling=compiling,
    local=always_local,
)
