"""Second order: Hessian-vector and Gauss-Newton products through a convolutional network.

Neither matrix is ever formed. H v is the forward derivative of the gradient, "forward over
reverse", which needs convolutions that have a forward mode; G v is one Jacobian-vector product, the
small Hessian of the loss in the logits, and one vector-Jacobian product. On a network small enough,
both are compared with the matrices themselves; then each is used: power iteration finds the largest
curvature, and conjugate gradients with G take one damped Newton step.
"""

import argparse
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from sklearn.datasets import load_digits

import jconv


def init(rng, widths):
    first, second = widths
    shapes = [(3, 3, 1, first), (3, 3, first, second), (4, 4, second, 10)]
    return [
        jnp.asarray(rng.normal(0, (1 / np.prod(shape[:-1])) ** 0.5, shape), jnp.float32)
        for shape in shapes
    ]


def network(params, x):
    x = jnp.tanh(jconv.conv(x, params[0]))
    x = jnp.tanh(jconv.conv(x, params[1], stride=2))
    return jconv.conv(x, params[2], padding="VALID")[:, 0, 0, :]


def cross_entropy(logits, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()


def hessian_product(f, params, v):
    """H v, the change of f's gradient along v."""
    return jax.jvp(jax.grad(f), (params,), (v,))[1]


def gauss_newton_product(model, loss, params, v):
    """J^T L J v: J the network's Jacobian, L the loss's Hessian in the logits."""
    logits, along = jax.jvp(model, (params,), (v,))
    curved = jax.jvp(jax.grad(loss), (logits,), (along,))[1]
    return jax.vjp(model, params)[1](curved)[0]


def of_vectors(params, x, labels):
    """The two products, the loss and the model, as functions of one flat vector."""
    flat, unflatten = ravel_pytree(params)

    def model(p):
        return network(unflatten(p), x)

    def loss(logits):
        return cross_entropy(logits, labels)

    def f(p):
        return loss(model(p))

    def h(v):
        return hessian_product(f, flat, v)

    def g(v):
        return gauss_newton_product(model, loss, flat, v)

    return flat, f, model, loss, h, g


def largest_differences(x, labels):
    """Both products against the matrices that they stand for, relative to their largest entry."""
    flat, f, model, loss, h, g = of_vectors(init(np.random.default_rng(0), (2, 2)), x, labels)
    jacobian = jax.jit(jax.jacfwd(model))(flat)
    curvature = jax.jit(jax.hessian(loss))(model(flat))
    matrices = {
        "Hessian": (h, jax.jit(jax.hessian(f))(flat)),
        "Gauss-Newton": (g, jnp.einsum("nip,nimj,mjq->pq", jacobian, curvature, jacobian)),
    }
    for name, (product, matrix) in matrices.items():
        columns = jax.jit(jax.vmap(product))(jnp.eye(len(flat)))
        off = float(jnp.abs(columns.T - matrix).max() / jnp.abs(matrix).max())
        print(
            f"{name} of {len(flat)} parameters, by products: off by {off:.1e} of its largest entry"
        )
        yield off


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=20, help="of each use (default 20)")
    iterations = parser.parse_args().iterations
    digits = load_digits()
    x = (digits.images[:256, :, :, None] / 16).astype(np.float32)
    labels = digits.target[:256].astype(np.int32)

    with jax.default_matmul_precision("highest"):
        agree = max(largest_differences(x[:16], labels[:16])) < 1e-4

        flat, f, _, _, h, g = of_vectors(init(np.random.default_rng(0), (8, 16)), x, labels)
        gradient = jax.jit(jax.grad(f))
        times = {}
        for name, function in {"gradient": gradient, "H v": jax.jit(h), "G v": jax.jit(g)}.items():
            function(flat).block_until_ready()
            start = time.perf_counter()
            for _ in range(10):
                function(flat).block_until_ready()
            times[name] = (time.perf_counter() - start) / 10
        text = ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in times.items())
        print(f"{len(flat)} parameters, {len(x)} images: {text}")

        v = jax.random.normal(jax.random.key(1), flat.shape)
        for _ in range(iterations):
            v = jax.jit(h)(v / jnp.linalg.norm(v))
        print(f"largest curvature of the loss, by power iteration: {jnp.linalg.norm(v):.3f}")

        damping = 0.1
        step, _ = jax.scipy.sparse.linalg.cg(
            lambda v: g(v) + damping * v, -gradient(flat), maxiter=iterations
        )
        before, after = f(flat), f(flat + step)
        print(f"one damped Gauss-Newton step: loss {before:.3f} -> {after:.3f}")
    print("products and matrices agree" if agree else "THEY DIFFER")
    return 0 if agree and after < before else 1


if __name__ == "__main__":
    sys.exit(main())
