"""PyTorch's convolutions: random calls in its own arguments, and what it answers.

Everything runs in float64, where PyTorch forms the plain sums: small integers stay exact.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional, grad

Array = npt.NDArray[Any]
Shapes = dict[str, list[int]]
Arguments = dict[str, Any]

# For each rank the largest size of a spatial axis and of a kernel axis.
SMALL = {1: (14, 5), 2: (8, 4), 3: (5, 3)}
LARGE = {1: (211, 9), 2: (41, 7), 3: (13, 4)}


def versions() -> dict[str, str]:
    return {"torch": torch.__version__, "numpy": np.__version__}


def run(op: str, operands: Mapping[str, Array], arguments: Mapping[str, Any]) -> dict[str, Array]:
    """PyTorch's results, by name."""
    tensors = {name: torch.tensor(array.astype(np.float64)) for name, array in operands.items()}
    if op == "convolution_backward":
        return _backward(**tensors, **arguments)
    if op.startswith("pad_conv"):
        return _padded(op.removeprefix("pad_"), **tensors, **arguments)
    if op.endswith(("_input", "_weight")):
        slot = op.rpartition("_")[2]
        return {f"{slot}_grad": getattr(grad, op)(**tensors, **arguments).numpy()}
    return {"output": getattr(functional, op)(**tensors, **arguments).numpy()}


def _backward(
    grad_output: torch.Tensor, input: torch.Tensor, weight: torch.Tensor, **arguments: Any
) -> dict[str, Array]:
    wanted = [True, True, False]
    input_grad, weight_grad, _ = torch.ops.aten.convolution_backward(
        grad_output, input, weight, bias_sizes=None, output_mask=wanted, **arguments
    )
    return {"input_grad": input_grad.numpy(), "weight_grad": weight_grad.numpy()}


def _padded(
    op: str,
    input: torch.Tensor,
    weight: torch.Tensor,
    grad_output: torch.Tensor,
    *,
    pad: list[int],
    mode: str,
    **arguments: Any,
) -> dict[str, Array]:
    """What a layer with another padding_mode than zeros does: pad, then convolve; and back."""
    for operand in (input, weight):
        operand.requires_grad_()
    output = getattr(functional, op)(functional.pad(input, pad, mode=mode), weight, **arguments)
    output.backward(grad_output)
    found = {"output": output.detach(), "input_grad": input.grad, "weight_grad": weight.grad}
    return {name: tensor.numpy() for name, tensor in found.items() if tensor is not None}


def calls(seed: int, large: bool = False) -> Iterator[tuple[str, Shapes, Arguments]]:
    """An endless run of random calls: every operation and rank in turn."""
    draw = _Draw(random.Random(seed), large)
    makers: list[Callable[[int], tuple[str, Shapes, Arguments]]]
    makers = [draw.conv, draw.conv_transpose, draw.gradient, draw.backward, draw.padded]
    while True:
        for make in makers:
            for rank in (1, 2, 3):
                yield make(rank)


