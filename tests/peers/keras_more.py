"""Keras' convolutions on its JAX backend: every rule of its padding and output_padding."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

Shapes = dict[str, list[int]]
Arguments = dict[str, Any]
Array = np.ndarray[Any, Any]


def versions() -> dict[str, str]:
    return {"keras": keras.__version__, "numpy": np.__version__}


def run(op: str, operands: Mapping[str, Array], arguments: Mapping[str, Any]) -> dict[str, Array]:
    tensors = {name: array.astype(np.float32) for name, array in operands.items()}
    return {"output": np.asarray(getattr(keras.ops, op)(**tensors, **arguments))}


def calls() -> Iterator[tuple[str, Shapes, Arguments]]:
    # Kernels below, at and above the stride, odd and even.
    for kernel, strides, padding, extra in itertools.product(
        [[1, 2], [3, 4]], [[1, 2], [2, 3], [4, 1]], ["valid", "same"], [None, 0, 1, [2, 0]]
    ):
        arrays = {"inputs": [1, 3, 2, 2], "kernel": [*kernel, 3, 2]}
        settings = {"strides": strides, "padding": padding, "output_padding": extra}
        yield "conv_transpose", arrays, settings
    first = {"inputs": [1, 2, 4], "kernel": [3, 3, 2], "data_format": "channels_first"}
    form = {"data_format": first.pop("data_format")}
    for dilation, extra in itertools.product([2, 3], [None, 1]):
        more = {"strides": 2, "padding": "same", "dilation_rate": dilation, "output_padding": extra}
        yield "conv_transpose", first, {**more, **form}
    cube = {"inputs": [1, 2, 3, 2, 2], "kernel": [2, 3, 2, 3, 2]}
    yield "conv_transpose", cube, {"strides": 2, "padding": "same"}
    for padding in ("valid", "same"):
        yield "conv", {"inputs": [2, 9, 3], "kernel": [3, 3, 4]}, {"padding": padding, "strides": 2}
        grouped = {"inputs": [2, 6, 7, 4], "kernel": [3, 2, 2, 6]}
        yield "conv", grouped, {"padding": padding, "dilation_rate": [1, 2]}
        last = {"inputs": [1, 2, 4, 5, 4], "kernel": [2, 2, 3, 2, 3]}
        yield "conv", last, {"padding": padding, **form}
        depth = {"inputs": [2, 6, 7, 4], "kernel": [3, 2, 4, 2]}
        yield "depthwise_conv", depth, {"padding": padding, "strides": [2, 2]}
        yield "depthwise_conv", depth, {"padding": padding, "dilation_rate": 2}
        line = {"inputs": [2, 4, 7], "kernel": [3, 4, 2]}
        yield "depthwise_conv", line, {"padding": padding, **form}
        split = {"depthwise_kernel": [3, 2, 4, 2], "pointwise_kernel": [1, 1, 8, 3]}
        shapes = {"inputs": [2, 6, 7, 4], **split}
        yield "separable_conv", shapes, {"padding": padding, "strides": 2}
        yield "separable_conv", shapes, {"padding": padding, "dilation_rate": 2}
