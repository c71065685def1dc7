"""Every transformation of every operation equals the same transformation of plain lax.

Operands are small integers and losses are polynomials, so every number is exact in float32 and
the comparison is equality.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from plain import CONFIGURATIONS, integers, operations

import jconv

DEFAULT = ("dense-stride-2", "grouped-dilated-asymmetric")
CASES = [
    pytest.param(name, op, id=f"{name}-{op}", marks=[] if name in DEFAULT else [pytest.mark.slow])
    for name, row in CONFIGURATIONS.items()
    for op in operations(*row)
]


def square(f):
    return lambda a, b: jnp.sum(f(a, b) ** 2)


def along(f, v):
    """The derivative of a scalar function of (a, b) in a along v, as such a function again."""
    return lambda a, b: jnp.vdot(jax.grad(f)(a, b), v)


def scan(f):
    """Losses at a, a + 0, a + 1 and so on, by scan."""
    return lambda a, b: lax.scan(lambda c, s: (c + s, square(f)(c, b)), a, jnp.arange(3.0))[1]


def while_loop(f):
    def run(a, b):
        def body(state):
            count, a, total = state
            return count + 1, a + 1, total + square(f)(a, b)

        return lax.while_loop(lambda state: state[0] < 3, body, (0, a, jnp.zeros(())))[2]

    return run


def tangents(a, b):
    return integers(a.shape, 11), integers(b.shape, 12)


def stacks(a, b):
    return jnp.stack([a, a + 1, 1 - a]), jnp.stack([b, 1 - b, b + 1])


def linear_transpose(f, a, b):
    y = f(a, b)
    c = integers(y.shape, 13)
    in_a = jax.linear_transpose(lambda a: f(a, b), a)(c)
    in_b = jax.linear_transpose(lambda b: f(a, b), b)(c)
    return in_a, in_b


def linearize(f, a, b):
    y, lin = jax.linearize(f, a, b)
    return y, lin(*tangents(a, b))


def nested_vmap(f, a, b):
    a2, b2 = stacks(a, b)
    over_both = jax.vmap(jax.vmap(f, (None, 0)), (0, None))(a2, b2)
    twice = jax.vmap(jax.vmap(f))(jnp.stack([a2, a2]), jnp.stack([b2, 1 - b2]))
    mixed = jax.vmap(jax.vmap(f, (0, None)))(jnp.stack([a2, a2, a2]), b2)
    return over_both, twice, mixed


TRANSFORMATIONS = {
    "value": lambda f, a, b: f(a, b),
    "jit": lambda f, a, b: jax.jit(f)(a, b),
    "grad-a": lambda f, a, b: jax.grad(square(f), 0)(a, b),
    "grad-b": lambda f, a, b: jax.grad(square(f), 1)(a, b),
    "jit-grad-both": lambda f, a, b: jax.jit(jax.grad(square(f), (0, 1)))(a, b),
    "second-order": lambda f, a, b: jax.grad(along(square(f), tangents(a, b)[0]), (0, 1))(a, b),
    "third-order": lambda f, a, b: jax.grad(
        along(along(square(f), tangents(a, b)[0]), integers(a.shape, 14)), (0, 1)
    )(a, b),
    "jvp": lambda f, a, b: jax.jvp(f, (a, b), tangents(a, b)),
    "linearize": linearize,
    "jacfwd": lambda f, a, b: jax.jacfwd(f, 1)(a, b),
    "jacrev": lambda f, a, b: jax.jacrev(f, 1)(a, b),
    "hessian": lambda f, a, b: jax.hessian(square(f), 1)(a, b),
    "forward-over-reverse": lambda f, a, b: jax.jvp(
        jax.grad(square(f), (0, 1)), (a, b), tangents(a, b)
    ),
    "reverse-over-forward": lambda f, a, b: jax.grad(
        lambda a, b: jax.jvp(square(f), (a, b), tangents(a, b))[1], (0, 1)
    )(a, b),
    "linear-transpose": linear_transpose,
    "vmap-a": lambda f, a, b: jax.vmap(f, (0, None))(stacks(a, b)[0], b),
    "vmap-a-last": lambda f, a, b: jax.vmap(f, (-1, None), -1)(
        jnp.moveaxis(stacks(a, b)[0], 0, -1), b
    ),
    "vmap-b": lambda f, a, b: jax.vmap(f, (None, 1))(a, jnp.moveaxis(stacks(a, b)[1], 0, 1)),
    "vmap-both": lambda f, a, b: jax.vmap(f, (0, 2))(
        stacks(a, b)[0], jnp.moveaxis(stacks(a, b)[1], 0, 2)
    ),
    "vmap-nested": nested_vmap,
    "vmap-of-grads": lambda f, a, b: (
        jax.vmap(jax.grad(square(f), (0, 1)), (0, None))(stacks(a, b)[0], b),
        jax.vmap(jax.grad(square(f), (0, 1)), (None, 0))(a, stacks(a, b)[1]),
        jax.vmap(jax.grad(square(f), (0, 1)))(*stacks(a, b)),
    ),
    "grad-of-vmap": lambda f, a, b: jax.grad(lambda a, b: jnp.sum(jax.vmap(f)(a, b) ** 2), (0, 1))(
        *stacks(a, b)
    ),
    "scan": lambda f, a, b: scan(f)(a, b),
    "grad-of-scan": lambda f, a, b: jax.grad(lambda a, b: scan(f)(a, b).sum(), (0, 1))(a, b),
    "jvp-of-while": lambda f, a, b: jax.jvp(while_loop(f), (a, b), tangents(a, b)),
    "checkpoint": lambda f, a, b: jax.grad(square(jax.checkpoint(f)), (0, 1))(a, b),
    "checkpoint-saveable": lambda f, a, b: jax.grad(
        square(jax.checkpoint(lambda a, b: 2 * f(a, b), policy=jconv.convs_saveable)), (0, 1)
    )(a, b),
    "eval-shape": lambda f, a, b: jnp.zeros(jax.eval_shape(jax.grad(square(f), 1), a, b).shape),
}


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize(("name", "op"), CASES)
def test_transformation_equals_lax(name, op, transformation):
    ours, plain, operands = operations(*CONFIGURATIONS[name])[op]
    transform = TRANSFORMATIONS[transformation]
    got, expected = transform(ours, *operands), transform(plain, *operands)
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for have, want in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert have.shape == want.shape
        assert have.dtype == want.dtype
        assert np.abs(want).max() < 2**24, "the comparison is exact only below 2**24"
        np.testing.assert_array_equal(have, want)
