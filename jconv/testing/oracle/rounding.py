"""How far from the oracle rounding alone can lead: a bound that is derived, not chosen.

A sum of n products, in any order, in arithmetic of unit roundoff u, is off by at most
gamma_n * sum |a||b| with gamma_n = n*u / (1 - n*u) (Higham, Accuracy and Stability of Numerical
Algorithms, section 3.1); rounding the sum to the result's dtype adds that dtype's unit roundoff
times the result. The oracle counts n for every element, as its answer to operands of ones, and
gives the sum of magnitudes, as its answer to absolute values.

An algorithm that forms other products (Winograd, FFT) mixes neighbouring elements. So it is held
to the largest bound in the array, and may lose four bits more. Sums kept in half precision are
noticed all the same: of sixty products of operands of mean zero they are off by about
u_half * sum |a||b|, and u_half is 2**13 times float32's u.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jconv.testing.oracle.case import Case
from jconv.testing.oracle.legs import Array, Item, Operands, leg

WIDE = ("float64", "complex128")  # summed in float64; all others in float32 at least
HALVES = ("bfloat16", "float16")
BITS_LOST = 4  # by an algorithm that forms other products than the definition's
# A sum of whole numbers that is off by less is rounded: a wrong term changes it by 1 at least.
EXACT_BELOW = 0.25


def roundoff(dtype: str) -> float:
    return float(jnp.finfo(dtype).eps) / 2


def bound(
    item: Item, dtype: str, exact: bool, leg: Callable[[Case, str, Operands], Array] = leg
) -> Array:
    """The largest error that an answer of this dtype may have, element by element.

    `leg` computes the right array: the oracle, or something faster that gives the same.
    """
    u = roundoff("float64" if dtype in WIDE else "float32")
    sizes = {slot: abs(array) for slot, array in item.operands.items()}
    ones = {slot: np.ones(array.shape) for slot, array in item.operands.items()}
    n, magnitude = leg(item.case, item.out, ones), leg(item.case, item.out, sizes)
    if dtype.startswith("complex"):
        # The real and the imaginary part are two real sums each, or three with factors such as
        # re x + im x, each rounded once and up to sqrt(2) |x|. Both stay within 4 gamma_{n+3}.
        n, magnitude = n + 3, 4 * magnitude
    if dtype in WIDE:
        magnitude = 2 * magnitude  # the oracle computes in float64 too, so it rounds as much
    summed = n * u / (1 - n * u) * magnitude
    if not exact and summed.size:
        summed = np.full(summed.shape, 2.0**BITS_LOST * summed.max())
    tiny = float(jnp.finfo(dtype).smallest_subnormal)
    return summed + roundoff(dtype) * (abs(leg(item.case, item.out, item.operands)) + summed) + tiny


def widened(array: Any) -> Array:
    """The array in complex128 or float64, in which differences are taken."""
    array = np.asarray(array)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
