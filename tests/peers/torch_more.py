"""PyTorch's calls beyond the random ones: what its signatures allow, one call for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch_calls import versions as versions

Shapes = dict[str, list[int]]
Arguments = dict[str, Any]
Array = np.ndarray[Any, Any]

LAYERS = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}


def run(op: str, operands: Mapping[str, Array], arguments: Mapping[str, Any]) -> dict[str, Array]:
    tensors = {name: torch.tensor(array.astype(np.float64)) for name, array in operands.items()}
    if "padding_mode" in arguments:
        return {"output": _layer(int(op[4]), tensors, **arguments)}
    if op == "convolution_backward":
        grads = torch.ops.aten.convolution_backward(**tensors, **arguments)
        names = ("input_grad", "weight_grad", "bias_grad")
        return {n: g.numpy() for n, g in zip(names, grads, strict=True) if g is not None}
    return {"output": getattr(torch.nn.functional, op)(**tensors, **arguments).numpy()}


def _layer(rank: int, tensors: dict[str, torch.Tensor], **arguments: Any) -> Array:
    weight, groups = tensors["weight"], arguments.get("groups", 1)
    layer = LAYERS[rank](
        weight.shape[1] * groups, weight.shape[0], weight.shape[2:], bias=False, **arguments
    ).double()
    layer.weight = torch.nn.Parameter(weight)
    return layer(tensors["input"]).detach().numpy()


def calls() -> Iterator[tuple[str, Shapes, Arguments]]:
    for rank in (1, 2, 3):
        x, w = {"input": [2, 4, 6, 5, 4][: rank + 2]}, {"weight": [6, 2, 3, 2, 2][: rank + 2]}
        t = {"weight": [4, 3, 3, 2, 3][: rank + 2]}
        yield f"conv{rank}d", {**x, **w, "bias": [6]}, {"groups": 2, "stride": 2, "padding": 1}
        for dilation in (1, 2):
            same = {"padding": "same", "groups": 2, "dilation": dilation}
            yield f"conv{rank}d", {**x, **w}, same
        yield f"conv{rank}d", {"input": x["input"][1:], **w}, {"groups": 2, "padding": "valid"}
        op = f"conv_transpose{rank}d"
        yield op, {"input": x["input"][1:], **t, "bias": [6]}, {"groups": 2, "stride": 2}
        for stride, dilation in [(1, 3), (2, 3), (3, 2), (2, 1)]:
            for extra in range(max(stride, dilation)):
                both = {"stride": stride, "dilation": dilation, "padding": 1}
                yield op, {**x, **t}, {**both, "output_padding": extra}
        for mode, padding in itertools.product(["reflect", "replicate", "circular"], [1, "same"]):
            if (mode, rank) != ("reflect", 3) or padding == 1:
                settings = {"padding": padding, "padding_mode": mode, "groups": 2}
                yield f"conv{rank}d", {**x, **w}, settings
    backward = {"stride": [2, 1], "padding": [1, 0], "dilation": [1, 2], "groups": 2}
    g, x, w = [2, 6, 3, 3], [2, 4, 6, 5], [6, 2, 3, 2]
    for mask in ([True, True, True], [False, True, False], [True, False, True]):
        more = {"transposed": False, "output_padding": [0, 0], "bias_sizes": [6]}
        arrays = {"grad_output": g, "input": x, "weight": w}
        yield "convolution_backward", arrays, {**backward, **more, "output_mask": mask}
    g, w = [2, 6, 12, 7], [4, 3, 3, 2]
    more = {"transposed": True, "output_padding": [1, 0], "bias_sizes": None}
    arrays = {"grad_output": g, "input": x, "weight": w}
    mask = [True, True, True]
    yield "convolution_backward", arrays, {**backward, **more, "output_mask": mask}
    for number, (kernel, settings) in enumerate(
        [
            (3, {}),
            ([2, 3], {"stride": [1, 2], "padding": [1, 0]}),
            (2, {"dilation": [3, 2], "stride": 2, "padding": 2}),
        ]
    ):
        sizes = [6, 7 + number]
        shape = [2, 3, *sizes][number % 2 :]
        yield "unfold", {"input": shape}, {"kernel_size": kernel, **settings}
        columns = list(
            torch.nn.functional.unfold(torch.zeros(shape), kernel_size=kernel, **settings).shape
        )
        yield "fold", {"input": columns}, {"output_size": sizes, "kernel_size": kernel, **settings}
