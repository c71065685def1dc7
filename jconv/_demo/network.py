"""The demo's network: once over jconv's operations, once over lax's, once by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._ops.conv import conv, conv_filter_grad, conv_input_grad

IMAGE = (8, 8, 1)
CLASSES = 10

# The same network as in examples/digits.py; plan_chain reads these rows as they stand.
LAYERS: tuple[dict[str, Any], ...] = (
    {"name": "first", "features": 32, "kernel": 3},
    {"name": "depthwise", "features": 32, "kernel": 3, "groups": 32},
    {"name": "pointwise", "features": 64, "kernel": 1},
    {"name": "down", "features": 64, "kernel": 3, "stride": 2},
    {"name": "classes", "features": CLASSES, "kernel": 4, "padding": "VALID"},
)

Params = list[tuple[jax.Array, jax.Array]]
Convolve = Callable[..., jax.Array]


def settings(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer's keywords of `jconv.conv`."""
    return {name: layer[name] for name in ("stride", "padding", "groups") if name in layer}


def filters() -> list[tuple[int, ...]]:
    shapes, channels = [], IMAGE[-1]
    for layer in LAYERS:
        k = layer["kernel"]
        shapes.append((k, k, channels // layer.get("groups", 1), layer["features"]))
        channels = layer["features"]
    return shapes


def init(seed: int) -> Params:
    """A filter and a bias for each layer."""
    keys = jax.random.split(jax.random.key(seed), len(LAYERS))
    scale = jax.nn.initializers.he_normal()
    return [(scale(k, s), jnp.zeros(s[-1])) for k, s in zip(keys, filters(), strict=True)]


def lax_conv(
    x: jax.Array, w: jax.Array, *, stride: int = 1, padding: str = "SAME", groups: int = 1
) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


CONVOLUTIONS: dict[str, Convolve] = {"lax": lax_conv, "jconv": conv}


def forward(
    params: Params, x: jax.Array, convolve: Convolve = conv
) -> tuple[jax.Array, list[jax.Array]]:
    """The logits, and the input of every layer."""
    inputs, y = [], x
    for (w, bias), layer in zip(params, LAYERS, strict=True):
        inputs.append(x)
        y = convolve(x, w, **settings(layer)) + bias
        x = jax.nn.relu(y)
    return y.reshape(len(y), CLASSES), inputs


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)
    return -chosen.mean()


def loss(
    params: Params, images: jax.Array, labels: jax.Array, convolve: Convolve = conv
) -> jax.Array:
    return cross_entropy(forward(params, images, convolve)[0], labels)


def gradients_by_hand(params: Params, images: jax.Array, labels: jax.Array) -> Params:
    """The chain rule, layer by layer, by the two explicit backprops."""
    logits, inputs = forward(params, images)
    g = (jax.nn.softmax(logits) - jax.nn.one_hot(labels, CLASSES)) / len(labels)
    g = g[:, None, None, :]
    grads: Params = []
    for (w, _), layer, x in reversed(list(zip(params, LAYERS, inputs, strict=True))):
        how = settings(layer)
        grads.append((conv_filter_grad(x, g, filter_shape=w.shape, **how), g.sum((0, 1, 2))))
        # x came out of a relu, which lets the gradient through where x is positive.
        g = conv_input_grad(g, w, input_shape=x.shape, **how) * (x > 0)
    return grads[::-1]


def largest_difference(one: Any, other: Any) -> tuple[float, float]:
    """The largest difference between two trees of gradients, and the largest entry of either."""
    pairs: Sequence[Any] = list(zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
    difference = max(float(jnp.abs(a - b).max()) for a, b in pairs)
    return difference, max(float(jnp.abs(b).max()) for _, b in pairs)
