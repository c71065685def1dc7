"""A filter gradient for each example of a batch, and its norm."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jconv._core.problem import Problem
from jconv._ops.conv import Ints, Layout, Padding, PaddingMode, Precision
from jconv._ops.primitives import run_leg
from jconv._research.norms import squared_norms
from jconv._research.operands import Operands, read_operands


def per_example_filter_grads(
    x: ArrayLike,
    g: ArrayLike,
    *,
    filter_shape: Sequence[int],
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    input_dilation: Ints = 1,
    groups: int = 1,
    layout: Layout = None,
    padding_mode: PaddingMode = "zeros",
    precision: Precision = None,
) -> Array:
    """One filter gradient for each example: `conv_filter_grad` without its sum over the batch.

    `w'[n, k]` = sum of `x[n, i] * g[n, o]` over `b*i + p0 = s*o + d*k` on each spatial axis.

    Args:
        x: input of the forward convolution, (N, spatial..., C) unless `layout` says otherwise.
        g: cotangent of the forward convolution's result, (N, spatial..., O).
        filter_shape: shape of w, full or the spatial sizes alone.
        stride, padding, dilation, input_dilation, groups, layout, padding_mode, precision: as
            in the forward convolution.

    Returns:
        The gradients, (N, ...) and then the filter's shape.

    Raises:
        ConvError: if no forward convolution with these arguments makes a cotangent of g's shape.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, g = jnp.ones((2, 5, 5, 3)), jnp.ones((2, 3, 3, 8))
        >>> jconv.per_example_filter_grads(x, g, filter_shape=(3, 3), stride=2).shape
        (2, 3, 3, 3, 8)
    """
    read = read_operands(
        "per_example_filter_grads",
        x,
        g,
        {
            "filter_shape": filter_shape,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "input_dilation": input_dilation,
            "groups": groups,
            "layout": layout,
            "padding_mode": padding_mode,
            "precision": precision,
        },
    )
    problem, xs, gs = _one_image_each(read)
    grads = run_leg(problem.replace(vmapped=(xs.shape[0],)), xs, gs)
    order = read.layout.inverse("w")
    return jnp.transpose(grads, (0, *(1 + at for at in order)))


def filter_grad_norms(
    x: ArrayLike,
    g: ArrayLike,
    *,
    filter_shape: Sequence[int],
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    input_dilation: Ints = 1,
    groups: int = 1,
    layout: Layout = None,
    padding_mode: PaddingMode = "zeros",
    precision: Precision = None,
) -> Array:
    """The Euclidean norm of each example's filter gradient, without holding the gradients.

    Of two ways the cheaper one runs, by the cost model and within the policy's workspace: form
    one gradient after another and keep its norm, or multiply Gram matrices of windows and of
    cotangents, of which |w'|^2 = sum over o, o' of <p[o], p[o']> <g[o], g[o']> needs no gradient.
    `plan_operation` says which. Policy "exact" and precision HIGHEST always form the gradients:
    Gram matrices multiply other numbers, with a rounding error relative to |x|^2 |g|^2.

    Args:
        x: input of the forward convolution, (N, spatial..., C) unless `layout` says otherwise.
        g: cotangent of the forward convolution's result, (N, spatial..., O).
        filter_shape: shape of w, full or the spatial sizes alone.
        stride, padding, dilation, input_dilation, groups, layout, padding_mode, precision: as
            in the forward convolution.

    Returns:
        The norms, (N,), in float32 or float64. The derivative of a norm that is zero is zero.

    Raises:
        ConvError: if no forward convolution with these arguments makes a cotangent of g's shape.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, g = jnp.ones((2, 1, 1, 3)), jnp.ones((2, 1, 1, 3))
        >>> jconv.filter_grad_norms(x, g, filter_shape=(1, 1))
        Array([3., 3.], dtype=float32)
    """
    read = read_operands(
        "filter_grad_norms",
        x,
        g,
        {
            "filter_shape": filter_shape,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "input_dilation": input_dilation,
            "groups": groups,
            "layout": layout,
            "padding_mode": padding_mode,
            "precision": precision,
        },
    )
    return root(squared_norms(*_one_image_each(read)))


def root(squares: jax.Array) -> jax.Array:
    """Square roots whose derivative at zero is zero: a norm's smallest subgradient."""
    zero = squares == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squares)))


def _one_image_each(read: Operands) -> tuple[Problem, Array, Array]:
    """The problem of one example, and operands (N, 1, spatial..., channels)."""
    return read.problem.replace(n=1), read.x[:, None], read.g[:, None]
