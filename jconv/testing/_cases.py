"""A table of small convolutions, each nasty in a way that some implementation got wrong."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from jconv.testing import _reference as reference
from jconv.testing._table import TABLES


@dataclasses.dataclass(frozen=True)
class Case:
    """One configuration: a readable name, what is nasty about it, and the arguments.

    Attributes:
        name: fit for a pytest id.
        nasty: what is nasty about it, in words.
        x_shape: the input's shape, in the layout of `kwargs`.
        w_shape: the filter's shape, in the layout of `kwargs`.
        kwargs: keywords of `conv`, and of the other operations beside the shape they are told.

    Examples:
        >>> from jconv.testing import CASES
        >>> case = next(case for case in CASES if case.name == "remainder-1")
        >>> case.x_shape, case.w_shape, case.y_shape, case.kwargs
        ((2, 6, 2), (3, 2, 3), (2, 2, 3), {'stride': 2, 'padding': 'VALID'})
    """

    name: str
    nasty: str
    x_shape: tuple[int, ...]
    w_shape: tuple[int, ...]
    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def rank(self) -> int:
        return len(self.x_shape) - 2

    @property
    def call(self) -> reference.Call:
        """The oracle's reading of the keywords."""
        return reference.Call(self.rank, **self.kwargs)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """The output's shape, by the oracle's own arithmetic."""
        return self.call.y_shape(self.x_shape, self.w_shape)

    @property
    def transposable(self) -> bool:
        """Whether conv_transpose can express the adjoint: it has no input dilation."""
        b = self.kwargs.get("input_dilation", 1)
        return all(factor == 1 for factor in ([b] if isinstance(b, int) else b))

    @property
    def transpose_kwargs(self) -> dict[str, Any]:
        """The keywords of the conv_transpose that is this convolution's adjoint."""
        return {name: value for name, value in self.kwargs.items() if name != "input_dilation"}

    def __str__(self) -> str:
        return self.name


def _parse(table: str) -> Iterator[Case]:
    for line in table.strip().splitlines():
        name, i, k, keywords, nasty = (field.strip() for field in line.split("|"))
        yield make_case(name, nasty, _sizes(i), _sizes(k), **_keywords(keywords))


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(","))


def _keywords(text: str) -> dict[str, Any]:
    call = ast.parse(f"dict({text})", mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}


def make_case(
    name: str,
    nasty: str,
    i: tuple[int, ...],
    k: tuple[int, ...],
    *,
    n: int = 2,
    c: int = 2,
    f: int = 3,
    **kwargs: Any,
) -> Case:
    """A Case from spatial sizes and counts: `c` and `f` are the channels of one group."""
    call, groups = reference.Call(len(i), **kwargs), kwargs.get("groups", 1)
    x_shape = call.write("x", (n, *i, c * groups))
    w_shape = call.write("w", (*k, c, f * groups))
    return Case(name, nasty, x_shape, w_shape, kwargs)


def _same_cases() -> Iterator[Case]:
    """SAME and its lower twin: where the odd row of padding goes, for every parity."""
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
    """Every padding mode in one to three dimensions, where corners are copied twice or more."""
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
    *(case for table in TABLES for case in _parse(table)),
)
"""Every case above; names are unique."""
