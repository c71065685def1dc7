"""What is wrong with a call, and the calls that mend it: remedies, and sizes that fit."""

from __future__ import annotations

import re
from typing import Any

from jconv._core import geometry
from jconv._core.errors import ConvError, Remedy
from jconv._core.layout import spatial_names
from jconv._diagnosis.diagnose import Diagnosis, diagnose
from jconv._explore.edit import edit
from jconv._explore.limits import RefusedError
from jconv._explore.question import Question, read_address, write_address
from jconv._explore.whole import apply, in_symbols, resolved, size_at, solved_padding

Answer = dict[str, Any]
MOST_BUTTONS = 12  # sizes of one axis that are offered as buttons; more would not fit a line


def diagnosis_of(question: Question) -> Diagnosis:
    """What `jconv.diagnose` says of the call, whose sizes may be symbols.

    Raises:
        RefusedError: where a name and numbers stand side by side as padding, and sizes are symbols.
    """
    question = solved_padding(question)
    shapes = {n if n.endswith("_shape") else f"{n}_shape": s for n, s in question.shapes().items()}
    try:
        read, settings = in_symbols(question, **shapes)
        found = diagnose(op=question.op, **read, **settings)
        if found.ok:
            _check_dtype(question)
    except ConvError as error:
        return Diagnosis(False, error.argument, tuple(error.remedies), str(error))
    return found


def _check_dtype(question: Question) -> None:
    """Raise for a backprop of whole numbers, which `diagnose`, given shapes alone, does not see."""
    if question.dtype == "int8" and question.op in ("conv_input_grad", "conv_filter_grad"):
        raise ConvError(
            f"{question.op}: `g` is a cotangent and must hold floating-point numbers; it is int8.",
            argument="g",
            got="int8",
            expected="float32, or another floating-point dtype",
            remedies=[Remedy("g", "float32", "give both arrays the dtype float32")],
        )


def remedies_of(question: Question, found: Diagnosis) -> list[Answer]:
    """Each remedy with the address of the call that it makes; None where no address can hold it.

    Remedies that mend the call only together count as one remedy.
    """
    question = solved_padding(question)  # the form in which `diagnosis_of` looked at it
    mended = [apply(question, remedy) for remedy in found.remedies]
    texts = [remedy.text for remedy in found.remedies]
    if re.search(r"^ +and:", found.text, re.MULTILINE):
        both: Question | None = question
        for remedy in found.remedies:
            both = both and apply(both, remedy)
        mended, texts = [both], [" and ".join(texts)]
    return [
        {"text": text, "address": None if made is None else _address(made)}
        for text, made in zip(texts, mended, strict=True)
    ]


def _address(question: Question) -> str | None:
    """The address of a call; None where the page cannot plan it or read it back."""
    address = write_address(question)
    try:
        question.check()
        return address if write_address(read_address(address)) == address else None
    except RefusedError:
        return None


def consistent_sizes(question: Question, found: Diagnosis) -> list[Answer]:
    """For each axis the sizes that would fit the rest of the call, as buttons of the page.

    These are the sizes of x that the forward convolution takes to the same output; in a filter
    backprop the sizes of the filter that take x to g. For a call that is wrong, only axes whose
    size does not fit are listed, and no axis where other sizes alone do not mend the call.
    """
    if min((*question.stride, *question.dilation, *question.input_dilation)) < 1:
        return []
    sizes = _filters if question.op == "conv_filter_grad" else _inputs
    rows, mended = [], question
    for axis, name in enumerate(spatial_names(question.rank)):
        try:
            argument, field, now, choices = sizes(question, axis)
            if not 0 < len(choices) <= MOST_BUTTONS or (now in choices and not found.ok):
                continue
            changes = [{"field": field, "axis": axis, "value": str(size)} for size in choices]
            calls = {size: edit(question, c) for size, c in zip(choices, changes, strict=True)}
            mended = mended if found.ok else edit(mended, changes[0])
        except (RefusedError, TypeError):  # the size is a symbol, or the shape has no such axis
            continue
        buttons = [
            {"size": size, "address": write_address(call), "now": size == now}
            for size, call in calls.items()
        ]
        rows.append({"axis": name, "argument": argument, "buttons": buttons})
    return rows if rows and (found.ok or _is_right(mended)) else []


def _is_right(question: Question) -> bool:
    try:
        question.check()
        resolved(question)
    except (RefusedError, ConvError):
        return False
    return True


def _numbers(question: Question, axis: int, *names: str) -> list[int]:
    sizes = [size_at(question, name, axis) for name in names]
    if not all(isinstance(size, int) for size in sizes):
        raise RefusedError("A size is a symbol.")
    return sizes  # type: ignore[return-value]


def _inputs(question: Question, axis: int) -> tuple[str, str, Any, range]:
    s, d, b = question.stride[axis], question.dilation[axis], question.input_dilation[axis]
    rule = question.padding[axis]
    if question.op == "conv":
        i, k = _numbers(question, axis, "x", "w")
        o = geometry.resolve_axis(i, k, rule, s=s, b=b, d=d)[0]
        return "x", "x_size", i, geometry.input_sizes(o, k, rule, s=s, b=b, d=d)
    if question.op == "conv_input_grad":
        o, k = _numbers(question, axis, "g", "w")
        i = size_at(question, "x", axis)
        return "input_shape", "x_size", i, geometry.input_sizes(o, k, rule, s=s, b=b, d=d)
    o, k = _numbers(question, axis, "x", "w")
    choices = geometry.input_sizes(o, k, rule, s=s, b=1, d=d)
    try:
        made = resolved(question)
        now = made.out_shape[made.layout.spatial("x")[axis]]
    except ConvError:
        now = None
    return "y", "output", now, choices


def _filters(question: Question, axis: int) -> tuple[str, str, Any, range]:
    i, o, k = _numbers(question, axis, "x", "g", "w")
    factors = {"s": question.stride[axis], "d": question.dilation[axis]}
    b = question.input_dilation[axis]
    choices = geometry.filter_sizes(i, o, question.padding[axis], b=b, **factors)
    return "filter_shape", "kernel", k, choices
