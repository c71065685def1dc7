"""Planning, tracing, tuning and running from many threads at once gives what one thread gives."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv.testing import CASES, reference
from jconv.testing.transformations.questions import draw

THREADS = 8
# All threads get all cases, each in another order, so that they meet in caches.
MIXED = [case for case in CASES[::24] if 0 not in (*case.x_shape, *case.y_shape, *case.w_shape)]


def together(work, threads=THREADS):
    """Run `work(number)` in all threads, begun at the same moment; the results."""
    gate = threading.Barrier(threads)

    def begin(number):
        gate.wait(60)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def orders(number):
    return np.random.default_rng(number).permutation(len(MIXED))


def test_planning():
    want = [jconv.plan(case.x_shape, case.w_shape, **case.kwargs) for case in MIXED]

    def work(number):
        return {
            at: jconv.plan(MIXED[at].x_shape, MIXED[at].w_shape, **MIXED[at].kwargs)
            for at in orders(number)
        }

    for plans in together(work):
        assert [plans[at] for at in range(len(MIXED))] == want


def test_planning_symbols():
    def work(number):
        plan = jconv.plan(("b", "h", "w", 3), (3, 3, 3, 8), stride=2)
        return plan.at(b=2, h=20 + number, w=7).y_shape

    assert together(work) == [(2, -(-(20 + n) // 2), 4, 8) for n in range(THREADS)]


def test_policies_are_a_threads_own():
    names = ["auto", "exact", *jconv.algorithms()]

    def work(number):
        rule = names[number % len(names)]
        with jconv.policy(rule):
            return [jconv._planner.policy.current_policy().rule for _ in range(200)] == [rule] * 200

    assert all(together(work))


@pytest.mark.parametrize("how", ["eagerly", "jit", "grad"])
def test_tracing_and_running(how):
    """Every thread traces every case anew under jit, or shares the eager cache."""

    def run(case, x, w, g):
        def conv(x, w):
            return jconv.conv(x, w, **case.kwargs)

        if how == "eagerly":
            return conv(x, w)
        if how == "jit":
            return jax.jit(conv)(x, w)
        return jax.jit(lambda x, w, g: jax.vjp(conv, x, w)[1](g))(x, w, g)

    some = MIXED[:6]
    given = [[jnp.asarray(draw(case)[slot][0], jnp.float32) for slot in "xwy"] for case in some]

    def work(number):
        rng = np.random.default_rng(number)
        return {int(at): run(some[at], *given[at]) for at in rng.permutation(len(some))}

    for results in together(work):
        for at, case in enumerate(some):
            x, w, g = (np.asarray(array) for array in given[at])
            if how == "grad":
                got_x, got_w = results[at]
                want = reference.conv_input_grad(g, w, input_shape=x.shape, **case.kwargs)
                np.testing.assert_array_equal(got_x, want)
                want = reference.conv_filter_grad(x, g, filter_shape=w.shape, **case.kwargs)
                np.testing.assert_array_equal(got_w, want)
            else:
                want = reference.conv(x, w, **case.kwargs)
                np.testing.assert_array_equal(results[at], want)


def test_tuning():
    """Each thread tunes a convolution of its own, and runs it under the table that it made."""
    w = np.array([2, -3], np.float32).reshape(2, 1, 1)

    def work(number):
        x = np.arange(4.0 + number, dtype=np.float32).reshape(1, -1, 1)
        table = jconv.autotune(jconv.conv, x, w, rounds=1)
        with table, jconv.policy("exact"):
            np.testing.assert_array_equal(jconv.conv(x, w), reference.conv(x, w))
        return len(table)

    assert together(work, 3) == [3, 3, 3]


def test_errors_are_a_threads_own():
    def work(number):
        with pytest.raises(jconv.ConvError) as caught:
            jconv.conv(np.ones((1, 8, number + 4)), np.ones((3, number + 5, 2)))
        return str(caught.value)

    assert together(work) == [work(number) for number in range(THREADS)]
