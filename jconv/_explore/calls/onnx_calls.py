"""The call as ONNX nodes: channels first, pads in numbers, no backprop of the filter."""

from __future__ import annotations

from collections.abc import Sequence

from jconv._explore.calls.facts import (
    RESULT,
    CannotSayError,
    Facts,
    Pads,
    refuse_empty,
    refuse_int8,
)

_END = 2**31 - 1  # an index behind every row: Slice stops at the end
_MODES = {"reflect": "reflect", "edge": "edge", "circular": "wrap"}


def onnx_call(facts: Facts) -> str:
    """A list of nodes that take and make arrays in the caller's own layout."""
    refuse_empty(facts, "ONNX")
    refuse_int8(facts, "ONNX's Conv and ConvTranspose take no int8.")
    if max(facts.b) > 1:
        raise CannotSayError("ONNX's Conv has no input dilation.")
    if facts.op == "conv_filter_grad":
        raise CannotSayError("ONNX has no operator for a filter backprop.")
    if facts.borders and facts.op != "conv":
        raise CannotSayError("ONNX has no backprop of a border.")
    nodes: list[str] = []
    names = {name: _first(facts, name, nodes) for name in facts.arrays}
    result = RESULT[facts.op]
    order = facts.order(result, True)
    turned = order != tuple(range(len(order)))
    out = f"{result}_first" if turned else result
    if facts.op == "conv":
        _conv(facts, names, out, nodes)
    else:
        _transpose(facts, names, out, nodes)
    if turned:
        back = [order.index(at) for at in range(len(order))]
        nodes.append(_node("Transpose", [out], [result], perm=back))
    return "\n".join(["nodes = [", *(f"    {node}," for node in nodes), "]"])


def _node(kind: str, inputs: list[str], outputs: list[str], **attributes: object) -> str:
    given = "".join(f", {name}={v!r}" for name, v in attributes.items() if v is not None)
    return f'onnx.helper.make_node("{kind}", {inputs}, {outputs}{given})'


def _first(facts: Facts, name: str, nodes: list[str]) -> str:
    """The name of an array with its channels first; a node that makes it is added to `nodes`."""
    order = facts.order(name, True)
    if order == tuple(range(len(order))):
        return name
    nodes.append(_node("Transpose", [name], [f"{name}_first"], perm=list(order)))
    return f"{name}_first"


def _attributes(facts: Facts) -> dict[str, object]:
    return {
        "strides": list(facts.s) if max(facts.s) > 1 else None,
        "dilations": list(facts.d) if max(facts.d) > 1 else None,
        "group": facts.groups if facts.groups > 1 else None,
    }


def _put(x: str, ends: Sequence[Pads], mode: str, nodes: list[str]) -> str:
    """The name of x with rows put at both ends of each axis; the mode "" puts zeros."""
    if not any(map(any, ends)):
        return x
    # ONNX's order: all low ends, then all high ones.
    sides = [0, 0, *(low for low, _ in ends), 0, 0, *(high for _, high in ends)]
    out = f"{x}_{mode or 'padded'}"
    nodes.append(_node("Constant", [], [f"{out}_sides"], value_ints=sides))
    nodes.append(_node("Pad", [x, f"{out}_sides"], [out], mode=_MODES.get(mode)))
    return out


def _lengthened(x: str, ends: Sequence[Pads], nodes: list[str]) -> str:
    """The name of x with zeros at both ends of each axis, or rows cut off for negative numbers."""
    x = _put(x, [(max(low, 0), max(high, 0)) for low, high in ends], "", nodes)
    if min(min(pair) for pair in ends) < 0:
        starts = [max(-low, 0) for low, _ in ends]
        stops = [high if high < 0 else _END for _, high in ends]
        axes = list(range(2, 2 + len(ends)))
        named = {"starts": starts, "ends": stops, "axes": axes}
        for name, numbers in named.items():
            nodes.append(_node("Constant", [], [f"{x}_{name}"], value_ints=numbers))
        nodes.append(_node("Slice", [x, *(f"{x}_{name}" for name in named)], [f"{x}_cut"]))
        x = f"{x}_cut"
    return x


def _conv(facts: Facts, names: dict[str, str], out: str, nodes: list[str]) -> None:
    x, pads = names["x"], facts.rest
    for mode, border in facts.borders.items():
        x = _put(x, border, mode, nodes)
    if min(min(pair) for pair in pads) < 0:
        x = _lengthened(x, pads, nodes)
        pads = [(0, 0)] * facts.rank
    sides = [low for low, _ in pads] + [high for _, high in pads]
    given = {"pads": sides if any(sides) else None, **_attributes(facts)}
    nodes.append(_node("Conv", [x, names["w"]], [out], **given))


def _transpose(facts: Facts, names: dict[str, str], out: str, nodes: list[str]) -> None:
    array = names["x" if facts.op == "conv_transpose" else "g"]
    sides = [low for low, _ in facts.pads] + [high for _, high in facts.pads]
    limits = zip(facts.extra, facts.s, strict=True)
    if min(sides) >= 0 and all(0 <= extra < s for extra, s in limits):
        given = {
            "pads": sides if any(sides) else None,
            "output_padding": list(facts.extra) if any(facts.extra) else None,
            **_attributes(facts),
        }
        nodes.append(_node("ConvTranspose", [array, names["w"]], [out], **given))
        return
    full = f"{out}_full"
    nodes.append(_node("ConvTranspose", [array, names["w"]], [full], **_attributes(facts)))
    ends = [
        (-low, low + i - rows)
        for (low, _), i, rows in zip(facts.pads, facts.i, facts.full, strict=True)
    ]
    name = _lengthened(full, ends, nodes)
    nodes[-1] = nodes[-1].replace(f"['{name}']", f"['{out}']")
