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

ROOT = Path(__file__).parents[2]
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
# compiles with. The layer in the middle is run twice, computed again in the backward pass, by
# what the library has for that.


def linen() -> tuple[Any, ...]:
    nn = library("flax.linen")

    class Middle(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            depthwise = nn.Conv(8, (3, 3), feature_group_count=8, padding="CIRCULAR")
            return nn.relu(depthwise(x)), None

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(8, (3, 3), strides=2)(x))
            axes = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
            x, _ = nn.scan(nn.remat(Middle), length=2, **axes)()(x, None)
            return nn.ConvTranspose(4, (3, 3), strides=(2, 2))(x)

    params = whole(Net().init(jax.random.key(0), X))
    return lambda params, x: jnp.vdot(Net().apply(params, x), T), params, jax.grad, jax.jit


def haiku() -> tuple[Any, ...]:
    hk = library("haiku")

    def middle(x):
        return hk.remat(lambda x: jax.nn.relu(hk.DepthwiseConv2D(1, 3)(x)))(x)

    def net(x):
        x = jax.nn.relu(hk.Conv2D(8, 3, stride=2)(x))
        x = hk.experimental.layer_stack(2)(middle)(x)
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
            first, middle, last = self.layers
            x = self.act(first(jnp.moveaxis(x, -1, 0)))
            for _ in range(2):
                x = self.act(eqx.filter_checkpoint(middle)(x))
            return jnp.moveaxis(last(x), 0, -1)

    keys = jax.random.split(jax.random.key(0), 3)
    layers = [
        eqx.nn.Conv2d(3, 8, 3, stride=2, padding=1, key=keys[0]),
        eqx.nn.Conv2d(8, 8, 3, padding=1, groups=8, key=keys[1]),
        eqx.nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1, key=keys[2]),
    ]

    def loss(model, x):
        return jnp.vdot(jax.vmap(model)(x), T)

    return loss, whole(Net(layers, jax.nn.relu)), eqx.filter_grad, eqx.filter_jit


