"""The soak: nothing dies, what is wrong is seen, and neither rounding nor a pause is taken for it.

This file is also the program that a soak's broken children run.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconv._planner.choose import choose
from jconv._trace.explain import problems_in
from jconv.testing import CASES
from jconv.testing.oracle.case import make_case
from jconv.testing.oracle.legs import leg
from jconv.testing.soak import child
from jconv.testing.soak import soak as soaking
from jconv.testing.soak import trial as trials
from jconv.testing.soak.by_taps import leg_by_taps
from jconv.testing.soak.draw import BATCH, SPLIT_EVERY, draw
from jconv.testing.transformations.questions import draw as question_draw

MUTANTS = {"abort": 3, "error": 5, "wrong": 9}  # numbers of trials of seed 0


@pytest.mark.soak
def test_a_short_soak():
    """With the batch of a seed's first 256 that lies on devices."""
    figures = soaking.soak(64, seed=1, first=208)
    assert figures.ok, "\n".join(figures.failures)
    assert figures.configurations == 64
    assert figures.values > 100_000
    assert figures.off_direct > 0.2
    assert figures.processor_seconds > 0


@pytest.mark.soak
def test_a_soak_goes_on_from_its_state(tmp_path, monkeypatch):
    monkeypatch.setattr(soaking, "BATCH", 2)
    monkeypatch.setattr(soaking, "BLOCK", 1)
    state, how = tmp_path / "state", {"seed": 1, "names": ["conv"], "say": lambda line: None}
    part = soaking.soak(2, state=state, **how)
    assert part.configurations == 2
    whole = soaking.soak(4, state=state, **how)
    assert (whole.configurations, whole.ok) == (4, True)
    assert whole.seconds > part.seconds
    assert whole.values == part.values + soaking.soak(2, first=2, **how).values
    assert soaking.soak(4, state=state, **how) == whole  # nothing is left to do
    with pytest.raises(ValueError, match="seed"):
        soaking.soak(4, state=state, **{**how, "seed": 2})


def test_half_of_the_trials_are_local_and_half_are_large():
    drawn = [draw(3, index) for index in range(200)]
    rules = [trial.rule for trial in drawn]
    assert 70 < rules.count("local") < 130
    assert rules.count("local") + rules.count("auto") == 200
    assert 70 < sum(trial.case.name != "drawn" for trial in drawn) < 140
    assert {draw(3, index, ["winograd"]).rule for index in range(5)} == {"winograd"}


def test_one_batch_of_many_lies_on_devices():
    last = BATCH * SPLIT_EVERY - 1
    assert [draw(4, at).split is None for at in (0, last - BATCH, last, last + 1)] == [
        True,
        True,
        False,
        True,
    ]
    splits = [draw(4, at).split for at in range(last + 1 - BATCH, last + 1)]
    assert any(split and split.manual for split in splits)
    assert all(split and any(split.x) for split in splits)


def test_a_third_of_the_legs_leave_direct():
    legs = collections.Counter()
    for index in range(160):
        trial = draw(5, index)
        names = trials.askable(trial, trials.OPS)
        given = trials.operands_given(trial, names)
        traced = jax.jit(functools.partial(trials.run, trial, names)).trace(given)
        problems = problems_in(traced.jaxpr.jaxpr)
        legs.update(choose(problem, "cpu").algorithm.name for problem in problems)
    assert legs["direct"] < 2 / 3 * legs.total()
    assert len(legs) > 4


@pytest.mark.parametrize("out", "xwy")
def test_sums_by_taps_are_those_of_the_loops(out):
    for case in CASES:
        for dtype in ("float32", "complex64"):
            drawn = question_draw(case, dtype)
            operands = {slot: drawn[slot][0] for slot in "xwy" if slot != out}
            want, got = leg(case, out, operands), leg_by_taps(case, out, operands)
            assert got.shape == want.shape
            np.testing.assert_array_equal(got, want, str(case))


def test_sums_that_float32_could_not_hold_are_exact_too():
    case = make_case("long", "2,000 products of 4,096 each", (2000,), (2000,), n=1, c=1, f=1)
    case = dataclasses.replace(case, kwargs={"padding": "VALID"})
    operands = {"x": np.full(case.x_shape, 4095.0), "w": np.full(case.w_shape, 4095.0)}
    assert leg_by_taps(case, "y", operands).item() == 2000 * 4095**2


