"""Exact algorithms on GPUs and TPUs: where a policy names them or a tuning table measured them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv._algorithms import BY_NAME, REGISTRY
from jconv._core.geometry import Axis
from jconv._core.problem import LEGS, OPERANDS, Problem
from jconv._planner.choose import Planner, choose
from jconv._tuning.device import Environment
from jconv._tuning.table import Measurement, TuningTable

PLATFORMS = ("cuda", "rocm", "tpu")


def _axes(k, s=1, d=1, size=9):
    rows = (size + 2 * (d * (k - 1) // 2) - d * (k - 1) - 1) // s + 1
    return (Axis(size, k, rows, s=s, d=d, p0=d * (k - 1) // 2),) * 2


SHAPES = {
    "dense": (_axes(3), 1, 4, 6),
    "strided": (_axes(3, s=2), 1, 3, 5),
    "dilated": (_axes(3, d=2), 1, 4, 4),
    "grouped": (_axes(3), 4, 2, 3),
    "depthwise": (_axes(3), 8, 1, 1),
}
EXACT = {
    "gemm": ("dense", "strided"),
    "phase": ("strided",),
    "space_to_batch": ("dilated",),
    "grouped": ("grouped", "depthwise"),
    "taps": ("depthwise",),
}


def _problem(leg, shape, policy="auto"):
    axes, groups, c, f = SHAPES[shape]
    return Problem(leg, axes, 2, groups, c, f, *["float32"] * 3, policy=policy)


def _operands(problem):
    rng = np.random.default_rng(0)
    shapes = [problem.shape(slot) for slot in OPERANDS[problem.leg]]
    return [jnp.asarray(rng.integers(-3, 4, shape), jnp.float32) for shape in shapes]


@pytest.mark.parametrize("name", EXACT)
def test_named_algorithms_run_there_and_give_the_same_values(name):
    ran = 0
    for shape in EXACT[name]:
        for leg in LEGS:
            problem = _problem(leg, shape, name)
            if BY_NAME[name].supports(problem, "cuda") is not None:
                continue
            a, b = _operands(problem)
            direct = problem.replace(policy="direct")
            expected = jax.jit(lambda a, b, p=direct: Planner("cpu").run(p, a, b))(a, b)
            assert {choose(problem, platform).algorithm.name for platform in PLATFORMS} == {name}
            run = jax.jit(lambda a, b, p=problem: Planner("cuda").run(p, a, b))
            assert jnp.array_equal(run(a, b), expected)
            ran += 1
    assert ran


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", EXACT)
def test_a_policy_names_what_is_lowered_there(name, platform):
    axes, groups, c, f = SHAPES[EXACT[name][0]]
    settings = {"stride": axes[0].s, "dilation": axes[0].d, "groups": groups}
    settings["padding"] = axes[0].p0
    x = jax.ShapeDtypeStruct((2, 9, 9, groups * c), jnp.float32)
    w = jax.ShapeDtypeStruct((3, 3, c, groups * f), jnp.float32)

    def legs(x, w):
        y, backward = jax.vjp(lambda x, w: jconv.conv(x, w, **settings), x, w)
        return y, *backward(y)

    def lowered():
        jitted = jax.jit(lambda x, w: legs(x, w))
        return jitted.trace(x, w).lower(lowering_platforms=(platform,)).as_text(debug_info=True)

    auto = lowered()
    assert all(f"jconv.{leg}.direct" in auto for leg in LEGS)
    with jconv.policy(name):
        named = lowered()
    assert any(f"jconv.{leg}.{name}" in named for leg in LEGS)
    assert "inlineable" not in named


@pytest.mark.parametrize("platform", PLATFORMS)
def test_auto_stays_with_direct_until_a_table_of_that_device_says_otherwise(platform):
    problem = _problem("filter_grad", "depthwise")
    choice = choose(problem, platform)
    assert choice.algorithm.name == "direct"
    assert "autotune" in choice.rejected["taps"]
    device = "gpu" if platform != "tpu" else "tpu"
    table = TuningTable(
        Environment(device, "some accelerator", jax.__version__),
        (Measurement(problem, "taps", (("taps", 1.0e-5), ("direct", 9.0e-5))),),
    )
    tuned = problem.replace(tuning=table)
    assert choose(tuned, platform).algorithm.name == "taps"
    assert "9x faster" in choose(tuned, platform).rejected["direct"]
    assert choose(tuned, "cpu").algorithm.name == choose(problem, "cpu").algorithm.name


def test_what_is_not_exact_stays_on_cpu():
    for algorithm in REGISTRY:
        if not algorithm.exact:
            for platform in PLATFORMS:
                assert algorithm.supports(_problem("conv", "dense"), platform) is not None
