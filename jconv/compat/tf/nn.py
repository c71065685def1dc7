"""tf.nn: the public convolutions of TensorFlow 2. `name` is taken and means nothing here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import Array
from jax.typing import ArrayLike

from jconv._core.geometry import same
from jconv.compat._arguments import read_array, read_count, wrong
from jconv.compat.tf import _arguments as common

__all__ = [
    "atrous_conv2d",
    "conv1d",
    "conv1d_transpose",
    "conv2d",
    "conv2d_transpose",
    "conv3d",
    "conv3d_transpose",
    "depthwise_conv2d",
    "separable_conv2d",
]

Ints = int | Sequence[int]
Padding = str | Sequence[Sequence[int]]


def conv1d(
    input: ArrayLike,
    filters: ArrayLike,
    stride: Ints,
    padding: str,
    data_format: str = "NWC",
    dilations: Ints | None = None,
    name: str | None = None,
) -> Array:
    """`tf.nn.conv1d`.

    Example:
        >>> import jax.numpy as jnp, jconv
        >>> jconv.compat.tf.nn.conv1d(jnp.ones((1, 8, 3)), jnp.ones((3, 3, 4)), 2, "SAME").shape
        (1, 4, 4)
    """
    how = common.settings(
        "conv1d", 1, stride, padding, data_format, dilations, stride_name="stride"
    )
    return _conv("conv1d", input, filters, how, {**locals()})


def conv2d(
    input: ArrayLike,
    filters: ArrayLike,
    strides: Ints,
    padding: Padding,
    data_format: str = "NHWC",
    dilations: Ints | None = None,
    name: str | None = None,
) -> Array:
    """`tf.nn.conv2d`.

    Example:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
        >>> jconv.compat.tf.nn.conv2d(x, w, 2, [[0, 0], [1, 0], [0, 1], [0, 0]]).shape
        (1, 4, 4, 4)
    """
    how = common.settings("conv2d", 2, strides, padding, data_format, dilations, lists=True)
    return _conv("conv2d", input, filters, how, {**locals()})


def conv3d(
    input: ArrayLike,
    filters: ArrayLike,
    strides: Ints,
    padding: str,
    data_format: str = "NDHWC",
    dilations: Ints | None = None,
    name: str | None = None,
) -> Array:
    """`tf.nn.conv3d`.

    Example:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 8, 8, 3)), jnp.ones((3, 3, 3, 3, 4))
        >>> jconv.compat.tf.nn.conv3d(x, w, [1, 1, 2, 2, 1], "SAME").shape
        (1, 4, 4, 4, 4)
    """
    how = common.settings("conv3d", 3, strides, padding, data_format, dilations)
    return _conv("conv3d", input, filters, how, {**locals()})


def conv1d_transpose(
    input: ArrayLike,
    filters: ArrayLike,
    output_shape: Sequence[int],
    strides: Ints,
    padding: str = "SAME",
    data_format: str = "NWC",
    dilations: Ints | None = None,
    name: str | None = None,
) -> Array:
    """`tf.nn.conv1d_transpose`: filters (width, out, in), output_shape the full shape.

    Example:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 3)), jnp.ones((3, 5, 3))
        >>> jconv.compat.tf.nn.conv1d_transpose(x, w, (1, 7, 5), 2).shape
        (1, 7, 5)
    """
    how = common.settings("conv1d_transpose", 1, strides, padding, data_format, dilations)
    return _transpose("conv1d_transpose", input, filters, output_shape, how, {**locals()})


def conv2d_transpose(
    input: ArrayLike,
    filters: ArrayLike,
    output_shape: Sequence[int],
    strides: Ints,
    padding: Padding = "SAME",
    data_format: str = "NHWC",
    dilations: Ints | None = None,
    name: str | None = None,
) -> Array:
    """`tf.nn.conv2d_transpose`: filters (height, width, out, in), output_shape the full shape.

    Example:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 5, 3))
        >>> jconv.compat.tf.nn.conv2d_transpose(x, w, (1, 7, 8, 5), 2).shape
        (1, 7, 8, 5)
    """
    op = "conv2d_transpose"
    how = common.settings(op, 2, strides, padding, data_format, dilations, lists=True)
    return _transpose(op, input, filters, output_shape, how, {**locals()})


def conv3d_transpose(
    input: ArrayLike,
    filters: ArrayLike,
    output_shape: Sequence[int],
    strides: Ints,
    padding: str = "SAME",
    data_format: str = "NDHWC",
    dilations: Ints | None = None,
    name: str | None = None,
) -> Array:
    """`tf.nn.conv3d_transpose`: filters (..., out, in), output_shape the full shape.

    Example:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 2, 2, 2, 3)), jnp.ones((2, 2, 2, 5, 3))
        >>> jconv.compat.tf.nn.conv3d_transpose(x, w, (1, 4, 4, 3, 5), 2).shape
        (1, 4, 4, 3, 5)
    """
    how = common.settings("conv3d_transpose", 3, strides, padding, data_format, dilations)
    return _transpose("conv3d_transpose", input, filters, output_shape, how, {**locals()})


def atrous_conv2d(
    value: ArrayLike, filters: ArrayLike, rate: int, padding: str, name: str | None = None
) -> Array:
    """`tf.nn.atrous_conv2d`: channels last, one dilation for both axes.

    Example:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
        >>> jconv.compat.tf.nn.atrous_conv2d(x, w, 2, "VALID").shape
        (1, 4, 4, 4)
    """
    op = "atrous_conv2d"
    how = common.settings(op, 2, 1, padding, "NHWC", read_count(op, "rate", rate))
    return _conv(op, value, filters, how, {**locals()}, {"x": "value", "dilation": "rate"})


def depthwise_conv2d(
    input: ArrayLike,
    filter: ArrayLike,
    strides: Ints,
    padding: Padding,
    data_format: str | None = None,
    dilations: Ints | None = None,
    name: str | None = None,
) -> Array:
    """`tf.nn.depthwise_conv2d`: filter (height, width, channels, multiplier).

    Example:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 2))
        >>> jconv.compat.tf.nn.depthwise_conv2d(x, w, [1, 2, 2, 1], "SAME").shape
        (1, 4, 4, 6)
    """
    return _depthwise("depthwise_conv2d", "filter", filter, **_rest(locals()))


def separable_conv2d(
    input: ArrayLike,
    depthwise_filter: ArrayLike,
    pointwise_filter: ArrayLike,
    strides: Ints,
    padding: Padding,
    data_format: str | None = None,
    dilations: Ints | None = None,
    name: str | None = None,
) -> Array:
    """`tf.nn.separable_conv2d`: a depthwise convolution, then one of 1x1 over its channels.

    Example:
        >>> import jax.numpy as jnp, jconv
        >>> x, d, p = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 2)), jnp.ones((1, 1, 6, 4))
        >>> jconv.compat.tf.nn.separable_conv2d(x, d, p, [1, 2, 2, 1], "SAME").shape
        (1, 4, 4, 4)
    """
    op = "separable_conv2d"
    given = _rest(locals())
    y = _depthwise(op, "depthwise_filter", depthwise_filter, **given)
    w = read_array(op, "pointwise_filter", pointwise_filter, (4,))
    how = common.settings(op, 2, 1, "VALID", data_format, 1)
    c = common.channels_of(y, how)
    if not (w.shape[:2] == (1, 1) and same(w.shape[2], c)):
        raise wrong(op, "pointwise_filter", w, f"(1, 1, {c}, outputs)")
    return common.run(op, common.conv, y, w, given={}, names={"w": "pointwise_filter"}, **how)


def _rest(given: dict[str, Any]) -> dict[str, Any]:
    names = ("input", "strides", "padding", "data_format", "dilations")
    return {name: given[name] for name in names}


def _depthwise(
    op: str, name: str, filter: Any, input: Any, strides: Any, padding: Any, **more: Any
) -> Array:
    x = read_array(op, "input", input, (4,))
    w = read_array(op, name, filter, (4,))
    how = common.settings(
        op, 2, strides, padding, more["data_format"], more["dilations"], lists=True
    )
    if max(how["dilation"]) > 1 and max(how["stride"]) > 1:
        remedies = [("dilations", None), ("strides", [1, 1, 1, 1])]
        expected = "1 where strides are larger than 1"
        raise wrong(op, "dilations", more["dilations"], expected, remedies=remedies)
    return common.depthwise(op, x, w, how, {"input": x, name: w, **more}, names={"w": name})


def _conv(
    op: str,
    input: Any,
    filters: Any,
    how: dict[str, Any],
    given: dict[str, Any],
    names: dict[str, str] | None = None,
) -> Array:
    names = {
        **common.OF_PUBLIC,
        "stride": "stride" if op == "conv1d" else "strides",
        **(names or {}),
    }
    rank = len(how["stride"])
    ranks = range(rank + 2, 9) if op != "atrous_conv2d" else (4,)
    x = read_array(op, names.get("x", "input"), input, ranks)
    w = read_array(op, "filters", filters, (rank + 2,))
    x, batch = common.flat_batch(x, rank)
    y = common.forward(op, x, w, how, given, names=names)
    return y if len(batch) == 1 else y.reshape(*batch, *y.shape[1:])


def _transpose(
    op: str, input: Any, filters: Any, output_shape: Any, how: dict[str, Any], given: dict[str, Any]
) -> Array:
    rank = len(how["stride"])
    g = read_array(op, "input", input, (rank + 2,))
    w = read_array(op, "filters", filters, (rank + 2,))
    return common.input_backprop(op, g, w, output_shape, how, given, names=common.OF_PUBLIC)
