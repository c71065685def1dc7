"""The policy "local": an output depends on its own window alone, bit by bit.

Checked where algorithms other than direct are chosen, over every leg, and for every algorithm that
says of a problem that it may run there, chosen or not. What an output depends on is asked of
direct, by small whole numbers: a place that changes an output by 1 times 1 is in its window.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

import jconv
from jconv._algorithms import BY_NAME, REGISTRY, Algorithm
from jconv._algorithms.record import always_local, mixes_windows
from jconv._core.geometry import Axis
from jconv._core.problem import LEGS, ONE_WINDOW, OPERANDS, OUTPUT, Leg, Problem
from jconv._planner.choose import Planner, choose
from jconv.testing import CASES

# x's shape, w's shape, settings. Between them they take every algorithm that can be local, and
# the traps: one output, windows wholly in padding, rows that no window reads, many groups.
CALLS = {
    "many channels": ((4, 14, 14, 64), (3, 3, 64, 64), {}),
    "stride 2": ((4, 28, 28, 32), (3, 3, 32, 64), {"stride": 2}),
    "stride 3, rows left over": ((3, 23, 23, 32), (4, 4, 32, 64), {"stride": 3, "padding": 2}),
    "one tap": ((4, 28, 28, 64), (1, 1, 64, 32), {}),
    "one output": ((4, 7, 7, 64), (7, 7, 64, 32), {"padding": "VALID"}),
    "groups": ((2, 28, 28, 128), (3, 3, 32, 128), {"groups": 4}),
    "depthwise": ((4, 28, 28, 64), (3, 3, 1, 64), {"groups": 64}),
    "depthwise, stride and multiplier": (
        (3, 28, 28, 32),
        (5, 5, 1, 64),
        {"groups": 32, "stride": 2},
    ),
    "dilation": ((3, 28, 28, 64), (3, 3, 64, 64), {"dilation": 2}),
    "input dilation": ((3, 14, 14, 64), (4, 4, 64, 64), {"input_dilation": 2}),
    "a line": ((4, 512, 64), (9, 64, 64), {"padding": "CAUSAL"}),
    "wide padding": ((3, 8, 8, 16), (3, 3, 16, 16), {"padding": 9}),
}


def problem_of(name: str, leg: Leg, rule: str, **changes: object) -> Problem:
    x_shape, w_shape, settings = CALLS[name]
    problem = jconv.plan(x_shape, w_shape, platform="cpu", **settings).problem
    return problem.replace(leg=leg, policy=rule, **changes)


@functools.cache
def program(problem: Problem):
    return jax.jit(functools.partial(Planner("cpu").run, problem))


def run(problem: Problem, *operands: np.ndarray) -> np.ndarray:
    return np.asarray(program(problem)(*operands))


def draw(problem: Problem, seed: int = 0, whole: bool = False) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)

    def values(shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(-4, 5, shape) if whole else rng.standard_normal(shape)

    def operand(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        imaginary = 1j * values(shape) if "complex" in dtype else 0
        return (values(shape) + imaginary).astype(dtype)

    slots = OPERANDS[problem.leg]
    return [operand(problem.shape(slot), problem.dtype(slot)) for slot in slots]


def depends(problem: Problem, first: np.ndarray) -> np.ndarray:
    """Whether each output has a product with a place of the first operand that is marked."""
    ones = np.ones(problem.shape(OPERANDS[problem.leg][1]), np.float32)
    return run(problem.replace(policy="direct"), first, ones) != 0


def check_windows(problem: Problem, run_it) -> None:
    """A NaN, infinities, zeros, the range and whole numbers, at a few places of x (or of g)."""
    a, b = draw(problem, whole=True)
    b[b == 0] = 1  # infinity times zero would be a NaN by itself
    whole = run_it(a, b)
    np.testing.assert_array_equal(whole, run(problem.replace(policy="direct"), a, b))
    rng = np.random.default_rng(1)
    for value in (np.nan, np.inf):
        at = tuple(rng.integers(size) for size in a.shape)
        marked = np.zeros_like(a)
        marked[at] = 1
        hit = depends(problem, marked)
        changed = a.copy()
        changed[at] = value
        got = run_it(changed, b)
        np.testing.assert_array_equal(~np.isfinite(got), hit)
        np.testing.assert_array_equal(got[~hit], whole[~hit])
        # A large number alone: transforms would overflow, and leave traces in its neighbours.
        alone = run_it(marked * np.float32(3e37), b)
        expected = run(problem.replace(policy="direct"), marked, b) * np.float64(3e37)
        np.testing.assert_allclose(alone, expected, rtol=1e-6)
        assert (alone[~hit] == 0).all()


def may_depend(problem: Problem, at: tuple[int, ...], holes: bool) -> np.ndarray:
    """Whether an output's window holds place `at` of the second operand, zero padding included.

    A tap that meets padding is in the window, and NaN times the padding's zero may be a NaN, as in
    lax. What stands in another channel or in another group is in no window, and neither, unless
    `holes`, is a tap that meets only the zeros between the rows of a dilated operand.
    """
    out = np.zeros(problem.shape(OUTPUT[problem.leg]), bool)
    spatial = at[:-2] if problem.leg != "filter_grad" else at[1:-1]
    rows = []
    for axis, place in zip(problem.axes, spatial, strict=True):
        if problem.leg == "input_grad":
            rows.append((axis.b * np.arange(axis.i) + axis.p0 - axis.d * place) % axis.s == 0)
        elif problem.leg == "filter_grad":
            rows.append((axis.s * place + axis.d * np.arange(axis.k) - axis.p0) % axis.b == 0)
        else:
            rows.append(np.ones(axis.o, bool))
        if holes:
            rows[-1][:] = True
    met = np.ones((), bool)
    for row in rows:
        met = met[..., None] & row
    c, f = at[-2:]
    if problem.leg == "input_grad":
        out[..., f // problem.f * problem.c + c] = met
    else:
        out[..., f] = met[..., None] if problem.leg == "filter_grad" else met
    return out


def check_second(problem: Problem, run_it, holes: bool = False) -> None:
    """A NaN and an infinity at a place of w (or of g, in a filter gradient)."""
    a, b = draw(problem, whole=True)
    a[a == 0] = 1
    whole = run_it(a, b)
    rng = np.random.default_rng(3)
    for value in (np.nan, -np.inf):
        at = tuple(int(rng.integers(size)) for size in b.shape)
        marked, changed = np.zeros_like(b), b.copy()
        marked[at], changed[at] = 1, value
        met = run(problem.replace(policy="direct"), np.ones_like(a), marked) != 0
        may = may_depend(problem, at, holes)
        bad = ~np.isfinite(run_it(a, changed))
        assert not (met & ~may).any()  # else the test is wrong
        assert not (met & ~bad).any(), "a value was lost"
        assert not (bad & ~may).any(), f"{value} at {at} in {int((bad & ~may).sum())} others"
        np.testing.assert_array_equal(run_it(a, changed)[~bad], whole[~bad])


@pytest.mark.parametrize("leg", LEGS)
@pytest.mark.parametrize("name", CALLS)
def test_the_second_operands_nan_stays_in_its_windows(name, leg):
    problem = problem_of(name, leg, "local")
    check_second(problem, functools.partial(run, problem))


@pytest.mark.parametrize("leg", LEGS)
@pytest.mark.parametrize("name", CALLS)
def test_outputs_keep_to_their_windows(name, leg):
    problem = problem_of(name, leg, "local")
    check_windows(problem, functools.partial(run, problem))


@pytest.mark.parametrize("leg", ["conv", "input_grad"])
@pytest.mark.parametrize("name", CALLS)
def test_an_example_does_not_depend_on_its_batch(name, leg):
    problem = problem_of(name, leg, "local")
    a, b = draw(problem)
    whole = run(problem, a, b)
    order = np.random.default_rng(2).permutation(problem.n)
    np.testing.assert_array_equal(run(problem, a[order], b).view(np.int32), whole[order].view("i4"))
    alone = run(problem.replace(n=1), a[:1], b)
    np.testing.assert_array_equal(alone.view(np.int32), whole[:1].view(np.int32))


def test_a_large_batch_is_a_loop_of_the_same_bits():
    """More examples than are computed side by side."""
    problem = problem_of("one output", "conv", "local", n=40)
    a, b = draw(problem)
    few = problem.replace(n=3)
    np.testing.assert_array_equal(run(problem, a, b)[7:10], run(few, a[7:10], b))


def test_what_compiles_slowly_is_a_loop_over_few_examples_too():
    """A sum of many dilated taps compiled for minutes when each example was a call of its own."""

    def lowered(taps: int) -> str:
        axes = (Axis(32, taps, 33 - taps), Axis(32, taps, 34 - 2 * taps, d=2))
        problem = Problem("input_grad", axes, 16, 1, 40, 64, *["float32"] * 3, policy="local")
        assert choose(problem, "cpu").algorithm.name == "gemm"
        slots = (jax.ShapeDtypeStruct(problem.shape(s), "float32") for s in "yw")
        run = functools.partial(Planner("cpu").run, problem)
        return jax.jit(run).lower(*slots).as_text()

    assert "stablehlo.while" in lowered(16)
    assert "stablehlo.while" not in lowered(4)


def test_the_choice_does_not_depend_on_the_batch_and_leaves_direct():
    chosen = set()
    for name in CALLS:
        for leg in LEGS:
            problem = problem_of(name, leg, "local")
            choice = choose(problem, "cpu")
            chosen.add(choice.algorithm.name)
            if leg != "filter_grad":
                for n in (1, 7, 10**6):
                    assert choose(problem.replace(n=n), "cpu") == choice
            for other in REGISTRY:
                if other.local(problem) is not None and other.name != "wide":
                    assert other.name in choice.rejected
    assert {"direct", "gemm", "taps", "grouped"} <= chosen


def admitted(algorithm: Algorithm) -> list[Problem]:
    """The conformance kit's cases that an algorithm says it may run; `real` in complex numbers."""
    slots = ("x_dtype", "w_dtype", "y_dtype")
    dtypes = dict.fromkeys(slots, "complex64") if algorithm.name == "real" else {}
    found = {}
    for case in CASES:
        whole = jconv.plan(case.x_shape, case.w_shape, platform="cpu", **case.kwargs).problem
        for leg in LEGS:
            problem = whole.replace(leg=leg, policy=ONE_WINDOW, **dtypes)
            if problem.empty or algorithm.supports(problem, "cpu") or algorithm.local(problem):
                continue
            found[problem] = None
    return list(found)


