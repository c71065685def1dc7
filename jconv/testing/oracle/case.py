"""One configuration of a convolution, and what follows from it: its sizes, axes and settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jconv.testing.oracle import reference


@dataclasses.dataclass(frozen=True)
class Case:
    """One configuration: a readable name, what is nasty about it, and the arguments.

    Attributes:
        name: fit for a pytest id.
        nasty: what is nasty about it, in words.
        x_shape: the input's shape, in the layout of `kwargs`.
        w_shape: the filter's shape, in the layout of `kwargs`.
        kwargs: the keywords of `conv`. The backprops take them too, beside `input_shape` or
            `filter_shape`.

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
        return all(factor == 1 for factor in per_axis(self, "input_dilation"))

    @property
    def transpose_kwargs(self) -> dict[str, Any]:
        """The keywords of the conv_transpose that is this convolution's adjoint."""
        return {name: value for name, value in self.kwargs.items() if name != "input_dilation"}

    def __str__(self) -> str:
        return self.name


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
    """A Case from spatial sizes, batch and channels: `c` and `f` are the channels of one group."""
    call, groups = reference.Call(len(i), **kwargs), kwargs.get("groups", 1)
    x_shape = call.write("x", (n, *i, c * groups))
    w_shape = call.write("w", (*k, c, f * groups))
    return Case(name, nasty, x_shape, w_shape, kwargs)


def shapes_of(case: Case) -> dict[str, tuple[int, ...]]:
    """The shapes of x, w and y, by slot."""
    return {slot: getattr(case, f"{slot}_shape") for slot in "xwy"}


def rows_of(case: Case, slot: str) -> tuple[int, ...]:
    """The spatial sizes of x, w or y, in the order of the filter's axes."""
    shape = case.call.read(slot, getattr(case, f"{slot}_shape"))
    return shape[:-2] if slot == "w" else shape[1:-1]


def axes_of(case: Case) -> list[reference.Axis]:
    """The index equation of each spatial axis."""
    return case.call.axes(rows_of(case, "x"), rows_of(case, "w"))


def per_axis(case: Case, setting: str) -> tuple[int, ...]:
    """A stride or a dilation as one entry for each spatial axis."""
    value = case.kwargs.get(setting, 1)
    return (value,) * case.rank if isinstance(value, int) else tuple(value)


def is_valid(case: Case) -> bool:
    """Whether x has as many rows as the padding mode copies; where not, y has no shape."""
    try:
        return len(case.y_shape) > 0
    except ValueError:
        return False


def with_rows(case: Case, rows: Sequence[int]) -> Case:
    """The same case with other spatial sizes of x."""
    n, *_, channels = case.call.read("x", case.x_shape)
    return dataclasses.replace(case, x_shape=case.call.write("x", (n, *rows, channels)))


def transposed_rows(case: Case, output_padding: int | None = None) -> list[int]:
    """The spatial sizes that conv_transpose makes of y when it is given no output_shape."""
    kernel = rows_of(case, "w")
    return reference.transposed_sizes(case.call, rows_of(case, "y"), kernel, output_padding)


def output_padding_of(case: Case) -> tuple[int, ...]:
    """The output_padding with which conv_transpose gives this case's x."""
    smallest = transposed_rows(case, 0)
    return tuple(size - low for size, low in zip(rows_of(case, "x"), smallest, strict=True))


def remainder(axis: reference.Axis) -> int:
    """How many rows at the end of the padded input no window reaches."""
    rows = axis.b * (axis.i - 1) + 1 if axis.i else 0
    window = axis.d * (axis.k - 1) + 1 if axis.k else 0
    return max(rows + axis.p0 + axis.p1 - window, 0) % axis.s
