"""The grid of exports with symbolic sizes, run by test_export in child processes.

    python tests/helpers/export_grid.py --rank 2 --sample 40 --seed 0

Hundreds of exports in one process have ended in a crash of JAX's own (0.10.2), hence children.
Each job exports one function once and compares the artifact, at several sizes, with the same
function jitted for those sizes: whole numbers, so equality. The jitted function is itself held
to the oracle elsewhere.
"""

import argparse
import itertools
import random
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

import jconv


def jobs(rank):
    paddings = ["SAME", "SAME_LOWER", "VALID", "CAUSAL", [(1, 2)] * rank, [(-1, 2)] * rank]
    grid = itertools.product((1, 2, 3, 4), paddings, (1, 2), (1, 2), FUNCTIONS, (False, True))
    return [
        ({"stride": s, "padding": p, "dilation": d, "groups": g}, name, constrained)
        for s, p, d, g, name, constrained in grid
    ]


def functions(settings):
    def conv(x, w):
        return jconv.conv(x, w, **settings)

    def loss(x, w):
        return jnp.sum(conv(x, w) ** 2)

    def second(argnum):
        def inner(x, w):
            grad = jax.grad(loss, argnum)(x, w)
            return jnp.vdot(grad, (x, w)[argnum])

        return jax.grad(inner, argnum)

    return {
        "conv": conv,
        "grad_x": jax.grad(loss, 0),
        "grad_w": jax.grad(loss, 1),
        "second_x": second(0),
        "second_w": second(1),
        "mixed": lambda x, w: jax.grad(lambda w: jnp.sum(jax.grad(loss, 0)(x, w)))(w),
        "input_grad": lambda x, w: jconv.conv_input_grad(
            conv(x, w), w, input_shape=x.shape, **settings
        ),
        "filter_grad": lambda x, w: jconv.conv_filter_grad(
            x, conv(x, w), filter_shape=w.shape, **settings
        ),
        "transpose": lambda x, w: jconv.conv_transpose(
            conv(x, w), w, output_shape=x.shape, **settings
        ),
        "transpose_default": lambda x, w: jconv.conv_transpose(
            jnp.concatenate([x, x], -1), w, **settings
        ),
        "per_example": lambda x, w: jax.vmap(lambda x: jax.grad(loss, 1)(x[None], w))(x),
    }


FUNCTIONS = tuple(functions({}))


def run(rank, settings, name, constrained):
    groups = settings["groups"]
    rng = np.random.default_rng(0)

    def integers(*shape):
        return jnp.asarray(rng.integers(-2, 3, shape), jnp.float32)

    w = integers(*((3, 2, 2)[:rank]), 2, 4 * groups)
    names = ["b", *"hwd"[:rank]]
    constraints = [f"{name} >= 4" for name in names[1:]] if constrained else []
    symbols = export.symbolic_shape(",".join(names), constraints=constraints)
    f = jax.jit(functions(settings)[name])
    x_aval = jax.ShapeDtypeStruct((*symbols, 2 * groups), jnp.float32)
    exported = export.export(f)(x_aval, jax.ShapeDtypeStruct(w.shape, w.dtype))
    artifact = export.deserialize(exported.serialize())
    for start in (4, 7) if constrained else (1, 5, 8):
        x = integers(start // 3 + 1, *range(start, start + rank), 2 * groups)
        got, expected = artifact.call(x, w), f(x, w)
        assert got.shape == expected.shape, (x.shape, got.shape, expected.shape)
        np.testing.assert_array_equal(got, expected, err_msg=str(x.shape))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--part", default="0/1", help="which of how many equal parts")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    todo = jobs(options.rank)
    random.Random(options.seed).shuffle(todo)
    part, parts = map(int, options.part.split("/"))
    todo = todo[: options.sample][part::parts]
    failed = 0
    for settings, name, constrained in todo:
        try:
            run(options.rank, settings, name, constrained)
        except Exception as error:
            failed += 1
            print(f"FAILED rank {options.rank} {name} {settings} {constrained=}: {error!r:.500}")
    print(f"{len(todo)} jobs, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
