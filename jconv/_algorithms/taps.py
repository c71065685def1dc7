"""taps: depthwise legs as sums over the filter's taps of shifted slices, one tap at a time.

With one input channel a group there is nothing to contract, so every tap is an elementwise
product, and XLA fuses the sum over taps into one loop along the channels.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import _cost
from jconv._algorithms._arrange import chunk, interleave, rows_read, widen, window_axes
from jconv._algorithms._record import Algorithm, Planner, static_on_cpu
from jconv._algorithms._window import resize
from jconv._geometry import Axis
from jconv._jax import kept_apart
from jconv._problem import Problem, itemsize

TERMS = 16  # products that one loop of the filter backprop adds up before it stores
FOLD = 8  # images among them, at most
CACHE = 1 << 23  # bytes that every tap of the filter backprop reads again


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    return (_filter_grad if problem.leg == "filter_grad" else _windows)(problem, a, b)


def _windows(problem: Problem, x: jax.Array, w: jax.Array) -> jax.Array:
    f = problem.f
    axes = window_axes(problem)
    if problem.leg == "conv":
        return _sum(_repeat(x, f), w[..., 0, :], axes)
    y = _sum(x, lax.rev(w[..., 0, :], range(problem.rank)), axes)
    return y if f == 1 else y.reshape(*y.shape[:-1], problem.groups, f).sum(-1)


def _repeat(x: jax.Array, f: int) -> jax.Array:
    return x if f == 1 else jnp.repeat(x, f, axis=-1)


def _sum(x: jax.Array, w: jax.Array, axes: tuple[Axis, ...]) -> jax.Array:
    """The windows of x, channel by channel: a sum for each residue of the input dilation.

    An output o meets the taps with s*o + d*k - p0 divisible by b; o = b*u + c is one residue,
    and each has its own taps and first rows.
    """
    residues = [[_residue(axis, c) for c in range(axis.b)] for axis in axes]
    # Every slice lies inside x once x has the rows that any residue reads.
    lows = [
        max(0, *(-r for taps in each for _, r in taps)) if any(each) else 0 for each in residues
    ]
    counts = [-(-axis.o // axis.b) for axis in axes]
    for dim, (axis, each, low, count) in enumerate(
        zip(axes, residues, lows, counts, strict=True), start=1
    ):
        last = max((r for taps in each for _, r in taps), default=0)
        x = resize(x, dim, low, low + last + axis.s * (count - 1) + 1)
    x = lax.optimization_barrier(x)
    sums = []
    for parts in itertools.product(*residues):
        total = None
        for taps in itertools.product(*parts):
            starts = [low + first for (_, first), low in zip(taps, lows, strict=True)]
            stops = [
                start + axis.s * (count - 1) + 1
                for start, axis, count in zip(starts, axes, counts, strict=True)
            ]
            rows = lax.slice(
                x,
                [0, *starts, 0],
                [x.shape[0], *stops, x.shape[-1]],
                [1, *(axis.s for axis in axes), 1],
            )
            term = rows * w[tuple(k for k, _ in taps)]
            total = term if total is None else total + term
        if total is None:
            total = jnp.zeros((x.shape[0], *counts, x.shape[-1]), x.dtype)
        sums.append(total)
    for at in reversed(range(len(axes))):
        b = axes[at].b
        if b > 1:
            sums = [interleave(sums[i : i + b], at + 1) for i in range(0, len(sums), b)]
    (y,) = sums
    sizes = [x.shape[0], *(axis.o for axis in axes), x.shape[-1]]
    return lax.slice(y, [0] * y.ndim, sizes)


def _residue(axis: Axis, c: int) -> list[tuple[int, int]]:
    """The taps that the outputs b*u + c meet, each with the row of x that u = 0 reads.

    b*i + p0 = s*(b*u + c) + d*k, so i = s*u + (s*c + d*k - p0)/b where that is whole.
    """
    rows = [axis.s * c + axis.d * k - axis.p0 for k in range(axis.k)]
    return [(k, row // axis.b) for k, row in enumerate(rows) if row % axis.b == 0]


def _filter_grad(problem: Problem, x: jax.Array, g: jax.Array) -> jax.Array:
    x = _repeat(x, problem.f)
    size, at, grads = images(problem), 0, []
    while at < problem.n:  # what whole chunks leave over goes in smaller ones
        size = _whole_folds(min(size, problem.n - at))
        end = at + (problem.n - at) // size * size
        grads.append(_grads(problem, x[at:end], g[at:end], size))
        at = end
    return sum(grads[1:], grads[0]).reshape(problem.out_shape)


def _whole_folds(size: int) -> int:
    return size if size <= FOLD else size // FOLD * FOLD


def images(problem: Problem) -> int:
    """Images to a chunk: as many as stay in cache while every tap reads them."""
    wide = itemsize(problem.wide_dtype)
    image = (
        math.prod(problem.shape("x")[1:]) * problem.f + math.prod(problem.shape("y")[1:])
    ) * wide
    return _whole_folds(chunk(problem.n, image, CACHE))


def _grads(problem: Problem, x: jax.Array, g: jax.Array, size: int) -> jax.Array:
    """The sum over chunks of so many images, all of one size: (taps, C)."""
    axes = problem.axes
    pieces = _pieces(axes[-1].o, min(size, FOLD))

    def add(at: Any, x: jax.Array, g: jax.Array, sums: list[jax.Array]) -> list[jax.Array]:
        x, g = (lax.dynamic_slice_in_dim(a, at, size) for a in (x, g))
        for dim, axis in enumerate(axes, start=1):
            x = resize(x, dim, axis.p0, rows_read(axis))
        added = _tap_sums(lax.optimization_barrier(x), g, axes, min(size, FOLD), pieces)
        return [old + new for old, new in zip(sums, added, strict=True)]

    first, *rest = range(0, x.shape[0], size)
    call = kept_apart(jax.jit(add)) if rest else add
    shape = (-(-size // FOLD), *(axis.o for axis in axes[:-1]), axes[-1].o // pieces, g.shape[-1])
    sums = [jnp.zeros((math.prod(shape[:-1]), shape[-1]), x.dtype)] * _taps(problem)
    for at in (first, *rest):
        sums = call(at, x, g, sums)
    sums = lax.optimization_barrier(sums)
    ones = jnp.ones((1, sums[0].shape[0]), x.dtype)
    return lax.concatenate([_product(ones, part) for part in sums], 0)


def _pieces(rows: int, fold: int) -> int:
    """Pieces of the last axis that one loop adds up, beside so many images."""
    return max(p for p in range(1, TERMS // fold + 1) if rows % p == 0)


def _tap_sums(
    x: jax.Array, g: jax.Array, axes: tuple[Axis, ...], fold: int, pieces: int
) -> list[jax.Array]:
    """For each tap x*g, with so many images and pieces of the last axis added up: (rows, C).

    A reduction over leading dimensions is not vectorised, so some are added elementwise, and
    what is left is a product with ones.
    """
    x, g = (a.reshape(-1, fold, *a.shape[1:]) for a in (x, g))
    channels, rows = g.shape[-1], axes[-1].o // pieces

    def slices(taps: tuple[int, ...]) -> jax.Array:
        total = None
        for image, piece in itertools.product(range(fold), range(pieces)):
            starts = [axis.d * k for axis, k in zip(axes, taps, strict=True)]
            starts[-1] += piece * rows * axes[-1].s
            counts = [*(axis.o for axis in axes[:-1]), rows]
            stops = [
                start + axis.s * (count - 1) + 1
                for start, axis, count in zip(starts, axes, counts, strict=True)
            ]
            strides = [1, 1, *(axis.s for axis in axes), 1]
            first, last = [0, image, *starts, 0], [x.shape[0], image + 1, *stops, channels]
            seen = lax.slice(x, first, last, strides)
            term = seen * lax.slice_in_dim(
                g[:, image : image + 1], piece * rows, (piece + 1) * rows, axis=-2
            )
            total = term if total is None else total + term
        assert total is not None
        return total.reshape(-1, channels)

    return [slices(each) for each in itertools.product(*(range(axis.k) for axis in axes))]


def _product(ones: jax.Array, part: jax.Array) -> jax.Array:
    return lax.dot_general(
        ones,
        part,
        (((1,), (0,)), ((), ())),
        precision=lax.Precision.HIGHEST,
        preferred_element_type=part.dtype,
    )


def _taps(problem: Problem) -> int:
    return math.prod(axis.k for axis in problem.axes)


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_on_cpu(problem, platform):
        return reason
    if problem.c != 1 or problem.groups == 1:
        return "is for depthwise convolutions"
    if problem.leg == "filter_grad" and any(axis.b > 1 for axis in problem.axes):
        return "its filter backprop is not for input dilation"
    if problem.leg == "filter_grad" and _taps(problem) > _cost.LONG:
        return f"its filter backprop takes a kernel for each tap, over {_cost.LONG} here"
    return None


def cost(problem: Problem, planner: Planner) -> float:
    terms = problem.multiplications
    total = _cost.moved(problem, 2 * _cost.operands(problem))
    taps = _taps(problem)
    if problem.leg == "filter_grad":
        calls = -(-problem.n // images(problem))
        return total + _cost.fused_pairs(problem, terms) + _cost.kernels(2 * taps, calls)
    residues = math.prod(axis.b for axis in window_axes(problem))
    sums = _cost.taps(problem, terms / residues, taps // residues)
    return total + sums + _cost.kernels(2 + residues)


def workspace(problem: Problem, platform: str) -> int:
    """The padded operand, and the sums of each tap before they are joined."""
    padded = problem.f * math.prod(problem.shape("x"))
    if problem.leg == "filter_grad":
        size = images(problem)
        rows = math.prod(axis.o for axis in problem.axes)
        rows = -(-size // FOLD) * rows // _pieces(problem.axes[-1].o, min(size, FOLD))
        padded = (
            padded * size // max(problem.n, 1)
            + 2 * _taps(problem) * rows * problem.groups * problem.f
        )
    return _cost.widened(problem) + padded * itemsize(problem.wide_dtype)


TAPS = Algorithm(
    name="taps",
    exact=True,
    error=2.0,
    supports=supports,
    cost=cost,
    workspace=workspace,
    run=run,
)
