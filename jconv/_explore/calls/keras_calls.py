"""The call in the words of keras.ops, which are the same on each backend of Keras."""

from __future__ import annotations

from collections.abc import Sequence

from jconv._explore.calls.facts import (
    CannotSayError,
    Facts,
    Pads,
    call,
    permuted,
    permuted_back,
    refuse_copies,
    refuse_dilated_input,
    refuse_empty,
    refuse_int8,
    refuse_rank,
    unless,
)

_TRANSPOSE = "keras.ops.transpose"


def keras_call(facts: Facts) -> str:
    """Lines of keras.ops that take and make arrays in the caller's own layout."""
    for refuse in (refuse_rank, refuse_dilated_input, refuse_empty):
        refuse(facts, "Keras")
    refuse_int8(facts, "Some backends of Keras have no convolution of int8.")
    if facts.op == "conv_filter_grad":
        raise CannotSayError("keras.ops has no backprops; take it from the backend's autodiff.")
    refuse_copies(facts, "keras.ops.pad, alike on every backend,")
    if facts.borders and facts.op != "conv":
        raise CannotSayError("keras.ops has no backprop of a border.")
    if max(facts.s) > 1 and max(facts.d) > 1:
        raise CannotSayError(
            "Keras refuses strides and dilation above 1 together on some backends."
        )
    lines = [line for array in facts.arrays for line in permuted(facts, array, _TRANSPOSE, False)]
    body = _forward(facts) if facts.op == "conv" else _transpose(facts)
    return "\n".join([*lines, *body, *permuted_back(facts, _TRANSPOSE, False)])


def _format(facts: Facts) -> dict[str, object]:
    return {
        "data_format": "channels_last",
        "dilation_rate": unless(facts.d, 1),
    }


def _put(x: str, ends: Sequence[Pads], mode: str = "") -> list[str]:
    """The line that puts rows at both ends of each axis; none where there are none to put."""
    if not any(map(any, ends)):
        return []
    how = mode and f", mode={mode!r}"
    return [f"{x} = keras.ops.pad({x}, {((0, 0), *ends, (0, 0))}{how})"]


def _rows(x: str, sizes: Sequence[int], ends: Sequence[Pads]) -> list[str]:
    """The lines that put zeros at both ends of each axis, or cut rows off for negative numbers."""
    lines = _put(x, [(max(low, 0), max(high, 0)) for low, high in ends])
    if min(min(pair) for pair in ends) < 0:
        slices = [
            f"{max(-low, 0)}:{size + max(low, 0) + max(high, 0) - max(-high, 0)}"
            for size, (low, high) in zip(sizes, ends, strict=True)
        ]
        lines.append(f"{x} = {x}[:, {', '.join(slices)}]")
    return lines


def _forward(facts: Facts) -> list[str]:
    named = not facts.borders and facts.rule in ("SAME", "VALID")
    lines = [] if named else _around(facts)
    padding = str(facts.rule).lower() if named else "valid"
    strides = unless(facts.s, 1)
    text = call("keras.ops.conv", "x", "w", strides=strides, padding=padding, **_format(facts))
    return [*lines, f"y = {text}"]


def _around(facts: Facts) -> list[str]:
    """The lines that put the border around x, or crop it."""
    lines, sizes = [], list(facts.i)
    for mode, border in facts.borders.items():
        lines += _put("x", border, mode)
        sizes = [size + sum(pair) for size, pair in zip(sizes, border, strict=True)]
    return [*lines, *_rows("x", sizes, facts.rest)]


def _transpose(facts: Facts) -> list[str]:
    """The transposed convolution without padding, and the slice of it that is the result."""
    if facts.groups > 1:
        raise CannotSayError("keras.ops.conv_transpose takes no groups.")
    result, array = ("y", "x") if facts.op == "conv_transpose" else ("dx", "g")
    strides = unless(facts.s, 1)
    text = call(
        "keras.ops.conv_transpose",
        array,
        "w",
        strides=strides,
        padding="valid",
        output_padding=0,
        **_format(facts),
    )
    ends = [
        (-low, low + i - full)
        for (low, _), i, full in zip(facts.pads, facts.i, facts.full, strict=True)
    ]
    return [f"{result} = {text}", *_rows(result, facts.full, ends)]
