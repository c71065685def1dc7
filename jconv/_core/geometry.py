"""The index equation of a convolution and everything that follows from it alone.

Per spatial axis, with `x` the input, `w` the filter and `y` the output::

    b*i + p0 = s*o + d*k          i in x, o in y, k in w

`s` stride, `b` input dilation, `d` filter dilation, `p0` the low padding of the *forward*
convolution. Sizes are ints or symbolic dimensions of `jax.export`; the arithmetic below is
written so that both go through it, and no JAX is imported here.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

Size = Any  # an int, or a symbolic dimension of jax.export: both do integer arithmetic
Shape = tuple[Size, ...]


def is_static(*sizes: Size) -> bool:
    """Whether all sizes are plain numbers."""
    return all(isinstance(size, int) for size in sizes)


def max_size(size: Size, floor: int) -> Size:
    """max(size, floor); a symbolic dimension carries its own `max`."""
    return max(size, floor) if isinstance(size, int) else size.max(floor)


def proved(claim: Any) -> bool:
    """Whether a comparison of sizes holds for certain.

    `claim` is a function of no arguments that compares. Symbolic `>=` raises when it cannot be
    decided, and an undecided `==` answers False; both count as not proved.
    """
    try:
        return bool(claim())
    except Exception as error:  # jax.core.InconclusiveDimensionOperation, without importing jax
        if type(error).__name__ != "InconclusiveDimensionOperation":
            raise
        return False


def differ(a: Size, b: Size) -> bool:
    """Whether two sizes are certainly different (for symbols `!=` alone proves nothing)."""
    return proved(lambda: a > b) or proved(lambda: a < b)


def same(a: Size, b: Size) -> bool:
    """Whether two sizes are certainly equal."""
    return proved(lambda: a == b)


def span(size: Size, dilation: int) -> Size:
    """Rows covered by `size` rows spread `dilation` apart: d*(k-1)+1, and 0 for none."""
    if dilation == 1:
        return size
    return max_size(dilation * (size - 1) + 1, 0)


@dataclasses.dataclass(frozen=True)
class Axis:
    """One spatial axis: the three ranges of the index equation and its four coefficients.

    The high padding is not here: `p0` and `o` determine it, and it is the number that turns
    symbolic. The trilinear form sums over all (i, o, k) of the equation, so every combination
    of these seven numbers means something, consistent sizes or not.
    """

    i: Size
    k: Size
    o: Size
    s: int = 1
    b: int = 1
    d: int = 1
    p0: Size = 0

    @property
    def static(self) -> bool:
        return is_static(self.i, self.k, self.o, self.p0)

    @property
    def p1(self) -> Size:
        """High padding with which exactly `o` windows are read, the unread rows cropped."""
        return self.s * (self.o - 1) + span(self.k, self.d) - span(self.i, self.b) - self.p0

    @property
    def pads(self) -> tuple[int, int]:
        """(low, high) with which lax counts exactly `o` windows (numbers only).

        Every high pad from p1 to p1+s-1 gives these windows. A negative one would crop rows
        that no window reads, at the cost of a copy, so 0 is taken where it is in that range.
        """
        high = self.p1
        return self.p0, high if high >= 0 else min(0, high + self.s - 1)

    @property
    def empty(self) -> bool:
        """Whether no (i, o, k) solves the equation because a range is empty."""
        return any(same(size, 0) for size in (self.i, self.k, self.o))

    @property
    def products(self) -> int:
        """The number of pairs (o, k) that read a row of x, not padding or a dilation's hole."""
        found = 0
        for c, k in itertools.product(range(min(self.b, self.o)), range(self.k)):
            row, hole = divmod(self.s * c + self.d * k - self.p0, self.b)
            if hole == 0:  # the outputs c, c + b, ... read the rows row, row + s, ...
                last = min((self.o - 1 - c) // self.b, (self.i - 1 - row) // self.s)
                found += max(0, last - max(0, -(row // self.s)) + 1)
        return found

    def input_grad(self) -> Axis:
        """The axis of the convolution of g with the flipped filter that gives x'.

        With k' = k-1-k the equation b*i + p0 = s*o + d*k becomes
        s*o + (K-1-p0) = b*i + d*k': i and o change places, and so do their coefficients.
        """
        low = span(self.k, self.d) - 1 - self.p0
        return Axis(i=self.o, k=self.k, o=self.i, s=self.b, b=self.s, d=self.d, p0=low)

    def filter_grad(self) -> Axis:
        """The axis of the convolution of x with g as the filter that gives w'.

        b*i + p0 = d*k + s*o: o and k change places, and so do their coefficients.
        """
        return Axis(i=self.i, k=self.o, o=self.k, s=self.d, b=self.b, d=self.s, p0=self.p0)


def out_size(i: Size, k: Size, p: Size, *, s: int, b: int, d: int) -> Size:
    """o = (I+P-K)//s + 1 when I+P >= K, else 0."""
    return max_size((span(i, b) + p - span(k, d)) // s + 1, 0)


STRING_PADDINGS = ("SAME", "SAME_LOWER", "VALID", "CAUSAL")


def resolve_axis(i: Size, k: Size, padding: str | tuple[int, int], *, s: int, b: int, d: int):
    """(o, p0, p1) of the forward convolution on one axis."""
    rows, window = span(i, b), span(k, d)
    if padding in ("SAME", "SAME_LOWER"):
        o = -(-rows // s)
        p = max_size((o - 1) * s + window - rows, 0)
        half = p // 2
        p0 = half if padding == "SAME" else p - half
        return o, p0, p - p0
    if padding == "CAUSAL":
        p0, p1 = window - 1, 0
    elif isinstance(padding, str):  # VALID
        p0, p1 = 0, 0
    else:
        p0, p1 = padding
    return out_size(i, k, p0 + p1, s=s, b=b, d=d), p0, p1


def smallest_size(o: Size, k: Size, padding: str | tuple[int, int], *, s: int, d: int) -> Size:
    """The size that output_padding=0 names in a transposed convolution of `o` rows.

    s*(o-1)+1 where the output depends on the input's size alone, s*(o-1)+K-P otherwise: the
    formula's value, even where no input can be that small.
    """
    if padding in ("SAME", "SAME_LOWER", "CAUSAL"):
        return s * (o - 1) + 1
    p = 0 if isinstance(padding, str) else sum(padding)
    return s * (o - 1) + span(k, d) - p


LARGEST = 2**31 - 1  # the largest size, stride, dilation or padding: XLA counts in 32 bits


def input_sizes(o: int, k: int, padding: str | tuple[int, int], *, s: int, b: int, d: int) -> range:
    """All i whose forward convolution gives `o` rows (numbers only).

    For o > 0 the dilated sizes I are the s integers from `smallest_size` up, without any below
    1. For o = 0 they are all sizes too small for one window.
    """
    low = smallest_size(o, k, padding, s=s, d=d)
    return _undilated(max(low, 1) if o else 0, low + s - 1, b)


def filter_sizes(
    i: int, o: int, padding: str | tuple[int, int], *, s: int, b: int, d: int
) -> range:
    """All k with which `i` rows give `o` rows (numbers only)."""
    rows = span(i, b)
    if padding in ("SAME", "SAME_LOWER", "CAUSAL"):
        # The size of the output does not depend on the filter, unless it has no taps.
        return range(1, LARGEST + 1) if -(-rows // s) == o else range(0)
    p = 0 if isinstance(padding, str) else sum(padding)
    if not o:
        return _undilated(rows + p + 1, LARGEST, d)
    # o = (I+P-K)//s + 1 has the s solutions K = I+P-s*o+1, ..., I+P-s*(o-1).
    return _undilated(rows + p - s * o + 1, rows + p - s * (o - 1), d)


def _undilated(low: int, high: int, dilation: int) -> range:
    """All sizes whose span lies in low..high: 0 spans 0 and n > 0 spans dilation*(n-1) + 1."""
    last = (high - 1) // dilation + 1 if high > 0 else 0
    if high < 0:
        return range(0)
    first = 0 if low <= 0 else -(-(low - 1) // dilation) + 1
    return range(first, last + 1)


def product(sizes: Sequence[Size]) -> Size:
    return math.prod(sizes)
