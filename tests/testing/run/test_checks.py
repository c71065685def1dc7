"""The checks that stand alone pass what is right and raise over what is wrong."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from mutants import MUTANTS

import jconv
from jconv.testing import CASES, check_adjoint, check_transforms, check_trilinear

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
