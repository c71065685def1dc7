"""Hypothesis strategies for valid configurations.

hypothesis shrinks them towards one axis, strides of 1, no padding and the default layout.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from jconv.testing.oracle.case import Case, is_valid, make_case

# By rank the most rows of x and taps of w, so that the oracle's loops stay short.
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
    i = tuple(draw(st.integers(least, rows)) for _ in range(rank))
    k = tuple(draw(st.integers(least, taps)) for _ in range(rank))
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
    if is_valid(case):
        return case
    return dataclasses.replace(case, kwargs={**case.kwargs, "padding": "VALID"})


def layouts(rank: int) -> st.SearchStrategy[Any]:
    """None, a channels-last or channels-first string, or any triple of dimension numbers."""
    axes = "ABDEF"[:rank]
    orders = [st.permutations(letters + axes).map("".join) for letters in ("NC", "IO", "NC")]
    return st.one_of(
        st.none(),
        st.sampled_from([f"N{axes}C", f"NC{axes}"]),
        st.tuples(*orders),
    )


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
