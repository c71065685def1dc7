"""The convolutions among the test data that ONNX ships, nodes and converted models alike."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx.backend.test.case.node import collect_testcases

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
FOLDER = Path(onnx.__path__[0]) / "backend" / "test" / "data"
INPUTS = {
    "Conv": ("X", "W", "B"),
    "ConvTranspose": ("X", "W", "B"),
    "ConvInteger": ("x", "w", "x_zero_point", "w_zero_point"),
}


def versions() -> dict[str, str]:
    return {"onnx": onnx.__version__, "numpy": np.__version__}


def calls() -> Iterator[tuple[str, str, Arrays, Arrays, dict[str, Any]]]:
    """Each test's name, operation, operands, results and attributes."""
    with warnings.catch_warnings(action="ignore"):  # of other nodes: collecting runs them all
        cases = collect_testcases()
    for case in cases:
        if _alone(case.model.graph):
            operands, results = case.data_sets[0]
            yield _read(case.name, case.model.graph.node[0], operands, results[0])
    for path in sorted(FOLDER.glob("pytorch-*/test_*/model.onnx")):
        graph = onnx.load(path).graph
        if _alone(graph):
            held = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
            x, y = (
                onnx.numpy_helper.to_array(onnx.load_tensor(path.parent / "test_data_set_0" / name))
                for name in ("input_0.pb", "output_0.pb")
            )
            yield _read(path.parent.name, graph.node[0], [x, *held], y)


def _alone(graph: onnx.GraphProto) -> bool:
    """Whether this is one convolution and nothing else."""
    return [node.op_type in INPUTS for node in graph.node] == [True]


def _read(
    name: str, node: onnx.NodeProto, operands: list[Array], result: Array
) -> tuple[str, str, Arrays, Arrays, dict[str, Any]]:
    names = INPUTS[node.op_type][: len(operands)]
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    plain = {
        key: value.decode() if isinstance(value, bytes) else value
        for key, value in attributes.items()
    }
    named = dict(zip(names, operands, strict=True))
    return name.removeprefix("test_"), node.op_type, named, {"output": result}, plain
