"""The halo law: which rows of its neighbours one device reads, when a spatial axis is split.

An axis of i rows is split into D parts of I = ceil(i / D) rows, and its o outputs into D parts of
O = ceil(o / D); the last parts may be shorter. Part m makes the outputs from m*O on, so it reads
the rows r of the input for which::

    b*r + p0 = s*(m*O + t) + d*k          0 <= t < O, 0 <= k < the filter's taps

Where I*b = O*s these rows begin equally far before each part's own rows. Elsewhere the distance
depends on m: every device then receives the largest halo that any part needs, and cuts out the
rows that its own part reads. No JAX is imported here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from jconv._core.geometry import Axis, span

NOTHING = -1  # the source of a row that no part holds: zeros


@dataclasses.dataclass(frozen=True)
class Border:
    """The padding of one axis: how many rows in front and behind, and the mode of each side.

    Amounts may be negative: that many rows of the axis itself are then not read.
    """

    low: int
    high: int
    modes: tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Halo:
    """One spatial axis of one leg, as every device sees it.

    Attributes:
        parts: D, the number of parts that the axis is split into.
        size: i, rows of the whole input.
        out: o, outputs of the whole axis.
        rows: I, rows of the input that one device holds.
        made: O, outputs of one device.
        axis: the axis of the local convolution, which makes made + max(shifts) outputs.
        low, high: rows that a device receives from the parts before and after its own.
        blank: rows of zeros to put before and after the received ones.
        ring: whether the first part follows the last one (circular borders).
        starts: for each part, at which of the rows [blank, low, rows, high, blank], laid end to
            end, the local input begins.
        sources: for each part, which of the rows [low, rows, high] each row of the local input is
            copied from, or NOTHING for zeros. None for an axis without borders: `starts` says it.
        shifts: for each part, outputs that the local convolution makes before the part's own
            first one. Not 0 where the input is dilated and a part begins between two rows of it.
    """

    parts: int
    size: int
    out: int
    rows: int
    made: int
    axis: Axis
    low: int
    high: int
    blank: tuple[int, int]
    ring: bool
    starts: tuple[int, ...]
    sources: tuple[tuple[int, ...], ...] | None
    shifts: tuple[int, ...]

    def hops(self, *, before: bool) -> tuple[tuple[int, int], ...]:
        """(distance, rows) of each message from the parts before (or after) a device's own."""
        left, found = self.low if before else self.high, []
        while left > 0:
            found.append((len(found) + 1, min(left, self.rows)))
            left -= self.rows
        return tuple(found)

    @property
    def received(self) -> int:
        """Rows that other devices send; a ring of few parts may lead back to the device itself."""
        both = (*self.hops(before=True), *self.hops(before=False))
        return sum(rows for distance, rows in both if distance % self.parts)


def split_axis(axis: Axis, parts: int, border: Border | None = None) -> Halo:
    """The halo of one of a leg's `Problem.window_axes`, for the input that its windows read.

    With a border the axis is that of the input before it is padded: p0 is the border's low side.
    """
    rows, made = -(-axis.i // parts), -(-axis.o // parts)
    shifts, firsts, low_pad = _windows(axis, parts, made)
    last = (made + max(shifts) - 1) * axis.s + span(axis.k, axis.d) - 1 - low_pad
    read = max(last // axis.b + 1, 0)
    local = Axis(i=read, k=axis.k, o=made + max(shifts), s=axis.s, b=axis.b, d=axis.d, p0=low_pad)
    shared: dict[str, Any] = {
        "parts": parts,
        "size": axis.i,
        "out": axis.o,
        "rows": rows,
        "made": made,
        "axis": local,
        "shifts": shifts,
    }
    if border is None:
        return Halo(**shared, ring=False, sources=None, **_zeros(axis, rows, firsts, read))
    places = [_places(border, axis.i, parts * rows - axis.i, first, read) for first in firsts]
    ring = "circular" in border.modes
    return Halo(**shared, ring=ring, **_sources(places, rows))


def _windows(axis: Axis, parts: int, made: int) -> tuple[tuple[int, ...], list[int], int]:
    """For each part its shift and the first row that it reads; and the local low padding.

    All devices run one program, so the first window of every part has to begin equally far behind
    a row of the dilated input, which has a row at each multiple of b. That distance is the first
    part's, (-p0) mod b. A part whose own first window begins elsewhere makes `shift` outputs
    before it, so that the window of the earliest one does.
    """
    step = axis.b // math.gcd(axis.s, axis.b)
    phase = -axis.p0 % axis.b
    shifts, firsts = [], []
    for part in range(parts):
        begin = min(part * made, max(axis.o - 1, 0) // max(made, 1) * made) * axis.s - axis.p0
        shift = next(t for t in range(step) if (begin - t * axis.s - phase) % axis.b == 0)
        shifts.append(shift)
        firsts.append(-((shift * axis.s - begin) // axis.b))
    return tuple(shifts), firsts, -phase % axis.b


def _zeros(axis: Axis, rows: int, firsts: Sequence[int], read: int) -> dict[str, Any]:
    """The fields of a Halo that depend on the padding, for an axis padded with zeros."""
    low = high = 0
    parts = range(_active(axis.o, len(firsts)))
    for part in parts:
        first, last = max(firsts[part], 0), min(firsts[part] + read, axis.i)
        if first < last:
            low, high = max(low, part * rows - first), max(high, last - (part + 1) * rows)
    below = max([0, *(part * rows - low - firsts[part] for part in parts)])
    above = max([0, *(firsts[part] + read - (part + 1) * rows - high for part in parts)])
    limit = below + low + rows + high + above - read
    starts = [first - part * rows + low + below for part, first in enumerate(firsts)]
    starts = [min(max(start, 0), limit) for start in starts]
    return {"low": low, "high": high, "blank": (below, above), "starts": tuple(starts)}


def _active(out: int, parts: int) -> int:
    """Parts that have outputs of their own."""
    made = -(-out // parts)
    return -(-out // made) if made else 0


def _places(border: Border, size: int, tail: int, first: int, read: int) -> list[int | None]:
    """For each of `read` rows from `first` on, the row that it is copied from; None for zeros.

    Rows are counted over all parts laid end to end. The last parts are filled up with `tail` rows,
    which the other end's rows of a circular border lie beyond.
    """
    found: list[int | None] = []
    for row in range(first, first + read):
        inside = 0 <= row < size
        beyond = row < -border.low or row >= size + border.high
        mode = border.modes[0] if row < 0 else border.modes[1]
        if inside:
            found.append(row)
        elif beyond or mode == "zeros":
            found.append(None)
        elif mode == "circular":
            found.append(row - tail if row < 0 else row + tail)
        elif mode == "edge":
            found.append(0 if row < 0 else size - 1)
        else:  # reflect
            found.append(-row if row < 0 else 2 * (size - 1) - row)
    return found


def _sources(places: Sequence[Sequence[int | None]], rows: int) -> dict[str, Any]:
    """The fields of a Halo that depend on the padding, for an axis with borders."""
    low = high = 0
    for part, row in enumerate(places):
        known = [place for place in row if place is not None]
        if known:
            low = max(low, part * rows - min(known))
            high = max(high, max(known) + 1 - (part + 1) * rows)
    sources = tuple(
        tuple(NOTHING if place is None else place - part * rows + low for place in row)
        for part, row in enumerate(places)
    )
    return {
        "low": low,
        "high": high,
        "blank": (0, 0),
        "starts": (0,) * len(places),
        "sources": sources,
    }
