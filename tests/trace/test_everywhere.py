"""everywhere: who is served, who is not, and what is left behind."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import textwrap
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.lax import conv_general_dilated as held_since_import
from jax.scipy import signal
from plain import integers, lax_conv

import jconv

X, W = integers((2, 9, 8, 4), 1), integers((3, 3, 4, 6), 2)


def program(fn, *args):
    """The primitives of a function that was never traced before, as text."""
    arrays = [arg for arg in args if hasattr(arg, "dtype")]
    return str(jax.make_jaxpr(lambda *given: fn(*given, *args[len(given) :]))(*arrays))


def loss(w, x):
    return jnp.sum(lax_conv(x, w, stride=2) ** 2)


def is_patched():
    return "bind" in vars(lax.conv_general_dilated_p)


@pytest.fixture(autouse=True)
def nothing_is_left():
    assert not is_patched()
    yield
    assert not is_patched()


CALLERS = {
    "lax": lambda: lax_conv(X, W),
    "lax.conv": lambda: lax.conv(jnp.ones((1, 3, 8)), jnp.ones((4, 3, 3)), (1,), "SAME"),
    "vmap": lambda: jax.vmap(lambda x: lax_conv(x[None], W))(X),
    "scan": lambda: lax.scan(lambda c, x: (c, lax_conv(x[None], W)), 0, X)[1],
    "jit": lambda: jax.jit(lambda x: lax_conv(x, W))(X),
    "remat": lambda: jax.checkpoint(lambda x: lax_conv(x, W))(X),
}


@pytest.mark.parametrize("name", CALLERS)
def test_who_is_served(name):
    want = program(CALLERS[name])
    assert "conv_general_dilated" in want
    assert "jconv" not in want
    with jconv.everywhere():
        got = program(CALLERS[name])
        result = CALLERS[name]()
    assert "conv_general_dilated" not in got
    assert "jconv_conv" in got
    np.testing.assert_array_equal(result, CALLERS[name]())


def test_functions_of_jax():
    """Sizes that no other test has: jnp.convolve is jitted, and stays what it was first."""
    x, k = jnp.ones(31), jnp.ones(4)
    with jconv.everywhere():
        for call in (signal.convolve, jnp.convolve):
            assert "jconv_conv" in program(call, x, k)
            np.testing.assert_allclose(call(x, k), np.convolve(x, k))
    assert "jconv_conv" in program(jnp.convolve, x, k)


def test_references_from_before():
    x, w = jnp.moveaxis(X, -1, 1), W.transpose(3, 2, 0, 1)
    with jconv.everywhere():
        assert "jconv_conv" in program(held_since_import, x, w, (1, 1), "SAME")


def test_gradients_are_jconv_s_and_equal():
    want = jax.grad(loss, (0, 1))(W, X)
    with jconv.everywhere():
        text = program(jax.grad(loss, (0, 1)), W, X)
        got = jax.grad(loss, (0, 1))(W, X)
    for leg in ("conv", "filter_grad", "input_grad"):
        assert f"jconv_{leg}" in text
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_traced_stays_what_it_was():
    before, inside = jax.jit(lambda w, x: loss(w, x)), jax.jit(lambda w, x: loss(w, x))
    before(W, X)
    sizes = before._cache_size()
    with jconv.everywhere():
        inside(W, X)
        before(W, X)
        assert "jconv" not in program(before, W, X)
        assert "jconv_conv" in program(inside, W, X)
    before(W, X)
    assert "jconv" not in program(before, W, X)
    assert "jconv_conv" in program(inside, W, X)
    assert before._cache_size() == sizes  # nothing was compiled once more
    inside(W, X)
    assert inside._cache_size() == 1


def test_an_algorithm_s_own_convolution_is_lax_s():
    """Lowered inside the context, where taking its call would never end."""
    with jconv.everywhere(), jconv.policy("direct"):
        lowered = jax.jit(lambda x: lax_conv(x, W)).lower(X)
        assert "stablehlo.convolution" in lowered.as_text()
        np.testing.assert_array_equal(lowered.compile()(X), lax_conv(X, W))


def test_the_policy_in_force_counts():
    with jconv.everywhere(), jconv.policy("exact"):
        (plan,) = jconv.explain(lambda x: lax_conv(x, W), X)
    assert plan.problem.policy == "exact"


def test_nested_and_on_exceptions():
    def fails():
        with jconv.everywhere():
            assert "jconv_conv" in program(lax_conv, X, W)
        assert "jconv_conv" in program(lax_conv, X, W)
        with contextlib.suppress(KeyError), jconv.everywhere():
            raise KeyError
        assert "jconv_conv" in program(lax_conv, X, W)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), jconv.everywhere():
        fails()
    assert "jconv" not in program(lax_conv, X, W)


def test_as_a_decorator():
    @jconv.everywhere()
    def traced():
        return program(lax_conv, X, W)

    assert "jconv_conv" in traced()
    assert "jconv_conv" in traced()
    assert "jconv" not in program(lax_conv, X, W)


def test_accelerate_inside_and_around():
    with jconv.everywhere():
        step = jax.jit(jconv.accelerate(jax.grad(loss)))
        assert "conv_general_dilated" not in program(step, W, X)
        got = step(W, X)
        assert "jconv_conv" in program(lax_conv, X, W)
    np.testing.assert_array_equal(got, jax.grad(loss)(W, X))


def test_other_threads_are_not_concerned():
    """They come, go and stay while another thread is inside."""
    inside, leave = threading.Event(), threading.Event()
    found = []

    def stays():
        with jconv.everywhere():
            inside.set()
            assert leave.wait(60)
            found.append(program(lax_conv, X, W))

    def passes():
        found.append(program(lax_conv, X, W))

    first = threading.Thread(target=stays)
    first.start()
    assert inside.wait(60)
    assert is_patched()
    assert "jconv" not in program(lax_conv, X, W)
    with jconv.everywhere():
        second = threading.Thread(target=passes)
        second.start()
        second.join(60)
    assert "jconv" not in found[0]
    assert "jconv" not in program(lax_conv, X, W)
    leave.set()
    first.join(60)
    assert "jconv_conv" in found[1]


def test_a_bind_that_somebody_else_put_there_comes_back():
    primitive = lax.conv_general_dilated_p
    calls, original = [], primitive.bind

    def counting(*args, **params):
        calls.append(1)
        return original(*args, **params)

    primitive.bind = counting
    try:
        with jconv.everywhere():
            program(lax_conv, X, W)
        assert primitive.bind is counting
        assert calls == []
        program(lax_conv, X, W)
        assert calls == [1]
    finally:
        del primitive.bind


def test_wrong_calls_keep_lax_s_error():
    with jconv.everywhere(), pytest.raises((TypeError, ValueError)) as caught:
        lax_conv(X, W[:, :, :2])
    assert not isinstance(caught.value, jconv.ConvError)


def test_what_jconv_has_not_runs_on_lax():
    """Booleans, which jconv refuses; lax's result is what it was."""
    x, w = X > 0, W > 0
    want = lax_conv(x, w)
    with jconv.everywhere():
        np.testing.assert_array_equal(lax_conv(x, w), want)


