"""The call in jconv's words, and in lax's."""

from __future__ import annotations

from typing import Any

from jconv._explore.calls.facts import RESULT, Facts, call, refuse_int8
from jconv._explore.question import ARRAYS, Question

_MODES = {"reflect": "reflect", "edge": "edge", "circular": "wrap"}


def jconv_call(question: Question) -> str:
    """The call itself, as a user of jconv writes it."""
    told = {name: size for name, size in question.shapes().items() if name.endswith("_shape")}
    given = told | question.settings()
    for name in {"input_shape", "filter_shape", "output_shape"} & set(given):
        given[name] = tuple(_Bare(v) if isinstance(v, str) else v for v in given[name])
    return f"{RESULT[question.op]} = " + call(f"jconv.{question.op}", *ARRAYS[question.op], **given)


class _Bare(str):
    """A symbolic size, written without quotes: the caller has a variable of that name."""

    def __repr__(self) -> str:
        return str(self)


def lax_call(facts: Facts) -> str:
    """The call by jax.lax; a backprop as the transpose of the convolution, which is linear."""
    if facts.op == "conv":
        return "\n".join([*_border(facts), f"y = {_conv(facts)}"])
    plain = facts.groups == 1 and not facts.borders and min((*facts.o, *facts.k)) > 0
    if facts.op == "conv_transpose" and plain:
        return f"y = {_transpose(facts)}"
    refuse_int8(facts, "jax.linear_transpose takes functions of floating-point numbers alone.")
    variable = "w" if facts.op == "conv_filter_grad" else "x"
    cotangent = "x" if facts.op == "conv_transpose" else "g"
    shape = facts.w if variable == "w" else facts.x
    # Names in the code: the input of a transposed convolution is called x already, so the
    # function's own argument is z. A border assigns to x inside of the function, which would make
    # x local to it, so the array with its border is called padded.
    inner = "z" if facts.op == "conv_transpose" else variable
    x = inner if variable == "x" else "padded" if facts.borders else "x"
    body = ["padded = x"] if x == "padded" else []
    body += [*_border(facts, x), f"return {_conv(facts, x)}"]
    lines = [f"def conv({inner}):", *(f"    {line}" for line in body), ""]
    like = f"jax.ShapeDtypeStruct({shape}, {cotangent}.dtype)"
    result = RESULT[facts.op]
    lines += [f"({result},) = jax.linear_transpose(conv, {like})({cotangent})"]
    return "\n".join(lines)


def _border(facts: Facts, x: str = "x") -> list[str]:
    """The lines that put a border of copies around x, one for each kind of copies."""
    lines = []
    for mode, sides in facts.borders.items():
        pairs: list[tuple[int, int]] = [(0, 0)] * (facts.rank + 2)
        for at, pair in zip(facts.layout.spatial("x"), sides, strict=True):
            pairs[at] = pair
        lines.append(f"{x} = jnp.pad({x}, {pairs}, mode={_MODES[mode]!r})")
    return lines


def _conv(facts: Facts, x: str = "x") -> str:
    named = facts.rule in ("SAME", "SAME_LOWER", "VALID") and max(facts.b) == 1
    padding: Any = facts.rule if named and not facts.borders else facts.rest
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
