"""vmap folds into batch, channels or groups, or loops: never XLA's grouped convolution on CPU."""

import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from plain import CONFIGURATIONS, operations

import jconv

MAPPED = {"a": (0, None), "b": (None, 0), "both": (0, 0)}


def group_counts(lowered_text):
    return [int(n) for n in re.findall(r"feature_group_count = (\d+)", lowered_text)]


@pytest.mark.parametrize("mapped", MAPPED)
@pytest.mark.parametrize("name", ["dense-stride-2", "grouped-dilated-asymmetric"])
def test_no_group_growth_and_no_batch_groups(name, mapped):
    settings = CONFIGURATIONS[name][2]
    for op, (f, _, (a, b)) in operations(*CONFIGURATIONS[name]).items():
        axes = MAPPED[mapped]
        a, b = (
            jnp.stack([v] * 5) if axis == 0 else v for v, axis in zip((a, b), axes, strict=True)
        )

        def loss(a, b, f=f):
            return jnp.sum(f(a, b) ** 2)

        for fn in (f, jax.grad(loss, (0, 1))):
            text = jax.jit(jax.vmap(fn, axes)).lower(a, b).as_text()
            counts = group_counts(text)
            assert counts, f"no convolution in the lowering of {op}"
            assert max(counts) <= settings.get("groups", 1)
            assert set(re.findall(r"batch_group_count = (\d+)", text)) <= {"1"}


def test_the_check_sees_groups_grow_in_plain_lax():
    _, plain, (x, w) = operations(*CONFIGURATIONS["dense-stride-2"])["conv"]
    text = jax.jit(jax.vmap(plain)).lower(jnp.stack([x] * 5), jnp.stack([w] * 5)).as_text()
    assert max(group_counts(text)) == 5


def _integers(*shape):
    values = np.random.default_rng(len(shape)).integers(-2, 3, shape)
    return jnp.asarray(values, jnp.float32)


BOTH = {
    # The shapes of x and w; whether groups are predicted to take less time than a loop.
    "one channel, 9x9": ((8, 1, 64, 64, 1), (8, 9, 9, 1, 1), True),
    "one to four, 5x5": ((16, 1, 28, 28, 1), (16, 5, 5, 1, 4), True),
    "32 channels, 3x3": ((4, 4, 28, 28, 32), (4, 3, 3, 32, 32), False),
}


@pytest.mark.parametrize("name", BOTH)
def test_both_operands_mapped_run_as_a_loop_or_as_groups_by_what_is_quicker(name):
    x_shape, w_shape, as_groups = BOTH[name]
    x, w = _integers(*x_shape), _integers(*w_shape)

    def both_grads(x, w):
        y, backward = jax.vjp(jconv.conv, x, w)
        return y, *backward(y)

    with jconv.policy("exact"):
        one_by_one = jax.jit(both_grads)
        expected = [jnp.stack(turns) for turns in zip(*map(one_by_one, x, w), strict=True)]
        results = jax.jit(jax.vmap(both_grads))(x, w)
    for result, wanted in zip(results, expected, strict=True):
        assert jnp.array_equal(result, wanted)
    forward = jax.jit(jax.vmap(jconv.conv)).lower(x, w).as_text()
    assert ("stablehlo.while" not in forward) == as_groups


def test_a_symbolic_number_of_mapped_convolutions_is_a_loop():
    (v,) = jax.export.symbolic_shape("v")
    x = jax.ShapeDtypeStruct((v, 1, 64, 64, 1), jnp.float32)
    w = jax.ShapeDtypeStruct((v, 9, 9, 1, 1), jnp.float32)
    exported = jax.export.export(jax.jit(jax.vmap(jconv.conv)))(x, w)
    assert "stablehlo.while" in exported.mlir_module()
    x, w = _integers(3, 1, 64, 64, 1), _integers(3, 9, 9, 1, 1)
    expected = jnp.stack([jconv.conv(*pair) for pair in zip(x, w, strict=True)])
    assert jnp.array_equal(exported.call(x, w), expected)
