"""jconv equals what TensorFlow, PyTorch and ONNX answered, from files: none of them is needed.

Operands are small integers in float32, so that the results are equal to the last bit; only
ONNX's converted models have data that are no integers, and a bound.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from peers import store, translate

import jconv

RESULTS = {name: store.read(name) for name in ("tensorflow", "torch", "onnx")}
Stored = Mapping[str, store.Array]


@pytest.fixture(autouse=True)
def _strict_and_exact():
    with jax.numpy_dtype_promotion("strict"), jconv.policy("exact"):
        yield


def _parametrize(framework: str) -> pytest.MarkDecorator:
    calls = RESULTS[framework].calls
    return pytest.mark.parametrize(("call", "stored"), calls, ids=[call.name for call, _ in calls])


def _answer(framework: str, call: store.Call, operands: Stored) -> dict[str, store.Array]:
    run = jax.jit(functools.partial(_translated, framework, call))
    floats = {name: jnp.asarray(array, jnp.float32) for name, array in operands.items()}
    return {name: np.asarray(array) for name, array in run(floats).items()}


def _translated(framework: str, call: store.Call, operands: Any) -> Mapping[str, jax.Array]:
    return translate.answer(framework, call.op, operands, call.arguments)


def _check_equal(framework: str, call: store.Call, stored: Stored) -> None:
    got = _answer(framework, call, call.operands())
    assert got.keys() == stored.keys()
    for name, array in got.items():
        np.testing.assert_array_equal(array, stored[name], f"{name} of {call}", strict=False)
        assert array.shape == stored[name].shape


@_parametrize("tensorflow")
def test_tensorflow(call: store.Call, stored: Stored) -> None:
    _check_equal("tensorflow", call, stored)


@_parametrize("torch")
def test_torch(call: store.Call, stored: Stored) -> None:
    _check_equal("torch", call, stored)


@_parametrize("onnx")
def test_onnx(call: store.Call, stored: Stored) -> None:
    operands = {name: stored[name] for name in call.shapes}
    got = _answer("onnx", call, operands)["output"]
    assert got.shape == stored["output"].shape
    off = np.abs(got - stored["output"])
    assert np.all(off <= _bound(call, operands)), f"{call} is off by up to {off.max()}"


def _bound(call: store.Call, operands: Stored) -> store.Array | int:
    """Zero for integers; 2 (n + 1) u sum |.| for two float32 sums of n products and a bias."""
    if all(np.array_equal(array, np.rint(array)) for array in operands.values()):
        return 0
    w = operands["W"]
    terms = w.size // w.shape[1 if call.op == "ConvTranspose" else 0]
    sizes = _answer("onnx", call, {name: np.abs(array) for name, array in operands.items()})
    # The sum of the sizes is itself rounded: one term more.
    return 2 * (terms + 2) * 2.0**-24 * sizes["output"]


def test_the_files_say_what_made_them_and_are_small() -> None:
    for framework, results in RESULTS.items():
        assert set(results.made_by) == {framework, "numpy"}
    assert sum(len(results.calls) for results in RESULTS.values()) > 300
    assert sum(store.path(framework).stat().st_size for framework in RESULTS) < 300_000


def test_operands_are_what_they_were() -> None:
    """The generator, pinned: another one would make every stored result wrong."""
    found = store.integers((4, 4), seed=7)
    assert found.tolist() == PINNED
    values, counts = np.unique(store.integers((90_000,), seed=1), return_counts=True)
    assert values.tolist() == [*range(-4, 5)]
    assert np.all(np.abs(counts - 10_000) < 500)


PINNED = [[0, 0, 3, -4], [2, -4, -3, -4], [-3, -2, -4, -1], [-4, -3, -2, 2]]


@pytest.mark.parametrize(
    ("framework", "op", "change"),
    [
        ("tensorflow", "Conv2D", {"padding": "VALID"}),
        ("tensorflow", "Conv2DBackpropInput", {"strides": [1, 1, 1, 1]}),
        ("tensorflow", "DepthwiseConv2dNative", {"dilations": [1, 2, 2, 1]}),
        ("torch", "conv2d", {"dilation": 3}),
        ("torch", "conv_transpose2d", {"output_padding": 1}),
        ("torch", "pad_conv2d", {"mode": "circular"}),
    ],
)
def test_another_argument_is_noticed(framework: str, op: str, change: dict[str, Any]) -> None:
    call, stored = next(
        (call, stored)
        for call, stored in RESULTS[framework].calls
        if call.op == op and all(call.arguments[name] != value for name, value in change.items())
    )
    _check_equal(framework, call, stored)
    wrong = dataclasses.replace(call, arguments={**call.arguments, **change})
    with pytest.raises((AssertionError, jconv.ConvError)):
        _check_equal(framework, wrong, stored)
