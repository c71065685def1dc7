"""Small promises of the primitives and of the host that stands in for them."""

from __future__ import annotations

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv._core.geometry import Axis
from jconv._core.problem import LEGS, Problem
from jconv._ops import primitives
from jconv.testing import reference

AXIS = Axis(i=6, k=3, o=3, s=2, b=1, d=1, p0=1)
ROWS = {"x": (2, 6, 4), "w": (3, 2, 6), "y": (2, 3, 6)}
SETTINGS = {"stride": 2, "padding": ((1, 0),), "groups": 2}


def problem(leg: str, **changes) -> Problem:
    float32 = dict.fromkeys(("x_dtype", "w_dtype", "y_dtype"), "float32")
    return Problem(leg=leg, axes=(AXIS,), n=2, groups=2, c=2, f=3, **float32, **changes)


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return {slot: rng.integers(-4, 5, shape).astype(np.float32) for slot, shape in ROWS.items()}


def oracle(leg, given):
    x, w, g = given["x"], given["w"], given["y"]
    if leg == "conv":
        return reference.conv(x, w, **SETTINGS)
    if leg == "input_grad":
        return reference.conv_input_grad(g, w, input_shape=x.shape, **SETTINGS)
    return reference.conv_filter_grad(x, g, filter_shape=w.shape, **SETTINGS)


OPERANDS = {"conv": "xw", "input_grad": "yw", "filter_grad": "xy"}


@pytest.mark.parametrize("host", ["_HOST", "_custom_vjp_host"])
@pytest.mark.parametrize("leg", LEGS)
def test_each_host_runs_each_leg_and_its_gradients(host, leg):
    given, cotangents = arrays(), arrays(1)
    a, b = (given[slot] for slot in OPERANDS[leg])
    (out,) = set("xwy") - set(OPERANDS[leg])
    run = getattr(primitives, host)
    y, pull = jax.vjp(lambda a, b: run(problem(leg), a, b, None), a, b)
    np.testing.assert_array_equal(y, oracle(leg, given))
    known = {**given, out: cotangents[out]}
    for slot, grad in zip(OPERANDS[leg], pull(jnp.asarray(cotangents[out])), strict=True):
        adjoint = {"y": "conv", "x": "input_grad", "w": "filter_grad"}[slot]
        np.testing.assert_array_equal(grad, oracle(adjoint, known))


def test_without_jit_it_runs_compiled_all_the_same():
    x, w = jnp.ones((1, 5, 2)), jnp.ones((3, 2, 4))
    want = jconv.conv(x, w)
    with jax.disable_jit():
        np.testing.assert_array_equal(jconv.conv(x, w), want)


@pytest.mark.parametrize("leg", LEGS)
def test_profilers_see_the_leg_and_its_algorithm(leg):
    given = arrays()
    a, b = (given[slot] for slot in OPERANDS[leg])
    lowered = jax.jit(lambda a, b: primitives.run_leg(problem(leg), a, b)).lower(a, b)
    assert f"jconv.{leg}.direct" in lowered.as_text(debug_info=True)


def test_what_is_saved_is_convolutions():
    assert len(primitives.PRIMITIVES) == len(LEGS)
    for primitive in primitives.PRIMITIVES:
        assert jconv.convs_saveable(primitive, 1, two=2)
    assert jconv.convs_saveable(types.SimpleNamespace(name="conv_general_dilated"))
    assert not jconv.convs_saveable(types.SimpleNamespace(name="dot_general"))
    assert not jconv.convs_saveable(object())


def test_the_platform_that_is_lowered_for_is_the_one_that_is_asked(monkeypatch):
    asked = []
    compute = primitives._compute

    def spy(problem, a, b, *, platform):
        asked.append(platform)
        return compute(problem, a, b, platform=platform)

    monkeypatch.setattr(primitives, "_compute", spy)
    x, w = jnp.ones((1, 7, 2)), jnp.ones((3, 2, 4))
    for platform in ("cpu", "cuda", "tpu"):
        run = jax.jit(lambda x, w: jconv.conv(x, w, dilation=2))
        run.trace(x, w).lower(lowering_platforms=(platform,))
        assert asked[-1] == platform


def test_a_leg_without_terms_is_zeros_of_its_dtype():
    empty = problem("conv", policy="exact").replace(n=0)
    out = primitives.run_leg(empty, jnp.zeros((0, 6, 4)), jnp.zeros(ROWS["w"]))
    assert (out.shape, out.dtype) == ((0, 3, 6), jnp.float32)
    wide = problem("filter_grad").replace(n=0, w_dtype="bfloat16")
    out = primitives.run_leg(wide, jnp.zeros((0, 6, 4)), jnp.zeros((0, 3, 6)))
    assert (out.shape, out.dtype) == (ROWS["w"], jnp.bfloat16)
    assert not np.any(out)
