"""A soak's child process: runs batches of trials, and writes down each before it runs it.

A soak spends nearly all its time on compiling. So the trials of a batch share one program, which is
compiled with the fastest options that XLA has. NumPy computes what is right, and compiles nothing.
"""

from __future__ import annotations

import collections
import gc
import json
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import jax

from jconv._planner.choose import choose
from jconv._trace.explain import problems_in
from jconv.testing.run.ask import compiled
from jconv.testing.soak.draw import DEVICES, draw
from jconv.testing.soak.trial import Arrays, Trial, askable, check, operands_given, run

Batch = list[int]


def run_block(order: str, log: TextIO) -> None:
    """Run batches of trials, and write a line before each batch and one after each of its trials.

    `order` is JSON: the seed, policies, operations, batches, and whether LLVM optimises. Without
    that a program compiles in less than half the time, and XLA rewrites convolutions as with it.
    """
    seed, rules, names, batches, optimised = json.loads(order)
    _make_tracing_cheap()
    for batch in batches:
        _say(log, run=batch)
        trials = {index: draw(seed, index, rules) for index in batch}
        # One program cannot take arrays on several devices beside arrays on one device.
        for split in (False, True):
            some = {n: t for n, t in trials.items() if (t.split is not None) == split}
            for part in _attempt(some, names, optimised) if some else ():
                _say(log, **part)
        gc.collect()


def _make_tracing_cheap() -> None:
    """Save a fifth of the time: collect no garbage within a batch, and record no stack."""
    jax.config.update("jax_num_cpu_devices", DEVICES)
    jax.config.update("jax_traceback_in_locations_limit", 0)
    gc.disable()


def _attempt(
    trials: dict[int, Trial], names: Sequence[str], optimised: bool
) -> Iterator[dict[str, Any]]:
    jitted = [index for index, trial in trials.items() if trial.jit]
    legs: collections.Counter[str] = collections.Counter()

    def run_one(index: int, arrays: Arrays) -> dict[str, Any]:
        return run(trials[index], askable(trials[index], names), arrays)

    def run_jitted(arrays: dict[int, Arrays]) -> dict[int, Any]:
        return {index: run_one(index, arrays[index]) for index in jitted}

    try:
        given = {n: operands_given(trial, askable(trial, names)) for n, trial in trials.items()}
        arrays = {index: given[index] for index in jitted}
        traced = jax.jit(run_jitted).trace(arrays)
        legs.update(choose(p, "cpu").algorithm.name for p in problems_in(traced.jaxpr.jaxpr))
        lowered = traced.lower()
        program = lowered.compile() if optimised else compiled(lowered)
        got = jax.device_get(program(arrays))
        got |= {index: run_one(index, given[index]) for index in trials if index not in jitted}
    except Exception as error:
        if len(trials) > 1:
            for index, trial in trials.items():
                yield from _attempt({index: trial}, names, optimised)
        else:
            first = (str(error).strip() or "no message").splitlines()[0]
            wrong = [[*trials, names, f"{type(error).__name__}: {first}"]]
            yield {"done": [*trials], "values": 0, "legs": {}, "wrong": wrong, "kind": "errors"}
        return
    for index, trial in trials.items():
        count, wrong = check(trial, names, got[index])
        told = [[index, [name], what] for name, what in wrong]
        yield {"done": [index], "values": count, "legs": legs, "wrong": told, "kind": "wrong"}
        legs = collections.Counter()  # the batch's legs are written with its first trial


def _say(log: TextIO, **record: Any) -> None:
    log.write(json.dumps(record) + "\n")
    log.flush()
