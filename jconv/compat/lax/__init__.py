"""jax.lax's convolutions, with lax's signatures, run by jconv.

    flax.nnx.Conv(3, 8, (3, 3), conv_general_dilated=jconv.compat.lax.conv_general_dilated, ...)

Like the originals they are cross-correlations, channels first unless dimension_numbers say
otherwise. What a gradient holds (a dilated lhs, batch groups, permuted dimension numbers) runs
as the backprop that it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax import lax as _lax
from jax.typing import ArrayLike, DTypeLike

from jconv._check.foreign_errors import same_value, worded
from jconv._core.geometry import span
from jconv._ops.unfold import unfold
from jconv._trace.lax_arguments import (
    read_arrays,
    read_factors,
    read_numbers,
    read_pads,
    read_pairs,
    specs_of,
    wrong,
)
from jconv._trace.lax_call import NAMES, call

ConvDimensionNumbers = _lax.ConvDimensionNumbers
DimensionNumbers = tuple[str, str, str] | ConvDimensionNumbers | None


def conv_general_dilated(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: DimensionNumbers = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: Any = None,
) -> Array:
    """`jax.lax.conv_general_dilated`, argument for argument.

    Raises:
        ConvError: naming lax's own argument.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 3, 8, 8)), jnp.ones((16, 3, 3, 3))
        >>> jconv.compat.lax.conv_general_dilated(x, w, (2, 2), "SAME").shape
        (1, 16, 4, 4)
    """
    return call("conv_general_dilated", **locals())


def conv(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: str,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """`jax.lax.conv`: channels first, a padding by name.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> jconv.compat.lax.conv(jnp.ones((1, 3, 8)), jnp.ones((4, 3, 3)), (2,), "VALID").shape
        (1, 4, 3)
    """
    return call("conv", **locals())


def conv_with_general_padding(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """`jax.lax.conv_with_general_padding`: channels first, with pads and dilations.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 3, 8)), jnp.ones((4, 3, 3))
        >>> jconv.compat.lax.conv_with_general_padding(x, w, (1,), [(2, 0)], None, (2,)).shape
        (1, 4, 6)
    """
    return call("conv_with_general_padding", **locals())


def conv_transpose(
    lhs: ArrayLike,
    rhs: ArrayLike,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: DimensionNumbers = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    use_consistent_padding: bool = False,
) -> Array:
    """`jax.lax.conv_transpose`: a convolution of the dilated lhs, channels last.

    Its strings mean the padding of a forward convolution, its pads those of the transposed one,
    unless use_consistent_padding; the filter is not flipped, unless transpose_kernel.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3, 8))
        >>> jconv.compat.lax.conv_transpose(x, w, (2, 2), "SAME").shape
        (1, 8, 8, 8)
    """
    op = "conv_transpose"
    lhs, rhs = read_arrays(op, lhs, rhs)
    rank = lhs.ndim - 2
    if dimension_numbers is None:
        if rank > 3:
            raise wrong(op, "dimension_numbers", None, "a triple of strings: more than 3 axes")
        axes = ("", "H", "HW", "HWD")[rank]
        dimension_numbers = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    numbers = read_numbers(op, lhs, rhs, dimension_numbers)
    strides = read_factors(op, "strides", strides, rank)
    dilation = read_factors(op, "rhs_dilation", rhs_dilation, rank)
    if padding in ("SAME", "VALID") or (use_consistent_padding and not isinstance(padding, str)):
        named = [padding] * rank if isinstance(padding, str) else read_pairs(op, padding, rank)
        windows = [
            span(rhs.shape[a], d) for a, d in zip(numbers.rhs_spec[2:], dilation, strict=True)
        ]
        padding = [_transposed(k, s, p) for k, s, p in zip(windows, strides, named, strict=True)]
    if transpose_kernel:
        rhs = jnp.swapaxes(_lax.rev(rhs, numbers.rhs_spec[2:]), *numbers.rhs_spec[:2])
    return call(
        op,
        lhs,
        rhs,
        (1,) * rank,
        padding,
        strides,
        dilation,
        numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _transposed(window: Any, stride: int, padding: str | tuple[Any, Any]) -> tuple[Any, Any]:
    """lax's pads of the dilated lhs; with SAME's, one row of lhs makes `stride` rows."""
    if not isinstance(padding, str):
        return window - 1 - padding[0], window - 1 - padding[1]
    if padding == "VALID":
        return window - 1, max(window, stride) - 1
    low = window - 1 if stride > window - 1 else -(-(window + stride - 2) // 2)
    return low, window + stride - 2 - low


def conv_general_dilated_patches(
    lhs: ArrayLike,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: DimensionNumbers = None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """`jax.lax.conv_general_dilated_patches`: the windows, channel by channel, as channels.

    A patch is read, not computed: `precision` rounds nothing.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x = jnp.ones((1, 3, 8, 8))
        >>> jconv.compat.lax.conv_general_dilated_patches(x, (3, 3), (2, 2), "SAME").shape
        (1, 27, 4, 4)
    """
    del precision
    op = "conv_general_dilated_patches"
    (lhs,) = read_arrays(op, lhs)
    rank = lhs.ndim - 2
    taps = read_factors(op, "filter_shape", filter_shape, rank)
    rhs = jnp.broadcast_to(jnp.zeros((), lhs.dtype), (1, 1, *taps))
    numbers = read_numbers(op, lhs, rhs, dimension_numbers)
    lhs_spec, rhs_spec, out_spec = specs_of(*numbers)
    s = read_factors(op, "window_strides", window_strides, rank)
    d = read_factors(op, "rhs_dilation", rhs_dilation, rank)
    b = read_factors(op, "lhs_dilation", lhs_dilation, rank)
    i = [lhs.shape[a] for a in numbers.lhs_spec[2:]]
    axes = "".join(letter for letter in rhs_spec if letter not in "IO")
    if rank == 0:  # one window of no axes at every place: the array itself
        patches = jnp.transpose(lhs, [lhs_spec.index(letter) for letter in out_spec])
        return patches.astype(preferred_element_type or lhs.dtype)
    is_bool = lhs.dtype == bool
    names = {**NAMES, "kernel": "filter_shape"}
    with worded(op, names, {"lhs": lhs, "padding": padding}, {"x": same_value}):
        patches = unfold(
            lhs.astype(jnp.int8) if is_bool else lhs,
            taps,
            stride=s,
            padding=read_pads(op, padding, i, taps, s, b, d),
            dilation=d,
            input_dilation=b,
            layout=(lhs_spec, f"OI{axes}", out_spec),
        )
    return patches.astype(preferred_element_type or lhs.dtype)


def conv_dimension_numbers(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], dimension_numbers: Any
) -> ConvDimensionNumbers:
    """`jax.lax.conv_dimension_numbers` itself.

    Examples:
        >>> import jconv
        >>> jconv.compat.lax.conv_dimension_numbers((1, 8, 3), (3, 3, 4), ("NHC", "HIO", "NHC"))
        ConvDimensionNumbers(lhs_spec=(0, 2, 1), rhs_spec=(2, 1, 0), out_spec=(0, 2, 1))
    """
    return _lax.conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers)
