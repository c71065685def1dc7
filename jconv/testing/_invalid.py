"""Hypothesis strategies for calls that are invalid, each labelled with its fault.

One argument of a valid call is broken. Some faults cannot be told from another one's: x of eight
channels under a filter of four may be a wrong x, a wrong w or a forgotten `groups`. Such a call
names all arguments to which it may be put down.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from jconv.testing._cases import Case
from jconv.testing._questions import OPERATIONS, RECORDS
from jconv.testing._report import symbols
from jconv.testing._valid import configurations


@dataclasses.dataclass(frozen=True)
class Invalid:
    """A call that must be refused.

    Attributes:
        op: the operation.
        shapes: of the operands, by argument.
        kwargs: the keywords.
        argument: the one that was broken.
        done: what was done to it.
        blamable: the arguments that an error may name: this one, and those whose fault it may be
            as well.
    """

    op: str
    shapes: dict[str, tuple[int, ...]]
    kwargs: dict[str, Any]
    argument: str
    done: str
    blamable: tuple[str, ...]


def invalid(*, ops: tuple[str, ...] = OPERATIONS) -> st.SearchStrategy[Invalid]:
    """Calls of jconv's operations with one argument broken.

    Args:
        ops: the operations to choose from.

    Returns:
        A strategy of `Invalid`.

    Examples:
        >>> from jconv.testing import strategies
        >>> broken = strategies.invalid(ops=("conv",))
    """
    return st.sampled_from(list(ops)).flatmap(_broken)


@st.composite
def _broken(draw: st.DrawFn, op: str) -> Invalid:
    case = draw(configurations(input_dilation=op != "conv_transpose", empty=False))
    record = RECORDS[op]
    names = [
        name
        for name in FAULTS
        if name in record.keywords or (name, record.arrays.get(name)) in _FAULTY_SLOTS
    ]
    argument, done, change = draw(
        st.sampled_from([(n, *fault) for n in names for fault in FAULTS[n]])
    )
    shapes, kwargs = _valid_call(op, case)
    blamable = change(op, case, shapes, kwargs, draw)
    return Invalid(op, shapes, kwargs, blamable[0] or argument, done, tuple(filter(None, blamable)))


# The slot that a fault of an array is about: conv_transpose has a y that it calls x.
_FAULTY_SLOTS = (("x", "x"), ("w", "w"), ("g", "y"))


def _valid_call(op: str, case: Case) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    all_shapes = {"x": case.x_shape, "w": case.w_shape, "y": case.y_shape}
    shapes = {name: all_shapes[slot] for slot, name in symbols(op).items()}
    kwargs = case.transpose_kwargs if op == "conv_transpose" else dict(case.kwargs)
    kwargs.update({name: all_shapes[slot] for name, slot in RECORDS[op].told.items()})
    return shapes, kwargs


Change = Callable[
    [str, Case, dict[str, tuple[int, ...]], dict[str, Any], st.DrawFn], tuple[str, ...]
]


def _value(argument: str, make: Callable[[Case, st.DrawFn], Any]) -> Change:
    """A keyword given another value."""

    def change(
        op: str, case: Case, shapes: Any, kwargs: dict[str, Any], draw: st.DrawFn
    ) -> tuple[str, ...]:
        kwargs[argument] = make(case, draw)
        return (argument,)

    return change


def _one_axis_too_many(case: Case, draw: st.DrawFn) -> Any:
    return (2,) * (case.rank + 1)


def _with_entry(bad: Any) -> Callable[[Case, st.DrawFn], Any]:
    def make(case: Case, draw: st.DrawFn) -> Any:
        at = draw(st.integers(0, case.rank - 1))
        return tuple(bad if axis == at else 1 for axis in range(case.rank))

    return make


def _just(*values: Any) -> Callable[[Case, st.DrawFn], Any]:
    return lambda case, draw: draw(st.sampled_from(values))


def _layout_of_another_rank(case: Case, draw: st.DrawFn) -> str:
    return "N" + "ABDEFG"[: case.rank + 1] + "C"


def _factor(argument: str) -> list[tuple[str, Change]]:
    return [
        ("zero or less", _value(argument, _just(0, -1, -3))),
        ("zero or less on one axis", _value(argument, _with_entry(0))),
        ("an entry for an axis that is not there", _value(argument, _one_axis_too_many)),
        ("not a whole number", _value(argument, _just(1.5, "2", None, [[1]]))),
    ]


def _told(argument: str) -> list[tuple[str, Change]]:
    def longer(
        op: str, case: Case, shapes: Any, kwargs: dict[str, Any], draw: st.DrawFn
    ) -> tuple[str, ...]:
        kwargs[argument] = (*kwargs[argument], 1)
        return (argument,)

    def negative(
        op: str, case: Case, shapes: Any, kwargs: dict[str, Any], draw: st.DrawFn
    ) -> tuple[str, ...]:
        at = draw(st.integers(0, len(kwargs[argument]) - 1))
        kwargs[argument] = tuple(-n - 1 if d == at else n for d, n in enumerate(kwargs[argument]))
        return (argument,)

    return [
        ("one entry too many", longer),
        ("a negative size", negative),
        ("not a shape", _value(argument, _just(7, "x", 2.0))),
    ]


def _size(slot: str) -> Change:
    """A channel count that fits nothing."""

    def change(
        op: str, case: Case, shapes: Any, kwargs: dict[str, Any], draw: st.DrawFn
    ) -> tuple[str, ...]:
        name = symbols(op)[slot]
        at = case.call.orders()[slot][-2 if slot == "w" else -1]
        more = draw(st.integers(1, 3)) * 7
        shapes[name] = tuple(n + more if d == at else n for d, n in enumerate(shapes[name]))
        others = (*shapes, "groups", "layout", *(n for n in kwargs if n.endswith("_shape")))
        return (name, *(other for other in others if other != name))

    return change


def _axis_lost(slot: str) -> Change:
    def change(
        op: str, case: Case, shapes: Any, kwargs: dict[str, Any], draw: st.DrawFn
    ) -> tuple[str, ...]:
        name = symbols(op)[slot]
        shapes[name] = shapes[name][:-1]
        return (name, *(other for other in shapes if other != name))

    return change


def _batch(
    op: str, case: Case, shapes: Any, kwargs: dict[str, Any], draw: st.DrawFn
) -> tuple[str, ...]:
    """A cotangent of another batch."""
    at = case.call.orders()["y"][0]
    shapes["g"] = tuple(n + 5 if d == at else n for d, n in enumerate(shapes["g"]))
    return ("g", "x", "input_shape", "layout")


def _rows(
    op: str, case: Case, shapes: Any, kwargs: dict[str, Any], draw: st.DrawFn
) -> tuple[str, ...]:
    """A cotangent of more rows than any setting explains: it, or what it should fit to."""
    at = case.call.orders()["y"][1]
    shapes["g"] = tuple(n + 97 if d == at else n for d, n in enumerate(shapes["g"]))
    return (
        "g",
        "x",
        "input_shape",
        "filter_shape",
        "padding",
        "stride",
        "dilation",
        "input_dilation",
        "layout",
    )


FAULTS: dict[str, list[tuple[str, Change]]] = {
    "stride": _factor("stride"),
    "dilation": _factor("dilation"),
    "input_dilation": _factor("input_dilation"),
    "groups": [("no count", _value("groups", _just(0, -2, 1.5, None, "2", (1,))))],
    "padding": [
        ("no rule", _value("padding", _just("SMAE", "FULL", ""))),
        ("not a whole number", _value("padding", _just(0.5, None))),
        ("an entry for an axis that is not there", _value("padding", _one_axis_too_many)),
        ("an entry that is no pair", _value("padding", _with_entry((1, 2, 3)))),
    ],
    "padding_mode": [("no mode", _value("padding_mode", _just("mirror", "zero", None, 0)))],
    "layout": [
        ("no layout", _value("layout", _just("NXXC", "HWIO", "", 7))),
        ("of another rank", _value("layout", _layout_of_another_rank)),
        ("of two strings", _value("layout", _just(("NHWC", "HWIO")))),
    ],
    "precision": [("no precision", _value("precision", _just("exactly", 7)))],
    "preferred_element_type": [
        ("no dtype", _value("preferred_element_type", _just("float31"))),
        ("narrower than float32", _value("preferred_element_type", _just("bfloat16", "float16"))),
        ("of another kind", _value("preferred_element_type", _just("int32"))),
    ],
    "input_shape": _told("input_shape"),
    "filter_shape": _told("filter_shape"),
    "output_shape": _told("output_shape"),
    "output_padding": [
        ("above what a stride leaves", _value("output_padding", _just(1000))),
        ("not a whole number", _value("output_padding", _just(0.5, "1"))),
    ],
    "w": [("input channels that do not fit", _size("w")), ("an axis lost", _axis_lost("w"))],
    "x": [("channels that do not fit", _size("x")), ("an axis lost", _axis_lost("x"))],
    "g": [
        ("another batch", _batch),
        ("too many rows", _rows),
        ("an axis lost", _axis_lost("y")),
    ],
}  # fmt: skip
"""By argument: what may be done to it, in words and as a change of the call."""
