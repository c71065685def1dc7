"""jconv.compat asked what another framework was asked."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from peers import store

from jconv import compat

RESULT_NAMES = {"convolution_backward": ("input_grad", "weight_grad", "bias_grad")}


def answer(framework: str, call: store.Call, dtype: Any = jnp.float32) -> dict[str, np.ndarray]:
    """The results of `jconv.compat.<framework>.<op>`, by name, compiled as one program."""
    function = operator.attrgetter(f"{framework}.{call.op}")(compat)
    run = jax.jit(functools.partial(_named, function, call))
    operands = {name: jnp.asarray(array, dtype) for name, array in call.operands().items()}
    with jax.numpy_dtype_promotion("strict"):
        return {name: np.asarray(array) for name, array in run(operands).items()}


def _named(function: Any, call: store.Call, operands: Any) -> dict[str, jax.Array]:
    results = function(**operands, **call.arguments)
    names = RESULT_NAMES.get(call.op, ("output",))
    results = results if isinstance(results, tuple) else (results,)
    return {n: r for n, r in zip(names, results, strict=True) if r is not None}


def check_equal(framework: str, call: store.Call, expected: Mapping[str, np.ndarray]) -> None:
    got = answer(framework, call)
    assert got.keys() == expected.keys()
    for name, array in got.items():
        np.testing.assert_array_equal(array, expected[name], f"{name} of {call}")
        assert array.shape == expected[name].shape
