"""The public operations: conv, its two backprops, and the transposed convolution.

Each reads its arguments into a Call, has it checked by shapes alone, brings the arrays to the
library's own layout, runs one leg of the trilinear form and takes the result back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from jconv._check.arrays import as_operand, make_call
from jconv._check.words import in_jconvs_words
from jconv._core import jax_sharding
from jconv._core.problem import OUTPUT
from jconv._devices.explicit import check_unambiguous, laid_out, permuted, read_out_sharding
from jconv._diagnosis.diagnose import resolve_or_explain
from jconv._ops.primitives import run_leg
from jconv._planner.policy import capture

Ints = int | Sequence[int]
Padding = str | int | Sequence[int | Sequence[int]]
PaddingMode = str | Sequence[str | Sequence[str]]
Layout = str | Sequence[str] | None
Precision = Any


@in_jconvs_words
def conv(
    x: ArrayLike,
    w: ArrayLike,
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    input_dilation: Ints = 1,
    groups: int = 1,
    layout: Layout = None,
    padding_mode: PaddingMode = "zeros",
    precision: Precision = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: Any = None,
) -> Array:
    """Convolution (cross-correlation, as everywhere in deep learning).

    Per spatial axis `y[o]` = sum of `x[i] * w[k]` over `b*i + p0 = s*o + d*k`, summed over the
    input channels of the group.

    Args:
        x: input, (N, spatial..., C) unless `layout` says otherwise.
        w: filter, (spatial..., C / groups, O).
        stride: s, one int or one for each spatial axis.
        padding: "SAME", "SAME_LOWER", "VALID", "CAUSAL", an int for every side, or one entry
            for each spatial axis, each an int or a (low, high) pair; negative values crop. With
            stride 2 and 3 taps, the rows 1234 become

            - `"SAME"`: `1234 -> 12340`
            - `"SAME_LOWER"`: `1234 -> 01234`
            - `"VALID"`: `1234 -> 1234`
            - `"CAUSAL"`: `1234 -> 001234`
            - `2`: `1234 -> 00123400`
            - `[(-1, 1)]`: `1234 -> 2340`
        dilation: d, the spacing of the filter's taps.
        input_dilation: b, the spacing of the input's rows.
        groups: the number of independent convolutions that the channels are split into.
        layout: "NHWC"- or "NCHW"-style string, or a (lhs, rhs, out) triple as in lax.
        padding_mode: what the padded rows hold; or one entry for each spatial axis, each a mode
            or a (low, high) pair of modes. Two rows on each side of 1234 are

            - `"zeros"`: `1234 -> 00123400`
            - `"reflect"`: `1234 -> 32123432`
            - `"edge"`: `1234 -> 11123444`
            - `"circular"`: `1234 -> 34123412`
        precision: as in lax; None reads `jax_default_matmul_precision`.
        preferred_element_type: dtype of the result.
        out_sharding: how the result lies on a mesh, as in lax; None to follow the operands.

    Returns:
        y, (N, spatial..., O).

    Raises:
        ConvError: if the arguments do not fit together.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 5, 5, 3)), jnp.ones((3, 3, 3, 8))
        >>> jconv.conv(x, w, stride=2).shape
        (1, 3, 3, 8)
    """
    return _operate(
        "conv",
        {"x": x, "w": w},
        stride=stride,
        padding=padding,
        dilation=dilation,
        input_dilation=input_dilation,
        groups=groups,
        layout=layout,
        padding_mode=padding_mode,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )


@in_jconvs_words
def conv_input_grad(
    g: ArrayLike,
    w: ArrayLike,
    *,
    input_shape: Sequence[int],
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    input_dilation: Ints = 1,
    groups: int = 1,
    layout: Layout = None,
    padding_mode: PaddingMode = "zeros",
    precision: Precision = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: Any = None,
) -> Array:
    """The gradient of `conv` in its input: `<g, conv(x, w)> = <x, conv_input_grad(g, w)>`.

    Per spatial axis `x'[i]` = sum of `g[o] * w[k]` over `b*i + p0 = s*o + d*k`, summed over
    the output channels of the group.

    Args:
        g: cotangent of the forward convolution's result, (N, spatial..., O).
        w: filter of the forward convolution, (spatial..., C / groups, O).
        input_shape: shape of x, full or the spatial sizes alone. It does not follow from g: a
            strided convolution may leave rows of x unread, and g does not say how many.
        stride, padding, dilation, input_dilation, groups, layout, padding_mode, precision: as
            in the forward convolution.
        preferred_element_type: dtype of the result.
        out_sharding: how the result lies on a mesh, as in lax; None to follow the operands.

    Returns:
        x', of shape `input_shape`.

    Raises:
        ConvError: if no forward convolution with these arguments takes input_shape to g's shape.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> g, w = jnp.ones((1, 3, 3, 8)), jnp.ones((3, 3, 3, 8))
        >>> jconv.conv_input_grad(g, w, input_shape=(6, 5), stride=2).shape
        (1, 6, 5, 3)
    """
    return _operate(
        "conv_input_grad",
        {"g": g, "w": w},
        stride=stride,
        padding=padding,
        dilation=dilation,
        input_dilation=input_dilation,
        groups=groups,
        layout=layout,
        padding_mode=padding_mode,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
        input_shape=input_shape,
    )


@in_jconvs_words
def conv_filter_grad(
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
    preferred_element_type: DTypeLike | None = None,
    out_sharding: Any = None,
) -> Array:
    """The gradient of `conv` in its filter: `<g, conv(x, w)> = <w, conv_filter_grad(x, g)>`.

    Per spatial axis `w'[k]` = sum of `x[i] * g[o]` over `b*i + p0 = s*o + d*k`, summed over
    the batch.

    Args:
        x: input of the forward convolution, (N, spatial..., C).
        g: cotangent of the forward convolution's result, (N, spatial..., O).
        filter_shape: shape of w, full or the spatial sizes alone.
        stride, padding, dilation, input_dilation, groups, layout, padding_mode, precision: as
            in the forward convolution.
        preferred_element_type: dtype of the result.
        out_sharding: how the result lies on a mesh, as in lax; None to follow the operands.

    Returns:
        w', of shape `filter_shape`.

    Raises:
        ConvError: if no forward convolution with these arguments makes a cotangent of g's shape.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, g = jnp.ones((1, 5, 5, 3)), jnp.ones((1, 3, 3, 8))
        >>> jconv.conv_filter_grad(x, g, filter_shape=(3, 3), stride=2).shape
        (3, 3, 3, 8)
    """
    return _operate(
        "conv_filter_grad",
        {"x": x, "g": g},
        stride=stride,
        padding=padding,
        dilation=dilation,
        input_dilation=input_dilation,
        groups=groups,
        layout=layout,
        padding_mode=padding_mode,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
        filter_shape=filter_shape,
    )


@in_jconvs_words
def conv_transpose(
    x: ArrayLike,
    w: ArrayLike,
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    output_padding: Ints | None = None,
    output_shape: Sequence[int] | None = None,
    dilation: Ints = 1,
    groups: int = 1,
    layout: Layout = None,
    padding_mode: PaddingMode = "zeros",
    precision: Precision = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: Any = None,
) -> Array:
    """Transposed convolution: the exact adjoint of `conv` with the same arguments.

    Not an inverse of conv: it takes a cotangent of conv's result back to the input's shape.
    A conv with this stride takes `stride` different sizes to x's size; `output_padding` or
    `output_shape` chooses one of them. Given neither, it is stride * size for SAME, SAME_LOWER
    and CAUSAL, and the smallest for VALID and explicit padding.

    Args:
        x: input, (N, spatial..., O) for a filter of O output channels.
        w: filter of that conv, (spatial..., C / groups, O): C are this operation's outputs.
        stride, padding, dilation, groups, layout, padding_mode, precision: those of that conv.
        output_padding: how many rows more than the smallest size, one int or one for each
            spatial axis. It adds no zeros: the rows get the values that the adjoint gives them.
        output_shape: shape of the result, full or the spatial sizes alone.
        preferred_element_type: dtype of the result.
        out_sharding: how the result lies on a mesh, as in lax; None to follow the operands.

    Returns:
        An array of the shape that conv takes to x's, with C channels.

    Raises:
        ConvError: if conv takes no such shape to x's; the message lists those that it does.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 6, 6, 8)), jnp.ones((3, 3, 4, 8))
        >>> jconv.conv_transpose(x, w, stride=2, padding=1, output_padding=1).shape
        (1, 12, 12, 4)
    """
    return _operate(
        "conv_transpose",
        {"x": x, "w": w},
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        layout=layout,
        padding_mode=padding_mode,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
        output_padding=output_padding,
        output_shape=output_shape,
    )


def _operate(op: str, arrays: dict[str, Any], *, out_sharding: Any, **keywords: Any) -> Array:
    call = make_call(op, arrays, **keywords)
    resolved = resolve_or_explain(call)
    layout = resolved.layout
    problem = capture(resolved.problem, keywords["precision"]).replace(borders=resolved.borders)
    out_slot = OUTPUT[problem.leg]
    slots: dict[str, Any] = dict(call.operation.arrays)
    given = {name: as_operand(array) for name, array in arrays.items()}
    wanted, lies = read_out_sharding(op, out_sharding, problem.rank + 2), None
    if wanted is not None:
        lies = permuted(wanted, getattr(layout, out_slot))
    else:
        avals = {name: jax.typeof(array) for name, array in given.items()}
        check_unambiguous(op, problem, layout, slots, avals)
        if (
            all(jax_sharding.mesh_of(aval) is None for aval in avals.values())
            and not resolved.borders
        ):
            first, second = (given[name] for name in slots)
            return run_leg(resolved.as_written(problem), first, second)
    operands = [_permute(given[name], getattr(layout, slot)) for name, slot in slots.items()]
    out = _permute(run_leg(problem, *operands, out_spec=lies), layout.inverse(out_slot))
    return out if wanted is None else laid_out(out, wanted)


def _permute(array: Array, order: tuple[int, ...]) -> Array:
    return array if order == tuple(range(len(order))) else jnp.transpose(array, order)
