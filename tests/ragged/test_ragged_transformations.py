"""Ragged operations under JAX's transformations, on several devices, and written to a file."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import AS_USERS
from jax import export
from jax.sharding import NamedSharding, PartitionSpec

import jconv

SIZES = np.array([[9, 7], [6, 8], [5, 5], [9, 4]], np.int32)
RNG = np.random.default_rng(0)
X = RNG.integers(-3, 4, (4, 9, 8, 2)).astype(np.float32)
W = RNG.integers(-3, 4, (3, 3, 2, 2)).astype(np.float32)


def network(x: Any, w: Any, sizes: Any) -> Any:
    """Down, pooled and up again, with a bias and an activation that fill what is beyond."""
    h, small = jconv.ragged.conv(x, w, sizes, stride=2)
    h = jnp.abs(h + 1)
    p, tiny = jconv.ragged.pool(h, small, 2, kind="max", stride=1, padding="SAME")
    y, _ = jconv.ragged.conv_transpose(
        p + 1, w, tiny, stride=2, output_sizes=sizes, output_shape=x.shape[1:-1]
    )
    return y, jconv.ragged.sum(y, sizes)


def alone(n: int) -> Any:
    x = X[n, : SIZES[n, 0], : SIZES[n, 1]][None]
    h = jnp.abs(jconv.conv(x, W, stride=2) + 1)
    p = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "SAME")
    return jconv.conv_transpose(p + 1, W, stride=2, output_shape=x.shape[1:-1])[0]


def test_a_network_with_biases_and_activations_leaks_nothing() -> None:
    y, total = jax.jit(network)(X, W, SIZES)
    for n in range(4):
        wanted = np.asarray(alone(n))
        padded = np.zeros(y.shape[1:], np.float32)
        padded[: wanted.shape[0], : wanted.shape[1]] = wanted
        np.testing.assert_array_equal(y[n], padded)
        np.testing.assert_array_equal(total[n], wanted.sum((0, 1)))


def test_one_compilation_serves_all_sizes() -> None:
    traces = []

    @jax.jit
    def run(x: Any, w: Any, sizes: Any) -> Any:
        traces.append(sizes)
        return network(x, w, sizes)

    for sizes in (SIZES, SIZES - 2, np.full_like(SIZES, 3)):
        run(X, W, jnp.asarray(sizes))
    assert len(traces) == 1
    # Stride or not, what runs is one convolution.
    for stride in (1, 2):
        conv = jax.jit(lambda x, w, z, s=stride: jconv.ragged.conv(x, w, z, stride=s)[0])
        with jconv.policy("direct"):
            text = conv.lower(X, W, SIZES).as_text()
        assert text.count("stablehlo.convolution") == 1


def test_vmap_and_scan() -> None:
    more = jnp.stack([jnp.asarray(SIZES), jnp.asarray(SIZES[::-1]) - 1])
    xs = jnp.stack([jnp.asarray(X), jnp.asarray(X[::-1])])
    wanted = [network(x, W, sizes)[0] for x, sizes in zip(xs, more, strict=True)]
    mapped, _ = jax.vmap(network, (0, None, 0))(xs, W, more)
    np.testing.assert_array_equal(mapped, jnp.stack(wanted))

    def step(total: Any, given: Any) -> Any:
        y, _ = network(given[0], W, given[1])
        return total + y.sum(), y

    _, scanned = jax.lax.scan(step, jnp.zeros(()), (xs, more))
    np.testing.assert_array_equal(scanned, mapped)
    both = jax.jvp(lambda w: network(X, w, SIZES)[1], (jnp.asarray(W),), (jnp.asarray(W),))[1]
    grads = jax.jacrev(lambda w: network(X, w, SIZES)[1])(jnp.asarray(W))
    np.testing.assert_array_equal(both, (grads * W).sum((-4, -3, -2, -1)))


@pytest.mark.devices
def test_a_batch_split_over_devices_gathers_nothing() -> None:
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    operands = jax.device_put(X, split), W, jax.device_put(SIZES, split)
    loss = lambda x, w, sizes: (network(x, w, sizes)[0] ** 2).sum()  # noqa: E731
    with jconv.policy("direct"):
        run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
        text = run.lower(*operands).compile(AS_USERS).as_text()
        value, grads = run(*operands)
        wanted, expected = jax.value_and_grad(loss, argnums=(0, 1))(X, W, SIZES)
    assert not re.search(r"all-gather|all-to-all|collective-permute", text)
    np.testing.assert_array_equal(value, wanted)
    for got, want in zip(grads, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.devices
def test_inside_shard_map() -> None:
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = PartitionSpec("data")

    def part(x: Any, w: Any, sizes: Any) -> Any:
        return jax.lax.psum((network(x, w, sizes)[0] ** 2).sum(), "data")

    mapped = jax.shard_map(
        part, mesh=mesh, in_specs=(spec, PartitionSpec(), spec), out_specs=PartitionSpec()
    )
    got = jax.jit(jax.grad(mapped, argnums=(0, 1)))(X, W, SIZES)
    want = jax.grad(lambda x, w: (network(x, w, SIZES)[0] ** 2).sum(), argnums=(0, 1))(X, W)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.export
@pytest.mark.parametrize(
    "settings", [{"stride": 2}, {"padding_mode": "edge"}, {"padding": "VALID"}], ids=str
)
def test_export_with_symbolic_sizes(settings: dict[str, Any]) -> None:
    n, h, w = export.symbolic_shape("n, h, w", constraints=["h >= 4", "w >= 4"])
    x = jax.ShapeDtypeStruct((n, h, w, 2), jnp.float32)
    sizes = jax.ShapeDtypeStruct((n, 2), jnp.int32)

    def gradients(x: Any, w: Any, sizes: Any) -> Any:
        f = lambda x, w: (jconv.ragged.conv(x, w, sizes, **settings)[0] ** 2).sum()  # noqa: E731
        return jax.value_and_grad(f, argnums=(0, 1))(x, w)

    written = export.export(jax.jit(gradients))(x, jax.ShapeDtypeStruct(W.shape, W.dtype), sizes)
    got, want = written.call(X, W, SIZES), gradients(X, W, SIZES)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_plan_of_what_runs_is_found_by_explain() -> None:
    plans = jconv.explain(lambda x, w, z: jconv.ragged.conv(x, w, z)[0], X, W, SIZES)
    (plan,) = plans
    assert plan.y_shape == jconv.plan(X.shape, W.shape).y_shape
