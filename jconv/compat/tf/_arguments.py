"""What TensorFlow's calls have in common: settings for all axes, groups, and the errors' words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from jconv._check.foreign_errors import same_value, worded
from jconv._check.settings import as_int, entries_of
from jconv._core.geometry import is_static
from jconv._ops.conv import conv, conv_filter_grad, conv_input_grad, conv_transpose
from jconv.compat._arguments import CHANNELS_FIRST, CHANNELS_LAST, read_choice, wrong

NAMES = {
    "x": "input",
    "w": "filter",
    "g": "out_backprop",
    "input_shape": "input_sizes",
    "filter_shape": "filter_sizes",
    "stride": "strides",
    "padding": "padding",
    "dilation": "dilations",
}
OF_PUBLIC = {"w": "filters", "g": "input", "input_shape": "output_shape"}
"""What the public functions call these arguments; a transposed operation's input is a g."""


def read_format(op: str, rank: int, data_format: Any) -> str:
    choices = (CHANNELS_LAST[rank], CHANNELS_FIRST[rank])
    return (
        choices[0] if data_format is None else read_choice(op, "data_format", data_format, choices)
    )


def settings(
    op: str,
    rank: int,
    strides: Any,
    padding: Any,
    data_format: Any,
    dilations: Any,
    explicit_paddings: Any = None,
    *,
    stride_name: str = "strides",
    full: bool = False,
    lists: bool = False,
) -> dict[str, Any]:
    """jconv's keywords but for the groups.

    Args:
        full: strides and dilations have an entry for every axis, nothing else (raw_ops).
        lists: `padding` may be a list of [low, high], one for every axis.
    """
    layout = read_format(op, rank, data_format)
    axes = [at for at, letter in enumerate(layout) if letter not in "NC"]
    given = explicit_paddings is not None and len(explicit_paddings) > 0
    if isinstance(padding, str):
        rules = (
            ("SAME", "VALID", "EXPLICIT") if explicit_paddings is not None else ("SAME", "VALID")
        )
        rule = read_choice(op, "padding", padding, rules)
        if given != (rule == "EXPLICIT"):
            expected = f"2 * {rank + 2} numbers with padding='EXPLICIT', nothing with others"
            raise wrong(op, "explicit_paddings", explicit_paddings, expected)
        pads = _explicit(op, axes, explicit_paddings) if given else rule
    elif lists:
        entries = [entries_of(pair) or [pair] for pair in entries_of(padding) or [padding]]
        if any(len(pair) != 2 for pair in entries):
            raise wrong(op, "padding", padding, f"'SAME', 'VALID' or {rank + 2} pairs [low, high]")
        pads = _explicit(op, axes, [side for pair in entries for side in pair], "padding")
    else:
        raise wrong(op, "padding", padding, "'SAME' or 'VALID'")
    return {
        "stride": _of_axes(op, stride_name, strides, axes, full),
        "padding": pads,
        "dilation": _of_axes(op, "dilations", dilations, axes, full),
        "layout": (layout, f"{''.join(layout[at] for at in axes)}IO", layout),
    }


def _explicit(op: str, axes: list[int], flat: Any, name: str = "explicit_paddings") -> Any:
    sides = [as_int(side) for side in flat]
    many = 2 * (len(axes) + 2)
    if len(sides) != many or any(side is None or side < 0 for side in sides):
        pairs = f"{many} whole numbers of 0 or more, low and high of every axis"
        raise wrong(op, name, flat, pairs)
    others = [sides[2 * at : 2 * at + 2] for at in range(len(axes) + 2) if at not in axes]
    if any(side for pair in others for side in pair):
        raise wrong(op, name, flat, "0 for the batch and the channels")
    return tuple((sides[2 * at], sides[2 * at + 1]) for at in axes)


def _of_axes(op: str, name: str, value: Any, axes: list[int], full: bool) -> tuple[int, ...]:
    """One number for each spatial axis, from a number, a number for each, or one for all axes."""
    rank, number = len(axes), as_int(value)
    entries = [number] if number is not None else [as_int(v) for v in entries_of(value) or ()]
    if value is None and not full:
        entries = [1]
    if len(entries) == rank + 2 and all(
        entries[at] == 1 for at in range(rank + 2) if at not in axes
    ):
        numbers = [entries[at] for at in axes]
    elif full:
        numbers = []
    else:
        numbers = entries * rank if len(entries) == 1 else entries
    if len(numbers) != rank or any(v is None or v < 1 for v in numbers):
        short = "" if full else f"a whole number, {rank} of them, or "
        raise wrong(op, name, value, f"{short}{rank + 2} with 1 for the batch and the channels")
    return tuple(v for v in numbers if v is not None)


def channels_of(array: Array, how: dict[str, Any]) -> Any:
    return array.shape[how["layout"][0].index("C")]


