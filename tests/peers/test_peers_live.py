"""jconv equals PyTorch, asked now: larger and odder random calls than those that are stored."""

from __future__ import annotations

import functools
import itertools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from peers import store, translate

import jconv

pytest.importorskip("torch", reason="PyTorch is a peer, not a dependency")

from peers import torch_calls

SEED = int(os.environ.get("JCONV_PEER_SEED", "1"))
COUNT = int(os.environ.get("JCONV_PEER_CALLS", "60"))
CALLS = [
    store.Call(store.name_of(op, arguments, number), op, shapes, arguments, SEED + number)
    for number, (op, shapes, arguments) in enumerate(
        itertools.islice(torch_calls.calls(SEED, large=True), COUNT)
    )
]


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("call", CALLS, ids=[call.name for call in CALLS])
def test_torch_now(call: store.Call) -> None:
    operands = call.operands()
    expected = torch_calls.run(call.op, operands, call.arguments)
    # The sums stay whole in float32 as long as their terms' sizes add up to less than 2**24.
    sizes = {name: np.abs(array) for name, array in operands.items()}
    largest = torch_calls.run(call.op, sizes, call.arguments).values()
    assert max(np.max(array, initial=0) for array in largest) < 2**24
    floats = {name: jnp.asarray(array, jnp.float32) for name, array in operands.items()}
    run = functools.partial(translate.answer, "torch", call.op, arguments=call.arguments)
    with jax.numpy_dtype_promotion("strict"), jconv.policy("exact"):
        got = jax.jit(run)(floats)
    assert got.keys() == expected.keys()
    for name, array in got.items():
        assert array.shape == expected[name].shape
        np.testing.assert_array_equal(np.asarray(array), expected[name], f"{name} of {call}")
