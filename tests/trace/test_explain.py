"""explain lists every convolution of a function, jconv's and lax's, gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from plain import CONFIGURATIONS, integers, lax_conv

import jconv

X, W = integers((2, 9, 8, 4), 1), integers((3, 3, 2, 6), 2)
SETTINGS = {"stride": 2, "groups": 2, "padding": "SAME"}


def our_loss(x, w):
    return jnp.sum(jconv.conv(x, w, **SETTINGS) ** 2)


def test_the_three_legs_of_a_gradient():
    plans = jconv.explain(jax.grad(our_loss, (0, 1)), X, W)
    assert sorted(plan.leg for plan in plans) == ["conv", "filter_grad", "input_grad"]
    for plan in plans:
        assert plan.x_shape == X.shape
        assert plan.w_shape == W.shape
        assert plan.y_shape == (2, 5, 4, 6)
        assert plan.keywords["groups"] == 2
        assert "conv  x (2, 9, 8, 4)" in str(plan)


def test_shapes_alone_are_enough():
    avals = (jax.ShapeDtypeStruct(X.shape, X.dtype), jax.ShapeDtypeStruct(W.shape, W.dtype))
    assert jconv.explain(our_loss, *avals) == jconv.explain(our_loss, X, W)


def test_a_model_with_leaves_that_are_no_arrays():
    def fn(model, x):
        assert isinstance(model["times"], int)
        for _ in range(model["times"]):
            x = model["act"](jconv.conv(x, model["w"]))
        return x, model["name"]

    model = {"w": jnp.ones((3, 3, 4, 4)), "act": jax.nn.relu, "times": 2, "name": "two"}
    assert [plan.leg for plan in jconv.explain(fn, model, X)] == ["conv", "conv"]


def test_inside_scan_cond_jit_checkpoint_and_while():
    def f(x, w):
        x = lax.scan(lambda c, _: (jconv.conv(c, w, groups=2)[..., :4], None), x, length=3)[0]
        x = lax.cond(x.sum() > 0, lambda x: jconv.conv(x, w, groups=2)[..., :4], lambda x: x, x)
        x = jax.jit(lambda x: jconv.conv(x, w, groups=2))(x)[..., :4]
        x = jax.checkpoint(lambda x: jconv.conv(x, w, groups=2))(x)[..., :4]
        return lax.while_loop(
            lambda x: x.sum() < 0, lambda x: jconv.conv(x, w, groups=2)[..., :4], x
        )

    assert len(jconv.explain(f, X, W)) == 5


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_lax_forward_convolutions_read_as_the_same_plan(name):
    x_shape, w_shape, settings = CONFIGURATIONS[name]
    x, w = jnp.ones(x_shape), jnp.ones(w_shape)
    (theirs,) = jconv.explain(lambda x, w: lax_conv(x, w, **settings), x, w)
    (ours,) = jconv.explain(lambda x, w: jconv.conv(x, w, **settings), x, w)
    assert theirs.legs["conv"] == ours.legs["conv"]
    assert (theirs.x_shape, theirs.w_shape, theirs.y_shape) == (x_shape, w_shape, ours.y_shape)


def test_lax_gradients_are_listed_and_batch_groups_are_a_filter_backprop():
    def loss(x, w):
        return jnp.sum(lax_conv(x, w, **SETTINGS) ** 2)

    plans = jconv.explain(jax.grad(loss, (0, 1)), X, W)
    assert len(plans) == 3
    (filter_grad,) = [plan for plan in plans if plan.leg == "filter_grad"]
    assert filter_grad.w_shape == W.shape
    flops = {plan.legs[plan.leg].flops for plan in plans}
    (ours,) = {plan.legs[plan.leg].flops for plan in jconv.explain(our_loss, X, W)}
    assert ours in flops


@pytest.mark.parametrize("wrong", [3, jnp.ones(3), None, "conv"])
def test_what_cannot_be_called(wrong):
    for function in (jconv.explain, jconv.accelerate):
        with pytest.raises(jconv.ConvError, match=r"`fn` (is|must be) the function") as caught:
            function(wrong)
        assert caught.value.argument == "fn"


@pytest.mark.parametrize("wrong", [np.ones(3), jnp.ones(2), ["auto"], None])
def test_arrays_and_lists_that_are_no_names(wrong):
    with pytest.raises(jconv.ConvError, match="no such rule"), jconv.policy(wrong):
        pass
    diagnosis = jconv.diagnose(x_shape=(1, 8, 8, 3), w_shape=(3, 3, 3, 4), op=wrong)
    assert (diagnosis.ok, diagnosis.argument) == (False, "op")
