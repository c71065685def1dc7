"""convolution_backward: all the gradients of one convolution, transposed or not."""

from __future__ import annotations

from collections.abc import Sequence

from jax import Array
from jax.typing import ArrayLike

from jconv._ops.conv import Ints, conv, conv_filter_grad, conv_input_grad
from jconv.compat._arguments import read_array, wrong
from jconv.compat.torch._arguments import run, settings
from jconv.compat.torch._transposed import transposed_settings

Gradients = tuple[Array | None, Array | None, Array | None]


def convolution_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias_sizes: Sequence[int] | None,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    transposed: bool,
    output_padding: Ints,
    groups: int,
    output_mask: Sequence[bool],
) -> Gradients:
    """`torch.ops.aten.convolution_backward`: the gradients in input, weight and bias.

    For a transposed convolution the roles change: its cotangent is the input of the convolution
    that it transposes, so grad_input is that convolution of grad_output.

    Args:
        bias_sizes: None, or the bias's shape.
        output_mask: which of the three gradients are wanted; the others come back as None.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w, g = jnp.ones((1, 3, 8)), jnp.ones((4, 3, 3)), jnp.ones((1, 4, 6))
        >>> backward = jconv.compat.torch.convolution_backward
        >>> grads = backward(g, x, w, None, [1], [0], [1], False, [0], 1, [True, True, False])
        >>> grads[0].shape, grads[1].shape, grads[2]
        ((1, 3, 8), (4, 3, 3), None)
    """
    op = "convolution_backward"
    given = {**locals()}
    w = read_array(op, "weight", weight, (3, 4, 5))
    rank = w.ndim - 2
    x = read_array(op, "input", input, (rank + 2,))
    g = read_array(op, "grad_output", grad_output, (rank + 2,))
    if len(output_mask) != 3:
        raise wrong(op, "output_mask", output_mask, "three booleans: input, weight and bias")
    if bias_sizes is not None and tuple(bias_sizes) != (g.shape[1],):
        raise wrong(op, "bias_sizes", bias_sizes, f"None or ({g.shape[1]},)")
    x_grad = w_grad = None
    names = {"input_shape": "input", "filter_shape": "weight"}
    if transposed:
        how = transposed_settings(op, rank, stride, padding, dilation, groups, output_padding)
        # What jconv calls x is the cotangent here, and its g the input.
        names = {**names, "x": "grad_output", "g": "input"}
        if output_mask[0]:
            x_grad = run(op, conv, g, w, given=given, names=names, **how)
            if x_grad.shape != x.shape:
                expected = f"of the shape of a result of this `input`, whose shape is {x.shape}"
                raise wrong(op, "grad_output", g, expected)
        if output_mask[1]:
            arrays = (g, x)
            w_grad = run(
                op, conv_filter_grad, *arrays, given=given, names=names, filter_shape=w.shape, **how
            )
    else:
        how = settings(op, rank, stride, padding, dilation, groups)
        if output_mask[0]:
            arrays = (g, w)
            x_grad = run(
                op, conv_input_grad, *arrays, given=given, names=names, input_shape=x.shape, **how
            )
        if output_mask[1]:
            arrays = (x, g)
            w_grad = run(
                op, conv_filter_grad, *arrays, given=given, names=names, filter_shape=w.shape, **how
            )
    bias_grad = g.sum((0, *range(2, g.ndim))) if output_mask[2] else None
    return x_grad, w_grad, bias_grad
