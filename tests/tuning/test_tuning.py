"""The tuning table: measured by autotune, obeyed by the planner, inherited by gradients."""

import dataclasses
import functools
import io
import os
import pickle
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain import integers

import jconv
from jconv import _algorithms
from jconv._core.problem import LEGS
from jconv._planner import choose as _planner
from jconv._support import clock as _clock
from jconv._support.progress import Progress
from jconv._tuning import autotune as autotune_module
from jconv._tuning.device import Environment, this_environment
from jconv._tuning.table import Measurement, TuningTable

X, W = integers((2, 7, 6, 3), 1), integers((3, 2, 3, 4), 2)
SETTINGS = {"stride": 2, "padding": [(1, 1), (0, 1)]}
DIRECT = _algorithms.BY_NAME["direct"]


def convolve(x, w):
    return jconv.conv(x, w, **SETTINGS)


def plain(x, w):
    """What the fakes' results are multiples of, whatever auto would choose."""
    with jconv.policy("direct"):
        return convolve(x, w)


def fake(name, factor, **changes):
    """An algorithm that no cost model would choose and whose result shows that it ran."""

    def run(problem, planner, a, b):
        return factor * DIRECT.run(problem, planner, a, b)

    known = {
        "name": name,
        "run": run,
        "cost": lambda problem, planner: 1e9,
        "workspace": lambda problem, platform: 0,
    }
    return dataclasses.replace(DIRECT, **known | changes)


@pytest.fixture
def register(monkeypatch):
    """Put algorithms into the registry for one test."""

    def add(*algorithms):
        registry = (*algorithms, *_algorithms.REGISTRY)
        monkeypatch.setattr(_planner, "REGISTRY", registry)
        monkeypatch.setattr(autotune_module, "REGISTRY", (*algorithms, DIRECT))
        monkeypatch.setattr(_planner, "BY_NAME", {a.name: a for a in registry})

    _planner._choose_once.cache_clear()
    yield add
    _planner._choose_once.cache_clear()


@pytest.fixture
def direct_alone(monkeypatch):
    """One candidate, which compiles at once, for tests that look at something else."""
    monkeypatch.setattr(autotune_module, "REGISTRY", (DIRECT,))


def preferring(*names, environment=None, **changes):
    """A table by which these algorithms are the fastest, in this order, for all legs of X, W."""
    problem = jconv.plan(X.shape, W.shape, **SETTINGS).problem.bare.replace(**changes)
    seconds = tuple((name, 1.0 + n) for n, name in enumerate(names))
    legs = tuple(Measurement(problem.replace(leg=leg), "direct", seconds) for leg in LEGS)
    return TuningTable(environment or this_environment(), legs)


def chosen(**policy):
    with jconv.policy(**policy):
        return {leg.algorithm for leg in jconv.plan(X.shape, W.shape, **SETTINGS).legs.values()}


# --- what a table says, and what it cannot say --------------------------------------------


def test_the_fastest_measured_runs_and_the_plan_says_why(register):
    register(fake("twin", 3), fake("other", 5))
    with preferring("twin", "direct"):
        plan = jconv.plan(X.shape, W.shape, **SETTINGS)
        y = convolve(X, W)
    np.testing.assert_array_equal(y, 3 * plain(X, W))
    for leg in plan.legs.values():
        assert leg.algorithm == "twin"
        assert leg.rejected["direct"] == "was measured for the tuning table: twin is 2x faster"
        assert leg.rejected["other"] == "was not measured for the tuning table, twin was"
    assert chosen() != {"twin"}


@pytest.mark.parametrize("names", [("gone", "twin"), ("twin", "gone"), ("narrow", "twin")])
def test_a_table_that_names_what_cannot_run_gives_way_to_auto(register, names):
    register(fake("twin", 3), fake("narrow", 5, supports=lambda *_: "not for this"))
    with preferring(*names):
        tuned = chosen()
    assert tuned == chosen()
    assert not tuned & {"twin", "gone", "narrow"}


def test_a_policy_outranks_the_table(register):
    register(
        fake("bold", 3, exact=False), fake("twin", 5), fake("large", 7, workspace=lambda *_: 9)
    )
    with preferring("bold", "twin", "direct"):
        assert chosen() == {"bold"}
        assert chosen(rule="exact") == {"twin"}
        assert chosen(rule="direct") == {"direct"}
    with preferring("large", "twin"):
        assert chosen() == {"large"}
        assert chosen(workspace=8) == {"twin"}


