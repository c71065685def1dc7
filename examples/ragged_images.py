"""Train on images of 30 sizes: one program for all, exact, against the two usual ways.

A batch of images is filled up to its largest one. `jconv.ragged` makes every image come out as if
it were alone, and `sizes` is traced, so that one compiled step serves all. The usual ways are one
program for each size, and padding without a mask, whose results are wrong.
"""

import argparse
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import jconv
from jconv import ragged

CLASSES, LARGEST = 3, 40


def draw_image(rng, size, label):
    """Stripes along one of three directions, of a random phase, in noise."""
    rows, columns = np.indices(size)
    direction = (rows, columns, rows + columns)[label]
    wave = np.sin(direction * 1.3 + rng.uniform(0, 6))
    return (wave + rng.normal(0, 0.5, size)).astype(np.float32)[..., None]


def init(rng):
    shapes = [(3, 3, 1, 8), (3, 3, 8, 16)]
    filters = [rng.normal(0, np.sqrt(2 / np.prod(s[:-1])), s).astype(np.float32) for s in shapes]
    biases = [np.full(s[-1], 0.1, np.float32) for s in shapes]
    return filters, biases, np.zeros((16, CLASSES), np.float32)


def logits(params, x, sizes):
    filters, biases, dense = params
    for w, bias in zip(filters, biases, strict=True):
        x, sizes = ragged.conv(x, w, sizes, stride=2)
        x = jax.nn.relu(x + bias)
    return ragged.mean(x, sizes) @ dense


def logits_without_sizes(params, x):
    """The same network on whatever shape x has, all of it taken for image."""
    filters, biases, dense = params
    for w, bias in zip(filters, biases, strict=True):
        x = jax.nn.relu(jconv.conv(x, w, stride=2) + bias)
    return x.mean((1, 2)) @ dense


def cross_entropy(scores, labels):
    return -jax.nn.log_softmax(scores)[jnp.arange(len(labels)), labels].mean()


def updated(params, grads):
    return jax.tree.map(lambda p, g: p - 0.3 * g, params, grads)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="training steps (default 40)")
    parser.add_argument("--sizes", type=int, default=30, help="different sizes (default 30)")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    sizes = rng.integers(16, LARGEST + 1, (options.sizes, 2))
    labels = np.arange(options.sizes) % CLASSES
    images = [
        draw_image(rng, tuple(size), label) for size, label in zip(sizes, labels, strict=True)
    ]
    x, sizes = ragged.stack(images, largest=(LARGEST, LARGEST))
    first = params = init(rng)

    traced = []

    @jax.jit
    def step(params, x, sizes, labels):
        traced.append("ragged")

        def loss(params):
            return cross_entropy(logits(params, x, sizes), labels)

        value, grads = jax.value_and_grad(loss)(params)
        return updated(params, grads), value

    start = time.perf_counter()
    step(params, x, sizes, labels)[1].block_until_ready()
    ragged_first = time.perf_counter() - start
    start = time.perf_counter()
    for number in range(1, options.steps + 1):
        params, loss = step(params, x, sizes, labels)
        if number in (1, options.steps):
            print(f"step {number:3d} of {options.steps}   loss {loss:.4f}", flush=True)
    ragged_step = (time.perf_counter() - start) / options.steps

    @jax.jit
    def gradient_alone(params, image, label):
        traced.append("alone")

        def loss(params):
            scores = logits_without_sizes(params, image[None])
            return cross_entropy(scores, label[None]), scores[0]

        return jax.grad(loss, has_aux=True)(params)

    def step_alone(params):
        grads, _ = zip(*map(gradient_alone, [params] * len(images), images, labels), strict=True)
        return updated(params, jax.tree.map(lambda *g: sum(g) / len(g), *grads))

    start = time.perf_counter()
    alone = jax.block_until_ready(step_alone(first))
    alone_first = time.perf_counter() - start
    start = time.perf_counter()
    jax.block_until_ready(step_alone(first))
    alone_step = time.perf_counter() - start

    @jax.jit
    def step_unmasked(params, x, labels):
        def loss(params):
            return cross_entropy(logits_without_sizes(params, x), labels)

        return updated(params, jax.grad(loss)(params))

    unmasked = jax.block_until_ready(step_unmasked(first, x, labels))
    start = time.perf_counter()
    jax.block_until_ready(step_unmasked(first, x, labels))
    unmasked_step = time.perf_counter() - start

    together = step(first, x, sizes, labels)[0]
    scores = logits(params, x, sizes)
    right = np.stack(
        [gradient_alone(params, *each)[1] for each in zip(images, labels, strict=True)]
    )
    wrong = logits_without_sizes(params, x)
    print(
        "one step               compilations   first run   each further run   its update is off by"
    )
    rows = [
        ("ragged", traced.count("ragged"), ragged_first, ragged_step, together),
        ("one program a size", traced.count("alone"), alone_first, alone_step, alone),
        ("padded, no mask", 1, float("nan"), unmasked_step, unmasked),
    ]
    for name, count, once, each, made in rows:
        off = distance(made, alone) / distance(first, alone)
        print(f"{name:22} {count:12d} {once:9.2f} s {1e3 * each:15.1f} ms   {off:.1e}")
    scale = np.abs(right).max()
    off, leaked = (np.abs(made - right).max() / scale for made in (scores, wrong))
    print(f"class scores beside each image alone: ragged is off by {off:.1e} of the largest,")
    print(f"padding without a mask by {leaked:.1e}")
    changed = int((np.argmax(wrong, 1) != np.argmax(right, 1)).sum())
    print(f"without a mask {changed} of {options.sizes} images get another class")
    return 0


def distance(a, b):
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(np.sqrt(sum(((x - y) ** 2).sum() for x, y in leaves)))


if __name__ == "__main__":
    sys.exit(main())
