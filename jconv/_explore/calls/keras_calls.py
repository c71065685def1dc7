"""The call in the words of keras.ops, which are the same on each backend of Keras."""

from __future__ import annotations

from jconv._explore.calls.facts import (
    CannotSayError,
    Facts,
    call,
    permuted,
    permuted_back,
    refuse_dilated_input,
    refuse_empty,
    refuse_rank,
    unless,
)

_TRANSPOSE = "keras.ops.transpose"


def keras_call(facts: Facts) -> str:
    """Lines of keras.ops that take and make arrays in the caller's own layout."""
    for refuse in (refuse_rank, refuse_dilated_input, refuse_empty):
        refuse(facts, "Keras")
    if facts.op == "conv_filter_grad":
        raise CannotSayError("keras.ops has no backprops; take it from the backend's autodiff.")
    if facts.mode not in ("zeros", "reflect"):
        raise CannotSayError(
            "keras.ops.pad has borders of zeros and of reflected rows, alike on all axes."
        )
    if facts.mode != "zeros" and facts.op != "conv":
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


def _rows(x: str, sizes: tuple[int, ...], ends: list[tuple[int, int]], mode: str) -> list[str]:
    """The lines that lengthen both ends of each axis, negative numbers cutting."""
    lines, longer = [], [(max(low, 0), max(high, 0)) for low, high in ends]
    if any(map(any, longer)):
        how = "" if mode == "zeros" else f", mode={mode!r}"
        lines.append(f"{x} = keras.ops.pad({x}, {((0, 0), *longer, (0, 0))}{how})")
    if min(min(pair) for pair in ends) < 0:
        slices = [
            f"{max(-low, 0)}:{size + max(low, 0) + max(high, 0) - max(-high, 0)}"
            for size, (low, high) in zip(sizes, ends, strict=True)
        ]
        lines.append(f"{x} = {x}[:, {', '.join(slices)}]")
    return lines


def _forward(facts: Facts) -> list[str]:
    named = facts.mode == "zeros" and facts.rule in ("SAME", "VALID")
    lines = [] if named else _rows("x", facts.i, list(facts.pads), str(facts.mode))
    padding = str(facts.rule).lower() if named else "valid"
    strides = unless(facts.s, 1)
    text = call("keras.ops.conv", "x", "w", strides=strides, padding=padding, **_format(facts))
    return [*lines, f"y = {text}"]


def _transpose(facts: Facts) -> list[str]:
    """The full sum of the footprints, and of it the rows that the result has."""
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
    return [f"{result} = {text}", *_rows(result, facts.full, ends, "zeros")]
