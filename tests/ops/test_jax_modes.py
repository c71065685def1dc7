"""jconv under JAX's stricter modes, at sizes where the planner leaves direct."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import ShapeDtypeStruct

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


def test_complex_numbers_under_strict_promotion():
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.numpy_rank_promotion("raise"))
        stack.enter_context(jax.numpy_dtype_promotion("strict"))
        stack.enter_context(jconv.policy("real"))
        x, w = jnp.ones((1, 9, 9, 8), "complex64"), jnp.ones((3, 3, 4, 8), "complex64")

        def run(x, w):
            y, pullback = jax.vjp(lambda x, w: jconv.conv(x, w, groups=2), x, w)
            return y, pullback(y)

        plan = jconv.plan(x.shape, w.shape, groups=2, dtype="complex64", platform="cpu")
        assert {leg.algorithm for leg in plan.legs.values()} == {"real"}
        jax.jit(run).lower(x, w)


def test_a_bias_and_a_vmap_under_rank_promotion():
    with jax.numpy_rank_promotion("raise"):
        x, w, b = jnp.ones((3, 2, 4, 9, 9)), jnp.ones((6, 4, 3, 3)), jnp.ones(6)
        assert jax.vmap(torch.conv2d, (0, None, None))(x, w, b).shape == (3, 2, 6, 7, 7)
        assert torch.conv_transpose2d(x[0], jnp.ones((4, 6, 3, 3)), b).shape == (2, 6, 11, 11)


# --- every public operation ---------------------------------------------------------------------

# Sizes at which auto takes another algorithm than direct for a leg of nearly each.
X, W = ShapeDtypeStruct((2, 28, 28, 32), "float32"), ShapeDtypeStruct((3, 3, 32, 64), "float32")
Y = ShapeDtypeStruct((2, 14, 14, 64), "float32")
FILTERS = ShapeDtypeStruct((6, 6, 3, 3, 8, 4), "float32")  # one for each output
SIZES = np.array([[28, 20], [9, 28]])
DOWN = {"stride": 2}


def clipped(w, x):
    def loss(w, x):
        return jnp.square(jconv.conv(x, w, **DOWN)).sum((1, 2, 3))

    return jconv.clipped_grad(loss, max_norm=1.0)(w, x)


def streamed(x, w):
    state = jconv.streaming.init(w, batch=2, channels=32, spatial=(28,))
    return jconv.streaming.conv(x, w, state)[0]


def by_legs(x, w):
    """A custom_conv of jconv's own legs, but for the factor of one of them."""
    feedback = jconv.custom_conv(
        input_grad=lambda g, w, **told: jconv.conv_input_grad(g, 2 * w, **told), **DOWN
    )
    return feedback(x, w)


def lax_conv(x, w):
    how = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=how)


