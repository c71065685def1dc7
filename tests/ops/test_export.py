"""jax.export with symbolic sizes: one artifact is right at every size it admits."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import QUICKLY
from jax import export
from plain import integers

import jconv


def run_grid(root, *arguments):
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, root / "tests" / "helpers" / "export_grid.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **QUICKLY, "PYTHONPATH": path},
    )


@pytest.mark.parametrize(("rank", "sample"), [(1, 40), (2, 30), (3, 12)])
def test_a_sample_of_the_grid(rank, sample, pytestconfig):
    done = run_grid(pytestconfig.rootpath, "--rank", rank, "--sample", sample, "--seed", rank)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sample} jobs, 0 failed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("part", range(12))
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_whole_grid(rank, part, pytestconfig):
    done = run_grid(pytestconfig.rootpath, "--rank", rank, "--part", f"{part}/12")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_symbolic_axis_mapped_over_both_operands():
    b, h = export.symbolic_shape("b, h")

    def each(x, w):
        return jax.vmap(lambda x, w: jconv.conv(x, w, stride=2))(x, w)

    x, w = integers((3, 2, 7, 2), 1), integers((3, 3, 2, 4), 2)
    avals = (
        jax.ShapeDtypeStruct((b, 2, h, 2), x.dtype),
        jax.ShapeDtypeStruct((b, 3, 2, 4), w.dtype),
    )
    np.testing.assert_array_equal(export.export(jax.jit(each))(*avals).call(x, w), each(x, w))


@pytest.mark.parametrize("mode", ["reflect", "edge", "circular"])
def test_padding_modes_with_symbolic_sizes(mode):
    h, w = export.symbolic_shape("h, w", constraints=["h >= 3", "w >= 3"])
    filters = integers((3, 3, 1, 2), 2)

    def loss(x):
        y = jconv.conv(x, filters, stride=2, padding=[(2, 1), (1, 2)], padding_mode=mode)
        return jnp.sum(y**2)

    f = jax.jit(jax.grad(loss))
    exported = export.export(f)(jax.ShapeDtypeStruct((1, h, w, 1), jnp.float32))
    for size in [(3, 5), (6, 4), (7, 9)]:
        x = integers((1, *size, 1), 1)
        np.testing.assert_array_equal(exported.call(x), f(x))


def test_one_artifact_for_several_platforms():
    (h,) = export.symbolic_shape("h")
    w = integers((3, 2, 4), 2)
    f = jax.jit(jax.grad(lambda x, w: jnp.sum(jconv.conv(x, w, stride=2) ** 2), (0, 1)))
    avals = (jax.ShapeDtypeStruct((2, h, 2), jnp.float32), jax.ShapeDtypeStruct(w.shape, w.dtype))
    exported = export.export(f, platforms=("cpu", "cuda", "tpu"))(*avals)
    x = integers((2, 9, 2), 1)
    for have, want in zip(exported.call(x, w), f(x, w), strict=True):
        np.testing.assert_array_equal(have, want)


def test_what_cannot_be_proved_names_the_constraint_to_add():
    h, o = export.symbolic_shape("h, o")

    def f(g, w, x):
        return jconv.conv_input_grad(g, w, input_shape=x.shape, stride=2)

    avals = [
        jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, o, 4), (3, 2, 4), (1, h, 2))
    ]
    with pytest.raises(jconv.ConvError, match="constraint"):
        jax.eval_shape(f, *avals)
