"""The call in PyTorch's words: channels first, and one number for the padding of both sides."""

from __future__ import annotations

from collections.abc import Sequence

from jconv._explore.calls.facts import (
    RESULT,
    Facts,
    Pads,
    call,
    one_pad,
    permuted,
    permuted_back,
    refuse_dilated_input,
    refuse_empty,
    refuse_int8,
    refuse_rank,
    unless,
)

_MODES = {"reflect": "reflect", "edge": "replicate", "circular": "circular"}
_PERMUTE = "torch.permute"


def torch_call(facts: Facts) -> str:
    """Lines of PyTorch that take and make arrays in the caller's own layout."""
    for refuse in (refuse_rank, refuse_dilated_input, refuse_empty):
        refuse(facts, "PyTorch")
    refuse_int8(facts, "PyTorch convolves int8 on some devices alone.")
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


def _sides(pads: Sequence[Pads]) -> tuple[int, ...]:
    """The pads in the order of F.pad: the last axis first."""
    return tuple(side for pair in reversed(pads) for side in pair)


def _forward(facts: Facts, x: str = "x", result: str = "y = ") -> list[str]:
    how, padding = _settings(facts), None
    lines = [
        f"{x} = F.pad({x}, {_sides(sides)}, mode={_MODES[mode]!r})"
        for mode, sides in facts.borders.items()
    ]
    both = one_pad(facts.rest)
    if facts.rule == "SAME" and max(facts.s) == 1 and not lines:
        padding = "same"
    elif both is not None:
        padding = unless(both, 0)
    else:
        lines.append(f"{x} = F.pad({x}, {_sides(facts.rest)})")
    function = f"F.conv{facts.rank}d"
    stride = how.pop("stride")
    return [*lines, result + call(function, x, "w", stride=stride, padding=padding, **how)]


def _gradient(facts: Facts, which: str) -> list[str]:
    """A backprop by torch.nn.grad, or where it has no words for the padding, by autograd."""
    name, both = RESULT[facts.op], one_pad(facts.pads)
    shape = facts.shape(name, True)
    if both is not None and not facts.borders:
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
    if facts.borders:
        return _by_autograd(facts, "x", "x")
    function, both, extra = f"F.conv_transpose{facts.rank}d", one_pad(facts.pads), facts.extra
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
