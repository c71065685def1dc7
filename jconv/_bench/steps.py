"""A training step of a whole network in JAX with lax or jconv, and in PyTorch."""

from __future__ import annotations

import dataclasses
import importlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jconv
from jconv._bench import contestant_torch
from jconv._bench.nets import NETS, Net, Shape, parameter
from jconv._core.jax_cache import programs_kept
from jconv._support.clock import stopwatch

RATE = 1e-3


@dataclasses.dataclass(frozen=True)
class JaxOperations:
    """Channels last, with the convolutions that it is given."""

    convolve: Callable[..., jax.Array]
    transpose: Callable[..., jax.Array]

    def conv(self, x: jax.Array, w: jax.Array, stride: int, groups: int) -> jax.Array:
        return self.convolve(x, w, stride=stride, pad=w.shape[0] // 2, groups=groups)

    def conv_transpose(self, x: jax.Array, w: jax.Array, stride: int) -> jax.Array:
        return self.transpose(x, w, stride=stride)

    def channels(self, x: jax.Array) -> int:
        return x.shape[-1]

    def normalise(self, x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - mean) * (lax.rsqrt(variance + 1e-5) * scale) + shift

    def relu(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(x)

    def relu6(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu6(x)

    def max_pool(self, x: jax.Array, window: int, stride: int) -> jax.Array:
        pad = (window - 1) // 2
        return lax.reduce_window(
            x,
            -jnp.inf,
            lax.max,
            (1, window, window, 1),
            (1, stride, stride, 1),
            [(0, 0), (pad, pad), (pad, pad), (0, 0)],
        )

    def mean(self, x: jax.Array) -> jax.Array:
        return x.mean((1, 2))

    def concatenate(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.concatenate([x, y], -1)

    def dense(self, x: jax.Array, w: jax.Array) -> jax.Array:
        return x @ w


_NAMES = ("NHWC", "HWIO", "NHWC")


def _lax_conv(x: jax.Array, w: jax.Array, *, stride: int, pad: int, groups: int) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        [(pad, pad)] * 2,
        dimension_numbers=_NAMES,
        feature_group_count=groups,
    )


def _lax_transpose(x: jax.Array, w: jax.Array, *, stride: int) -> jax.Array:
    return lax.conv_transpose(
        x, w, (stride, stride), "VALID", dimension_numbers=_NAMES, transpose_kernel=True
    )


def _jconv_conv(x: jax.Array, w: jax.Array, *, stride: int, pad: int, groups: int) -> jax.Array:
    return jconv.conv(x, w, stride=stride, padding=pad, groups=groups)


def _jconv_transpose(x: jax.Array, w: jax.Array, *, stride: int) -> jax.Array:
    return jconv.conv_transpose(x, w, stride=stride, padding="VALID")


JAX_OPERATIONS = {
    "lax": JaxOperations(_lax_conv, _lax_transpose),
    "jconv": JaxOperations(_jconv_conv, _jconv_transpose),
}


class TorchOperations:
    """Channels first to the eye, in either memory format."""

    def __init__(self) -> None:
        self.torch = importlib.import_module("torch")
        self.functions = self.torch.nn.functional

    def conv(self, x: Any, w: Any, stride: int, groups: int) -> Any:
        return self.functions.conv2d(x, w, None, stride, w.shape[-1] // 2, 1, groups)

    def conv_transpose(self, x: Any, w: Any, stride: int) -> Any:
        return self.functions.conv_transpose2d(x, w, None, stride)

    def channels(self, x: Any) -> int:
        return x.shape[1]

    def normalise(self, x: Any, scale: Any, shift: Any) -> Any:
        return self.functions.batch_norm(x, None, None, scale, shift, True)

    def relu(self, x: Any) -> Any:
        return self.functions.relu(x)

    def relu6(self, x: Any) -> Any:
        return self.functions.relu6(x)

    def max_pool(self, x: Any, window: int, stride: int) -> Any:
        return self.functions.max_pool2d(x, window, stride, (window - 1) // 2)

    def mean(self, x: Any) -> Any:
        return x.mean((2, 3))

    def concatenate(self, x: Any, y: Any) -> Any:
        return self.torch.cat([x, y], 1)

    def dense(self, x: Any, w: Any) -> Any:
        return x @ w


@dataclasses.dataclass(frozen=True)
class Step:
    """A compiled training step on its own batch and parameters.

    Attributes:
        run: takes the step and waits for the end.
        results: the loss and the gradients, filters as HWIO.
        compile_seconds, temporary_bytes: of XLA's program; None without a compiler.
        second_seconds: what a second start takes, which finds the program on disk.
    """

    run: Callable[[], object]
    results: Callable[[], tuple[float, list[np.ndarray]]]
    compile_seconds: float | None = None
    second_seconds: float | None = None
    temporary_bytes: int | None = None


def parameters(name: str) -> list[np.ndarray]:
    """The network's parameters, in the order in which it asks for them."""
    network, batch = NETS[name]
    found: list[np.ndarray] = []

    def take(shape: Shape) -> np.ndarray:
        found.append(parameter(shape, len(found)))
        return found[-1]

    def run(x: jax.Array) -> jax.Array:
        return network(Net(JAX_OPERATIONS["lax"], take), x)

    jax.eval_shape(run, jax.ShapeDtypeStruct(batch, np.float32))
    return found


def batch(name: str) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(NETS[name][1], np.float32)


def jax_step(name: str, host: str) -> Step:
    """A step in JAX, convolutions by lax or by jconv."""
    network, _ = NETS[name]

    def loss(weights: Sequence[jax.Array], x: jax.Array) -> jax.Array:
        rest = iter(weights)
        y = network(Net(JAX_OPERATIONS[host], lambda shape: next(rest)), x)
        return jnp.mean((y - 1) ** 2)

    def step(weights: Sequence[jax.Array], x: jax.Array) -> Any:
        value, grads = jax.value_and_grad(loss)(weights, x)
        return value, grads, [w - RATE * g for w, g in zip(weights, grads, strict=True)]

    arguments = [jnp.asarray(w) for w in parameters(name)], jnp.asarray(batch(name))
    with tempfile.TemporaryDirectory() as folder, programs_kept(folder):
        compiled, seconds = _compiled(step, arguments)
        jax.clear_caches()
        _, again = _compiled(step, arguments)

    def results() -> tuple[float, list[np.ndarray]]:
        value, grads, _ = compiled(*arguments)
        return float(value), [np.asarray(grad) for grad in grads]

    memory = compiled.memory_analysis()
    return Step(
        run=lambda: jax.block_until_ready(compiled(*arguments)),
        results=results,
        compile_seconds=seconds,
        second_seconds=again,
        temporary_bytes=None if memory is None else memory.temp_size_in_bytes,
    )


def _compiled(step: Callable[..., Any], arguments: Sequence[Any]) -> tuple[Any, float]:
    elapsed = stopwatch()
    compiled = jax.jit(step).lower(*arguments).compile()
    return compiled, elapsed()


def torch_step(name: str, threads: int, memory_format: str) -> Step:
    """The same step in PyTorch, eagerly, as it is written there."""
    own = TorchOperations()
    own.torch.set_num_threads(threads)
    network, _ = NETS[name]
    channels_last = memory_format == "torch nhwc"
    x = contestant_torch.to_tensor(batch(name), channels_last)
    weights = []
    for array in parameters(name):
        tensor = (
            contestant_torch.to_tensor(array, channels_last, is_filter=True)
            if array.ndim == 4
            else own.torch.tensor(array)
        )
        weights.append(tensor.requires_grad_())

    def step() -> tuple[Any, Sequence[Any], list[Any]]:
        rest = iter(weights)
        y = network(Net(own, lambda shape: next(rest)), x)
        loss = ((y - 1) ** 2).mean()
        grads = own.torch.autograd.grad(loss, weights)
        with own.torch.no_grad():
            return loss, grads, [w - RATE * g for w, g in zip(weights, grads, strict=True)]

    def results() -> tuple[float, list[np.ndarray]]:
        loss, grads, _ = step()
        return loss.item(), [
            contestant_torch.from_tensor(grad, is_filter=True) if grad.ndim == 4 else grad.numpy()
            for grad in grads
        ]

    return Step(run=step, results=results)