class _Draw:
    def __init__(self, source: random.Random, large: bool) -> None:
        self.source, self.large = source, large

    def conv(self, rank: int, named: bool = True) -> tuple[str, Shapes, Arguments]:
        shapes, arguments = self._geometry(rank)
        name = self.source.choice(["same", "valid", None, None, None]) if named else None
        if name is not None:
            arguments["padding"] = name
            if name == "same":
                arguments["stride"] = 1
            else:
                self._grow(shapes, arguments, [0] * rank)
        return f"conv{rank}d", shapes, arguments

    def conv_transpose(self, rank: int) -> tuple[str, Shapes, Arguments]:
        op, (shapes, arguments) = f"conv_transpose{rank}d", self._geometry(rank)
        # The input here has the outputs of that convolution as its channels: weight (in, out...).
        shapes["input"][1] = shapes["weight"][0]
        stride, dilation, padding = (
            _each(arguments[name], rank) for name in ("stride", "dilation", "padding")
        )
        extra = [self.source.randrange(max(pair)) for pair in zip(stride, dilation, strict=True)]
        arguments["output_padding"] = extra[0] if len(set(extra)) == 1 else extra
        for axis, (s, d, p, more) in enumerate(
            zip(stride, dilation, padding, extra, strict=True), start=2
        ):  # PyTorch refuses results without rows
            others = d * (shapes["weight"][axis] - 1) + 1 - 2 * p + more
            least = 1 - (others - 1) // s
            shapes["input"][axis] = max(shapes["input"][axis], least)
        return op, shapes, arguments

    def gradient(self, rank: int) -> tuple[str, Shapes, Arguments]:
        op, shapes, arguments = self.conv(rank, named=False)
        output = _shape(op, shapes, arguments)
        if self.source.random() < 0.5:
            told = {"input_size": shapes["input"]}
            return f"{op}_input", _only(shapes, "weight", grad_output=output), told | arguments
        told = {"weight_size": shapes["weight"]}
        return f"{op}_weight", _only(shapes, "input", grad_output=output), told | arguments

    def backward(self, rank: int) -> tuple[str, Shapes, Arguments]:
        transposed = self.source.random() < 0.5
        op, shapes, arguments = (
            self.conv_transpose(rank) if transposed else self.conv(rank, named=False)
        )
        output = _shape(op, shapes, arguments)
        lists = {
            name: _each(arguments.get(name, 0), rank)
            for name in ("stride", "padding", "dilation", "output_padding")
        }
        extra = {"transposed": transposed, "groups": arguments["groups"]}
        operands = {"grad_output": output, **shapes}
        return "convolution_backward", operands, lists | extra

    def padded(self, rank: int) -> tuple[str, Shapes, Arguments]:
        op, shapes, arguments = self.conv(rank, named=False)
        del arguments["padding"]
        mode = self.source.choice(["circular", "reflect", "replicate"])
        # Reflections and circles need rows to copy. PyTorch lists the last axis first.
        sizes = shapes["input"][2:]
        limits = [min(size - (mode == "reflect"), 4) for size in sizes]
        pairs = [[self.source.randint(0, most) for _ in range(2)] for most in limits]
        self._grow(shapes, arguments, [sum(pair) for pair in pairs])
        arguments["pad"] = [side for pair in reversed(pairs) for side in pair]
        padded = [size + sum(pair) for size, pair in zip(shapes["input"][2:], pairs, strict=True)]
        wide = {**shapes, "input": [*shapes["input"][:2], *padded]}
        kept = {name: arguments[name] for name in ("stride", "dilation", "groups")}
        operands = {**shapes, "grad_output": _shape(op, wide, kept)}
        return f"pad_{op}", operands, {"mode": mode, **arguments}

    def _geometry(self, rank: int) -> tuple[Shapes, Arguments]:
        pick = self.source.choice
        most, widest = (LARGE if self.large else SMALL)[rank]
        groups = pick([1, 1, 1, 2, 3, 4])
        c, f = (1, pick([1, 2])) if groups > 2 else (pick([1, 2, 3]), pick([1, 2, 3]))
        if self.large:
            c, f = c * pick([1, 1, 3, 5]), f * pick([1, 1, 2, 7])
        sizes = [self.source.randint(1, most) for _ in range(rank)]
        kernel = [self.source.randint(1, widest) for _ in range(rank)]
        shapes = {
            "input": [pick([1, 1, 2, 3, 0] if self.large else [1, 1, 2, 3]), c * groups, *sizes],
            "weight": [f * groups, c, *kernel],
        }
        arguments = {
            "stride": self._one_or_each(rank, [1, 1, 2, 2, 3, 4]),
            "padding": self._one_or_each(rank, [0, 0, 1, 1, 2, 3]),
            "dilation": self._one_or_each(rank, [1, 1, 1, 2, 3]),
            "groups": groups,
        }
        pads = [2 * p for p in _each(arguments["padding"], rank)]
        self._grow(shapes, arguments, pads)
        return shapes, arguments

    def _one_or_each(self, rank: int, values: list[int]) -> int | list[int]:
        if self.source.random() < 0.5:
            return self.source.choice(values)
        return [self.source.choice(values) for _ in range(rank)]

    def _grow(self, shapes: Shapes, arguments: Arguments, padding: list[int]) -> None:
        """PyTorch refuses a kernel that does not fit: give the input the rows that it needs."""
        dilation = _each(arguments["dilation"], len(padding))
        for axis, (d, pads) in enumerate(zip(dilation, padding, strict=True), start=2):
            least = max(d * (shapes["weight"][axis] - 1) + 1 - pads, 1)
            if shapes["input"][axis] < least:
                shapes["input"][axis] = least + self.source.choice([0, 0, 1, 2])


def _each(value: int | list[int], rank: int) -> list[int]:
    return [value] * rank if isinstance(value, int) else list(value)


def _only(shapes: Shapes, kept: str, **more: list[int]) -> Shapes:
    return {kept: shapes[kept], **more}


def _shape(op: str, shapes: Shapes, arguments: Arguments) -> list[int]:
    """The shape of the result, asked of PyTorch itself."""
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    return list(getattr(functional, op)(**tensors, **arguments).shape)
