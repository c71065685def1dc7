"""What compiling costs as a part of the choice: `policy(runs=)`, and the bound on "auto"."""

from __future__ import annotations

import pickle
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
import jconv._planner.choose as choosing
from jconv._algorithms import BY_NAME, REGISTRY
from jconv._core.geometry import Axis, out_size
from jconv._core.problem import LEGS, Problem
from jconv._planner.choose import Planner, choose, excluded, handicapped
from jconv._planner.compile_time import LIMIT, compile_seconds
from jconv._planner.policy import Policy, current_policy

X, W = (8, 28, 28, 128), (3, 3, 128, 128)


def problems(count, seed):
    """Legs of the sizes of networks, where the planner leaves direct."""
    rng = random.Random(seed)
    for _ in range(count):
        rank = rng.choice([1, 2, 2, 2, 3])
        size = rng.choice({1: [256, 1000], 2: [7, 14, 28, 56], 3: [8, 16]}[rank])
        k, s, d = rng.choice([1, 3, 3, 5, 7]), rng.choice([1, 1, 2]), rng.choice([1, 1, 1, 2])
        groups = rng.choice([1, 1, 1, 8, 64])
        c, f = (
            ((1, 1) if rng.random() < 0.5 else (8, 16))
            if groups > 1
            else (64, rng.choice([32, 128]))
        )
        pad = d * (k - 1) // 2
        axis = Axis(size, k, out_size(size, k, 2 * pad, s=s, b=1, d=d), s, 1, d, pad)
        leg = rng.choice(LEGS)
        yield Problem(leg, (axis,) * rank, rng.choice([1, 8]), groups, c, f, *["float32"] * 3)


def chosen(problem):
    return choose(problem, "cpu").algorithm.name


def total(problem, name, runs):
    """Predicted seconds of all runs and of compiling."""
    cost = BY_NAME[name].cost(problem, Planner("cpu"))
    return runs * cost + compiling(BY_NAME[name], problem)


def compiling(algorithm, problem):
    return compile_seconds(algorithm, problem, lambda part: choose(part, "cpu").algorithm)


@pytest.mark.parametrize("runs", [0, -1, 1.5, True, "100", float("inf")])
def test_bad_values(runs):
    with (
        pytest.raises(jconv.ConvError, match="`runs` is how often") as caught,
        jconv.policy(runs=runs),
    ):
        pass
    assert caught.value.argument == "runs"
    assert caught.value.remedies[0].argument == "runs"


def test_policies_nest_and_are_values():
    with jconv.policy("exact", runs=100) as outer:
        with jconv.policy(runs=1):
            assert current_policy() == Policy("auto", None, 1)
        assert current_policy() == outer == Policy("exact", runs=100)
    assert current_policy() == Policy()
    assert pickle.loads(pickle.dumps(outer)) == outer
    assert hash(outer) == hash(Policy("exact", None, 100)) != hash(Policy("exact"))
    assert "runs=100" in repr(outer)


def test_compiling_counts_the_parts_that_are_handed_on():
    handing_on = set()
    for problem in problems(200, 5):
        for algorithm in REGISTRY:
            if excluded(algorithm, problem, "cpu"):
                continue
            for part in algorithm.parts(problem):
                alone = compiling(choose(part, "cpu").algorithm, part)
                assert compiling(algorithm, problem) > alone
                handing_on.add(algorithm.name)
    assert len(handing_on) > 2


def test_one_run_is_directs_unless_it_is_very_slow():
    found = list(problems(120, 1))
    left = [p.replace(runs=1) for p in found if chosen(p.replace(runs=1)) != "direct"]
    assert sum(chosen(problem) != "direct" for problem in found) > 50
    assert len(left) < 30
    for problem in left:
        assert total(problem, chosen(problem), 1) < total(problem, "direct", 1)


def test_no_choice_takes_longer_in_all_than_direct():
    for problem in problems(60, 2):
        for runs in (1, 30, 1000):
            problem = problem.replace(runs=runs)
            name = chosen(problem)
            assert total(problem, name, runs) <= total(problem, "direct", runs)


def test_many_runs_choose_what_any_number_of_runs_would():
    for problem in problems(60, 3):
        often = choose(problem.replace(runs=10**9), "cpu")
        if often.compiling < LIMIT:
            assert often.algorithm.name == chosen(problem)


def test_auto_leaves_out_what_compiles_too_long(monkeypatch):
    def dear(problem):
        name = chosen(problem)
        return name != "direct" and total(problem, name, 0) > LIMIT

    def per_run(problem, name):
        return handicapped(BY_NAME[name], problem, BY_NAME[name].cost(problem, Planner("cpu")))

    monkeypatch.setattr(choosing, "LIMIT", 1e9)
    choosing._choose_once.cache_clear()
    found = {problem: chosen(problem) for problem in problems(300, 4) if dear(problem)}
    monkeypatch.undo()
    choosing._choose_once.cache_clear()
    left_out = [problem for problem in found if not dear(problem)]
    assert left_out
    for problem in left_out:
        reasons = choose(problem, "cpu").rejected.values()
        assert any("s to compile" in reason for reason in reasons)
    for problem in set(found) - set(left_out):  # where what compiles sooner takes far longer
        for name in BY_NAME:
            if excluded(BY_NAME[name], problem, "cpu") or total(problem, name, 0) > LIMIT:
                continue
            assert per_run(problem, name) > 2 * per_run(problem, found[problem])


def test_a_plan_says_what_compiling_takes():
    without = jconv.plan(X, W, platform="cpu")
    with jconv.policy(runs=1):
        plan = jconv.plan(X, W, platform="cpu")
    assert (
        {leg.algorithm for leg in plan.legs.values()}
        == {"direct"}
        != without.legs["conv"].algorithm
    )
    assert "compiles in" in str(plan)
    assert "1 runs" in str(plan)
    assert "compiles in" not in str(without)
    assert (
        plan.to_dict()["legs"]["conv"]["compile_seconds"] == plan.legs["conv"].compile_seconds > 0
    )
    assert without.legs["conv"].compile_seconds is None
    assert plan != without


def test_elsewhere_nothing_changes():
    with jconv.policy(runs=1):
        plan = jconv.plan(X, W, platform="cuda")
    assert plan.legs["conv"].algorithm == "direct"
    assert plan.legs["conv"].compile_seconds is None


def test_gradients_and_jit_follow_the_number_of_runs():
    x, w = np.ones(X, np.float32), np.ones(W, np.float32)
    step = jax.jit(jax.grad(lambda w: jconv.conv(x, w).sum()))
    names = lambda: "winograd" in step.lower(jnp.asarray(w)).as_text(debug_info=True)  # noqa: E731
    assert names()
    with jconv.policy(runs=1):
        assert not names()
    assert names()


def test_a_named_algorithm_runs_however_few_runs_there_are():
    with jconv.policy("winograd", runs=1):
        plan = jconv.plan(X, W, platform="cpu")
    assert plan.legs["conv"].algorithm == "winograd"
    assert plan.legs["conv"].compile_seconds > 0
    assert excluded(BY_NAME["winograd"], plan.problem, "cpu") is None
