"""Export one training step of a strided network with symbolic sizes, and run it at several.

`jax.export` turns a function into one artifact; with symbolic sizes for the batch and the image it
serves them all, without Python and without compiling anything by hand. Through lax's convolution
that fails for the gradient of any stride of 2 or more; jconv's legs take symbolic sizes in every
order of differentiation. The artifact goes through a file here, and each of its steps is compared
with the same step taken directly.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax

import jconv

SIZES = [(8, 16, 16), (4, 33, 20), (1, 47, 64)]


def init(rng):
    shapes = [(5, 5, 1, 8), (3, 3, 8, 16), (3, 3, 16, 4)]
    return [
        jnp.asarray(rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape), jnp.float32)
        for shape in shapes
    ]


def loss(params, x, labels, conv=jconv.conv):
    """Cross-entropy of the mean over what is left of the image, at any size of it."""
    x = jax.nn.relu(conv(x, params[0], stride=2))
    x = jax.nn.relu(conv(x, params[1], stride=3, padding="SAME"))
    logits = conv(x, params[2], stride=2, padding="SAME").mean(axis=(1, 2))
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()


def train_step(params, x, labels):
    value, grads = jax.value_and_grad(loss)(params, x, labels)
    return [w - 0.1 * g for w, g in zip(params, grads, strict=True)], value


def lax_conv(x, w, *, stride, padding="SAME"):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (stride,) * 2, padding, dimension_numbers=dimensions)


def symbolic(params):
    """The step's arguments, described by sizes that are not known yet."""
    b, h, w = export.symbolic_shape("b, h, w")
    shapes = [jax.ShapeDtypeStruct(p.shape, p.dtype) for p in params]
    images = jax.ShapeDtypeStruct((b, h, w, 1), jnp.float32)
    return shapes, images, jax.ShapeDtypeStruct((b,), jnp.int32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3, help="steps at each size (default 3)")
    steps = parser.parse_args().steps
    rng, worst = np.random.default_rng(0), 0.0
    params = init(rng)

    artifact = export.export(jax.jit(train_step))(*symbolic(params))
    print(f"exported a step on images of {artifact.in_avals[-2].shape}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train_step.bin"
        path.write_bytes(artifact.serialize())
        print(f"its file: {path.stat().st_size / 1000:.0f} kB")
        program = export.deserialize(path.read_bytes())

    for size in SIZES:
        x = rng.normal(size=(*size, 1)).astype(np.float32)
        labels = rng.integers(0, 4, size[0]).astype(np.int32)
        here, there = params, params
        for _ in range(steps):
            here, value = jax.jit(train_step)(here, x, labels)
            there, same_value = program.call(there, x, labels)
        pairs = zip([*here, value], [*there, same_value], strict=True)
        off = max(float(jnp.abs(a - b).max()) for a, b in pairs)
        worst = max(worst, off)
        print(f"{size}: loss {value:.4f} after {steps} steps; the artifact is off by {off:.1e}")

    def through_lax(params, x, labels):
        return jax.grad(loss)(params, x, labels, conv=lax_conv)

    try:
        export.export(jax.jit(through_lax))(*symbolic(params))
        print("the same gradient through lax: exported too, by this JAX")
    except Exception as error:  # whatever it is, it is lax's answer
        print(f"the same gradient through lax: {type(error).__name__}: {str(error)[:84]}...")
    agree = worst <= 1e-5
    print("the artifact and the direct step agree" if agree else "THEY DIFFER")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
