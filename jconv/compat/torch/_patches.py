"""unfold and fold of images: windows as columns, and the sum that takes them back."""

from __future__ import annotations

import math
from typing import Any

from jax import Array
from jax.typing import ArrayLike

from jconv._core.geometry import out_size
from jconv._ops import unfold as _patches
from jconv._ops.conv import Ints
from jconv.compat._arguments import read_array, read_each, wrong
from jconv.compat.torch._arguments import check_rows, run, with_batch


def unfold(
    input: ArrayLike,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Array:
    """`torch.nn.functional.unfold`: (N, C, H, W) to (N, C * taps, windows).

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> jconv.compat.torch.unfold(jnp.ones((1, 3, 8, 8)), 3, stride=2).shape
        (1, 27, 9)
    """
    given = {**locals()}
    op = "unfold"
    x, batched = with_batch(read_array(op, "input", input, (4, 3)), 2)
    taps, how = _settings(op, kernel_size, dilation, padding, stride)
    check_rows(op, _windows(x.shape[2:], taps, how), "the padded `input` is smaller than a window.")
    y = run(op, _patches.unfold, x, given=given, batched=batched, kernel=taps, **how)
    y = y.reshape(*y.shape[:2], math.prod(y.shape[2:]))
    return y if batched else y[0]


def fold(
    input: ArrayLike,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Array:
    """`torch.nn.functional.fold`: (N, C * taps, windows) to (N, C, H, W), overlaps added up.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> jconv.compat.torch.fold(jnp.ones((1, 27, 9)), 7, 3, stride=2).shape
        (1, 3, 7, 7)
    """
    given = {**locals()}
    op = "fold"
    p = read_array(op, "input", input, (3, 2))
    p, batched = (p, True) if p.ndim == 3 else (p[None], False)
    sizes = read_each(op, "output_size", output_size, 2)
    taps, how = _settings(op, kernel_size, dilation, padding, stride)
    rows = _windows(sizes, taps, how)
    check_rows(op, rows, "the padded `output_size` is smaller than a window.")
    if p.shape[2] != math.prod(rows):
        expected = f"of {rows[0]} * {rows[1]} = {math.prod(rows)} windows"
        raise wrong(op, "input", input, expected)
    p = p.reshape(*p.shape[:2], *rows)
    names = {"patches": "input", "input_shape": "output_size", "kernel": "kernel_size"}
    x = run(op, _patches.fold, p, given=given, names=names, kernel=taps, input_shape=sizes, **how)
    return x if batched else x[0]


def _settings(op: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any):
    taps = read_each(op, "kernel_size", kernel_size, 2)
    return taps, {
        "stride": read_each(op, "stride", stride, 2),
        "padding": read_each(op, "padding", padding, 2, low=0),
        "dilation": read_each(op, "dilation", dilation, 2),
        "layout": "NCHW",
    }


def _windows(sizes: Any, taps: Any, how: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(
        out_size(sizes[a], k, 2 * how["padding"][a], s=how["stride"][a], b=1, d=how["dilation"][a])
        for a, k in enumerate(taps)
    )
