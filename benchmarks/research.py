"""Clipped gradients and KFAC factors beside what else computes them: time and temporaries.

    pip install jax-privacy==2.0 kfac-jax==0.0.8
    python benchmarks/research.py [--rounds 9] [--only clipped|kfac]

Clipped gradients of two networks, by jconv, by jax-privacy and by vmap of grad, against the plain
gradient of the batch, all of them on jconv's convolutions. KFAC's input factors by jconv and by
kfac-jax. Results are compared with each other first; then all take turns. Temporaries are what XLA
sets aside for the compiled program. What a library that is not installed would do is left out.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jconv

MAX_NORM = 1.0
NHWC = ("NHWC", "HWIO", "NHWC")
# x, kernel, stride; small, since kfac-jax's own convolution takes over a minute on a CPU for
# 32 images of 28x28x64
FACTORS = [
    ((32, 32, 32, 3), 3, 1),
    ((8, 14, 14, 16), 3, 1),
    ((8, 14, 14, 16), 3, 2),
    ((8, 8, 8, 32), 5, 1),
]


def installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"({name} is not installed)")
        return None


# --- networks -------------------------------------------------------------------------------


class Parameters:
    """Parameters by name: made on the first pass of a network, looked up on later ones."""

    def __init__(self, values: dict[str, jax.Array] | None = None):
        self.values = {} if values is None else values
        self.making = values is None
        self.draw = np.random.default_rng(0)
        self.count = 0

    def take(self, *shape: int, scale: float | None = None) -> jax.Array:
        name, self.count = f"{self.count:02}", self.count + 1
        if self.making:
            scale = np.prod(shape[:-1]) ** -0.5 if scale is None else scale
            drawn = self.draw.normal(0, 1, shape) * scale
            self.values[name] = jnp.asarray(drawn, jnp.float32)
        return self.values[name]


def conv(own: Parameters, x: jax.Array, features: int, kernel: int, stride: int = 1) -> jax.Array:
    w = own.take(kernel, kernel, x.shape[-1], features)
    return lax.conv_general_dilated(x, w, (stride,) * 2, "SAME", dimension_numbers=NHWC)


def group_norm(own: Parameters, x: jax.Array, groups: int = 8) -> jax.Array:
    n, h, w, c = x.shape
    apart = x.reshape(n, h, w, groups, c // groups)
    mean = apart.mean((1, 2, 4), keepdims=True)
    variance = apart.var((1, 2, 4), keepdims=True)
    same = ((apart - mean) * lax.rsqrt(variance + 1e-5)).reshape(x.shape)
    return same * (1 + own.take(c, scale=0.1)) + own.take(c, scale=0.1)


def head(own: Parameters, x: jax.Array) -> jax.Array:
    return x.mean((1, 2)) @ own.take(x.shape[-1], 10) + own.take(10, scale=0.1)


def cifar(own: Parameters, x: jax.Array) -> jax.Array:
    for features, stride in ((32, 1), (32, 2), (64, 1), (64, 2)):
        x = jax.nn.relu(conv(own, x, features, 3, stride) + own.take(features, scale=0.1))
    return head(own, x)


def resnet18(own: Parameters, x: jax.Array) -> jax.Array:
    x = jax.nn.relu(group_norm(own, conv(own, x, 64, 3)))
    for features, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for step in (stride, 1):
            short = x
            if step > 1 or x.shape[-1] != features:
                short = group_norm(own, conv(own, x, features, 1, step))
            y = jax.nn.relu(group_norm(own, conv(own, x, features, 3, step)))
            x = jax.nn.relu(group_norm(own, conv(own, y, features, 3)) + short)
    return head(own, x)


NETWORKS = {
    "small CIFAR network, batch 128": (cifar, (128, 32, 32, 3)),
    "ResNet-18 with GroupNorm, 64x64, batch 32": (resnet18, (32, 64, 64, 3)),
}


def clipping(network: Any, shape: tuple[int, ...]) -> tuple[dict[str, Any], Any]:
    """The ways to compute gradients, by name, and their arguments."""
    draw = np.random.default_rng(1)
    x = jnp.asarray(draw.standard_normal(shape, np.float32))
    batch = x, jnp.asarray(draw.integers(0, 10, shape[0]))
    made = Parameters()
    network(made, x)

    def losses(params: Any, batch: Any) -> jax.Array:
        images, labels = batch
        scores = jax.nn.log_softmax(network(Parameters(params), images))
        return -jnp.take_along_axis(scores, labels[:, None], 1)[:, 0]

    def one(params: Any, example: Any) -> jax.Array:
        return losses(params, jax.tree.map(lambda a: a[None], example))[0]

    def by_vmap(params: Any, batch: Any) -> Any:
        grads = jax.vmap(jax.grad(one), (None, 0))(params, batch)
        squares = sum(jnp.sum(g**2, tuple(range(1, g.ndim))) for g in jax.tree.leaves(grads))
        weights = jnp.minimum(1, MAX_NORM / jnp.sqrt(squares))
        return jax.tree.map(lambda g: jnp.tensordot(weights, g, 1), grads)

    ways = {
        "plain": jconv.accelerate(jax.grad(lambda p, b: losses(p, b).sum())),
        "jconv": jconv.clipped_grad(losses, max_norm=MAX_NORM),
        "vmap of grad": jconv.accelerate(by_vmap),
    }
    privacy = installed("jax_privacy.clipping")
    if privacy is not None:
        ways["jax-privacy"] = jconv.accelerate(
            privacy.clipped_grad(lambda p, b: losses(p, b).sum(), l2_clip_norm=MAX_NORM)
        )
    return ways, (made.values, batch)


def factors(x_shape: tuple[int, ...], k: int, stride: int) -> tuple[dict[str, Any], Any]:
    """The ways to compute the input factor, by name, and their argument."""
    x = jnp.asarray(np.random.default_rng(1).standard_normal(x_shape, np.float32))
    c = x_shape[-1]
    g = jnp.zeros((*x_shape[:1], *(-(-size // stride) for size in x_shape[1:-1]), 1), x.dtype)

    def ours(x: Any) -> jax.Array:
        return jconv.kfac_factors(x, g, filter_shape=(k, k), stride=stride)[0]

    def theirs(x: Any) -> jax.Array:
        moments, _ = kfac.patches_moments(x, (k, k), strides=(stride, stride), padding="SAME")
        return moments.reshape(k * k * c, k * k * c)

    kfac = installed("kfac_jax")
    return {"jconv": ours, **({} if kfac is None else {"kfac-jax": theirs})}, (x,)


# --- measuring ------------------------------------------------------------------------------


def compare(title: str, ways: dict[str, Any], arguments: Any, rounds: int, alike: str) -> None:
    """Print time and temporaries of each way; all but "plain" must agree with `alike`."""
    programs = {name: jax.jit(way).lower(*arguments).compile() for name, way in ways.items()}
    results = {name: jax.tree.leaves(run(*arguments)) for name, run in programs.items()}
    for name in programs.keys() - {"plain"}:
        for got, want in zip(results[name], results[alike], strict=True):
            largest = float(jnp.abs(want).max())
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * largest, err_msg=name)
    times: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name in sorted(programs, reverse=turn % 2 == 0):
            start = time.perf_counter()
            jax.block_until_ready(programs[name](*arguments))
            if turn:  # the first turn warms up
                times[name].append(time.perf_counter() - start)
    first = next(iter(programs))
    print(f"\n{title}")
    for name, program in programs.items():
        ratios = [a / b for a, b in zip(times[name], times[first], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        held = program.memory_analysis().temp_size_in_bytes
        base = programs[first].memory_analysis().temp_size_in_bytes
        print(
            f"  {name:13} {1e3 * statistics.median(times[name]):9.1f} ms"
            f"   {middle:6.2f} ({low:.2f} to {high:.2f}) of {first}'s"
            f"   {held / 1e6:8.1f} MB of temporaries, {held / max(base, 1):.2f}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="rounds of timing (default 9)")
    parser.add_argument("--only", choices=["clipped", "kfac"])
    options = parser.parse_args()
    if options.only != "kfac":
        for title, (network, shape) in NETWORKS.items():
            compare(title, *clipping(network, shape), options.rounds, "vmap of grad")
    if options.only != "clipped":
        for x, k, stride in FACTORS:
            title = f"KFAC factor, x {x}, {k}x{k}/{stride}"
            compare(title, *factors(x, k, stride), options.rounds, "jconv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
