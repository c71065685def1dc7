"""Train a convolutional classifier on handwritten digits, and time it against lax.

One jit-compiled step does it all: forward, backward (jconv's operations are differentiated like
any other JAX function) and optax's update. The network takes its convolution as an argument, so
that the same step runs on `jconv.conv`, on `jax.lax`, and on lax accelerated by one line.
"""

import argparse
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jconv

BATCH = 128
TRAINING_IMAGES = 1500

# 8x8x1 -> 8x8x32 -> 8x8x32 -> 8x8x64 -> 4x4x64 -> 1x1x10; the second layer is depthwise.
LAYERS = [
    ((3, 3, 1, 32), {}),
    ((3, 3, 1, 32), {"groups": 32}),
    ((1, 1, 32, 64), {}),
    ((3, 3, 64, 64), {"stride": 2}),
    ((4, 4, 64, 10), {"padding": "VALID"}),
]


def lax_conv(x, w, stride=1, padding="SAME", groups=1):
    names = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, w, (stride, stride), padding, dimension_numbers=names, feature_group_count=groups
    )


def init(key):
    """A filter and a bias for each layer."""
    scale = jax.nn.initializers.he_normal()
    keys = jax.random.split(key, len(LAYERS))
    return [
        (scale(k, shape), jnp.zeros(shape[-1])) for k, (shape, _) in zip(keys, LAYERS, strict=True)
    ]


def logits(params, x, conv):
    for (w, bias), (_, settings) in zip(params, LAYERS, strict=True):
        y = conv(x, w, **settings) + bias
        x = jax.nn.relu(y)
    return y[:, 0, 0, :]


def make_step(optimizer, conv):
    def loss(params, images, labels):
        y = logits(params, images, conv)
        return optax.softmax_cross_entropy_with_integer_labels(y, labels).mean()

    def step(params, state, images, labels):
        value, grads = jax.value_and_grad(loss)(params, images, labels)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    return step


def time_steps(steps, arguments, rounds):
    """Milliseconds of each step in every round; they take turns, so that a drift hits all."""
    compiled = {name: jax.jit(step).lower(*arguments).compile() for name, step in steps.items()}
    times = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, run in compiled.items():
            start = time.perf_counter()
            jax.block_until_ready(run(*arguments))
            if turn:  # the first round warms up
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="training steps (default 200)")
    parser.add_argument("--rounds", type=int, default=30, help="rounds of timing (default 30)")
    options = parser.parse_args()

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = (digits.images[order, :, :, None] / 16).astype(np.float32)
    labels = digits.target[order].astype(np.int32)
    test_images, test_labels = images[TRAINING_IMAGES:], labels[TRAINING_IMAGES:]

    optimizer = optax.adam(2e-3)
    steps = {"lax": make_step(optimizer, lax_conv), "jconv": make_step(optimizer, jconv.conv)}
    steps["accelerate(lax)"] = jconv.accelerate(steps["lax"])

    step = jax.jit(steps["jconv"])
    accuracy = jax.jit(
        lambda params: (logits(params, test_images, jconv.conv).argmax(-1) == test_labels).mean()
    )
    params = init(jax.random.key(0))
    state = optimizer.init(params)
    shuffle = np.random.default_rng(1)
    for number in range(1, options.steps + 1):
        chosen = shuffle.choice(TRAINING_IMAGES, BATCH, replace=False)
        params, state, loss = step(params, state, images[chosen], labels[chosen])
        if number == 1 or number % 50 == 0 or number == options.steps:
            print(
                f"step {number:4d} of {options.steps}   loss {loss:.4f}   "
                f"accuracy on unseen digits {accuracy(params):.1%}",
                flush=True,
            )

    batch = images[:BATCH], labels[:BATCH]
    times = time_steps(steps, (params, state, *batch), options.rounds)
    for name, samples in times.items():
        ratio = statistics.median(a / b for a, b in zip(samples, times["lax"], strict=True))
        middle = statistics.median(samples)
        print(f"{name:16} {middle:7.2f} ms a step, {ratio:.2f} of lax's time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
