"""What many devices compute and what they send, read from the compiled programs."""

from __future__ import annotations

import contextlib
import random
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import AS_USERS
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from random_splits import check, collectives, draw, integers

import jconv
from jconv._core import jax_sharding
from jconv._ops.primitives import PRIMITIVES

pytestmark = pytest.mark.devices

KINDS = ["Auto", "Explicit"]


def mesh_of(kind, shape=(2, 4), names=("a", "b")):
    if len(jax.devices()) < 8:
        pytest.skip("needs eight devices (jax_num_cpu_devices came too late)")
    return jax.make_mesh(shape, names, axis_types=(getattr(AxisType, kind),) * len(shape))


def put(mesh, array, *spec):
    return jax.device_put(array, NamedSharding(mesh, P(*spec)))


def step(settings):
    def run(x, w, g):
        y, pull = jax.vjp(lambda x, w: jconv.conv(x, w, **settings), x, w)
        return y, *pull(g)

    return run


# x, w, settings, how x and w lie, and the most of each collective that a step may hold.
CASES = {
    "rows, output channels": ((2, 8, 8, 4), (3, 3, 4, 8), {}, [None, "a"], [None, None, None, "b"]),
    "batch, rows": ((4, 16, 12, 4), (3, 3, 4, 8), {"stride": 2}, ["a", "b"], []),
    "rows, columns": ((2, 16, 16, 4), (5, 3, 4, 8), {"padding": "CAUSAL"}, [None, "a", "b"], []),
    "rows over both": ((1, 32, 9, 4), (3, 3, 4, 8), {"stride": 2}, [None, ("a", "b")], []),
    "rows over both, inner first": ((1, 32, 9, 4), (5, 3, 4, 8), {}, [None, ("b", "a")], []),
    "rows, groups": ((2, 8, 8, 8), (3, 3, 1, 16), {"groups": 8}, [None, "a", None, "b"], []),
    "wide halo": ((1, 8, 4, 2), (7, 3, 2, 4), {"dilation": (2, 1)}, [None, "b"], []),
    "circular": ((1, 16, 8, 2), (5, 3, 2, 4), {"padding_mode": "circular"}, [None, "b", "a"], []),
    "reflect": ((1, 16, 8, 2), (5, 3, 2, 4), {"padding_mode": "reflect"}, [None, "b"], []),
    "volume": ((1, 8, 8, 8, 2), (3, 3, 3, 2, 4), {"stride": 2}, [None, None, "a", "b"], []),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_a_step_is_exact_and_gathers_nothing(name, kind):
    x, w, settings, x_spec, w_spec = CASES[name]
    x, w, run, mesh = integers(x, 0), integers(w, 1), step(settings), mesh_of(kind)
    with jconv.policy("exact"):
        g = integers(jconv.conv(x, w, **settings).shape, 2)
        want = run(x, w, g)
        x, w = put(mesh, x, *x_spec), put(mesh, w, *w_spec)
        y = jax.jit(lambda x, w: jconv.conv(x, w, **settings))(x, w)
        compiled = jax.jit(run).lower(x, w, jax.device_put(g, y.sharding)).compile(AS_USERS)
        got = compiled(x, w, jax.device_put(g, y.sharding))
    for have, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(have, expected)
    found = collectives(compiled.as_text())
    # On explicit axes a gradient lies as its primal does, which here is whole: one gather of it.
    most = 1 if kind == "Explicit" and name == "rows, groups" else 0
    assert found["all-gather"] <= most
    assert found["all-to-all"] == 0
    assert found["collective-permute"] > 0
    assert found["all-reduce"] <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_data_parallel_filter_gradients_are_local_sums_added_once(kind):
    """At a size where the planner leaves direct, whose forms XLA would gather the batch for."""
    mesh = mesh_of(kind, (8,), ("data",))
    x = jax.ShapeDtypeStruct(
        (64, 32, 32, 128), jnp.float32, sharding=NamedSharding(mesh, P("data"))
    )
    w = jax.ShapeDtypeStruct((3, 3, 128, 128), jnp.float32, sharding=NamedSharding(mesh, P()))
    local = jconv.plan((8, 32, 32, 128), w.shape, platform="cpu")
    assert {leg.algorithm for leg in local.legs.values()} != {"direct"}

    def slope(w, x):
        return jax.grad(lambda w: jnp.sum(jconv.conv(x, w)))(w)

    found = collectives(jax.jit(slope).lower(w, x).compile(AS_USERS).as_text())
    assert found.pop("all-reduce") == 1
    assert not any(found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_spatial_filter_gradient_holds_its_own_part(kind):
    mesh = mesh_of(kind, (8,), ("rows",))
    spec = NamedSharding(mesh, P(None, "rows"))
    x = jax.ShapeDtypeStruct((1, 256, 256, 16), jnp.float32, sharding=spec)
    g = jax.ShapeDtypeStruct((1, 128, 128, 32), jnp.float32, sharding=spec)

    def slope(x, g):
        return jconv.conv_filter_grad(x, g, filter_shape=(3, 3), stride=2)

    compiled = jax.jit(slope).lower(x, g).compile(AS_USERS)
    found = collectives(compiled.as_text())
    assert found == {**found, "all-gather": 0, "all-reduce": 1, "all-to-all": 0}
    whole = 4 * 256 * 256 * 16
    assert compiled.memory_analysis().temp_size_in_bytes < whole * 1.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(4))
def test_random_splits(number, kind):
    mesh_of(kind)
    assert check(draw(random.Random(number)), kind) in ("equal", "ambiguous")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(100, 130))
