"""Ten small models: the legs are the same wherever accelerate stands, and so are the gradients."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jconv

Model = tuple[Callable[..., jax.Array], Any, jax.Array]  # loss(params, x), params, x
NHWC = ("NHWC", "HWIO", "NHWC")


def library(name: str) -> Any:
    pytest.importorskip(name, reason=f"{name} is missing: install the extra `adoption`")
    return importlib.import_module(name)


def draw(*shape: int) -> jax.Array:
    values = np.random.default_rng(len(shape)).normal(size=shape)
    return jnp.asarray(values, jnp.float32)


def linen(net: Any, *shape: int) -> Model:
    x = draw(*shape)
    return lambda params, x: jnp.mean(net.apply(params, x) ** 2), net.init(jax.random.key(0), x), x


def linen_resnet() -> Model:
    nn = library("flax.linen")

    class Block(nn.Module):
        features: int
        stride: int

        @nn.compact
        def __call__(self, x):
            y = nn.Conv(self.features, (3, 3), self.stride, use_bias=False)(x)
            y = nn.Conv(self.features, (3, 3), use_bias=False)(nn.relu(nn.GroupNorm(2)(y)))
            return nn.relu(nn.GroupNorm(2)(y) + nn.Conv(self.features, (1, 1), self.stride)(x))

    net = nn.Sequential([nn.Conv(4, (7, 7), 2, padding=3), Block(4, 1), Block(8, 2), Block(8, 2)])
    return linen(net, 2, 16, 16, 3)


def linen_unet() -> Model:
    nn = library("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            a = nn.relu(nn.Conv(4, (3, 3))(x))
            b = nn.relu(nn.Conv(8, (3, 3))(nn.avg_pool(a, (2, 2), (2, 2))))
            up = nn.ConvTranspose(4, (2, 2), strides=(2, 2))(b)
            return nn.Conv(1, (1, 1))(nn.relu(nn.Conv(4, (3, 3))(jnp.concatenate([a, up], -1))))

    return linen(Net(), 2, 12, 12, 3)


def linen_mobile() -> Model:
    nn = library("flax.linen")

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            y = nn.relu(nn.Conv(12, (1, 1))(x))
            y = nn.relu(nn.Conv(12, (3, 3), feature_group_count=12)(y))
            return x + nn.Conv(x.shape[-1], (1, 1))(y)

    return linen(nn.Sequential([nn.Conv(6, (3, 3), 2), nn.remat(Block)(), Block()]), 2, 14, 14, 3)


def linen_wavenet() -> Model:
    nn = library("flax.linen")
    layers = [nn.Conv(6, (2,), kernel_dilation=2**n, padding="CAUSAL") for n in range(4)]
    return linen(nn.Sequential([part for layer in layers for part in (layer, nn.tanh)]), 2, 40, 6)


def nnx_cnn() -> Model:
    nnx = library("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs)
            self.grouped = nnx.Conv(8, 8, (3, 3), feature_group_count=2, rngs=rngs)
            self.last = nnx.ConvTranspose(8, 4, (3, 3), strides=2, rngs=rngs)

        def __call__(self, x):
            return self.last(nnx.relu(self.grouped(nnx.relu(self.first(x)))))

    graph, state = nnx.split(Net(nnx.Rngs(0)))
    return lambda state, x: jnp.mean(nnx.merge(graph, state)(x) ** 2), state, draw(2, 12, 12, 3)


def equinox_cnn() -> Model:
    eqx = library("equinox")
    keys = jax.random.split(jax.random.key(0), 4)
    net = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(3, 6, 3, stride=2, padding=1, key=keys[0]),
            eqx.nn.Conv2d(6, 6, 3, padding=1, groups=3, key=keys[1]),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.Conv2d(6, 8, 3, dilation=2, padding=2, key=keys[2]),
            eqx.nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1, key=keys[3]),
        ]
    )
    arrays, rest = eqx.partition(net, eqx.is_array)

    def loss(arrays, x):
        return jnp.mean(jax.vmap(eqx.combine(arrays, rest))(x) ** 2)

    return loss, arrays, draw(2, 3, 12, 12)


def haiku_cnn() -> Model:
    hk = library("haiku")

    def net(x):
        x = jax.nn.relu(hk.Conv2D(6, 3, stride=2)(x))
        x = jax.nn.relu(hk.DepthwiseConv2D(2, 3)(x))
        return hk.Conv2DTranspose(3, 3, stride=2)(x)

    model = hk.without_apply_rng(hk.transform(net))
    x = draw(2, 12, 12, 3)
    params = model.init(jax.random.key(0), x)
    return lambda params, x: jnp.mean(model.apply(params, x) ** 2), params, x


def haiku_channels_first() -> Model:
    hk = library("haiku")

    def net(x):
        x = jax.nn.relu(hk.Conv3D(4, 3, data_format="NCDHW")(x))
        return hk.Conv3D(4, 3, stride=2, padding="VALID", data_format="NCDHW")(x)

    model = hk.without_apply_rng(hk.transform(net))
    x = draw(1, 2, 6, 7, 6)
    params = model.init(jax.random.key(0), x)
    return lambda params, x: jnp.mean(model.apply(params, x) ** 2), params, x


def lax_channels_first() -> Model:
    def loss(params, x):
        for w in params:
            x = lax.conv(jnp.tanh(x), w, (1, 1), "SAME")
        return jnp.mean(
            lax.reduce_window(x, 0.0, lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID") ** 2
        )

    return loss, [draw(6, 3, 3, 3), draw(6, 6, 1, 1), draw(4, 6, 5, 5)], draw(2, 3, 12, 12)


def lax_ensemble() -> Model:
    """A model for each of three seeds, by vmap, its layers repeated by scan."""

    def member(params, x):
        def layer(x, w):
            y = lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=NHWC)
            return jnp.tanh(y), None

        return lax.scan(layer, x, params)[0]

    def loss(params, x):
        return jnp.mean(jax.vmap(member, (0, None))(params, x) ** 2)

    return loss, draw(3, 2, 3, 3, 4, 4), draw(2, 10, 10, 4)


LEGS_ALONE = [linen_resnet, linen_mobile, linen_wavenet, haiku_cnn, lax_channels_first]
WITH_VALUES = [linen_unet, nnx_cnn, equinox_cnn, haiku_channels_first, lax_ensemble]
MODELS = LEGS_ALONE + WITH_VALUES


def legs(fn: Callable[..., Any], *args: Any) -> list[str]:
    return sorted(repr(plan.problem) for plan in jconv.explain(fn, *args))


def name(model: Any) -> str:
    return model.__name__


@pytest.mark.parametrize("model", MODELS, ids=name)
def test_legs(model):
    loss, params, x = model()
    before = jax.grad(jconv.accelerate(loss), (0, 1))
    after = jconv.accelerate(jax.grad(loss, (0, 1)))
    found = legs(after, params, x)
    assert found == legs(before, params, x)
    assert {"conv", "filter_grad", "input_grad"} <= {text.split("'")[1] for text in found}
    assert "conv_general_dilated" not in str(jax.make_jaxpr(after)(params, x))


@pytest.mark.parametrize(
    "model",
    [*WITH_VALUES, *(pytest.param(model, marks=pytest.mark.slow) for model in LEGS_ALONE)],
    ids=name,
)
def test_gradients(model):
    loss, params, x = model()
    step = jax.grad(loss, (0, 1))
    with jconv.policy("direct"):  # which legs they are is the same, and they compile sooner
        got = jax.jit(jconv.accelerate(step))(params, x)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(jax.jit(step)(params, x)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * float(jnp.max(jnp.abs(b))))
