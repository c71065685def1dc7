"""Every algorithm, wherever it supports a leg, gives what direct gives.

Exact algorithms to the last bit, on small integers; the others on integers within a few units
of float32's precision, and within the error that their record states.
"""

import functools
import re
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import AS_USERS

import jconv
from jconv._algorithms import (
    BY_NAME,
    REGISTRY,
    batches,
    fft,
    gemm,
    phase,
    space_to_batch,
    wide,
)
from jconv._algorithms.col2im import col2im
from jconv._algorithms.record import no_parts
from jconv._algorithms.taps import filter_grads, window_sums
from jconv._algorithms.winograd import tile_size
from jconv._core.geometry import Axis
from jconv._core.problem import LEGS, OPERANDS, Problem
from jconv._planner.choose import Planner, choose
from jconv.testing import CASES

# These hand simpler problems back to the planner, which may choose direct for some of them.
HANDING_ON = {algorithm.name for algorithm in REGISTRY if algorithm.parts is not no_parts}
OTHERS = [algorithm.name for algorithm in REGISTRY if algorithm.name != "direct"]


@functools.cache
def problems() -> dict[str, Problem]:
    """The distinct problems behind the table of cases, by the name of the first."""
    seen: dict[Problem, str] = {}
    for case in CASES:
        problem = jconv.plan(case.x_shape, case.w_shape, platform="cpu", **case.kwargs).problem
        if not problem.empty:
            seen.setdefault(problem, case.name)
    return {name: problem for problem, name in seen.items()}


def supported(name: str) -> list[Problem]:
    """The legs that an algorithm supports; those of `real` in complex numbers."""
    dtypes = dict.fromkeys(("x_dtype", "w_dtype", "y_dtype"), "complex64") if name == "real" else {}
    legs = [one.replace(leg=leg, **dtypes) for one in problems().values() for leg in LEGS]
    return [problem for problem in legs if BY_NAME[name].supports(problem, "cpu") is None]


def draw(problem: Problem) -> list[jax.Array]:
    """Whole numbers, so small that every sum is exact."""
    rng = np.random.default_rng(0)

    def operand(shape: tuple[int, ...], dtype: str) -> jax.Array:
        values = rng.integers(-4, 5, shape)
        if "complex" in dtype:
            values = values + 1j * rng.integers(-4, 5, shape)
        return jnp.asarray(values, dtype)

    slots = OPERANDS[problem.leg]
    return [operand(problem.shape(slot), problem.dtype(slot)) for slot in slots]


def program(name: str, problem: Problem):
    problem = problem.replace(policy=name)
    assert choose(problem, "cpu").algorithm.name == name
    return jax.jit(functools.partial(Planner("cpu").run, problem))


def run(name: str, problem: Problem, *operands: jax.Array) -> np.ndarray:
    return np.asarray(program(name, problem)(*operands))


