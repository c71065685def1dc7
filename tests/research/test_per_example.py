"""A filter gradient for each example, and its norm both ways, against NumPy's own sums."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import AS_USERS
from random_convolutions import configuration, integers

import jconv
from jconv._research import norms
from jconv.testing import reference


def problem_of(seed):
    x_shape, w_shape, settings = configuration(seed)
    x = integers(x_shape, seed)
    y = reference.conv(x, np.zeros(w_shape, np.float32), **settings)
    return x, integers(y.shape, seed + 1), w_shape, settings


def expected(x, g, w_shape, settings):
    one = [
        reference.conv_filter_grad(x[n : n + 1], g[n : n + 1], filter_shape=w_shape, **settings)
        for n in range(len(x))
    ]
    return np.stack(one)


def flat_norms(grads):
    return np.sqrt(np.sum(grads.reshape(len(grads), -1).astype(np.float64) ** 2, axis=1))


def forced(monkeypatch, name, examples=1 << 60):
    """The named way, so many examples in a turn, whatever is cheaper."""

    def choose(problem, count, platform=None):
        way = norms._form(problem, count, "cpu") if name == "form" else norms._gram(problem, count)
        return dataclasses.replace(way, examples=examples)

    monkeypatch.setattr(norms, "choose_way", choose)


@pytest.mark.parametrize("seed", range(10))
def test_gradients_and_norms_of_random_configurations(seed, monkeypatch):
    x, g, w_shape, settings = problem_of(seed)
    grads = expected(x, g, w_shape, settings)
    settings["filter_shape"] = w_shape

    @jax.jit
    def all_of_them(x, g):
        forced(monkeypatch, "form", 1)
        formed = jconv.filter_grad_norms(x, g, **settings)
        forced(monkeypatch, "gram", 2)
        by_gram = jconv.filter_grad_norms(x, g, **settings)
        return jconv.per_example_filter_grads(x, g, **settings), formed, by_gram

    got, formed, by_gram = all_of_them(x, g)
    np.testing.assert_array_equal(got, grads)
    # The squares are whole numbers below 2^24, so one rounding is all there is.
    np.testing.assert_allclose(formed, flat_norms(grads), rtol=1.2e-7)
    np.testing.assert_allclose(by_gram, flat_norms(grads), rtol=1.2e-7)


@pytest.mark.parametrize("name", ["form", "gram"])
def test_norms_have_their_derivatives(name, monkeypatch):
    forced(monkeypatch, name, 2)
    x, g = jnp.asarray(integers((3, 5, 4, 2), 1)), jnp.asarray(integers((3, 3, 2, 3), 2))
    g = g.at[1].set(0)  # this example's norm is zero, and so is its derivative
    settings = {"filter_shape": (3, 2), "stride": 2}
    weights = jnp.array([1.0, 2.0, -3.0])

    def direct(x, g):
        grads = jconv.per_example_filter_grads(x, g, **settings)
        squares = jnp.sum(grads**2, axis=(1, 2, 3, 4))
        return jnp.vdot(weights, jnp.where(squares > 0, jnp.sqrt(squares + (squares == 0)), 0))

    def by_norms(x, g):
        return jnp.vdot(weights, jconv.filter_grad_norms(x, g, **settings))

    for got, wanted in zip(
        jax.jit(jax.grad(by_norms, (0, 1)))(x, g), jax.grad(direct, (0, 1))(x, g), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_under_vmap_scan_and_jvp():
    x, g = integers((3, 2, 6, 5, 2), 1), integers((3, 2, 6, 5, 4), 2)
    norms_of = jax.jit(lambda x, g: jconv.filter_grad_norms(x, g, filter_shape=(3, 3)))
    one_by_one = np.stack([norms_of(x[n], g[n]) for n in range(3)])
    np.testing.assert_allclose(jax.vmap(norms_of)(x, g), one_by_one, rtol=1e-6)
    scanned = jax.lax.scan(lambda carry, a: (carry, norms_of(*a)), 0, (x, g))[1]
    np.testing.assert_allclose(scanned, one_by_one, rtol=1e-6)
    _, slope = jax.jvp(lambda t: norms_of(t * x[0], g[0]), (1.0,), (1.0,))
    np.testing.assert_allclose(slope, one_by_one[0], rtol=1e-5)  # norms are homogeneous in x


def test_a_batch_split_over_devices():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    x, g = integers((8, 7, 7, 8), 1), integers((8, 7, 7, 8), 2)
    fn = jax.jit(lambda x, g: jconv.filter_grad_norms(x, g, filter_shape=(3, 3)))
    whole, split = fn(x, g), fn(*jax.device_put((x, g), place))
    np.testing.assert_allclose(split, whole, rtol=1e-6)
    grads = jax.jit(lambda x, g: jconv.per_example_filter_grads(x, g, filter_shape=(3, 3)))
    np.testing.assert_array_equal(grads(*jax.device_put((x, g), place)), grads(x, g))


def test_a_loop_over_a_split_batch_needs_no_other_devices_examples(monkeypatch):
    """Each turn takes examples from all over the batch, so nothing is gathered."""
    forced(monkeypatch, "gram", 4)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    x, g = integers((16, 6, 6, 8), 1), integers((16, 6, 6, 8), 2)
    with jax.set_mesh(mesh):
        fn = jax.jit(lambda x, g: jconv.filter_grad_norms(x, g, filter_shape=(3, 3)))
        compiled = fn.lower(*jax.device_put((x, g), place)).compile(AS_USERS)
        split = compiled(*jax.device_put((x, g), place))
    assert "all-gather" not in compiled.as_text()
    np.testing.assert_allclose(split, flat_norms(expected(x, g, (3, 3, 8, 8), {})), rtol=1e-6)


@pytest.mark.parametrize("shape", [(0, 5, 5, 2), (2, 0, 5, 2)])
def test_nothing_has_no_norm(shape):
    g = np.zeros((shape[0], shape[1], 5, 3), np.float32)
    found = jconv.filter_grad_norms(np.zeros(shape, np.float32), g, filter_shape=(3, 3))
    grads = jconv.per_example_filter_grads(np.zeros(shape, np.float32), g, filter_shape=(3, 3))
    np.testing.assert_array_equal(found, np.zeros(shape[0]))
    np.testing.assert_array_equal(grads, np.zeros((shape[0], 3, 3, 2, 3)))


@pytest.mark.parametrize("dtype", ["bfloat16", "complex64"])
def test_dtypes(dtype):
    x, g = integers((2, 4, 4, 2), 1), integers((2, 4, 4, 3), 2)
    if dtype == "complex64":
        x, g = x + 1j * integers(x.shape, 3), g - 1j * integers(g.shape, 4)
    grads = expected(x, g, (3, 3, 2, 3), {})
    found = jconv.filter_grad_norms(
        jnp.asarray(x, dtype), jnp.asarray(g, dtype), filter_shape=(3, 3)
    )
    assert found.dtype == jnp.float32
    squares = np.sum(np.abs(grads.reshape(2, -1)) ** 2, axis=1)
    np.testing.assert_allclose(found, np.sqrt(squares), rtol=1e-6)


def test_the_workspace_and_the_policy_are_kept():
    shapes = (32, 7, 7, 512), (3, 3, 512, 512)
    plan = jconv.plan_operation("filter_grad_norms", *shapes)
    assert plan.way == "gram"
    with jconv.policy(workspace=1000):
        small = jconv.plan_operation("filter_grad_norms", *shapes)
    assert small.way == "form"
    assert "over the limit of 1000" in small.rejected["gram"]
    with jconv.policy(workspace=1_000_000):
        less = jconv.plan_operation("filter_grad_norms", *shapes)
    assert less.way == "gram"
    assert less.workspace_bytes <= 1_000_000
    with jconv.policy("exact"):
        assert jconv.plan_operation("filter_grad_norms", *shapes).way == "form"
    highest = jconv.plan_operation("filter_grad_norms", *shapes, precision="highest")
    assert highest.way == "form"
    large = jconv.plan_operation("filter_grad_norms", (8, 56, 56, 64), (3, 3, 64, 64))
    assert large.way == "form"
    assert "predicted to take" in large.rejected["gram"]


def test_no_gradient_of_every_example_is_held():
    x, g = jnp.zeros((32, 7, 7, 512)), jnp.zeros((32, 7, 7, 512))
    fn = jax.jit(lambda x, g: jconv.filter_grad_norms(x, g, filter_shape=(3, 3)))
    held = fn.lower(x, g).compile(AS_USERS).memory_analysis().temp_size_in_bytes
    assert held < 32 * 9 * 512 * 512 * 4 / 10


X, G = np.ones((2, 5, 5, 2), np.float32), np.ones((2, 5, 5, 3), np.float32)


@pytest.mark.parametrize("name", ["per_example_filter_grads", "filter_grad_norms"])
@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"x": X[:1]}, "x"),
        ({"g": G[:, :4]}, "g"),
        ({"filter_shape": None}, "filter_shape"),
        ({"filter_shape": (3, 3, 4, 3)}, "filter_shape"),
        ({"stride": 0}, "stride"),
        ({"groups": 5}, "groups"),
        ({"padding": "SOME"}, "padding"),
        ({"x": [1]}, "x"),
        ({"x": X.astype(int), "g": G.astype(int)}, "g"),
    ],
)
def test_bad_input(name, change, argument):
    call = {"x": X, "g": G, "filter_shape": (3, 3), **change}
    with pytest.raises(jconv.ConvError, match=f"^{name}: ") as caught:
        getattr(jconv, name)(call.pop("x"), call.pop("g"), **call)
    assert caught.value.argument == argument
