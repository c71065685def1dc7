"""The decomposition of one tile of stride 1, after Toom, Cook and Winograd.

On a tile of one axis the trilinear form is a small tensor, T[i, k, o] = 1 where the index
equation holds. Written as a sum of n products of linear forms::

    T[i, k, o] = sum over p of  X[p, i] * W[p, k] * Y[p, o]

it takes n multiplications of transformed operands in place of o*k. Whichever slot is the
output, the other two are transformed, multiplied point by point, and brought back by the
transpose of the third factor: one decomposition serves every leg.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

Matrix = tuple[tuple[float, ...], ...]

# Interpolation points beside infinity. 2/3 and 3/2 lead to smaller rounding errors than 1/2 and 2.
_FOR_FEW = (Fraction(0), Fraction(1), Fraction(-1))
_FOR_MANY = (Fraction(0), Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2))
MAX_POINTS = len(_FOR_MANY) + 1  # points; with more, the error exceeds eight times direct's


@functools.lru_cache(maxsize=64)
def factors(taps: int, outputs: int) -> tuple[Matrix, Matrix, Matrix]:
    """X, W and Y of y[o] = sum over k of x[o+k]*w[k], each with a row for every product.

    They are the transpose of a product of polynomials, which is found by evaluating both at n-1
    points and at infinity, multiplying, and interpolating. X is the transpose of the interpolation,
    W and Y are the evaluations.
    """
    if taps == 1 or outputs == 1:  # no multiplication can be saved
        count = max(taps, outputs)
        unit = [[float(p == q) for q in range(count)] for p in range(count)]
        ones = [[1.0]] * count
        return (
            _matrix(unit),
            _matrix(unit if taps > 1 else ones),
            _matrix(unit if outputs > 1 else ones),
        )
    n = taps + outputs - 1
    points = (_FOR_FEW if n - 1 <= len(_FOR_FEW) else _FOR_MANY)[: n - 1]
    x, w, y = [], [], []
    for p in points:
        others = [q for q in points if q != p]
        scale = math.prod((p - q for q in others), start=Fraction(1))
        x.append(_from_roots(others, n))
        w.append([p**k / scale for k in range(taps)])
        y.append([p**o for o in range(outputs)])
    x.append(_from_roots(points, n))
    w.append([Fraction(k == taps - 1) for k in range(taps)])
    y.append([Fraction(o == outputs - 1) for o in range(outputs)])
    return _matrix(x), _matrix(w), _matrix(y)


def count_factors(taps: int, outputs: int) -> int:
    """The products of `factors`, without making them."""
    return taps * outputs if 1 in (taps, outputs) else taps + outputs - 1


def _from_roots(roots: Sequence[Fraction], width: int) -> list[Fraction]:
    """Coefficients of the monic polynomial with these roots, lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        up = [Fraction(0), *coefficients]
        down = [-root * c for c in coefficients] + [Fraction(0)]
        coefficients = [a + b for a, b in zip(up, down, strict=True)]
    return coefficients + [Fraction(0)] * (width - len(coefficients))


def _matrix(rows: Iterable[Iterable[Fraction | float]]) -> Matrix:
    return tuple(tuple(float(value) for value in row) for row in rows)
