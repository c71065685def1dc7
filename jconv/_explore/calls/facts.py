"""The numbers of one planned call, as every framework needs them, and helpers to write code."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jconv._core.geometry import is_static
from jconv._core.layout import Layout
from jconv._explore.question import ARRAYS, Question
from jconv._plan.plan import Plan

RESULT = {
    "conv": "y",
    "conv_transpose": "y",
    "conv_input_grad": "dx",
    "conv_filter_grad": "dw",
}
"""The name of the result in the code that is written for each operation."""


Pads = tuple[int, int]


class CannotSayError(ValueError):
    """A framework has no words for a call; the text says which are missing."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """One call in numbers; sizes and pads are those of the forward convolution.

    Attributes:
        op: the name of the operation.
        s, b, d, k: stride, input dilation, dilation and taps of each axis.
        i, o: rows of the forward convolution's input and output on each axis.
        pads: the low and high pad of each axis.
        rule: the name of the padding; None for numbers.
        modes: for each axis the padding modes of its low and high side; "zeros" where the side
            has no border.
        groups: the number of groups of channels.
        layout: where batch, axes and channels stand in the caller's arrays.
        x, w, g: full shapes in the caller's layout, g being that of the forward result.
        dtype: that of the arrays.
    """

    op: str
    s: tuple[int, ...]
    b: tuple[int, ...]
    d: tuple[int, ...]
    k: tuple[int, ...]
    i: tuple[int, ...]
    o: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    rule: str | None
    modes: tuple[tuple[str, str], ...]
    groups: int
    layout: Layout
    x: tuple[int, ...]
    w: tuple[int, ...]
    g: tuple[int, ...]
    dtype: str

    @property
    def rank(self) -> int:
        return len(self.s)

    @property
    def borders(self) -> dict[str, list[Pads]]:
        """For each mode but zeros, how many rows it puts at both ends of each axis.

        They are to be put on one mode after the other, circular first: it copies rows of the other
        end, and must not find another mode's border there.
        """
        found = {}
        for mode in sorted({mode for pair in self.modes for mode in pair} - {"zeros"}):
            found[mode] = [
                (low if below == mode else 0, high if above == mode else 0)
                for (low, high), (below, above) in zip(self.pads, self.modes, strict=True)
            ]
        return found

    @property
    def rest(self) -> list[Pads]:
        """The pads that no border of copies makes: zeros, or rows cut off where negative."""
        return [
            (low if below == "zeros" else 0, high if above == "zeros" else 0)
            for (low, high), (below, above) in zip(self.pads, self.modes, strict=True)
        ]

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the operation's two arrays."""
        return ARRAYS[self.op]

    @property
    def covers(self) -> tuple[int, ...]:
        """Rows that the dilated filter covers on each axis."""
        return tuple(d * (k - 1) + 1 if k else 0 for k, d in zip(self.k, self.d, strict=True))

    @property
    def full(self) -> tuple[int, ...]:
        """Rows that the filter's footprints make on each axis: s*(o-1) + K."""
        return tuple(
            s * (o - 1) + covered for s, o, covered in zip(self.s, self.o, self.covers, strict=True)
        )

    @property
    def extra(self) -> tuple[int, ...]:
        """The output_padding of a transposed convolution with these pads in numbers."""
        return tuple(
            i - (full - low - high)
            for i, full, (low, high) in zip(self.i, self.full, self.pads, strict=True)
        )

    def slot(self, array: str) -> str:
        """The role of an array or of the result in the forward convolution: x, w or y."""
        if array in ("g", "dx", "dw"):
            return {"g": "y", "dx": "x", "dw": "w"}[array]
        if self.op == "conv_transpose" and array != "w":
            return "y" if array == "x" else "x"
        return array

    def order(self, array: str, first: bool) -> tuple[int, ...]:
        """The permutation that takes an array to channels first, or to channels last."""
        slot = self.slot(array)
        order = getattr(self.layout, slot)
        if not first:
            return order
        return (order[-1], order[-2], *order[:-2]) if slot == "w" else (
            order[0], order[-1], *order[1:-1])  # fmt: skip

    def shape(self, array: str, first: bool) -> tuple[int, ...]:
        """The shape of an array, or of the result, in that order."""
        shape = {"x": self.x, "w": self.w, "y": self.g}[self.slot(array)]
        return tuple(shape[at] for at in self.order(array, first))


