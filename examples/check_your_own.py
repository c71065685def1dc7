"""Test your own convolution: a right one, and one with a bug that the kit names.

Both are written with NumPy-style slices of `jax.numpy` and given their backward pass by
`jax.custom_vjp`, as a hand-written kernel would be. `jconv.testing.check_conformance` holds each
against an oracle in whole numbers, where there is one right answer and no tolerance, and prints
what is wrong, the smallest case that shows it, and the likeliest cause.
"""

import argparse
import functools
import sys
import time

import jax
import jax.numpy as jnp

from jconv.testing import CASES, check_conformance, check_grads


def wide(array):
    """What to sum in: a draft of this file summed in bfloat16, and the kit said so."""
    return jnp.promote_types(array.dtype, jnp.float32)


def forward(x, w, stride):
    """A VALID convolution of one spatial axis: a matrix product for each tap of the filter."""
    rows = max((x.shape[1] - w.shape[0]) // stride + 1, 0)
    y = jnp.zeros((x.shape[0], rows, w.shape[2]), wide(x))
    for tap in range(w.shape[0]):
        seen = x[:, tap : tap + stride * rows : stride][:, :rows]
        y += jnp.einsum("noc,cf->nof", seen.astype(y.dtype), w[tap].astype(y.dtype))
    return y.astype(x.dtype)


def filter_grad(x, g, taps, stride):
    """Each tap's gradient is a product of what the tap saw and the cotangent."""
    rows = g.shape[1]
    w = jnp.zeros((taps, x.shape[2], g.shape[2]), wide(x))
    for tap in range(taps):
        seen = x[:, tap : tap + stride * rows : stride][:, :rows]
        w = w.at[tap].set(jnp.einsum("noc,nof->cf", seen.astype(w.dtype), g.astype(w.dtype)))
    return w.astype(x.dtype)


def input_grad(g, w, size, stride):
    """The cotangent spread to every row that it came from."""
    x = jnp.zeros((g.shape[0], size, w.shape[1]), wide(g))
    for tap in range(w.shape[0]):
        rows = tap + stride * jnp.arange(g.shape[1])
        x = x.at[:, rows].add(jnp.einsum("nof,cf->noc", g.astype(x.dtype), w[tap].astype(x.dtype)))
    return x.astype(g.dtype)


def input_grad_without_remainder(g, w, size, stride):
    """The same, spread from the end: right wherever the stride leaves no row over."""
    reached = stride * (g.shape[1] - 1) + w.shape[0] if g.shape[1] else size
    x = input_grad(g, w, reached, stride)
    return jnp.pad(x, [(0, 0), (size - reached, 0), (0, 0)])


def with_backward_pass(input_leg):
    """A convolution of jconv's signature that refuses whatever it was not written for."""

    @functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
    def run(x, w, stride):
        return forward(x, w, stride)

    def run_forward(x, w, stride):
        return forward(x, w, stride), (x, w)

    def run_backward(stride, residuals, g):
        x, w = residuals
        x_grad = input_leg(g, w, x.shape[1], stride)
        return x_grad, filter_grad(x, g, w.shape[0], stride)

    run.defvjp(run_forward, run_backward)

    def conv(x, w, *, stride=1, padding="SAME"):
        if x.ndim != 3 or padding != "VALID":
            raise NotImplementedError("one spatial axis and padding='VALID' only")
        return run(x, w, stride if isinstance(stride, int) else stride[0])

    return conv


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="leave the transformations out")
    properties = ["values", "complex", "derivatives", "rounding"]
    if not parser.parse_args().short:
        properties.append("transformations")
    # Only cases that it does not refuse, so that each property has some.
    mine = [c for c in CASES if c.rank == 1 and c.kwargs.get("padding") == "VALID"]

    print("--- a right one")
    start = time.perf_counter()
    right = with_backward_pass(input_grad)
    report = check_conformance(right, cases=mine, properties=properties)
    print(report)
    check_grads(
        lambda x, w: right(x, w, stride=2, padding="VALID"),
        (jnp.ones((2, 8, 3)), jnp.ones((3, 3, 4))),
        modes=["rev"],
    )
    print(f"check_grads found nothing either; {time.perf_counter() - start:.1f} s")

    print("\n--- one with a bug in its backward pass")
    wrong = with_backward_pass(input_grad_without_remainder)
    found = check_conformance(wrong, cases=mine, properties=properties)
    print(found)
    return 0 if report.ok and found.cause == "remainder dropped" else 1


if __name__ == "__main__":
    sys.exit(main())
