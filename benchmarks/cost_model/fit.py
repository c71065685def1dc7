"""Fit the cost model's constants to measurements, and see how it does on families it never saw.

    python benchmarks/cost_model/fit.py measurements.csv [--report report.md]

with the jax that they were measured with: the code has constants for 0.10 and for later ones.

A prediction is judged by what it is for: the time of the algorithm that it chooses, against that
of the fastest one measured (regret) and against direct's. So the constants are fitted to the times
first, and then moved a little where choices get better by it.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import itertools
import math
import sys
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.optimize import least_squares
from shapes import SHAPES

import jconv
from jconv._algorithms import BY_NAME, cost
from jconv._algorithms.cost_constants import TABLE
from jconv._algorithms.winograd import tile_size
from jconv._core.problem import Problem
from jconv._planner.choose import Planner, _choose_once, handicapped

CHANCE = 0.1  # by which two predictions may be off against each other
PULL = 0.003  # what it costs to move a constant from where it began
FAR = 2.0  # the logarithm of how far
LOSS = 2.0  # how much more it counts to be slower than direct than to miss what is quicker
FITTED = [name for name, constant in TABLE.items() if constant.origin == "fitted"]
STANDING = cost.CONSTANTS  # those of the code, for the jax that this runs on
SIMPLE = ("direct", "gemm", "taps", "winograd2", "winograd4", "fft")  # the rest are made of these


@dataclasses.dataclass(frozen=True)
class Row:
    family: str
    name: str
    label: str
    problem: Problem
    seconds: float


def read(path: str) -> list[Row]:
    problems = {
        name: jconv.plan(x, w, platform="cpu", **keywords).problem
        for _, name, x, w, keywords in SHAPES
    }
    with open(path, newline="") as file:
        return [
            Row(
                row["family"],
                f"{row['name']} {row['leg']}",
                row["algorithm"],
                problems[row["name"]].replace(leg=row["leg"]),
                float(row["seconds"]),
            )
            for row in csv.DictReader(file)
            if row["name"] in problems
        ]


def predict(row: Row) -> float:
    if row.label.startswith("winograd"):
        return tile_size.seconds(row.problem, int(row.label[-1]))
    return BY_NAME[row.label].cost(row.problem, Planner("cpu"))


def compared(row: Row) -> float:
    """What the choice compares."""
    algorithm = BY_NAME["winograd" if row.label.startswith("winograd") else row.label]
    return handicapped(algorithm, row.problem, predict(row))


def use(constants: SimpleNamespace) -> None:
    cost.CONSTANTS = constants
    _choose_once.cache_clear()
    tile_size.best.cache_clear()


def fit(rows: list[Row], *, refine: bool = True, from_code: bool = False) -> SimpleNamespace:
    """The constants for these rows; `from_code` looks near those of the code as well."""
    start = STANDING
    simple = [row for row in rows if row.label in SIMPLE]
    measured = np.log([row.seconds for row in simple])
    origin = np.log([getattr(start, name) for name in FITTED])

    def constants(at: np.ndarray) -> SimpleNamespace:
        moved = zip(FITTED, map(float, np.exp(at)), strict=True)
        return SimpleNamespace(**{**vars(start), **dict(moved)})

    def residuals(at: np.ndarray) -> np.ndarray:
        use(constants(at))
        off = np.log([predict(row) for row in simple]) - measured
        return np.concatenate([off, 0.2 * (at - origin)])  # what no shape decides stays put

    within = origin - FAR, origin + FAR
    best = least_squares(residuals, origin, bounds=within, loss="soft_l1", f_scale=0.3, ftol=1e-3).x

    if not refine:
        return constants(best)
    found = []
    for near in [best, origin] if from_code else [best]:

        def objective(at: np.ndarray, near=near) -> float:
            return expected(rows, constants(at)) + PULL * float(np.sum((at - near) ** 2))

        found.append(constants(refined(near, objective)))
    return min(found, key=lambda constants: expected(rows, constants))


def expected(rows: list[Row], constants: SimpleNamespace) -> float:
    """The mean logarithm of the time that choosing takes, were predictions off by some chance.

    Time beyond direct's counts for more: nothing should be slower than it would be without jconv.
    """
    use(constants)
    legs: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        legs[row.name].append(row)
    total, off = 0.0, 0.0
    for candidates in legs.values():
        predicted = np.array([compared(row) for row in candidates])
        times = np.log([row.seconds for row in candidates])
        off += float(np.mean(np.abs(np.log([predict(row) for row in candidates]) - times)))
        direct = times[[row.label for row in candidates].index("direct")]
        weights = (predicted.min() / predicted) ** (1 / CHANCE)
        lost = times - times.min() + LOSS * np.maximum(times - direct, 0)
        total += float(weights @ lost / weights.sum())
    return (total + 0.05 * off) / len(legs)


def refined(at: np.ndarray, objective: Callable[[np.ndarray], float]) -> np.ndarray:
    """One constant after another a little up or down, as long as choices get better by it."""
    least = objective(at)
    for step in (0.2, 0.1):
        for i, sign in itertools.product(range(len(at)), (1, -1)):
            while True:
                moved = at.copy()
                moved[i] += sign * step
                value = objective(moved)
                if value >= least - 1e-5:
                    break
                at, least = moved, value
    return at


def regrets(rows: list[Row]) -> dict[str, tuple[float, float]]:
    """For each leg of each shape: the choice's time over the best one's, and over direct's."""
    legs: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        legs[row.name].append(row)
    found = {}
    for name, candidates in legs.items():
        direct = next(row for row in candidates if row.label == "direct")
        chosen = min(candidates, key=compared)
        best = min(row.seconds for row in candidates)
        ratios = (chosen.seconds / best, chosen.seconds / direct.seconds)
        found[f"{name} -> {chosen.label}"] = ratios
    return found


