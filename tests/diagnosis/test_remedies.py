"""What a remedy names: an argument that the called operation takes."""

from __future__ import annotations

import random

import pytest

import jconv
from jconv._check.operations import OPERATIONS


def remedies(op: str, **call: object) -> list[str]:
    error = jconv.diagnose(op=op, **call)
    return [remedy.argument for remedy in getattr(error, "remedies", ())]


@pytest.mark.parametrize("op", OPERATIONS)
def test_a_remedy_names_an_argument_of_the_operation(op):
    operation, rng, named = OPERATIONS[op], random.Random(op), set()
    for _ in range(60):
        shapes = {
            f"{name}_shape": [rng.choice([1, 2, 3, 4, 6, 8]) for _ in range(4)]
            for name in operation.arrays
        }
        shapes |= {name: [rng.choice([1, 2, 3, 5]) for _ in range(2)] for name in operation.told}
        named |= set(remedies(op, **shapes, stride=rng.choice([1, 2])))
    assert named
    assert named <= {*operation.slots, *operation.settings}


def test_a_transposed_convolution_is_not_told_of_input_dilation():
    calls = {"x_shape": (1, 6, 6, 8), "w_shape": (3, 3, 4, 8), "output_shape": (2, 2)}
    told = remedies("conv_transpose", **calls)
    assert "padding" in told
    assert "input_dilation" not in told