def facts_of(question: Question, plan: Plan) -> Facts:
    """The numbers of a planned call.

    Raises:
        CannotSayError: where a size is a symbol.
    """
    x, g = plan.x_shape, plan.y_shape
    if question.op == "conv_transpose":
        x, g = g, x
    pads = plan.padding
    axes = plan.problem.axes
    if not is_static(*x, *g, *plan.w_shape, *(size for pair in pads for size in pair)):
        raise CannotSayError("Its sizes are symbols: give them numbers to see it written out.")
    names = set(question.padding)
    modes = [(m, m) if isinstance(m, str) else m for m in question.padding_mode]
    rule = question.padding[0] if len(names) == 1 else None
    layout = plan.layout
    return Facts(
        op=question.op,
        s=question.stride,
        b=question.input_dilation,
        d=question.dilation,
        k=tuple(int(axis.k) for axis in axes),
        i=tuple(x[at] for at in layout.spatial("x")),
        o=tuple(g[at] for at in layout.spatial("y")),
        pads=pads,
        rule=rule if isinstance(rule, str) else None,
        modes=tuple(
            (below if low > 0 else "zeros", above if high > 0 else "zeros")
            for (low, high), (below, above) in zip(pads, modes, strict=True)
        ),
        groups=question.groups,
        layout=layout,
        x=x,
        w=plan.w_shape,
        g=g,
        dtype=question.dtype,
    )


# --- writing ------------------------------------------------------------------------------


def permuted(facts: Facts, array: str, transpose: str, first: bool) -> list[str]:
    """The line that transposes an array into a framework's order; none where it has it already."""
    order = facts.order(array, first)
    if order == tuple(range(len(order))):
        return []
    return [f"{array} = {transpose}({array}, {order})"]


def permuted_back(facts: Facts, transpose: str, first: bool) -> list[str]:
    """The line that transposes the result into the caller's order; none where it has it already."""
    name = RESULT[facts.op]
    order = facts.order(name, first)
    back = tuple(order.index(at) for at in range(len(order)))
    return [] if back == tuple(range(len(back))) else [f"{name} = {transpose}({name}, {back})"]


def call(function: str, *arrays: str, **keywords: object) -> str:
    """The text of a call; keywords whose value is None are left out."""
    given = [f"{name}={value!r}" for name, value in keywords.items() if value is not None]
    return f"{function}({', '.join((*arrays, *given))})"


def unless(values: Sequence[int], usual: int) -> int | tuple[int, ...] | None:
    """One number for all axes, or one for each; None where all of them are `usual`."""
    if all(value == usual for value in values):
        return None
    return values[0] if len(set(values)) == 1 else tuple(values)


def one_pad(pads: Sequence[Pads]) -> tuple[int, ...] | None:
    """For each axis the pad of both sides; None where the sides of an axis differ or one crops."""
    if any(low != high or low < 0 for low, high in pads):
        return None
    return tuple(low for low, _ in pads)


def refuse_copies(facts: Facts, what: str) -> None:
    """Raise where a side's border is neither of zeros nor of reflected rows."""
    if set(facts.borders) - {"reflect"}:
        raise CannotSayError(f"{what} has borders of zeros and of reflected rows alone.")


def refuse_empty(facts: Facts, who: str) -> None:
    """Raise where a side has no rows."""
    if 0 in (*facts.i, *facts.o, *facts.k):
        raise CannotSayError(f"{who} refuses arrays without rows.")


def refuse_dilated_input(facts: Facts, who: str) -> None:
    """Raise where the input is dilated."""
    if max(facts.b) > 1:
        raise CannotSayError(
            f"{who} has no input dilation: the zeros between rows of x must be put in before."
        )


def refuse_int8(facts: Facts, why: str) -> None:
    """Raise, saying why, where the arrays hold int8."""
    if facts.dtype == "int8":
        raise CannotSayError(why)


def refuse_rank(facts: Facts, who: str) -> None:
    """Raise for four spatial axes and more."""
    if facts.rank > 3:
        raise CannotSayError(f"{who} has convolutions of one to three spatial axes.")
