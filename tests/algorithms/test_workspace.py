"""The stated workspace bounds the temporaries of the compiled program, and not from far above."""

import jax
import pytest

from jconv._algorithms import BY_NAME
from jconv._core.geometry import Axis, out_size
from jconv._core.problem import OPERANDS, Problem
from jconv._planner.choose import Planner

SLACK = 2e6  # bytes

CASES = {
    # algorithm, leg, batch, groups, c, f, then (size, taps, stride, dilation) of each axis
    "chunks that wait to be joined": (
        *("gemm", "conv", 4, 1, 128, 128),
        [(56, 3, 1, 1), (56, 1, 1, 1)],
    ),
    "one chunk": ("gemm", "conv", 2, 1, 32, 32, [(28, 3, 1, 1), (28, 3, 1, 1)]),
    "products added up": ("gemm", "input_grad", 4, 1, 32, 32, [(28, 3, 2, 1), (28, 3, 2, 1)]),
    "slices read in place": ("taps", "input_grad", 16, 16, 1, 4, [(56, 3, 2, 1), (56, 3, 1, 1)]),
    "padded for many taps": ("taps", "conv", 8, 32, 1, 1, [(56, 5, 1, 1), (56, 5, 1, 1)]),
    "stored sums": ("taps", "filter_grad", 8, 32, 1, 1, [(56, 3, 1, 1), (56, 3, 1, 1)]),
    "blocks of groups": ("grouped", "conv", 8, 16, 4, 4, [(28, 3, 1, 1), (28, 3, 1, 1)]),
    "transposed operands": ("direct", "filter_grad", 8, 1, 32, 32, [(28, 3, 1, 1), (28, 3, 1, 1)]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_stated_workspace_is_what_is_taken(name):
    algorithm, leg, n, groups, c, f, sizes = CASES[name]
    axes = []
    for size, k, s, d in sizes:
        pad = d * (k - 1) // 2
        axes.append(Axis(size, k, out_size(size, k, 2 * pad, s=s, b=1, d=d), s, 1, d, pad))
    dtypes = ["float32"] * 3
    problem = Problem(leg, tuple(axes), n, groups, c, f, *dtypes, policy=algorithm)
    assert BY_NAME[algorithm].supports(problem, "cpu") is None
    a, b = (jax.ShapeDtypeStruct(problem.shape(slot), "float32") for slot in OPERANDS[leg])
    run = jax.jit(lambda a, b: Planner("cpu").run(problem, a, b))
    taken = run.lower(a, b).compile().memory_analysis().temp_size_in_bytes
    stated = BY_NAME[algorithm].workspace(problem, "cpu")
    assert taken <= 1.25 * stated + SLACK
    assert stated <= 2 * taken + SLACK
