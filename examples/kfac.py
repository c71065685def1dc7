"""K-FAC for a convolutional network: steps that know the curvature, from `jconv.kfac_factors`.

A layer's Fisher matrix is taken for a Kronecker product of two small ones, of the windows that it
reads and of the gradients of its outputs (Martens and Grosse, 2015; Grosse and Martens, 2016). Each
step multiplies the filter's gradient by the inverses of both. The same network is trained on digits
with K-FAC and with plain momentum, for the same number of steps.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jconv

BATCH, DAMPING, KEPT = 256, 3e-2, 0.9
FILTERS = [(3, 3, 1, 16), (3, 3, 16, 32), (4, 4, 32, 10)]
SETTINGS = [{"stride": 1}, {"stride": 2}, {"padding": "VALID"}]


def start():
    draw = np.random.default_rng(0)
    return [jnp.asarray(draw.normal(0, np.prod(s[:-1]) ** -0.5, s), jnp.float32) for s in FILTERS]


def forward(filters, x, zeros):
    """Logits, and the input of each layer; `zeros` are added to what each convolution returns."""
    inputs = []
    for w, zero, settings in zip(filters, zeros, SETTINGS, strict=True):
        inputs.append(x)
        x = jconv.conv(x, w, **settings) + zero
        x = jnp.tanh(x) if w.shape[-1] != 10 else x
    return x[:, 0, 0], inputs


def statistics(filters, x, labels, key):
    """Loss, gradients, and for each layer its two factors, averaged over the batch.

    The factors use labels that the network itself draws: those give the true Fisher matrix.
    """
    outputs, h = [], x
    for w, settings in zip(filters, SETTINGS, strict=True):
        h = jnp.zeros(jconv.plan(h.shape, w.shape, **settings).y_shape)
        outputs.append(h)

    def losses(filters, zeros):
        logits, inputs = forward(filters, x, zeros)
        drawn = jax.random.categorical(key, jax.lax.stop_gradient(logits))
        entropy = optax.softmax_cross_entropy_with_integer_labels
        return entropy(logits, labels).mean(), entropy(logits, drawn).sum(), inputs

    loss, grads = jax.value_and_grad(lambda f: losses(f, outputs)[0])(filters)
    cotangents, inputs = jax.grad(lambda z: losses(filters, z)[1:], has_aux=True)(outputs)
    factors = []
    for w, a, g, settings in zip(filters, inputs, cotangents, SETTINGS, strict=True):
        first, second = jconv.kfac_factors(a, g, filter_shape=w.shape, **settings)
        places = g.shape[1] * g.shape[2]
        factors.append((first / BATCH, second / (BATCH * places)))
    return loss, grads, factors


def natural(grad, factors):
    """The gradient times the inverse of the Kronecker product, damped."""
    first, second = factors
    share = jnp.sqrt(jnp.trace(first) / len(first) / (jnp.trace(second) / len(second)))
    first = first + jnp.sqrt(DAMPING) * share * jnp.eye(len(first))
    second = second + jnp.sqrt(DAMPING) / share * jnp.eye(len(second))
    flat = grad.reshape(-1, grad.shape[-1])
    return jnp.linalg.solve(first, jnp.linalg.solve(second, flat.T).T).reshape(grad.shape)


def train(name, steps, images, labels):
    filters, key = start(), jax.random.key(0)
    optimizer = optax.sgd(0.05 if name == "K-FAC" else 0.1, momentum=0.9)
    state = optimizer.init(filters)
    kept = [(jnp.eye(int(np.prod(s[:-1]))), jnp.eye(s[-1])) for s in FILTERS]

    @jax.jit
    def step(filters, state, kept, key):
        first, second = jax.random.split(key)
        rows = jax.random.choice(first, 1500, (BATCH,), replace=False)
        loss, grads, factors = statistics(filters, images[rows], labels[rows], second)
        kept = jax.tree.map(lambda old, new: KEPT * old + (1 - KEPT) * new, kept, factors)
        if name == "K-FAC":
            grads = [natural(g, f) for g, f in zip(grads, kept, strict=True)]
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(filters, updates), state, kept, loss

    losses = []
    for number in range(steps):
        filters, state, kept, loss = step(filters, state, kept, jax.random.fold_in(key, number))
        losses.append(float(loss))
    print(f"{name:8} loss {losses[0]:.3f} -> {losses[-1]:.3f} in {steps} steps")
    return losses


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    steps = parser.parse_args().steps
    digits = load_digits()
    images = jnp.asarray(digits.images[..., None] / 16, jnp.float32)
    print(jconv.plan_operation("kfac_factors", (BATCH, 8, 8, 16), FILTERS[1], stride=2))
    for name in ("momentum", "K-FAC"):
        train(name, steps, images, jnp.asarray(digits.target))


if __name__ == "__main__":
    main()
