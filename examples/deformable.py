"""Deformable convolution in a few lines: where the windows read is learned, too.

A window's tap k reads row i = s*o + d*k - p0 of the input; a deformable convolution (Dai et al.,
2017) adds an offset to that, one for each place and tap, and reads between rows by bilinear
interpolation. With offsets of zero it is the convolution itself. Here an image was shifted before
it was filtered, and the offsets that undo the shift are found by gradient descent.
"""

import argparse
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.ndimage import map_coordinates

import jconv


def deformable_conv(x, w, offsets, *, stride=1, dilation=1):
    """x (N, H, W, C), w (kh, kw, C, O), offsets (N, oh, ow, kh, kw, 2) in rows and columns."""
    plan = jconv.plan(x.shape, w.shape, stride=stride, dilation=dilation)
    rows, columns = (
        stride * jnp.arange(plan.y_shape[1 + axis])[:, None]
        + dilation * jnp.arange(w.shape[axis])
        - plan.padding[axis][0]
        for axis in (0, 1)
    )
    shape = (rows.shape[0], columns.shape[0], *w.shape[:2])
    places = (
        jnp.broadcast_to(rows[:, None, :, None], shape),
        jnp.broadcast_to(columns[:, None], shape),
    )
    places = jnp.moveaxis(jnp.stack(places, axis=-1) + offsets, -1, 1)
    read = functools.partial(map_coordinates, order=1, mode="constant")
    read = jax.vmap(jax.vmap(read, (-1, None), -1))  # over examples, and over channels
    return jnp.einsum("nhwklc,klcf->nhwf", read(x, places), w)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps
    draw = np.random.default_rng(0)
    w = jnp.asarray(draw.standard_normal((3, 3, 2, 4)) / 4, jnp.float32)
    x = jnp.asarray(draw.standard_normal((2, 12, 12, 2)), jnp.float32)
    x = jconv.conv(x, jnp.ones((5, 5, 1, 2)) / 25, groups=2)  # smooth, so that slopes say something
    for settings in ({}, {"stride": 2}, {"dilation": 2}):
        y = jconv.conv(x, w, **settings)
        still = deformable_conv(x, w, jnp.zeros((*y.shape[:3], 3, 3, 2)), **settings)
        print(f"offsets of zero, {settings}: off by {jnp.abs(still - y).max():.1e}")

    wanted = jconv.conv(jnp.roll(x, (1, -1), (1, 2)), w, padding="VALID")

    def loss(shift):
        offsets = jnp.broadcast_to(shift, (2, 12, 12, 3, 3, 2))
        found = deformable_conv(x, w, offsets)[:, 1:-1, 1:-1]
        return jnp.mean((found - wanted)[:, 2:-2, 2:-2] ** 2)

    optimizer = optax.adam(0.05)
    shift = jnp.zeros(2)
    state = optimizer.init(shift)

    @jax.jit
    def step(shift, state):
        value, grad = jax.value_and_grad(loss)(shift)
        updates, state = optimizer.update(grad, state)
        return optax.apply_updates(shift, updates), state, value

    for _ in range(steps):
        shift, state, value = step(shift, state)
    print(f"the image was moved by (1, -1); offsets found: ({shift[0]:.2f}, {shift[1]:.2f})")
    print(f"loss {loss(jnp.zeros(2)):.2e} -> {value:.2e}")


if __name__ == "__main__":
    main()