def test_many_random_splits(number, kind):
    mesh_of(kind)
    assert check(draw(random.Random(number)), kind) in ("equal", "ambiguous")


# Every way in which a mesh reaches a program ----------------------------------------------------


@pytest.mark.parametrize("manual", ["a", "b"])
@pytest.mark.parametrize("kind", KINDS)
def test_inside_a_shard_map_over_one_axis_of_two(kind, manual):
    """The batch is split by hand, rows are left to the compiler."""
    mesh, x, w = mesh_of(kind), integers((8, 16, 8, 4), 0), integers((3, 3, 4, 8), 1)
    other = "b" if manual == "a" else "a"

    def local(x, w):
        return jax.lax.psum(jnp.sum(jconv.conv(x, w, stride=2) ** 2), manual)

    def whole(x, w):
        return jnp.sum(jconv.conv(x, w, stride=2) ** 2)

    with jconv.policy("exact"):
        want = jax.grad(whole, (0, 1))(x, w)
        specs = {"in_specs": (P(manual), P()), "out_specs": P(), "axis_names": {manual}}
        mapped = jax.shard_map(local, mesh=mesh, **specs)
        x, w = put(mesh, x, manual, other), put(mesh, w)
        compiled = jax.jit(jax.grad(mapped, (0, 1))).lower(x, w).compile(AS_USERS)
        got = compiled(x, w)
    for have, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(have, expected)
    if kind == "Auto":
        assert collectives(compiled.as_text())["all-gather"] == 0


@pytest.mark.parametrize("way", ["arrays", "in_shardings", "set_mesh"])
@pytest.mark.parametrize("inside", ["scan", "remat", "vmap", "spmd_axis_name"])
def test_auto_axes_named_in_every_way(way, inside):
    mesh, x, w = mesh_of("Auto"), integers((2, 4, 16, 3), 0), integers((3, 3, 3), 1)

    def each(x):
        return jconv.conv(x, w, stride=1)

    def value(x):
        if inside == "scan":
            return jax.lax.scan(lambda c, one: (c + jnp.sum(each(one) ** 2), None), 0.0, x)[0]
        if inside == "remat":
            y = jax.checkpoint(each, policy=jconv.convs_saveable)(x.reshape(8, 16, 3))
        else:
            spmd = {"spmd_axis_name": "a"} if inside == "spmd_axis_name" else {}
            y = jax.vmap(each, **spmd)(x)
        return jnp.sum(y**2)

    run = jax.value_and_grad(value)
    with jconv.policy("exact"):
        want = run(x)
        spec = P(None, None, "b") if inside == "scan" else P("a", None, "b")
        sharding = NamedSharding(mesh, spec)
        jitted = jax.jit(run, in_shardings=(sharding,) if way == "in_shardings" else None)
        if way == "arrays" or way == "set_mesh":
            x = jax.device_put(x, sharding)
        with jax.set_mesh(mesh) if way == "set_mesh" else contextlib.nullcontext():
            compiled = jitted.lower(x).compile(AS_USERS)
            got = compiled(jax.device_put(x, sharding))
    for have, expected in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(have, expected)
    if inside != "remat":  # the reshape before it merges two dimensions of which one is split
        assert collectives(compiled.as_text())["all-gather"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_exported_programs_are_right(kind):
    """An exported program cannot ask jconv back, so Auto axes keep the batch split alone."""
    export = pytest.importorskip("jax.export")
    mesh, x, w = mesh_of(kind), integers((2, 8, 8, 4), 0), integers((3, 3, 4, 8), 1)
    with jconv.policy("exact"):
        g = integers((2, 8, 8, 8), 2)
        want = step({})(x, w, g)
        args = (
            put(mesh, x, None, "a"),
            put(mesh, w, None, None, None, "b"),
            put(mesh, g, None, "a", None, "b"),
        )
        got = jax.jit(export.export(jax.jit(step({})))(*args).call)(*args)
    for have, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(have, expected)


@pytest.mark.parametrize("number", [0, 4, 9])
def test_without_the_hook_results_are_right(number, monkeypatch):
    """Should a JAX release not tell lowering rules the devices: XLA's own split doubles sums."""
    mesh_of("Auto")
    inner = jax_sharding._DEVICES[0]
    kept = set(inner)
    monkeypatch.setattr(jax_sharding, "_DEVICES", None)
    inner.difference_update(PRIMITIVES)
    try:
        assert check(draw(random.Random(number)), "Auto") == "equal"
    finally:
        inner.update(kept)


# Asking for a sharding -------------------------------------------------------------------------


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("layout", [None, "NCHW"])
def test_two_claims_of_one_mesh_axis_are_an_error_that_gives_the_call(layout, context):
    mesh, x, w = mesh_of("Explicit"), integers((8, 8, 8, 4), 0), integers((3, 3, 4, 8), 1)
    want, specs = jconv.conv(x, w), (["a"], [None, None, None, "a"])
    if layout:
        x, w = x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1)
        specs = (["a"], ["a"])
    x, w = put(mesh, x, *specs[0]), put(mesh, w, *specs[1])
    with jax.set_mesh(mesh) if context else contextlib.nullcontext():
        with pytest.raises(jconv.ConvError, match="splits the batch of `x` and the out") as caught:
            jconv.conv(x, w, layout=layout)
        assert caught.value.argument == "w"
        said = " ".join(str(caught.value).split())
        call = said.partition("Pass ")[2].partition(" in place of")[0]
        assert call.startswith("jax.sharding.reshard(w, ")
        y = jconv.conv(x, eval(call, {"jax": jax, "w": w}), layout=layout)
    assert jax.typeof(y).sharding.spec[0] == "a"
    np.testing.assert_array_equal(y.transpose(0, 2, 3, 1) if layout else y, want)


