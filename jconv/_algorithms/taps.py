"""taps: depthwise legs as sums over the filter's taps of shifted slices, one tap at a time.

With one input channel a group there is nothing to contract, so every tap is an elementwise
product, and XLA fuses the sum over taps into one loop along the channels.
"""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import _cost
from jconv._algorithms._arrange import chunk, in_chunks, interleave, widen, window_axes
from jconv._algorithms._record import Algorithm, Planner, static_on_cpu
from jconv._algorithms._window import resize
from jconv._geometry import Axis
from jconv._problem import Problem, itemsize

TERMS = 16  # products that one loop of the filter backprop adds up before it stores


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
    axes = problem.axes
    x = _repeat(x, problem.f)
    for dim, axis in enumerate(axes, start=1):
        x = resize(x, dim, axis.p0, axis.s * (axis.o - 1) + axis.d * (axis.k - 1) + 1)
    x = lax.optimization_barrier(x)
    sums = lambda x, g: _tap_sums(x, g, axes)  # noqa: E731
    fold = _fold(problem.n)
    whole = problem.n // fold * fold
    size = images(problem)
    grads = in_chunks(sums, (x[:whole], g[:whole]), size, total=True)
    if whole < problem.n:
        grads = grads + sums(x[whole:], g[whole:])
    return grads.reshape(problem.out_shape)


def _fold(n: int) -> int:
    """Images that one loop adds up: a divisor of n if a large one is at hand."""
    most = TERMS // 2
    if n <= TERMS:
        return n
    return next((size for size in range(TERMS, most // 2, -1) if n % size == 0), most)


def images(problem: Problem) -> int:
    """Images to a chunk of the filter backprop: whole folds, whose sums for all taps are held."""
    fold = _fold(problem.n)
    sums = math.prod(axis.o * axis.k for axis in problem.axes) * problem.groups * problem.f
    size = chunk(problem.n // fold, sums * itemsize(problem.wide_dtype))
    return size * fold


def _tap_sums(x: jax.Array, g: jax.Array, axes: tuple[Axis, ...]) -> jax.Array:
    """For each tap the sum of x*g over batch and outputs: (taps, C).

    A reduction over leading dimensions is not vectorised, so some images and halves of the
    first axis are added elementwise, and what is left is a product with ones.
    """
    fold, channels = _fold(x.shape[0]), g.shape[-1]
    x, g = (a.reshape(-1, fold, *a.shape[1:]) for a in (x, g))
    halves = 2 if fold * 2 <= TERMS and axes[0].o % 2 == 0 else 1
    rows = axes[0].o // halves

    def slices(x: jax.Array, g: jax.Array, taps: tuple[int, ...]) -> jax.Array:
        total = None
        for image, half in itertools.product(range(fold), range(halves)):
            starts = [axis.d * k for axis, k in zip(axes, taps, strict=True)]
            starts[0] += half * rows * axes[0].s
            counts = [rows, *(axis.o for axis in axes[1:])]
            stops = [
                start + axis.s * (count - 1) + 1
                for start, axis, count in zip(starts, axes, counts, strict=True)
            ]
            strides = [1, 1, *(axis.s for axis in axes), 1]
            first, last = [0, image, *starts, 0], [x.shape[0], image + 1, *stops, channels]
            seen = lax.slice(x, first, last, strides)
            term = seen * lax.slice_in_dim(
                g[:, image : image + 1], half * rows, (half + 1) * rows, axis=2
            )
            total = term if total is None else total + term
        assert total is not None
        return total.reshape(-1, channels)

    taps = itertools.product(*(range(axis.k) for axis in axes))
    parts = lax.optimization_barrier([slices(x, g, each) for each in taps])
    ones = jnp.ones((1, parts[0].shape[0]), x.dtype)
    return lax.concatenate([_product(ones, part) for part in parts], 0)


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
        folds = images(problem) // _fold(problem.n)
        sums = math.prod(axis.o * axis.k for axis in problem.axes)
        padded += folds * sums * problem.groups * problem.f
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
