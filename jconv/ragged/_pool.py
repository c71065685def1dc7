"""Pooling of ragged batches: every window sees its example's own places and nothing else."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jconv._check import settings
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Shape, is_static, max_size, resolve_axis
from jconv._ops.conv import Ints, Padding
from jconv._ops.conv import Layout as LayoutLike
from jconv.ragged import _lay as lay
from jconv.ragged._call import read_array, read_sizes
from jconv.ragged._rule import Rule
from jconv.ragged._split import on_own_examples


def pool(
    x: ArrayLike,
    sizes: ArrayLike,
    window: Ints,
    *,
    kind: str = "max",
    stride: Ints | None = None,
    padding: Padding = "VALID",
    dilation: Ints = 1,
    layout: LayoutLike = None,
    count_padding: bool = False,
) -> tuple[Array, Array]:
    """The largest value, or the mean, of each window of an example's own places.

    Args:
        x: (N, spatial..., C), as large as the largest example.
        sizes: rows of each example on each spatial axis, (N, axes).
        window: rows of a window, one int or one for each spatial axis.
        kind: "max" or "mean".
        stride: rows from one window to the next; the window's own by default.
        padding: as in `conv`; an example's padding follows from its own size.
        dilation: the spacing of a window's rows.
        layout: as in `conv`.
        count_padding: whether a mean is divided by all places of its window, padding included;
            by default only by the example's own places.

    Returns:
        (y, y_sizes): y (N, spatial..., C) with zeros beyond each example's own size.

    Raises:
        ConvError: if the arguments do not fit together, or known sizes are out of range.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, sizes = jconv.ragged.stack([jnp.ones((5, 7, 3)), jnp.ones((6, 4, 3))])
        >>> y, y_sizes = jconv.ragged.pool(x, sizes, 2)
        >>> y.shape, y_sizes.tolist()
        ((2, 3, 3, 3), [[2, 3], [3, 2]])
    """
    op = "ragged.pool"
    batch, order = read_array(op, x, layout)
    rank = batch.ndim - 2
    settings.read_choice(op, "kind", kind, ("max", "mean"))
    k = settings.read_factors(op, "window", window, rank)
    s = settings.read_factors(op, "stride", k if stride is None else stride, rank)
    d = settings.read_factors(op, "dilation", dilation, rank)
    pads = settings.read_padding(op, padding, rank)
    if any(isinstance(pair, tuple) and not (is_static(*pair) and min(pair) >= 0) for pair in pads):
        raise ConvError(
            f"{op}: `padding` of a pool must be whole numbers of 0 or more.",
            argument="padding",
            got=padding,
            expected="a rule's name, or whole numbers of 0 or more",
            remedies=[Remedy("padding", "VALID", "pass padding='VALID'")],
        )
    if kind == "mean" and not jnp.issubdtype(batch.dtype, jnp.inexact):
        raise ConvError(
            f"{op}: a mean needs floating-point numbers; `x` is {batch.dtype}.",
            argument="x",
            got=str(batch.dtype),
            expected="a floating point dtype",
            remedies=[Remedy("x", "float32", "convert it: x.astype('float32')")],
        )
    rules = tuple(Rule(k[a], s[a], d[a], 1, pads[a]) for a in range(rank))
    known = read_sizes(op, sizes, batch.shape)
    rows = tuple(
        resolve_axis(size, rule.k, rule.padding, s=rule.s, b=1, d=rule.d)[0]
        for size, rule in zip(batch.shape[1:-1], rules, strict=True)
    )
    told, own = (rules, kind, count_padding), (jnp.asarray(known),)
    y, y_sizes = on_own_examples(_pool, told, batch, (), own, rows=rows)
    return jnp.transpose(y, order.inverse("x")), y_sizes.reshape(np.shape(sizes))


@functools.partial(jax.jit, static_argnums=(0, 1, 2), static_argnames="rows")
def _pool(
    rules: tuple[Rule, ...], kind: str, count_padding: bool, x: Array, sizes: Array, *, rows: Shape
) -> tuple[Array, Array]:
    y_sizes = jnp.stack([rule.outputs(sizes[:, a]) for a, rule in enumerate(rules)], axis=1)
    if any(is_static(row) and row == 0 for row in (*x.shape, *rows)):
        return jnp.zeros((x.shape[0], *rows, x.shape[-1]), x.dtype), y_sizes
    fill = _least(x.dtype) if kind == "max" else np.zeros((), x.dtype)
    lows = [(rule.lows(sizes[:, a]), *rule.low) for a, rule in enumerate(rules)]
    reach = tuple(
        max_size(rule.s * (row - 1) + rule.window, 0) for rule, row in zip(rules, rows, strict=True)
    )
    over = functools.partial(_over_windows, rules, rows, kind)
    y = over(lay.lay(lay.keep(x, sizes, fill), lows, reach, fill), fill)
    if kind == "mean":
        places: Any = np.prod([rule.k for rule in rules])
        if not count_padding:
            own = lay.valid(x.shape, sizes).astype(x.dtype)
            places = jnp.maximum(over(lay.lay(own, lows, reach), fill), 1)
        y = y / places
    return lay.keep(y, y_sizes), y_sizes


def _over_windows(rules: tuple[Rule, ...], rows: Shape, kind: str, x: Array, fill: Any) -> Array:
    """The largest value, or the sum, of each window of the laid out array."""
    if any(rule.d > 1 for rule in rules):
        return _over_taps(rules, rows, kind, x)
    return lax.reduce_window(
        x,
        fill,
        lax.max if kind == "max" else lax.add,
        window_dimensions=(1, *(rule.k for rule in rules), 1),
        window_strides=(1, *(rule.s for rule in rules), 1),
        padding="VALID",
    )


def _over_taps(rules: tuple[Rule, ...], rows: Shape, kind: str, x: Array) -> Array:
    """`_over_windows` from one slice for each tap, for dilated windows.

    JAX cannot differentiate a maximum over dilated windows.
    """
    taps = []
    for tap in itertools.product(*(range(rule.k) for rule in rules)):
        part = x
        for a, (rule, t) in enumerate(zip(rules, tap, strict=True), start=1):
            first = rule.d * t
            last = first + rule.s * (rows[a - 1] - 1) + 1
            part = lax.slice_in_dim(part, first, last, rule.s, axis=a)
        taps.append(part)
    every = jnp.stack(taps)
    return jnp.max(every, axis=0) if kind == "max" else jnp.sum(every, axis=0)


def _least(dtype: Any) -> Any:
    if jnp.issubdtype(dtype, jnp.inexact):
        return np.asarray(-np.inf, dtype)
    return np.asarray(jnp.iinfo(dtype).min, dtype)