def as_numpy(function, *operands: np.ndarray) -> np.ndarray:
    return np.asarray(function(*operands))


def check_algorithm(algorithm: Algorithm, most: int) -> None:
    cases = admitted(algorithm)
    for problem in cases[:: max(len(cases) // most, 1)]:
        one = jax.jit(functools.partial(algorithm.run, problem, Planner("cpu")))
        run_it = functools.partial(as_numpy, one)
        check_windows(problem, run_it)
        # XLA's own convolution of three axes multiplies the holes of a dilated operand.
        check_second(problem, run_it, holes=algorithm.name == "direct")


@pytest.mark.parametrize("name", BY_NAME)
def test_every_algorithm_that_says_so_is_local(name):
    algorithm = BY_NAME[name]
    assert bool(admitted(algorithm)) == (algorithm.local is not mixes_windows)
    check_algorithm(algorithm, 6)


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_every_algorithm_that_says_so_is_local_on_every_case(name):
    check_algorithm(BY_NAME[name], 10**6)


@pytest.mark.parametrize("name", ["winograd", "fft", "space_to_batch"])
def test_the_check_fails_for_what_is_not_local(name):
    """Winograd and FFT at all, space_to_batch where it adds rows of zeros to g."""
    wrong = dataclasses.replace(BY_NAME[name], local=always_local)
    with pytest.raises(AssertionError):
        check_algorithm(wrong, 40)


def test_gradients_inherit_it():
    x, w = np.ones((2, 14, 14, 64), np.float32), np.ones((3, 3, 64, 64), np.float32)
    with jconv.policy("local"):
        _, pullback = jax.vjp(jconv.conv, x, w)
    made = str(jax.make_jaxpr(pullback)(np.ones((2, 14, 14, 64), np.float32)))
    assert made.count("policy='local'") == 2


def test_the_batch_may_be_a_symbol():
    from jax import export

    shape = export.symbolic_shape("b, 14, 14, 64")
    w = np.ones((3, 3, 64, 8), np.float32)
    x = np.random.default_rng(0).standard_normal((5, 14, 14, 64)).astype(np.float32)
    with jconv.policy("local"):
        conv = jax.jit(jconv.conv)
        exported = export.export(conv)(jax.ShapeDtypeStruct(shape, np.float32), w)
        for n in (1, 3, 5):
            got, want = exported.call(x[:n], w), conv(x, w)[:n]
            np.testing.assert_array_equal(got, want)