def answers(name: str, asked: list) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each problem and its operands what an algorithm gives, and direct.

    Sixteen are one program, since a program of its own costs more to compile than what is in it.
    """
    for start in range(0, len(asked), 16):
        some = asked[start : start + 16]
        pairs = [[program(each, problem) for each in (name, "direct")] for problem, _ in some]

        def together(operands, pairs=pairs):
            runs = zip(pairs, operands, strict=True)
            return [tuple(run(*given) for run in pair) for pair, given in runs]

        yield from jax.device_get(jax.jit(together)([operands for _, operands in some]))


def check(name: str, *problems: Problem) -> None:
    for got, expected in answers(name, [(problem, draw(problem)) for problem in problems]):
        check_equal(name, got, expected)


def check_equal(name: str, got: np.ndarray, expected: np.ndarray) -> None:
    assert got.shape == expected.shape
    atol = 0 if BY_NAME[name].exact else 2e-5 * np.abs(expected).max(initial=1)
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("name", OTHERS)
def test_equals_direct(name):
    cases = supported(name)
    assert len(cases) > 10
    check(name, *cases[:: max(len(cases) // 16, 1)])


def test_double_complex_numbers_equal_direct():
    with jax.enable_x64(True):
        for problem in supported("real")[::40]:
            double = dict.fromkeys(("x_dtype", "w_dtype", "y_dtype"), "complex128")
            problem = problem.replace(**double)
            got = run("real", problem, *draw(problem))
            assert got.dtype == np.complex128
            check_equal("real", got, run("direct", problem, *draw(problem)))


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_equals_direct_on_every_case(name):
    check(name, *supported(name))


@pytest.mark.parametrize("name", OTHERS)
def test_no_slow_form_reaches_the_compiler(name):
    """No batch groups, no input dilation, and every convolution channels-last."""
    cases = supported(name)
    for problem in cases[:: max(len(cases) // 16, 1)]:
        text = program(name, problem).lower(*draw(problem)).as_text()
        for line in text.splitlines():
            if "stablehlo.convolution" not in line:
                continue
            spatial = ", ".join(str(at) for at in range(problem.rank))
            assert f"[b, {spatial}, f]x[{spatial}, i, o]->[b, {spatial}, f]" in line
            assert "batch_group_count = 1" in line
            if name in HANDING_ON:
                continue
            assert "feature_group_count = 1" in line
            dilation = re.search(r"lhs_dilate = \[([\d, ]*)\]", line)
            assert dilation is None or set(dilation[1].split(", ")) == {"1"}


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "fft"])
def test_nothing_is_left_in_calls_that_do_not_fuse(name):
    """jnp.where, jnp.take and others are calls, which are inlined in a leg only where marked so.

    The names of JAX's own begin with an underscore, ours do not. The spectra are made by calls,
    which no fusion would take in.
    """
    cases = supported(name)
    for problem in cases[:: max(len(cases) // 16, 1)]:
        text = program(name, problem).lower(*draw(problem)).as_text()
        assert set(re.findall(r"func\.func private @(_\w+)", text)) == set()


def test_equal_terms_are_traced_once_and_inlined():
    """A depthwise filter backprop of eight images: one function, which no call is left of."""
    problem = jconv.plan((8, 28, 28, 64), (3, 3, 1, 64), groups=64, platform="cpu").problem
    problem = problem.replace(leg="filter_grad")
    assert choose(problem, "cpu").algorithm.name == "taps"
    lowered = program("taps", problem).lower(*draw(problem))
    text, compiled = lowered.as_text(), lowered.compile(AS_USERS).as_text()
    calls = len(re.findall(r"call @products_of_image", text))
    assert calls >= 8 * len(re.findall(r"func\.func private @products_of_image", text)) > 0
    assert not re.search(r" call\([^\n]*to_apply=%products_of_image", compiled)
    assert re.search(r" call\([^\n]*to_apply=%sums_of_windows", compiled)


@pytest.mark.parametrize("leg", LEGS)
def test_blocks_of_groups_are_one_computation(leg):
    """Thirty-two groups of eight: sixteen blocks, and one convolution or product to compile."""
    problem = jconv.plan((2, 9, 9, 256), (3, 3, 8, 256), groups=32, platform="cpu").problem
    problem = problem.replace(leg=leg)
    text = program("grouped", problem).lower(*draw(problem)).as_text()
    made = len(re.findall(r"stablehlo\.(convolution|dot_general)", text))
    assert 1 <= made <= 9  # a product a tap, at most
    assert len(re.findall(r"call @_run|call @run", text)) >= 15


def test_the_search_for_slow_forms_can_find_one():
    problem = problems()["remainder-1"].replace(leg="input_grad")
    assert "lhs_dilate" in program("direct", problem).lower(*draw(problem)).as_text()


CHUNKED = {"gemm": gemm, "space_to_batch": space_to_batch, "phase": phase}
CHUNKED |= {"wide": wide, "winograd": tile_size, "fft": fft}


@pytest.mark.parametrize("limit", [1 << 40, 0], ids=["joined", "in place"])
@pytest.mark.parametrize("name", sorted(CHUNKED))
def test_chunks_of_the_batch_change_nothing(monkeypatch, name, limit):
    """Batches of six in chunks of four and two; wide counts rows of pictures."""
    size = 2 if name == "wide" else 4
    cases = [problem.replace(n=6) for problem in supported(name)]
    cases = cases[:: max(len(cases) // 4, 1)]
    whole = [run(name, problem, *draw(problem)) for problem in cases]
    monkeypatch.setattr(CHUNKED[name], "chunk", lambda n, image, limit=0: min(n, size))
    monkeypatch.setattr(batches, "CHUNK_BYTES", limit)
    in_chunks = 0
    for problem, expected in zip(cases, whole, strict=True):
        operands = draw(problem)
        in_chunks += "dynamic_slice" in program(name, problem).lower(*operands).as_text()
        check_equal(name, run(name, problem, *operands), expected)
    assert in_chunks


PARTS = [(7, 3, 2), (5, 16, 1), (35, 8, 3)]  # images, images and rows at a time


@pytest.mark.parametrize("part", range(3))
def test_a_few_images_and_rows_at_a_time_change_nothing(monkeypatch, part):
    """Parts of two sizes each, and a last axis in pieces, on a third of the cases for each."""
    check_parts(monkeypatch, *PARTS[part], slice(part, None, len(PARTS)))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size", "rows"), PARTS)
def test_a_few_images_and_rows_of_every_case_change_nothing(monkeypatch, n, size, rows):
    check_parts(monkeypatch, n, size, rows, slice(None))


def check_parts(monkeypatch, n, size, rows, which):
    monkeypatch.setattr(filter_grads, "images", lambda problem: min(size, problem.n))
    monkeypatch.setattr(filter_grads, "rows_at_once", lambda problem: min(rows, problem.axes[0].o))
    cases = [problem for problem in supported("taps") if problem.leg == "filter_grad"][which]
    assert cases
    check("taps", *(problem.replace(n=n) for problem in cases))


@pytest.mark.parametrize("leg", LEGS)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_sum_of_few_taps_takes_no_temporaries(leg, stride):
    plan = jconv.plan(
        (8, 60, 60, 32), (3, 3, 1, 32), stride=stride, padding=1, groups=32, platform="cpu"
    )
    problem = plan.problem.replace(leg=leg)
    compiled = program("taps", problem).lower(*draw(problem)).compile(AS_USERS)
    few = 3 << 20 if leg == "filter_grad" else 1 << 14  # what is added up to one row
    assert compiled.memory_analysis().temp_size_in_bytes <= few


@pytest.mark.parametrize(("x", "rows"), [((9, 400, 6), 400), ((2, 90, 60, 12), 40)])
def test_windows_in_a_loop_are_not_copied(monkeypatch, x, rows):
    """However many taps read a row, temporaries hold what a loop stores and little more."""
    monkeypatch.setattr(filter_grads, "rows_at_once", lambda problem: rows)
    taps_of_axis = 9
    w = (*[taps_of_axis] * (len(x) - 2), 1, x[-1])
    plan = jconv.plan(x, w, padding="SAME", groups=x[-1], platform="cpu")
    problem = plan.problem.replace(leg="filter_grad")
    compiled = program("taps", problem).lower(*draw(problem)).compile(AS_USERS)
    stored = BY_NAME["taps"].workspace(problem, "cpu")
    assert compiled.memory_analysis().temp_size_in_bytes <= 1.5 * stored + (1 << 16)


@pytest.mark.parametrize("seed", range(12))
def test_products_are_put_where_they_belong(seed):
    """col2im against the sum that it is, on axes at random: strides, gaps, more than one loop."""
    rng = np.random.default_rng(seed)
    draw_axis = lambda: Axis(  # noqa: E731
        **{name: int(rng.integers(1, 8)) for name in ("i", "k", "o")},
        s=int(rng.integers(1, 5)),
        d=int(rng.choice([1, 1, 2, 3])),
        p0=int(rng.integers(-4, 8)),
    )
    axes = tuple(draw_axis() for _ in range(1 + seed % 2))
    if seed < 2:  # thirty-six terms and more
        axes = tuple(Axis(i=9, k=37 if seed == 0 else 7, o=5, p0=3) for _ in range(1 + seed))
    outputs, taps = [axis.o for axis in axes], [axis.k for axis in axes]
    rows = rng.integers(-9, 9, (2, *outputs, *taps, 3)).astype(np.float32)
    expected = np.zeros((2, *(axis.i for axis in axes), 3), np.float32)
    for o in np.ndindex(*outputs):
        for k in np.ndindex(*taps):
            at = [a.s * p + a.d * q - a.p0 for a, p, q in zip(axes, o, k, strict=True)]
            if all(0 <= i < a.i for i, a in zip(at, axes, strict=True)):
                expected[(slice(None), *at)] += rows[(slice(None), *o, *k)]
    matrix = rows.reshape(2 * int(np.prod(outputs)), -1)
    got = jax.jit(lambda rows: col2im(rows, axes))(matrix)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("n", [1, 3])
def test_transposed_pixels_change_nothing(monkeypatch, n):
    """As from many channels on, padding and lines among the cases."""
    monkeypatch.setattr(gemm, "MIN_CHANNELS_TO_TRANSPOSE", (0, 0))
    for x, padding in [((n, 5, 4, 6), "VALID"), ((n, 5, 4, 6), 1), ((n, 7, 6), "VALID")]:
        plan = jconv.plan(x, (*[1] * (len(x) - 2), 6, 5), padding=padding, platform="cpu")
        problem = plan.problem.replace(leg="filter_grad")
        assert gemm.transposes_pixels(problem)
        check("gemm", problem)


@pytest.mark.parametrize("multiplier", [2, window_sums.MAX_SUMS + 1])
def test_a_depthwise_multiplier(multiplier):
    plan = jconv.plan((2, 7, 6, 3), (3, 2, 1, 3 * multiplier), groups=3, platform="cpu")
    check("taps", plan.problem.replace(leg="input_grad"))


def test_edges_by_themselves_change_nothing(monkeypatch):
    """Windows inside of x first, then those along its edges, on every depthwise case."""
    monkeypatch.setattr(window_sums, "MIN_BYTES_TO_FRAME", 0)
    monkeypatch.setattr(window_sums, "MIN_SHARE_INSIDE", 0)
    monkeypatch.setattr(window_sums, "reads_in_place", lambda axes: False)
    cases = [problem for problem in supported("taps") if problem.leg != "filter_grad"]
    texts = [program("taps", problem).lower(*draw(problem)).as_text() for problem in cases]
    assert sum("dynamic_update_slice" in text for text in texts) > 5
    check("taps", *cases)


@pytest.mark.parametrize("value", [np.inf, np.nan])
# With an infinite part of a complex number direct gives NaNs, since it takes sums of the parts.
@pytest.mark.parametrize("name", [n for n in OTHERS if BY_NAME[n].exact and n != "real"])
def test_what_is_not_finite_stays_in_its_windows(name, value):
    """The definition's own products and no others: a zero times infinity would show."""
    cases = [p for p in supported(name) if p.rank < 3 and p.leg != "filter_grad"]
    asked = []
    for problem in cases[:: max(len(cases) // 12, 1)]:
        if any(dtype != "float32" for dtype in (problem.x_dtype, problem.w_dtype)):
            continue
        a, w = draw(problem)
        a = a.at[tuple(size // 2 for size in a.shape)].set(value)
        precise = problem.replace(precision=("HIGHEST", "HIGHEST"))
        asked.append((precise, [a, jnp.where(w == 0, 1, w)]))
    seen = 0
    for got, expected in answers(name, asked):
        seen += not np.isfinite(expected).all()
        np.testing.assert_array_equal(got, expected)
    assert seen


@pytest.mark.parametrize("leg", ["conv", "input_grad"])
def test_a_depthwise_sum_without_terms(leg):
    """Every row that a tap could read is a hole of the input dilation."""
    settings = {"stride": 2, "dilation": 2, "input_dilation": 2, "padding": ((1, 1), (3, 1))}
    plan = jconv.plan((2, 4, 5, 3), (2, 2, 1, 3), groups=3, platform="cpu", **settings)
    problem = plan.problem.replace(leg=leg)
    assert not problem.empty
    check("taps", problem)


def test_the_stated_workspace_covers_sums_that_no_loop_halves():
    """23 outputs of the last axis cannot be added up in pieces."""
    problem = jconv.plan((1, 24, 23, 8), (5, 5, 1, 8), padding=2, groups=8, platform="cpu").problem
    problem = problem.replace(leg="filter_grad")
    needed = program("taps", problem).lower(*draw(problem)).compile(AS_USERS).memory_analysis()
    assert needed.temp_size_in_bytes <= BY_NAME["taps"].workspace(problem, "cpu")


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("leg", LEGS)
@pytest.mark.parametrize("x", [(8, 14, 14, 64), (16, 56, 56, 64), (2, 7, 7, 512)])
def test_the_stated_workspace_of_tiles_is_what_xla_sets_aside(leg, x, m, monkeypatch):
    """Within a fifth: XLA's schedule decides how many lines are held at once."""
    monkeypatch.setattr(tile_size, "choose_outputs", lambda problem: m)
    problem = jconv.plan(x, (3, 3, x[-1], x[-1]), platform="cpu").problem.replace(leg=leg)
    shapes = [jax.ShapeDtypeStruct(problem.shape(s), "float32") for s in OPERANDS[leg]]
    needed = program("winograd", problem).lower(*shapes).compile(AS_USERS).memory_analysis()
    assert needed.temp_size_in_bytes <= 1.2 * BY_NAME["winograd"].workspace(problem, "cpu")
