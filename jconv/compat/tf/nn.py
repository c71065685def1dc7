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

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> jconv.compat.tf.nn.conv1d(jnp.ones((1, 8, 3)), jnp.ones((3, 3, 4)), 2, "SAME").shape
        (1, 4, 4)
    """
    return _conv("conv1d", 1, names={"stride": "stride"}, **locals())


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

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
        >>> jconv.compat.tf.nn.conv2d(x, w, 2, [[0, 0], [1, 0], [0, 1], [0, 0]]).shape
        (1, 4, 4, 4)
    """
    return _conv("conv2d", 2, **locals())


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

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 8, 8, 3)), jnp.ones((3, 3, 3, 3, 4))
        >>> jconv.compat.tf.nn.conv3d(x, w, [1, 1, 2, 2, 1], "SAME").shape
        (1, 4, 4, 4, 4)
    """
    return _conv("conv3d", 3, **locals())


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

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 3)), jnp.ones((3, 5, 3))
        >>> jconv.compat.tf.nn.conv1d_transpose(x, w, (1, 7, 5), 2).shape
        (1, 7, 5)
    """
    return _transpose("conv1d_transpose", 1, **locals())


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

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 5, 3))
        >>> jconv.compat.tf.nn.conv2d_transpose(x, w, (1, 7, 8, 5), 2).shape
        (1, 7, 8, 5)
    """
    return _transpose("conv2d_transpose", 2, **locals())


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

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 2, 2, 2, 3)), jnp.ones((2, 2, 2, 5, 3))
        >>> jconv.compat.tf.nn.conv3d_transpose(x, w, (1, 4, 4, 3, 5), 2).shape
        (1, 4, 4, 3, 5)
    """
    return _transpose("conv3d_transpose", 3, **locals())


def atrous_conv2d(
    value: ArrayLike, filters: ArrayLike, rate: int, padding: str, name: str | None = None
) -> Array:
    """`tf.nn.atrous_conv2d`: channels last, one dilation for both axes.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
        >>> jconv.compat.tf.nn.atrous_conv2d(x, w, 2, "VALID").shape
        (1, 4, 4, 4)
    """
    given = {**locals(), "strides": 1, "dilations": read_count("atrous_conv2d", "rate", rate)}
    return _conv("atrous_conv2d", 2, names={"x": "value", "dilation": "rate"}, **given)


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

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 2))
        >>> jconv.compat.tf.nn.depthwise_conv2d(x, w, [1, 2, 2, 1], "SAME").shape
        (1, 4, 4, 6)
    """
    return _depthwise("depthwise_conv2d", "filter", **locals())


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

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, d, p = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 2)), jnp.ones((1, 1, 6, 4))
        >>> jconv.compat.tf.nn.separable_conv2d(x, d, p, [1, 2, 2, 1], "SAME").shape
        (1, 4, 4, 4)
    """
    y = _depthwise("separable_conv2d", "depthwise_filter", **locals())
    op = "separable_conv2d"
    w = read_array(op, "pointwise_filter", pointwise_filter, (4,))
    how = common.settings(op, 2, 1, "VALID", data_format, 1)
    c = common.channels_of(y, how)
    if not (w.shape[:2] == (1, 1) and same(w.shape[2], c)):
        raise wrong(op, "pointwise_filter", w, f"(1, 1, {c}, outputs)")
    return common.run(op, common.conv, y, w, given={}, names={"w": "pointwise_filter"}, **how)


def _settings(op: str, rank: int, given: dict[str, Any], stride: str = "strides") -> dict[str, Any]:
    """jconv's keywords; TensorFlow takes lists of pads on two axes, but for atrous_conv2d."""
    how = (given["padding"], given.get("data_format"), given["dilations"])
    lists = rank == 2 and op != "atrous_conv2d"
    return common.settings(op, rank, given[stride], *how, stride_name=stride, lists=lists)


def _depthwise(op: str, filter_name: str, **given: Any) -> Array:
    x = read_array(op, "input", given["input"], (4,))
    w = read_array(op, filter_name, given[filter_name], (4,))
    how = _settings(op, 2, given)
    if max(how["dilation"]) > 1 and max(how["stride"]) > 1:
        remedies = [("dilations", None), ("strides", [1, 1, 1, 1])]
        expected = "1 where strides are larger than 1"
        raise wrong(op, "dilations", given["dilations"], expected, remedies=remedies)
    return common.depthwise(op, x, w, how, given, names={"w": filter_name})


def _conv(op: str, rank: int, *, names: dict[str, str] | None = None, **given: Any) -> Array:
    names = {**common.NAMES, **common.OF_PUBLIC, **(names or {})}
    how = _settings(op, rank, given, names["stride"])
    ranks = range(rank + 2, 9) if op != "atrous_conv2d" else (4,)
    x = read_array(op, names["x"], given[names["x"]], ranks)
    w = read_array(op, "filters", given["filters"], (rank + 2,))
    x, batch = common.flat_batch(x, rank)
    y = common.forward(op, x, w, how, given, names=names)
    return y if len(batch) == 1 else y.reshape(*batch, *y.shape[1:])


def _transpose(op: str, rank: int, **given: Any) -> Array:
    how = _settings(op, rank, given)
    g = read_array(op, "input", given["input"], (rank + 2,))
    w = read_array(op, "filters", given["filters"], (rank + 2,))
    sizes = given["output_shape"]
    return common.input_backprop(op, g, w, sizes, how, given, names=common.OF_PUBLIC)