def test_another_platform_or_problem_is_not_in_the_table(register):
    register(fake("twin", 3))
    untold = chosen()
    for table in (
        preferring("twin", environment=Environment("tpu", "a tpu", jax.__version__)),
        preferring("twin", n=3),
        preferring("twin", x_dtype="bfloat16"),
        preferring("twin", precision=("HIGHEST", "HIGHEST")),
        TuningTable(this_environment()),
    ):
        with table:
            assert chosen() == untold
    gpu = preferring("twin", environment=Environment("gpu", "a gpu", jax.__version__))
    with gpu:
        plan = jconv.plan(X.shape, W.shape, platform="cuda", **SETTINGS)
    assert plan.legs["conv"].algorithm == "twin"


def test_symbolic_sizes_are_not_looked_up(register):
    register(fake("twin", 3))
    with preferring("twin"):
        assert jconv.plan(("b", 7, 6, 3), W.shape, **SETTINGS).legs["conv"].algorithm == "direct"


# --- what it reaches ----------------------------------------------------------------------


def test_gradients_inherit_the_table_of_the_forward_pass(register):
    register(fake("twin", 3))
    with preferring("twin"):
        y, pullback = jax.vjp(convolve, X, W)
        plans = jconv.explain(jax.grad(lambda x, w: convolve(x, w).sum(), (0, 1)), X, W)
    assert {plan.legs[plan.leg].algorithm for plan in plans} == {"twin"}
    untold_y, untold_pullback = jax.vjp(plain, X, W)
    np.testing.assert_array_equal(y, 3 * untold_y)
    for tuned, untold in zip(pullback(untold_y), untold_pullback(untold_y), strict=True):
        np.testing.assert_array_equal(tuned, 3 * untold)


def test_ahead_of_time_lowering_inherits_the_table(register):
    register(fake("twin", 3))
    with preferring("twin"):
        traced = jax.jit(jax.grad(lambda x, w: convolve(x, w).sum(), (0, 1))).trace(X, W)
    grads = traced.lower().compile()(X, W)
    untold = jax.grad(lambda x, w: plain(x, w).sum(), (0, 1))(X, W)
    for tuned, grad in zip(grads, untold, strict=True):
        np.testing.assert_array_equal(tuned, 3 * grad)


def test_jit_sees_a_changed_table_and_policy(register):
    register(fake("twin", 3), fake("other", 5))
    traces = []

    @jax.jit
    def f(x, w):
        traces.append(None)
        return convolve(x, w)

    untold, direct = f(X, W), plain(X, W)
    for _ in range(2):  # an equal table, made anew, is the same table to the cache
        with preferring("twin"):
            np.testing.assert_array_equal(f(X, W), 3 * direct)
        with preferring("other"):
            np.testing.assert_array_equal(f(X, W), 5 * direct)
            with jconv.policy("direct"):
                np.testing.assert_array_equal(f(X, W), direct)
    np.testing.assert_array_equal(f(X, W), untold)
    assert len(traces) == 4


def test_a_problem_handed_back_to_the_planner_is_looked_up_too(register):
    def halves(problem, planner, x, w):
        one = problem.replace(n=1)
        return jnp.concatenate([planner.run(one, image[None], w) for image in x])

    register(
        fake("twin", 3),
        fake("halves", 0, run=halves, supports=lambda p, _: None if p.n == 2 else "one image"),
    )
    both = preferring("halves") | preferring("twin", n=1)
    with both:
        np.testing.assert_array_equal(convolve(X, W), 3 * plain(X, W))
    with preferring("halves"):
        np.testing.assert_allclose(convolve(X, W), plain(X, W), atol=1e-4)


# --- the context --------------------------------------------------------------------------


def test_contexts_nest_and_end_with_an_error(register):
    register(fake("twin", 3), fake("other", 5))
    twin, other, untold = preferring("twin"), preferring("other"), chosen()
    with twin as entered, twin:
        assert entered is twin
        with other:
            assert chosen() == {"other"}
        assert chosen() == {"twin"}
    with pytest.raises(KeyError), twin:
        raise KeyError
    assert chosen() == untold