def groups_of(op: str, name: str, channels: Any, c: Any, got: Any) -> int:
    """The number of groups: the input's channels over the filter's input channels."""
    if not is_static(channels, c) or c < 1 or channels % c:
        raise wrong(op, name, got, f"input channels that divide the {channels} of the input")
    return max(channels // c, 1)


def run(
    op: str,
    function: Callable[..., Array],
    *arrays: Array,
    given: dict[str, Any],
    names: dict[str, str] | None = None,
    values: dict[str, Callable[[Any], Any]] | None = None,
    **keywords: Any,
) -> Array:
    """One of jconv's operations, its errors in the words of `op`."""
    shapes = ("x", "w", "g", "input_shape", "output_shape", "filter_shape")
    followed = {**dict.fromkeys(shapes, same_value), **(values or {})}
    with worded(op, {**NAMES, **(names or {})}, given, followed):
        return function(*arrays, **keywords)


def forward(op: str, x: Array, w: Array, how: dict[str, Any], given: Any, **named: Any) -> Array:
    name = named.get("names", {}).get("w", NAMES["w"])
    groups = groups_of(op, name, channels_of(x, how), w.shape[-2], w)
    return run(op, conv, x, w, given=given, groups=groups, **named, **how)


def input_backprop(
    op: str, g: Array, w: Array, sizes: Any, how: dict[str, Any], given: Any, **named: Any
) -> Array:
    """The input backprop to `sizes`: a full shape implies the groups, spatial sizes mean one."""
    entries, groups = entries_of(sizes) or (), 1
    if len(entries) == w.ndim:
        channels = as_int(entries[how["layout"][0].index("C")])
        name = named.get("names", {}).get("input_shape", NAMES["input_shape"])
        groups = groups_of(op, name, channels or 0, w.shape[-2], sizes)
    names = named.get("names") or {}
    if not jnp.issubdtype(
        g.dtype, jnp.inexact
    ):  # conv_transpose makes the same sums and takes integers
        told = names.get("input_shape", NAMES["input_shape"])
        named["names"] = {**names, "x": names.get("g", NAMES["g"]), "output_shape": told}
        how = {**how, "output_shape": sizes}
        return run(op, conv_transpose, g, w, given=given, groups=groups, **named, **how)
    return run(
        op, conv_input_grad, g, w, given=given, input_shape=sizes, groups=groups, **named, **how
    )


def filter_backprop(
    op: str, x: Array, g: Array, sizes: Any, how: dict[str, Any], given: Any
) -> Array:
    entries = entries_of(sizes)
    if entries is None or len(entries) != x.ndim:
        raise wrong(op, "filter_sizes", sizes, f"the filter's full shape, {x.ndim} numbers")
    c = as_int(entries[-2]) or 0
    groups = groups_of(op, "filter_sizes", channels_of(x, how), c, sizes)
    return run(op, conv_filter_grad, x, g, given=given, filter_shape=sizes, groups=groups, **how)


# Depthwise filters (H, W, C, M) hold M outputs for each of C channels: (H, W, 1, C*M), C groups.


def depthwise(op: str, x: Array, w: Array, how: dict[str, Any], given: Any, **named: Any) -> Array:
    name = named.get("names", {}).get("w", NAMES["w"])
    *taps, c, multiplier = w.shape
    if c != channels_of(x, how):
        shape = (*taps, channels_of(x, how), multiplier)
        raise wrong(op, name, w, f"{shape}, with the channels of `input`", remedies=[(name, shape)])
    w = w.reshape(*taps, 1, c * multiplier)
    return run(op, conv, x, w, given=given, groups=c, values={"w": _nothing}, **named, **how)


def depthwise_input_backprop(
    op: str, g: Array, w: Array, sizes: Any, how: dict[str, Any], given: Any
) -> Array:
    *taps, c, multiplier = w.shape
    w = w.reshape(*taps, 1, c * multiplier)
    told = {"given": given, "values": {"w": _nothing}}
    return run(op, conv_input_grad, g, w, input_shape=sizes, groups=c, **told, **how)


def depthwise_filter_backprop(
    op: str, x: Array, g: Array, sizes: Any, how: dict[str, Any], given: Any
) -> Array:
    entries = [as_int(size) for size in entries_of(sizes) or ()]
    numbers = [size for size in entries if size is not None and size > 0]
    if len(numbers) != 4 or len(entries) != 4 or numbers[2] != channels_of(x, how):
        raise wrong(op, "filter_sizes", sizes, f"(H, W, {channels_of(x, how)}, multiplier)")
    *taps, c, multiplier = numbers
    shape = (*taps, 1, c * multiplier)
    told = {"given": given, "values": {"filter_shape": _nothing}}
    w = run(op, conv_filter_grad, x, g, filter_shape=shape, groups=c, **told, **how)
    return jnp.reshape(w, (*taps, c, multiplier))


def _nothing(value: Any) -> None:
    """No value: jconv's remedies for a reshaped depthwise filter do not fit the user's own."""
    del value


def flat_batch(array: Array, rank: int) -> tuple[Array, Sequence[Any]]:
    """The array with its leading axes merged into one batch, and their sizes."""
    batch = array.shape[: array.ndim - rank - 1]
    return (
        (array, batch) if len(batch) == 1 else (array.reshape(-1, *array.shape[-rank - 1 :]), batch)
    )
