"""accelerate on models of the libraries that people have them in: losses as they are written.

Whole numbers, and algorithms that form no other products than lax's: equality to the bit.
"""

from __future__ import annotations

import functools
import importlib
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain import integers

import jconv

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "adoption.md"
X, T = integers((2, 9, 7, 3), 1), integers((2, 10, 8, 4), 2)


def library(name: str) -> Any:
    pytest.importorskip(name, reason=f"{name} is missing: install the extra `adoption`")
    return importlib.import_module(name)


def whole(tree: Any) -> Any:
    """The same arrays with small whole numbers in them."""
    leaves, structure = jax.tree.flatten(tree)
    drawn = [
        jnp.asarray(np.random.default_rng(n).integers(-1, 2, leaf.shape), leaf.dtype)
        if isinstance(leaf, jax.Array)
        else leaf
        for n, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, drawn)


# Each gives a loss of a model and a batch, the model, and what its library takes gradients and
# compiles with.


def linen() -> tuple[Any, ...]:
    nn = library("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(8, (3, 3), strides=2)(x))
            x = nn.relu(nn.Conv(8, (3, 3), feature_group_count=8, padding="CIRCULAR")(x))
            return nn.ConvTranspose(4, (3, 3), strides=(2, 2))(x)

    params = whole(Net().init(jax.random.key(0), X))
    return lambda params, x: jnp.vdot(Net().apply(params, x), T), params, jax.grad, jax.jit


def haiku() -> tuple[Any, ...]:
    hk = library("haiku")

    def net(x):
        x = jax.nn.relu(hk.Conv2D(8, 3, stride=2)(x))
        x = jax.nn.relu(hk.DepthwiseConv2D(1, 3)(x))
        return hk.Conv2DTranspose(4, 3, stride=2)(x)

    model = hk.without_apply_rng(hk.transform(net))
    params = whole(model.init(jax.random.key(0), X))
    return lambda params, x: jnp.vdot(model.apply(params, x), T), params, jax.grad, jax.jit


def equinox() -> tuple[Any, ...]:
    eqx = library("equinox")

    class Net(eqx.Module):
        layers: list
        act: Any

        def __call__(self, x):
            x = jnp.moveaxis(x, -1, 0)
            for layer in self.layers[:-1]:
                x = self.act(layer(x))
            return jnp.moveaxis(self.layers[-1](x), 0, -1)

    keys = jax.random.split(jax.random.key(0), 3)
    layers = [
        eqx.nn.Conv2d(3, 8, 3, stride=2, padding=1, key=keys[0]),
        eqx.nn.Conv2d(8, 8, 3, padding=1, groups=8, key=keys[1]),
        eqx.nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1, key=keys[2]),
    ]

    def loss(model, x):
        return jnp.vdot(jax.vmap(model)(x), T)

    return loss, whole(Net(layers, jax.nn.relu)), eqx.filter_grad, eqx.filter_jit


