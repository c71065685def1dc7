"""How far from the oracle rounding alone can lead: a bound that is derived, not chosen.

A sum of n products, in any order, in arithmetic of unit roundoff u, is off by at most
gamma_n * sum |a||b| with gamma_n = n*u / (1 - n*u) (Higham, Accuracy and Stability, 3.1); one
rounding to the result's dtype adds its own unit roundoff times the result. Both n and the sum of
magnitudes are the oracle's, element by element: its answer to ones, and to absolute values.

An implementation that forms other products (Winograd, FFT) mixes neighbouring elements, so it is
held to the largest bound of the array, and may lose four bits more. Operands of mean zero and
sums of some sixty products leave a sum in half precision well outside of even that: its error is
about u_half * sum |a||b|, and u_half is 2**13 u.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jconv.testing._cases import Case, make_case
from jconv.testing._questions import Array, Item, Operands, leg

ACCUMULATORS = {
    "bfloat16": "float32",
    "float16": "float32",
    "float32": "float32",
    "float64": "float64",
    "complex64": "float32",
    "complex128": "float64",
}
"""What sums must be taken in, by the operands' dtype."""
HALVES = ("bfloat16", "float16")
BITS_LOST = 4  # by an algorithm that forms other products
EXACT_BELOW = 0.25  # of whole numbers: rounding, and no other one

CASES = (
    make_case("long-sums", "72 products", (8, 7), (3, 3), c=8, f=8, padding="VALID"),
    make_case("long-sums-1d", "72 products", (20,), (9,), c=8, f=8, padding="VALID"),
    make_case("long-sums-depthwise", "25", (9, 8), (5, 5), c=1, f=2, groups=4, padding="VALID"),
)
"""Every leg of these sums over 25 to 80 products."""


def roundoff(dtype: str) -> float:
    return float(jnp.finfo(dtype).eps) / 2


def bound(
    item: Item, dtype: str, exact: bool, leg: Callable[[Case, str, Operands], Array] = leg
) -> Array:
    """The largest error that an answer of this dtype may have, element by element.

    `leg` is the oracle, or what computes the same faster.
    """
    u, out_u = roundoff(ACCUMULATORS[dtype]), roundoff(dtype)
    sizes = {slot: abs(array) for slot, array in item.operands.items()}
    ones = {slot: np.ones(array.shape) for slot, array in item.operands.items()}
    n, magnitude = leg(item.case, item.out, ones), leg(item.case, item.out, sizes)
    if dtype.startswith("complex"):
        # Each part is two real sums; or three, with factors such as re x + im x, which cost a
        # rounding each and are up to sqrt(2) |x|. Both stay within 4 gamma_{n+3}.
        n, magnitude = n + 3, 4 * magnitude
    if dtype in ("float64", "complex128"):
        magnitude = 2 * magnitude  # the oracle rounds as much
    summed = n * u / (1 - n * u) * magnitude
    if not exact and summed.size:
        summed = np.full(summed.shape, 2.0**BITS_LOST * summed.max())
    tiny = float(jnp.finfo(dtype).smallest_subnormal)
    return summed + out_u * (abs(leg(item.case, item.out, item.operands)) + summed) + tiny


def explain(item: Item, got: Array, dtype: str) -> tuple[str, str]:
    """The cause of an error above the bound, by name and in words."""
    for half in HALVES:
        rounded = {
            slot: np.asarray(array).astype(jnp.dtype(half)).astype(np.float64)
            for slot, array in item.operands.items()
        }
        other = dataclasses.replace(item, operands=rounded)
        if dtype not in HALVES and np.all(abs(got - other.expected) <= bound(other, dtype, False)):
            return (
                "operands rounded to half precision",
                f"they were rounded to {half} before they were multiplied",
            )
    return (
        "accumulation in half precision",
        "sums must be taken in float32 at least, whatever the operands' dtype: errors are "
        f"up to {_in_bounds(item, got, dtype):.0f} times what rounding can explain",
    )


def _in_bounds(item: Item, got: Array, dtype: str) -> float:
    return float(np.max(abs(got - item.expected) / bound(item, dtype, True), initial=0))
