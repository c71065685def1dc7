"""A ragged convolution beside the plain one of the same padded batch, in turns, in one process.

    python benchmarks/ragged.py

The target is 1.15 of the plain convolution's time. Results are compared with the plain
convolution of two examples alone before anything is timed.
"""

import argparse
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import jconv

# x (without the batch), filter, settings
LAYERS = {
    "3x3, 64 channels, 56x56": (16, (56, 56, 64), (3, 3, 64, 64), {}),
    "3x3 /2, 64 to 128, 56x56": (16, (56, 56, 64), (3, 3, 64, 128), {"stride": 2}),
    "3x3, 128 channels, 28x28": (16, (28, 28, 128), (3, 3, 128, 128), {}),
    "5x5, 32 channels, 64x64": (8, (64, 64, 32), (5, 5, 32, 32), {}),
    "7x7 /2, 3 to 64, 112x112": (8, (112, 112, 3), (7, 7, 3, 64), {"stride": 2}),
    "3 /2, 256 channels, 2000 rows": (
        8,
        (2000, 256),
        (3, 256, 256),
        {"stride": 2, "padding": "VALID"},
    ),
}


def operands(batch, shape, kernel):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(-3, 4, (batch, *shape)), jnp.float32)
    w = jnp.asarray(rng.integers(-3, 4, kernel), jnp.float32)
    halves = [rng.integers(rows // 2, rows + 1, batch) for rows in shape[:-1]]
    return x, w, jnp.asarray(np.stack(halves, axis=1), jnp.int32)


def functions(settings):
    def plain(x, w, sizes):
        return jconv.conv(x, w, **settings)

    def ragged(x, w, sizes):
        return jconv.ragged.conv(x, w, sizes, **settings)[0]

    def plain_layer(x, w, sizes):
        return plain(jax.nn.relu(x + 1), w, sizes)

    def ragged_layer(x, w, sizes):
        return ragged(jax.nn.relu(x + 1), w, sizes)

    return plain, ragged, plain_layer, ragged_layer


def check(run, x, w, sizes, settings):
    y = np.array(run(x, w, sizes))
    for n in (0, 1):
        own = tuple(slice(int(rows)) for rows in sizes[n])
        alone = np.asarray(jconv.conv(x[n][own][None], w, **settings))[0]
        made = tuple(slice(rows) for rows in alone.shape[:-1])
        bound = 1e-4 * np.abs(alone).max()
        np.testing.assert_allclose(y[n][made], alone, rtol=0, atol=bound)
        y[n][made] = 0
        assert not y[n].any()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of timing (default 15)")
    options = parser.parse_args()
    print(f"{'layer':32} {'plain ms':>9}   ratio alone, and behind a bias and a relu")
    for name, (batch, shape, kernel, settings) in LAYERS.items():
        given = operands(batch, shape, kernel)
        compiled = [jax.jit(f).lower(*given).compile() for f in functions(settings)]
        check(compiled[1], *given, settings)
        times = [[] for _ in compiled]
        for turn in range(options.rounds + 1):
            for run, kept in zip(compiled, times, strict=True):
                start = time.perf_counter()
                jax.block_until_ready(run(*given))
                if turn:  # the first round warms up
                    kept.append(time.perf_counter() - start)
        texts = []
        for plain, ragged in (times[:2], times[2:]):
            ratios = [b / a for a, b in zip(plain, ragged, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            texts.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        fastest = 1e3 * min(times[0])
        print(f"{name:32} {fastest:9.1f}   {texts[0]}   {texts[1]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
