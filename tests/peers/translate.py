"""Each framework's stored call handed to jconv.compat, results by the framework's own names.

What no function of the framework does at once (PyTorch's padding before a convolution, with
gradients) is said in jconv's own words here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

import jconv
from jconv.compat import onnx as onnx_ops
from jconv.compat import tf as tf_ops
from jconv.compat import torch as torch_ops

Operands = Mapping[str, Array]
Arguments = Mapping[str, Any]

CHANNELS_FIRST = {1: "NCW", 2: "NCHW", 3: "NCDHW"}


def answer(
    framework: str, op: str, operands: Operands, arguments: Arguments
) -> Mapping[str, Array]:
    """What jconv says to a framework's call: the results by the framework's own names."""
    return {"torch": torch, "tensorflow": tensorflow, "onnx": onnx}[framework](
        op, operands, arguments
    )


def torch(op: str, operands: Operands, arguments: Arguments) -> Mapping[str, Array]:
    if op == "convolution_backward":
        rest = {"bias_sizes": None, "output_mask": [True, True, False]}
        grads = torch_ops.convolution_backward(**operands, **arguments, **rest)
        assert grads[0] is not None
        assert grads[1] is not None
        return {"input_grad": grads[0], "weight_grad": grads[1]}
    if op.startswith("pad_conv"):
        return _torch_padded(**operands, **arguments)
    if op.endswith(("_input", "_weight")):
        slot = op.rpartition("_")[2]
        return {f"{slot}_grad": getattr(torch_ops.grad, op)(**operands, **arguments)}
    return {"output": getattr(torch_ops, op)(**operands, **arguments)}


def _torch_padded(
    input: Array,
    weight: Array,
    grad_output: Array,
    *,
    mode: str,
    pad: Sequence[int],
    **arguments: Any,
) -> Mapping[str, Array]:
    # PyTorch lists the last axis first: (low, high) of W, then of H.
    settings = {
        **arguments,
        "padding": [(pad[at], pad[at + 1]) for at in range(0, len(pad), 2)][::-1],
        "padding_mode": {"replicate": "edge"}.get(mode, mode),
        "layout": CHANNELS_FIRST[weight.ndim - 2],
    }
    return {
        "output": jconv.conv(input, weight, **settings),
        "input_grad": jconv.conv_input_grad(
            grad_output, weight, input_shape=input.shape, **settings
        ),
        "weight_grad": jconv.conv_filter_grad(
            input, grad_output, filter_shape=weight.shape, **settings
        ),
    }


def tensorflow(op: str, operands: Operands, arguments: Arguments) -> Mapping[str, Array]:
    home = tf_ops.nn if op.endswith("_transpose") else tf_ops.raw_ops
    return {"output": getattr(home, op)(**operands, **arguments)}


def onnx(op: str, operands: Operands, attributes: Arguments) -> Mapping[str, Array]:
    if op == "ConvInteger":
        small = {
            name: array.astype(jnp.int8 if name.startswith("w") else jnp.uint8)
            for name, array in operands.items()
        }
        return {"output": onnx_ops.conv_integer(**small, **attributes)}
    function = {"Conv": onnx_ops.conv, "ConvTranspose": onnx_ops.conv_transpose}[op]
    return {"output": function(**operands, **attributes)}
