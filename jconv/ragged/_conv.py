"""Convolutions of ragged batches, and their adjoint: one plain convolution of the padded batch.

Before the convolution, rows beyond an example's own size are set to zero, just as zero padding
would set them. Padding that depends on the size (SAME with a stride) and borders copied from rows
are laid out for each example first. Afterwards the outputs beyond an example's own are set to zero,
because windows over the edge have written there.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from jconv._check.arrays import as_operand
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Size, is_static, max_size
from jconv._core.problem import compute_dtype
from jconv._ops import conv as ops
from jconv._ops.conv import Ints, Layout, Padding, PaddingMode, Precision
from jconv.ragged import _lay as lay
from jconv.ragged._call import Setup, read_call, read_setup, read_sizes
from jconv.ragged._rule import Rule
from jconv.ragged._split import on_own_examples


def conv(
    x: ArrayLike,
    w: ArrayLike,
    sizes: ArrayLike,
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
) -> tuple[Array, Array]:
    """Convolution of a batch of many sizes: every example comes out as `conv` makes it alone.

    Per spatial axis `y[o]` = sum of `x[i] * w[k]` over `b*i + p0 = s*o + d*k`, where i and o count
    an example's own rows and p0 is its own padding. What x holds beyond an example's size is
    ignored, so biases and activations before it need no mask.

    Args:
        x: input, (N, spatial..., C), as large as the largest example.
        w: filter, (spatial..., C / groups, O).
        sizes: rows of each example on each spatial axis, integers (N, axes); with one axis also
            (N,). Traced sizes are clamped to x's own, others are checked.
        stride, padding, dilation, input_dilation, groups, layout, padding_mode, precision,
            preferred_element_type: as in `conv`. Borders are copied from an example's own rows;
            where traced sizes leave fewer rows than a border copies, the nearest row is repeated.

    Returns:
        (y, y_sizes): y (N, spatial..., O) with zeros beyond each example's own size, and those
        sizes, int32, in the form of `sizes`.

    Raises:
        ConvError: if the arguments do not fit together, or known sizes are out of range.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, sizes = jconv.ragged.stack([jnp.ones((5, 7, 3)), jnp.ones((6, 4, 3))])
        >>> y, y_sizes = jconv.ragged.conv(x, jnp.ones((3, 3, 3, 8)), sizes, stride=2)
        >>> y.shape, y_sizes.tolist()
        ((2, 3, 4, 8), [[3, 4], [3, 2]])
    """
    keywords = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "input_dilation": input_dilation,
        "groups": groups,
        "layout": layout,
        "padding_mode": padding_mode,
        "precision": precision,
        "preferred_element_type": preferred_element_type,
    }
    op = "ragged.conv"
    call, resolved = read_call(op, {"x": x, "w": w}, keywords)
    setup, order = read_setup(op, call, resolved), resolved.layout
    shape = order.canonical("x", call.shapes["x"])
    known = read_sizes(op, sizes, shape)
    _check_borders(op, setup, known, padding)
    x, w = (jnp.transpose(as_operand(array), o) for array, o in ((x, order.x), (w, order.w)))
    given = (x, (w,), (jnp.asarray(known),))
    y, y_sizes = on_own_examples(
        _conv, (setup,), *given, rows=tuple(axis.o for axis in resolved.problem.axes)
    )
    return jnp.transpose(y, order.inverse("y")), y_sizes.reshape(np.shape(sizes))


def conv_transpose(
    x: ArrayLike,
    w: ArrayLike,
    sizes: ArrayLike,
    *,
    output_sizes: ArrayLike | None = None,
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
) -> tuple[Array, Array]:
    """Transposed convolution of a batch of many sizes: the exact adjoint of `ragged.conv`.

    Every example comes out as `conv_transpose` makes it alone, with its size in `output_sizes`: a
    decoder passes the sizes that its encoder had.

    Args:
        x: input, (N, spatial..., O) for a filter of O output channels.
        w: filter of that convolution, (spatial..., C / groups, O).
        sizes: rows of each example of x on each spatial axis, (N, axes).
        output_sizes: rows of each example of the result, (N, axes): sizes that the convolution
            takes to `sizes`. Traced ones are clamped to that set, others are checked. By default
            what `conv_transpose` makes of an example alone.
        output_shape: the padded result's shape, full or the spatial sizes alone. By default the
            largest that is consistent with x's where `output_sizes` is given, and otherwise as in
            `conv_transpose`.
        output_padding: how many rows more than the smallest size, for all examples.
        stride, padding, dilation, groups, layout, padding_mode, precision,
            preferred_element_type: those of that convolution.

    Returns:
        (y, y_sizes): y (N, spatial..., C) with zeros beyond each example's own size.

    Raises:
        ConvError: if the arguments do not fit together, or known sizes are out of range.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> h, w = jnp.ones((2, 3, 8)), jnp.ones((3, 4, 8))
        >>> y, y_sizes = jconv.ragged.conv_transpose(
        ...     h, w, jnp.array([3, 2]), stride=2, output_sizes=jnp.array([5, 4]), output_shape=(5,)
        ... )
        >>> y.shape, y_sizes.tolist()
        ((2, 5, 4), [5, 4])
    """
    keywords = {
        "stride": stride,
        "padding": padding,
        "output_padding": output_padding,
        "output_shape": output_shape,
        "dilation": dilation,
        "groups": groups,
        "layout": layout,
        "padding_mode": padding_mode,
        "precision": precision,
        "preferred_element_type": preferred_element_type,
    }
    op = "ragged.conv_transpose"
    call, resolved = read_call(op, {"x": x, "w": w}, keywords)
    setup, order = read_setup(op, call, resolved), resolved.layout
    known = read_sizes(op, sizes, order.canonical("y", call.shapes["x"]))
    if output_sizes is not None and output_shape is None:
        largest = tuple(
            max_size(rule.smallest(axis.o) + rule.s - 1, 0)
            for rule, axis in zip(setup.rules, resolved.problem.axes, strict=True)
        )
        arrays = {"x": x, "w": w}
        _, resolved = read_call(
            op, arrays, {**keywords, "output_padding": None, "output_shape": largest}
        )
    made = order.canonical("x", resolved.out_shape)
    rows = made[1:-1]
    wanted = _wanted(op, setup, known, output_sizes, output_padding, made)
    x, w = (jnp.transpose(as_operand(array), o) for array, o in ((x, order.y), (w, order.w)))
    given = (x, (w,), (jnp.asarray(known), wanted))
    y = on_own_examples(_conv_transpose, (setup,), *given, rows=rows)
    return jnp.transpose(y, order.inverse("x")), wanted.reshape(np.shape(sizes))


@functools.partial(jax.jit, static_argnums=0, static_argnames="rows")
def _conv(
    setup: Setup, x: Array, w: Array, sizes: Array, *, rows: tuple[Size, ...]
) -> tuple[Array, Array]:
    """x (N, i..., C) and w (k..., C, O) to y (N, `rows`..., O) and its sizes."""
    y_sizes = by_axis(Rule.outputs, setup, sizes)
    if any(is_static(row) and row == 0 for row in (*x.shape, *rows)) or 0 in w.shape:
        return jnp.zeros((x.shape[0], *rows, w.shape[-1]), setup.out_dtype), y_sizes
    x = lay.keep(x, sizes)
    if setup.laid_out:
        x, sizes, setup = _written_out(setup, x, sizes)
        x = _laid_out(setup, x, sizes, rows)
    y = ops.conv(
        x,
        w,
        padding=_padding(setup),
        input_dilation=tuple(rule.b for rule in setup.rules),
        preferred_element_type=setup.out_dtype,
        **_shared(setup),
    )
    return lay.keep(y, y_sizes), y_sizes


@functools.partial(jax.jit, static_argnums=0, static_argnames="rows")
def _conv_transpose(
    setup: Setup, x: Array, w: Array, sizes: Array, wanted: Array, *, rows: tuple[Size, ...]
) -> Array:
    """x (N, o..., O) and w (k..., C, O) to y (N, `rows`..., C), `wanted` rows of each example."""
    shape = (x.shape[0], *rows, w.shape[-2] * setup.groups)
    if any(is_static(row) and row == 0 for row in (*x.shape, *rows)) or 0 in w.shape:
        return jnp.zeros(shape, setup.out_dtype)
    made, dtype = rows, setup.out_dtype
    if setup.laid_out:
        made = _reach(setup, x.shape[1:-1])
    if setup.bordered:  # border rows are added to the rows that they copy, in float32 or wider
        dtype = compute_dtype(dtype)
    y = ops.conv_transpose(
        lay.keep(x, sizes),
        w,
        padding=_padding(setup),
        output_shape=made,
        preferred_element_type=dtype,
        **_shared(setup),
    )
    if not setup.laid_out:
        return lay.keep(y, wanted)
    return _laid_back(setup, y, wanted, rows).astype(setup.out_dtype)


def _shared(setup: Setup) -> dict[str, Any]:
    return {
        "stride": tuple(rule.s for rule in setup.rules),
        "dilation": tuple(rule.d for rule in setup.rules),
        "groups": setup.groups,
        "precision": setup.precision,
    }


def _padding(setup: Setup) -> list[tuple[int, int]]:
    """The pads that the plain convolution adds to every example."""
    if setup.laid_out:
        return [(rule.common, 0) for rule in setup.rules]
    return [rule.pads[0] for rule in setup.rules]


def _reach(setup: Setup, outputs: Sequence[Size]) -> tuple[Size, ...]:
    """How many rows `outputs` windows read of the array in which examples are laid out."""
    return tuple(
        max_size(rule.s * (o - 1) + rule.window - rule.common, 0)
        for rule, o in zip(setup.rules, outputs, strict=True)
    )


def _written_out(setup: Setup, x: Array, sizes: Array) -> tuple[Array, Array, Setup]:
    """x with the zeros of its input dilation inserted, since an example may begin at such a row."""
    if all(rule.b == 1 for rule in setup.rules):
        return x, sizes, setup
    holes = [(0, 0, rule.b - 1) for rule in setup.rules]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *holes, (0, 0, 0)])
    rules = tuple(dataclasses.replace(rule, b=1) for rule in setup.rules)
    return x, by_axis(Rule.dilated, setup, sizes), dataclasses.replace(setup, rules=rules)


def _lows(setup: Setup, sizes: Array) -> list[lay.Low]:
    """For each axis the rows of padding before each example that must be laid out here."""
    return [
        (rule.lows(sizes[:, a]) - rule.common, rule.low[0] - rule.common, rule.low[1] - rule.common)
        for a, rule in enumerate(setup.rules)
    ]


def _whole(setup: Setup, sizes: Sequence[Size], reach: Sequence[Size]) -> tuple[Size, ...]:
    """Rows that hold every example with both its borders; `reach` where there are none."""
    return tuple(
        size + max(rule.low[1], 0) + max(rule.most_high, 0) if rule.bordered else rows
        for rule, size, rows in zip(setup.rules, sizes, reach, strict=True)
    )


def _bordered(setup: Setup, sizes: Array) -> list[tuple[int, lay.Low, Any, lay.Modes]]:
    """For each axis whose borders are copied: the axis, its low rows, its pads and its modes."""
    found = []
    for a, (rule, low) in enumerate(zip(setup.rules, _lows(setup, sizes), strict=True)):
        if rule.bordered:
            at = sizes[:, a]
            pads = (rule.lows(at), rule.low[1]), (rule.highs(at), rule.most_high)
            found.append((a, low, pads, rule.modes))
    return found


def _laid_out(setup: Setup, x: Array, sizes: Array, outputs: tuple[Size, ...]) -> Array:
    reach, dtype = _reach(setup, outputs), x.dtype
    if setup.bordered:  # a row copied into borders sums their cotangents, in float32 or wider
        x = x.astype(compute_dtype(str(dtype)))
    whole = _whole(setup, x.shape[1:-1], reach)
    x = lay.lay(x, _lows(setup, sizes), whole)
    for axis, low, pads, modes in _bordered(setup, sizes):
        x = lay.borders(x, sizes, axis, low, pads, modes)
    return lay.resized(x, reach).astype(dtype)


def _laid_back(setup: Setup, g: Array, sizes: Array, rows: tuple[Size, ...]) -> Array:
    """The adjoint of `_laid_out`."""
    g = lay.resized(g, _whole(setup, rows, g.shape[1:-1]))
    for axis, low, pads, modes in reversed(_bordered(setup, sizes)):
        g = lay.borders_adjoint(g, sizes, axis, low, pads, modes)
    return lay.lay_adjoint(g, sizes, _lows(setup, sizes), rows)


# What can be checked of known sizes -----------------------------------------------------------


def _wanted(
    op: str,
    setup: Setup,
    sizes: Any,
    output_sizes: Any,
    output_padding: Any,
    made: tuple[Size, ...],
) -> Any:
    """The rows of each example of a transposed convolution's result, checked or clamped."""
    least, most = (
        jnp.stack(ends, axis=1) for ends in zip(*_each(Rule.consistent, setup, sizes), strict=True)
    )
    if output_sizes is not None:
        given = read_sizes(op, output_sizes, made, "output_sizes", "output_shape")
        if isinstance(given, np.ndarray) and isinstance(sizes, np.ndarray):
            _check_consistent(op, setup, sizes, given)
    elif output_padding is not None:
        extra = jnp.asarray(output_padding, jnp.int32).reshape(1, -1)
        given = by_axis(Rule.smallest, setup, sizes) + extra
    else:
        given = by_axis(Rule.transposed, setup, sizes)
    largest = jnp.asarray(made[1:-1], jnp.int32)[None]
    return jnp.clip(jnp.clip(given, least, most), 0, largest)


