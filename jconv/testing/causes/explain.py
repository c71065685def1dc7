"""Which cause is believed: the one whose wrong arrays are the implementation's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jconv.testing.causes.catalogue import CAUSES, Cause
from jconv.testing.causes.wrong_legs import Mistake
from jconv.testing.oracle.legs import Array, Item
from jconv.testing.oracle.rounding import EXACT_BELOW, HALVES, bound


def agreeing(mistake: Mistake, item: Item, got: Any) -> bool:
    """Whether a mistake gives the array `got`."""
    try:
        have = mistake(item)
    except (ValueError, IndexError, ZeroDivisionError):  # it cannot be made here
        return False
    return (
        have is not None and have.shape == got.shape and bool(np.all(abs(have - got) < EXACT_BELOW))
    )


def likeliest(
    failing: Sequence[tuple[Item, Array]], passing: Sequence[tuple[Item, Array]]
) -> tuple[Cause, int] | None:
    """The cause that explains most of the wrong arrays, and how many it explains."""
    best: tuple[float, Cause, int] | None = None
    for cause in CAUSES:
        for mistake in cause.mistakes:
            count = _count(mistake, failing)
            if 2 * count <= len(failing):
                continue
            against = sum(not agreeing(mistake, item, got) for item, got in passing)
            score = count / len(failing) - against / max(len(passing), 1)
            if score > 0 and (best is None or score > best[0]):
                best = score, cause, count
    return best and best[1:]


def _count(mistake: Mistake, failing: Sequence[tuple[Item, Array]]) -> int:
    """How many of the wrong arrays a mistake gives; 0 as soon as that cannot be the most."""
    missed = 0
    for item, got in failing:
        missed += not agreeing(mistake, item, got)
        if 2 * missed >= len(failing):
            return 0
    return len(failing) - missed


def explain_rounding(item: Item, got: Array, dtype: str) -> tuple[str, str]:
    """The cause of an error above rounding's bound, by name and in words."""
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
    times = float(np.max(abs(got - item.expected) / bound(item, dtype, True), initial=0))
    return (
        "accumulation in half precision",
        "sums must be taken in float32 at least, whatever the operands' dtype: errors are "
        f"up to {times:.0f} times what rounding can explain",
    )
