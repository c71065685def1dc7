"""autotune: the candidates of every convolution in a function, timed on this device."""

from __future__ import annotations

import functools
import statistics
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jconv._algorithms import REGISTRY
from jconv._core.errors import ConvError, Remedy, show
from jconv._core.problem import LEGS, OPERANDS, Problem, Slot
from jconv._ops.primitives import run_leg
from jconv._planner.choose import choose, excluded, without_vmap
from jconv._support.clock import race
from jconv._support.progress import Progress
from jconv._trace.explain import problems_of
from jconv._tuning.device import Environment, this_environment
from jconv._tuning.table import Measurement, TuningTable, describe

HOPELESS = 3.0  # a candidate this many times slower than the best is not timed in more rounds
_one_at_a_time = threading.Lock()


def autotune(fn: Callable[..., Any], *args: Any, rounds: int = 9) -> TuningTable:
    """Time every algorithm that supports a convolution of fn(*args), on this device.

    fn is traced, not run; each convolution found in it is timed in all three legs, so that its
    gradients are tuned with it. Candidates are the algorithms that policy "auto" may choose, each
    compiled alone on operands of its own. The policy in force (a named algorithm, a workspace
    limit) is ignored here; it is respected where the table is used.

    Args:
        fn: a function of arrays (and of pytrees of them), such as a loss.
        *args: its arguments, arrays or jax.ShapeDtypeStruct.
        rounds: how often each candidate is timed; the median counts.

    Returns:
        A TuningTable: print it, use it as a context, save it.

    Raises:
        ConvError: if there is no convolution in fn, or none whose sizes are numbers.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
        >>> table = jconv.autotune(jconv.conv, x, w, rounds=1)
        >>> len(table)
        3
    """
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise ConvError(
            "autotune: `rounds` is how often each candidate is timed.",
            argument="rounds",
            got=rounds,
            expected="an integer >= 1",
            remedies=[Remedy.omit("rounds")],
        )
    if not callable(fn):
        raise ConvError(
            "autotune: `fn` is the function whose convolutions are to be tuned.",
            argument="fn",
            got=fn,
            expected="a function of the arguments that follow it",
        )
    environment = this_environment()
    legs = _legs_of(fn, args, environment.platform)
    measurements = []
    with _one_at_a_time, Progress(len(legs)) as progress:
        for leg in legs:
            progress.show(f"{leg.leg}  {describe(leg)}")
            measurements.append(_measure(leg, environment, rounds))
            progress.step()
    return TuningTable(environment, tuple(measurements))


def _legs_of(fn: Callable[..., Any], args: tuple[Any, ...], platform: str) -> list[Problem]:
    """The three legs of every convolution in fn, each once, in the order of the program."""
    found = problems_of(fn, args)
    known = [problem.bare for problem in found if problem.static and not problem.empty]
    if not known:
        what = f"{len(found)} convolutions, none of known sizes" if found else "no convolution"
        raise ConvError(
            f"autotune: there is nothing to tune in {show(fn)}.",
            argument="fn",
            got=what,
            expected="a function that convolves arrays of known, non-empty shapes",
        )
    legs = (without_vmap(leg, platform) for problem in known for leg in _three(problem))
    return list(dict.fromkeys(legs))


def _three(problem: Problem) -> list[Problem]:
    names = (problem.x_dtype, problem.w_dtype, problem.y_dtype)
    if all(jnp.issubdtype(name, jnp.inexact) for name in names):
        return [problem.replace(leg=leg) for leg in LEGS]
    return [problem]  # integers have no gradients


def _measure(problem: Problem, environment: Environment, rounds: int) -> Measurement:
    platform = environment.platform
    a, b = (_operand(problem, slot) for slot in OPERANDS[problem.leg])
    runs = {}
    for algorithm in REGISTRY:
        if excluded(algorithm, problem, platform) is None:
            preferred = Measurement(problem, algorithm.name, ((algorithm.name, 1.0),))
            run = _compiled(problem.replace(tuning=TuningTable(environment, (preferred,))), a, b)
            if run is not None:
                runs[algorithm.name] = functools.partial(_finish, run, a, b)
    if not runs:
        raise MemoryError(f"no algorithm could run {describe(problem)}")
    times = race(runs, rounds=rounds, hopeless=HOPELESS)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    ranked = sorted(medians.items(), key=lambda item: item[1])
    return Measurement(problem, choose(problem, platform).algorithm.name, tuple(ranked))


def _compiled(problem: Problem, a: jax.Array, b: jax.Array) -> Any:
    """The compiled leg under the table that it carries, or None if it runs out of memory."""
    try:
        run = jax.jit(functools.partial(run_leg, problem)).lower(a, b).compile()
        _finish(run, a, b)
    except jax.errors.JaxRuntimeError:  # out of memory, most likely: no candidate here
        return None
    return run


def _finish(run: Any, a: jax.Array, b: jax.Array) -> None:
    jax.block_until_ready(run(a, b))


def _operand(problem: Problem, slot: Slot) -> jax.Array:
    values = np.random.default_rng(ord(slot)).standard_normal(problem.shape(slot), np.float32)
    return jnp.asarray(values).astype(problem.dtype(slot))
