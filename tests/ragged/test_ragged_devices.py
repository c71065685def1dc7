"""Ragged batches that explicit mesh axes split: right, with one sum and nothing gathered."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import AS_USERS
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from plain import integers
from random_splits import collectives

import jconv

pytestmark = pytest.mark.devices

X, W, OUTPUTS = integers((8, 8, 8, 4), 0), integers((3, 3, 4, 6), 1), integers((3, 3, 6, 4), 2)
SIZES = jnp.asarray(np.random.default_rng(3).integers(3, 9, (8, 2)), jnp.int32)

CALLS = {
    "conv": lambda x, w, sizes: jconv.ragged.conv(x, w[0], sizes, stride=2),
    "borders": lambda x, w, sizes: jconv.ragged.conv(x, w[0], sizes, padding_mode="circular"),
    "conv_transpose": lambda x, w, sizes: jconv.ragged.conv_transpose(x, w[1], sizes, stride=2),
    "pool": lambda x, w, sizes: jconv.ragged.pool(x, sizes, 2),
}


def made(call, x, w, sizes):
    """A result, its sizes and the gradients in x and in the filters."""
    y, sizes_of_y = call(x, w, sizes)
    slopes = jax.grad(lambda x, w: jnp.sum(call(x, w, sizes)[0] ** 2), (0, 1))(x, w)
    return y, sizes_of_y, slopes


# How x and the sizes lie: alike, one of them whole, and in rows, which are brought together.
SPLITS = {
    "both": (("a",), ("a",)),
    "x": (("a", None, None, "b"), ()),
    "rows": ((None, "b"), ("a",)),
}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("conv", "both"),
        ("borders", "x"),
        ("conv_transpose", "both"),
        ("conv", "rows"),
        ("pool", "rows"),
    ],
)
def test_explicit_axes(name, split):
    if len(jax.devices()) < 8:
        pytest.skip("needs eight devices (jax_num_cpu_devices came too late)")
    mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(AxisType.Explicit,) * 2)
    run = jax.jit(made, static_argnums=0)
    with jconv.policy("exact"):
        want = run(CALLS[name], X, (W, OUTPUTS), SIZES)
        x, sizes = (
            jax.device_put(array, NamedSharding(mesh, P(*spec)))
            for array, spec in zip((X, SIZES), SPLITS[split], strict=True)
        )
        w = jax.device_put((W, OUTPUTS), NamedSharding(mesh, P()))
        with jax.set_mesh(mesh):
            compiled = run.lower(CALLS[name], x, w, sizes).compile(AS_USERS)
            got = compiled(x, w, sizes)
    for have, expected in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(have, expected)
    assert jax.typeof(got[0]).sharding.spec[0] == "a"
    if split == "both":
        found = collectives(compiled.as_text())
        assert found.pop("all-reduce") == 1
        assert not any(found.values())


def test_sizes_that_are_known_and_no_mesh_in_context():
    if len(jax.devices()) < 4:
        pytest.skip("needs four devices (jax_num_cpu_devices came too late)")
    mesh = jax.make_mesh((4,), ("a",), axis_types=(AxisType.Explicit,))
    x = jax.device_put(X, NamedSharding(mesh, P("a")))
    y, sizes = jconv.ragged.conv(x, W, np.asarray(SIZES), stride=2)
    want = jconv.ragged.conv(X, W, SIZES, stride=2)
    np.testing.assert_array_equal(y, want[0])
    np.testing.assert_array_equal(sizes, want[1])
