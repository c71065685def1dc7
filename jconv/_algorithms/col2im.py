"""Rows of products added up to x (col2im): each row of x in one go, where it is to lie.

Row s*u + r - p0 of x gets the products (o, k) with s*o + d*k = s*u + r: those of o = u - q where
d*k = s*q + r. A term for each q is then one for all residues r, and a loop over (u, r) adds the
terms of all axes up and stores every row of x once. Nothing is padded and nothing interleaved.
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
from jconv._algorithms.windows import TERMS, only, places
from jconv._core.geometry import Axis
from jconv._core.xla_cpu import kept_apart

Axes = tuple[Axis, ...]


@dataclasses.dataclass(frozen=True)
class Meeting:
    """A term on one axis: residues from r on meet taps from k on, q outputs back.

    So that (u, r) has the product of output u - q and of the tap as many after k as r is after its
    own first, where there is one.
    """

    axis: Axis
    q: int
    r: int
    k: int
    count: int

    @property
    def output(self) -> int:
        """That of the first u."""
        return _blocks(self.axis)[0] - self.q

    @property
    def tap(self) -> int:
        """That of the first residue."""
        return self.k - self.r

    @property
    def met(self) -> np.ndarray:
        """Whether (u, r) has both."""
        outputs = np.arange(*_blocks(self.axis)) - self.q
        residues = np.arange(self.axis.s) - self.r
        has = (residues >= 0) & (residues < self.count)
        return np.outer((outputs >= 0) & (outputs < self.axis.o), has)


def col2im(rows: jax.Array, axes: Axes) -> jax.Array:
    """A matrix with a row (k..., C) for each of (N, o...), added up to x (N, i..., C).

    The transpose of gather. Calls copy nothing of a matrix to another layout.
    """
    x, together = None, parts(axes)
    for terms in together:
        loop = functools.partial(add_up, axes, terms)
        x = (kept_apart(jax.jit(loop)) if len(together) > 1 else loop)(rows, x)
    assert x is not None
    return x


def parts(axes: Axes) -> list[list[tuple[Meeting, ...]]]:
    """The terms of each loop."""
    terms = list(itertools.product(*map(_meetings, axes)))
    return [terms[first : first + size] for first, size in spans(len(terms), TERMS)]


def loops(axes: Axes) -> int:
    """How many `parts` there are, without making them: taps may be in the millions."""
    terms = math.prod(-(-axis.k // axis.s) if axis.d == 1 else axis.k for axis in axes)
    return -(-terms // TERMS)


def _meetings(axis: Axis) -> list[Meeting]:
    """Taps that lie side by side meet residues that do; those d apart are terms of their own."""
    if axis.d == 1:
        firsts = enumerate(range(0, axis.k, axis.s))
        return [Meeting(axis, q, 0, k, min(axis.s, axis.k - k)) for q, k in firsts]
    near = [divmod(axis.d * k, axis.s) for k in range(axis.k)]
    return [Meeting(axis, q, r, k, 1) for k, (q, r) in enumerate(near)]


def _blocks(axis: Axis) -> tuple[int, int]:
    """The u of x's first row, and that after its last one's."""
    return axis.p0 // axis.s, -(-(axis.p0 + axis.i) // axis.s)


def add_up(
    axes: Axes, terms: list[tuple[Meeting, ...]], rows: jax.Array, x: jax.Array | None
) -> jax.Array:
    """What these terms add to x."""
    rank = len(axes)
    outputs, taps = [axis.o for axis in axes], [axis.k for axis in axes]
    channels = rows.shape[1] // math.prod(taps)
    rows = rows.reshape(-1, *outputs, *taps, channels)
    blocks = [_blocks(axis) for axis in axes]
    pairs = [(at, at + 1) for at in range(1, 2 * rank, 2)]
    in_turn = [dim for at in range(1, rank + 1) for dim in (at, at + rank)]
    products = []
    for term in terms:
        part = rows
        # The taps first: the fewer of them go around, the less there is to describe.
        for dim, (axis, meeting) in enumerate(zip(axes, term, strict=True), rank + 1):
            part = places(part, dim, meeting.tap, [(axis.s, 1)])
        for dim, ((first, last), meeting) in enumerate(zip(blocks, term, strict=True), 1):
            part = places(part, dim, meeting.output, [(last - first, 1)])
        part = lax.transpose(part, [0, *in_turn, part.ndim - 1])
        products.append(only([meeting.met for meeting in term], part, pairs))
    total = sum(products[1:], products[0])
    sizes = [axis.s * (last - first) for axis, (first, last) in zip(axes, blocks, strict=True)]
    total = total.reshape(-1, *sizes, channels)
    starts = [axis.p0 - axis.s * first for axis, (first, _) in zip(axes, blocks, strict=True)]
    stops = [start + axis.i for axis, start in zip(axes, starts, strict=True)]
    total = lax.slice(total, [0, *starts, 0], [total.shape[0], *stops, channels])
    return total if x is None else x + total
