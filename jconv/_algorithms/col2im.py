"""col2im: a matrix of products added up to x, each row of x written once and in its place.

Along one axis, row s*u + r - p0 of x, with residue r below s, is the sum of the products (o, k)
with s*o + d*k = s*u + r. These are the outputs o = u - q for the taps with d*k = s*q + r. One term
for each q serves all residues r at once, and a loop over (u, r) sums the terms of all axes. Nothing
is padded and nothing interleaved.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import jax
import numpy as np
from jax import lax

from jconv._algorithms.batches import spans
from jconv._algorithms.windows import MAX_TERMS_PER_LOOP, masked, places
from jconv._core.geometry import Axis
from jconv._core.xla_cpu import kept_apart

Axes = tuple[Axis, ...]


@dataclasses.dataclass(frozen=True)
class Term:
    """What one q adds along one axis: residue r + j meets tap k + j, for j below `count`.

    Row (u, r + j) gets the product of output u - q and tap k + j, where both exist.
    """

    axis: Axis
    q: int
    r: int
    k: int
    count: int

    @property
    def output(self) -> int:
        """The output that the first u meets."""
        return _blocks(self.axis)[0] - self.q

    @property
    def tap(self) -> int:
        """The tap that residue 0 would meet."""
        return self.k - self.r

    @property
    def met(self) -> np.ndarray:
        """The mask (u, r) of the rows whose output and tap both exist."""
        outputs = np.arange(*_blocks(self.axis)) - self.q
        residues = np.arange(self.axis.s) - self.r
        has = (residues >= 0) & (residues < self.count)
        return np.outer((outputs >= 0) & (outputs < self.axis.o), has)


def col2im(matrix: jax.Array, axes: Axes) -> jax.Array:
    """A matrix with a row (k..., C) for each of (N, o...), added up to x (N, i..., C).

    The transpose of im2col. Loops are kept apart, so that XLA copies nothing of the matrix into
    another layout.
    """
    x, loops = None, loop_terms(axes)
    for terms in loops:
        loop = functools.partial(_add_up, axes, terms)
        x = (kept_apart(jax.jit(loop)) if len(loops) > 1 else loop)(matrix, x)
    assert x is not None
    return x


def loop_terms(axes: Axes) -> list[list[tuple[Term, ...]]]:
    """The terms of each loop: a Term for every axis."""
    terms = list(itertools.product(*map(_terms, axes)))
    parts = spans(len(terms), MAX_TERMS_PER_LOOP)
    return [terms[first : first + size] for first, size in parts]


def count_loops(axes: Axes) -> int:
    """The length of `loop_terms`, without making them: taps may be in the millions."""
    terms = math.prod(-(-axis.k // axis.s) if axis.d == 1 else axis.k for axis in axes)
    return -(-terms // MAX_TERMS_PER_LOOP)


def _terms(axis: Axis) -> list[Term]:
    """Neighbouring taps meet neighbouring residues in one term; dilated taps are terms alone."""
    if axis.d == 1:
        firsts = enumerate(range(0, axis.k, axis.s))
        return [Term(axis, q, 0, k, min(axis.s, axis.k - k)) for q, k in firsts]
    near = [divmod(axis.d * k, axis.s) for k in range(axis.k)]
    return [Term(axis, q, r, k, 1) for k, (q, r) in enumerate(near)]


def _blocks(axis: Axis) -> tuple[int, int]:
    """The u of x's first row, and the u after that of its last row."""
    return axis.p0 // axis.s, -(-(axis.p0 + axis.i) // axis.s)


def _add_up(
    axes: Axes, terms: list[tuple[Term, ...]], matrix: jax.Array, x: jax.Array | None
) -> jax.Array:
    """x with the sum of these terms added to it; the sum alone for no x."""
    rank = len(axes)
    outputs, taps = [axis.o for axis in axes], [axis.k for axis in axes]
    channels = matrix.shape[1] // math.prod(taps)
    products = matrix.reshape(-1, *outputs, *taps, channels)
    blocks = [_blocks(axis) for axis in axes]
    pairs = [(at, at + 1) for at in range(1, 2 * rank, 2)]
    in_turn = [dim for at in range(1, rank + 1) for dim in (at, at + rank)]
    parts = []
    for term in terms:
        part = products
        # Taps before outputs: each copy that `places` lays end to end is then smaller.
        for dim, (axis, each) in enumerate(zip(axes, term, strict=True), rank + 1):
            part = places(part, dim, each.tap, [(axis.s, 1)])
        for dim, ((first, last), each) in enumerate(zip(blocks, term, strict=True), 1):
            part = places(part, dim, each.output, [(last - first, 1)])
        part = lax.transpose(part, [0, *in_turn, part.ndim - 1])
        parts.append(masked([each.met for each in term], part, pairs))
    total = sum(parts[1:], parts[0])
    sizes = [axis.s * (last - first) for axis, (first, last) in zip(axes, blocks, strict=True)]
    total = total.reshape(-1, *sizes, channels)
    starts = [axis.p0 - axis.s * first for axis, (first, _) in zip(axes, blocks, strict=True)]
    stops = [start + axis.i for axis, start in zip(axes, starts, strict=True)]
    total = lax.slice(total, [0, *starts, 0], [total.shape[0], *stops, channels])
    return total if x is None else x + total
