"""Planning takes no longer for large sizes: every algorithm is asked about sizes to 2**31."""

from __future__ import annotations

import random
import time

import jax
import jax.numpy as jnp
import pytest

import jconv
import jconv._planner.choose as choosing
from jconv._algorithms import REGISTRY
from jconv._algorithms.fft import smooth
from jconv._algorithms.winograd.tiles import count_products, tile
from jconv._core.geometry import Axis, out_size
from jconv._core.problem import LEGS, Problem
from jconv._planner.choose import Planner, choose

MOST = 5e-3  # seconds; on a slow machine some take 3e-3
LARGEST = 2**31 - 1
PRIMES = (2, 3, 5, 7, 31, 127, 8191, 131071, LARGEST)  # a search for divisors finds none


def _size(rng: random.Random, largest: int = LARGEST) -> int:
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice([p for p in PRIMES if p <= largest])
    if kind == 1:
        return 1 << rng.randint(0, largest.bit_length() - 1)
    return min(largest, int(2 ** rng.uniform(0, largest.bit_length())))


def _problem(rng: random.Random, leg: str) -> Problem:
    axes = []
    for _ in range(rng.randint(1, 4)):
        k, i = _size(rng), _size(rng)
        s, b, d = (
            rng.choice([1, 1, 2, 3, _size(rng, 2**20)]) if rng.random() < 0.6 else 1
            for _ in range(3)
        )
        low = rng.choice([0, k // 2, k - 1, -(i // 3)])
        o = out_size(i, k, low + max(low, k), s=s, b=b, d=d)
        axes.append(Axis(i, k, max(o, 1), s, b, d, low))
    few = rng.random() < 0.4  # channels, so that depthwise and grouped algorithms are asked too
    c, f = (rng.choice([1, 2, 4]) if few else _size(rng) for _ in range(2))
    dtype = rng.choice(["float32", "float32", "bfloat16", "float64", "complex64", "int8"])
    return Problem(
        leg,
        tuple(axes),
        _size(rng),
        _size(rng) if few else 1,
        c,
        f,
        *[dtype] * 3,
        policy=rng.choice(["auto", "exact"]),
    )


def _seconds(ask, problem: Problem) -> float:
    """Processor time of the first question about a problem, the quickest of some first ones."""
    times = []
    for _ in range(10):
        choosing._choose_once.cache_clear()
        fresh = problem.replace(n=problem.n)  # whose cached properties are to be worked out
        start = time.thread_time()
        ask(fresh)
        times.append(time.thread_time() - start)
        if times[-1] < MOST:
            break
    return min(times)


@pytest.mark.parametrize("leg", LEGS)
def test_every_question_to_an_algorithm_is_answered_at_once(leg):
    rng, planner, slow, asked = random.Random(LEGS.index(leg)), Planner("cpu"), [], 0
    for _ in range(150):
        problem = _problem(rng, leg)
        for algorithm in REGISTRY:
            questions = [("supports", lambda p, a=algorithm: a.supports(p, "cpu"))]
            if algorithm.supports(problem, "cpu") is None:
                asked += algorithm.name != "direct"
                questions += [
                    ("cost", lambda p, a=algorithm: a.cost(p, planner)),
                    ("workspace", lambda p, a=algorithm: a.workspace(p, "cpu")),
                ]
            for name, ask in questions:
                seconds = _seconds(ask, problem)
                if seconds > MOST:
                    slow.append((algorithm.name, name, f"{seconds:.4f} s", problem))
    assert not slow, slow
    assert asked > 50


@pytest.mark.parametrize("policy", ["auto", "exact", *jconv.algorithms()])
@pytest.mark.parametrize("groups", [1, 4])
def test_filters_as_long_as_the_rows_lower_quickly(policy, groups):
    """Whatever algorithm is asked for: what would unroll such a filter refuses it."""
    taps = 16384
    x = jax.ShapeDtypeStruct((2, taps, 4), jnp.float32)
    w = jax.ShapeDtypeStruct((taps, 4 // groups, 4), jnp.float32)

    def loss(x, w):
        return jconv.conv(x, w, padding="CAUSAL", groups=groups).sum()

    with jconv.policy(policy):
        start = time.process_time()
        jax.jit(jax.grad(loss, (0, 1))).lower(x, w)
        assert time.process_time() - start < 3


def test_a_long_convolution_by_numpys_name_is_accelerated_quickly():
    signal = jax.ShapeDtypeStruct((48_000,), jnp.float32)
    filters = jax.ShapeDtypeStruct((24_000,), jnp.float32)
    start = time.process_time()
    jax.jit(jconv.accelerate(jnp.convolve)).lower(signal, filters).compile()
    assert time.process_time() - start < 12


@pytest.mark.parametrize("batch", [LARGEST, LARGEST - 1, 1 << 31, 10_007])
def test_planning_does_not_count_through_the_batch(batch):
    for leg in LEGS:
        axes = (Axis(56, 3, 56, p0=1),) * 2
        problem = Problem(leg, axes, batch, 1, 8, 8, *["float32"] * 3)
        assert _seconds(lambda problem: choose(problem, "cpu"), problem) < 10 * MOST


@pytest.mark.parametrize("k", range(1, 30))
def test_products_of_a_tile_are_counted_as_they_are_made(k):
    for m in (2, 4):
        for s, b in ((1, 1), (2, 1), (1, 2)):
            if k >= b:
                assert count_products(k, m, s, b) == tile(k, m, s, b).products


def test_sizes_of_fourier_transforms_are_the_next_ones_of_small_primes():
    def is_smooth(size: int) -> bool:
        for prime in (2, 3, 5, 7):
            while size % prime == 0:
                size //= prime
        return size == 1

    for size in [*range(1, 1500), 99_991, 1_000_003]:
        found = smooth(size)
        assert is_smooth(found)
        assert not any(is_smooth(n) for n in range(size, found))
