"""Toom and Cook's decomposition of one tile of one axis, by interpolation points."""

from __future__ import annotations

import functools
from fractions import Fraction

Matrix = tuple[tuple[float, ...], ...]
# Interpolation points, beside infinity. Two thirds and three halves round less than 1 and 2.
_FINITE = (Fraction(0), Fraction(1), Fraction(-1))
_WIDE = (Fraction(0), Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2))
MOST_POINTS = len(_WIDE) + 1  # with more, the error exceeds eight times direct's


@functools.lru_cache(maxsize=64)
def toom_cook(taps: int, outputs: int) -> tuple[Matrix, Matrix, Matrix]:
    """The factors of y[o] = sum over k of x[o+k]*w[k] for one tile of stride 1.

    The transpose of a polynomial product: evaluate two polynomials at n-1 points and at
    infinity, multiply, interpolate. X is the interpolation's transpose, W and Y are evaluations.
    """
    if taps == 1 or outputs == 1:  # nothing to save
        count = max(taps, outputs)
        unit = [[float(p == q) for q in range(count)] for p in range(count)]
        ones = [[1.0]] * count
        return (
            _matrix(unit),
            _matrix(unit if taps > 1 else ones),
            _matrix(unit if outputs > 1 else ones),
        )
    n = taps + outputs - 1
    points = (_FINITE if n - 1 <= len(_FINITE) else _WIDE)[: n - 1]
    x, w, y = [], [], []
    for p in points:
        others = [q for q in points if q != p]
        scale = _product(p - q for q in others)
        x.append(_from_roots(others, n))
        w.append([p**k / scale for k in range(taps)])
        y.append([p**o for o in range(outputs)])
    x.append(_from_roots(points, n))
    w.append([Fraction(k == taps - 1) for k in range(taps)])
    y.append([Fraction(o == outputs - 1) for o in range(outputs)])
    return _matrix(x), _matrix(w), _matrix(y)


def _product(factors) -> Fraction:
    result = Fraction(1)
    for factor in factors:
        result *= factor
    return result


def _from_roots(roots, width: int) -> list[Fraction]:
    """Coefficients of the monic polynomial with these roots, lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        up = [Fraction(0), *coefficients]
        down = [-root * c for c in coefficients] + [Fraction(0)]
        coefficients = [a + b for a, b in zip(up, down, strict=True)]
    return coefficients + [Fraction(0)] * (width - len(coefficients))


def _matrix(rows) -> Matrix:
    return tuple(tuple(float(value) for value in row) for row in rows)


def products_of_piece(taps: int, m: int) -> int:
    return taps * m if 1 in (taps, m) else taps + m - 1
