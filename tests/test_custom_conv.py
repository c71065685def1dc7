"""custom_conv: each leg can be one's own, and the rest stays jconv's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain import integers, lax_conv

import jconv

SETTINGS = {"stride": 2, "groups": 2, "padding": "SAME"}
X, W = integers((2, 6, 5, 4), 1), integers((3, 3, 2, 6), 2)


def grads(f):
    return jax.grad(lambda x, w: jnp.sum(f(x, w) ** 2), (0, 1))(X, W)


def test_with_no_legs_it_is_conv():
    f = jconv.custom_conv(**SETTINGS)
    np.testing.assert_array_equal(f(X, W), jconv.conv(X, W, **SETTINGS))
    plain = grads(lambda x, w: lax_conv(x, w, **SETTINGS))
    for have, want in zip(grads(f), plain, strict=True):
        np.testing.assert_array_equal(have, want)


def test_feedback_alignment_replaces_one_backprop_alone():
    feedback = integers(W.shape, 3)

    def input_grad(g, w, *, input_shape, **settings):
        return jconv.conv_input_grad(g, feedback, input_shape=input_shape, **settings)

    f = jconv.custom_conv(input_grad=input_grad, **SETTINGS)
    x_grad, w_grad = jax.jit(lambda: grads(f))()
    y = jconv.conv(X, W, **SETTINGS)
    expected = jconv.conv_input_grad(2 * y, feedback, input_shape=X.shape, **SETTINGS)
    np.testing.assert_array_equal(x_grad, expected)
    np.testing.assert_array_equal(w_grad, grads(lambda x, w: lax_conv(x, w, **SETTINGS))[1])


def test_bfloat16_gradients_come_back_in_the_operands_dtype():
    def filter_grad(x, g, **settings):
        low = jnp.bfloat16
        return jconv.conv_filter_grad(x.astype(low), g.astype(low), **settings)

    f = jconv.custom_conv(filter_grad=filter_grad, **SETTINGS)
    w_grad = grads(f)[1]
    exact = grads(lambda x, w: lax_conv(x, w, **SETTINGS))[1]
    assert w_grad.dtype == jnp.float32
    np.testing.assert_array_equal(w_grad, w_grad.astype(jnp.bfloat16).astype(jnp.float32))
    np.testing.assert_allclose(w_grad, exact, rtol=2**-7)


def test_a_leg_is_passed_only_what_its_signature_accepts():
    seen = {}

    def input_grad(g, w):
        seen["input_grad"] = ()
        return jnp.zeros(X.shape)

    def filter_grad(x, g, stride, *, filter_shape):
        seen["filter_grad"] = (stride, filter_shape)
        return jnp.zeros(filter_shape)

    def forward(x, w, **settings):
        seen["forward"] = settings
        return jconv.conv(x, w, **settings)

    f = jconv.custom_conv(
        forward=forward, input_grad=input_grad, filter_grad=filter_grad, **SETTINGS
    )
    grads(f)
    assert seen["input_grad"] == ()
    assert seen["filter_grad"] == (2, W.shape)
    assert seen["forward"]["groups"] == 2
    assert "preferred_element_type" in seen["forward"]


def test_a_leg_of_the_wrong_shape_is_named():
    f = jconv.custom_conv(filter_grad=lambda x, g: jnp.zeros((1,)), **SETTINGS)
    with pytest.raises(jconv.ConvError, match="filter_grad") as caught:
        grads(f)
    assert caught.value.expected == W.shape


def test_it_is_a_custom_vjp_without_forward_mode_but_with_vmap_and_second_order():
    f = jconv.custom_conv(**SETTINGS)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: f(x, W), (X,), (X,))
    stacked = jnp.stack([X, X + 1])
    np.testing.assert_array_equal(
        jax.vmap(f, (0, None))(stacked, W)[1], jconv.conv(X + 1, W, **SETTINGS)
    )

    def second(conv):
        first = jax.grad(lambda w: jnp.sum(conv(X, w) ** 2))
        return jax.grad(lambda w: jnp.vdot(first(w), W))(W)

    np.testing.assert_array_equal(second(f), second(lambda x, w: lax_conv(x, w, **SETTINGS)))
