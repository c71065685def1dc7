"""locally_connected: a convolution with a filter of its own for every output place."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jconv._check.arrays import check_array, make_call
from jconv._check.foreign_errors import same_value, worded
from jconv._core.errors import ConvError, Remedy
from jconv._core.problem import compute_dtype
from jconv._diagnosis.diagnose import resolve_or_explain
from jconv._ops.conv import Ints, Padding
from jconv._ops.unfold import unfold

OP = "locally_connected"


def locally_connected(
    x: ArrayLike,
    w: ArrayLike,
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
) -> Array:
    """A convolution that has a filter of its own for every output place.

    Per spatial axis `y[o]` = sum of `x[i] * w[o, k]` over `i + p0 = s*o + d*k`, summed over the
    input channels. It runs as one matrix product for each output place, on the windows that
    `unfold` lays out.

    Args:
        x: input, (N, spatial..., C).
        w: filters, (o..., k..., C, O): for each output place the filter of `conv`.
        stride, padding, dilation: as in `conv`.

    Returns:
        y, (N, o..., O), in the dtype of the operands.

    Raises:
        ConvError: if the arguments do not fit together; it says the output's size where that is
            not w's.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 6, 6, 2)), jnp.ones((3, 3, 2, 2, 2, 8))
        >>> jconv.locally_connected(x, w, stride=2).shape
        (1, 3, 3, 8)
    """
    for name, array in (("x", x), ("w", w)):
        check_array(OP, name, array)
    x, w = jnp.asarray(x), jnp.asarray(w)
    rank = x.ndim - 2
    settings = {"stride": stride, "padding": padding, "dilation": dilation}
    kernel, places = _read(x, w, rank, settings)
    wide = compute_dtype(str(x.dtype), str(w.dtype))
    out_dtype = jnp.result_type(x, w)
    patches = unfold(x, kernel, **settings)
    n, columns, outputs = x.shape[0], patches.shape[-1], w.shape[-1]
    count = math.prod(places)
    a = patches.astype(wide).reshape(n, count, columns)
    b = w.astype(wide).reshape(count, columns, outputs)
    y = lax.dot_general(a, b, (((2,), (1,)), ((1,), (0,))))
    return jnp.swapaxes(y, 0, 1).reshape(n, *places, outputs).astype(out_dtype)


def _read(x: Array, w: Array, rank: int, settings: dict[str, Any]) -> tuple[Any, tuple[int, ...]]:
    """The filter's taps and the output's sizes, checked."""
    if rank < 1 or w.ndim != 2 * rank + 2:
        dims = 2 * max(rank, 1) + 2
        raise ConvError(
            f"{OP}: `x` has {x.ndim} dimensions and `w` has {w.ndim}; for {max(rank, 1)} spatial "
            f"axes `w` has {dims}: output places, taps, input and output channels.",
            argument="w" if rank >= 1 else "x",
            got=w.shape if rank >= 1 else x.shape,
            expected=f"{dims} dimensions" if rank >= 1 else "3 dimensions or more",
        )
    places, filters = w.shape[:rank], w.shape[rank:]
    names = {name: name for name in ("x", "w", *settings)}
    # The checks see one place's filter, so a remedy's shape gets the places in front again.
    values = {**dict.fromkeys(names, same_value), "w": lambda value: _whole(value, places)}
    with worded(OP, names, {"x": x, "w": w, **settings}, values):
        one = jnp.zeros(filters, w.dtype) if math.prod(filters) == 0 else _Described(filters, w)
        resolved = resolve_or_explain(make_call("conv", {"x": x, "w": one}, **settings))
    made = resolved.out_shape[1:-1]
    if tuple(made) != tuple(places):
        shape = (*made, *filters)
        raise ConvError(
            f"{OP}: `w` has filters for {places} output places, and the convolution has {made}.",
            argument="w",
            got=w.shape,
            expected=f"shape {shape}",
            remedies=[Remedy("w", shape, f"give w the shape {shape}")],
        )
    return filters[:rank], places


def _whole(value: Any, places: tuple[int, ...]) -> Any:
    return (*places, *value) if isinstance(value, tuple) else value


class _Described:
    """An array by its shape and dtype, which is all that the checks read."""

    def __init__(self, shape: tuple[int, ...], like: Array):
        self.shape, self.dtype = shape, like.dtype
