"""Tiles: one axis of a convolution cut into equal pieces, each computed with few products."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from jconv._algorithms.winograd.points import MAX_POINTS, Matrix, count_factors, factors


@dataclasses.dataclass(frozen=True)
class Tile:
    """A decomposition of one axis; each factor has a row for every product.

    Attributes:
        x, w, y: the factors X, W and Y (see `points`).
        step: rows of x from one tile to the next.
    """

    x: Matrix
    w: Matrix
    y: Matrix
    step: int

    @property
    def products(self) -> int:
        return len(self.x)

    @property
    def rows(self) -> int:
        """Rows of x that a tile reads."""
        return len(self.x[0])

    @property
    def outputs(self) -> int:
        return len(self.y[0])

    @functools.cached_property
    def terms(self) -> dict[str, int]:
        """Coefficients other than 0 in each factor."""
        factors = {"x": self.x, "w": self.w, "y": self.y}
        return {slot: sum(c != 0 for row in m for c in row) for slot, m in factors.items()}


@functools.lru_cache(maxsize=512)
def tile(k: int, m: int, s: int = 1, b: int = 1, start: int = 0) -> Tile:
    """Tiles of m outputs for each residue: stride s or input dilation b may be above 1.

    With stride s, tap k = s*q + c reads the rows s*(o + q) + c: each residue c is a convolution
    of its own, and their outputs add up. With input dilation b, the outputs o = b*j + c use
    only the taps k = b*q + (-c mod b), at rows j + q + (c > 0); a tile begins at o = start.
    """
    parts: list[tuple[range, int, Sequence[int]]] = []
    for c in range(s * b):
        if b == 1:
            parts.append((range(c, k, s), c, range(m)))
        else:
            first = int(c > 0) + int(c < start)
            parts.append((range(-c % b, k, b), first, range((c - start) % b, b * m, b)))
    rows = max(first + s * (len(taps) + m - 2) + 1 for taps, first, _ in parts)
    blocks: list[tuple[Matrix, Matrix, Matrix]] = []
    for taps, first, outputs in parts:
        size = _piece(len(taps), m)
        for at in range(0, len(taps), size):
            piece = taps[at : at + size]
            x, w, y = factors(len(piece), m)
            read = [first + s * (at + row) for row in range(len(piece) + m - 1)]
            blocks.append(
                (_spread(x, read, rows), _spread(w, piece, k), _spread(y, outputs, b * m))
            )
    x, w, y = (sum((block[slot] for block in blocks), ()) for slot in range(3))
    return Tile(x, w, y, step=s * m)


@functools.lru_cache(maxsize=4096)
def count_products(k: int, m: int, s: int = 1, b: int = 1) -> int:
    """Products of `tile`'s decomposition, without making it: k may be in the millions."""
    step = s * b  # one of the two is 1
    fewer, longer = divmod(k, step)  # `longer` residues have one tap more than the others
    return longer * _products_of_run(fewer + 1, m) + (step - longer) * _products_of_run(fewer, m)


def _products_of_run(taps: int, m: int) -> int:
    size = _piece(taps, m)
    whole, rest = divmod(taps, size)
    return whole * count_factors(size, m) + (count_factors(rest, m) if rest else 0)


def _piece(taps: int, m: int) -> int:
    """Taps of the pieces that a run of taps is cut into.

    A long run is cut so that no piece needs more interpolation points than are accurate.
    """
    longest = max(MAX_POINTS + 1 - m, 1)
    pieces = max(-(-taps // longest), 1)
    return max(-(-taps // pieces), 1)


def _spread(matrix: Matrix, columns: Sequence[int], width: int) -> Matrix:
    """The columns of a factor, each moved to its index in the tile, among columns of zeros."""
    spread = []
    for row in matrix:
        wide = [0.0] * width
        for column, value in zip(columns, row, strict=True):
            wide[column] = value
        spread.append(tuple(wide))
    return tuple(spread)
