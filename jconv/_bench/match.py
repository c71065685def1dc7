"""A match: the contestants on every row of a suite, verified and then timed in turns."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from jconv._bench.contestants import LEGS, STEP, Enter, Entry
from jconv._bench.reference import TOLERANCE, error, expected, operands
from jconv._bench.suites import Row
from jconv._support.clock import race
from jconv._support.progress import Progress

# Seconds of a contestant's own calls before each sample. Within them the OpenMP threads of the one
# before stop spinning (8 ms), and its own threads are spread over the cores.
WARM = 5e-2


@dataclasses.dataclass(frozen=True)
class Timing:
    """One leg of one row by one contestant.

    Attributes:
        seconds: one for each round; none where the result was wrong.
        error: root-mean-square error relative to the result's root mean square; the largest, if
            the leg has several results.
    """

    suite: str
    row: Row
    leg: str
    contestant: str
    seconds: tuple[float, ...]
    error: float
    compile_seconds: float | None

    @property
    def wrong(self) -> bool:
        return not self.error <= TOLERANCE

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("nan")

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, relative to the median."""
        if len(self.seconds) < 2:
            return float("nan")
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return (high - low) / 2 / self.median


def play(
    suites: Mapping[str, Sequence[Row]],
    contestants: Mapping[str, Enter],
    *,
    legs: bool,
    rounds: int,
) -> list[Timing]:
    """Time every row of every suite; contestants whose result is wrong are not timed."""
    wanted = (*LEGS, STEP) if legs else (STEP,)
    timings = []
    with Progress(sum(map(len, suites.values())) * len(wanted)) as progress:
        for suite, rows in suites.items():
            for row in rows:
                arrays = operands(row)
                reference = expected(row, *arrays)
                for leg in wanted:
                    progress.show(f"{suite}  {row.name}  {leg}")
                    parts = LEGS if leg == STEP else (leg,)
                    timings += _time(
                        (suite, row, leg),
                        {name: enter(row, leg, arrays) for name, enter in contestants.items()},
                        [reference[part] for part in parts],
                        rounds,
                    )
                    progress.step()
    return timings


def _time(
    what: tuple[str, Row, str],
    entries: Mapping[str, Entry | None],
    reference: Sequence[np.ndarray],
    rounds: int,
) -> list[Timing]:
    present = {name: entry for name, entry in entries.items() if entry is not None}
    errors = {name: _worst(entry.results(), reference) for name, entry in present.items()}
    fit = {name: e.run for name, e in present.items() if errors[name] <= TOLERANCE}
    times = race(fit, rounds=rounds, warm=WARM)
    return [
        Timing(*what, name, tuple(times.get(name, ())), errors[name], entry.compile_seconds)
        for name, entry in present.items()
    ]


def _worst(results: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> float:
    if len(results) != len(reference):
        return float("inf")
    return max(error(*pair) for pair in zip(results, reference, strict=True))
