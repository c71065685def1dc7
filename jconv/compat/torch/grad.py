"""torch.nn.grad: the gradients of conv1d, conv2d and conv3d in their input and their weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import Array
from jax.typing import ArrayLike

from jconv._ops.conv import Ints, conv_filter_grad, conv_input_grad
from jconv.compat._arguments import read_array
from jconv.compat.torch._arguments import run, settings

__all__ = [
    "conv1d_input",
    "conv1d_weight",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_input",
    "conv3d_weight",
]


def conv1d_input(
    input_size: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Array:
    """`torch.nn.grad.conv1d_input`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> w, g = jnp.ones((4, 3, 3)), jnp.ones((1, 4, 4))
        >>> jconv.compat.torch.grad.conv1d_input((1, 3, 8), w, g, stride=2, padding=1).shape
        (1, 3, 8)
    """
    return _input("grad.conv1d_input", 1, **locals())


def conv1d_weight(
    input: ArrayLike,
    weight_size: Sequence[int],
    grad_output: ArrayLike,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Array:
    """`torch.nn.grad.conv1d_weight`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, g = jnp.ones((1, 3, 8)), jnp.ones((1, 4, 4))
        >>> jconv.compat.torch.grad.conv1d_weight(x, (4, 3, 3), g, stride=2, padding=1).shape
        (4, 3, 3)
    """
    return _weight("grad.conv1d_weight", 1, **locals())


def conv2d_input(
    input_size: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Array:
    """`torch.nn.grad.conv2d_input`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> w, g = jnp.ones((4, 3, 3, 3)), jnp.ones((1, 4, 4, 4))
        >>> jconv.compat.torch.grad.conv2d_input((1, 3, 8, 7), w, g, stride=2, padding=1).shape
        (1, 3, 8, 7)
    """
    return _input("grad.conv2d_input", 2, **locals())


def conv2d_weight(
    input: ArrayLike,
    weight_size: Sequence[int],
    grad_output: ArrayLike,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Array:
    """`torch.nn.grad.conv2d_weight`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, g = jnp.ones((1, 3, 8, 8)), jnp.ones((1, 4, 6, 6))
        >>> jconv.compat.torch.grad.conv2d_weight(x, (4, 3, 3, 3), g).shape
        (4, 3, 3, 3)
    """
    return _weight("grad.conv2d_weight", 2, **locals())


def conv3d_input(
    input_size: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Array:
    """`torch.nn.grad.conv3d_input`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> w, g = jnp.ones((4, 3, 2, 2, 2)), jnp.ones((1, 4, 2, 3, 4))
        >>> jconv.compat.torch.grad.conv3d_input((1, 3, 3, 4, 5), w, g).shape
        (1, 3, 3, 4, 5)
    """
    return _input("grad.conv3d_input", 3, **locals())


def conv3d_weight(
    input: ArrayLike,
    weight_size: Sequence[int],
    grad_output: ArrayLike,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Array:
    """`torch.nn.grad.conv3d_weight`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, g = jnp.ones((1, 3, 3, 4, 5)), jnp.ones((1, 4, 2, 3, 4))
        >>> jconv.compat.torch.grad.conv3d_weight(x, (4, 3, 2, 2, 2), g).shape
        (4, 3, 2, 2, 2)
    """
    return _weight("grad.conv3d_weight", 3, **locals())


def _input(
    op: str, rank: int, *, input_size: Any, weight: Any, grad_output: Any, **window: Any
) -> Array:
    w = read_array(op, "weight", weight, (rank + 2,))
    g = read_array(op, "grad_output", grad_output, (rank + 2,))
    given = {"input_size": input_size, "weight": w, "grad_output": g, **window}
    how = settings(op, rank, **window)
    return run(op, conv_input_grad, g, w, given=given, input_shape=input_size, **how)


def _weight(
    op: str, rank: int, *, input: Any, weight_size: Any, grad_output: Any, **window: Any
) -> Array:
    x = read_array(op, "input", input, (rank + 2,))
    g = read_array(op, "grad_output", grad_output, (rank + 2,))
    given = {"input": x, "weight_size": weight_size, "grad_output": g, **window}
    how = settings(op, rank, **window)
    return run(op, conv_filter_grad, x, g, given=given, filter_shape=weight_size, **how)
