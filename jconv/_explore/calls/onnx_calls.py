"""The call as ONNX nodes: channels first, pads in numbers, no backprop of the filter."""

from __future__ import annotations

from jconv._explore.calls.facts import RESULT, CannotSayError, Facts, refuse_empty

_MODES = {"reflect": "reflect", "edge": "edge", "circular": "wrap"}


def onnx_call(facts: Facts) -> str:
    """A list of nodes that take and make arrays in the caller's own layout."""
    refuse_empty(facts, "ONNX")
    if max(facts.b) > 1:
        raise CannotSayError("ONNX's Conv has no input dilation.")
    if facts.op == "conv_filter_grad":
        raise CannotSayError("ONNX has no operator for a filter backprop.")
    if facts.mode is None:
        raise CannotSayError(
            "ONNX's Pad puts the same kind of border on every axis; here they differ."
        )
    if facts.mode != "zeros" and facts.op != "conv":
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
    """The name of an array with its channels first; the node that makes it is added."""
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


def _pad(facts: Facts, x: str, pads: list[tuple[int, int]], mode: str, nodes: list[str]) -> str:
    """A Pad node; in ONNX's order are first all low ends and then all high ones."""
    ends = [0, 0, *(low for low, _ in pads), 0, 0, *(high for _, high in pads)]
    name = f"{x}_padded" if mode != "constant" else f"{x}_cut"
    nodes.append(_node("Constant", [], [f"{name}_by"], value_ints=ends))
    how = None if mode == "constant" else mode
    nodes.append(_node("Pad", [x, f"{name}_by"], [name], mode=how))
    return name


def _conv(facts: Facts, names: dict[str, str], out: str, nodes: list[str]) -> None:
    x, pads = names["x"], list(facts.pads)
    if facts.mode != "zeros":
        border = [(max(low, 0), max(high, 0)) for low, high in pads]
        if any(map(any, border)):
            x = _pad(facts, x, border, _MODES[str(facts.mode)], nodes)
        pads = [(min(low, 0), min(high, 0)) for low, high in pads]
    if min(min(pair) for pair in pads) < 0:
        x = _pad(facts, x, pads, "constant", nodes)
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
    name = _pad(facts, full, ends, "constant", nodes)
    nodes[-1] = nodes[-1].replace(f"['{name}']", f"['{out}']")
