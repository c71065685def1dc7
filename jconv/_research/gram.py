"""Squared norms of filter gradients by Gram matrices, without forming any gradient.

An example's filter gradient is a sum over its output places, w' = sum over o of p[o] g[o]^T with
p[o] the window of x that place o reads. Its squared norm needs inner products alone::

    |w'|^2 = sum over o, o' of <p[o], p[o']> <g[o], g[o']>

The inner products of windows follow from those of pixels. With row q of the padded input
q = s*o + d*k, on each axis::

    <p[o], p[o']> = sum over k of <x[s*o + d*k], x[s*o' + d*k]>

so only pixels whose rows have equal remainders (d*k) mod s are multiplied, and the sum over taps
runs along diagonals, one axis after another.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms.legs import precision
from jconv._algorithms.windows import resize
from jconv._core.geometry import Axis
from jconv._core.problem import Problem


def squared_norms_by_gram(problem: Problem, x: jax.Array, g: jax.Array) -> jax.Array:
    """Squared norm of each example's filter gradient, (M,).

    Args:
        problem: the filter backprop of one example, `problem.n` images.
        x: (M, n, i..., G*C), in the dtype to compute in.
        g: (M, n, o..., G*F), in that dtype.
    """
    places = g.reshape(g.shape[0], -1, problem.groups, problem.f)
    cotangents = inner_products(problem, jnp.moveaxis(places, 2, 1), batch=2)
    windows = _windows_gram(problem, x).reshape(cotangents.shape)
    result = jnp.sum((windows * cotangents).real, axis=(1, 2, 3))
    return jnp.maximum(
        result, 0
    )  # rounding may leave a negative number where the exact sum is zero


def inner_products(problem: Problem, vectors: jax.Array, *, batch: int) -> jax.Array:
    """(B..., T..., K) to (B..., T..., T...): inner products of all vectors of one batch entry."""
    leading, last = tuple(range(batch)), vectors.ndim - 1
    numbers = (((last,), (last,)), (leading, leading))
    return lax.dot_general(vectors, vectors.conj(), numbers, precision=precision(problem))


def remainders(axis: Axis) -> list[int]:
    """The remainders of rows modulo the stride at which windows read."""
    return sorted({axis.d * k % axis.s for k in range(axis.k)})


def rows_met(axis: Axis) -> int:
    """Rows of one remainder from the first that any window reads to the last."""
    return axis.o + axis.d * (axis.k - 1) // axis.s


def _windows_gram(problem: Problem, x: jax.Array) -> jax.Array:
    """Inner products of the windows of each example, (M, G, n, o..., n, o...)."""
    rank = problem.rank
    x = x.reshape(*x.shape[:-1], problem.groups, problem.c)
    for at, axis in enumerate(problem.axes):
        rows, dim = rows_met(axis), 2 + 2 * at
        x = resize(x, dim, axis.p0, axis.s * rows, interior=axis.b - 1)
        x = x.reshape(*x.shape[:dim], rows, axis.s, *x.shape[dim + 1 :])
        used = remainders(axis)
        if len(used) < axis.s:
            x = jnp.take(x, jnp.asarray(used), axis=dim + 1)
    # (M, n, q1, r1, q2, r2, ..., G, C) to (M, r..., G, n, q..., C), q rows and r remainders.
    at_rows, at_remainders = (range(first, 2 + 2 * rank, 2) for first in (2, 3))
    x = jnp.transpose(x, (0, *at_remainders, 2 + 2 * rank, 1, *at_rows, 3 + 2 * rank))
    gram = inner_products(problem, x, batch=rank + 2)
    for axis in problem.axes:
        gram = _along_diagonals(gram, axis, rank)
    return gram


def _along_diagonals(gram: jax.Array, axis: Axis, rank: int) -> jax.Array:
    """The sum over one axis' taps, whose remainders are the second dimension and go.

    That axis' rows stand at 3 + rank and, those of the other factor, at 4 + 2 * rank.
    """
    used = remainders(axis)
    terms = []
    for k in range(axis.k):
        shift, remainder = divmod(axis.d * k, axis.s)
        term = lax.index_in_dim(gram, used.index(remainder), axis=1, keepdims=False)
        for dim in (2 + rank, 3 + 2 * rank):
            term = lax.slice_in_dim(term, shift, shift + axis.o, axis=dim)
        terms.append(term)
    return sum(terms[1:], terms[0])
