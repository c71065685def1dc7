"""Time matrix products by themselves, and fit what the cost model says of them.

    python benchmarks/cost_model/products.py products.csv [--fit-only]

Every algorithm but two rests on products, so their constants are not left to what the rest of a leg
takes: sizes at random, (rows, inner) by (inner, columns), the second operand transposed, or both
contracted on their rows ("turned"). `batch_transposed_dot_half_columns` is read off by hand: what
the columns of turned products lose more than those of the others do.
"""

from __future__ import annotations

import argparse
import csv
import functools
import math
import random
import statistics

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.optimize import least_squares

from jconv._bench.machine import settle_allocator
from jconv._bench.match import WARM
from jconv._support.clock import race
from jconv._support.progress import Progress

CONTRACTED = {"plain": ((1,), (0,)), "transposed": ((1,), (1,)), "turned": ((0,), (0,))}
NAMES = ("rate", "half_rows", "half_inner", "half_columns", "start")
START = (4e11, 4, 4, 10, 3e-5)
MOST, LEAST, LARGEST = 2e9, 2e6, 6e6  # operations, and elements of an array
CALL = 1.2e-5  # seconds that JAX takes to call any program: an estimate, the same for all


def drawn(count: int) -> list[tuple[str, int, int, int]]:
    draw = random.Random(0)

    def size(least: float, most: float) -> int:
        return round(math.exp(draw.uniform(math.log(least), math.log(most))))

    found = []
    while len(found) < count:
        kind = draw.choice(list(CONTRACTED))
        rows, inner, columns = size(8, 30000), size(4, 3000), size(8, 2000)
        if kind == "turned":
            rows, inner = size(8, 2000), size(50, 60000)
        arrays = rows * inner, inner * columns, rows * columns
        if LEAST < 2 * rows * inner * columns < MOST and max(arrays) < LARGEST:
            found.append((kind, rows, inner, columns))
    return found


def measure(kind: str, rows: int, inner: int, columns: int) -> float:
    rng = np.random.default_rng(0)
    left = (inner, rows) if kind == "turned" else (rows, inner)
    right = (columns, inner) if kind == "transposed" else (inner, columns)
    a, b = (jnp.asarray(rng.standard_normal(shape), "float32") for shape in (left, right))
    dimensions = (CONTRACTED[kind], ((), ()))
    run = jax.jit(functools.partial(lax.dot_general, dimension_numbers=dimensions))
    times = race({"": lambda: run(a, b).block_until_ready()}, rounds=7, warm=WARM / 2)
    return statistics.median(times[""])


def predicted(constants, rows: float, inner: float, columns: float) -> float:
    rate, half_rows, half_inner, half_columns, call = constants
    shares = rows / (rows + half_rows) * inner / (inner + half_inner)
    shares *= columns / (columns + half_columns)
    return CALL + call + 2 * rows * inner * columns / (rate * shares)


def fit(rows) -> tuple[np.ndarray, float]:
    """The constants, and the factor that predictions are off by."""

    def residuals(logs):
        return [math.log(predicted(np.exp(logs), *sizes) / seconds) for *sizes, seconds in rows]

    best = least_squares(residuals, np.log(START), loss="soft_l1", f_scale=0.2).x
    return np.exp(best), math.exp(float(np.std(residuals(best))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("times", help="the CSV file to write, or to read")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--fit-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.fit_only:
        settle_allocator()
        with open(arguments.times, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["kind", "rows", "inner", "columns", "seconds"])
            with Progress(arguments.count) as progress:
                for sizes in drawn(arguments.count):
                    progress.show(" ".join(map(str, sizes)))
                    writer.writerow([*sizes, f"{measure(*sizes):.3e}"])
                    progress.step()
    with open(arguments.times, newline="") as file:
        read = [tuple(row.values()) for row in csv.DictReader(file)]
    for kinds in [("plain", "transposed"), ("turned",)]:
        constants, off = fit([tuple(map(float, row[1:])) for row in read if row[0] in kinds])
        told = ", ".join(
            f"{name} {value:.3g}" for name, value in zip(NAMES, constants, strict=True)
        )
        print(f"{' and '.join(kinds)}: {told}; off by a factor of {off:.2f}")


if __name__ == "__main__":
    main()
