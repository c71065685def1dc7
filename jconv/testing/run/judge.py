"""Answers against the oracle: what is wrong with each array."""

from __future__ import annotations

import dataclasses

import numpy as np

from jconv.testing.oracle.legs import Array, Item
from jconv.testing.oracle.rounding import EXACT_BELOW, bound, widened
from jconv.testing.run.ask import Crash
from jconv.testing.transformations.questions import Question


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is wrong with one array of an answer.

    Attributes:
        question: what was asked.
        item: which array of the answer it is.
        wrong: what is wrong with it, in words; "" if it is right.
        got: the array; None where an exception was raised instead.
        kind: of what is wrong: "values", "shape", "dtype" or "raised".
        rounded: whether whole numbers came out right, but not to the last bit.
    """

    question: Question
    item: Item
    wrong: str = ""
    got: Array | None = None
    kind: str = ""
    rounded: bool = False


def judge(question: Question, answer: list[Array] | Crash, exact: bool) -> list[Verdict]:
    """A verdict on every array of an answer."""
    items = question.items()
    if isinstance(answer, Crash):
        return [Verdict(question, items[0], answer.told, kind="raised")]
    return [_judge(question, item, array, exact) for item, array in zip(items, answer, strict=True)]


def _judge(question: Question, item: Item, got: Array, exact: bool) -> Verdict:
    want, got = item.expected, np.asarray(got)
    if got.shape != want.shape:
        told = f"shape {got.shape} instead of {want.shape}"
        return Verdict(question, item, told, widened(got), "shape")
    if str(got.dtype) != question.dtype:
        told = f"dtype {got.dtype} instead of {question.dtype}"
        return Verdict(question, item, told, widened(got), "dtype")
    got = widened(got)
    off = abs(got - want)
    if question.rounded:
        bad = ~(off <= bound(item, question.dtype, exact))
    elif exact or not np.any(off):
        bad = ~(off == 0)
    else:
        bad = ~(off <= np.minimum(bound(item, question.dtype, exact), EXACT_BELOW))
    if not bad.any():
        return Verdict(question, item, "", got, rounded=bool(np.any(off)) and not question.rounded)
    told = f"{int(bad.sum())} of {bad.size} values, by up to {np.max(off):.3g}"
    return Verdict(question, item, told, got, "values")
