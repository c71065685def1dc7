"""Whether filter_grad_norms takes the faster of its two ways, on twenty layers.

    python benchmarks/filter_grad_norms.py [--rounds 5]

Both ways are compiled, compared with each other, and timed in turns. For each layer it prints the
times, the way that the cost model chose, and how many times as long as the faster one it takes;
the largest of these is to be at most 1.2.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import jax
import numpy as np

import jconv
from jconv._research import norms

# batch, image, channels in and out, kernel, stride, groups
LAYERS = [
    (128, 32, 3, 32, 3, 1, 1),
    (128, 32, 3, 64, 5, 2, 1),
    (64, 32, 32, 32, 3, 1, 1),
    (64, 32, 32, 64, 3, 2, 1),
    (64, 16, 64, 64, 3, 1, 1),
    (64, 16, 64, 128, 3, 2, 1),
    (64, 8, 128, 128, 3, 1, 1),
    (64, 4, 256, 256, 3, 1, 1),
    (32, 7, 512, 512, 3, 1, 1),
    (16, 14, 256, 256, 3, 1, 1),
    (8, 28, 128, 128, 3, 1, 1),
    (4, 56, 64, 64, 3, 1, 1),
    (4, 112, 3, 64, 7, 2, 1),
    (16, 14, 256, 512, 1, 1, 1),
    (32, 7, 512, 2048, 1, 1, 1),
    (4, 56, 64, 256, 1, 1, 1),
    (16, 14, 256, 512, 1, 2, 1),
    (64, 14, 32, 64, 5, 1, 1),
    (16, 14, 128, 128, 3, 1, 32),
    (16, 14, 128, 128, 3, 1, 128),
]
HOPELESS = 4  # times as long as the other way: then one timing says enough


def timed(layer, rounds: int):
    n, size, c, f, k, s, groups = layer
    draw = np.random.default_rng(0)
    x = draw.standard_normal((n, size, size, c), np.float32)
    g = draw.standard_normal((n, -(-size // s), -(-size // s), f), np.float32)
    settings = {"filter_shape": (k, k), "stride": s, "groups": groups}
    seconds, values = {}, {}
    choose = norms.choose_way
    programs = {}
    for name in ("form", "gram"):

        def forced(problem, examples, platform=None, name=name):
            ways = {"form": lambda: norms._form(problem, examples, "cpu")}
            ways["gram"] = lambda: norms._gram(problem, examples)
            return dataclasses.replace(ways[name](), name=name)

        norms.choose_way = forced
        fn = jax.jit(lambda x, g: jconv.filter_grad_norms(x, g, **settings))
        programs[name] = fn.lower(x, g).compile()
        norms.choose_way = choose
        values[name] = np.asarray(programs[name](x, g))
        seconds[name] = []
    np.testing.assert_allclose(values["gram"], values["form"], rtol=1e-4)
    for number in range(rounds):
        best = min((min(times) for times in seconds.values() if times), default=0.0)
        for name, program in programs.items():
            if number and min(seconds[name]) > HOPELESS * best:
                continue
            start = time.perf_counter()
            program(x, g).block_until_ready()
            seconds[name].append(time.perf_counter() - start)
    return {name: min(times) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, nargs="*", default=range(len(LAYERS)))
    arguments = parser.parse_args()
    worst = 0.0
    print("| batch, image, channels, kernel/stride, groups | form ms | gram ms | chosen | regret |")
    print("|---|---|---|---|---|")
    for layer in (LAYERS[number] for number in arguments.layers):
        n, size, c, f, k, s, groups = layer
        seconds = timed(layer, arguments.rounds)
        settings = {"stride": s, "groups": groups}
        shapes = (n, size, size, c), (k, k, c // groups, f)
        way = jconv.plan_operation("filter_grad_norms", *shapes, **settings).way
        regret = seconds[way] / min(seconds.values())
        worst = max(worst, regret)
        form, gram = (1e3 * seconds[name] for name in ("form", "gram"))
        name = f"{n} {size} {c} -> {f} {k}x{k}/{s} {groups}"
        print(f"| {name} | {form:.1f} | {gram:.1f} | {way} | {regret:.2f} |", flush=True)
    print(f"\nlargest regret: {worst:.2f}")


if __name__ == "__main__":
    main()
