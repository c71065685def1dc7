"""TensorFlow's calls beyond the random ones: the public functions and what their arguments allow.

Only what its CPU kernels take; see tensorflow_calls.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_calls import versions as versions

Shapes = dict[str, list[int]]
Arguments = dict[str, Any]
Array = np.ndarray[Any, Any]


def run(op: str, operands: Mapping[str, Array], arguments: Mapping[str, Any]) -> dict[str, Array]:
    tensors = {name: tf.constant(array, tf.float32) for name, array in operands.items()}
    return {"output": operator.attrgetter(op)(tf)(**tensors, **arguments).numpy()}


def calls() -> Iterator[tuple[str, Shapes, Arguments]]:
    x, w = {"input": [2, 7, 6, 4]}, {"filters": [3, 2, 2, 6]}
    first = {"input": [2, 4, 7, 6]}
    pads = [[0, 0], [2, 0], [1, 3], [0, 0]]
    yield "nn.conv2d", {**x, **w}, {"strides": 1, "padding": "SAME", "dilations": 2}
    yield "nn.conv2d", {**x, **w}, {"strides": [2, 3], "padding": pads}
    yield "nn.conv2d", {**x, **w}, {"strides": [1, 1, 2, 1], "padding": "VALID"}
    last = {"strides": [2], "padding": [pads[0], pads[3], *pads[1:3]], "data_format": "NCHW"}
    yield "nn.conv2d", {**first, **w}, last
    yield "nn.conv2d", {"input": [2, 3, 7, 6, 4], **w}, {"strides": 2, "padding": "SAME"}
    for data_format, padding in itertools.product(["NWC", "NCW"], ["SAME", "VALID"]):
        shape = [2, 9, 4] if data_format == "NWC" else [2, 4, 9]
        more = {"stride": 2, "padding": padding, "data_format": data_format}
        yield "nn.conv1d", {"input": shape, "filters": [3, 4, 5]}, more
    yield (
        "nn.conv1d",
        {"input": [2, 3, 9, 4], "filters": [3, 2, 6]},
        {"stride": [1], "padding": "VALID", "dilations": [2]},
    )
    for padding in ("SAME", "VALID"):
        cube = {"input": [1, 4, 5, 6, 2], "filters": [2, 3, 2, 2, 3]}
        yield "nn.conv3d", cube, {"strides": [1, 2, 1, 2, 1], "padding": padding}
    # Every size that goes with 4 rows at stride 2 and 3; (SAME, VALID) of a filter of 3 rows.
    for stride, padding in itertools.product([2, 3], ["SAME", "VALID"]):
        least = stride * 3 + (1 if padding == "SAME" else 3)
        for size in range(least, least + stride):
            told = [2, size, least, 5]
            shapes = {"input": [2, 4, 4, 3], "filters": [3, 3, 5, 3]}
            arguments = {"output_shape": told, "strides": stride, "padding": padding}
            yield "nn.conv2d_transpose", shapes, arguments
    yield (
        "nn.conv2d_transpose",
        {"input": [2, 3, 4, 4], "filters": [3, 3, 5, 3]},
        {"output_shape": [2, 5, 8, 7], "strides": [1, 1, 2, 2], "data_format": "NCHW"},
    )
    yield (
        "nn.conv2d_transpose",
        {"input": [2, 4, 4, 3], "filters": [3, 3, 5, 3]},
        {"output_shape": [2, 7, 8, 5], "strides": 2, "padding": pads[:1] + [[1, 1]] * 2 + pads[:1]},
    )
    told = {"output_shape": [1, 8, 3], "strides": 2, "data_format": "NWC"}
    yield "nn.conv1d_transpose", {"input": [1, 4, 2], "filters": [3, 3, 2]}, told
    told = {"output_shape": [1, 3, 9], "strides": 2, "data_format": "NCW", "padding": "VALID"}
    yield "nn.conv1d_transpose", {"input": [1, 2, 4], "filters": [3, 3, 2]}, told
    cube = {"input": [1, 2, 3, 2, 4], "filters": [2, 3, 2, 3, 4]}
    yield "nn.conv3d_transpose", cube, {"output_shape": [1, 4, 5, 3, 3], "strides": 2}
    for rate, padding in itertools.product([1, 2, 3], ["SAME", "VALID"]):
        shapes = {"value": [2, 9, 8, 3], "filters": [3, 3, 3, 4]}
        yield "nn.atrous_conv2d", shapes, {"rate": rate, "padding": padding}
    depth = {"filter": [3, 2, 4, 2]}
    yield "nn.depthwise_conv2d", {**x, **depth}, {"strides": [1, 2, 2, 1], "padding": "SAME"}
    yield "nn.depthwise_conv2d", {**x, **depth}, {"strides": [1, 1, 1, 1], "padding": pads}
    yield (
        "nn.depthwise_conv2d",
        {**x, **depth},
        {"strides": [1, 1, 1, 1], "padding": "VALID", "dilations": [2, 1]},
    )
    split = {"depthwise_filter": [3, 2, 4, 2], "pointwise_filter": [1, 1, 8, 5]}
    yield "nn.separable_conv2d", {**x, **split}, {"strides": [1, 2, 2, 1], "padding": "SAME"}
    yield (
        "nn.separable_conv2d",
        {**x, **split},
        {"strides": [1, 1, 1, 1], "padding": "VALID", "dilations": [2, 2]},
    )
    # Spatial sizes alone, and explicit paddings the channels-first way.
    sides = [0, 0, 0, 0, 2, 0, 1, 3]
    strided = {"strides": [1, 1, 2, 1], "data_format": "NCHW", "dilations": [1, 1, 1, 1]}
    explicit = {**strided, "padding": "EXPLICIT", "explicit_paddings": sides}
    yield "raw_ops.Conv2D", {**first, "filter": [3, 2, 2, 6]}, explicit
    yield (
        "raw_ops.Conv2DBackpropInput",
        {"filter": [3, 2, 4, 6], "out_backprop": [2, 4, 3, 6]},
        {"input_sizes": [7, 6], "strides": [1, 2, 2, 1], "padding": "SAME"},
    )