def mean(values) -> float:
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))


def summary(title: str, found: dict[str, tuple[float, float]]) -> str:
    over = [regret for regret, _ in found.values()]
    direct = [ratio for _, ratio in found.values()]
    return (
        f"| {title} | {len(found)} | {mean(over):.3f} | {max(over):.2f} | {mean(direct):.3f} "
        f"| {max(direct):.2f} |"
    )


def left_out(path: str, family: str) -> str:
    """How a fit to the other families does on one."""
    rows = read(path)
    use(fit([row for row in rows if row.family != family], refine=False))
    return summary(family, regrets([row for row in rows if row.family == family]))


HEADING = """| family | legs | regret | worst regret | of direct's time | worst of direct's |
|---|---|---|---|---|---|"""


def report(path: str) -> str:
    """The code's constants on every family, and how fits do on families that they left out."""
    rows = read(path)
    families = list(dict.fromkeys(row.family for row in rows))
    use(STANDING)
    found = regrets(rows)
    over = sum(ratio > 1.1 for _, ratio in found.values())
    title = f"{over} of {len(found)} legs take more than 1.1 of direct's time"
    lines = [f"Constants as they stand in the code; {title}:", "", HEADING, summary("all", found)]
    for family in families:
        lines.append(summary(family, regrets([row for row in rows if row.family == family])))
    lines += ["", "Each family judged by a least-squares fit to the others:", "", HEADING]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for line in pool.map(left_out, itertools.repeat(path), families):
            print(line, file=sys.stderr)
            lines.append(line)
    worst = sorted(found.items(), key=lambda item: -item[1][0])[:25]
    lines += ["", "The code's choices that cost most (regret, of direct's time):", ""]
    lines += [f"    {regret:5.2f} {ratio:5.2f}  {name}" for name, (regret, ratio) in worst]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measurements")
    parser.add_argument("--report", type=Path, help="judge the code's constants, in Markdown")
    arguments = parser.parse_args()
    if arguments.report:
        arguments.report.write_text(report(arguments.measurements))
        return
    rows = read(arguments.measurements)
    use(STANDING)
    print("Constants as they stand in the code, and fitted to all of the measurements:", end="\n\n")
    print(HEADING, summary("standing", regrets(rows)), sep="\n", flush=True)
    best = fit(rows, from_code=True)
    use(best)
    print(summary("fitted", regrets(rows)), end="\n\n")
    for name in FITTED:
        print(f"    {name:22} {getattr(best, name):.3g} {TABLE[name].unit}")


if __name__ == "__main__":
    main()
