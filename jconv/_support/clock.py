"""The clock: functions timed against each other, in turns, so that a drift hits all alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping

SAMPLE = 1e-2  # seconds that one sample takes at least: shorter calls are repeated
SLOW = 1.0  # seconds from which on a call is timed twice only
FEW = 2


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
        hopeless: a run that takes so many times the quickest one's time is timed twice only.
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
            if first[name] < SLOW / 10:
                _repeat(runs[name], warm)
            begin = time.perf_counter()
            for _ in range(calls[name]):
                runs[name]()
            times[name].append((time.perf_counter() - begin) / calls[name])
    return times


def _repeat(run: Callable[[], object], seconds: float) -> None:
    """At least one call, for at least so long."""
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