def test_importing_patches_nothing():
    code = """
        from jax import lax
        before = dict(vars(lax.conv_general_dilated_p))
        import jconv
        assert vars(lax.conv_general_dilated_p) == before
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=120)


FIT = """
    import os
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    import numpy as np
    import jconv

    def trained(context):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((12, 12, 3)),
                keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
                keras.layers.DepthwiseConv2D(3, padding="same"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(2),
            ]
        )
        model.compile(optimizer="sgd", loss="mse")
        x = np.random.default_rng(0).normal(size=(16, 12, 12, 3)).astype("float32")
        y = np.ones((16, 2), "float32")
        with context:
            model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        return model, x

    import contextlib
    import jconv._ops.primitives as primitives
    legs = []
    original = primitives._computed
    def watched(problem, *rest):
        legs.append(problem.leg)
        return original(problem, *rest)
    primitives._computed = watched
    plain, x = trained(contextlib.nullcontext())
    assert not legs
    ours, _ = trained(jconv.everywhere())
    assert {"conv", "filter_grad", "input_grad"} <= set(legs), legs
    for a, b in zip(plain.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
"""


def test_keras_fit():
    if importlib.util.find_spec("keras") is None:  # importing it would choose its backend
        pytest.skip("keras is missing: install the extra `peers`")
    subprocess.run([sys.executable, "-c", textwrap.dedent(FIT)], check=True, timeout=300)
