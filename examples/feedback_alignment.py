"""Feedback alignment: gradients that go back through fixed random filters, against true ones.

Backpropagation sends a gradient back through the very filters that the forward pass used. With
`jconv.custom_conv` that leg is exchanged for one with a random filter that never changes (Lillicrap
et al., 2016). The same network learns digits both ways, and a third way that trains nothing but its
last layer. On the way the angle between the gradient that a layer gets and the one that it should
get is measured: 90 degrees is a random direction, and less is learning.
"""

import argparse
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from sklearn.datasets import load_digits

import jconv

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BATCH = 128
TRAINING_IMAGES = 1500
# 8x8x1 -> 8x8x16 -> 4x4x32 -> 1x1x10
FILTERS = [(3, 3, 1, 16), (3, 3, 16, 32), (4, 4, 32, 10)]
SETTINGS = [
    {"stride": 1, "padding": "SAME"},
    {"stride": 2, "padding": "SAME"},
    {"stride": 1, "padding": "VALID"},
]


def filters(seed):
    rng = np.random.default_rng(seed)
    return [
        jnp.asarray(rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape), jnp.float32)
        for shape in FILTERS
    ]


def aligned(feedback, settings):
    """A convolution whose input gradient goes through `feedback` instead of its own filter."""

    def input_grad(g, w, *, input_shape):
        return jconv.conv_input_grad(g, feedback, input_shape=input_shape, **settings)

    return jconv.custom_conv(input_grad=input_grad, **settings)


def true(_, settings):
    return jconv.custom_conv(**settings)


def frozen(_, settings):
    """A convolution that learns nothing: its filter gradient is zero."""
    return jconv.custom_conv(
        filter_grad=lambda x, g, *, filter_shape: jnp.zeros(filter_shape), **settings
    )


def network(make, feedbacks):
    """The logits and the loss of a network made of such convolutions."""
    layers = [make(f, s) for f, s in zip(feedbacks[:-1], SETTINGS[:-1], strict=True)]
    last = true if make is frozen else make
    layers.append(last(feedbacks[-1], SETTINGS[-1]))

    def logits(params, x):
        for layer, w in zip(layers[:-1], params, strict=False):
            x = jax.nn.relu(layer(x, w))
        return layers[-1](x, params[-1])[:, 0, 0, :]

    def loss(params, x, labels):
        values = logits(params, x)
        return optax.softmax_cross_entropy_with_integer_labels(values, labels).mean()

    return logits, loss


def angles(grads, references):
    """Degrees between two gradients, for each layer."""
    found = []
    for a, b in zip(grads, references, strict=True):
        cosine = jnp.vdot(a, b) / (jnp.linalg.norm(a) * jnp.linalg.norm(b) + 1e-30)
        found.append(jnp.degrees(jnp.arccos(jnp.clip(cosine, -1, 1))))
    return jnp.stack(found)


def train(name, make, data, steps):
    (train_x, train_y), (test_x, test_y) = data
    logits, loss = network(make, filters(1))
    _, true_loss = network(true, filters(1))
    optimizer = optax.sgd(0.02, momentum=0.9)

    @jax.jit
    def step(params, state, x, labels):
        value, grads = jax.value_and_grad(loss)(params, x, labels)
        off = angles(grads, jax.grad(true_loss)(params, x, labels))
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, value, off

    # Small filters to start from: what is learned soon outweighs them.
    params = [0.3 * w for w in filters(0)]
    shuffle = np.random.default_rng(1)
    state, history = optimizer.init(params), []
    for _ in range(steps):
        chosen = shuffle.choice(len(train_x), BATCH, replace=False)
        params, state, value, off = step(params, state, train_x[chosen], train_y[chosen])
        history.append([value, *off])
    accuracy = float((jax.jit(logits)(params, test_x).argmax(-1) == test_y).mean())
    history = np.asarray(history)
    print(
        f"{name:20s} loss {history[0, 0]:.3f} -> {smooth(history[:, 0])[-1]:.3f}   "
        f"accuracy on unseen digits {accuracy:.1%}",
        flush=True,
    )
    return history, accuracy


def picture(path, histories):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for name, (history, accuracy) in histories.items():
        left.semilogy(smooth(history[:, 0]), label=f"{name}: {accuracy:.1%} of unseen digits")
    history, _ = histories["feedback alignment"]
    for layer in range(len(FILTERS)):
        right.plot(smooth(history[:, layer + 1]), label=f"layer {layer + 1}")
    right.axhline(90, color="gray", linewidth=0.8, linestyle=":")
    right.text(0, 100, "above the line it leads uphill", color="gray", fontsize=8)
    left.set(xlabel="step", ylabel="loss")
    left.set_title("training")
    right.set(xlabel="step", ylabel="degrees", ylim=(-5, 108))
    right.set_title("feedback alignment: angle to the true gradient")
    left.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.86), frameon=False)
    right.legend(fontsize=8, frameon=False)
    partial = path.with_name(path.name + ".partial")
    figure.savefig(partial, format="png", dpi=120)
    partial.replace(path)


def smooth(values):
    width = max(len(values) // 20, 1)
    return np.convolve(values, np.ones(width) / width, "valid")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400, help="training steps (default 400)")
    parser.add_argument("--picture", type=Path, default=Path("feedback_alignment.png"))
    arguments = parser.parse_args()

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x = (digits.images[order, :, :, None] / 16).astype(np.float32)
    labels = digits.target[order].astype(np.int32)
    cut = TRAINING_IMAGES
    data = (x[:cut], labels[:cut]), (x[cut:], labels[cut:])

    ways = {"true backprop": true, "feedback alignment": aligned, "last layer alone": frozen}
    histories = {name: train(name, make, data, arguments.steps) for name, make in ways.items()}
    history, _ = histories["feedback alignment"]
    smallest = [smooth(history[:, layer + 1]).min() for layer in range(len(FILTERS))]
    words = ", ".join(f"layer {n}: {angle:.0f}" for n, angle in enumerate(smallest, start=1))
    print(f"feedback alignment's smallest angle to the true gradient, in degrees: {words}")
    picture(arguments.picture, histories)
    print(f"picture: {arguments.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
