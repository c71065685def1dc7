"""What algorithms round: against float64, as a multiple of what direct rounds.

The operands are the same float32 numbers, so the difference from the float64 result is the
algorithm's own error. Root mean square over the whole result.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv._algorithms import BY_NAME, REGISTRY
from jconv._algorithms.winograd import tile_size
from jconv._core.problem import LEGS, OPERANDS, Problem
from jconv._planner.choose import LARGEST_ERROR, Planner

OTHERS = [algorithm for algorithm in REGISTRY if algorithm.name != "direct"]

SHAPES = {
    "3x3": ((2, 20, 20, 32), (3, 3, 32, 24), {}),
    "3x3 of many channels": ((1, 14, 14, 256), (3, 3, 256, 64), {}),
    "3x3 of one image's corner": ((3, 5, 7, 16), (3, 3, 16, 16), {"padding": "VALID"}),
    "3x3 stride 2": ((2, 21, 18, 24), (3, 3, 24, 16), {"stride": 2}),
    "4x4 stride 2": ((2, 16, 16, 24), (4, 4, 24, 16), {"stride": 2}),
    "5x5": ((2, 18, 18, 16), (5, 5, 16, 16), {}),
    "7x7": ((1, 18, 18, 12), (7, 7, 12, 12), {}),
    "1x1": ((2, 12, 12, 64), (1, 1, 64, 32), {}),
    "2x2 stride 2": ((2, 12, 12, 32), (2, 2, 32, 32), {"stride": 2}),
    "3x3 dilation 2": ((2, 20, 20, 16), (3, 3, 16, 16), {"dilation": 2}),
    "3x3 depthwise": ((3, 20, 20, 32), (3, 3, 1, 32), {"groups": 32}),
    "3x3 in 8 groups": ((2, 14, 14, 64), (3, 3, 8, 64), {"groups": 8}),
    "9 on a line": ((3, 120, 16), (9, 16, 16), {}),
    "3 on a line": ((3, 120, 32), (3, 32, 32), {}),
    "3x3x3": ((1, 10, 10, 10, 12), (3, 3, 3, 12, 12), {}),
}


SAMPLE = {"3x3", "3x3 stride 2", "1x1", "3x3 dilation 2", "3x3 depthwise", "3x3 in 8 groups"}


def shapes(sample: set[str]) -> list:
    """All shapes, those outside the sample among the slow tests: tiles compile slowly."""
    return [n if n in sample else pytest.param(n, marks=pytest.mark.slow) for n in SHAPES]


def problem_of(name: str, leg, dtype: str = "float32") -> Problem:
    x, w, keywords = SHAPES[name]
    return jconv.plan(x, w, dtype=dtype, platform="cpu", **keywords).problem.replace(leg=leg)


def run(problem: Problem, name: str, *operands: jax.Array) -> np.ndarray:
    problem = problem.replace(policy=name)
    return np.asarray(jax.jit(functools.partial(Planner("cpu").run, problem))(*operands))


def draw(problem: Problem, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [problem.shape(slot) for slot in OPERANDS[problem.leg]]
    if problem.wide_dtype == "float32":
        return [rng.standard_normal(shape).astype("float32") for shape in shapes]
    pairs = [rng.standard_normal((2, *shape)) for shape in shapes]
    return [(real + 1j * imaginary).astype("complex64") for real, imaginary in pairs]


def errors(problem: Problem, names: list[str]) -> dict[str, float]:
    operands = draw(problem, 7)
    with jax.enable_x64(True):
        dtype = "float64" if problem.wide_dtype == "float32" else "complex128"
        wide = problem.replace(x_dtype=dtype, w_dtype=dtype, y_dtype=dtype)
        exact = run(wide, "direct", *(jnp.asarray(a, dtype) for a in operands))
    found = {}
    for name in names:
        got = run(problem, name, *(jnp.asarray(a) for a in operands))
        found[name] = float(np.sqrt(np.mean(np.abs(got - exact) ** 2)))
    return found


@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize("shape", shapes({"3x3", "5x5"}))
def test_errors_of_both_tiles(monkeypatch, shape, outputs):
    """Whichever tile the cost model would take."""
    for leg in LEGS:
        problem = problem_of(shape, leg)
        if BY_NAME["winograd"].supports(problem, "cpu") is not None:
            continue
        if outputs not in tile_size.tile_sizes(problem):
            continue
        monkeypatch.setattr(tile_size, "choose_outputs", lambda problem: outputs)
        found = errors(problem, ["direct", "winograd"])
        assert found["winograd"] <= BY_NAME["winograd"].error * found["direct"], (leg, found)


@pytest.mark.parametrize("shape", shapes(SAMPLE))
def test_errors_stay_within_what_the_records_state(shape):
    judged = 0
    for leg in LEGS:
        problem = problem_of(shape, leg)
        names = [a.name for a in OTHERS if a.supports(problem, "cpu") is None]
        found = errors(problem, ["direct", *names])
        for name in names:
            assert found[name] <= BY_NAME[name].error * found["direct"], (leg, name, found)
        judged += len(names)
    assert judged


@pytest.mark.parametrize("leg", LEGS)
def test_complex_numbers_round_as_the_record_states(leg):
    """The real leg's own algorithm apart, which precision HIGHEST keeps to exact ones."""
    problem = problem_of("3x3", leg, "complex64").replace(precision=("HIGHEST", "HIGHEST"))
    found = errors(problem, ["direct", "real"])
    assert found["real"] <= BY_NAME["real"].error * found["direct"], found


def test_nothing_that_auto_may_choose_states_more_than_the_bound():
    for algorithm in REGISTRY:
        assert algorithm.error <= LARGEST_ERROR


def test_a_sum_in_half_precision_would_be_noticed():
    problem = problem_of("3x3", "conv")
    found = errors(problem, ["direct"])
    a, b = draw(problem, 7)
    half = run(problem, "direct", *(jnp.asarray(v, "bfloat16").astype("float32") for v in (a, b)))
    full = run(problem, "direct", jnp.asarray(a), jnp.asarray(b))
    assert np.sqrt(np.mean((half - full) ** 2)) > 100 * LARGEST_ERROR * found["direct"]


@pytest.mark.parametrize("rule", ["auto", "phase"])
def test_parts_of_mixed_dtypes_are_exact(rule):
    """A part's operands are widened, so that the planner would take them for float32 ones."""
    plan = jconv.plan((2, 28, 28, 32), (3, 3, 32, 32), stride=2, platform="cpu")
    problem = plan.problem.replace(leg="input_grad", policy=rule)
    of_float32 = BY_NAME["phase"].parts(problem)
    mixed = BY_NAME["phase"].parts(problem.replace(w_dtype="bfloat16"))
    assert {part.policy for part in of_float32} == {rule}
    assert {part.policy for part in mixed} == {"exact"}
