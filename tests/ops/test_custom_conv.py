"""custom_conv: each leg can be one's own, and the rest stays jconv's."""

import functools

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


def test_what_a_partial_has_fixed_stays_fixed():
    seen = []

    def input_grad(g, w, *, stride, groups, input_shape):
        seen.append((stride, groups, input_shape))
        return jnp.zeros(input_shape)

    fixed = functools.partial(functools.partial(input_grad, stride=7), groups=3)
    grads(jconv.custom_conv(input_grad=fixed, **SETTINGS))
    assert seen == [(7, 3, X.shape)]


def test_a_wrapper_is_passed_what_its_own_signature_takes():
    seen = []

    def inner(g, w, *, input_shape, stride):
        seen.append((stride, input_shape))
        return jnp.zeros(input_shape)

    @functools.wraps(inner)
    def narrow(g, w):
        return inner(g, w, input_shape=X.shape, stride="narrow's own")

    @functools.wraps(inner)
    def passing(*args, **keywords):
        return inner(*args, **keywords)

    @functools.wraps(passing)
    def adding(g, w, *, groups, **keywords):
        return passing(g, w, **keywords)

    for leg in (narrow, passing, adding, functools.partial(passing, stride="fixed")):
        grads(jconv.custom_conv(input_grad=leg, **SETTINGS))
    strides = ["narrow's own", 2, 2, "fixed"]
    assert seen == [(stride, X.shape) for stride in strides]


@pytest.mark.parametrize("leg", ["forward", "input_grad", "filter_grad"])
def test_a_leg_that_is_no_function_or_returns_nothing_is_named(leg):
    with pytest.raises(jconv.ConvError, match="must be a function") as caught:
        jconv.custom_conv(**{leg: 3})
    assert (caught.value.argument, caught.value.remedies[0].value) == (leg, None)
    f = jconv.custom_conv(**{leg: lambda a, b: None}, **SETTINGS)
    with pytest.raises(jconv.ConvError, match="must return an array") as caught:
        grads(f)
    assert caught.value.argument == leg


def test_complex_gradients_of_real_operands_are_refused():
    f = jconv.custom_conv(input_grad=lambda g, w: 1j * X, **SETTINGS)
    with pytest.raises(jconv.ConvError, match=r"complex\s+numbers") as caught:
        grads(f)
    assert caught.value.argument == "input_grad"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("stride", 0),
        ("padding", "SMAE"),
        ("dilation", 1.5),
        ("input_dilation", -1),
        ("groups", None),
        ("layout", "nhwc"),
        ("padding_mode", "mirrored"),
        ("precision", "very"),
        ("preferred_element_type", "float33"),
    ],
)
def test_settings_are_checked_where_they_are_given(argument, value):
    with pytest.raises(jconv.ConvError) as caught:
        jconv.custom_conv(**{argument: value})
    assert caught.value.argument == argument
    remedy = caught.value.remedies[0].value
    jconv.custom_conv(**({} if remedy is None else {argument: remedy}))


@pytest.mark.parametrize(
    "settings",
    [
        {"layout": "NCHW", "groups": 2},
        {"layout": ["NWC", "WIO", "NWC"], "stride": (3,)},
        {"padding": [(1, 2)] * 4},
        {"padding": 9, "padding_mode": "reflect"},
        {"dilation": np.int64(2), "padding": "causal"},
    ],
    ids=str,
)
def test_settings_of_any_rank_pass(settings):
    jconv.custom_conv(**settings)


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
