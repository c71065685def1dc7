"""jconv under JAX's stricter modes, at sizes where the planner leaves direct."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv.compat import torch

MODES = {
    "rank promotion": lambda: jax.numpy_rank_promotion("raise"),
    "dtype promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "NaNs": lambda: jax.debug_nans(True),
    "leaks": lambda: jax.checking_leaks(),
    "x64": lambda: jax.enable_x64(True),
}

# Sizes at which the planner leaves direct, one for every algorithm.
CALLS = {
    "winograd": ((1, 28, 28, 32), (3, 3, 32, 32), {}),
    "taps": ((1, 28, 28, 64), (3, 3, 1, 64), {"groups": 64}),
    "taps, multiplier and stride": ((1, 28, 28, 32), (3, 3, 1, 64), {"groups": 32, "stride": 2}),
    "taps, input dilation": (
        (1, 14, 14, 32),
        (3, 3, 1, 32),
        {"groups": 32, "input_dilation": 2},
    ),
    "grouped": ((1, 28, 28, 64), (3, 3, 8, 64), {"groups": 8}),
    "space_to_batch": ((1, 32, 32, 32), (3, 3, 32, 32), {"dilation": 2}),
    "phase, gemm": ((1, 28, 28, 32), (4, 4, 32, 32), {"stride": 2}),
    "fft": ((1, 64, 64, 8), (25, 25, 1, 8), {"groups": 8}),
    "borders": ((1, 28, 28, 32), (3, 3, 32, 32), {"padding_mode": "circular"}),
}
TRACED = ("rank promotion", "dtype promotion")  # modes that are about tracing alone
FEW = (
    "leaks",
    "NaNs",
    "x64",
)  # modes in which compiling or tracing is slow: a few calls stand for all


def steps(calls, rule):
    """The value and both gradients of every call, as one program, and its arguments."""

    def one(x, w, settings):
        y, pullback = jax.vjp(lambda x, w: jconv.conv(x, w, **settings), x, w)
        return y, pullback(y)

    arrays = [(jnp.ones(x, jnp.float32), jnp.ones(w, jnp.float32)) for x, w, _ in calls]
    with jconv.policy(rule):
        together = jax.jit(
            lambda arrays: [one(*pair, call[2]) for pair, call in zip(arrays, calls, strict=True)]
        )
        return together, arrays


@pytest.mark.parametrize("mode", MODES)
def test_every_algorithm_runs_under(mode):
    calls = list(CALLS.values())[: 2 if mode in FEW else None]
    with MODES[mode]():
        program, arrays = steps(calls, "auto")
        if mode in TRACED:
            program.lower(arrays)
            return
        got = jax.tree.map(np.asarray, program(arrays))
    for leaf in jax.tree.leaves(got):
        assert np.isfinite(leaf).all()
        assert leaf.dtype == np.float32


@pytest.mark.parametrize("name", ["taps", "fft", "winograd", "gemm"])
def test_an_algorithm_by_name_under_strict_promotion(name):
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.numpy_rank_promotion("raise"))
        stack.enter_context(jax.numpy_dtype_promotion("strict"))
        key = {"gemm": "winograd", "fft": "fft"}.get(name, name)
        program, arrays = steps([CALLS[key]], name)
        program.lower(arrays)


def test_a_bias_and_a_vmap_under_rank_promotion():
    with jax.numpy_rank_promotion("raise"):
        x, w, b = jnp.ones((3, 2, 4, 9, 9)), jnp.ones((6, 4, 3, 3)), jnp.ones(6)
        assert jax.vmap(torch.conv2d, (0, None, None))(x, w, b).shape == (3, 2, 6, 7, 7)
        assert torch.conv_transpose2d(x[0], jnp.ones((4, 6, 3, 3)), b).shape == (2, 6, 11, 11)