OPERATIONS = {
    "conv": (lambda x, w: jconv.conv(x, w, **DOWN), X, W),
    "conv_input_grad": (
        lambda g, w: jconv.conv_input_grad(g, w, input_shape=X.shape, **DOWN),
        Y,
        W,
    ),
    "conv_filter_grad": (
        lambda x, g: jconv.conv_filter_grad(x, g, filter_shape=W.shape, **DOWN),
        X,
        Y,
    ),
    "conv_transpose": (lambda y, w: jconv.conv_transpose(y, w, **DOWN), Y, W),
    "depthwise": (
        lambda x, w: jconv.conv(x, w[:, :, :1, :32], groups=32, padding_mode="reflect"),
        X,
        W,
    ),
    "custom_conv": (by_legs, X, W),
    "unfold": (lambda x: jconv.unfold(x, kernel=3, **DOWN), X),
    "fold": (
        lambda x: jconv.fold(jconv.unfold(x, kernel=3), kernel=3, input_shape=(28, 28)),
        X,
    ),
    "locally_connected": (
        lambda x, w: jconv.locally_connected(x[:, :6, :6, :8], w),
        X,
        FILTERS,
    ),
    "accelerate": (jconv.accelerate(lax_conv), X, W),
    "per_example_filter_grads": (
        lambda x, g: jconv.per_example_filter_grads(x, g, filter_shape=W.shape, **DOWN),
        X,
        Y,
    ),
    "filter_grad_norms": (
        lambda x, g: jconv.filter_grad_norms(x, g, filter_shape=W.shape, **DOWN),
        X,
        Y,
    ),
    "kfac_factors": (
        lambda x, g: jconv.kfac_factors(x, g, filter_shape=W.shape, bias=True, **DOWN),
        X,
        Y,
    ),
    "clipped_grad": (clipped, W, X),
    "ragged.conv": (lambda x, w: jconv.ragged.conv(x, w, SIZES, **DOWN)[0], X, W),
    "ragged.conv_transpose": (
        lambda y, w: jconv.ragged.conv_transpose(y, w, SIZES // 2, **DOWN)[0],
        Y,
        W,
    ),
    "ragged.conv, borders": (
        lambda x, w: jconv.ragged.conv(x, w, jnp.asarray(SIZES), padding_mode="reflect")[0],
        X,
        W,
    ),
    "ragged.conv_transpose, output_padding": (
        lambda y, w: jconv.ragged.conv_transpose(
            y, w, SIZES // 2, padding=1, output_padding=1, **DOWN
        )[0],
        Y,
        W,
    ),
    "ragged.pool": (lambda x: jconv.ragged.pool(x, SIZES, 2, kind="mean", stride=2)[0], X),
    "ragged.mean": (lambda x: jconv.ragged.mean(x, SIZES), X),
    "streaming.conv": (streamed, X, W),
}
NOT_DIFFERENTIATED = ("clipped_grad",)  # it is a gradient


def with_derivatives(name):
    """The operation's values and gradients, as a function of its arrays."""
    function = OPERATIONS[name][0]

    def run(*arrays):
        if name in NOT_DIFFERENTIATED:
            return function(*arrays)
        values, pullback = jax.vjp(function, *arrays)
        return values, pullback(jax.tree.map(jnp.ones_like, values))

    return run


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "NaNs"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_lowers_under(name, mode):
    with MODES[mode]():
        lowered = jax.jit(with_derivatives(name)).lower(*OPERATIONS[name][1:])
    for leaf in jax.tree.leaves(lowered.out_info):
        assert leaf.dtype == np.float32  # under x64 too, whatever Python's numbers are there


@pytest.mark.parametrize("name", ["ragged.conv, borders", "filter_grad_norms", "clipped_grad"])
def test_nothing_is_nan_on_the_way(name):
    """Of operations that mask rows and divide by norms or counts."""
    rng = np.random.default_rng(0)
    given = OPERATIONS[name][1:]
    arrays = [jnp.asarray(rng.standard_normal(a.shape), a.dtype) for a in given]
    with jax.debug_nans(True):
        assert jax.tree.leaves(jax.block_until_ready(jax.jit(with_derivatives(name))(*arrays)))


@pytest.mark.parametrize("rule", ["local", *jconv.algorithms()])
def test_second_derivatives_under_every_mode_by_every_algorithm(rule):
    """Lowered, not run: the modes are about what is traced."""
    x, w = ShapeDtypeStruct((1, 12, 12, 8), "float32"), ShapeDtypeStruct((3, 3, 8, 8), "float32")

    def energy(x, w):
        return jnp.square(jconv.conv(x, w)).sum()

    def second(x, w):
        return jax.grad(lambda x, w: jnp.square(jax.grad(energy, 1)(x, w)).sum(), (0, 1))(x, w)

    with contextlib.ExitStack() as stack:
        for name, mode in MODES.items():
            if name != "leaks" or rule in ("local", "winograd"):  # it retraces all, slowly
                stack.enter_context(mode())
        stack.enter_context(jconv.policy(rule))
        jax.jit(second).lower(x, w)