@pytest.mark.parametrize("kind", KINDS)
def test_out_sharding_says_how_the_result_lies(kind):
    mesh, x, w = mesh_of(kind), integers((8, 8, 8, 4), 0), integers((3, 3, 4, 8), 1)
    want = jconv.conv(x, w)
    with jax.set_mesh(mesh):
        x, w = put(mesh, x, "a"), put(mesh, w, None, None, None, "a")
        y = jax.jit(lambda x, w: jconv.conv(x, w, out_sharding=P(None, None, "b", "a")))(x, w)
    assert tuple(y.sharding.spec) == (None, None, "b", "a")
    np.testing.assert_array_equal(y, want)


def test_a_bad_out_sharding_is_a_clear_error():
    x, w = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1))
    with pytest.raises(jconv.ConvError, match="`out_sharding` must be"):
        jconv.conv(x, w, out_sharding="a")
    with pytest.raises(jconv.ConvError, match="at most 4 entries"):
        jconv.conv(x, w, out_sharding=P(None, None, None, None, "a"))


WINDOWS = {
    "stride": ((3, 3), {"stride": 2}),
    "dilation": ((3, 3), {"stride": (2, 1), "dilation": 2}),
    "circular": ((3, 3), {"padding_mode": "circular"}),
    "reflect": ((5, 3), {"padding_mode": "reflect", "stride": 2}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", WINDOWS)
def test_windows_unfolded_and_folded(name, kind):
    kernel, settings = WINDOWS[name]
    mesh, x = mesh_of(kind), integers((2, 16, 8, 4), 0)

    def unfolded(x):
        return jconv.unfold(x, kernel, **settings)

    def both(x):
        patches = unfolded(x)
        return patches, jconv.fold(patches, kernel, input_shape=x.shape, **settings)

    def gradient(x):
        return jax.grad(lambda x: (unfolded(x) ** 2).sum())(x)

    for run in (both, gradient):
        program = jax.jit(run).lower(put(mesh, x, "a", "b")).compile(AS_USERS)
        got = program(put(mesh, x, "a", "b"))
        for have, expected in zip(jax.tree.leaves(got), jax.tree.leaves(run(x)), strict=True):
            np.testing.assert_array_equal(have, expected)
        found = collectives(program.as_text())
        assert found["all-gather"] == 0
        if kind == "Explicit":  # on automatic axes XLA splits it, and reverses borders by others
            assert found["all-to-all"] == 0
            assert found["collective-permute"] > 0


def test_an_eager_unfold_over_explicit_axes_is_traced_once(monkeypatch):
    module = sys.modules["jconv._ops.unfold"]
    traced = []
    split = module.over_explicit_axes
    monkeypatch.setattr(
        module, "over_explicit_axes", lambda *given: traced.append(given) or split(*given)
    )
    mesh = jax.make_mesh((4,), ("a",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        x = put(mesh, integers((4, 19, 5), 3), "a")
        first, second = (jconv.unfold(x, 3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(traced) == 1
