"""The clock: functions timed in turns, so that a machine growing slower affects all alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping

SAMPLE = 1e-2  # seconds; one sample repeats shorter calls for so long, against the timer's noise
SLOW = 1.0  # seconds; a call that takes longer is sampled FEW times only, to save time
FEW = 2  # samples of a run that is slow or hopeless


def race(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    hopeless: float = math.inf,
    warm: float = 0.0,
) -> dict[str, list[float]]:
    """Seconds of each run in every round that it took part in.

    The rounds visit all runs, each time from another one on. A run returns when its work is
    done: it waits for results that come later.

    Args:
        runs: functions of no arguments, by name.
        rounds: how often each is timed.
        hopeless: a run whose median time is this many times the fastest run's, or more, is
            sampled twice only.
        warm: seconds of a run's own calls before each of its samples, in which threads of the run
            before fall asleep and its own are spread over the cores.
    """
    calls, first = {}, {}
    for name, run in runs.items():
        first[name] = _once(run)
        calls[name] = min(max(math.ceil(SAMPLE / max(first[name], 1e-9)), 1), 100)
    times: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    for turn in range(rounds):
        start = turn % max(len(order), 1)
        for name in order[start:] + order[:start]:
            if turn >= FEW and _left_behind(times, name, hopeless):
                continue
            if first[name] < SLOW / 10:  # a longer call warms up within its own sample
                _repeat(runs[name], warm)
            begin = time.perf_counter()
            for _ in range(calls[name]):
                runs[name]()
            times[name].append((time.perf_counter() - begin) / calls[name])
    return times


def _repeat(run: Callable[[], object], seconds: float) -> None:
    """Call `run` once, and again until `seconds` have passed."""
    begin = time.perf_counter()
    run()
    while time.perf_counter() - begin < seconds:
        run()


def _left_behind(times: Mapping[str, list[float]], name: str, hopeless: float) -> bool:
    own = statistics.median(times[name])
    return own > SLOW or own > hopeless * min(map(statistics.median, times.values()))


def _once(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def stopwatch() -> Callable[[], float]:
    """A function that returns the seconds since it was made."""
    begin = time.perf_counter()
    return lambda: time.perf_counter() - begin
