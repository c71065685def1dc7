"""Which cause is believed: the one whose wrong answers are the implementation's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jconv.testing._causes import CAUSES, Cause
from jconv.testing._questions import Array, Item
from jconv.testing._rounding import EXACT_BELOW
from jconv.testing._wrong import Answer


def agreeing(answer: Answer, item: Item, got: Any) -> bool:
    """Whether this bug leads to this array."""
    try:
        have = answer(item)
    except (ValueError, IndexError, ZeroDivisionError):  # it cannot be committed here
        return False
    return (
        have is not None and have.shape == got.shape and bool(np.all(abs(have - got) < EXACT_BELOW))
    )


def likeliest(
    failing: Sequence[tuple[Item, Array]], passing: Sequence[tuple[Item, Array]]
) -> tuple[Cause, int] | None:
    """The cause that explains most of the wrong answers, and how many of them it does."""
    best: tuple[float, Cause, int] | None = None
    for cause in CAUSES:
        for answer in cause.answers:
            count = _count(answer, failing)
            if 2 * count <= len(failing):
                continue
            against = sum(not agreeing(answer, item, got) for item, got in passing)
            score = count / len(failing) - against / max(len(passing), 1)
            if score > 0 and (best is None or score > best[0]):
                best = score, cause, count
    return best and best[1:]


def _count(answer: Answer, failing: Sequence[tuple[Item, Array]]) -> int:
    """How many wrong answers this bug leads to; 0 as soon as it cannot be most of them."""
    missed = 0
    for item, got in failing:
        missed += not agreeing(answer, item, got)
        if 2 * missed >= len(failing):
            return 0
    return len(failing) - missed
