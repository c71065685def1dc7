"""A table of small convolutions, each nasty in a way that some implementation got wrong."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from jconv.testing.cases.rows import ROWS
from jconv.testing.oracle.case import Case, make_case


def _parse(rows: str) -> Iterator[Case]:
    for line in rows.splitlines():
        if not line or line.startswith("#"):
            continue
        name, i, k, keywords, nasty = (field.strip() for field in line.split("|"))
        yield make_case(name, nasty, _sizes(i), _sizes(k), **_keywords(keywords))


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(","))


def _keywords(text: str) -> dict[str, Any]:
    call = ast.parse(f"dict({text})", mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}


def _same_cases() -> Iterator[Case]:
    """SAME and SAME_LOWER: the side of the odd row of padding, for every parity of the sizes."""
    for padding in ("SAME", "SAME_LOWER"):
        for k in (2, 3, 4):
            for s in (1, 2, 3):
                rows = 7 if (k + s) % 2 else 8
                odd = (max((-(-rows // s) - 1) * s + k - rows, 0)) % 2
                nasty = "the odd pad row must be on the right side" if odd else "an even pad"
                name = f"{padding.lower().replace('_', '-')}-kernel-{k}-stride-{s}"
                yield make_case(name, nasty, (rows,), (k,), stride=s, padding=padding)
    lower = {"padding": "SAME_LOWER", "stride": (1, 2)}
    yield make_case("same-lower-2d", "odd pads on both axes", (5, 6), (2, 3), **lower)


def _mode_cases() -> Iterator[Case]:
    """Every padding mode on one to three axes; the border of one axis copies that of another."""
    sizes, kernels, pads = (5, 4, 3), (3, 2, 2), ((2, 1), (1, 2), (0, 2))
    for mode in ("reflect", "edge", "circular"):
        for rank in (1, 2, 3):
            i, k = sizes[:rank], kernels[:rank]
            corner = "corners are borders of borders" if rank > 1 else "the border is copied rows"
            yield make_case(f"{mode}-{rank}d-same", corner, i, k, padding_mode=mode, stride=2)
            nasty = "asymmetric borders, dilated taps"
            options = {"padding_mode": mode, "padding": pads[:rank], "dilation": 2}
            yield make_case(f"{mode}-{rank}d-asymmetric", nasty, i, k, **options)


CASES: tuple[Case, ...] = (
    *_same_cases(),
    *_mode_cases(),
    *_parse(ROWS),
)
"""Every case; names are unique."""

LONG_SUMS = (
    make_case("long-sums", "72 products", (8, 7), (3, 3), c=8, f=8, padding="VALID"),
    make_case("long-sums-1d", "72 products", (20,), (9,), c=8, f=8, padding="VALID"),
    make_case(
        "long-sums-depthwise", "25 products", (9, 8), (5, 5), c=1, f=2, groups=4, padding="VALID"
    ),
)
"""Convolutions in which every leg sums 25 to 80 products, so that rounding shows."""
