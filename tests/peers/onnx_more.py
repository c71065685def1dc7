"""ONNX's convolutions as ONNX Runtime answers them: pads by rule, told shapes, Col2Im.

Not asked is ConvTranspose whose told result is larger than the full one (SAME with a kernel
smaller than the stride, for one): ONNX Runtime does not let pads become negative, as ONNX's
specification and its reference evaluator do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

Shapes = dict[str, list[int]]
Arguments = dict[str, Any]
Array = np.ndarray[Any, Any]

NODES = {"conv": "Conv", "conv_transpose": "ConvTranspose", "col2im": "Col2Im"}
INPUTS = {"Col2Im": ["image_shape", "block_shape"]}


def versions() -> dict[str, str]:
    return {
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
    }


def run(op: str, operands: Mapping[str, Array], arguments: Mapping[str, Any]) -> dict[str, Array]:
    node = NODES[op]
    told = {name: np.array(arguments[name], np.int64) for name in INPUTS.get(node, [])}
    attributes = {name: value for name, value in arguments.items() if name not in told}
    feeds = {name: array.astype(np.float32) for name, array in operands.items()} | told
    inputs = [
        helper.make_tensor_value_info(
            name, TensorProto.FLOAT if name not in told else TensorProto.INT64, array.shape
        )
        for name, array in feeds.items()
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        [helper.make_node(node, [*feeds], ["output"], **attributes)], "one", inputs, [output]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return {"output": session.run(None, feeds)[0]}


def calls() -> Iterator[tuple[str, Shapes, Arguments]]:
    plane = {"X": [2, 4, 7, 6], "W": [6, 2, 3, 2]}
    for auto_pad, strides in itertools.product(
        ["SAME_UPPER", "SAME_LOWER", "VALID"], [[1, 1], [2, 3]]
    ):
        yield "conv", plane, {"auto_pad": auto_pad, "strides": strides, "group": 2}
    several = {"pads": [1, 0, 2, 3], "dilations": [2, 1], "kernel_shape": [3, 2], "group": 2}
    yield "conv", {**plane, "B": [6]}, several
    yield "conv", {"X": [1, 2, 9], "W": [3, 2, 4]}, {"pads": [2, 1], "strides": [2]}
    yield "conv", {"X": [1, 2, 4, 5, 3], "W": [3, 2, 2, 3, 2]}, {"strides": [2, 1, 1]}
    small = {"X": [1, 4, 3, 4], "W": [4, 2, 3, 2]}
    for auto_pad, strides in itertools.product(["SAME_UPPER", "SAME_LOWER"], [[1, 1], [2, 2]]):
        yield "conv_transpose", small, {"auto_pad": auto_pad, "strides": strides, "group": 2}
    for auto_pad, sizes in itertools.product(
        ["NOTSET", "SAME_UPPER", "SAME_LOWER"], [[5, 6], [6, 7], [7, 8]]
    ):
        told = {"auto_pad": auto_pad, "output_shape": sizes, "strides": [2, 2]}
        yield "conv_transpose", small, told
    for extra in ([0, 0], [1, 1], [1, 0]):
        padded = {"pads": [1, 0, 0, 1], "strides": [2, 3], "output_padding": extra}
        yield "conv_transpose", {**small, "B": [2]}, padded
    dilated = {"dilations": [2, 3], "strides": [3, 2], "auto_pad": "VALID"}
    yield "conv_transpose", small, dilated
    yield "conv_transpose", {"X": [1, 3, 4], "W": [3, 2, 3]}, {"strides": [3], "pads": [1, 1]}
    for image, block, more in [
        ([5, 5], [1, 5], {}),
        ([6, 7], [2, 3], {"strides": [2, 1], "pads": [1, 0, 1, 2]}),
        ([7, 6], [2, 2], {"dilations": [3, 2]}),
        ([4, 5, 3], [2, 2, 2], {"strides": [1, 2, 1]}),
        ([9], [3], {"strides": [2], "pads": [1, 1]}),
    ]:
        rank = len(image)
        s, d, pads = (
            more.get("strides", [1] * rank),
            more.get("dilations", [1] * rank),
            more.get("pads", [0] * 2 * rank),
        )
        windows = [
            (image[a] + pads[a] + pads[a + rank] - d[a] * (block[a] - 1) - 1) // s[a] + 1
            for a in range(rank)
        ]
        shape = [2, 3 * int(np.prod(block)), int(np.prod(windows))]
        yield "col2im", {"input": shape}, {"image_shape": image, "block_shape": block, **more}
