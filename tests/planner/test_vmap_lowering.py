"""vmap folds into the batch or the channels, or loops: never a slow grouped convolution on CPU."""

import re

import jax
import jax.numpy as jnp
import pytest
from plain import CONFIGURATIONS, operations

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
