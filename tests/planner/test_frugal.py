"""Where rows are split over devices, memory decides among algorithms that are about as fast."""

from __future__ import annotations

import itertools
import random

import jconv
from jconv._core.geometry import Axis
from jconv._core.problem import Problem
from jconv._planner.choose import ABOUT_AS_FAST, choose, needs


def drawn(rng):
    axes = []
    for _ in range(rng.choice([1, 2, 2, 3])):
        o, k, s = rng.choice([4, 8, 16, 32]), rng.choice([1, 3, 5]), rng.choice([1, 2])
        axes.append(Axis(o * s, k, o, s, 1, 1, k // 2))
    leg = rng.choice(["conv", "input_grad", "filter_grad"])
    channels = [rng.choice([8, 16, 32, 64, 128]) for _ in range(2)]
    n = rng.choice([1, 4, 16])
    return Problem(leg, tuple(axes), n, 1, *channels, *("float32",) * 3)


def test_a_frugal_choice_takes_no_more_memory_and_little_more_time():
    rng, less = random.Random(0), 0
    for _ in range(300):
        problem = drawn(rng)
        both = [problem, problem.replace(frugal=True)]
        usual, frugal = (choose(each, "cpu") for each in both)
        needed = [needs(choose(each, "cpu").algorithm, each, "cpu") for each in both]
        assert needed[1] <= needed[0]
        assert frugal.cost <= ABOUT_AS_FAST * usual.cost
        less += needed[1] < needed[0]
    assert less > 10


def test_split_rows_are_planned_so_and_a_split_batch_is_not():
    differing = 0
    for c, f in itertools.product((8, 16, 32, 64), repeat=2):
        x, w = (1, 32, 32, 32, c), (3, 3, 3, c, f)
        plan = jconv.plan(x, w, mesh={"d": 8}, x_spec=(None, "d"), platform="cpu")
        alone = jconv.plan((1, 4, *x[2:]), w, platform="cpu").legs["conv"]
        batch = jconv.plan((8, 4, *x[2:]), w, mesh={"d": 8}, x_spec=("d",), platform="cpu")
        assert batch.devices["conv"].algorithm == alone.algorithm
        if alone.algorithm != plan.devices["conv"].algorithm:
            with jconv.policy(plan.devices["conv"].algorithm):
                chosen = jconv.plan((1, 4, *x[2:]), w, platform="cpu").legs["conv"]
            assert chosen.workspace_bytes < alone.workspace_bytes
            differing += 1
    assert differing
