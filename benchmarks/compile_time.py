"""What single legs take to compile, alone, in processor time.

    python benchmarks/compile_time.py [--legs 500] [--seed 7]
    python benchmarks/compile_time.py --every --csv FILE     every algorithm, not auto's choice
    python benchmarks/compile_time.py --fit FILE             the constants that such a file gives

Legs at random of the kinds that the cost model is fitted to (cost_model/shapes.py). At the end: the
quantiles, how far off the prediction was, and the legs that took over a second, which is the most
that a leg of auto's choice should take on a quiet machine. Other processes make processor time
longer too: they share caches and cores.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import sys
import time
from pathlib import Path

import jax
import numpy as np

import jconv
from jconv._algorithms import BY_NAME, REGISTRY
from jconv._algorithms.compiling import Work
from jconv._core.problem import LEGS, OPERANDS, Problem
from jconv._planner import compile_time
from jconv._planner.choose import Planner, choose, excluded
from jconv._support.files import write_whole

sys.path.insert(0, str(Path(__file__).parent / "cost_model"))
from shapes import drawn, drawn_in_groups

MOST = compile_time.LIMIT
WORTH = 30  # times the best one's predicted run time, up to which an algorithm is compiled at all


def legs(count: int, seed: int) -> list[tuple[str, Problem]]:
    """That many legs, a third of them with groups."""
    shapes = -(-count // 3)
    grouped = shapes // 3
    found = [
        (name, jconv.plan(x, w, platform="cpu", **keywords).problem.replace(leg=leg))
        for _, name, x, w, keywords in (
            *drawn(shapes - grouped, seed),
            *drawn_in_groups(grouped, seed),
        )
        for leg in LEGS
    ]
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[at] for at in order[:count]]


def algorithms(problem: Problem, every: bool) -> list[str]:
    best = choose(problem, "cpu")
    if not every:
        return [best.algorithm.name]
    planner, most = Planner("cpu"), WORTH * best.cost
    named = {a: problem.replace(policy=a.name) for a in REGISTRY}
    fit = {a: one for a, one in named.items() if excluded(a, one, "cpu") is None}
    return [a.name for a, one in fit.items() if a.cost(one, planner) <= most]


def compiled_in(problem: Problem) -> float:
    """Seconds of processor time to trace, lower and compile a leg."""
    a, b = (jax.ShapeDtypeStruct(problem.shape(s), problem.dtype(s)) for s in OPERANDS[problem.leg])
    jax.clear_caches()
    start = time.process_time()
    jax.jit(lambda a, b: Planner("cpu").run(problem, a, b)).lower(a, b).compile()
    return time.process_time() - start


def work(problem: Problem, name: str) -> Work:
    return compile_time.work(BY_NAME[name], problem, lambda part: choose(part, "cpu").algorithm)


def measure(count: int, seed: int, every: bool) -> list[dict]:
    records = []
    chosen = legs(count, seed)
    compiled_in(chosen[0][1].replace(policy="direct"))  # a process's first compilation takes longer
    for at, (leg, problem) in enumerate(chosen):
        for name in algorithms(problem, every):
            amount = work(problem, name)
            seconds = compiled_in(problem.replace(policy=name) if every else problem)
            records.append(
                {
                    "leg": f"{leg} {problem.leg}",
                    "algorithm": name,
                    "kernels": amount.kernels,
                    "calls": amount.calls,
                    "terms": amount.terms,
                    "predicted": round(amount.seconds, 3),
                    "seconds": round(seconds, 3),
                }
            )
        print(f"\r{at + 1}/{count}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return records


def report(records: list[dict]) -> None:
    seconds = sorted(record["seconds"] for record in records)
    off = [math.log(record["seconds"] / record["predicted"]) for record in records]
    print(f"{len(records)} programs, {sum(seconds):.0f} s of processor time to compile")
    print(f"median {statistics.median(seconds):.2f} s, longest {seconds[-1]:.2f} s")
    print(f"measured / predicted: geometric mean {math.exp(statistics.fmean(off)):.2f}, ", end="")
    print(f"then off by a factor of {math.exp(statistics.pstdev(off)):.2f}")
    over = [record for record in records if record["seconds"] > MOST]
    print(f"{len(over)} took over {MOST} s:")
    for record in sorted(over, key=lambda record: -record["seconds"]):
        print("  {seconds:.2f} ({predicted:.2f} predicted) {algorithm} {leg}".format(**record))


def fit(path: Path) -> None:
    """Least squares of the relative error."""
    with path.open(encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    seconds = np.array([float(record["seconds"]) for record in records])
    columns = ("kernels", "calls", "terms")
    amounts = np.array([[1.0, *(float(record[c]) for c in columns)] for record in records])
    found = np.linalg.lstsq(amounts / seconds[:, None], np.ones(len(seconds)), rcond=None)[0]
    for name, value in zip(("program", "kernel", "call", "term"), found, strict=True):
        print(f"{name}: {value:.4f} s")
    off = np.log(amounts @ found / seconds)
    print(f"off by a factor of {math.exp(off.std()):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="What single legs take to compile.")
    parser.add_argument("--legs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--every", action="store_true", help="every algorithm of each leg")
    parser.add_argument("--csv", type=Path, help="write a record for each program")
    parser.add_argument("--fit", type=Path, metavar="CSV", help="fit to an earlier --every instead")
    options = parser.parse_args()
    if options.fit is not None:
        return fit(options.fit)
    records = measure(options.legs, options.seed, options.every)
    report(records)
    if options.csv is not None:
        lines = [",".join(records[0]), *(",".join(map(str, r.values())) for r in records)]
        write_whole(options.csv, "\n".join(lines) + "\n")
    return None


if __name__ == "__main__":
    main()
