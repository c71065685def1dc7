"""Squared norms of each example's filter gradient: two ways, and which of them is cheaper.

`form` computes the examples' gradients one after another and keeps only the squared norms; `gram`
multiplies Gram matrices (see gram.py), a chunk of examples at a time.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from jconv._algorithms import cost
from jconv._core import jax_hooks
from jconv._core.geometry import product
from jconv._core.problem import Problem, itemsize
from jconv._ops.primitives import run_leg
from jconv._planner.choose import choose, needs
from jconv._research.chunks import CHUNK_BYTES, map_chunks
from jconv._research.gram import remainders, rows_met, squared_norms_by_gram

# Seconds; the overhead of one turn of a loop, in which about a dozen kernels are started.
TURN = 2e-5
# Factor on the predicted time of a matrix product, for batched products of Gram matrices.
GRAM_PRODUCTS = 2.0
# Additions per second in sums along diagonals. They read short slices in four dimensions, which
# XLA's CPU compiler vectorises badly and, inside a loop, runs on one thread.
DIAGONAL_TERMS = 2.5e9


@dataclasses.dataclass(frozen=True)
class Way:
    """How an operation will run.

    Attributes:
        name: the way's name.
        seconds: predicted time on a CPU, to compare ways by.
        workspace_bytes: bytes of temporaries, without operands and result.
        examples: the number of examples in one turn of its loop.
        rejected: the other ways, each with the reason.
    """

    name: str
    seconds: float
    workspace_bytes: int
    examples: int
    rejected: dict[str, str]


def squared_norms(problem: Problem, x: jax.Array, g: jax.Array) -> jax.Array:
    """Squared norms of the filter gradients of M examples, (M,), real.

    Args:
        problem: the filter backprop of one example, `problem.n` images.
        x: (M, n, i..., G*C).
        g: (M, n, o..., G*F).
    """
    examples = x.shape[0]
    wide = problem.wide_dtype
    real = jnp.finfo(wide).dtype
    one = problem.replace(x_dtype=wide, w_dtype=wide, y_dtype=wide)
    if one.empty or (isinstance(examples, int) and examples == 0):
        return jnp.zeros((examples,), real)
    way = choose_way(one, examples)

    def formed(x: jax.Array, g: jax.Array) -> jax.Array:
        grads = run_leg(one.replace(vmapped=(x.shape[0],)), x.astype(wide), g.astype(wide))
        return jnp.sum(jnp.abs(grads.reshape(x.shape[0], -1)) ** 2, axis=1)

    def by_gram(x: jax.Array, g: jax.Array) -> jax.Array:
        return squared_norms_by_gram(one, x.astype(wide), g.astype(wide))

    run = {"form": formed, "gram": by_gram}[way.name]
    with jax.named_scope(f"jconv.filter_grad_norms.{way.name}"):
        return map_chunks(run, (x, g), way.examples)


def choose_way(problem: Problem, examples: int, platform: str | None = None) -> Way:
    """The cheaper way for `examples` examples, of the ways that the policy allows."""
    platform = platform or jax_hooks.default_platform()
    form = _form(problem, examples, platform)
    if not problem.static or not isinstance(examples, int):
        return dataclasses.replace(form, rejected={"gram": "only supports sizes that are numbers"})
    gram = _gram(problem, examples)
    if problem.policy == "exact" or "HIGHEST" in problem.precision:
        why = "multiplies other numbers than the definition; this policy or precision forbids it"
    elif problem.workspace is not None and gram.workspace_bytes > problem.workspace:
        why = (
            f"needs {gram.workspace_bytes} bytes of workspace, over the limit of "
            f"{problem.workspace}"
        )
    elif gram.seconds >= form.seconds:
        why = f"predicted to take {gram.seconds / form.seconds:.2g} times as long as form"
    else:
        why = f"predicted to take {form.seconds / gram.seconds:.2g} times as long as gram"
        return dataclasses.replace(gram, rejected={"form": why})
    return dataclasses.replace(form, rejected={"gram": why})


def _form(problem: Problem, examples: int, platform: str) -> Way:
    if not problem.static:
        return Way("form", math.inf, 0, 1, {})
    choice = choose(problem, platform)
    filters = product(problem.shape("w"))
    seconds = examples * (choice.cost + TURN + cost.moved(problem, filters))
    needed = needs(choice.algorithm, problem, platform)
    return Way("form", seconds, needed + filters * itemsize(problem.w_dtype), 1, {})


def _gram(problem: Problem, examples: int) -> Way:
    places = problem.n * product([axis.o for axis in problem.axes])
    pixels = problem.n * product([rows_met(axis) for axis in problem.axes])
    kinds = product([len(remainders(axis)) for axis in problem.axes])
    groups, c, f = problem.groups, problem.c, problem.f
    terms, largest = _diagonals(problem)
    numbers = groups * (2 * places**2 + largest) + 2 * kinds * pixels * groups * c
    width = itemsize(problem.wide_dtype)
    limit = CHUNK_BYTES if problem.workspace is None else min(problem.workspace, CHUNK_BYTES)
    chunk = max(1, min(examples, limit // (numbers * width)))
    seconds = cost.batch_dot(problem, groups * kinds, pixels, c, pixels)
    seconds += cost.batch_dot(problem, groups, places, f, places)
    seconds *= GRAM_PRODUCTS
    seconds += groups * (terms + places**2) / DIAGONAL_TERMS
    seconds = examples * seconds + math.ceil(examples / chunk) * TURN
    return Way("gram", seconds, chunk * numbers * width, chunk, {})


def _diagonals(problem: Problem) -> tuple[int, int]:
    """Terms of the sums along diagonals, and the largest array between them, of one group."""
    left = [(len(remainders(axis)), rows_met(axis)) for axis in problem.axes]
    made, terms, largest = problem.n, 0, 0
    for at, axis in enumerate(problem.axes):
        rest = product([kind * rows**2 for kind, rows in left[at + 1 :]])
        kind, rows = left[at]
        largest = max(largest, made**2 * kind * rows**2 * rest)
        made *= axis.o
        terms += axis.k * made**2 * rest if axis.k > 1 else 0
    return terms, largest
