"""The table of causes: each is a bug somewhere, and none is one where it cannot be committed."""

from __future__ import annotations

import numpy as np
import pytest

from jconv.testing import CASES
from jconv.testing.causes.catalogue import CAUSES
from jconv.testing.causes.explain import likeliest
from jconv.testing.oracle.legs import OPERATIONS, Item
from jconv.testing.transformations.questions import Question, draw

# The few of a kind come first, so that what shows in them alone is found soon.
SAMPLE = [
    *[Question(case, "conv", "vmap-both") for case in CASES[::20]],
    *[Question(case, op, dtype="complex64") for case in CASES[::20] for op in OPERATIONS[:3]],
    *[Question(case, "conv_transpose", given="output_padding") for case in CASES[::4]
      if case.transposable and 0 not in (*case.y_shape, *case.w_shape)],
    *[Question(case, op) for case in CASES for op in OPERATIONS[:3]],
]  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.name)
def test_an_answer_differs_from_the_right_one(cause):
    """Each answer of each cause is wrong in some case, and most can be worked out in some."""
    for at, answer in enumerate(cause.mistakes):
        different = worked = 0
        for question in SAMPLE:
            for item in question.items():
                try:
                    have = answer(item)
                except (ValueError, IndexError):
                    continue
                if have is None:
                    continue
                worked += 1
                want = item.expected
                different += have.shape != want.shape or bool(np.any(abs(have - want) > 0.25))
                if different:
                    break
            if different:
                break
        assert worked
        assert different or (cause.name, at) in SIZES_ALONE, at


# A wrong high padding shows in the output's size alone: where that is kept, so is all else.
SIZES_ALONE = {("low padding on both sides", 0), ("negative padding clipped", 4)}


def test_names_are_unique_and_texts_are_there():
    names = [cause.name for cause in CAUSES]
    assert len(names) == len(set(names))
    assert all(cause.text and cause.mistakes for cause in CAUSES)


def test_no_cause_explains_noise():
    rng = np.random.default_rng(0)
    items = [question.items()[0] for question in SAMPLE[-120::6]]
    wrong = [(item, rng.integers(-99, 99, item.expected.shape)) for item in items]
    assert likeliest([(i, a) for i, a in wrong if a.size > 2], []) is None


def test_what_is_right_elsewhere_speaks_against_a_cause():
    """Pads exchanged explain one wrong answer; not if another asymmetric case came out right."""
    case = next(case for case in CASES if case.name == "pad-low-only")
    other = next(case for case in CASES if case.name == "pad-high-only")

    def item(case):
        drawn = draw(case)
        return Item(case, "y", {slot: drawn[slot][0] for slot in "xw"})

    (exchanged,) = (cause for cause in CAUSES if cause.name == "pads exchanged")
    failing = [(item(case), exchanged.mistakes[0](item(case)))]
    found = likeliest(failing, [])
    assert found is not None
    assert found[0].name == "pads exchanged"
    against = likeliest(failing, [(item(other), item(other).expected)])
    assert against is None or against[0].name != "pads exchanged"
