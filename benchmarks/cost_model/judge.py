"""Time jconv against lax on shapes at random that the cost model was not fitted to.

    python benchmarks/cost_model/judge.py [--shapes 70] [--seed 1]

Each leg as users reach it, under plain autodiff, interleaved with lax's own, their results compared
first. At the end: the mean ratio, and the legs that take more than 1.1 of lax's time.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys

import numpy as np
from shapes import drawn

import jconv
from jconv._bench.contestants import LEGS, enter
from jconv._bench.machine import settle_allocator, use_threads
from jconv._bench.match import WARM
from jconv._bench.reference import operands
from jconv._bench.suites import Row
from jconv._support.clock import race

LIMIT = 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=int, default=70)
    parser.add_argument("--seed", type=int, default=1, help="0 is what the model was fitted to")
    arguments = parser.parse_args()
    settle_allocator()
    threads = use_threads(None)
    ratios: dict[str, float] = {}
    for at, (_, name, x, w, keywords) in enumerate(drawn(arguments.shapes, arguments.seed)):
        problem = jconv.plan(x, w, platform="cpu", **keywords).problem
        pads = tuple((int(low), int(high)) for low, high in (axis.pads for axis in problem.axes))
        row = Row(name, x, w, pads, keywords["stride"], keywords["dilation"])
        arrays = operands(row)
        for leg in LEGS:
            entries = {n: enter(n, threads)(row, leg, arrays) for n in ("lax", "jconv")}
            (expected,), (got,) = (entries[n].results() for n in ("lax", "jconv"))
            assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max(), (name, leg)
            times = race({n: e.run for n, e in entries.items()}, rounds=9, warm=WARM)
            ours, theirs = (statistics.median(times[n]) for n in ("jconv", "lax"))
            ratios[f"{name} {leg}: {1e3 * ours:.3g} ms, lax {1e3 * theirs:.3g}"] = ours / theirs
        print(f"{at + 1}/{arguments.shapes} {name}", file=sys.stderr)
    mean = math.exp(statistics.fmean(map(math.log, ratios.values())))
    over = sorted(((r, name) for name, r in ratios.items() if r > LIMIT), reverse=True)
    print(f"{len(ratios)} legs; jconv / lax, geometric mean: {mean:.3f}")
    print(f"{len(over)} above {LIMIT}:")
    for ratio, name in over:
        print(f"  {ratio:.2f} {name}")


if __name__ == "__main__":
    main()