def test_a_table_holds_on_its_own_thread(register):
    register(fake("twin", 3))
    twin, untold = preferring("twin"), chosen()
    barrier, seen = threading.Barrier(3, timeout=60), {}

    def work(name, table):
        with table:
            barrier.wait()  # all are inside now
            seen[name] = chosen()
            barrier.wait()
        seen[name + " after"] = chosen()

    tables = {"twin": twin, "again": twin, "empty": TuningTable(this_environment())}
    threads = [threading.Thread(target=work, args=item) for item in tables.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen.pop("twin") == seen.pop("again") == {"twin"}
    assert all(names == untold for names in seen.values())
    assert len(seen) == 4


# --- without a table ------------------------------------------------------------------------


def test_direct_gives_way_by_a_margin_or_to_what_is_sure(register):
    """What is predicted to gain a little may lose, unless it is direct's own work and less."""
    near = fake("near", 3, cost=lambda *asked: 0.99 * DIRECT.cost(*asked))
    register(near)
    plan = jconv.plan(X.shape, W.shape, **SETTINGS)
    assert chosen() == {"direct"}
    assert all("margin" in leg.rejected["near"] for leg in plan.legs.values())
    _planner._choose_once.cache_clear()
    register(dataclasses.replace(near, margin=lambda problem: 1.0))
    assert chosen() == {"near"}


# --- autotune -----------------------------------------------------------------------------


def slow(problem, planner, a, b):
    result = DIRECT.run(problem, planner, a, b)
    return jax.lax.fori_loop(0, 3000, lambda i, r: jnp.sin(r) + r, result)


def test_autotune_finds_the_faster_algorithm(register):
    sure = lambda problem: 1.0  # noqa: E731
    register(fake("slow", 0, run=slow, cost=lambda problem, planner: 1e-12, margin=sure))
    assert chosen() == {"slow"}
    table = jconv.autotune(jax.jit(lambda x, w: convolve(x, w).sum()), X, W, rounds=3)
    assert [m.problem.leg for m in table.measurements] == list(LEGS)
    for measurement in table.measurements:
        assert measurement.chosen == "slow"
        assert measurement.best != "slow"
        assert measurement.gain > 1
        assert set(dict(measurement.seconds)) >= {"slow", "direct"}
    with table:
        assert "slow" not in chosen()
        plan = jconv.plan(X.shape, W.shape, **SETTINGS)
    assert "tuning table" in plan.legs["conv"].rejected["slow"]
    text = str(table)
    assert "2x7x6x3 * 3x2x3x4, stride 2" in text
    assert max(map(len, text.splitlines())) <= 100


def test_every_convolution_is_tuned_once_gradients_or_not(direct_alone):
    def loss(x, w):
        y = convolve(x, w) + convolve(x + 1, w)
        return jax.lax.scan(lambda c, _: (jconv.conv(c, w, groups=2), None), y, length=2)[0].sum()

    x, w = X[..., :2], jnp.ones((3, 3, 2, 4))
    forward = jconv.autotune(loss, x, w, rounds=1)
    gradient = jconv.autotune(jax.grad(loss, (0, 1)), x, w, rounds=1)
    assert len(forward) == 6
    problems = [{m.problem for m in table.measurements} for table in (forward, gradient)]
    assert problems[0] == problems[1]


def test_shapes_integers_and_lax_convolutions_are_tuned(direct_alone):
    shapes = (jax.ShapeDtypeStruct(X.shape, X.dtype), jax.ShapeDtypeStruct(W.shape, W.dtype))
    by_shape = jconv.autotune(convolve, *shapes, rounds=1)
    assert [m.problem for m in by_shape.measurements] == [
        m.problem for m in jconv.autotune(convolve, X, W, rounds=1).measurements
    ]
    integer = jconv.autotune(convolve, X.astype(int), W.astype(int), rounds=1)
    assert [m.problem.leg for m in integer.measurements] == ["conv"]
    of_lax = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=(2, 2),
        padding=SETTINGS["padding"],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    assert [m.problem for m in jconv.autotune(of_lax, X, W, rounds=1).measurements] == [
        m.problem for m in by_shape.measurements
    ]


def test_a_map_over_both_operands_is_tuned_as_the_loop_that_it_is(register):
    register(fake("twin", 3, cost=lambda problem, planner: 1e9))
    x, w = jnp.stack([X, X + 1]), jnp.stack([W, W - 1])
    table = jconv.autotune(jax.vmap(convolve), x, w, rounds=1)
    assert {m.problem for m in table.measurements} == {
        m.problem for m in preferring("twin").measurements
    }
    with preferring("twin"):
        tuned = jax.vmap(convolve)(x, w)
    np.testing.assert_array_equal(tuned, 3 * jax.vmap(plain)(x, w))


def test_a_table_ignores_the_policy_it_was_measured_under(register):
    register(fake("twin", 3))
    with jconv.policy("exact", workspace=5), preferring("twin"):
        table = jconv.autotune(convolve, X, W, rounds=1)
    assert all(m.problem == m.problem.bare for m in table.measurements)
    assert "twin" not in {m.chosen for m in table.measurements}
    assert "twin" in dict(table.measurements[0].seconds)


def test_a_candidate_that_runs_out_of_memory_is_left_out(register):
    def run(problem, planner, a, b):
        return jax.pure_callback(fail, jax.ShapeDtypeStruct(problem.out_shape, "float32"))

    def fail():
        raise MemoryError

    register(fake("greedy", 0, run=run))
    (measurement, *_) = jconv.autotune(convolve, X, W, rounds=1).measurements
    assert "greedy" not in dict(measurement.seconds)
    assert "direct" in dict(measurement.seconds)


def test_autotune_of_several_threads_takes_turns(direct_alone, monkeypatch):
    running, most = 0, 0

    def race(runs, **options):
        nonlocal running, most
        running += 1
        most = max(most, running)
        times = _clock.race(runs, **options)
        running -= 1
        return times

    monkeypatch.setattr(autotune_module, "race", race)
    tables = []
    threads = [
        threading.Thread(target=lambda: tables.append(jconv.autotune(convolve, X, W, rounds=2)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(tables), most) == (3, 1)


@pytest.mark.parametrize(
    ("fn", "arguments", "keywords", "culprit"),
    [
        (lambda x: x + 1, (X,), {}, "fn"),
        (lambda x, w: jconv.conv(x[:0], w), (X, W[:, :, :, :]), {}, "fn"),
        (None, (X,), {}, "fn"),
        (convolve, (X, W), {"rounds": 0}, "rounds"),
        (convolve, (X, W), {"rounds": 2.5}, "rounds"),
    ],
)
def test_mistakes_are_explained(fn, arguments, keywords, culprit):
    with pytest.raises(jconv.ConvError) as caught:
        jconv.autotune(fn, *arguments, **keywords)
    assert caught.value.argument == culprit


# --- the clock and the bar ----------------------------------------------------------------


def test_a_race_is_run_in_turns_and_the_hopeless_drop_out(monkeypatch):
    now, log = 0.0, []
    monkeypatch.setattr(_clock.time, "perf_counter", lambda: now)

    def runner(name, seconds):
        def run():
            nonlocal now
            now += seconds
            log.append(name)

        return run

    runs = {
        "a": runner("a", 0.2),
        "b": runner("b", 0.3),
        "c": runner("c", 0.9),
        "d": runner("d", 2),
    }
    times = _clock.race(runs, rounds=5, hopeless=4.0)
    assert {name: len(seconds) for name, seconds in times.items()} == {
        "a": 5,
        "b": 5,
        "c": 2,
        "d": 2,
    }
    np.testing.assert_allclose([times[name][0] for name in "abcd"], [0.2, 0.3, 0.9, 2])
    assert log[4:12] == ["a", "b", "c", "d", "b", "c", "d", "a"]
    now = 0.0
    quick = _clock.race({"e": runner("e", 2**-12)}, rounds=2)
    assert quick["e"] == [2**-12] * 2
    assert log.count("e") == 1 + 2 * (1 + 41)


def test_the_bar_shows_on_a_terminal_alone():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream in (Terminal(), io.StringIO()):
        with Progress(4, stream) as progress:
            progress.step()
            progress.show("conv 1x2x3 " * 20)
        drawn = stream.getvalue()
        assert ("1/4 conv" in drawn) == stream.isatty()
        assert (drawn == "") != stream.isatty()
        assert all(len(line) <= 100 for line in drawn.split("\r"))


def test_a_pickled_table_is_the_same_key_in_another_process():
    """Hashes of strings differ from process to process, so none may travel."""
    x, w = jnp.ones((1, 6, 6, 2)), jnp.ones((3, 3, 2, 4))
    table = jconv.autotune(lambda x, w: jconv.conv(x, w), x, w, rounds=1)
    hash(table)
    table.times(table.measurements[0].problem, "cpu")
    code = (
        "import pickle, sys; table = pickle.loads(sys.stdin.buffer.read()); "
        "again = type(table)(table.environment, table.measurements); "
        "assert table == again and hash(table) == hash(again), 'another hash'; "
        "assert {again: 1}[table] and table.times(table.measurements[0].problem, 'cpu')"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(table),
        env=environment,
        timeout=120,
        capture_output=True,
    )
    assert ran.returncode == 0, ran.stderr.decode()
