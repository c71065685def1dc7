"""ONNX's convolutions: attributes are keywords, inputs are arguments, in ONNX's order.

Channels first at any rank; filters (out, in / group, ...), of ConvTranspose (in, out / group, ...);
`pads` are all the low ones, then all the high ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jconv._check.foreign_errors import same_value, worded
from jconv._check.settings import as_int, entries_of
from jconv._core.geometry import is_static, out_size, smallest_size
from jconv._core.layout import spatial_names
from jconv._ops.conv import conv as _conv
from jconv._ops.conv import conv_transpose as _conv_transpose
from jconv._ops.unfold import fold as _fold
from jconv.compat._arguments import (
    add_bias,
    read_array,
    read_choice,
    read_count,
    read_each,
    wrong,
)

__all__ = ["col2im", "conv", "conv_integer", "conv_transpose"]

Ints = Sequence[int]

_AUTO_PAD = {"NOTSET": None, "SAME_UPPER": "SAME", "SAME_LOWER": "SAME_LOWER", "VALID": "VALID"}
_RANKS = range(3, 12)
_NAMES = {
    "x": "X",
    "w": "W",
    "stride": "strides",
    "padding": "pads",
    "dilation": "dilations",
    "groups": "group",
    "output_padding": "output_padding",
}


def conv(
    X: ArrayLike,
    W: ArrayLike,
    B: ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """ONNX's Conv.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> X, W = jnp.ones((1, 3, 8, 8)), jnp.ones((4, 3, 3, 3))
        >>> jconv.compat.onnx.conv(X, W, pads=[1, 1, 0, 0], strides=[2, 2]).shape
        (1, 4, 4, 4)
    """
    x, w, how = _read("Conv", **locals())
    y = _run("Conv", _conv, x, w, **how)
    return add_bias("Conv", "B", y, B, 1)


def conv_integer(
    x: ArrayLike,
    w: ArrayLike,
    x_zero_point: ArrayLike | None = None,
    w_zero_point: ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """ONNX's ConvInteger: 8-bit integers minus their zero points, summed in int32.

    Padding is zero after the subtraction, so a padded row counts as the zero point.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.full((1, 1, 3, 3), 5, jnp.uint8), jnp.ones((1, 1, 2, 2), jnp.uint8)
        >>> int(jconv.compat.onnx.conv_integer(x, w, jnp.uint8(3))[0, 0, 0, 0])
        8
    """
    given = locals()
    op = "ConvInteger"
    arrays = {"x": x, "w": w, "x_zero_point": x_zero_point, "w_zero_point": w_zero_point}
    for name, array in arrays.items():
        if array is not None and str(getattr(array, "dtype", "")) not in ("int8", "uint8"):
            got = getattr(array, "dtype", type(array).__name__)
            raise wrong(op, name, str(got), "an array of int8 or uint8")
    names = {"x": "x", "w": "w"}
    left, right, how = _read(op, names=names, **given)
    left = _less(op, "x_zero_point", left, x_zero_point, 1)
    right = _less(op, "w_zero_point", right, w_zero_point, right.shape[0])
    return _run(op, _conv, left, right, names=names, **how)


def conv_transpose(
    X: ArrayLike,
    W: ArrayLike,
    B: ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """ONNX's ConvTranspose. `output_shape` is the spatial sizes; pads then follow from it.

    The full result has s * (n - 1) + K + output_padding rows. The rows above output_shape are cut
    off, half of them at each end; an odd row is cut off the end for SAME_UPPER, off the start
    otherwise. Without output_shape, SAME_UPPER and SAME_LOWER make s * n rows.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> X, W = jnp.ones((1, 4, 5, 5)), jnp.ones((4, 3, 3, 3))
        >>> jconv.compat.onnx.conv_transpose(X, W, strides=[2, 2], output_shape=[10, 9]).shape
        (1, 3, 10, 9)
    """
    x, w, how = _read("ConvTranspose", **locals())
    op = "ConvTranspose"
    rank = w.ndim - 2
    extra = _each(op, "output_padding", output_padding, rank, 0)
    full = tuple(
        extra[a]
        + smallest_size(size, w.shape[a + 2], "VALID", s=how["stride"][a], d=how["dilation"][a])
        for a, size in enumerate(x.shape[2:])
    )
    told = None if output_shape is None else _each(op, "output_shape", output_shape, rank, 1)
    rule = how["padding"]
    if told is None and rule in ("SAME", "SAME_LOWER"):
        told = tuple(s * size for s, size in zip(how["stride"], x.shape[2:], strict=True))
    if told is not None:
        excess = [size - wanted for size, wanted in zip(full, told, strict=True)]
        pairs = [(total // 2, total - total // 2) for total in excess]
        how["padding"] = pairs if rule == "SAME" else [(high, low) for low, high in pairs]
    elif rule == "VALID":
        how["padding"] = [(0, 0)] * rank
    # ONNX's output_padding, however large, is less padding at the end.
    how["padding"] = tuple(
        (low, high - more) for (low, high), more in zip(how["padding"], extra, strict=True)
    )
    for a, pair in enumerate(how["padding"]):
        rows = smallest_size(
            x.shape[a + 2], w.shape[a + 2], pair, s=how["stride"][a], d=how["dilation"][a]
        )
        if is_static(rows) and rows < 0:
            raise wrong(op, "pads", pads, "so small that the result has rows")
    y = _run(op, _conv_transpose, x, w, output_padding=0, **how)
    return add_bias(op, "B", y, B, 1)


def col2im(
    input: ArrayLike,
    image_shape: Ints,
    block_shape: Ints,
    *,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """ONNX's Col2Im at any rank: (N, C * taps, windows) to (N, C, image...), overlaps added up.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> jconv.compat.onnx.col2im(jnp.ones((1, 5, 5)), (5, 5), (1, 5)).shape
        (1, 1, 5, 5)
    """
    op = "Col2Im"
    x = read_array(op, "input", input, (3,))
    entries = entries_of(block_shape) or ()
    if not entries:
        raise wrong(op, "block_shape", block_shape, "one size for each spatial axis")
    rank = len(entries)
    taps = _each(op, "block_shape", block_shape, rank, 1)
    sizes = _each(op, "image_shape", image_shape, rank, 1)
    s = _each(op, "strides", strides, rank, 1)
    d = _each(op, "dilations", dilations, rank, 1)
    pairs = _pairs(op, pads, rank)
    windows = [out_size(sizes[a], taps[a], sum(pairs[a]), s=s[a], b=1, d=d[a]) for a in range(rank)]
    count = math.prod(windows)
    if is_static(x.shape[2]) and x.shape[2] != count:
        text = " * ".join(map(str, windows))
        raise wrong(op, "input", x, f"of {text} = {count} windows")
    names = {"patches": "input", "kernel": "block_shape", "input_shape": "image_shape"}
    with worded(op, names, {"input": x, "image_shape": image_shape}, {}):
        return _fold(
            x.reshape(*x.shape[:2], *windows),
            taps,
            input_shape=sizes,
            stride=s,
            padding=pairs,
            dilation=d,
            layout=f"NC{spatial_names(rank)}",
        )


# Common to all of them ------------------------------------------------------------------------


def _read(
    op: str, *, names: dict[str, str] = _NAMES, **given: Any
) -> tuple[Array, Array, dict[str, Any]]:
    """(the input, the filter, jconv's keywords)."""
    w = read_array(op, names["w"], given[names["w"]], _RANKS)
    x = read_array(op, names["x"], given[names["x"]], (w.ndim,))
    rank, pads = w.ndim - 2, given["pads"]
    auto_pad, kernel_shape = given["auto_pad"], given["kernel_shape"]
    if kernel_shape is not None and _each(op, "kernel_shape", kernel_shape, rank, 0) != w.shape[2:]:
        remedies = [("kernel_shape", None)]
        expected = f"{w.shape[2:]}, the filter's own"
        raise wrong(op, "kernel_shape", kernel_shape, expected, remedies=remedies)
    rule = _AUTO_PAD[read_choice(op, "auto_pad", auto_pad, tuple(_AUTO_PAD))]
    if rule is not None and pads is not None and any(entries_of(pads) or ()):
        remedies = [("pads", None), ("auto_pad", "NOTSET")]
        raise wrong(op, "pads", pads, f"left out with auto_pad={auto_pad!r}", remedies=remedies)
    how = {
        "stride": _each(op, "strides", given["strides"], rank, 1),
        "padding": rule or _pairs(op, pads, rank),
        "dilation": _each(op, "dilations", given["dilations"], rank, 1),
        "groups": read_count(op, "group", given["group"]),
        "layout": f"NC{spatial_names(rank)}",
    }
    return x, w, how


def _each(op: str, name: str, value: Any, rank: int, low: int) -> tuple[int, ...]:
    """An attribute with an entry for each spatial axis; `low` for each where it is None."""
    if value is None:
        return (low,) * rank
    if as_int(value) is not None:
        raise wrong(op, name, value, f"a list of {rank}, one for each spatial axis")
    return read_each(op, name, value, rank, low)


def _pairs(op: str, pads: Any, rank: int) -> tuple[tuple[int, int], ...]:
    sides = (0,) * (2 * rank) if pads is None else _each(op, "pads", pads, 2 * rank, 0)
    return tuple(zip(sides[:rank], sides[rank:], strict=True))


def _less(op: str, name: str, array: Array, zero_point: Any, channels: int) -> Array:
    """An array in int32 minus its zero point: one number, or one for each output channel."""
    wide = array.astype(jnp.int32)
    if zero_point is None:
        return wide
    point = jnp.asarray(zero_point).astype(jnp.int32)
    if point.size == 1:
        return wide - point.reshape(())
    if point.shape != (channels,):
        expected = "one number" if channels == 1 else f"one number or {channels}"
        raise wrong(op, name, point, expected)
    return wide - point.reshape(-1, *(1,) * (array.ndim - 1))


def _run(
    op: str,
    function: Callable[..., Array],
    x: Array,
    w: Array,
    *,
    names: dict[str, str] = _NAMES,
    **keywords: Any,
) -> Array:
    names = {**_NAMES, **names}
    given = {names["x"]: x, names["w"]: w, "group": keywords["groups"]}
    with worded(op, names, given, dict.fromkeys(("x", "w", "groups"), same_value)):
        return function(x, w, **keywords)
