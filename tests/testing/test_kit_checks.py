"""The checks that stand alone pass what is right and raise over what is wrong."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mutants import MUTANTS

import jconv
from jconv.testing import CASES, check_adjoint, check_grads, check_transforms, check_trilinear

BY_NAME = {mutant.name: mutant.implementation for mutant in MUTANTS}
X, W = jnp.ones((2, 7, 2)), jnp.ones((3, 2, 4))
LEGS = {
    "conv": jconv.conv,
    "input_grad": jconv.conv_input_grad,
    "filter_grad": jconv.conv_filter_grad,
}


# --- check_trilinear ----------------------------------------------------------------------------


def test_trilinear_holds_for_jconv():
    cases = CASES[3::16]
    assert check_trilinear(**LEGS, cases=cases) == len(cases)


@pytest.mark.parametrize(
    "name",
    [
        "unflipped-backprop",
        "remainder-lost",
        "border-cropped",
        "first-of-batch",
        "swapped-channels",
        "remainder-in-front",
    ],
)
def test_trilinear_finds(name):
    impl = BY_NAME[name]
    with pytest.raises(AssertionError, match=r"<g, conv\(x, w\)> = .*<w, filter_grad"):
        check_trilinear(impl.conv, impl.conv_input_grad, impl.conv_filter_grad, cases=CASES[::2])


def test_trilinear_finds_a_wrong_shape_and_an_exception():
    def short(g, w, **keywords):
        return jconv.conv_input_grad(g, w, **keywords)[:, 1:]

    def broken(g, w, **keywords):
        raise IndexError("of a loop")

    with pytest.raises(AssertionError, match="returned the shape"):
        check_trilinear(**{**LEGS, "input_grad": short}, cases=CASES[:1])
    with pytest.raises(AssertionError, match="IndexError: of a loop"):
        check_trilinear(**{**LEGS, "input_grad": broken}, cases=CASES[:1])


def test_trilinear_does_not_pass_what_refuses_everything():
    def refuse(*args, **keywords):
        raise NotImplementedError("not today")

    with pytest.raises(AssertionError, match="refused"):
        check_trilinear(refuse, refuse, refuse, cases=CASES[:2])


# --- check_adjoint ------------------------------------------------------------------------------


def test_adjoint():
    forward = lambda x: jconv.conv(x, W, stride=2)  # noqa: E731
    adjoint = lambda y: jconv.conv_transpose(y, W, stride=2, output_shape=X.shape)  # noqa: E731
    check_adjoint(forward, adjoint, X, (2, 4, 4))
    with pytest.raises(AssertionError, match="not the other's transpose"):
        check_adjoint(forward, lambda y: adjoint(y)[:, ::-1], X, (2, 4, 4))
    with pytest.raises(AssertionError, match="shape"):
        check_adjoint(forward, lambda y: adjoint(y)[:, :-1], X, (2, 4, 4))
    with pytest.raises(AssertionError, match="transpose"):  # of complex arrays, not the adjoint
        check_adjoint(
            jnp.conj, lambda y: 1j * jnp.conj(y), np.ones(3, "complex64"), np.ones(3, "complex64")
        )


def test_adjoint_may_round():
    third = lambda x: x * jnp.float32(1 / 3)  # noqa: E731
    check_adjoint(third, third, (5,), (5,), exact=False)
    with pytest.raises(AssertionError):
        check_adjoint(third, lambda y: y * 0.5, (5,), (5,), exact=False)


# --- check_grads --------------------------------------------------------------------------------


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


# --- check_transforms ---------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["conv", "conv_transpose"])
def test_transforms_of_jconv(op):
    report = check_transforms(getattr(jconv, op), exact=True)
    assert report.exact
    assert not report.refused


def test_transforms_of_a_custom_vjp_lack_forward_mode():
    report = check_transforms(BY_NAME["vjp-once"].conv, "conv", ways=["value", "forward"])
    assert [refused.properties for refused in report.refused] == [("forward mode",)]


@pytest.mark.parametrize(
    "name",
    ["vmap-reversed", "vmap-first", "vmap-interleaved", "vjp-negated", "jvp-doubled", "vjp-once"],
)
def test_transforms_finds(name):
    with pytest.raises(AssertionError, match="likeliest cause"):
        check_transforms(
            BY_NAME[name].conv,
            "conv",
            ways=["reverse", "forward", "vmap-both", "reverse-over-reverse"],
        )
