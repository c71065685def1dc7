"""A small U-Net on images of odd sizes: every way up is told the size of its way down.

An encoder with stride 2 takes 45 rows to 23 and 23 to 12; a transposed convolution that doubles
would come back with 46. Here each one is given the encoder's own shape as `output_shape`, so that
the skip connection fits, whatever the image's size. The task is to find discs among noise and
lines; the trained network is then run on images of other sizes.
"""

import argparse
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax

import jconv

matplotlib.use("Agg")
from matplotlib import pyplot as plt

SIZE = (45, 37)
BATCH = 16
WIDTHS = (8, 16, 32)


def init(rng):
    """Filters for three levels down and two up; a transposed one is that of its convolution."""
    first, middle, deep = WIDTHS
    shapes = {
        "first": (3, 3, 1, first),
        "down1": (3, 3, first, middle),
        "down2": (3, 3, middle, deep),
        "up2": (3, 3, middle, deep),  # deep -> middle
        "merge2": (3, 3, 2 * middle, middle),
        "up1": (3, 3, first, middle),  # middle -> first
        "merge1": (3, 3, 2 * first, first),
        "last": (1, 1, first, 1),
    }
    scale = {name: (2 / np.prod(shape[:-1])) ** 0.5 for name, shape in shapes.items()}
    return {
        name: jnp.asarray(rng.normal(0, scale[name], shape), jnp.float32)
        for name, shape in shapes.items()
    }


def unet(params, x):
    """One logit for each pixel."""

    def up(name, x, encoder):
        # Any size that the encoder took to x's is one that its transpose can come back to.
        y = jconv.conv_transpose(x, params[name], stride=2, output_shape=encoder.shape)
        return jnp.concatenate([jax.nn.relu(y), encoder], axis=-1)

    level0 = jax.nn.relu(jconv.conv(x, params["first"]))
    level1 = jax.nn.relu(jconv.conv(level0, params["down1"], stride=2))
    level2 = jax.nn.relu(jconv.conv(level1, params["down2"], stride=2))
    y = jax.nn.relu(jconv.conv(up("up2", level2, level1), params["merge2"]))
    y = jax.nn.relu(jconv.conv(up("up1", y, level0), params["merge1"]))
    return jconv.conv(y, params["last"])


def images(rng, count, size):
    """Discs to be found, lines and noise that are not them: (images, masks)."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    pictures = rng.normal(0, 0.35, (count, *size))
    masks = np.zeros((count, *size), bool)
    for picture, mask in zip(pictures, masks, strict=True):
        for _ in range(rng.integers(1, 4)):
            row, column, radius = (rng.uniform(0, n) for n in (*size, 5))
            mask |= (rows - row) ** 2 + (columns - column) ** 2 < (radius + 3) ** 2
        picture[mask] += 1
        picture[rng.integers(size[0])] += 1
        picture[:, rng.integers(size[1])] += 1
    return pictures[..., None].astype(np.float32), masks[..., None]


def overlap(logits, masks):
    """Intersection over union of what was found with what is there."""
    found = np.asarray(logits) > 0
    return (found & masks).sum() / (found | masks).sum()


def train(params, rng, steps):
    optimizer = optax.adam(3e-3)

    def loss(params, x, mask):
        return optax.sigmoid_binary_cross_entropy(unet(params, x), mask).mean()

    @jax.jit
    def step(params, state, x, mask):
        value, grads = jax.value_and_grad(loss)(params, x, mask.astype(x.dtype))
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    state, start = optimizer.init(params), time.perf_counter()
    for number in range(1, steps + 1):
        params, state, value = step(params, state, *images(rng, BATCH, SIZE))
        if number == 1 or number % 50 == 0 or number == steps:
            elapsed = time.perf_counter() - start
            print(f"step {number:4d} of {steps}   loss {value:.4f}   {elapsed:.1f} s", flush=True)
    return params


def picture(path, found):
    """One column for each size: the image, what is to be found, and what was."""
    ratios = [x.shape[1] / x.shape[0] for x, _, _ in found]
    figure, axes = plt.subplots(
        3, len(found), figsize=(7.5, 7), layout="constrained", width_ratios=ratios
    )
    for column, (x, mask, logits) in zip(axes.T, found, strict=True):
        size = f"{x.shape[0]} x {x.shape[1]}"
        panels = [(x, f"image, {size}"), (mask, "discs"), (logits > 0, "found")]
        for axis, (panel, title) in zip(column, panels, strict=True):
            axis.imshow(np.asarray(panel)[..., 0], cmap="gray")
            axis.set_title(title, fontsize=10)
            axis.set_axis_off()
    partial = path.with_name(path.name + ".partial")
    figure.savefig(partial, format="png", dpi=120)
    partial.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=250, help="training steps (default 250)")
    parser.add_argument("--picture", type=Path, default=Path("unet_odd_sizes.png"))
    arguments = parser.parse_args()

    shapes = [(1, *SIZE, WIDTHS[0]), (1, 23, 19, WIDTHS[1])]
    w = (3, 3, WIDTHS[0], WIDTHS[1])
    print(f"an encoder's {shapes[0]} with stride 2: {jconv.plan(shapes[0], w, stride=2).y_shape}")
    doubled = jconv.plan_transpose(shapes[1], w, stride=2).y_shape
    told = jconv.plan_transpose(shapes[1], w, stride=2, output_shape=SIZE).y_shape
    print(f"back without being told: {doubled}; with output_shape: {told}")

    params = train(init(np.random.default_rng(2)), np.random.default_rng(0), arguments.steps)
    found = []
    rng = np.random.default_rng(1)
    for size in (SIZE, (46, 38), (61, 83)):
        x, masks = images(rng, 8, size)
        logits = jax.jit(unet)(params, x)
        print(f"on unseen images of {size}: overlap {overlap(logits, masks):.1%}")
        shown = masks.sum((1, 2, 3)).argmax()
        found.append((x[shown], masks[shown], logits[shown]))
    picture(arguments.picture, found)
    print(f"picture: {arguments.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
