"""keras.ops' convolutions, which are the same on every backend of Keras.

Kernels are (spatial..., in / groups, out) in both data formats, (spatial..., out, in) for
conv_transpose and (spatial..., channels, multiplier) for the depthwise ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax import Array
from jax.typing import ArrayLike

from jconv._check.foreign_errors import same_value, worded
from jconv._check.settings import as_int, entries_of
from jconv._core.geometry import differ, is_static, out_size, same, smallest_size, span
from jconv._ops.conv import conv as _conv
from jconv._ops.conv import conv_transpose as _conv_transpose
from jconv.compat._arguments import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    read_array,
    read_choice,
    read_each,
    wrong,
)

__all__ = ["conv", "conv_transpose", "depthwise_conv", "separable_conv"]

Ints = int | Sequence[int]

_NAMES = {
    "x": "inputs",
    "w": "kernel",
    "stride": "strides",
    "padding": "padding",
    "dilation": "dilation_rate",
}


def conv(
    inputs: ArrayLike,
    kernel: ArrayLike,
    strides: Ints = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Ints = 1,
) -> Array:
    """`keras.ops.conv`: groups follow from the channels; an empty result is an error.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
        >>> jconv.compat.keras.conv(x, w, strides=2, padding="same").shape
        (1, 4, 4, 4)
    """
    x, w, how = _read("conv", "kernel", **locals())
    op = "conv"
    channels, c = x.shape[how["layout"][0].index("C")], w.shape[-2]
    if not is_static(channels, c) or c < 1 or channels % c:
        raise wrong(op, "kernel", w, f"input channels that divide the {channels} of `inputs`")
    spatial = _spatial(x, how["layout"][0])
    if how["padding"] == "VALID":
        sizes = [
            out_size(size, w.shape[a], 0, s=how["stride"][a], b=1, d=how["dilation"][a])
            for a, size in enumerate(spatial)
        ]
        if any(same(size, 0) for size in sizes):
            remedies = [("padding", "same")]
            raise wrong(op, "inputs", x, "no smaller than the dilated kernel", remedies=remedies)
    return _run(op, _conv, x, w, groups=max(channels // c, 1), **how)


def depthwise_conv(
    inputs: ArrayLike,
    kernel: ArrayLike,
    strides: Ints = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Ints = 1,
) -> Array:
    """`keras.ops.depthwise_conv`: kernel (spatial..., channels, multiplier).

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 2))
        >>> jconv.compat.keras.depthwise_conv(x, w, padding="same").shape
        (1, 8, 8, 6)
    """
    return _depthwise("depthwise_conv", "kernel", **locals())


def separable_conv(
    inputs: ArrayLike,
    depthwise_kernel: ArrayLike,
    pointwise_kernel: ArrayLike,
    strides: Ints = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Ints = 1,
) -> Array:
    """`keras.ops.separable_conv`: a depthwise convolution, then one over its channels.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, d, p = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 2)), jnp.ones((1, 1, 6, 4))
        >>> jconv.compat.keras.separable_conv(x, d, p, strides=2).shape
        (1, 3, 3, 4)
    """
    given = locals()
    op, name = "separable_conv", "pointwise_kernel"
    y = _depthwise(op, "depthwise_kernel", **given)
    pointwise = {"inputs": y, "strides": 1, "padding": "valid", "dilation_rate": 1}
    y, w, how = _read(op, name, **{**given, **pointwise})
    c = y.shape[how["layout"][0].index("C")]
    rank = w.ndim - 2
    if w.shape[:rank] != (1,) * rank or differ(w.shape[-2], c):
        raise wrong(op, name, w, f"{(*(1,) * rank, c)} and the outputs")
    return _run(op, _conv, y, w, names={"w": name}, **how)


def conv_transpose(
    inputs: ArrayLike,
    kernel: ArrayLike,
    strides: Ints = 1,
    padding: str = "valid",
    output_padding: Ints | None = None,
    data_format: str | None = None,
    dilation_rate: Ints = 1,
) -> Array:
    """`keras.ops.conv_transpose`: kernel (spatial..., out, in).

    With K = dilation * (k - 1) + 1 and n rows of inputs the result has

        valid, None   s * (n - 1) + max(K, s)        valid, p   s * (n - 1) + K + p
        same, None    s * n                          same, p    s * (n - 1) + K % 2 + p

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 5, 3))
        >>> jconv.compat.keras.conv_transpose(x, w, strides=2, padding="same").shape
        (1, 8, 8, 5)
    """
    x, w, how = _read("conv_transpose", "kernel", **locals())
    op = "conv_transpose"
    extra = _output_padding(op, output_padding, w.ndim - 2)
    rule, layout = how.pop("padding"), how["layout"][0]
    if differ(w.shape[-1], x.shape[layout.index("C")]):
        shape = (*w.shape[:-1], x.shape[layout.index("C")])
        raise wrong(op, "kernel", w, f"{shape}, its last the channels of `inputs`")
    pads = tuple(
        _pads(rule, span(w.shape[a], how["dilation"][a]), how["stride"][a], more)
        for a, more in enumerate(extra)
    )
    for a, size in enumerate(_spatial(x, layout)):
        rows = smallest_size(size, w.shape[a], pads[a], s=how["stride"][a], d=how["dilation"][a])
        if is_static(rows) and rows < 0:
            expected = "None, or so large that the result has rows"
            raise wrong(
                op, "output_padding", output_padding, expected, remedies=[("output_padding", None)]
            )
    return _run(op, _conv_transpose, x, w, padding=pads, output_padding=0, **how)


def _spatial(array: Array, layout: str) -> list[Any]:
    return [size for size, axis in zip(array.shape, layout, strict=True) if axis not in "NC"]


def _pads(rule: str, window: int, stride: int, extra: int | None) -> tuple[int, int]:
    """The pads of the convolution whose transpose makes the size that Keras documents.

    That size is s*(n-1) + K - P, which gives P. P is split in halves, an odd row at the end; where
    it is negative, it adds rows at the end that no window reaches.
    """
    if rule == "VALID":
        beyond = max(stride - window, 0) if extra is None else extra
        return 0, -beyond
    total = window - (stride if extra is None else window % 2 + extra)
    low = max(total // 2, 0)
    return low, total - low


def _depthwise(op: str, name: str, **given: Any) -> Array:
    x, w, how = _read(op, name, **given)
    channels = x.shape[how["layout"][0].index("C")]
    *taps, c, multiplier = w.shape
    if differ(c, channels):
        raise wrong(op, name, w, f"{(*taps, channels, multiplier)}, with the channels of `inputs`")
    w = w.reshape(*taps, 1, c * multiplier)
    return _run(op, _conv, x, w, names={"w": name}, groups=c, **how)


def _read(op: str, name: str, **given: Any) -> tuple[Array, Array, dict[str, Any]]:
    """(inputs, the kernel `name`, jconv's keywords)."""
    w = read_array(op, name, given[name], (3, 4, 5))
    x = read_array(op, "inputs", given["inputs"], (w.ndim,))
    rank, rule = w.ndim - 2, given["padding"]
    formats = {"channels_last": CHANNELS_LAST[rank], "channels_first": CHANNELS_FIRST[rank]}
    chosen = "channels_last" if given["data_format"] is None else given["data_format"]
    layout = formats[read_choice(op, "data_format", chosen, tuple(formats))]
    rule = rule.lower() if isinstance(rule, str) else rule
    how = {
        "stride": read_each(op, "strides", given["strides"], rank),
        "padding": read_choice(op, "padding", rule, ("valid", "same")).upper(),
        "dilation": read_each(op, "dilation_rate", given["dilation_rate"], rank),
        "layout": (layout, f"{CHANNELS_LAST[rank][1:-1]}IO", layout),
    }
    return x, w, how


def _output_padding(op: str, value: Any, rank: int) -> tuple[int | None, ...]:
    number, entries = as_int(value), entries_of(value)
    if value is None or number is not None:
        return (number,) * rank
    numbers = tuple(as_int(entry) for entry in entries or ())
    if len(numbers) != rank or None in numbers:
        expected = f"None, a whole number, or {rank} of them"
        raise wrong(op, "output_padding", value, expected, remedies=[("output_padding", None)])
    return numbers


def _run(
    op: str,
    function: Callable[..., Array],
    x: Array,
    w: Array,
    names: dict[str, str] | None = None,
    **keywords: Any,
) -> Array:
    names = {**_NAMES, **(names or {})}
    given = {names["x"]: x, names["w"]: w}
    followed = (
        {"x": same_value} if keywords.get("groups", 1) > 1 else dict.fromkeys("xw", same_value)
    )
    with worded(op, names, given, followed):
        return function(x, w, **keywords)
