"""One axis of `solve`: the settings of the ranges that take its input to its output."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from jconv._check import settings
from jconv._core import geometry
from jconv._core.geometry import Size, span


@dataclasses.dataclass(frozen=True)
class Option:
    """Settings of one axis whose forward convolution takes i rows to o."""

    i: int
    o: int
    k: int
    s: int
    d: int
    padding: settings.Padding
    p0: Size
    p1: Size

    @property
    def reading(self) -> tuple[tuple[int, int, int, int] | None, ...]:
        """Which rows every tap meets: its first and last window within x, first row and step."""
        taps = []
        for tap in range(self.k):
            at = self.d * tap - self.p0  # the row that window 0 shows this tap
            first, last = max(0, -(at // self.s)), min(self.o - 1, (self.i - 1 - at) // self.s)
            step = self.s if last > first else 0
            taps.append((first, last, at + self.s * first, step) if last >= first else None)
        return tuple(taps)

    @property
    def unmet(self) -> tuple[int, int]:
        """Rows of x that no tap meets: those before the last that one does, and those after."""
        runs: dict[int, list[tuple[int, int]]] = {}
        for tap in self.reading:
            if tap is not None:
                first, last, row, _ = tap
                start = row // self.s
                runs.setdefault(row % self.s, []).append((start, start + last - first))
        met, end = 0, -1
        for residue, spans in runs.items():
            reach = -1
            for start, stop in sorted(spans):
                met += max(0, stop - max(start, reach + 1) + 1)
                reach = max(reach, stop)
            end = max(end, residue + self.s * reach)
        return end + 1 - met, self.i - 1 - end

    @property
    def extra(self) -> int:
        """The output_padding with which the transposed convolution makes i rows."""
        return self.i - geometry.smallest_size(self.o, self.k, self.padding, s=self.s, d=self.d)

    @property
    def is_default(self) -> bool:
        """Whether it makes them without being told."""
        if isinstance(self.padding, str) and self.padding != "VALID":
            return self.i == self.s * self.o
        sizes = geometry.input_sizes(self.o, self.k, self.padding, s=self.s, b=1, d=self.d)
        return self.i in sizes[:1]


def options_of(
    i: int,
    o: int,
    kernels: Sequence[int],
    strides: Sequence[int],
    d: int,
    rules: Sequence[settings.Padding] | None,
) -> Iterator[Option]:
    """Every setting of the ranges that takes i rows to o."""
    for k in kernels:
        for s in strides:
            for padding in _paddings(i, o, k, s, d) if rules is None else rules:
                made, p0, p1 = geometry.resolve_axis(i, k, padding, s=s, b=1, d=d)
                if made == o:
                    yield Option(i, o, k, s, d, padding, p0, p1)


def _paddings(i: int, o: int, k: int, s: int, d: int) -> Iterator[settings.Padding]:
    """The rules, and the numbers from 1 to K-1 that could give o windows."""
    yield from ("VALID", "SAME")
    # o windows need K + s*(o-1) to K + s*o - 1 rows; none is what fewer than K give.
    rows = span(k, d)
    fewest, most = (rows + s * (o - 1), rows + s * o - 1) if o else (0, rows - 1)
    for amount in range(max(1, -((i - fewest) // 2)), min(rows - 1, (most - i) // 2) + 1):
        yield amount, amount
