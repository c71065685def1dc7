"""The call in PyTorch's words: channels first, the same number of rows padded on both sides."""

from __future__ import annotations

from jconv._explore.calls.facts import (
    RESULT,
    CannotSayError,
    Facts,
    call,
    one_pad,
    permuted,
    permuted_back,
    refuse_dilated_input,
    refuse_empty,
    refuse_rank,
    unless,
)

_MODES = {"reflect": "reflect", "edge": "replicate", "circular": "circular"}
_PERMUTE = "torch.permute"


def torch_call(facts: Facts) -> str:
    """Lines of PyTorch that take and make arrays in the caller's own layout."""
    for refuse in (refuse_rank, refuse_dilated_input, refuse_empty):
        refuse(facts, "PyTorch")
    lines = [line for array in facts.arrays for line in permuted(facts, array, _PERMUTE, True)]
    body = {
        "conv": lambda: _forward(facts),
        "conv_input_grad": lambda: _gradient(facts, "input"),
        "conv_filter_grad": lambda: _gradient(facts, "weight"),
        "conv_transpose": lambda: _transpose(facts),
    }[facts.op]()
    return "\n".join([*lines, *body, *permuted_back(facts, _PERMUTE, True)])


def _settings(facts: Facts) -> dict[str, object]:
    return {
        "stride": unless(facts.s, 1),
        "dilation": unless(facts.d, 1),
        "groups": facts.groups if facts.groups > 1 else None,
    }


def _sides(pads: list[tuple[int, int]]) -> tuple[int, ...]:
    """F.pad's order: the last axis first."""
    return tuple(side for pair in reversed(pads) for side in pair)


def _forward(facts: Facts, x: str = "x", result: str = "y = ") -> list[str]:
    how, lines, padding = _settings(facts), [], None
    both = one_pad(facts)
    if facts.mode is None:
        raise CannotSayError("F.pad puts the same kind of border on every axis; here they differ.")
    if facts.mode != "zeros":
        border = _sides([(max(low, 0), max(high, 0)) for low, high in facts.pads])
        crop = _sides([(min(low, 0), min(high, 0)) for low, high in facts.pads])
        if any(border):
            lines.append(f"{x} = F.pad({x}, {border}, mode={_MODES[facts.mode]!r})")
        if any(crop):
            lines.append(f"{x} = F.pad({x}, {crop})")
    elif facts.rule == "SAME" and max(facts.s) == 1:
        padding = "same"
    elif both is not None:
        padding = unless(both, 0)
    else:
        lines.append(f"{x} = F.pad({x}, {_sides(list(facts.pads))})")
    function = f"F.conv{facts.rank}d"
    stride = how.pop("stride")
    return [*lines, result + call(function, x, "w", stride=stride, padding=padding, **how)]


def _gradient(facts: Facts, which: str) -> list[str]:
    """A backprop by torch.nn.grad, or where it has no words for the padding, by autograd."""
    name, both = RESULT[facts.op], one_pad(facts)
    shape = facts.shape(name, True)
    if both is not None and facts.mode == "zeros":
        arrays = (str(shape), "w", "g") if which == "input" else ("x", str(shape), "g")
        function = f"torch.nn.grad.conv{facts.rank}d_{which}"
        settings = _settings(facts)
        stride = settings.pop("stride")
        text = call(function, *arrays, stride=stride, padding=unless(both, 0), **settings)
        return [f"{name} = {text}"]
    return _by_autograd(facts, "x" if which == "input" else "w", "g")


def _by_autograd(facts: Facts, variable: str, cotangent: str) -> list[str]:
    name = RESULT[facts.op]
    inner = "z" if variable == cotangent else variable  # of a transposed convolution
    x = inner if variable == "x" else "padded"
    start = [] if variable == "x" else ["padded = x"]
    body = [*start, *_forward(facts, x, "return ")]
    zeros = f"torch.zeros({facts.shape(name, True)}, dtype={cotangent}.dtype)"
    return [
        f"def conv({inner}):",
        *(f"    {line}" for line in body),
        "",
        f"({name},) = torch.func.vjp(conv, {zeros})[1]({cotangent})",
    ]


def _transpose(facts: Facts) -> list[str]:
    if facts.mode != "zeros":
        return _by_autograd(facts, "x", "x")
    function, both, extra = f"F.conv_transpose{facts.rank}d", one_pad(facts), facts.extra
    how = _settings(facts)
    groups, dilation, stride = how["groups"], how["dilation"], how["stride"]
    limits = map(max, facts.s, facts.d)
    if both is not None and all(0 <= e < most for e, most in zip(extra, limits, strict=True)):
        text = call(
            function,
            "x",
            "w",
            stride=stride,
            padding=unless(both, 0),
            output_padding=unless(extra, 0),
            groups=groups,
            dilation=dilation,
        )
        return [f"y = {text}"]
    text = call(function, "x", "w", stride=stride, groups=groups, dilation=dilation)
    ends = [
        (-low, low + i - full)
        for (low, _), i, full in zip(facts.pads, facts.i, facts.full, strict=True)
    ]
    return [f"y = {text}", f"y = F.pad(y, {_sides(ends)})"]