def nnx_net() -> Any:
    nnx = library("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs)
            self.depthwise = nnx.Conv(8, 8, (3, 3), feature_group_count=8, rngs=rngs)
            self.up = nnx.ConvTranspose(8, 4, (3, 3), strides=(2, 2), rngs=rngs)
            self.norm = nnx.BatchNorm(8, rngs=rngs)
            self.drop = nnx.Dropout(0.25, rngs=rngs)

        def __call__(self, x):
            return self.up(nnx.relu(self.depthwise(nnx.relu(self.first(x)))))

        def with_state(self, x):
            return self.up(self.drop(nnx.relu(self.norm(self.first(x)))))

    return Net(nnx.Rngs(0))


def nnx() -> tuple[Any, ...]:
    flax = library("flax.nnx")
    model = nnx_net()
    flax.update(model, whole(flax.state(model, flax.Param)))
    return lambda model, x: jnp.vdot(model(x), T), model, flax.grad, flax.jit


MODELS = {"linen": linen, "haiku": haiku, "equinox": equinox, "nnx": nnx}


def names(jaxpr: Any) -> set[str]:
    found = set()
    for equation in jaxpr.eqns:
        found.add(equation.primitive.name)
        for value in equation.params.values():
            for entry in value if isinstance(value, tuple | list) else [value]:
                if hasattr(entry, "eqns"):
                    found |= names(getattr(entry, "jaxpr", entry))
    return found


def arrays(tree: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]


def primitives(step: Any, model: Any) -> set[str]:
    """What a step of a model comes to, in terms of JAX's operations."""
    leaves, structure = jax.tree.flatten(model)
    places = [n for n, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]

    def on_arrays(values, x):
        filled = list(leaves)
        for place, value in zip(places, values, strict=True):
            filled[place] = value
        return arrays(step(jax.tree.unflatten(structure, filled), x))

    return names(jax.make_jaxpr(on_arrays)([leaves[place] for place in places], X).jaxpr)


@functools.cache
def made(name: str) -> tuple[Any, ...]:
    loss, model, grad, compiled = MODELS[name]()
    return loss, model, grad, compiled, arrays(grad(loss)(model, X))


@pytest.mark.parametrize("where", ["before", "after", "around jit", "outside of jit"])
@pytest.mark.parametrize("name", MODELS)
def test_a_gradient(name: str, where: str) -> None:
    loss, model, grad, compiled, want = made(name)
    step = {
        "before": lambda: compiled(grad(jconv.accelerate(loss))),
        "after": lambda: compiled(jconv.accelerate(grad(loss))),
        "around jit": lambda: jconv.accelerate(compiled(grad(loss))),
        "outside of jit": lambda: grad(jconv.accelerate(loss)),
    }[where]()
    with jconv.policy("exact"):
        got = arrays(step(model, X))
        found = primitives(step, model)
    assert len(got) == len(want) > 0
    for have, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(have, expected)
    assert any(np.abs(leaf).max() > 1 for leaf in want)
    assert "conv_general_dilated" not in found
    assert {"jconv_conv", "jconv_filter_grad"} <= found


# Modules that change --------------------------------------------------------------------------


def training_steps() -> dict[str, Any]:
    nnx = library("flax.nnx")

    def loss(model, x):
        return jnp.mean((model.with_state(x) - T) ** 2)

    def step(model, x, loss=loss):
        value, grads = nnx.value_and_grad(loss)(model, x)
        old = nnx.state(model, nnx.Param)
        grads = nnx.state(grads, nnx.Param)
        nnx.update(model, jax.tree.map(lambda p, g: p - 1e-2 * g, old, grads))
        return value

    def on_accelerated_loss(model, x):
        return step(model, x, jconv.accelerate(loss))

    return {
        "lax": nnx.jit(step),
        "the loss": nnx.jit(on_accelerated_loss),
        "the loss, outside of jit": on_accelerated_loss,
        "the step": nnx.jit(jconv.accelerate(step)),
        "the compiled step": jconv.accelerate(nnx.jit(step)),
        "the step, outside of jit": jconv.accelerate(step),
    }


def three_steps(step: Any) -> tuple[list[Any], Any]:
    model = nnx_net()
    values = [step(model, X) for _ in range(3)]
    return values, library("flax.nnx").state(model)


def test_modules_keep_their_changes() -> None:
    """Statistics, counters of random keys and parameters, wherever accelerate stands."""
    library("flax.nnx")
    steps = training_steps()
    values, state = three_steps(steps.pop("lax"))
    assert len({float(value) for value in values}) == 3
    for name, step in steps.items():
        got, after = three_steps(step)
        np.testing.assert_allclose(got, values, rtol=1e-5, err_msg=name)
        assert jax.tree.structure(after) == jax.tree.structure(state)
        for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
            if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
                a, b = jax.random.key_data(a), jax.random.key_data(b)
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_module_that_is_not_changed_may_come_from_outside() -> None:
    library("flax.nnx")
    model = nnx_net()

    def loss(x):
        return jnp.sum(jconv.accelerate(lambda model, x: model(x))(model, x))

    want = jax.grad(lambda x: jnp.sum(model(x)))(X)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(X), want, rtol=1e-5, atol=1e-5)


# The page -------------------------------------------------------------------------------------


def test_the_pages_code_runs() -> None:
    for name in ("flax", "equinox", "haiku", "optax"):
        library(name)
    namespace: dict[str, Any] = {"__name__": "page"}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 5
    for number, source in enumerate(blocks, start=1):
        exec(compile(source, f"{PAGE.name}, python block {number}", "exec"), namespace)


def test_the_readme_links_the_page() -> None:
    assert f"](docs/{PAGE.name})" in (ROOT / "README.md").read_text()
