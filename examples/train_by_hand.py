"""Train a convolutional network without automatic differentiation: the backward pass by hand.

Three layers of convolution learn to read scikit-learn's handwritten digits. Every gradient of
the training step is an explicit `jconv.conv_input_grad` or `jconv.conv_filter_grad`; at the end
the same gradients are taken by `jax.grad` from the same network built on JAX's own convolution,
and the largest difference is printed.
"""

import argparse
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

# 8x8x1 -> 8x8x16 -> 4x4x32 -> 1x1x10: the last layer, which classifies, is a convolution too.
FILTERS = [(3, 3, 1, 16), (3, 3, 16, 32), (4, 4, 32, 10)]
SETTINGS = [
    {"stride": 1, "padding": "SAME"},
    {"stride": 2, "padding": "SAME"},
    {"stride": 1, "padding": "VALID"},
]


def init(key):
    """A filter and a bias for each layer."""
    keys = jax.random.split(key, len(FILTERS))
    scale = jax.nn.initializers.he_normal()
    return [(scale(k, shape), jnp.zeros(shape[-1])) for k, shape in zip(keys, FILTERS, strict=True)]


def forward(params, x):
    """The logits, and the input of every layer: all that the backward pass needs."""
    inputs = []
    for (w, b), settings in zip(params, SETTINGS, strict=True):
        inputs.append(x)
        y = jconv.conv(x, w, **settings) + b
        x = jax.nn.relu(y)
    return y[:, 0, 0, :], inputs


def backward(params, inputs, g):
    """The gradient of every filter and bias, from g, the gradient of the logits."""
    grads = []
    g = g[:, None, None, :]
    for (w, _), settings, x in reversed(list(zip(params, SETTINGS, inputs, strict=True))):
        filter_grad = jconv.conv_filter_grad(x, g, filter_shape=w.shape, **settings)
        bias_grad = g.sum(axis=(0, 1, 2))
        grads.append((filter_grad, bias_grad))
        # x came out of a relu, which let the gradient through where x is positive. For the
        # images themselves this line is not needed, and the compiler drops it.
        g = jconv.conv_input_grad(g, w, input_shape=x.shape, **settings) * (x > 0)
    return grads[::-1]


def loss_and_grads(params, images, labels):
    """The mean cross-entropy, and its gradient by the chain rule, one layer at a time."""
    logits, inputs = forward(params, images)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    g = (jax.nn.softmax(logits) - jax.nn.one_hot(labels, 10)) / len(labels)
    return loss, backward(params, inputs, g)


def lax_loss(params, images, labels):
    """The loss of the same network on `jax.lax`'s convolution, for `jax.grad` to differentiate."""
    x = images
    for (w, b), settings in zip(params, SETTINGS, strict=True):
        strides = (settings["stride"],) * 2
        dims = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, w, strides, settings["padding"], dimension_numbers=dims)
        x = jax.nn.relu(y + b)
    logits = y[:, 0, 0, :] + b
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def train(params, images, labels, steps, report):
    """Train for some steps; `report(step, loss, params)` is called now and then."""
    optimizer = optax.adam(3e-3)

    @jax.jit
    def train_step(params, state, images, labels):
        loss, grads = loss_and_grads(params, images, labels)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, loss

    state = optimizer.init(params)
    shuffle = np.random.default_rng(1)
    for step in range(1, steps + 1):
        chosen = shuffle.choice(len(images), BATCH, replace=False)
        params, state, loss = train_step(params, state, images[chosen], labels[chosen])
        if step == 1 or step % 50 == 0 or step == steps:
            report(step, loss, params)
    return params


def largest_difference(params, images, labels):
    """Between the gradients by hand and by jax.grad, and the largest gradient to compare with."""
    with jax.default_matmul_precision("highest"):
        _, by_hand = jax.jit(loss_and_grads)(params, images, labels)
        by_autodiff = jax.jit(jax.grad(lax_loss))(params, images, labels)
    pairs = zip(jax.tree.leaves(by_hand), jax.tree.leaves(by_autodiff), strict=True)
    difference = max(float(jnp.abs(a - b).max()) for a, b in pairs)
    return difference, max(float(jnp.abs(a).max()) for a in jax.tree.leaves(by_autodiff))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300, help="training steps (default 300)")
    steps = parser.parse_args().steps

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = (digits.images[order, :, :, None] / 16).astype(np.float32)
    labels = digits.target[order].astype(np.int32)
    train_images, test_images = np.split(images, [TRAINING_IMAGES])
    train_labels, test_labels = np.split(labels, [TRAINING_IMAGES])

    @jax.jit
    def accuracy(params):
        logits, _ = forward(params, test_images)
        return (logits.argmax(-1) == test_labels).mean()

    def report(step, loss, params):
        elapsed = time.perf_counter() - start
        print(
            f"step {step:4d} of {steps}   loss {loss:.4f}   "
            f"accuracy on unseen digits {accuracy(params):.1%}   {elapsed:.1f} s",
            flush=True,
        )

    print(
        f"{len(train_images)} digits to learn from, {len(test_images)} to be tested on; "
        f"jax {jax.__version__} on {jax.default_backend()}",
        flush=True,
    )
    start = time.perf_counter()
    params = init(jax.random.key(0))
    train(params, train_images, train_labels, steps, report)

    # At the untrained parameters: a network that has learned has hardly any gradients left.
    difference, largest = largest_difference(params, train_images[:BATCH], train_labels[:BATCH])
    agree = difference <= 1e-5 * largest
    print(
        f"gradients by hand and by jax.grad: largest difference {difference:.1e}, "
        f"largest gradient {largest:.1e}: {'they agree' if agree else 'THEY DIFFER'}"
    )
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
