"""A training step of 3-D segmentation on a volume that no device holds as a whole.

The volume, and every activation of a small U-Net, is split into slabs over the devices. Each
convolution receives the rows that its windows read of the neighbouring slabs, and each filter
gradient is summed over the devices; the code of the network mentions neither. The script compiles
one training step for 1, 2, 4 and 8 devices (simulated ones), prints what XLA sets aside on one
device for temporaries, and compares the gradients with those of one device.
"""

import argparse
import re
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconv

PARTS = [1, 2, 4, 8]
FILTERS = {
    "first": (3, 3, 3, 1, 16),
    "down": (3, 3, 3, 16, 32),
    "bottom": (3, 3, 3, 32, 32),
    "up": (2, 2, 2, 16, 32),  # of the convolution that the way up is the adjoint of
    "last": (3, 3, 3, 32, 16),
    "classes": (1, 1, 1, 16, 1),
}


def init(rng):
    return {
        name: jnp.asarray(rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape), jnp.float32)
        for name, shape in FILTERS.items()
    }


def network(params, x):
    """A score for each voxel, positive where it belongs to the ball.

    The activation is smooth: relu has a step in its slope, where the rounding of a sum decides.
    """
    fine = jax.nn.silu(jconv.conv(x, params["first"]))
    coarse = jax.nn.silu(jconv.conv(fine, params["down"], stride=2))
    coarse = jax.nn.silu(jconv.conv(coarse, params["bottom"]))
    up = jconv.conv_transpose(coarse, params["up"], stride=2, output_shape=fine.shape[1:-1])
    both = jnp.concatenate([fine, jax.nn.silu(up)], axis=-1)
    return jconv.conv(jax.nn.silu(jconv.conv(both, params["last"])), params["classes"])


def loss(params, x, wanted):
    score = network(params, x)
    return jnp.mean(jax.nn.softplus(score) - wanted * score)


def train_step(params, x, wanted):
    value, grads = jax.value_and_grad(loss)(params, x, wanted)
    return {name: w - 0.3 * grads[name] for name, w in params.items()}, value, grads


def slab(index, shape, *, noisy):
    """The part of the volume that `index` names: a ball, with noise over it or without."""
    sides = [np.arange(n)[i] for i, n in zip(index[1:4], shape[1:4], strict=True)]
    z, y, x = np.meshgrid(
        *(2 * s / n - 1 for s, n in zip(sides, shape[1:4], strict=True)), indexing="ij"
    )
    part = ((z - 0.2) ** 2 + (y - 0.1) ** 2 + x**2 < 0.3).astype(np.float32)
    if noisy:
        noise = [np.random.default_rng([1, row]).normal(size=shape[2:4]) for row in sides[0]]
        part += 0.8 * np.asarray(noise, np.float32)
    return part[None, ..., None]


def volume(shape, sharding):
    """The image and the wanted segmentation; every device's part is made by itself."""
    return tuple(
        jax.make_array_from_callback(
            shape, sharding, lambda index, noisy=noisy: slab(index, shape, noisy=noisy)
        )
        for noisy in (True, False)
    )


def collectives(text):
    names = ("all-gather", "all-to-all", "all-reduce", "collective-permute")
    return {name: len(re.findall(rf" {name}(?:-start)?\(", text)) for name in names}


def on_devices(parts, shape, params, steps):
    """Temporaries in bytes, collectives, gradients of the first step, and the losses."""
    mesh = jax.make_mesh(
        (parts,), ("depth",), axis_types=(AxisType.Auto,), devices=jax.devices()[:parts]
    )
    x, wanted = volume(shape, NamedSharding(mesh, P(None, "depth")))
    params = jax.device_put(params, NamedSharding(mesh, P()))
    step = jax.jit(train_step).lower(params, x, wanted).compile()
    held = x.addressable_shards[0].data.shape
    losses, first = [], None
    for _ in range(steps):
        params, value, grads = step(params, x, wanted)
        losses.append(float(value))  # waits for the step
        first = jax.tree.map(np.asarray, grads) if first is None else first
    temporaries = step.memory_analysis().temp_size_in_bytes
    return temporaries, collectives(step.as_text()), first, losses, held


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="voxels on a side (default 32)")
    parser.add_argument("--steps", type=int, default=3, help="training steps (default 3)")
    parser.add_argument(
        "--parts", type=int, nargs="+", default=PARTS, help="numbers of parts (default 1 2 4 8)"
    )
    options = parser.parse_args()
    jax.config.update(
        "jax_num_cpu_devices", max(options.parts)
    )  # before anything starts the backend
    shape = (1, *(options.size,) * 3, 1)
    params = init(np.random.default_rng(0))
    print(f"a volume of {shape[1:4]} voxels, {options.steps} steps")
    before, alone, fine = None, None, True
    for parts in options.parts:
        start = time.perf_counter()
        found = on_devices(parts, shape, params, options.steps)
        temporaries, counted, grads, losses, held = found
        alone = alone or grads
        off = max(
            float(np.abs(grads[name] - alone[name]).max() / np.abs(alone[name]).max())
            for name in grads
        )
        print(
            f"{parts} parts: each holds {held[1:4]}, {temporaries / 1e6:6.1f} MB of temporaries, "
            f"loss {losses[0]:.4f} -> {losses[-1]:.4f}, gradients off by {off:.0e} of the largest"
        )
        print("   ", ", ".join(f"{n} {name}" for name, n in counted.items()), end="")
        print(f"; {time.perf_counter() - start:.1f} s", flush=True)
        fine = fine and off <= 1e-5 and (before is None or temporaries < before)
        before = temporaries
    words = "temporaries fall as the parts do, and the gradients agree"
    print(words if fine else "NOT AS IT SHOULD BE")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
