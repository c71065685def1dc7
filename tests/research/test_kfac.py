"""The Kronecker factors against windows laid out in NumPy, and against kfac-jax's own numbers."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import AS_USERS
from random_convolutions import configuration, integers

import jconv
from jconv._research import kfac
from jconv.testing import reference


def expected(x, w_shape, settings):
    """The sum of window window^T by NumPy: each tap and channel picked by a filter of one 1."""
    first = "layout" in settings
    groups = settings.get("groups", 1)
    taps = w_shape[2:] if first else w_shape[:-2]
    c = x.shape[1 if first else -1] // groups
    columns = []
    for place in itertools.product(*map(range, (*taps, c))):
        w = np.zeros((*taps, c, groups), np.float32)
        w[place] = 1
        w = np.moveaxis(w, (-1, -2), (0, 1)) if first else w
        y = reference.conv(x, w, **settings)
        y = np.moveaxis(y, 1, -1) if first else y
        columns.append(y.reshape(-1, groups))
    rows = np.stack(columns, -1)
    return rows, np.einsum("tgi,tgj->gij", rows, rows)


def forced(monkeypatch, name):
    choose = kfac.choose_way
    monkeypatch.setattr(
        kfac, "choose_way", lambda *args: dataclasses.replace(choose(*args), name=name)
    )


@pytest.mark.parametrize("workspace", [None, 200])
@pytest.mark.parametrize("seed", [0, 3, 5])
def test_random_configurations(seed, workspace):
    """A workspace of 200 bytes lets a few windows be held at a time."""
    x_shape, w_shape, settings = configuration(seed)
    x, groups = integers(x_shape, seed), settings["groups"]
    y = reference.conv(x, np.zeros(w_shape, np.float32), **settings)
    g = integers(y.shape, 1)
    rows, moments = expected(x, w_shape, settings)
    with jconv.policy(workspace=workspace):
        factors = lambda x, g: jconv.kfac_factors(  # noqa: E731
            x, g, filter_shape=w_shape, bias=True, **settings
        )
        a, b = jax.jit(factors)(x, g)
    a, b = (a, b) if groups > 1 else (a[None], b[None])
    np.testing.assert_array_equal(a[:, :-1, :-1], moments)
    np.testing.assert_array_equal(a[:, -1, :-1], rows.sum(0))
    np.testing.assert_array_equal(a[:, :-1, -1], rows.sum(0))
    np.testing.assert_array_equal(a[:, -1, -1], rows.shape[0])
    pixels = (np.moveaxis(g, 1, -1) if "layout" in settings else g).reshape(
        rows.shape[0], groups, -1
    )
    np.testing.assert_array_equal(b, np.einsum("tgi,tgj->gij", pixels, pixels))


AUTOCORRELATED = {
    "plain": ((2, 7, 8, 2), (3, 3, 2, 3), {}),
    "valid-even": ((1, 6, 11, 3), (2, 4, 3, 2), {"padding": "VALID"}),
    "line-dilated": ((3, 14, 2), (3, 2, 4), {"dilation": 2, "padding": "CAUSAL"}),
    "groups": ((2, 6, 7, 4), (3, 2, 2, 4), {"groups": 2, "padding": [(2, 0), (0, 3)]}),
    "one-tap-axis": ((2, 4, 9, 2), (1, 3, 2, 2), {}),
    "volume": ((1, 5, 6, 5, 2), (2, 3, 2, 2, 2), {}),
    "circular": ((1, 2, 7, 6), (4, 2, 3, 3), {"padding_mode": "circular", "layout": "NCHW"}),
}


@pytest.mark.parametrize("workspace", [None, 200])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "settings"), AUTOCORRELATED.values(), ids=AUTOCORRELATED
)
def test_the_autocorrelation_and_its_borders(x_shape, w_shape, settings, workspace, monkeypatch):
    x = integers(x_shape, 1)
    g = integers(reference.conv(x, np.zeros(w_shape, np.float32), **settings).shape, 2)
    _, moments = expected(x, w_shape, settings)
    forced(monkeypatch, "autocorrelation")
    with jconv.policy(workspace=workspace):
        a, _ = jax.jit(lambda x, g: jconv.kfac_factors(x, g, filter_shape=w_shape, **settings))(
            x, g
        )
    np.testing.assert_array_equal(a, moments if "groups" in settings else moments[0])


def test_derivatives():
    x, g = jnp.asarray(integers((2, 9, 9, 2), 1)), jnp.asarray(integers((2, 9, 9, 2), 2))
    t = jnp.asarray(integers((18, 18), 3))

    def by_factors(x):
        return jnp.vdot(t, jconv.kfac_factors(x, g, filter_shape=(3, 3))[0])

    def by_patches(x):
        rows = jconv.unfold(x, 3).reshape(-1, 18)
        return jnp.vdot(t, rows.T @ rows)

    for fn in (jax.grad, lambda f: lambda x: jax.jvp(f, (x,), (x,))[1]):
        np.testing.assert_array_equal(jax.jit(fn(by_factors))(x), jax.jit(fn(by_patches))(x))


@pytest.mark.parametrize("shape", [(0, 5, 5, 2), (2, 0, 5, 2)])
def test_nothing_makes_zeros(shape):
    g = np.zeros((*shape[:-1], 3), np.float32)
    a, b = jconv.kfac_factors(np.zeros(shape, np.float32), g, filter_shape=(3, 3), bias=True)
    np.testing.assert_array_equal(a, np.zeros((19, 19)))
    np.testing.assert_array_equal(b, np.zeros((3, 3)))


@pytest.mark.parametrize("stride", [1, 2])
def test_windows_are_not_held(stride):
    """Nine taps of 8 x 56 x 56 x 64 would take 58 MB, a quarter of it at stride 2."""
    x, g = (jax.ShapeDtypeStruct((8, r, r, 64), jnp.float32) for r in (56, 56 // stride))
    with jconv.policy(workspace=1 << 21):
        fn = jax.jit(lambda x, g: jconv.kfac_factors(x, g, filter_shape=(3, 3), stride=stride))
        held = fn.lower(x, g).compile(AS_USERS).memory_analysis().temp_size_in_bytes
        planned = jconv.plan_operation("kfac_factors", x.shape, (3, 3, 64, 64), stride=stride)
    factor = 4 * (9 * 64) ** 2
    assert held < planned.workspace_bytes + 4 * factor < 9 * 4 * g.size


def test_the_plan_says_which_way():
    plan = jconv.plan_operation("kfac_factors", (8, 56, 56, 64), (3, 3, 64, 64))
    assert plan.way == "autocorrelation"
    assert "patches" in plan.rejected
    strided = jconv.plan_operation("kfac_factors", (8, 56, 56, 64), (3, 3, 64, 64), stride=2)
    assert strided.way == "patches"
    assert strided.rejected["autocorrelation"].startswith("only supports stride 1")
    assert "not autocorrelation" in str(strided)


def test_bad_input():
    x, g = np.ones((2, 5, 5, 2), np.float32), np.ones((2, 4, 5, 3), np.float32)
    with pytest.raises(jconv.ConvError, match=r"^kfac_factors: ") as caught:
        jconv.kfac_factors(x, g, filter_shape=(3, 3))
    assert caught.value.argument in ("g", "padding")


# On cases of kfac-jax's own tests: its factor and its sums of windows, each times integer weights,
# and the factor's trace, as kfac-jax 0.0.8 computed them (all whole numbers, so exact).
KFAC_JAX = [
    ((8, (3, 3), (1, 1), "SAME", "NHWC", 1), (-4560, -211, 29561)),
    ((8, (4, 5), (2, 3), "VALID", "NCHW", 1), (-5272, -138, 7251)),
    ((16, (1, 2), (1, 3), "SAME", "NHWC", 3), (-9812, -203, 10696)),
    ((8, (3, 3), (1, 1), "VALID", "NCHW", 3), (-4653, -264, 18723)),
    ((9, (2, 2), (2, 2), ((0, 0), (2, 3)), "NHWC", 1), (4315, 63, 4526)),
    ((8, (2, 2), (1, 3), ((0, 1), (2, 3)), "NHWC", 3), (-2693, -38, 4317)),
]


@pytest.mark.parametrize("number", range(len(KFAC_JAX)))
def test_equal_to_kfac_jax(number):
    (size, kernel, stride, padding, order, groups), wanted = KFAC_JAX[number]
    x = integers((5, size, size, 3) if order == "NHWC" else (5, 3, size, size), number)
    layout, w_shape = (order, "HWIO", order), (*kernel, 3 // groups, 3)
    settings = {"stride": stride, "padding": padding, "layout": layout, "groups": groups}
    g = reference.conv(x, np.zeros(w_shape, np.float32), **settings)
    factors = jax.jit(
        lambda x, g: jconv.kfac_factors(x, g, filter_shape=w_shape, bias=True, **settings)
    )
    a = np.asarray(factors(x, g)[0]).reshape(groups, *(np.prod(w_shape[:-1]) + 1,) * 2)
    moments, sums = a[:, :-1, :-1].astype(np.float64), a[:, -1, :-1]
    of_moments = np.vdot(integers(moments.shape, 100 + number), moments)
    of_sums = np.vdot(integers(sums.shape, 200 + number), sums)
    assert (of_moments, of_sums, np.trace(moments.sum(0))) == wanted
