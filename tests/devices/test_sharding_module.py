"""jconv.sharding: the operations on local parts inside shard_map."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from plain import integers

import jconv
import jconv.sharding

pytestmark = pytest.mark.devices

# x, w, mesh axes of the spatial axes, settings
CASES = {
    "rows": ((2, 16, 5, 4), (3, 3, 4, 6), ("a", None), {}),
    "stride": ((2, 16, 16, 4), (5, 3, 4, 6), ("b", "a"), {"stride": 2}),
    "several": ((1, 32, 5, 4), (3, 3, 2, 6), (("a", "b"), None), {"groups": 2, "stride": (2, 1)}),
    "wide": ((1, 8, 6, 4), (7, 3, 4, 2), ("b", "a"), {"dilation": (2, 1)}),
    "uneven reads": ((1, 16, 4, 2), (4, 3, 2, 2), ("b", None), {"stride": 4, "padding": 0}),
    "circular": ((1, 16, 8, 2), (5, 3, 2, 4), ("b", "a"), {"padding_mode": "circular"}),
    "reflect": ((1, 16, 8, 2), (5, 3, 2, 4), ("b", "a"), {"padding_mode": "reflect", "stride": 2}),
    "channels first": ((1, 2, 16, 8), (4, 2, 3, 3), ("b", "a"), {"layout": "NCHW"}),
    "sequence": ((2, 16, 3), (3, 3, 4), ("b",), {"padding": "CAUSAL"}),
}


@pytest.fixture
def mesh():
    if len(jax.devices()) < 8:
        pytest.skip("needs eight devices (jax_num_cpu_devices came too late)")
    return jax.make_mesh((2, 4), ("a", "b"), axis_types=(AxisType.Auto,) * 2)


def spec(names, settings):
    """Of an array with a batch, spatial axes and channels."""
    first = "layout" in settings
    return P(None, None, *names) if first else P(None, *names, None)


QUICK = ("rows", "several", "circular")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CASES]
)
def test_parts_are_those_of_the_whole_and_so_are_their_derivatives(name, mesh):
    x_shape, w_shape, names, settings = CASES[name]
    x, w = integers(x_shape, 1), integers(w_shape, 2)
    parts = spec(names, settings)
    over = tuple(n for e in names for n in ((e,) if isinstance(e, str) else e or ()))

    def local(x, w):
        return jconv.sharding.conv(x, w, axis_names=names, **settings)

    def local_step(x, w, g):
        keywords = {"axis_names": names, **settings}
        x_grad = jconv.sharding.conv_input_grad(g, w, input_shape=x.shape, **keywords)
        w_grad = jconv.sharding.conv_filter_grad(x, g, filter_shape=w.shape, **keywords)
        return local(x, w), x_grad, w_grad

    def step(x, w, g):
        y, pull = jax.vjp(lambda x, w: jconv.conv(x, w, **settings), x, w)
        return y, *pull(g)

    def slope(x, w, f):
        """Gradients of a gradient, through whatever computes the result."""
        inner = jax.grad(lambda x, w: jnp.sum(f(x, w) ** 2), (0, 1))
        return jax.grad(lambda x, w: sum(jnp.sum(d) for d in inner(x, w)), (0, 1))(x, w)

    with jconv.policy("exact"):
        whole = jconv.conv(x, w, **settings)
        g = integers(whole.shape, 3)
        mapped = jax.shard_map(
            local_step,
            mesh=mesh,
            in_specs=(parts, P(), parts),
            out_specs=(parts, parts, P()),
        )
        got, want = jax.jit(mapped)(x, w, g), step(x, w, g)
        for have, expected in zip(got, want, strict=True):
            np.testing.assert_array_equal(have, expected)
        conv = jax.shard_map(local, mesh=mesh, in_specs=(parts, P()), out_specs=parts)
        twice = jax.jit(slope, static_argnums=2)
        for have, expected in zip(
            twice(x, w, conv), slope(x, w, lambda x, w: jconv.conv(x, w, **settings)), strict=True
        ):
            np.testing.assert_array_equal(have, expected)
        # Gradients taken inside of the shard_map.
        inside = jax.shard_map(
            jax.grad(lambda x, w: lax.psum(jnp.sum(local(x, w) ** 2), over), (0, 1)),
            mesh=mesh,
            in_specs=(parts, P()),
            out_specs=(parts, P()),
        )
        plain = jax.grad(lambda x, w: jnp.sum(jconv.conv(x, w, **settings) ** 2), (0, 1))
        for have, expected in zip(jax.jit(inside)(x, w), plain(x, w), strict=True):
            np.testing.assert_array_equal(have, expected)


def test_transposed_convolution_and_forward_mode(mesh):
    x, w = integers((1, 8, 8, 4), 1), integers((3, 3, 2, 4), 2)
    parts, names = P(None, "a", "b"), ("a", "b")

    def local(x, w):
        return jconv.sharding.conv_transpose(x, w, axis_names=names, stride=2)

    def told(x, w):
        return jconv.sharding.conv_transpose(x, w, axis_names=names, stride=2, output_shape=(8, 4))

    def whole(x, w):
        return jconv.conv_transpose(x, w, stride=2)

    for fn in (local, told):
        mapped = jax.jit(jax.shard_map(fn, mesh=mesh, in_specs=(parts, P()), out_specs=parts))
        np.testing.assert_array_equal(mapped(x, w), whole(x, w))
    got = jax.jvp(mapped, (x, w), (x + 1, w - 1))
    for have, expected in zip(got, jax.jvp(whole, (x, w), (x + 1, w - 1)), strict=True):
        np.testing.assert_array_equal(have, expected)


def test_faults_are_said_before_anything_runs(mesh):
    x, w = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 4))

    def run(names, **settings):
        def local(x, w):
            return jconv.sharding.conv(x, w, axis_names=names, **settings)

        parts = P(None, "a")
        return jax.shard_map(local, mesh=mesh, in_specs=(parts, P()), out_specs=parts)(x, w)

    with pytest.raises(jconv.ConvError, match="one entry for each of the 2 spatial axes"):
        run(("a",))
    with pytest.raises(jconv.ConvError, match="is no mesh axis of a shard_map"):
        run(("rows", None))
    with pytest.raises(jconv.ConvError, match="7 rows on spatial axis 0"):
        run(("a", None), padding=[(0, 1), (1, 1)])
