"""A quick sample of the kit on jconv, by property: what mutation.py kills mutants with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jconv
from jconv.testing import CASES, check_conformance

QUICK = {
    "values": CASES[::12],
    "derivatives": CASES[5::90],
    "transformations": [case for case in CASES if case.name == "groups-equal-batch"],
}


@pytest.mark.parametrize("property_", QUICK)
def test_quick(property_):
    report = check_conformance(jconv, True, cases=QUICK[property_], properties=[property_])
    report.raise_if_failed()
    assert not report.refused


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CAUSAL", ((1, 2),)], ids=str)
def test_symbolic_gradients(padding):
    """One artifact for every size, and the gradients of a strided convolution in it."""
    (n,) = export.symbolic_shape("n")

    def grads(x, w):
        def loss(x, w):
            return jnp.sum(jconv.conv(x, w, stride=2, padding=padding) ** 2)

        return jax.grad(loss, (0, 1))(x, w)

    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, n, 2), (3, 2, 2))]
    artifact = export.export(jax.jit(grads))(*shapes)
    rng = np.random.default_rng(0)
    w = rng.integers(-3, 4, (3, 2, 2)).astype(np.float32)
    for size in (4, 7):
        x = rng.integers(-3, 4, (1, size, 2)).astype(np.float32)
        jax.tree.map(np.testing.assert_array_equal, artifact.call(x, w), grads(x, w))
