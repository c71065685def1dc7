"""Sharded batches: jit on meshes with Auto and Explicit axes, and shard_map with its check on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from plain import integers, lax_conv, operations

import jconv

SETTINGS = {"stride": 2, "groups": 2, "padding": [(1, 2), (0, 1)]}
X, W, V = integers((8, 7, 6, 4), 1), integers((3, 3, 2, 6), 2), integers((3, 3, 2, 6), 3)


def our_conv(x, w):
    return jconv.conv(x, w, **SETTINGS)


def plain_conv(x, w):
    return lax_conv(x, w, **SETTINGS)


def loss(w, x, conv):
    return jnp.sum(conv(x, w) ** 2)


def second(w, x, conv):
    """The Hessian in the filter times V."""
    return jax.grad(lambda w: jnp.vdot(jax.grad(loss)(w, x, conv), V))(w)


def quantities(w, x, conv):
    return {
        "value": conv(x, w),
        "filter": jax.grad(loss)(w, x, conv),
        "input": jax.grad(loss, 1)(w, x, conv),
        "second": second(w, x, conv),
    }


EXPECTED = quantities(W, X, plain_conv)
BATCH, WHOLE = ("data", None, None, None), (None,) * 4


@pytest.fixture(params=["Auto", "Explicit"])
def mesh(request):
    if len(jax.devices()) < 4:
        pytest.skip("needs four devices (jax_num_cpu_devices came too late)")
    made = jax.make_mesh((4,), ("data",), axis_types=(getattr(AxisType, request.param),))
    with jax.set_mesh(made):
        yield made


def put(mesh, value, *spec):
    return jax.device_put(value, NamedSharding(mesh, P(*spec)))


@pytest.mark.parametrize("how", ["jit", "eager"])
def test_batch_sharded_input_and_replicated_filter(mesh, how):
    x, w = put(mesh, X, "data"), put(mesh, W)
    run = jax.jit(quantities, static_argnums=2) if how == "jit" else quantities
    got = run(w, x, our_conv)
    for name, want in EXPECTED.items():
        np.testing.assert_array_equal(got[name], want)
    if mesh.axis_types == (AxisType.Explicit,):
        for name, spec in (
            ("value", BATCH),
            ("input", BATCH),
            ("filter", WHOLE),
            ("second", WHOLE),
        ):
            assert tuple(jax.typeof(got[name]).sharding.spec) == spec, name


def test_output_channels_sharded(mesh):
    x, w = (
        put(mesh, X[..., :2]),
        put(mesh, jnp.concatenate([W, W[..., :2]], -1), None, None, None, "data"),
    )

    def conv(x, w):
        return jconv.conv(x, w, stride=2)

    def plain(x, w):
        return lax_conv(x, w, stride=2)

    got = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)(w, x, conv)
    want = jax.grad(loss, (0, 1))(np.asarray(w), np.asarray(x), plain)
    for have, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(have, expected)


def test_examples_mapped_over_a_sharded_axis(mesh):
    x, w = put(mesh, X.reshape(4, 2, *X.shape[1:]), "data"), put(mesh, W)
    each = jax.jit(jax.vmap(lambda w, x: jax.grad(loss)(w, x, our_conv), (None, 0)))(w, x)
    np.testing.assert_array_equal(np.asarray(each).sum(0), EXPECTED["filter"])


@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_shard_map_gradients_outside_and_inside(mesh, mode):
    def conv(x, w):
        return jconv.conv(x, w, stride=2, groups=2, padding=1, padding_mode=mode)

    def local(w, x):
        return lax.psum(loss(w, x, conv), "data")

    specs = {"mesh": mesh, "in_specs": (P(), P("data"))}
    x, w, v = put(mesh, X, "data"), put(mesh, W), put(mesh, V)
    whole = jax.grad(loss)(W, X, conv)
    mapped = jax.shard_map(local, out_specs=P(), **specs)
    np.testing.assert_array_equal(jax.jit(jax.grad(mapped))(w, x), whole)
    twice = jax.jit(jax.grad(lambda w: jnp.vdot(jax.grad(mapped)(w, x), v)))(w)
    np.testing.assert_array_equal(twice, second(W, X, conv))
    inside = jax.shard_map(jax.grad(local), out_specs=P(), **specs)
    np.testing.assert_array_equal(jax.jit(inside)(w, x), whole)


def test_shard_map_explicit_backprops_and_custom_conv(mesh):
    specs = {"mesh": mesh, "in_specs": (P(), P("data")), "out_specs": P()}
    x, w = put(mesh, X, "data"), put(mesh, W)

    def by_hand(w, x):
        g = 2 * our_conv(x, w)
        part = jconv.conv_filter_grad(x, g, filter_shape=w.shape, **SETTINGS)
        return lax.psum(part, "data")

    np.testing.assert_array_equal(
        jax.jit(jax.shard_map(by_hand, **specs))(w, x), EXPECTED["filter"]
    )
    custom = jconv.custom_conv(**SETTINGS)
    mapped = jax.shard_map(lambda w, x: lax.psum(loss(w, x, custom), "data"), **specs)
    np.testing.assert_array_equal(jax.jit(jax.grad(mapped))(w, x), EXPECTED["filter"])


# Every operation ------------------------------------------------------------------------------

OPERATIONS = operations((8, 7, 6, 4), (3, 3, 2, 6), {**SETTINGS})
SPLIT = {"conv": (0,), "conv_input_grad": (0,), "conv_filter_grad": (0, 1), "conv_transpose": (0,)}


@pytest.mark.parametrize("op", OPERATIONS)
def test_every_operation_on_a_sharded_batch(mesh, op):
    """Value, gradients and second gradients, the operands that have a batch sharded along it."""
    ours, plain, operands = OPERATIONS[op]

    def all_of(f, a, b):
        def square(a, b):
            return jnp.sum(f(a, b) ** 2)

        def slope(a, b):
            return sum(map(jnp.sum, jax.grad(square, (0, 1))(a, b)))

        return f(a, b), jax.grad(square, (0, 1))(a, b), jax.grad(slope, (0, 1))(a, b)

    put_there = [
        put(mesh, operand, *(["data"] if n in SPLIT[op] else []))
        for n, operand in enumerate(operands)
    ]
    got = jax.jit(all_of, static_argnums=0)(ours, *put_there)
    want = all_of(plain, *operands)
    for have, expected in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(have, expected)


# Meshes of two axes ---------------------------------------------------------------------------


@pytest.fixture(params=["Auto", "Explicit"])
def plane(request):
    if len(jax.devices()) < 4:
        pytest.skip("needs four devices (jax_num_cpu_devices came too late)")
    kind = getattr(AxisType, request.param)
    made = jax.make_mesh((2, 2), ("a", "b"), axis_types=(kind, kind))
    with jax.set_mesh(made):
        yield made


SQUARE = integers((8, 8, 8, 4), 1)
SQUARE_EXPECTED = quantities(W, SQUARE, plain_conv)


@pytest.mark.parametrize(
    "spec",
    [
        ("a", "b"),
        (None, "a"),
        (None, None, "b"),
        (None, "a", "b"),
        (None, ("a", "b")),
        (("a", "b"),),
    ],
    ids=str,
)
def test_spatially_sharded_input(plane, spec):
    x, w = put(plane, SQUARE, *spec), put(plane, W)
    got = jax.jit(quantities, static_argnums=2)(w, x, our_conv)
    for name, want in SQUARE_EXPECTED.items():
        np.testing.assert_array_equal(got[name], want, err_msg=name)


def test_spatially_sharded_input_without_a_mesh_in_context():
    plane = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    x = put(plane, SQUARE, None, "a")
    got = jax.jit(jax.grad(loss), static_argnums=2)(put(plane, W), x, our_conv)
    np.testing.assert_array_equal(got, SQUARE_EXPECTED["filter"])


@pytest.mark.parametrize("mode", ["reflect", "edge", "circular"])
@pytest.mark.parametrize("spec", [(None, "a"), ("a", "b")], ids=str)
def test_borders_of_a_spatially_sharded_input(plane, mode, spec):
    def conv(x, w):
        return jconv.conv(x, w, stride=2, groups=2, padding=1, padding_mode=mode)

    want = quantities(W, SQUARE, conv)
    x, w = put(plane, SQUARE, *spec), put(plane, W)
    got = jax.jit(quantities, static_argnums=2)(w, x, conv)
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)


@pytest.mark.parametrize("spec", [("a",), ("a", "b"), ("a", None, None, "b")], ids=str)
def test_shard_map_over_one_axis_of_two(plane, spec):
    def local(w, x):
        return lax.psum(loss(w, x, our_conv), "a")

    specs = {"mesh": plane, "in_specs": (P(), P("a")), "out_specs": P(), "axis_names": {"a"}}
    x, w, v = put(plane, SQUARE, *spec), put(plane, W), put(plane, V)
    mapped = jax.shard_map(local, **specs)
    got = jax.jit(jax.grad(mapped, (0, 1)))(w, x)
    np.testing.assert_array_equal(got[0], SQUARE_EXPECTED["filter"])
    np.testing.assert_array_equal(got[1], SQUARE_EXPECTED["input"])
    twice = jax.jit(jax.grad(lambda w: jnp.vdot(jax.grad(mapped)(w, x), v)))(w)
    np.testing.assert_array_equal(twice, SQUARE_EXPECTED["second"])
    inside = jax.shard_map(jax.grad(local), **specs)
    np.testing.assert_array_equal(jax.jit(inside)(w, x), SQUARE_EXPECTED["filter"])


def test_a_mesh_axis_shards_one_dimension_of_a_result(plane):
    x = put(plane, X[..., :2], ("a", "b"))
    wide = jnp.concatenate([W, W[..., :2]], -1)
    w = put(plane, wide, None, None, None, "a")

    def conv(x, w):
        return jconv.conv(x, w, out_sharding=P(("a", "b")))

    if plane.axis_types[0] == AxisType.Explicit:
        with pytest.raises(jconv.ConvError, match=r"jax\.sharding\.reshard\(w,\s+jax\.P\(None"):
            jconv.conv(x, w)
    got = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)(w, x, conv)
    want = jax.grad(loss, (0, 1))(wide, X[..., :2], lax_conv)
    for have, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(have, expected)
