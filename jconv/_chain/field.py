"""Receptive fields: which rows of the network's input a cell of a later layer depends on.

On one axis, cell j of a layer reads the cells ``(m*j + t) / q`` of the layer before, for the
offsets t that make this a whole number::

    convolution, pooling    b*i = s*o + d*k - p0        m = s, q = b, t = d*k - p0
    transposed convolution  s*i = o + p0 - d*k          m = 1, q = s, t = p0 - d*k
    nearest up-sampling     f*i = o - r, 0 <= r < f     m = 1, q = f, t = -r

So the rows that cell j depends on are periodic in j, and one period is enough to know. For
convolutions alone this is the familiar field += (K-1)*step, step *= s. After a transposed
convolution, cells at different places of a period see different numbers of rows; the largest
number is the receptive field.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from jconv._core.geometry import Axis, is_static

Span = tuple[int, int] | None


@dataclasses.dataclass(frozen=True)
class Field:
    """What the cells of one axis of one layer depend on.

    Attributes:
        spans: for each cell of one period the first and last row of the network's input that it
            depends on, ignoring the input's borders; None for a cell that depends on no row.
        advance: rows from one period to the next.
        exact: whether the spans' position is known; with a symbolic pad only their length is.
    """

    spans: tuple[Span, ...] = ((0, 0),)
    advance: int = 1
    exact: bool = True

    @property
    def size(self) -> int:
        """Rows from the first to the last that a cell depends on; the largest over all cells."""
        return max((span[1] - span[0] + 1 for span in self.spans if span is not None), default=0)

    @property
    def step(self) -> Fraction:
        """Rows of the network's input from one cell to the next."""
        return Fraction(self.advance, len(self.spans))

    def span(self, cell: int) -> Span:
        turns, phase = divmod(cell, len(self.spans))
        span = self.spans[phase]
        return span and (span[0] + turns * self.advance, span[1] + turns * self.advance)


@dataclasses.dataclass(frozen=True)
class Reads:
    """The cells ``(m*j + t) / q`` of the layer before that cell j reads on one axis."""

    m: int
    q: int
    offsets: Sequence[int]
    exact: bool = True


def conv_reads(axis: Axis) -> Reads:
    known = is_static(axis.p0)
    offsets = [axis.d * k - (axis.p0 if known else 0) for k in range(axis.k)]
    return Reads(axis.s, axis.b, offsets, known)


def transpose_reads(axis: Axis) -> Reads:
    """`axis` belongs to the forward convolution, whose input the transposed one makes."""
    known = is_static(axis.p0)
    offsets = [(axis.p0 if known else 0) - axis.d * k for k in range(axis.k)]
    return Reads(axis.b, axis.s, offsets, known)


def nearest_reads(factor: int) -> Reads:
    return Reads(1, factor, range(1 - factor, 1))


def linear_reads(factor: int) -> Reads:
    """Interpolation between cell centres: all i with |(j + 1/2)/f - 1/2 - i| < 1."""
    return Reads(2, 2 * factor, [1 - factor - u for u in range(1 - 2 * factor, 2 * factor)])


def shift_reads(start: Any) -> Reads:
    """A crop of the first `start` cells."""
    return Reads(1, 1, [start] if is_static(start) else [0], is_static(start))


def through(field: Field, reads: Reads) -> Field:
    """The field of a layer that reads the cells of `field`."""
    cells = reads.q * len(field.spans)
    period = cells // math.gcd(reads.m, cells)
    advance = field.advance * reads.m * period // cells
    exact = field.exact and reads.exact
    # Where the alignment is unknown, the one with the largest field is taken.
    shifts = range(1) if exact or cells == 1 else range(cells)
    found = (
        Field(
            tuple(
                _hull(
                    field.span((reads.m * cell + t + shift) // reads.q)
                    for t in reads.offsets
                    if (reads.m * cell + t + shift) % reads.q == 0
                )
                for cell in range(period)
            ),
            advance,
            exact,
        )
        for shift in shifts
    )
    return max(found, key=lambda candidate: candidate.size)


def merged(a: Field, b: Field) -> Field:
    """The field of cells that read both; the larger one where the alignment is unknown."""
    if a.step != b.step or not (a.exact and b.exact):
        largest = max(a, b, key=lambda field: field.size)
        return dataclasses.replace(largest, exact=False)
    period = math.lcm(len(a.spans), len(b.spans))
    spans = tuple(_hull((a.span(cell), b.span(cell))) for cell in range(period))
    return Field(spans, a.advance * period // len(a.spans))


def _hull(spans: Any) -> Span:
    known = [span for span in spans if span is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None
