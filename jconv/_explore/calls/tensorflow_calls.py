"""The call in TensorFlow's words: channels last, names for the padding, numbers on two axes."""

from __future__ import annotations

from typing import Any

from jconv._explore.calls.facts import (
    CannotSayError,
    Facts,
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

_TRANSPOSE = "tf.transpose"


def tensorflow_call(facts: Facts) -> str:
    """Lines of TensorFlow that take and make arrays in the caller's own layout."""
    for refuse in (refuse_rank, refuse_dilated_input, refuse_empty):
        refuse(facts, "TensorFlow")
    refuse_int8(facts, "tf.nn's convolutions take no int8.")
    refuse_copies(facts, "tf.pad")
    if facts.borders and facts.op != "conv":
        raise CannotSayError("tf.nn has no backprop of a border; take it from a tf.GradientTape.")
    lines = [line for array in facts.arrays for line in permuted(facts, array, _TRANSPOSE, False)]
    body = {
        "conv": _forward,
        "conv_input_grad": lambda facts: _transpose(facts, "dx", "g"),
        "conv_filter_grad": _filter_grad,
        "conv_transpose": lambda facts: _transpose(facts, "y", "x"),
    }[facts.op](facts)
    return "\n".join([*lines, *body, *permuted_back(facts, _TRANSPOSE, False)])


def _named(facts: Facts) -> Any:
    """The padding as conv2d takes it; None where it must be put around x first."""
    if not facts.borders and facts.rule in ("SAME", "VALID"):
        return facts.rule
    if all(pair == (0, 0) for pair in facts.pads):
        return "VALID"
    numbers = facts.rank == 2 and not facts.borders
    if numbers and min(min(pair) for pair in facts.pads) >= 0:
        return [[0, 0], *(list(pair) for pair in facts.pads), [0, 0]]
    return None


def _around(facts: Facts) -> list[str]:
    """The lines that put the border around x, or crop it."""
    lines = []
    zeros = [(max(low, 0), max(high, 0)) for low, high in facts.rest]
    for mode, border in {**facts.borders, "": zeros}.items():
        if any(map(any, border)):
            how = mode and f", mode={mode.upper()!r}"
            lines.append(f"x = tf.pad(x, {[[0, 0], *map(list, border), [0, 0]]}{how})")
    if min(min(pair) for pair in facts.pads) < 0:
        rows = []
        for i, (low, high) in zip(facts.i, facts.pads, strict=True):
            size = i + max(low, 0) + max(high, 0)
            rows.append(f"{max(-low, 0)}:{size - max(-high, 0)}")
        lines.append(f"x = x[:, {', '.join(rows)}]")
    return lines


def _forward(facts: Facts) -> list[str]:
    padding = _named(facts)
    lines = [] if padding is not None else _around(facts)
    function = f"tf.nn.conv{facts.rank}d"
    how = {"strides" if facts.rank > 1 else "stride": unless(facts.s, 1) or 1}
    dilations = unless(facts.d, 1)
    if facts.rank == 3:
        how = {"strides": [1, *facts.s, 1]}
        dilations = dilations and [1, *facts.d, 1]
    text = call(function, "x", "w", **how, padding=padding or "VALID", dilations=dilations)
    return [*lines, f"y = {text}"]


def _transpose(facts: Facts, result: str, array: str) -> list[str]:
    if facts.groups > 1:
        raise CannotSayError("tf.nn's transposed convolutions take no groups.")
    padding, shape = _named(facts), list(facts.shape(result, False))
    lines: list[str] = []
    if padding is None:
        if min(min(pair) for pair in facts.pads) < 0:
            raise CannotSayError("TensorFlow's transposed convolutions take no negative padding.")
        rows = []
        for at, (i, (low, high)) in enumerate(zip(facts.i, facts.pads, strict=True), start=1):
            shape[at] = i + low + high
            rows.append(f"{low}:{low + i}")
        lines = [f"{result} = {result}[:, {', '.join(rows)}]"]
    each = facts.rank == 3
    text = call(
        f"tf.nn.conv{facts.rank}d_transpose",
        array,
        "w",
        output_shape=shape,
        strides=[1, *facts.s, 1] if each else unless(facts.s, 1) or 1,
        padding=padding or "VALID",
        dilations=unless(facts.d, 1) and ([1, *facts.d, 1] if each else unless(facts.d, 1)),
    )
    return [f"{result} = {text}", *lines]


def _filter_grad(facts: Facts) -> list[str]:
    if facts.rank == 1:
        raise CannotSayError("TensorFlow has filter backprops of two and three axes alone.")
    if facts.groups > 1:
        raise CannotSayError("tf.raw_ops' filter backprops take no groups.")
    padding = _named(facts)
    lines = [] if padding is not None else _around(facts)
    explicit = None
    if isinstance(padding, list):
        padding, explicit = "EXPLICIT", [side for pair in padding for side in pair]
    text = call(
        "tf.raw_ops." + ("Conv2DBackpropFilter" if facts.rank == 2 else "Conv3DBackpropFilterV2"),
        "input=x",
        filter_sizes=list(facts.shape("dw", False)),
        strides=[1, *facts.s, 1],
        padding=padding or "VALID",
        explicit_paddings=explicit,
        dilations=[1, *facts.d, 1] if max(facts.d) > 1 else None,
    )
    return [*lines, f"dw = {text[:-1]}, out_backprop=g)"]
