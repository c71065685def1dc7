"""tf.raw_ops: the operations as TensorFlow's kernels take them, by keywords alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import Array
from jax.typing import ArrayLike

from jconv.compat._arguments import read_array
from jconv.compat.tf import _arguments as common

__all__ = [
    "Conv2D",
    "Conv2DBackpropFilter",
    "Conv2DBackpropInput",
    "Conv3D",
    "Conv3DBackpropFilterV2",
    "Conv3DBackpropInputV2",
    "DepthwiseConv2dNative",
    "DepthwiseConv2dNativeBackpropFilter",
    "DepthwiseConv2dNativeBackpropInput",
]


def Conv2D(
    *,
    input: ArrayLike,
    filter: ArrayLike,
    strides: Sequence[int],
    padding: str,
    use_cudnn_on_gpu: bool = True,
    explicit_paddings: Sequence[int] = (),
    data_format: str = "NHWC",
    dilations: Sequence[int] = (1, 1, 1, 1),
    name: str | None = None,
) -> Array:
    """`tf.raw_ops.Conv2D`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
        >>> Conv2D = jconv.compat.tf.raw_ops.Conv2D
        >>> Conv2D(input=x, filter=w, strides=[1, 2, 2, 1], padding="SAME").shape
        (1, 4, 4, 4)
    """
    return _forward("Conv2D", 2, **locals())


def Conv2DBackpropInput(
    *,
    input_sizes: Sequence[int],
    filter: ArrayLike,
    out_backprop: ArrayLike,
    strides: Sequence[int],
    padding: str,
    use_cudnn_on_gpu: bool = True,
    explicit_paddings: Sequence[int] = (),
    data_format: str = "NHWC",
    dilations: Sequence[int] = (1, 1, 1, 1),
    name: str | None = None,
) -> Array:
    """`tf.raw_ops.Conv2DBackpropInput`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> w, g = jnp.ones((3, 3, 3, 4)), jnp.ones((1, 4, 4, 4))
        >>> back = jconv.compat.tf.raw_ops.Conv2DBackpropInput
        >>> back(input_sizes=[1, 8, 7, 3], filter=w, out_backprop=g, strides=[1, 2, 2, 1],
        ...      padding="SAME").shape
        (1, 8, 7, 3)
    """
    return _input("Conv2DBackpropInput", 2, **locals())


def Conv2DBackpropFilter(
    *,
    input: ArrayLike,
    filter_sizes: Sequence[int],
    out_backprop: ArrayLike,
    strides: Sequence[int],
    padding: str,
    use_cudnn_on_gpu: bool = True,
    explicit_paddings: Sequence[int] = (),
    data_format: str = "NHWC",
    dilations: Sequence[int] = (1, 1, 1, 1),
    name: str | None = None,
) -> Array:
    """`tf.raw_ops.Conv2DBackpropFilter`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, g = jnp.ones((1, 8, 8, 3)), jnp.ones((1, 4, 4, 4))
        >>> back = jconv.compat.tf.raw_ops.Conv2DBackpropFilter
        >>> back(input=x, filter_sizes=[3, 3, 3, 4], out_backprop=g, strides=[1, 2, 2, 1],
        ...      padding="SAME").shape
        (3, 3, 3, 4)
    """
    return _filter("Conv2DBackpropFilter", 2, **locals())


def Conv3D(
    *,
    input: ArrayLike,
    filter: ArrayLike,
    strides: Sequence[int],
    padding: str,
    data_format: str = "NDHWC",
    dilations: Sequence[int] = (1, 1, 1, 1, 1),
    name: str | None = None,
) -> Array:
    """`tf.raw_ops.Conv3D`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 8, 8, 3)), jnp.ones((3, 3, 3, 3, 4))
        >>> Conv3D = jconv.compat.tf.raw_ops.Conv3D
        >>> Conv3D(input=x, filter=w, strides=[1, 1, 2, 2, 1], padding="VALID").shape
        (1, 2, 3, 3, 4)
    """
    return _forward("Conv3D", 3, **locals())


def Conv3DBackpropInputV2(
    *,
    input_sizes: Sequence[int],
    filter: ArrayLike,
    out_backprop: ArrayLike,
    strides: Sequence[int],
    padding: str,
    data_format: str = "NDHWC",
    dilations: Sequence[int] = (1, 1, 1, 1, 1),
    name: str | None = None,
) -> Array:
    """`tf.raw_ops.Conv3DBackpropInputV2`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> w, g = jnp.ones((2, 2, 2, 3, 4)), jnp.ones((1, 2, 2, 2, 4))
        >>> back = jconv.compat.tf.raw_ops.Conv3DBackpropInputV2
        >>> back(input_sizes=[1, 4, 4, 3, 3], filter=w, out_backprop=g,
        ...      strides=[1, 2, 2, 2, 1], padding="SAME").shape
        (1, 4, 4, 3, 3)
    """
    return _input("Conv3DBackpropInputV2", 3, **locals())


def Conv3DBackpropFilterV2(
    *,
    input: ArrayLike,
    filter_sizes: Sequence[int],
    out_backprop: ArrayLike,
    strides: Sequence[int],
    padding: str,
    data_format: str = "NDHWC",
    dilations: Sequence[int] = (1, 1, 1, 1, 1),
    name: str | None = None,
) -> Array:
    """`tf.raw_ops.Conv3DBackpropFilterV2`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, g = jnp.ones((1, 4, 4, 4, 3)), jnp.ones((1, 2, 2, 2, 4))
        >>> back = jconv.compat.tf.raw_ops.Conv3DBackpropFilterV2
        >>> back(input=x, filter_sizes=[2, 2, 2, 3, 4], out_backprop=g,
        ...      strides=[1, 2, 2, 2, 1], padding="SAME").shape
        (2, 2, 2, 3, 4)
    """
    return _filter("Conv3DBackpropFilterV2", 3, **locals())


def DepthwiseConv2dNative(
    *,
    input: ArrayLike,
    filter: ArrayLike,
    strides: Sequence[int],
    padding: str,
    explicit_paddings: Sequence[int] = (),
    data_format: str = "NHWC",
    dilations: Sequence[int] = (1, 1, 1, 1),
    name: str | None = None,
) -> Array:
    """`tf.raw_ops.DepthwiseConv2dNative`: filters (height, width, channels, multiplier).

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 2))
        >>> op = jconv.compat.tf.raw_ops.DepthwiseConv2dNative
        >>> op(input=x, filter=w, strides=[1, 2, 2, 1], padding="SAME").shape
        (1, 4, 4, 6)
    """
    return _forward("DepthwiseConv2dNative", 2, **locals())


def DepthwiseConv2dNativeBackpropInput(
    *,
    input_sizes: Sequence[int],
    filter: ArrayLike,
    out_backprop: ArrayLike,
    strides: Sequence[int],
    padding: str,
    explicit_paddings: Sequence[int] = (),
    data_format: str = "NHWC",
    dilations: Sequence[int] = (1, 1, 1, 1),
    name: str | None = None,
) -> Array:
    """`tf.raw_ops.DepthwiseConv2dNativeBackpropInput`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> w, g = jnp.ones((3, 3, 3, 2)), jnp.ones((1, 4, 4, 6))
        >>> back = jconv.compat.tf.raw_ops.DepthwiseConv2dNativeBackpropInput
        >>> back(input_sizes=[1, 8, 7, 3], filter=w, out_backprop=g, strides=[1, 2, 2, 1],
        ...      padding="SAME").shape
        (1, 8, 7, 3)
    """
    return _input("DepthwiseConv2dNativeBackpropInput", 2, **locals())


def DepthwiseConv2dNativeBackpropFilter(
    *,
    input: ArrayLike,
    filter_sizes: Sequence[int],
    out_backprop: ArrayLike,
    strides: Sequence[int],
    padding: str,
    explicit_paddings: Sequence[int] = (),
    data_format: str = "NHWC",
    dilations: Sequence[int] = (1, 1, 1, 1),
    name: str | None = None,
) -> Array:
    """`tf.raw_ops.DepthwiseConv2dNativeBackpropFilter`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, g = jnp.ones((1, 8, 8, 3)), jnp.ones((1, 4, 4, 6))
        >>> back = jconv.compat.tf.raw_ops.DepthwiseConv2dNativeBackpropFilter
        >>> back(input=x, filter_sizes=[3, 3, 3, 2], out_backprop=g, strides=[1, 2, 2, 1],
        ...      padding="SAME").shape
        (3, 3, 3, 2)
    """
    return _filter("DepthwiseConv2dNativeBackpropFilter", 2, **locals())


def _settings(op: str, rank: int, given: dict[str, Any]) -> dict[str, Any]:
    names = ("strides", "padding", "data_format", "dilations", "explicit_paddings")
    return common.settings(op, rank, *(given.get(name) for name in names), full=True)


def _forward(op: str, rank: int, **given: Any) -> Array:
    x = read_array(op, "input", given["input"], (rank + 2,))
    w = read_array(op, "filter", given["filter"], (rank + 2,))
    run = common.depthwise if op.startswith("Depthwise") else common.forward
    return run(op, x, w, _settings(op, rank, given), given)


def _input(op: str, rank: int, **given: Any) -> Array:
    g = read_array(op, "out_backprop", given["out_backprop"], (rank + 2,))
    w = read_array(op, "filter", given["filter"], (rank + 2,))
    depthwise = op.startswith("Depthwise")
    run = common.depthwise_input_backprop if depthwise else common.input_backprop
    return run(op, g, w, given["input_sizes"], _settings(op, rank, given), given)


def _filter(op: str, rank: int, **given: Any) -> Array:
    x = read_array(op, "input", given["input"], (rank + 2,))
    g = read_array(op, "out_backprop", given["out_backprop"], (rank + 2,))
    depthwise = op.startswith("Depthwise")
    run = common.depthwise_filter_backprop if depthwise else common.filter_backprop
    return run(op, x, g, given["filter_sizes"], _settings(op, rank, given), given)
