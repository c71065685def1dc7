"""Each framework's call as calls of jconv: the whole translation, argument by argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

import jconv

Operands = Mapping[str, Array]
Arguments = Mapping[str, Any]
Pairs = list[tuple[int, int]]

CHANNELS_FIRST = {1: "NCW", 2: "NCHW", 3: "NCDHW"}


def answer(
    framework: str, op: str, operands: Operands, arguments: Arguments
) -> Mapping[str, Array]:
    """What jconv says to a framework's call: the results by the framework's own names."""
    return {"torch": torch, "tensorflow": tensorflow, "onnx": onnx}[framework](
        op, operands, arguments
    )


# PyTorch: channels first; filters (out, in / groups, ...), for a transposed convolution
# (in, out / groups, ...), which is the filter (O, I / groups, ...) of the convolution that it is
# the adjoint of: nothing to swap. Padding is the forward convolution's, as here.


def torch(op: str, operands: Operands, arguments: Arguments) -> Mapping[str, Array]:
    if op == "convolution_backward":
        return _torch_backward(**operands, **arguments)
    if op.startswith("pad_conv"):
        return _torch_padded(**operands, **arguments)
    if op.startswith("conv_transpose"):
        return {"output": _torch_transpose(**operands, **arguments)}
    if op.endswith("_input"):
        return {"input_grad": _torch_input(**operands, **arguments)}
    if op.endswith("_weight"):
        return {"weight_grad": _torch_weight(**operands, **arguments)}
    weight = operands["weight"]
    return {"output": jconv.conv(operands["input"], weight, **_torch_settings(weight, arguments))}


def _torch_settings(operand: Array, arguments: Arguments) -> dict[str, Any]:
    padding = arguments["padding"]
    named = {"same": "SAME", "valid": "VALID"}
    return {
        "stride": arguments["stride"],
        "padding": named[padding] if isinstance(padding, str) else padding,
        "dilation": arguments["dilation"],
        "groups": arguments["groups"],
        "layout": CHANNELS_FIRST[operand.ndim - 2],
    }


def _torch_input(
    weight: Array, grad_output: Array, input_size: Sequence[int], **arguments: Any
) -> Array:
    settings = _torch_settings(weight, arguments)
    return jconv.conv_input_grad(grad_output, weight, input_shape=input_size, **settings)


def _torch_weight(
    input: Array, grad_output: Array, weight_size: Sequence[int], **arguments: Any
) -> Array:
    settings = _torch_settings(input, arguments)
    return jconv.conv_filter_grad(input, grad_output, filter_shape=weight_size, **settings)


def _transposed_padding(pads: Pairs, extra: Sequence[int], stride: Sequence[int]) -> Pairs:
    """Output padding of a stride or more as what it is: rows that the high padding loses.

    Of `output_padding` below the stride the same is true, but there jconv has the argument.
    """
    return [
        (low, high - more) if more >= s else (low, high)
        for (low, high), more, s in zip(pads, extra, stride, strict=True)
    ]


def _below_stride(extra: Sequence[int], stride: Sequence[int]) -> list[int]:
    return [more if more < s else 0 for more, s in zip(extra, stride, strict=True)]


def _torch_transposed_settings(
    weight: Array, arguments: Arguments
) -> tuple[dict[str, Any], list[int]]:
    rank = weight.ndim - 2
    stride, padding, extra = (
        _each(arguments[name], rank) for name in ("stride", "padding", "output_padding")
    )
    pads = _transposed_padding([(p, p) for p in padding], extra, stride)
    settings = _torch_settings(weight, {**arguments, "padding": pads})
    return settings, _below_stride(extra, stride)


def _torch_transpose(input: Array, weight: Array, **arguments: Any) -> Array:
    settings, extra = _torch_transposed_settings(weight, arguments)
    return jconv.conv_transpose(input, weight, output_padding=extra, **settings)


def _torch_backward(
    grad_output: Array, input: Array, weight: Array, transposed: bool, **arguments: Any
) -> Mapping[str, Array]:
    if not transposed:
        settings = _torch_settings(weight, arguments)
        return {
            "input_grad": jconv.conv_input_grad(
                grad_output, weight, input_shape=input.shape, **settings
            ),
            "weight_grad": jconv.conv_filter_grad(
                input, grad_output, filter_shape=weight.shape, **settings
            ),
        }
    # The roles change: the input was a cotangent, so the cotangent is a forward input.
    settings, _ = _torch_transposed_settings(weight, arguments)
    return {
        "input_grad": jconv.conv(grad_output, weight, **settings),
        "weight_grad": jconv.conv_filter_grad(
            grad_output, input, filter_shape=weight.shape, **settings
        ),
    }


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
    pairs = [(pad[at], pad[at + 1]) for at in range(0, len(pad), 2)][::-1]
    settings = _torch_settings(weight, {**arguments, "padding": pairs})
    settings["padding_mode"] = {"replicate": "edge"}.get(mode, mode)
    return {
        "output": jconv.conv(input, weight, **settings),
        "input_grad": jconv.conv_input_grad(
            grad_output, weight, input_shape=input.shape, **settings
        ),
        "weight_grad": jconv.conv_filter_grad(
            input, grad_output, filter_shape=weight.shape, **settings
        ),
    }


# TensorFlow: data_format lays out input and output, filters are (..., in / groups, out) in every
# format; strides, dilations and explicit paddings have entries for all axes, in the order of
# data_format. Groups are not said: the filter has fewer input channels than the input.


def tensorflow(op: str, operands: Operands, arguments: Arguments) -> Mapping[str, Array]:
    settings = _tensorflow_settings(arguments)
    if op.startswith("Depthwise"):
        return {"output": _depthwise(op, operands, arguments, settings)}
    if op.endswith("_transpose"):
        output = jconv.conv_transpose(
            operands["input"],
            operands["filters"],
            output_shape=arguments["output_shape"],
            **settings,
        )
        return {"output": output}
    channel = arguments["data_format"].index("C")
    if "BackpropInput" in op:
        w, sizes = operands["filter"], arguments["input_sizes"]
        settings["groups"] = sizes[channel] // w.shape[-2]
        g = operands["out_backprop"]
        return {"output": jconv.conv_input_grad(g, w, input_shape=sizes, **settings)}
    x = operands["input"]
    if "BackpropFilter" in op:
        sizes = arguments["filter_sizes"]
        settings["groups"] = x.shape[channel] // sizes[-2]
        g = operands["out_backprop"]
        return {"output": jconv.conv_filter_grad(x, g, filter_shape=sizes, **settings)}
    w = operands["filter"]
    return {"output": jconv.conv(x, w, groups=x.shape[channel] // w.shape[-2], **settings)}


def _tensorflow_settings(arguments: Arguments) -> dict[str, Any]:
    layout = arguments["data_format"]
    axes = [at for at, letter in enumerate(layout) if letter not in "NC"]
    spatial = "".join(layout[at] for at in axes)

    def of_axes(entries: Sequence[int]) -> list[int]:
        # The transposed operations take the spatial entries alone as well.
        return list(entries) if len(entries) == len(axes) else [entries[at] for at in axes]

    padding = arguments["padding"]
    if padding == "EXPLICIT":
        flat = arguments["explicit_paddings"]
        padding = [(flat[2 * at], flat[2 * at + 1]) for at in axes]
    return {
        "stride": of_axes(arguments["strides"]),
        "padding": padding,
        "dilation": of_axes(arguments["dilations"]),
        "layout": (layout, f"{spatial}IO", layout),
    }


def _depthwise(
    op: str, operands: Operands, arguments: Arguments, settings: dict[str, Any]
) -> Array:
    """Filters (H, W, C, M) hold M outputs for each of C channels: (H, W, 1, C * M) in C groups."""
    shape = arguments.get("filter_sizes") or operands["filter"].shape
    height, width, channels, multiplier = shape
    grouped = (height, width, 1, channels * multiplier)
    settings["groups"] = channels
    if "BackpropFilter" in op:
        x, g = operands["input"], operands["out_backprop"]
        w = jconv.conv_filter_grad(x, g, filter_shape=grouped, **settings)
        return jnp.reshape(w, shape)
    w = jnp.reshape(operands["filter"], grouped)
    if "BackpropInput" in op:
        sizes = arguments["input_sizes"]
        return jconv.conv_input_grad(operands["out_backprop"], w, input_shape=sizes, **settings)
    return jconv.conv(operands["input"], w, **settings)


# ONNX: channels first; pads are all the low ones, then all the high ones; filters as PyTorch's.


def onnx(op: str, operands: Operands, attributes: Arguments) -> Mapping[str, Array]:
    operands = dict(operands)
    if op == "ConvInteger":
        output = _onnx_integer(attributes=attributes, **operands)
    elif op == "Conv":
        x, w = operands["X"], operands["W"]
        output = jconv.conv(x, w, **_onnx_settings(w.ndim - 2, attributes))
    else:
        output = _onnx_transpose(operands["X"], operands["W"], attributes)
    if "B" in operands:
        output = output + jnp.reshape(operands["B"], (-1,) + (1,) * (output.ndim - 2))
    return {"output": output}


def _onnx_settings(rank: int, attributes: Arguments) -> dict[str, Any]:
    pads = attributes.get("pads", [0] * (2 * rank))
    padding: str | Pairs = list(zip(pads[:rank], pads[rank:], strict=True))
    named = {"SAME_UPPER": "SAME", "SAME_LOWER": "SAME_LOWER", "VALID": "VALID"}
    return {
        "stride": attributes.get("strides", [1] * rank),
        "padding": named.get(attributes.get("auto_pad", "NOTSET"), padding),
        "dilation": attributes.get("dilations", [1] * rank),
        "groups": attributes.get("group", 1),
        "layout": CHANNELS_FIRST[rank],
    }


def _onnx_integer(
    x: Array,
    w: Array,
    x_zero_point: Array,
    w_zero_point: Array | None = None,
    *,
    attributes: Arguments,
) -> Array:
    """Integers minus their zero points, in int32; the padding is zero after the subtraction."""
    x = x.astype(jnp.int32) - x_zero_point.astype(jnp.int32)
    w = w.astype(jnp.int32)
    if w_zero_point is not None:  # one for each output channel
        w = w - jnp.reshape(w_zero_point.astype(jnp.int32), (-1,) + (1,) * (w.ndim - 1))
    return jconv.conv(x, w, **_onnx_settings(w.ndim - 2, attributes))


def _onnx_transpose(x: Array, w: Array, attributes: Arguments) -> Array:
    """As the specification says it: a told output_shape is reached by changing the pads.

    The specification's total padding is what the full result has too much; it is halved, and the
    odd row comes off the end for SAME_UPPER and off the beginning for everything else.
    """
    rank = w.ndim - 2
    settings = _onnx_settings(rank, attributes)
    stride = settings["stride"]
    extra = attributes.get("output_padding", [0] * rank)
    auto_pad, told = attributes.get("auto_pad", "NOTSET"), attributes.get("output_shape")
    if told is None and auto_pad.startswith("SAME"):
        told = [s * size for s, size in zip(stride, x.shape[2:], strict=True)]
    if told is None:
        pads = [(0, 0)] * rank if auto_pad == "VALID" else settings["padding"]
    else:
        pads = []
        for axis in range(rank):
            window = settings["dilation"][axis] * (w.shape[axis + 2] - 1) + 1
            full = stride[axis] * (x.shape[axis + 2] - 1) + window + extra[axis]
            total = full - told[axis]
            less, more = total // 2, total - total // 2
            pads.append((less, more) if auto_pad == "SAME_UPPER" else (more, less))
    settings["padding"] = _transposed_padding(pads, extra, stride)
    output_padding = _below_stride(extra, stride)
    return jconv.conv_transpose(x, w, output_padding=output_padding, **settings)


def _each(value: int | Sequence[int], rank: int) -> list[int]:
    return [value] * rank if isinstance(value, int) else list(value)
