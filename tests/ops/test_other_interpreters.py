"""jax.experimental.jet and roofline over jconv's primitives, against lax's own convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import jet, roofline

import jconv

NUMBERS = ("NHWC", "HWIO", "NHWC")


def by_lax(x, w, stride=1, padding=((1, 1), (1, 1)), dilation=1, input_dilation=1, groups=1):
    return lax.conv_general_dilated(
        x,
        w,
        (stride,) * 2,
        padding,
        (input_dilation,) * 2,
        (dilation,) * 2,
        dimension_numbers=NUMBERS,
        feature_group_count=groups,
    )


def by_jconv(x, w, padding=((1, 1), (1, 1)), **settings):
    return jconv.conv(x, w, padding=padding, **settings)


def whole(*shape):
    rng = np.random.default_rng(len(shape) + shape[0])
    return jnp.asarray(rng.integers(-3, 4, shape), jnp.float32)


def test_jet_of_both_operands_and_of_the_gradient():
    x, w = (whole(2, 9, 9, 4),), (whole(3, 3, 4, 4),)
    series = ([whole(2, 9, 9, 4) + n for n in range(3)], [whole(3, 3, 4, 4) - n for n in range(3)])
    for make in (
        lambda conv: lambda x, w: conv(x, w, stride=2),
        lambda conv: jax.grad(lambda x, w: (conv(x, w) ** 2).sum(), 1),
    ):
        want = jet.jet(make(by_lax), (*x, *w), series)
        got = jet.jet(jax.jit(make(by_jconv)), (*x, *w), series)
        jax.tree.map(np.testing.assert_array_equal, got, want)


def test_jet_of_a_network_in_one_operand():
    w = whole(3, 3, 4, 4) / 8

    def network(conv):
        return lambda x: conv(jnp.sin(conv(x, w)), w).sum()

    given = (whole(1, 8, 8, 4),), ([whole(1, 8, 8, 4), jnp.zeros((1, 8, 8, 4))],)
    want, got = (jet.jet(network(conv), *given) for conv in (by_lax, by_jconv))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), got, want)


@pytest.mark.parametrize(
    ("settings", "filters"),
    [
        ({}, (3, 3, 4, 4)),
        ({"stride": 2}, (3, 3, 4, 4)),
        ({"stride": 3, "dilation": 2, "padding": ((5, 0), (2, 1))}, (3, 2, 4, 4)),
        ({"groups": 2}, (3, 3, 2, 4)),
        ({"input_dilation": 2, "padding": ((3, 3), (0, 7))}, (4, 3, 4, 4)),
    ],
)
def test_roofline_counts_what_it_counts_of_lax(settings, filters):
    x, w = jnp.ones((2, 9, 9, 4)), jnp.ones(filters)
    _, want = roofline.roofline(lambda x, w: by_lax(x, w, **settings))(x, w)
    _, got = roofline.roofline(lambda x, w: by_jconv(x, w, **settings))(x, w)
    assert got.unfused_flops == want.unfused_flops > 0
    assert got.unfused_hbm_bytes == want.unfused_hbm_bytes > 0


def test_roofline_counts_gradients():
    x, w = jnp.ones((2, 9, 9, 4)), jnp.ones((3, 3, 4, 4))
    _, one = roofline.roofline(by_jconv)(x, w)
    gradients = jax.vjp(by_jconv, x, w)[1]
    _, both = roofline.roofline(gradients)(jnp.ones((2, 9, 9, 4)))
    assert both.unfused_flops == 2 * one.unfused_flops
