"""locally_connected against a sum over places in NumPy, and its derivatives as a bilinear map."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_convolutions import integers

import jconv
from jconv.testing import reference

CASES = {
    "plain": ((2, 5, 4, 3), (3, 2), 2, {}),
    "strided": ((1, 7, 6, 2), (2, 3), 3, {"stride": (2, 3), "padding": [(0, 2), (1, 0)]}),
    "line-dilated": ((3, 9, 1), (3,), 4, {"dilation": 3, "padding": "CAUSAL"}),
    "volume": ((1, 4, 3, 4, 2), (2, 1, 3), 2, {"stride": 2, "padding": "VALID"}),
    "cropped": ((1, 7, 5, 2), (2, 2), 1, {"padding": [(-2, 1), (1, -2)]}),
    "no-examples": ((0, 3, 3, 2), (3, 3), 2, {}),
}


@pytest.mark.parametrize(("x_shape", "kernel", "outputs", "settings"), CASES.values(), ids=CASES)
def test_each_place_has_a_filter_of_its_own(x_shape, kernel, outputs, settings):
    x, filters = integers(x_shape, 1), (*kernel, x_shape[-1], outputs)
    made = reference.conv(x, np.zeros(filters, np.float32), **settings).shape
    w = integers((*made[1:-1], *filters), 2)
    expected = np.zeros(made, np.float32)
    for place in itertools.product(*map(range, made[1:-1])):
        at = (slice(None), *place)
        expected[at] = reference.conv(x, w[place], **settings)[at]
    g, dx, dw = integers(made, 3), integers(x.shape, 4), integers(w.shape, 5)

    @jax.jit
    def everything(x, w, g):
        fn = lambda x, w: jconv.locally_connected(x, w, **settings)  # noqa: E731
        y, pull = jax.vjp(fn, x, w)
        return y, pull(g), jax.jvp(fn, (x, w), (dx, dw))[1], fn(dx, w), fn(x, dw)

    y, (to_x, to_w), slope, by_x, by_w = everything(x, w, g)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(slope, by_x + by_w)
    assert np.vdot(g, by_x) == np.vdot(to_x, dx)
    assert np.vdot(g, by_w) == np.vdot(to_w, dw)


def test_equal_filters_are_a_convolution():
    x, w = integers((2, 6, 5, 3), 1), integers((3, 3, 3, 4), 2)
    everywhere = jnp.broadcast_to(w, (3, 3, *w.shape))
    y = jconv.locally_connected(x, everywhere, stride=2)
    np.testing.assert_array_equal(y, jconv.conv(x, w, stride=2))


def test_under_vmap_and_in_half_precision():
    x, w = integers((3, 2, 4, 1), 1), integers((3, 4, 2, 1, 2), 2)
    mapped = jax.jit(jax.vmap(jconv.locally_connected))(x, w)
    one_by_one = [jconv.locally_connected(x[n], w[n]) for n in range(3)]
    np.testing.assert_array_equal(mapped, np.stack(one_by_one))
    half = jconv.locally_connected(jnp.asarray(x[0], "bfloat16"), jnp.asarray(w[0], "bfloat16"))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half.astype(jnp.float32), one_by_one[0])


X, W = np.ones((1, 4, 4, 2), np.float32), np.ones((4, 4, 3, 3, 2, 5), np.float32)


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"x": [1]}, "x"),
        ({"w": W[0]}, "w"),
        ({"w": W[:3]}, "w"),
        ({"w": W[..., :1, :]}, "x"),
        ({"x": X[0, 0]}, "x"),
        ({"padding": "SOME"}, "padding"),
        ({"stride": 0}, "stride"),
    ],
)
def test_bad_input(change, argument):
    call = {"x": X, "w": W, **change}
    with pytest.raises(jconv.ConvError, match=r"^locally_connected: ") as caught:
        jconv.locally_connected(call.pop("x"), call.pop("w"), **call)
    assert caught.value.argument == argument


def test_the_first_remedy_mends_the_call():
    with pytest.raises(jconv.ConvError) as caught:
        jconv.locally_connected(X, W, stride=2)
    remedy = caught.value.remedies[0]
    assert jconv.locally_connected(X, np.ones(remedy.value), stride=2).shape == (1, 2, 2, 5)


def test_the_plan():
    plan = jconv.plan_operation("locally_connected", X.shape, W.shape)
    assert plan.way == "a product for each place"
    assert plan.workspace_bytes > 0
