"""Time every algorithm on a spread of shapes: what the cost model's constants are fitted to.

    python benchmarks/cost_model/measure.py measurements.csv [--earlier FILE] [--family NAME]
    python benchmarks/cost_model/measure.py new.csv --earlier FILE --only NAME [--anew]

Each row is one algorithm on one leg of one shape: the median of interleaved rounds, in seconds,
and the time that compiling it took. Every result is compared with direct's first. A second run
beside an earlier one keeps the lower of both times: threads that share a core, or pages that the
allocator gave back, make whole runs of a candidate slow. An algorithm that was rewritten is timed
with --only, beside direct: as a multiple of direct's time now, of its earlier time, unless direct
is too slow to be timed well; with --anew its own earlier times are forgotten, with --leg one leg
is timed and the others are kept.
"""

from __future__ import annotations

import argparse
import csv
import functools
import math
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from shapes import SHAPES

import jconv
from jconv._algorithms import BY_NAME, REGISTRY, fft
from jconv._algorithms.winograd import tile_size
from jconv._bench.machine import settle_allocator
from jconv._bench.match import WARM
from jconv._core.problem import LEGS, OPERANDS, Problem
from jconv._planner.choose import Planner
from jconv._support.clock import race

ROUNDS = 7
HOPELESS = 4.0  # times the quickest: timed twice only

KEYS = ("name", "leg", "algorithm")
FIELDS = ("family", *KEYS, "seconds", "compile_seconds")


def candidates(problem: Problem, only: str | None):
    """(label, problem) for every algorithm that supports the leg, and that may be chosen."""
    small = math.prod(axis.k for axis in problem.axes) < fft.MIN_TAPS
    for algorithm in REGISTRY:
        if only is not None and algorithm.name not in ("direct", only):
            continue
        if algorithm.supports(problem, "cpu") is None and not (algorithm.name == "fft" and small):
            yield algorithm.name, problem.replace(policy=algorithm.name)


def compiled(problem: Problem, operands):
    start = time.perf_counter()
    run = jax.jit(functools.partial(Planner("cpu").run, problem)).lower(*operands).compile()
    return run, time.perf_counter() - start


def measure(problem: Problem, only: str | None):
    rng = np.random.default_rng(0)
    shapes = [problem.shape(slot) for slot in OPERANDS[problem.leg]]
    operands = [jnp.asarray(rng.standard_normal(s), "float32") for s in shapes]
    runs, compiles, expected = {}, {}, None
    for label, each in candidates(problem, only):
        if label == "winograd":
            for m in tile_size.tile_sizes(problem):
                tile_size.choose_outputs = lambda problem, m=m: m
                runs[f"winograd{m}"], compiles[f"winograd{m}"] = compiled(each, operands)
        else:
            runs[label], compiles[label] = compiled(each, operands)
    for label, run in runs.items():
        got = np.asarray(run(*operands))
        expected = got if expected is None else expected
        error = np.abs(got - expected).max() / np.abs(expected).max()
        assert error < 1e-4, (label, problem, error)
    waited = {
        label: lambda run=run: jax.block_until_ready(run(*operands)) for label, run in runs.items()
    }
    times = race(waited, rounds=ROUNDS, hopeless=HOPELESS, warm=WARM)
    return {label: (statistics.median(values), compiles[label]) for label, values in times.items()}


def earlier(path: str) -> dict[tuple[str, ...], dict[str, str]]:
    with open(path, newline="") as file:
        return {tuple(row[k] for k in KEYS): row for row in csv.DictReader(file)}


def timed(name: str, leg: str, problem: Problem, before, only: str | None, anew: bool):
    """The rows of one leg: (label, seconds, seconds to compile)."""
    kept = {label: row for (*key, label), row in before.items() if key == [name, leg]}
    if only is None:
        results, scale = measure(problem, None), 1.0
    elif BY_NAME[only].supports(problem, "cpu") is None:
        results = measure(problem, only)
        direct, _ = results.pop("direct")
        near = direct <= HOPELESS * min(seconds for seconds, _ in results.values())
        scale = float(kept["direct"]["seconds"]) / direct if near else 1.0
    else:
        results, scale = {}, 1.0
    others = [] if only is None else [label for label in kept if label not in results]
    for label in [*results, *others]:
        times = [results[label][0] * scale] if label in results else []
        if label in kept and not (anew and label in results):
            times.append(float(kept[label]["seconds"]))
        compiling = results[label][1] if label in results else float(kept[label]["compile_seconds"])
        yield label, min(times), compiling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measurements", help="the CSV file to write")
    parser.add_argument("--earlier", help="the CSV file of an earlier run")
    parser.add_argument("--family", help="one family of shapes alone")
    parser.add_argument("--only", help="one algorithm alone, beside direct")
    parser.add_argument("--leg", choices=LEGS, help="one leg alone, of the others what was earlier")
    parser.add_argument("--anew", action="store_true", help="forget its earlier times")
    arguments = parser.parse_args()
    if (arguments.only or arguments.leg) and not arguments.earlier:
        parser.error("--only and --leg take what they do not time from --earlier")
    settle_allocator()
    before = earlier(arguments.earlier) if arguments.earlier else {}
    shapes = [shape for shape in SHAPES if arguments.family in (None, shape[0])]
    if arguments.only:  # and direct's time there
        timed_before = {name for name, *_ in before}
        shapes = [shape for shape in shapes if shape[1] in timed_before]
    with open(arguments.measurements, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        for at, (family, name, x, w, keywords) in enumerate(shapes):
            problem = jconv.plan(x, w, platform="cpu", **keywords).problem
            for leg in LEGS:
                each = problem.replace(leg=leg)
                if arguments.leg not in (None, leg):
                    writer.writerows(
                        [family, name, leg, label, row["seconds"], row["compile_seconds"]]
                        for (*key, label), row in before.items()
                        if key == [name, leg]
                    )
                    continue
                for label, *times in timed(name, leg, each, before, arguments.only, arguments.anew):
                    seconds, compiling = times
                    writer.writerow(
                        [family, name, leg, label, f"{seconds:.3e}", f"{compiling:.2f}"]
                    )
            file.flush()
            print(f"{at + 1}/{len(shapes)} {name}", file=sys.stderr)


if __name__ == "__main__":
    main()
