"""One spatial axis as a picture needs it: what stands at each position, and what can be left out.

Positions u are those of the index equation, b*i + p0 = u = s*o + d*k: row i of x stands at
b*i + p0, window o begins at s*o, and the padded and cropped input is 0 <= u < I + P. Nothing
here loops over the rows of an axis, which may be long.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from jconv._core.geometry import span


@dataclasses.dataclass(frozen=True)
class Cell:
    """What stands at one position of the forward convolution's input.

    Attributes:
        kind: "x" a row of the array, "hole" a zero that input dilation put in, "pad" the border.
        row: the row of the array, or the row that a border cell copies.
        cut: whether a negative pad removes it.
    """

    kind: str
    row: int | None
    cut: bool


@dataclasses.dataclass(frozen=True)
class Strip:
    """The numbers of one spatial axis of a forward convolution.

    A transposed convolution is drawn from the same numbers: its x has `o` rows, its y `i`.
    """

    name: str
    i: int
    k: int
    o: int
    s: int = 1
    b: int = 1
    d: int = 1
    p0: int = 0
    p1: int = 0
    modes: tuple[str, str] = ("zeros", "zeros")
    transposed: bool = False
    output_padding: int = 0

    @property
    def dilated(self) -> int:
        return span(self.i, self.b)

    @property
    def window(self) -> int:
        return span(self.k, self.d)

    @property
    def padded(self) -> int:
        """Rows that are left of the input after padding and cropping."""
        return max(self.dilated + self.p0 + self.p1, 0)

    @property
    def reached(self) -> int:
        """The end of the last window; as many rows as the filter's footprints make."""
        return self.s * (self.o - 1) + self.window if self.o and self.k else 0

    @property
    def remainder(self) -> int:
        """Rows behind the last window; windows without taps have no end."""
        return self.padded - self.reached if self.o and self.k else 0

    @property
    def low(self) -> int:
        return min(0, self.p0)

    @property
    def high(self) -> int:
        """The end of all that is drawn: of the array, its padding, and every window."""
        last = self.s * (self.o - 1) + 1 if self.o else 0
        padded = 0 if self.transposed else self.padded
        return max(padded, self.p0 + self.dilated, self.reached, last)

    def taps(self, o: int) -> range:
        """The positions that window o reads."""
        return range(self.s * o, self.s * o + self.window, self.d)

    def cell(self, u: int) -> Cell:
        cut = not 0 <= u < self.padded
        at = u - self.p0
        if 0 <= at < self.dilated:
            row, rest = divmod(at, self.b)
            return Cell("hole", None, cut) if rest else Cell("x", row, cut)
        return Cell("pad", self.source(at), cut)

    def source(self, at: int) -> int | None:
        """The row that the border cell `at` rows from row 0 copies; None where it is a zero."""
        n = self.i
        row = {
            "reflect": -at if at < 0 else 2 * (n - 1) - at,
            "edge": 0 if at < 0 else n - 1,
            "circular": at + n if at < 0 else at - n,
        }.get(self.modes[at >= 0])
        return row if row is not None and 0 <= row < n else None

    def reads(self, u: int) -> int:
        """How many taps of how many windows meet at u: the solutions (o, k) of u = s*o + d*k."""
        if not self.o or not self.k:
            return 0
        common = math.gcd(self.s, self.d)
        if u % common:
            return 0
        # k is fixed modulo s/common, and lies where 0 <= s*o = u - d*k <= s*(o-1).
        step = self.s // common
        first = u // common * pow(self.d // common, -1, step) % step
        least = max(0, -(-(u - self.s * (self.o - 1)) // self.d))
        most = min(self.k - 1, u // self.d)
        first += -(-max(least - first, 0) // step) * step
        return (most - first) // step + 1 if first <= most else 0


@dataclasses.dataclass(frozen=True)
class Gap:
    """Positions that are not drawn, both ends included."""

    first: int
    last: int

    def hides(self, first: int, end: int) -> int:
        """How many of the positions first <= u < end it hides."""
        return max(min(end, self.last + 1) - max(first, self.first), 0)


Slot = int | Gap


@dataclasses.dataclass(frozen=True)
class Slots:
    """The positions that are drawn, from left to right, and the gaps between them."""

    entries: tuple[Slot, ...]

    def __iter__(self) -> Iterator[tuple[int, Slot]]:
        return enumerate(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def at(self, u: int) -> int:
        """The slot where u is drawn or hidden; the end for what lies behind everything."""
        for index, entry in enumerate(self.entries):
            if u <= (entry.last if isinstance(entry, Gap) else entry):
                return index
        return len(self.entries)

    def shows(self, u: int) -> bool:
        index = self.at(u)
        return index < len(self.entries) and self.entries[index] == u

    @property
    def gaps(self) -> tuple[Gap, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Gap))


def choose_slots(low: int, high: int, budget: int, wanted: Iterator[int] | None = None) -> Slots:
    """At most `budget` slots for low <= u < high: both ends, then what is wanted, in order.

    What is left of the budget makes the drawn ends longer.
    """
    if high - low <= budget:
        return Slots(tuple(range(low, high)))
    shown = {low, high - 1}
    for u in wanted or ():
        if low <= u < high and len(_with_gaps({*shown, u})) <= budget:
            shown.add(u)
    head, tail = low, high - 1
    while True:
        while head + 1 in shown:
            head += 1
        while tail - 1 in shown:
            tail -= 1
        nearer = head + 1 if head - low <= high - 1 - tail else tail - 1
        if len(_with_gaps({*shown, nearer})) > budget:
            return Slots(_with_gaps(shown))
        shown.add(nearer)


def _with_gaps(shown: set[int]) -> tuple[Slot, ...]:
    """The positions in order, what is missing between two of them as a gap; not for one alone."""
    entries: list[Slot] = []
    before: int | None = None
    for u in sorted(shown):
        if before is not None and u - before == 2:
            entries.append(u - 1)
        elif before is not None and u - before > 2:
            entries.append(Gap(before + 1, u - 1))
        entries.append(u)
        before = u
    return tuple(entries)


def strip_slots(strip: Strip, budget: int, chosen: int | None = None) -> Slots:
    """The positions to draw of an axis: borders, remainder, and the first and last windows.

    A chosen window comes before them.
    """
    return choose_slots(strip.low, strip.high, budget, _wanted(strip, chosen))


def _wanted(strip: Strip, chosen: int | None) -> Iterator[int]:
    """What should be seen of a long axis, most important first."""
    if chosen is not None:
        yield from strip.taps(chosen)[:10]
    some = strip.o and strip.k
    first, last = (strip.taps(0), strip.taps(strip.o - 1)) if some else (range(0), range(0))
    yield from (*first[:1], *last[-1:], *first[-1:], *last[:1])
    for end in (strip.p0, strip.p0 + strip.dilated, 0, strip.padded, strip.reached):
        yield from (end, end - 1)
    yield from (*first[:12], *last[:-13:-1])
    if strip.o > 2 and some:
        for taps in (strip.taps(1), strip.taps(strip.o - 2)):
            yield from (*taps[:3], *taps[-3:])
    for low, high in zip(range(strip.p0, strip.p0 + 4), range(strip.padded, -1, -1), strict=False):
        yield from (low, high)


def choose_windows(strip: Strip, slots: Slots, most: int) -> tuple[list[int], list[int]]:
    """The windows to draw from the first and from the last on; together they may be all."""
    if strip.o <= most:
        return list(range(strip.o)), []
    side = most // 2

    def seen(o: int) -> bool:
        return not strip.k or any(slots.shows(u) for u in (*strip.taps(o)[:8], strip.taps(o)[-1]))

    head = [0, *(o for o in range(1, side) if seen(o))]
    tail = [*(o for o in range(strip.o - side, strip.o - 1) if seen(o)), strip.o - 1]
    return head, tail
