"""Hypothesis strategies for calls that must be refused, each labelled with its fault.

One argument of a valid call is broken. For some faults another argument may be to blame as well:
x of eight channels with a filter for four may be a wrong x, a wrong w or a forgotten `groups`. So
a call lists every argument that an error may name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from jconv._check.operations import OPERATIONS as RECORDS
from jconv.testing.cases.valid import configurations
from jconv.testing.oracle.case import Case, shapes_of
from jconv.testing.oracle.legs import OPERATIONS, argument_names

Shapes = dict[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Invalid:
    """A call that must be refused.

    Attributes:
        op: the operation.
        shapes: of the operands, by argument.
        kwargs: the keywords.
        argument: the one that was broken.
        done: what was done to it.
        blamable: the arguments that an error may name: `argument` first, then those that may as
            well be at fault.
    """

    op: str
    shapes: Shapes
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


@dataclasses.dataclass(frozen=True)
class _Call:
    """A valid call of `op` on `case`, whose shapes and keywords a fault changes in place."""

    op: str
    case: Case
    shapes: Shapes
    kwargs: dict[str, Any]
    draw: st.DrawFn


Change = Callable[[_Call], tuple[str, ...]]  # breaks the call and returns who may be blamed
Value = Callable[[_Call], Any]

# x as a fault's name is the array in slot x: not conv_transpose's argument x, which is in slot y.
_FAULTY_SLOTS = (("x", "x"), ("w", "w"), ("g", "y"))


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
    all_shapes = shapes_of(case)
    shapes = {name: all_shapes[slot] for slot, name in argument_names(op).items()}
    kwargs = case.transpose_kwargs if op == "conv_transpose" else dict(case.kwargs)
    kwargs.update({name: all_shapes[slot] for name, slot in record.told.items()})
    blamable = change(_Call(op, case, shapes, kwargs, draw))
    return Invalid(op, shapes, kwargs, argument, done, blamable)


# --- values of a keyword ---------------------------------------------------------------------


def _value(argument: str, make: Value) -> Change:
    """A keyword given another value."""

    def change(call: _Call) -> tuple[str, ...]:
        call.kwargs[argument] = make(call)
        return (argument,)

    return change


def _any_of(*values: Any) -> Value:
    return lambda call: call.draw(st.sampled_from(values))


def _one_axis_too_many(call: _Call) -> tuple[int, ...]:
    return (2,) * (call.case.rank + 1)


def _with_entry(bad: Any) -> Value:
    def make(call: _Call) -> tuple[Any, ...]:
        at = call.draw(st.integers(0, call.case.rank - 1))
        return tuple(bad if axis == at else 1 for axis in range(call.case.rank))

    return make


def _layout_of_another_rank(call: _Call) -> str:
    return "N" + "ABDEFG"[: call.case.rank + 1] + "C"


def _factor(argument: str) -> list[tuple[str, Change]]:
    return [
        ("zero or less", _value(argument, _any_of(0, -1, -3))),
        ("zero or less on one axis", _value(argument, _with_entry(0))),
        ("an entry for an axis that is not there", _value(argument, _one_axis_too_many)),
        ("not a whole number", _value(argument, _any_of(1.5, "2", None, [[1]]))),
    ]


def _told(argument: str) -> list[tuple[str, Change]]:
    """Faults of an argument that gives the result's shape."""

    def negative(call: _Call) -> tuple[int, ...]:
        shape = call.kwargs[argument]
        at = call.draw(st.integers(0, len(shape) - 1))
        return tuple(-n - 1 if d == at else n for d, n in enumerate(shape))

    return [
        ("one entry too many", _value(argument, lambda call: (*call.kwargs[argument], 1))),
        ("a negative size", _value(argument, negative)),
        ("not a shape", _value(argument, _any_of(7, "x", 2.0))),
    ]


# --- shapes of an array ----------------------------------------------------------------------


def _grown(shape: tuple[int, ...], at: int, more: int) -> tuple[int, ...]:
    return tuple(n + more if d == at else n for d, n in enumerate(shape))


def _channels(slot: str) -> Change:
    """A channel count that fits nothing."""

    def change(call: _Call) -> tuple[str, ...]:
        name = argument_names(call.op)[slot]
        at = call.case.call.orders()[slot][-2 if slot == "w" else -1]
        more = call.draw(st.integers(1, 3)) * 7
        call.shapes[name] = _grown(call.shapes[name], at, more)
        told = (keyword for keyword in call.kwargs if keyword.endswith("_shape"))
        others = (*call.shapes, "groups", "layout", *told)
        return (name, *(other for other in others if other != name))

    return change


def _axis_lost(slot: str) -> Change:
    def change(call: _Call) -> tuple[str, ...]:
        name = argument_names(call.op)[slot]
        call.shapes[name] = call.shapes[name][:-1]
        return (name, *(other for other in call.shapes if other != name))

    return change


def _batch(call: _Call) -> tuple[str, ...]:
    """A cotangent of another batch."""
    call.shapes["g"] = _grown(call.shapes["g"], call.case.call.orders()["y"][0], 5)
    return ("g", "x", "input_shape", "layout")


def _rows(call: _Call) -> tuple[str, ...]:
    """A cotangent of more rows than any setting explains."""
    call.shapes["g"] = _grown(call.shapes["g"], call.case.call.orders()["y"][1], 97)
    shapes = ("g", "x", "input_shape", "filter_shape")
    return (*shapes, "padding", "stride", "dilation", "input_dilation", "layout")


FAULTS: dict[str, list[tuple[str, Change]]] = {
    "stride": _factor("stride"),
    "dilation": _factor("dilation"),
    "input_dilation": _factor("input_dilation"),
    "groups": [("not a count", _value("groups", _any_of(0, -2, 1.5, None, "2", (1,))))],
    "padding": [
        ("not a rule", _value("padding", _any_of("SMAE", "FULL", ""))),
        ("not a whole number", _value("padding", _any_of(0.5, None))),
        ("an entry for an axis that is not there", _value("padding", _one_axis_too_many)),
        ("an entry that is not a pair", _value("padding", _with_entry((1, 2, 3)))),
    ],
    "padding_mode": [("not a mode", _value("padding_mode", _any_of("mirror", "zero", None, 0)))],
    "layout": [
        ("not a layout", _value("layout", _any_of("NXXC", "HWIO", "", 7))),
        ("of another rank", _value("layout", _layout_of_another_rank)),
        ("of two strings", _value("layout", _any_of(("NHWC", "HWIO")))),
    ],
    "precision": [("not a precision", _value("precision", _any_of("exactly", 7)))],
    "preferred_element_type": [
        ("not a dtype", _value("preferred_element_type", _any_of("float31"))),
        ("narrower than float32", _value("preferred_element_type", _any_of("bfloat16", "float16"))),
        ("of another kind", _value("preferred_element_type", _any_of("int32"))),
    ],
    "input_shape": _told("input_shape"),
    "filter_shape": _told("filter_shape"),
    "output_shape": _told("output_shape"),
    "output_padding": [
        ("above what a stride leaves", _value("output_padding", _any_of(1000))),
        ("not a whole number", _value("output_padding", _any_of(0.5, "1"))),
    ],
    "w": [("input channels that do not fit", _channels("w")), ("an axis lost", _axis_lost("w"))],
    "x": [("channels that do not fit", _channels("x")), ("an axis lost", _axis_lost("x"))],
    "g": [
        ("another batch", _batch),
        ("too many rows", _rows),
        ("an axis lost", _axis_lost("y")),
    ],
}  # fmt: skip
"""For each argument the faults that it may have, in words and as a change of the call."""
