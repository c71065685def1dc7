"""check_grads passes right derivatives and raises over wrong ones, naming mode and argument."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from mutants import MUTANTS

import jconv
from jconv.testing import check_grads

BY_NAME = {mutant.name: mutant.implementation for mutant in MUTANTS}
X, W = jnp.ones((2, 7, 2)), jnp.ones((3, 2, 4))


def custom(**legs):
    return lambda x, w: jconv.custom_conv(**legs, stride=2)(x, w)


def off_by(factor):
    def input_grad(g, w, *, input_shape, **settings):
        return factor * jconv.conv_input_grad(g, w, input_shape=input_shape, **settings)

    return input_grad


def test_grads_of_a_convolution_are_exact():
    check_grads(lambda x, w: jconv.conv(x, w, stride=2), (X, W))
    check_grads(custom(), (X, W), modes=["rev"])
    check_grads(
        lambda g, w: jconv.conv_input_grad(g, w, input_shape=(7,), stride=2),
        (jnp.ones((2, 4, 4)), W),
        order=1,
    )


def test_grads_of_what_is_not_linear():
    check_grads(lambda x, w: jnp.tanh(jconv.conv(x, w)).sum() ** 2, (0.1 * X, 0.2 * W))
    check_grads(lambda x: {"a": jnp.sin(x), "b": x**3}, (X,))


@pytest.mark.parametrize("factor", [2, 1 + 2**-20, 0, -1])
def test_grads_finds_a_wrong_leg(factor):
    with pytest.raises(AssertionError, match="rev: the derivative in argument 0"):
        check_grads(custom(input_grad=off_by(factor)), (X, W), order=1, modes=["rev"])


@pytest.mark.parametrize("factor", [2, 1 + 1e-5, 0])
def test_grads_finds_a_wrong_leg_under_a_nonlinearity(factor):
    f = custom(input_grad=off_by(factor))
    with pytest.raises(AssertionError, match="rev: the derivative in argument 0"):
        check_grads(lambda x, w: jnp.tanh(f(x, w)), (0.1 * X, 0.2 * W), order=1, modes=["rev"])


def test_grads_finds_a_wrong_second_order():
    f = BY_NAME["vjp-once"].conv
    check_grads(f, (X, W), order=1, modes=["rev"])
    with pytest.raises(AssertionError, match="rev of rev"):
        check_grads(f, (X, W), order=2, modes=["rev"])


def test_grads_finds_a_wrong_tangent():
    with pytest.raises(AssertionError, match="fwd: the derivative in argument 1"):
        check_grads(BY_NAME["jvp-doubled"].conv, (X, W), order=1, modes=["fwd"])


def test_grads_does_not_pass_a_kink():
    with pytest.raises(AssertionError, match="do not settle"):
        check_grads(lambda x: jax.nn.relu(x - 1 + 1e-6), (X,))


def test_grads_wants_floats():
    with pytest.raises(TypeError, match="integers have no gradients"):
        check_grads(lambda x: x, (jnp.arange(3),))
