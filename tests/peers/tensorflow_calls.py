"""TensorFlow's raw convolution operations: random calls in its own arguments, and its answers.

Only what its CPU kernels take: the backprops under EXPLICIT padding are channels-last, without
groups and without dilation; Conv3D has neither groups nor EXPLICIT; depthwise strides are equal,
and so are dilations, which go with stride 1 in the forward operation. The depthwise backprops are
asked without dilation: on the CPU, TensorFlow 2.21 accepts it and answers as if it were 1 (its own
forward operation and its backprops then disagree on <g, y> = <x, x'>).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Array = npt.NDArray[Any]
Shapes = dict[str, list[int]]
Arguments = dict[str, Any]

FORWARD = {"conv2d": "Conv2D", "conv3d": "Conv3D", "depthwise": "DepthwiseConv2dNative"}
INPUT = {
    "conv2d": "Conv2DBackpropInput",
    "conv3d": "Conv3DBackpropInputV2",
    "depthwise": "DepthwiseConv2dNativeBackpropInput",
}
FILTER = {
    "conv2d": "Conv2DBackpropFilter",
    "conv3d": "Conv3DBackpropFilterV2",
    "depthwise": "DepthwiseConv2dNativeBackpropFilter",
}


def versions() -> dict[str, str]:
    return {"tensorflow": tf.__version__, "numpy": np.__version__}


def run(op: str, operands: Mapping[str, Array], arguments: Mapping[str, Any]) -> dict[str, Array]:
    """TensorFlow's result, by name."""
    tensors = {name: tf.constant(array, tf.float32) for name, array in operands.items()}
    home = tf.nn if op.endswith("_transpose") else tf.raw_ops
    return {"output": getattr(home, op)(**tensors, **arguments).numpy()}


def calls(seed: int) -> Iterator[tuple[str, Shapes, Arguments]]:
    """An endless run of random calls: every operation in turn."""
    draw = _Draw(random.Random(seed))
    while True:
        for kind in FORWARD:
            for form in (FORWARD, INPUT, FILTER):
                yield draw.raw(kind, form)
        for rank in (1, 2, 3):
            yield draw.transpose(rank)


class _Draw:
    def __init__(self, source: random.Random) -> None:
        self.source = source

    def raw(self, kind: str, form: Mapping[str, str]) -> tuple[str, Shapes, Arguments]:
        pick, rank = self.source.choice, 3 if kind == "conv3d" else 2
        spatial = "DHW"[-rank:]
        layout = pick([f"N{spatial}C", f"N{spatial}C", f"NC{spatial}"])
        padding = pick(["SAME", "SAME", "VALID"] + (["EXPLICIT"] if rank == 2 else []))
        limited = padding == "EXPLICIT" and form is not FORWARD
        if limited:
            layout = "NHWC"
        most, widest = (5, 3) if rank == 3 else (9, 4)
        sizes = [self.source.randint(2, most) for _ in range(rank)]
        kernel = [self.source.randint(1, widest) for _ in range(rank)]
        strides = [pick([1, 1, 2, 2, 3]) for _ in range(rank)]
        dilations = [1] * rank if limited else [pick([1, 1, 1, 2, 3]) for _ in range(rank)]
        if kind == "depthwise":
            strides = strides[:1] * rank
            taken = strides[0] == 1 and form is FORWARD
            dilations = dilations[:1] * rank if taken else [1] * rank
        pads = [[self.source.randint(0, 2) for _ in range(2)] for _ in range(rank)]
        for axis in range(rank):
            extra = sum(pads[axis]) if padding == "EXPLICIT" else 0
            least = dilations[axis] * (kernel[axis] - 1) + 1 - extra
            if padding != "SAME" and sizes[axis] < least:
                sizes[axis] = least + pick([0, 0, 1, 2])
        groups = 1 if rank == 3 or limited else pick([1, 1, 1, 2, 3])
        channels, features = pick([1, 2, 3]), pick([1, 2, 3])
        if kind == "depthwise":
            x_channels = pick([1, 2, 4])
            filter_shape = [*kernel, x_channels, pick([1, 2, 3])]
        else:
            x_channels = channels * groups
            filter_shape = [*kernel, channels, features * groups]
        x_shape = _lay(layout, pick([1, 1, 2, 3]), sizes, x_channels)
        arguments: Arguments = {
            "strides": _lay(layout, 1, strides, 1),
            "padding": padding,
            "data_format": layout,
            "dilations": _lay(layout, 1, dilations, 1),
        }
        if rank == 2:
            explicit = _lay(layout, [0, 0], pads, [0, 0]) if padding == "EXPLICIT" else []
            arguments["explicit_paddings"] = [side for pair in explicit for side in pair]
        both = {"input": x_shape, "filter": filter_shape}
        if form is FORWARD:
            return form[kind], both, arguments
        zeros = {name: np.zeros(shape) for name, shape in both.items()}
        output = list(run(FORWARD[kind], zeros, arguments)["output"].shape)
        if form is INPUT:
            told = {"input_sizes": x_shape}
            return form[kind], {"filter": filter_shape, "out_backprop": output}, told | arguments
        told = {"filter_sizes": filter_shape}
        return form[kind], {"input": x_shape, "out_backprop": output}, told | arguments

    def transpose(self, rank: int) -> tuple[str, Shapes, Arguments]:
        """One of the public transposed operations: the size of the result is told."""
        pick, most = self.source.choice, {1: 9, 2: 5, 3: 3}[rank]
        padding = pick(["SAME", "VALID"])
        sizes = [self.source.randint(1, most) for _ in range(rank)]
        kernel = [self.source.randint(1, 4 if rank < 3 else 3) for _ in range(rank)]
        strides = [pick([1, 2, 2, 3]) for _ in range(rank)]
        dilations = [pick([1, 1, 2]) for _ in range(rank)] if set(strides) == {1} else [1] * rank
        told = []
        for o, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
            smallest = s * (o - 1) + (1 if padding == "SAME" else d * (k - 1) + 1)
            told.append(smallest + self.source.randrange(s))
        batch, inputs, outputs = pick([1, 2]), pick([1, 2, 3]), pick([1, 2, 3])
        spatial = "W" if rank == 1 else "DHW"[-rank:]
        arguments = {
            "output_shape": [batch, *told, outputs],
            "strides": strides,
            "padding": padding,
            "data_format": f"N{spatial}C",
            "dilations": dilations,
        }
        shapes = {"input": [batch, *sizes, inputs], "filters": [*kernel, outputs, inputs]}
        return f"conv{rank}d_transpose", shapes, arguments


def _lay(layout: str, batch: Any, spatial: list[Any], channel: Any) -> list[Any]:
    """One entry an axis, in the order of the layout."""
    return [batch, channel, *spatial] if layout[1] == "C" else [batch, *spatial, channel]