def _check_consistent(op: str, setup: Setup, sizes: Any, wanted: Any) -> None:
    with jax.ensure_compile_time_eval():
        back = np.asarray(by_axis(Rule.outputs, setup, wanted))
        ends = [np.asarray(end) for pair in _each(Rule.consistent, setup, sizes) for end in pair]
    for n, a in np.argwhere(back != sizes)[:1]:
        low, high = ends[2 * a][n], ends[2 * a + 1][n]
        raise ConvError(
            f"{op}: `output_sizes` says {wanted[n, a]} rows for example {n} on spatial axis {a}, "
            f"which the convolution takes to {back[n, a]} and not to the {sizes[n, a]} that "
            "`sizes` says.",
            argument="output_sizes",
            got=int(wanted[n, a]),
            expected=f"{low} to {high} rows" if low <= high else "no size is consistent",
            remedies=[Remedy("output_sizes", None, "leave output_sizes out")],
        )


def _check_borders(op: str, setup: Setup, sizes: Any, padding: Any) -> None:
    """Refuse known sizes with fewer rows than the borders copy."""
    if not setup.bordered or not isinstance(sizes, np.ndarray):
        return
    for a, rule in enumerate(setup.rules):
        with jax.ensure_compile_time_eval():
            pads = [np.asarray(pads(sizes[:, a])) for pads in (rule.lows, rule.highs)]
        for mode, amounts in zip(rule.modes, pads, strict=True):
            if mode == "zeros":
                continue
            amount = np.broadcast_to(amounts, len(sizes))
            least = {"reflect": amount + 1, "circular": amount}.get(mode, 1)
            needed = np.where(amount > 0, least, 0)
            for (n,) in np.argwhere(sizes[:, a] < needed)[:1]:
                raise ConvError(
                    f"{op}: {mode} padding copies {amount[n]} rows, and example {n} has "
                    f"{sizes[n, a]} on spatial axis {a}.",
                    argument="padding",
                    got=padding,
                    expected=f"examples of {needed[n]} rows or more on spatial axis {a}",
                    remedies=[Remedy("padding_mode", "zeros", "pass padding_mode='zeros'")],
                )


def _each(function: Any, setup: Setup, sizes: Any) -> list[Any]:
    return [function(rule, sizes[:, a]) for a, rule in enumerate(setup.rules)]


def by_axis(function: Any, setup: Setup, sizes: Any) -> Array:
    """A function of a rule and the sizes on its axis, for all axes: (N, axes)."""
    return jnp.stack(_each(function, setup, sizes), axis=1)
