"""Convolutions inside somebody else's code, run by jconv without a call site to change.

`Classifier` stands for a library's model: its `fit` builds the loss, the gradient and the compiled
step inside, as Keras does, so that there is no function to hand to `jconv.accelerate`. The same
`fit` runs twice, outside and inside of `jconv.everywhere()`, from the same filters on the same
batches: the losses agree, and one of the two is faster. The images are smoothed before by
`jax.scipy.signal.convolve2d`, whose convolution runs on jconv as well. With Keras installed, set
KERAS_BACKEND=jax and put `model.fit` in the same place.
"""

import argparse
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.scipy import signal
from sklearn.datasets import load_digits

import jconv

BATCH = 64
FILTERS = [(3, 3, 1, 64), (3, 3, 64, 64), (3, 3, 64, 64), (8, 8, 64, 10)]


class Classifier:
    """A model as a library has it: written with lax, and closed."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.filters = [
            jnp.asarray(rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape), jnp.float32)
            for shape in FILTERS
        ]

    def _loss(self, filters, x, labels):
        for w, stride in zip(filters, (1, 1, 2, 1), strict=True):
            padding = "VALID" if w is filters[-1] else "SAME"
            x = lax.conv_general_dilated(
                x, w, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = x if w is filters[-1] else jax.nn.relu(x)
        logits = x[:, 0, 0]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def fit(self, batches):
        """The loss of each step, and the seconds of the fastest step."""
        optimizer = optax.adam(1e-3)

        def step(filters, state, x, labels):
            value, grads = jax.value_and_grad(self._loss)(filters, x, labels)
            updates, state = optimizer.update(grads, state)
            return optax.apply_updates(filters, updates), state, value

        self.step = jax.jit(step)
        filters, state = self.filters, optimizer.init(self.filters)
        losses, seconds = [], []
        for x, labels in batches:
            start = time.perf_counter()
            filters, state, value = self.step(filters, state, x, labels)
            losses.append(float(value))
            seconds.append(time.perf_counter() - start)
        return losses, min(seconds[1:])


def smoothed(images):
    """The images at twice their size, smoothed by scipy's convolution."""
    kernel = jnp.outer(jnp.array([1.0, 2.0, 1.0]), jnp.array([1.0, 2.0, 1.0])) / 16
    large = jnp.repeat(jnp.repeat(images, 2, axis=1), 2, axis=2)
    return jax.vmap(lambda image: signal.convolve2d(image, kernel, mode="same"))(large)


def primitives(fn, *args):
    """How many convolutions of lax and of jconv a function's program holds."""
    text = str(jax.make_jaxpr(fn)(*args))
    return text.count("conv_general_dilated["), text.count("= jconv_")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="training steps (default 40)")
    steps = max(parser.parse_args().steps, 2)

    digits = load_digits()
    images = jnp.asarray(digits.images / 16, jnp.float32)
    labels = jnp.asarray(digits.target, jnp.int32)
    with jconv.everywhere():
        x = smoothed(images)[..., None]
        ours = primitives(smoothed, images[:2])
    # make_jaxpr would give back what it traced inside for the same function.
    outside = primitives(lambda images: smoothed(images), images[:2])
    print("jax.scipy.signal.convolve2d: convolutions of lax and of jconv in its program")
    print(f"  outside {outside}, inside jconv.everywhere() {ours}")

    rng = np.random.default_rng(1)
    chosen = [rng.choice(len(labels), BATCH, replace=False) for _ in range(steps)]
    batches = [(x[rows], labels[rows]) for rows in chosen]
    found = {}
    for name in ("lax", "jconv"):
        model = Classifier()
        if name == "lax":
            losses, seconds = model.fit(batches)
        else:
            with jconv.everywhere():
                losses, seconds = model.fit(batches)
        found[name] = losses, seconds
        share = seconds / found["lax"][1]
        print(
            f"fit with {name:5s}: loss {losses[0]:.4f} -> {losses[-1]:.4f}, "
            f"{1000 * seconds:.1f} ms a step, {share:.2f} of lax's time"
        )
    first, second = (np.asarray(losses[:3]) for losses, _ in found.values())
    off = float(np.abs(first - second).max())
    agree = off <= 1e-3
    print(
        f"the first losses differ by at most {off:.1e}: {'as they should' if agree else 'TOO MUCH'}"
    )
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
