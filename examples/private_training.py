"""Differentially private training: gradients clipped one example at a time, without holding them.

DP-SGD (Abadi et al., 2016) clips each example's gradient and adds noise to the sum. What makes it
slow and large is the gradient of every example; `jconv.clipped_grad` needs none of them. Here it is
compared with `vmap` of `grad` for values and memory, and trains a network on digits. The noise
is drawn by optax; how much privacy a noise multiplier buys is for an accounting library to say.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jconv

BATCH, MAX_NORM, NOISE = 128, 1.0, 0.6


def network(params, x):
    x = jnp.tanh(jconv.conv(x, params["first"]) + params["first_bias"])
    x = jnp.tanh(jconv.conv(x, params["second"], stride=2) + params["second_bias"])
    return x.mean((1, 2)) @ params["dense"] + params["dense_bias"]


def loss(params, batch):
    images, labels = batch
    return optax.softmax_cross_entropy_with_integer_labels(network(params, images), labels)


def start():
    draw = np.random.default_rng(0)
    shapes = {"first": (3, 3, 1, 32), "second": (3, 3, 32, 64), "dense": (64, 10)}
    params = {
        name: jnp.asarray(draw.normal(0, np.prod(shape[:-1]) ** -0.5, shape), jnp.float32)
        for name, shape in shapes.items()
    }
    return params | {f"{name}_bias": jnp.zeros(shape[-1]) for name, shape in shapes.items()}


def by_vmap(params, batch):
    """The same sum the usual way: every example's gradient at once."""

    def one(params, example):
        return loss(params, jax.tree.map(lambda a: a[None], example))[0]

    grads = jax.vmap(jax.grad(one), (None, 0))(params, batch)
    norms = jax.vmap(optax.global_norm)(grads)
    weights = jnp.minimum(1, MAX_NORM / norms)
    return jax.tree.map(lambda g: jnp.tensordot(weights, g, 1) / BATCH, grads)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args().steps
    digits = load_digits()
    images = jnp.asarray(digits.images[..., None] / 16, jnp.float32)
    labels = jnp.asarray(digits.target)
    params = start()
    clipped = jconv.clipped_grad(loss, max_norm=MAX_NORM, normalize_by=float(BATCH))

    batch = images[:BATCH], labels[:BATCH]
    for row in clipped.plan(params, batch):
        print(row)
    programs = {
        name: jax.jit(fn).lower(params, batch).compile()
        for name, fn in {"clipped_grad": clipped, "vmap of grad": by_vmap}.items()
    }
    ours, theirs = (program(params, batch) for program in programs.values())
    off = max(
        float(jnp.abs(a - b).max() / jnp.abs(b).max())
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    )
    print(f"off from vmap of grad by {off:.1e} of the largest entry")
    for name, program in programs.items():
        held = program.memory_analysis().temp_size_in_bytes / 1e6
        print(f"{name}: {held:.1f} MB of temporaries")

    optimizer = optax.adam(3e-3)
    state = optimizer.init(params)
    key = jax.random.key(0)

    @jax.jit
    def step(params, state, key):
        drawing, noising = jax.random.split(key)
        rows = jax.random.choice(drawing, 1500, (BATCH,), replace=False)
        batch = images[rows], labels[rows]
        grads = clipped(params, batch)
        noise = optax.tree.random_like(noising, grads)
        grads = jax.tree.map(lambda g, z: g + NOISE * MAX_NORM / BATCH * z, grads, noise)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, loss(params, batch).mean()

    for number in range(steps):
        params, state, value = step(params, state, jax.random.fold_in(key, number))
        if number % max(steps // 5, 1) == 0 or number == steps - 1:
            print(f"step {number:4} loss {value:.3f}")
    right = jnp.mean(network(params, images[1500:]).argmax(-1) == labels[1500:])
    print(f"noise multiplier {NOISE}: {100 * right:.0f}% of unseen digits")


if __name__ == "__main__":
    main()
