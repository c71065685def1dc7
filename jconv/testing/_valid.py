"""Hypothesis strategies for configurations that are valid.

Everything shrinks towards the plain case: one axis, unit strides, no padding, default layout.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from jconv.testing._cases import Case, make_case

T = TypeVar("T")

# Rows of x and of w by rank, so that the oracle's loops stay short.
_ROWS = {1: (14, 5), 2: (8, 4), 3: (5, 3)}


@st.composite
def configurations(
    draw: st.DrawFn,
    *,
    min_rank: int = 1,
    max_rank: int = 3,
    modes: Sequence[str] = ("zeros", "reflect", "edge", "circular"),
    input_dilation: bool = True,
    empty: bool = True,
) -> Case:
    """Small valid convolutions of every kind that `jconv.conv` takes.

    Args:
        draw: supplied by hypothesis.
        min_rank: the fewest spatial axes.
        max_rank: the most, 3 at the highest.
        modes: the padding modes to choose from.
        input_dilation: whether x may be dilated.
        empty: whether batches and axes of size 0 may be drawn.

    Returns:
        A strategy of `Case`.

    Examples:
        >>> from jconv.testing import strategies
        >>> plain = strategies.configurations(modes=["zeros"], input_dilation=False)
    """
    rank = draw(st.integers(min_rank, max_rank))
    rows, taps = _ROWS[rank]
    least = draw(st.sampled_from([1, 1, 1, 1, 1, 1, 1, 0])) if empty else 1
    mode = draw(st.sampled_from(list(modes)))
    i = _each_axis(draw, st.integers(least, rows), rank)
    k = _each_axis(draw, st.integers(least, taps), rank)
    case = make_case(
        "drawn",
        "drawn at random",
        i,
        k,
        n=draw(st.integers(least, 3)),
        c=draw(st.integers(1, 3)),
        f=draw(st.integers(1, 3)),
        stride=draw(_factor(rank, 4)),
        dilation=draw(_factor(rank, 3)),
        input_dilation=draw(_factor(rank, 3)) if input_dilation and mode == "zeros" else 1,
        groups=draw(st.integers(1, 3)),
        layout=draw(layouts(rank)),
        padding=draw(_padding(rank)),
        padding_mode=mode,
    )
    return case if _reaches(case) else _without_padding(case)


def layouts(rank: int) -> st.SearchStrategy[Any]:
    """None, a channels-last or channels-first string, or any triple of dimension numbers."""
    axes = "ABDEF"[:rank]
    orders = [st.permutations(letters + axes).map("".join) for letters in ("NC", "IO", "NC")]
    return st.one_of(
        st.none(),
        st.sampled_from([f"N{axes}C", f"NC{axes}"]),
        st.tuples(*orders),
    )


def _each_axis(draw: st.DrawFn, values: st.SearchStrategy[T], rank: int) -> tuple[T, ...]:
    return tuple(draw(values) for _ in range(rank))


def _factor(rank: int, most: int) -> st.SearchStrategy[Any]:
    """A stride or dilation: one int, or one for each axis."""
    one = st.integers(1, most)
    return st.one_of(st.just(1), one, st.tuples(*[one] * rank))


def _padding(rank: int) -> st.SearchStrategy[Any]:
    crop = st.integers(-4, -1)
    side = st.one_of(st.integers(0, 4), st.integers(0, 4), crop)
    entry = st.one_of(st.integers(0, 3), st.tuples(side, side))
    names = st.sampled_from(["VALID", "SAME", "SAME_LOWER", "CAUSAL"])
    return st.one_of(names, st.integers(-1, 3), st.tuples(*[entry] * rank))


def _reaches(case: Case) -> bool:
    """Whether the padding mode has as many rows to copy as the padding asks for."""
    try:
        return len(case.y_shape) > 0
    except ValueError:
        return False


def _without_padding(case: Case) -> Case:
    return dataclasses.replace(case, kwargs={**case.kwargs, "padding": "VALID"})
