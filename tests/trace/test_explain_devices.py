"""explain says how convolutions are split over a mesh, what moves, and why there is a gather."""

from __future__ import annotations

import contextlib

import jax
import jax.numpy as jnp
import pytest
from compiling import AS_USERS
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from mesh_bytes import KINDS, mesh_of, operand_bytes

import jconv

pytestmark = pytest.mark.devices


def on(kind, shape=(2, 4)):
    if len(jax.devices()) < 8:
        pytest.skip("needs eight devices (jax_num_cpu_devices came too late)")
    mesh = mesh_of(shape, kind)

    def lying(shape, *spec):
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, P(*spec)))

    return mesh, lying


def loss(w, x):
    y = jax.nn.relu(jconv.conv(x, w[0], stride=2) + 1)
    return jnp.sum(jconv.conv(y, w[1]) ** 2)


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_a_step_is_explained_with_the_bytes_of_its_program(kind):
    mesh, lying = on(kind)
    w = [lying((3, 3, 4, 8)), lying((3, 3, 8, 8), None, None, "b")]
    x = lying((8, 32, 32, 4), "a", "b")
    step = jax.jit(jax.grad(loss))
    with jax.set_mesh(mesh) if kind == "Explicit" else contextlib.nullcontext():
        plans = jconv.explain(step, w, x)
        text = step.lower(w, x).compile(AS_USERS).as_text()
    assert [plan.leg for plan in plans] == [
        "conv",
        "conv",
        "filter_grad",
        "input_grad",
        "filter_grad",
    ]
    for plan in plans:
        record = plan.devices[plan.leg]
        assert record.split[:2] == (("the batch", ("a",)), ("spatial axis 0", ("b",)))
        assert f"{plan.leg} is split: the batch over a, spatial axis 0 over b" in str(plan)
        assert plan.notes == ()
    (why,) = plans[1].devices["conv"].reasons
    assert why == "w is brought together over 'b': the mesh axis splits spatial axis 0 here"
    assert why in str(plans[1])
    assert plans[1].devices["conv"].gathered == 4 * 3 * 3 * 2 * 8
    found = dict.fromkeys(KINDS, 0)
    for of_scope in operand_bytes(text).values():
        found = {each: found[each] + of_scope[each] for each in KINDS}
    # On explicit axes the compiler sees that conv and filter_grad exchange the same rows of x.
    sent = [p for p in plans if kind == "Auto" or p.leg != "filter_grad"]
    assert sum(p.devices[p.leg].permuted for p in sent) == found["collective-permute"]


def test_shardings_are_followed_through_a_program():
    _, lying = on("Auto")
    x, w = lying((8, 32, 32, 4), "a", "b"), lying((3, 3, 4, 4))

    def program(x, w):
        x = jax.jit(lambda x: jnp.transpose(x, (0, 3, 1, 2)) * 2)(x)
        y = jconv.conv(x, jnp.transpose(w, (3, 2, 0, 1)), layout="NCHW")
        y = jax.checkpoint(lambda y: jconv.conv(jnp.transpose(y, (0, 2, 3, 1)), w))(y)
        return lax.scan(lambda y, _: (jconv.conv(y, w), None), y, length=2)[0]

    plans = jconv.explain(program, x, w)
    assert len(plans) == 3
    for plan in plans:
        split = plan.devices["conv"].split
        assert split == (("the batch", ("a",)), ("spatial axis 0", ("b",)))
        assert dict(plan.devices["conv"].shapes)["x"] == (4, 8, 32, 4)


def test_what_is_left_to_the_compiler_is_said():
    _, lying = on("Auto")
    x, w = lying((8, 32, 32, 4), "a", "b"), lying((1, 36, 4))
    (plan,) = jconv.explain(lambda x, w: jconv.conv(x, w.reshape(3, 3, 4, 4)), x, w)
    assert plan.devices["conv"].permuted > 0
    assert any("How w lies on the mesh is left to the compiler" in note for note in plan.notes)
    (plan,) = jconv.explain(
        lambda x, w: jconv.conv(x, w), jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 4))
    )
    assert plan.devices == {}


def test_lax_convolutions_are_explained_too():
    _, lying = on("Auto")
    x, w = lying((8, 4, 32, 32), "a", None, "b"), lying((4, 4, 3, 3))
    plans = jconv.explain(jax.grad(lambda x, w: jnp.sum(lax.conv(x, w, (1, 1), "SAME") ** 2)), x, w)
    assert [plan.leg for plan in plans] == ["conv", "input_grad"]
    for plan in plans:
        assert plan.devices[plan.leg].halo == ((1, 1), (0, 0))


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_a_plan_that_explain_made_can_be_read(kind):
    _, lying = on(kind)
    x, w = lying((8, 32, 32, 4), "a", "b"), lying((3, 3, 4, 4))
    (plan,) = jconv.explain(lambda x, w: jconv.conv(x, w, padding_mode="circular"), x, w)
    assert plan.devices["conv"].halo == ((1, 1), (0, 0))
    assert set(plan.to_dict()["devices"]) == {"conv"}
    assert plan.to_svg().startswith("<svg")
