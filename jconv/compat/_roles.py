"""Which operation a convolution in lax's words is: the forward one, or one of the backprops.

What `jax.grad` makes of a convolution is again one `conv_general_dilated`, and it shows:

    dilated lhs                        the input backprop of a strided convolution
    batch groups                       the filter backprop of a grouped convolution
    lhs with its channels first        a filter backprop: what was the batch is summed over,
                                       unless the result has that layout too

All three are the same sum of products, sum of x[i] * w[k] over b*i + p0 = s*o + d*k, so saying
one as another changes no value and no derivative. It says what is meant: backprops have
algorithms of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jconv._core.geometry import Axis, differ, is_static, out_size, same
from jconv._core.layout import Layout, parse_layout, spatial_names
from jconv._ops.conv import conv, conv_filter_grad, conv_input_grad

Pairs = tuple[tuple[Any, Any], ...]

_AS_FILTER_GRAD = str.maketrans("NC", "CN"), str.maketrans("IO", "NC"), str.maketrans("NC", "IO")
_TRANSPOSED = str.maketrans("IO", "OI")


@dataclasses.dataclass(frozen=True)
class Window:
    """The settings of one convolution, in order of the spatial axes of the right-hand side."""

    s: tuple[int, ...]
    b: tuple[int, ...]
    d: tuple[int, ...]
    pads: Pairs
    groups: int = 1
    batch_groups: int = 1


def convolve(lhs: Array, rhs: Array, specs: tuple[str, str, str], window: Window, **how: Any):
    """The convolution of arrays laid out as `specs` says, run as what it is.

    Its arguments have been checked, but for what `jconv.conv` checks itself.
    """
    layout = parse_layout(specs, lhs.ndim - 2)
    axes = _axes(lhs.shape, rhs.shape, layout, window)
    inexact = jnp.issubdtype(lhs.dtype, jnp.inexact) and lhs.dtype == rhs.dtype
    if inexact and axes is not None:
        if window.batch_groups > 1 or (window.groups == 1 and _sums_a_batch(specs[0], specs[2])):
            return _as_filter_grad(lhs, rhs, specs, window, axes, how)
        if any(b > 1 for b in window.b):
            return _as_input_grad(lhs, rhs, layout, window, axes, how)
    if window.batch_groups > 1:
        return _as_feature_groups(lhs, rhs, layout, window, how)
    return conv(
        lhs,
        rhs,
        stride=window.s,
        padding=window.pads,
        dilation=window.d,
        input_dilation=window.b,
        groups=window.groups,
        layout=specs,
        **how,
    )


def _sums_a_batch(lhs: str, out: str) -> bool:
    """Whether lhs has its channels before its batch because they have changed places.

    A layout of its own, CHWN say, a network keeps to. A filter comes out in another: only the
    gradient of an OIHW one, by arrays in NCHW, looks like a convolution in CNHW, which nobody uses.
    """
    return lhs.index("C") < lhs.index("N") and (lhs != out or lhs.startswith("CN"))


def _axes(lhs: Any, rhs: Any, layout: Layout, window: Window) -> list[Axis] | None:
    """The axes, if all sizes are known, something is to be summed, and the channels fit."""
    (n, *i, channels), (*k, c, f) = layout.canonical("x", lhs), layout.canonical("w", rhs)
    if not is_static(n, channels, c, f, *i, *k):
        return None
    if differ(channels, c * window.groups) or f % window.groups:
        return None
    axes = [
        Axis(
            i=i[a],
            k=k[a],
            o=out_size(i[a], k[a], sum(window.pads[a]), s=s, b=window.b[a], d=window.d[a]),
            s=s,
            b=window.b[a],
            d=window.d[a],
            p0=window.pads[a][0],
        )
        for a, s in enumerate(window.s)
    ]
    empty = any(axis.empty for axis in axes) or same(n * channels * f, 0)
    return None if empty else axes


def _as_filter_grad(
    lhs: Array, rhs: Array, specs: tuple[str, str, str], window: Window, axes: list[Axis], how: Any
) -> Array:
    """The right-hand side is the cotangent: stride and dilation, o and k change places."""
    x, g, w = (spec.translate(to) for spec, to in zip(specs, _AS_FILTER_GRAD, strict=True))
    # Axes are in the order of the filter's letters, and another array is the filter now.
    before, after = _spatial(g), _spatial(w)
    roles = [axes[before.index(letter)].filter_grad() for letter in after]
    # Where x is dilated, what was differentiated is itself an input backprop: <x, input_grad(g, w)>
    # is <w, filter_grad(x, g)>, and the dilated x is the g of that, its filter the flipped one.
    of_input_grad = (
        window.batch_groups == 1
        and any(axis.b > 1 for axis in roles)
        and all(axis.s == 1 for axis in roles)
    )
    if of_input_grad:
        roles = [axis.input_grad() for axis in roles]
        lhs, rhs, x, g, w = rhs, lhs, g, x, w.translate(_TRANSPOSED)
    result = conv_filter_grad(
        lhs,
        rhs,
        filter_shape=tuple(axis.k for axis in roles),
        stride=tuple(axis.s for axis in roles),
        dilation=tuple(axis.d for axis in roles),
        input_dilation=tuple(axis.b for axis in roles),
        padding=tuple((axis.p0, axis.p1) for axis in roles),
        groups=window.batch_groups,
        layout=(x, w, g),
        **how,
    )
    return lax.rev(result, [w.index(a) for a in after]) if of_input_grad else result


def _as_input_grad(
    lhs: Array, rhs: Array, layout: Layout, window: Window, axes: list[Axis], how: Any
) -> Array:
    """The left-hand side is the cotangent: stride and input dilation, i and o change places."""
    roles = [axis.input_grad() for axis in axes]
    rank, groups = len(axes), window.groups
    w = lax.rev(jnp.transpose(rhs, layout.w), range(rank))
    *taps, c, outputs = w.shape
    w = jnp.swapaxes(w.reshape(*taps, c, groups, outputs // groups), rank, rank + 2)
    lhs_spec, _, out_spec = layout.names
    return conv_input_grad(
        lhs,
        w.reshape(*taps, outputs // groups, groups * c),
        input_shape=tuple(axis.i for axis in roles),
        stride=tuple(axis.s for axis in roles),
        dilation=tuple(axis.d for axis in roles),
        input_dilation=tuple(axis.b for axis in roles),
        padding=tuple((axis.p0, axis.p1) for axis in roles),
        groups=groups,
        layout=(out_spec, f"{_spatial(layout.names[1])}IO", lhs_spec),
        **how,
    )


def _as_feature_groups(lhs: Array, rhs: Array, layout: Layout, window: Window, how: Any) -> Array:
    """Groups of the batch as groups of channels: (G*N, i..., C) is (N, i..., G*C)."""
    x = jnp.transpose(lhs, layout.x)
    n, *i, c = x.shape
    groups = window.batch_groups
    x = jnp.moveaxis(x.reshape(groups, n // groups, *i, c), 0, -2)
    y = conv(
        x.reshape(n // groups, *i, groups * c),
        jnp.transpose(rhs, layout.w),
        stride=window.s,
        padding=window.pads,
        dilation=window.d,
        input_dilation=window.b,
        groups=groups,
        **how,
    )
    return jnp.transpose(y, layout.inverse("y"))


def _spatial(spec: str) -> str:
    return "".join(letter for letter in spec if letter not in "NCIO")


def specs_of(lhs: Sequence[int], rhs: Sequence[int], out: Sequence[int]) -> tuple[str, str, str]:
    """lax's ConvDimensionNumbers, each (batch, feature, spatial...), as strings of letters."""
    letters = spatial_names(len(lhs) - 2)

    def spec(first: str, positions: Sequence[int]) -> str:
        named = dict(zip(positions, first + letters, strict=True))
        return "".join(named[position] for position in range(len(positions)))

    return spec("NC", lhs), spec("OI", rhs), spec("NC", out)
