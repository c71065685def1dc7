"""Images with fewer pixels than a filter has taps: XLA swaps the operands, the planner knows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import AS_USERS

import jconv
from jconv._algorithms import BY_NAME
from jconv._algorithms.cost import operands_swapped
from jconv._core.geometry import Axis
from jconv._core.problem import OPERANDS, Problem
from jconv._planner.choose import Planner, choose

IMAGES = [(2, 2), (2, 4), (4, 2), (1, 4), (2,), (2, 2, 2), (3, 3), (4, 4), (5,)]


def _problem(leg, image, k=3, channels=64, batch=4):
    axes = tuple(Axis(i, k, i, p0=k // 2) for i in image)
    return Problem(leg, axes, batch, 1, channels, channels, *["float32"] * 3)


@pytest.mark.parametrize("image", IMAGES, ids=str)
def test_the_planner_knows_which_convolutions_xla_swaps(image):
    problem = _problem("conv", image, channels=8)
    a, b = (jnp.ones(problem.shape(slot), jnp.float32) for slot in OPERANDS["conv"])
    run = jax.jit(lambda a, b: BY_NAME["direct"].run(problem, Planner("cpu"), a, b))
    compiled = run.lower(a, b).compile(AS_USERS).as_text()
    assert ("rhs_reversal" in compiled) == operands_swapped(problem.axes)


@pytest.mark.parametrize("image", IMAGES[:4], ids=str)
@pytest.mark.parametrize("leg", ["conv", "input_grad"])
def test_few_pixels_under_many_channels_leave_direct(leg, image):
    for channels, k in ((256, 3), (512, 3), (128, 5)):
        problem = _problem(leg, image, k, channels)
        assert choose(problem, "cpu").algorithm.name != "direct"
        direct, gemm = (BY_NAME[name].cost(problem, Planner("cpu")) for name in ("direct", "gemm"))
        assert direct > 5 * gemm


def test_the_legs_of_few_pixels_are_exact():
    rng = np.random.default_rng(0)
    x, w = (
        jnp.asarray(rng.integers(-2, 3, s), jnp.float32) for s in [(4, 2, 3, 64), (3, 3, 64, 64)]
    )

    def legs(x, w):
        y, backward = jax.vjp(jconv.conv, x, w)
        return y, *backward(y)

    with jconv.policy("direct"):
        expected = jax.jit(legs)(x, w)
    with jconv.policy("gemm"):
        for result, wanted in zip(jax.jit(legs)(x, w), expected, strict=True):
            assert jnp.array_equal(result, wanted)