def nnx_net(**told: Any) -> Any:
    nnx = library("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            @nnx.split_rngs(splits=2)
            @nnx.vmap
            def depthwise(rngs):
                return nnx.Conv(8, 8, (3, 3), feature_group_count=8, rngs=rngs, **told)

            self.first = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs, **told)
            self.middle = depthwise(rngs)
            self.last = nnx.Conv(8, 16, (3, 3), padding="REFLECT", rngs=rngs, **told)
            self.up = nnx.ConvTranspose(8, 4, (3, 3), strides=(2, 2), rngs=rngs)
            self.norm = nnx.BatchNorm(8, rngs=rngs)
            self.drop = nnx.Dropout(0.25, rngs=rngs)

        def below(self, x):
            step = nnx.remat(lambda x, layer: nnx.relu(layer(x)))
            steps = nnx.scan(step, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
            return steps(nnx.relu(self.first(x)), self.middle)

        def __call__(self, x):
            return self.up(self.below(x))

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


# Layers that are told ---------------------------------------------------------------------------


def test_flax_layers_take_the_convolution_itself() -> None:
    """As an argument of theirs: the other way, which needs no accelerate."""
    nnx, nn = library("flax.nnx"), library("flax.linen")
    told = {"conv_general_dilated": jconv.compat.lax.conv_general_dilated}

    def of_nnx(told):
        model = nnx_net(**told)
        nnx.update(model, whole(nnx.state(model, nnx.Param)))
        return lambda model, x: jnp.sum(model.last(model.below(x)) * 2), model, nnx.grad

    def of_linen(told):
        layer = nn.Conv(8, (3, 3), strides=2, kernel_dilation=2, **told)
        params = whole(layer.init(jax.random.key(0), X))
        return lambda params, x: jnp.sum(layer.apply(params, x) * 2), params, jax.grad

    for build in (of_nnx, of_linen):
        loss, model, grad = build({})
        want = arrays(grad(loss)(model, X))
        loss, model, grad = build(told)
        with jconv.policy("exact"):
            got = arrays(grad(loss)(model, X))
            found = primitives(grad(loss), model)
        for have, expected in zip(got, want, strict=True):
            np.testing.assert_array_equal(have, expected)
        assert "conv_general_dilated" not in found
        assert {"jconv_conv", "jconv_filter_grad"} <= found


# Training ---------------------------------------------------------------------------------------


def close(got: Any, want: Any, what: str) -> None:
    for a, b in zip(arrays(got), arrays(want), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=what)


@pytest.mark.parametrize("name", ["linen", "equinox"])
def test_training_with_optax(name: str) -> None:
    """The loss, the step, or the compiled step may be the one that is accelerated."""
    optax = library("optax")
    _, model, grad, compiled = MODELS[name]()
    loss = MODELS[name]()[0]
    scaled = lambda model, x: (loss(model, x) / 1e3) ** 2  # noqa: E731
    optimizer = optax.sgd(1e-4, momentum=0.9)
    is_array = lambda tree: jax.tree.map(lambda v: v if isinstance(v, jax.Array) else None, tree)  # noqa: E731

    def step(model, state, x, loss=scaled):
        updates, state = optimizer.update(grad(loss)(model, x), state)
        plus = lambda u, p: p if u is None else p + u  # noqa: E731
        return jax.tree.map(plus, updates, model, is_leaf=lambda v: v is None), state

    def three(step):
        now, state = model, optimizer.init(is_array(model))
        for _ in range(3):
            now, state = step(now, state, X)
        return now, state

    want = three(compiled(step))
    assert any(np.any(a != b) for a, b in zip(arrays(want[0]), arrays(model), strict=True))
    for what, fn in {
        "loss": compiled(lambda m, s, x: step(m, s, x, jconv.accelerate(scaled))),
        "step": compiled(jconv.accelerate(step)),
        "compiled step": jconv.accelerate(compiled(step)),
    }.items():
        close(three(fn), want, what)


def test_training_with_modules_that_change() -> None:
    """Statistics, random counters, parameters and an optimizer's state, wherever it stands."""
    nnx, optax = library("flax.nnx"), library("optax")

    def loss(model, x):
        return jnp.mean((model.with_state(x) - T) ** 2)

    def step(model, optimizer, x, loss=loss):
        value, grads = nnx.value_and_grad(loss)(model, x)
        optimizer.update(model, grads)
        return value

    def three(step):
        model = nnx_net()
        optimizer = nnx.Optimizer(model, optax.sgd(1e-2, momentum=0.9), wrt=nnx.Param)
        values = [step(model, optimizer, X) for _ in range(3)]
        return values, nnx.state(model), nnx.state(optimizer)

    want = three(nnx.jit(step))
    assert len({float(value) for value in want[0]}) == 3
    for what, fn in {
        "loss": nnx.jit(lambda m, o, x: step(m, o, x, jconv.accelerate(loss))),
        "step": nnx.jit(jconv.accelerate(step)),
        "compiled step": jconv.accelerate(nnx.jit(step)),
        "step outside of jit": jconv.accelerate(step),
    }.items():
        got = three(fn)
        assert jax.tree.structure(got) == jax.tree.structure(want)
        close(got, want, what)


def test_a_module_that_is_not_changed_may_come_from_outside() -> None:
    library("flax.nnx")
    model = nnx_net()

    def run(model, x):
        return jnp.sum(model.up(model.first(x)))

    want = jax.grad(lambda x: run(model, x))(X)
    got = jax.jit(jax.grad(lambda x: jconv.accelerate(run)(model, x)))(X)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


# The benchmark ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [False, True])
def test_the_benchmark_compares_before_it_times(monkeypatch, capsys, wrong: bool) -> None:
    for name in ("flax", "equinox", "haiku", "optax"):
        library(name)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    adoption = importlib.import_module("adoption")
    loss, params, grad, compiled = linen()

    def spoilt(loss):
        return lambda params: loss(jax.tree.map(lambda w: 1.01 * w, params))

    def tiny():
        """A small model."""
        plus = adoption.optax.apply_updates
        return adoption.functional(lambda p: loss(p, X), params, compiled, grad, plus)

    wrappings = {"lax": (adoption.as_it_is,) * 2, "jconv": (jconv.accelerate, adoption.as_it_is)}
    if wrong:
        wrappings["spoilt"] = (spoilt, adoption.as_it_is)
    monkeypatch.setattr(adoption, "CONTESTANTS", wrappings)
    monkeypatch.setitem(adoption.MODELS, "tiny", tiny)
    assert adoption.measure("tiny", 2) is not wrong
    said = capsys.readouterr().out
    assert ("GRADIENTS DIFFER" in said) is wrong
    assert ("of lax's time" in said) is not wrong


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