@pytest.mark.soak
def test_a_soak_notices_a_death_an_error_and_a_wrong_value():
    said = []
    child = (sys.executable, __file__)
    figures = soaking.soak(16, child=child, say=said.append)
    assert not figures.ok
    assert (figures.configurations, figures.aborts, figures.errors) == (16, 1, 1)
    assert figures.wrong >= 1
    text = "\n".join(said)
    for what, index in MUTANTS.items():
        heading = {"abort": "ABORTS: .*SIGABRT", "error": "ERRORS: .*mutant", "wrong": "WRONG: "}
        again = rf"(?m)^{heading[what]}.*\n.*\n  python -m .* --seed 0 --first {index} "
        assert re.search(again, text), text


def run_mutant():
    """A soak's child in which one trial dies, one computes a wrong value and one raises."""
    seeds = {what: draw(0, index).seed for what, index in MUTANTS.items()}
    run = trials.run

    def mutant(trial, names, given):
        if trial.seed == seeds["abort"]:
            signal.raise_signal(signal.SIGABRT)
        if trial.seed == seeds["error"]:
            raise ValueError("mutant")
        results = run(trial, names, given)
        if trial.seed == seeds["wrong"]:
            first = next(iter(results))
            results[first] = jax.tree.map(lambda y: y + jnp.ones_like(y), results[first])
        return results

    child.run = mutant
    with open(sys.argv[1], "w") as log:
        child.run_block(sys.stdin.read(), log)


# --- what is compared, and how closely ----------------------------------------------------------


def drawn(fits):
    """The first trial of a seed that fits."""
    return next(trial for trial in (draw(0, at) for at in range(10_000)) if fits(trial))


def answers(trial, change):
    """Right results by name, each array changed."""
    arrays, results = trials.operands(trial), {}
    for name in trials.askable(trial, trials.OPS):
        right = [item.expected for item in trials.items(trial, name, arrays)]
        results[name] = [np.asarray(change(array), trial.dtype) for array in right]
    return results


def wrong(trial, change):
    return trials.check(trial, trials.OPS, answers(trial, change))[1]


def below(array):
    """Whole numbers as an algorithm that forms other products may leave them."""
    return array * (1 - 2e-7) - 1e-7


@pytest.mark.parametrize("name", ["transformed", "value_and_grad", "conv_transpose"])
@pytest.mark.parametrize("rule", ["auto", "winograd", "gemm"])
def test_other_products_may_round_and_no_more(name, rule):
    def fits(trial):
        sizes = [array.size for array in trials.operands(trial).values()]
        asked = trials.askable(trial, trials.OPS)
        small = trial.case.name == "drawn" and min(sizes) > 8
        return small and name in asked and trial.dtype == "float32"

    trial = dataclasses.replace(drawn(fits), rule=rule, precision=None)
    assert not wrong(trial, lambda array: array)
    assert not wrong(trial, below)
    assert name in dict(wrong(trial, lambda array: array + 0.01))
    assert name in dict(wrong(trial, lambda array: array + 1))
    assert name in dict(wrong(trial, lambda array: array * np.nan))
    for exact in ({"rule": "exact"}, {"rule": "direct"}, {"precision": "highest"}):
        other = dataclasses.replace(trial, **exact)
        assert not wrong(other, lambda array: array)
        assert name in dict(wrong(other, below))


def test_the_rounding_of_a_scans_gradients_is_none_of_the_soaks():
    """Compared as whole numbers, 24.99999 was cut to 24."""
    trial = drawn(
        lambda trial: (
            trial.transformed.way == "gradients-of-scan"
            and trial.case.name == "drawn"
            and trial.dtype == "float32"
            and "transformed" in trial.names
            and not trial.exact
        )
    )
    assert not wrong(trial, below)


# --- a pause is no hang -------------------------------------------------------------------------


def sleeping(seconds):
    return subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])


def test_a_hanging_child_is_ended(monkeypatch):
    monkeypatch.setattr(soaking, "TICK", 0.05)
    process = sleeping(100)
    start = time.monotonic()
    assert soaking._finish(process, 0.2) is None
    assert time.monotonic() - start < 30
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="the state of a process is read from /proc")
def test_a_stopped_child_is_waited_for(monkeypatch):
    monkeypatch.setattr(soaking, "TICK", 0.05)
    process = sleeping(0)
    process.send_signal(signal.SIGSTOP)
    threading.Timer(1, process.send_signal, [signal.SIGCONT]).start()
    start = time.monotonic()
    assert soaking._finish(process, 0.8) == 0
    assert time.monotonic() - start > 0.9


if __name__ == "__main__":
    run_mutant()
