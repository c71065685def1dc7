"""The call in jconv's words, and in lax's."""

from __future__ import annotations

from typing import Any

from jconv._explore.calls.facts import RESULT, CannotSayError, Facts, call
from jconv._explore.question import ARRAYS, Question

_MODES = {"reflect": "reflect", "edge": "edge", "circular": "wrap"}


def jconv_call(question: Question) -> str:
    """The call itself, as a user of jconv writes it."""
    told = {name: size for name, size in question.shapes().items() if name.endswith("_shape")}
    arrays = ARRAYS[question.op]
    return f"{RESULT[question.op]} = " + call(
        f"jconv.{question.op}", *arrays, **told, **question.settings()
    )


def lax_call(facts: Facts) -> str:
    """The call by jax.lax; a backprop as the transpose of the convolution, which is linear."""
    if facts.op == "conv":
        return "\n".join([*_border(facts), f"y = {_conv(facts)}"])
    plain = facts.groups == 1 and facts.mode == "zeros" and min((*facts.o, *facts.k)) > 0
    if facts.op == "conv_transpose" and plain:
        return f"y = {_transpose(facts)}"
    variable = "w" if facts.op == "conv_filter_grad" else "x"
    cotangent = "x" if facts.op == "conv_transpose" else "g"
    shape = facts.w if variable == "w" else facts.x
    # In a transposed convolution the name x is that of the cotangent, and a border that is put
    # around x inside of the function makes x a name of the function's own.
    inner = "z" if facts.op == "conv_transpose" else variable
    x = inner if variable == "x" else "padded" if facts.mode != "zeros" else "x"
    body = ["padded = x"] if x == "padded" else []
    body += [*_border(facts, x), f"return {_conv(facts, x)}"]
    lines = [f"def conv({inner}):", *(f"    {line}" for line in body), ""]
    like = f"jax.ShapeDtypeStruct({shape}, {cotangent}.dtype)"
    result = RESULT[facts.op]
    lines += [f"({result},) = jax.linear_transpose(conv, {like})({cotangent})"]
    return "\n".join(lines)


def _border(facts: Facts, x: str = "x") -> list[str]:
    """The line that puts a border of copies around x."""
    if facts.mode == "zeros":
        return []
    if facts.mode is None:
        raise CannotSayError(
            "jnp.pad puts the same kind of border on every axis; here they differ."
        )
    pairs: list[tuple[int, int]] = [(0, 0)] * (facts.rank + 2)
    for at, (low, high) in zip(facts.layout.spatial("x"), facts.pads, strict=True):
        pairs[at] = (max(low, 0), max(high, 0))
    return [f"{x} = jnp.pad({x}, {pairs}, mode={_MODES[facts.mode]!r})"]


def _conv(facts: Facts, x: str = "x") -> str:
    padding: Any = list(facts.pads)
    if facts.mode != "zeros":
        padding = [(min(low, 0), min(high, 0)) for low, high in facts.pads]
    elif facts.rule in ("SAME", "SAME_LOWER", "VALID") and max(facts.b) == 1:
        padding = facts.rule
    return call(
        "lax.conv_general_dilated",
        x,
        "w",
        window_strides=facts.s,
        padding=padding,
        lhs_dilation=facts.b if max(facts.b) > 1 else None,
        rhs_dilation=facts.d if max(facts.d) > 1 else None,
        dimension_numbers=facts.layout.names,
        feature_group_count=facts.groups if facts.groups > 1 else None,
    )


def _transpose(facts: Facts) -> str:
    lhs, rhs, out = facts.layout.names
    pads = [
        (covered - 1 - low, covered - 1 - high + extra)
        for covered, (low, high), extra in zip(facts.covers, facts.pads, facts.extra, strict=True)
    ]
    return call(
        "lax.conv_transpose",
        "x",
        "w",
        strides=facts.s,
        padding=pads,
        rhs_dilation=facts.d if max(facts.d) > 1 else None,
        dimension_numbers=(out, rhs, lhs),
        transpose_kernel=True,
    )
