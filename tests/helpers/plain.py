"""The four operations as plain lax and its autodiff: what jconv's transformations must equal."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jconv

CONFIGURATIONS = {
    "dense-stride-2": ((2, 5, 6, 2), (3, 3, 2, 3), {"stride": 2, "padding": "SAME"}),
    "grouped-dilated-asymmetric": (
        (2, 6, 7, 4),
        (2, 3, 2, 6),
        {"groups": 2, "dilation": (2, 1), "padding": [(1, 2), (0, 1)]},
    ),
    "depthwise-multiplier": (
        (2, 5, 5, 3),
        (3, 3, 1, 6),
        {"groups": 3, "stride": (1, 2), "padding": "VALID"},
    ),
    "one-dimension-remainder": ((3, 8, 2), (3, 2, 4), {"stride": 3, "padding": "VALID"}),
    "input-dilation": (
        (1, 4, 5, 2),
        (3, 2, 2, 2),
        {"input_dilation": (2, 3), "stride": 2, "padding": [(1, 1), (2, 0)]},
    ),
    "three-dimensions": ((1, 3, 4, 3, 2), (2, 2, 2, 2, 2), {"stride": (1, 2, 1)}),
}


def integers(shape, seed, dtype=jnp.float32):
    """Small whole numbers, on which sums of products are exact in any order."""
    return jnp.asarray(np.random.default_rng(seed).integers(-2, 3, shape), dtype)


def lax_conv(x, w, *, stride=1, padding="SAME", dilation=1, input_dilation=1, groups=1):
    rank = x.ndim - 2
    names = "DHW"[-rank:]

    def each(v):
        return (v,) * rank if isinstance(v, int) else tuple(v)

    return lax.conv_general_dilated(
        x,
        w,
        window_strides=each(stride),
        padding=padding,
        lhs_dilation=each(input_dilation),
        rhs_dilation=each(dilation),
        dimension_numbers=(f"N{names}C", f"{names}IO", f"N{names}C"),
        feature_group_count=groups,
    )


def operations(x_shape, w_shape, settings):
    """name -> (jconv's function of two arrays, the same in plain lax, the operands)."""
    x, w = integers(x_shape, 1), integers(w_shape, 2)
    y = lax_conv(x, w, **settings)
    g = integers(y.shape, 3)

    def lax_input_grad(g, w):
        return jax.vjp(lambda x: lax_conv(x, w, **settings), x)[1](g)[0]

    def lax_filter_grad(x, g):
        return jax.vjp(lambda w: lax_conv(x, w, **settings), w)[1](g)[0]

    table = {
        "conv": (
            lambda x, w: jconv.conv(x, w, **settings),
            lambda x, w: lax_conv(x, w, **settings),
            (x, w),
        ),
        "conv_input_grad": (
            lambda g, w: jconv.conv_input_grad(g, w, input_shape=x_shape, **settings),
            lax_input_grad,
            (g, w),
        ),
        "conv_filter_grad": (
            lambda x, g: jconv.conv_filter_grad(x, g, filter_shape=w_shape, **settings),
            lax_filter_grad,
            (x, g),
        ),
    }
    if "input_dilation" not in settings:
        table["conv_transpose"] = (
            lambda g, w: jconv.conv_transpose(g, w, output_shape=x_shape, **settings),
            lax_input_grad,
            (g, w),
        )
    return table
