"""The demo itself: train, check, measure. The result is one record of plain values."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jconv._demo.network import (
    CONVOLUTIONS,
    LAYERS,
    Params,
    filters,
    forward,
    gradients_by_hand,
    init,
    largest_difference,
    loss,
    settings,
)
from jconv._support.clock import race, stopwatch
from jconv._support.progress import Progress
from jconv._trace.accelerate import accelerate

NEEDED = {"sklearn": "scikit-learn", "optax": "optax", "matplotlib": "matplotlib"}
BATCH, TRAINING_IMAGES, POINTS = 128, 1500, 8
TOLERANCE = 1e-5  # of the largest gradient; both sides are float32 sums in different orders


@dataclasses.dataclass(frozen=True)
class Found:
    """What the demo found.

    Attributes:
        curve: (step, loss, accuracy on unseen digits) at some points of the training.
        seconds: seconds of the training, compilation included.
        difference, largest: the largest difference between explicit gradients and lax's autodiff,
            and the largest gradient.
        times: seconds of a training step in every round, for lax, jconv and accelerate(lax).
        layers: such seconds for each layer alone: its forward pass and both backprops.
        images, labels, guesses: some unseen digits.
    """

    curve: list[tuple[int, float, float]]
    seconds: float
    difference: float
    largest: float
    times: dict[str, list[float]]
    layers: dict[str, dict[str, list[float]]]
    images: np.ndarray
    labels: np.ndarray
    guesses: np.ndarray

    @property
    def agree(self) -> bool:
        return self.difference <= TOLERANCE * self.largest

    @property
    def learned(self) -> bool:
        return self.curve[-1][1] < self.curve[0][1] / 2


def missing() -> list[str]:
    """The packages that the demo needs and that are not installed."""
    return [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]


def run(steps: int, rounds: int) -> Found:
    """Train for `steps` steps, then time `rounds` rounds of each contestant."""
    images, labels = digits()
    train, test = slice(None, TRAINING_IMAGES), slice(TRAINING_IMAGES, None)
    optimizer = importlib.import_module("optax").adam(2e-3)
    elapsed = stopwatch()
    with Progress(steps + len(LAYERS) + 2) as progress:
        params, curve = _train(
            optimizer, (images[train], labels[train]), (images[test], labels[test]), steps, progress
        )
        seconds = elapsed()
        batch = images[:BATCH], labels[:BATCH]
        progress.show("explicit gradients against autodiff")
        difference, largest = _check(batch)
        progress.step()
        progress.show("a training step with lax and with jconv")
        times = _time_steps(optimizer, batch, rounds)
        progress.step()
        layers = _time_layers(rounds, progress)
    shown = slice(TRAINING_IMAGES, TRAINING_IMAGES + 24)
    guesses = forward(params, images[shown])[0].argmax(-1)
    return Found(
        curve=curve,
        seconds=seconds,
        difference=difference,
        largest=largest,
        times=times,
        layers=layers,
        images=np.asarray(images[shown])[..., 0],
        labels=np.asarray(labels[shown]),
        guesses=np.asarray(guesses),
    )


def digits() -> tuple[jax.Array, jax.Array]:
    """The handwritten digits in scikit-learn, images and labels, shuffled by a fixed seed."""
    data = importlib.import_module("sklearn.datasets").load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images = (data.images[order, :, :, None] / 16).astype(np.float32)
    return jnp.asarray(images), jnp.asarray(data.target[order].astype(np.int32))


def training_step(optimizer: Any, convolve: Any) -> Callable[..., Any]:
    """A pure function that takes one training step, its convolutions by `convolve`."""
    apply_updates = importlib.import_module("optax").apply_updates

    def step(params: Params, state: Any, images: jax.Array, labels: jax.Array) -> Any:
        value, grads = jax.value_and_grad(loss)(params, images, labels, convolve)
        updates, state = optimizer.update(grads, state)
        return apply_updates(params, updates), state, value

    return step


def _train(
    optimizer: Any, train: Any, test: Any, steps: int, progress: Progress
) -> tuple[Params, list[tuple[int, float, float]]]:
    step = jax.jit(training_step(optimizer, CONVOLUTIONS["jconv"]))
    accuracy = jax.jit(lambda params: (forward(params, test[0])[0].argmax(-1) == test[1]).mean())
    params = init(0)
    state = optimizer.init(params)
    shuffle = np.random.default_rng(1)
    curve = []
    for number in range(1, steps + 1):
        chosen = shuffle.choice(len(train[0]), BATCH, replace=False)
        params, state, value = step(params, state, train[0][chosen], train[1][chosen])
        if number == 1 or number == steps or number % max(steps // POINTS, 1) == 0:
            curve.append((number, float(value), float(accuracy(params))))
        progress.step()
        progress.show(f"training: loss {curve[-1][1]:.3f}, accuracy {curve[-1][2]:.1%}")
    return params, curve


def _check(batch: Any) -> tuple[float, float]:
    """Compare gradients at untrained parameters; after training they are almost zero."""
    with jax.default_matmul_precision("highest"):
        by_hand = jax.jit(gradients_by_hand)(init(0), *batch)
        by_autodiff = jax.jit(jax.grad(functools.partial(loss, convolve=CONVOLUTIONS["lax"])))
        return largest_difference(by_hand, by_autodiff(init(0), *batch))


def _time_steps(optimizer: Any, batch: Any, rounds: int) -> dict[str, list[float]]:
    steps = {name: training_step(optimizer, c) for name, c in CONVOLUTIONS.items()}
    steps["accelerate(lax)"] = accelerate(steps["lax"])
    params = init(0)
    operands = (params, optimizer.init(params), *batch)
    return race({name: _ready(fn, operands) for name, fn in steps.items()}, rounds=rounds)


def _time_layers(rounds: int, progress: Progress) -> dict[str, dict[str, list[float]]]:
    """Each layer alone: y, and both gradients from a g of its shape."""
    found = {}
    x = jnp.zeros((BATCH, 8, 8, 1))
    for layer, shape in zip(LAYERS, filters(), strict=True):
        progress.show(f"the layer {layer['name']}, with lax and with jconv")
        how = settings(layer)
        x = jax.random.normal(jax.random.key(1), x.shape)
        w = jax.random.normal(jax.random.key(2), shape)
        g = CONVOLUTIONS["lax"](x, w, **how)

        def work(x: jax.Array, w: jax.Array, g: jax.Array, c: Any, how: Any = how) -> Any:
            y, back = jax.vjp(functools.partial(c, **how), x, w)
            return y, back(g)

        runs = {
            name: _ready(functools.partial(work, c=c), (x, w, g))
            for name, c in CONVOLUTIONS.items()
        }
        found[layer["name"]] = race(runs, rounds=rounds)
        x = g
        progress.step()
    return found


def _ready(fn: Callable[..., Any], operands: tuple[Any, ...]) -> Callable[[], object]:
    compiled = jax.jit(fn).lower(*operands).compile()
    return lambda: jax.block_until_ready(compiled(*operands))


def ratio(times: dict[str, list[float]], name: str, against: str = "lax") -> tuple[float, ...]:
    """The median and quartiles of the rounds' ratios: a machine growing slower cancels out."""
    ratios = [a / b for a, b in zip(times[name], times[against], strict=False)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return middle, low, high
