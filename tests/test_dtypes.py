"""The dtypes of results and derivatives, precision in every leg, and what a trace captures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from plain import integers

import jconv

SETTINGS = {"stride": 2, "padding": [(1, 0), (2, 1)]}
X_SHAPE, W_SHAPE = (2, 6, 5, 4), (3, 2, 4, 3)


def operands(dtype):
    return integers(X_SHAPE, 1, dtype), integers(W_SHAPE, 2, dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_results_and_backprops_keep_the_dtype(dtype):
    x, w = operands(dtype)
    y = jconv.conv(x, w, **SETTINGS)
    assert y.dtype == dtype
    assert jconv.conv_input_grad(y, w, input_shape=x.shape, **SETTINGS).dtype == dtype
    assert jconv.conv_filter_grad(x, y, filter_shape=w.shape, **SETTINGS).dtype == dtype
    assert jconv.conv_transpose(y, w, output_shape=x.shape, **SETTINGS).dtype == dtype


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_double_precision(dtype):
    with jax.enable_x64(True):
        x, w = operands(dtype)
        y = jconv.conv(x, w, **SETTINGS)
        assert y.dtype == dtype
        x_grad, w_grad = jax.vjp(lambda x, w: jconv.conv(x, w, **SETTINGS), x, w)[1](y)
        assert (x_grad.dtype, w_grad.dtype) == (dtype, dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_preferred_element_type_breaks_no_gradient(dtype):
    x, w = operands(dtype)

    def f(x, w):
        return jconv.conv(x, w, preferred_element_type=jnp.float32, **SETTINGS)

    y = f(x, w)
    assert y.dtype == jnp.float32
    x_grad, w_grad = jax.vjp(f, x, w)[1](y)
    assert (x_grad.dtype, w_grad.dtype) == (dtype, dtype)
    explicit = jconv.conv_input_grad(y, w, input_shape=x.shape, **SETTINGS)
    np.testing.assert_array_equal(explicit, x_grad)
    explicit = jconv.conv_filter_grad(x, y, filter_shape=w.shape, **SETTINGS)
    np.testing.assert_array_equal(explicit, w_grad)
    hessian = jax.jvp(jax.grad(lambda w: f(x, w).sum() ** 2), (w,), (w,))[1]
    assert hessian.dtype == dtype
    wide = jconv.conv_input_grad(
        y, w, input_shape=x.shape, preferred_element_type=jnp.float32, **SETTINGS
    )
    assert wide.dtype == jnp.float32


def test_integers_forward():
    x, w = operands(jnp.int8)
    x = x * 40
    wide = jconv.conv(x, w, preferred_element_type=jnp.int32, **SETTINGS)
    exact = jconv.conv(x.astype(jnp.int32), w.astype(jnp.int32), **SETTINGS)
    assert wide.dtype == jnp.int32
    np.testing.assert_array_equal(wide, exact)
    assert int(abs(exact).max()) > 127, "int8 would have overflowed"
    wrapped = jconv.conv(x, w, **SETTINGS)
    np.testing.assert_array_equal(wrapped, exact.astype(jnp.int8))


def test_complex_is_bilinear_nothing_is_conjugated():
    x, w = operands(jnp.complex64)
    x, w = x + 1j * x[::-1], w * (1 + 2j)
    y = jconv.conv(x, w, **SETTINGS)
    g = y * (1 - 1j)
    form = jnp.sum(g * y)
    x_grad = jconv.conv_input_grad(g, w, input_shape=x.shape, **SETTINGS)
    w_grad = jconv.conv_filter_grad(x, g, filter_shape=w.shape, **SETTINGS)
    np.testing.assert_array_equal(jnp.sum(x * x_grad), form)
    np.testing.assert_array_equal(jnp.sum(w * w_grad), form)


def legs(x, w, **settings):
    y = jconv.conv(x, w, **SETTINGS)
    return {
        "conv": lambda: jconv.conv(x, w, **SETTINGS, **settings),
        "input_grad": lambda: jconv.conv_input_grad(
            y, w, input_shape=x.shape, **SETTINGS, **settings
        ),
        "filter_grad": lambda: jconv.conv_filter_grad(
            x, y, filter_shape=w.shape, **SETTINGS, **settings
        ),
        "conv_transpose": lambda: jconv.conv_transpose(
            y, w, output_shape=x.shape, **SETTINGS, **settings
        ),
        "grad": lambda: jax.grad(lambda x: jconv.conv(x, w, **SETTINGS, **settings).sum())(x),
    }


@pytest.mark.parametrize("precision", ["highest", lax.Precision.HIGHEST, ("highest", "highest")])
@pytest.mark.parametrize("leg", ["conv", "input_grad", "filter_grad", "conv_transpose", "grad"])
def test_precision_reaches_every_leg(leg, precision):
    x, w = operands(jnp.float32)
    text = jax.jit(legs(x, w, precision=precision)[leg]).lower().as_text()
    assert "precision HIGHEST" in text
    assert "precision DEFAULT" not in text
    assert "precision HIGHEST" not in jax.jit(legs(x, w)[leg]).lower().as_text()


def test_gradients_inherit_the_default_precision_of_the_forward():
    x, w = operands(jnp.float32)
    with jax.default_matmul_precision("highest"):
        _, pullback = jax.vjp(lambda x: jconv.conv(x, w, **SETTINGS), x)
    text = jax.jit(pullback).lower(jconv.conv(x, w, **SETTINGS)).as_text()
    assert "precision HIGHEST" in text


def test_policy_is_part_of_jits_key():
    x, w = operands(jnp.float32)
    traces = []

    @jax.jit
    def f(x):
        traces.append(1)
        return jconv.conv(x, w, **SETTINGS)

    f(x)
    with jconv.policy("exact"):
        f(x)
        f(x)
    f(x)
    assert len(traces) == 2


def test_numpy_operands_are_taken_as_jax_takes_them():
    x, w = np.ones(X_SHAPE), np.ones(W_SHAPE)
    assert jconv.conv(x, w).dtype == jnp.float32


def test_strict_promotion_raises_nothing():
    with jax.numpy_dtype_promotion("strict"):
        x, w = operands(jnp.bfloat16)
        for padding_mode in ("zeros", "circular"):
            jax.grad(lambda x, m=padding_mode: jconv.conv(x, w, padding_mode=m, stride=2).sum())(x)
