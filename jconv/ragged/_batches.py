"""Examples of many sizes as one batch and back; sums and means over each example's own places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from jconv._check import settings
from jconv._core.errors import ConvError, Remedy
from jconv._core.layout import Layout
from jconv._ops.conv import Ints
from jconv._ops.conv import Layout as LayoutLike
from jconv.ragged._call import read_array, read_layout, read_sizes
from jconv.ragged._lay import keep


def stack(
    arrays: Sequence[ArrayLike],
    *,
    multiple_of: Ints = 1,
    largest: Sequence[int] | None = None,
    layout: LayoutLike = None,
) -> tuple[Array, Array]:
    """A batch of arrays of different sizes, padded with zeros, and their sizes.

    Args:
        arrays: the examples, each (spatial..., C): `layout` without its N.
        multiple_of: the batch's spatial sizes are rounded up to multiples of this, so that fewer
            shapes are compiled for.
        largest: the batch's spatial sizes, at least as large as every example (`ChainPlan.buckets`
            finds good ones); None for the largest example's.
        layout: as in `conv`.

    Returns:
        (x, sizes): x (N, spatial..., C) and int32 (N, axes).

    Raises:
        ConvError: if the arrays differ in more than their spatial sizes.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, sizes = jconv.ragged.stack([jnp.ones((5, 3)), jnp.ones((9, 3))], multiple_of=4)
        >>> x.shape, sizes.tolist()
        ((2, 12, 3), [[5], [9]])
    """
    op = "ragged.stack"
    order, shapes, dtype = _described(op, arrays, layout)
    rank = len(order.x) - 2
    factors = settings.read_factors(op, "multiple_of", multiple_of, rank)
    sizes = np.array([shape[:-1] for shape in shapes], np.int32).reshape(len(shapes), rank)
    if largest is None:
        whole = [-(-int(size) // m) * m for size, m in zip(sizes.max(axis=0), factors, strict=True)]
    else:
        whole = list(settings.read_shape(op, "largest", largest))
        if len(whole) != rank or any(np.any(sizes[:, a] > whole[a]) for a in range(rank)):
            needed = tuple(int(size) for size in sizes.max(axis=0))
            raise ConvError(
                f"{op}: `largest` must be at least the largest example's size on every axis.",
                argument="largest",
                got=largest,
                expected=f"{needed} or more",
                remedies=[Remedy("largest", needed, f"pass largest={needed}")],
            )
    # Known arrays are joined by NumPy, since jnp would compile a program for each size.
    traced = any(isinstance(array, Tracer) for array in arrays)
    where: Any = jnp if traced else np
    own = [p - 1 for p in order.x if p]
    filled = [
        where.pad(
            where.transpose(where.asarray(array, dtype), own),
            [*((0, w - i) for w, i in zip(whole, shape[:-1], strict=True)), (0, 0)],
        )
        for array, shape in zip(arrays, shapes, strict=True)
    ]
    x = where.transpose(where.stack(filled), order.inverse("x"))
    return jnp.asarray(x), jnp.asarray(sizes)


def _described(op: str, arrays: Any, layout: Any) -> tuple[Layout, list[tuple[int, ...]], Any]:
    """The batch's layout, each example's shape (spatial..., C), and the examples' common dtype."""
    if hasattr(arrays, "shape") or not len(arrays):
        raise ConvError(
            f"{op}: `arrays` must be a list of arrays, one for each example.",
            argument="arrays",
            got=tuple(arrays.shape) if hasattr(arrays, "shape") else arrays,
            expected="one array or more, each (spatial..., C)",
        )
    given = [tuple(np.shape(array)) for array in arrays]
    ranks = {len(shape) for shape in given}
    if len(ranks) != 1 or min(ranks) < 2:
        raise ConvError(
            f"{op}: every example needs the same spatial axes, one or more, and channels.",
            argument="arrays",
            got=given[:8],
            expected="arrays that all have the same number of dimensions, 2 or more",
        )
    order = read_layout(op, layout, ranks.pop() + 1)
    shapes = [tuple(shape[p - 1] for p in order.x if p) for shape in given]
    for at, shape in enumerate(shapes):
        if shape[-1] != shapes[0][-1]:
            raise ConvError(
                f"{op}: example {at} has {shape[-1]} channels, the first has {shapes[0][-1]}.",
                argument="arrays",
                got=given[at],
                expected=f"{shapes[0][-1]} channels",
            )
    dtype = jax.dtypes.canonicalize_dtype(jnp.result_type(*arrays))
    return order, shapes, dtype


def unstack(x: ArrayLike, sizes: ArrayLike, *, layout: LayoutLike = None) -> list[Array]:
    """The examples of a batch as a list of arrays, each of its own size: undoes `stack`.

    Args:
        x: (N, spatial..., C).
        sizes: rows of each example on each spatial axis, (N, axes); known numbers, since they
            become shapes.
        layout: as in `conv`.

    Returns:
        N arrays, each (spatial..., C).

    Raises:
        ConvError: if sizes are traced, or out of range.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, sizes = jconv.ragged.stack([jnp.ones((5, 3)), jnp.ones((9, 3))])
        >>> [one.shape for one in jconv.ragged.unstack(x, sizes)]
        [(5, 3), (9, 3)]
    """
    batch, order = read_array("ragged.unstack", x, layout)
    known = read_sizes("ragged.unstack", sizes, batch.shape)
    if not isinstance(known, np.ndarray):
        raise ConvError(
            "ragged.unstack: `sizes` become shapes, so they must be known; these are traced.",
            argument="sizes",
            got=known,
            expected="numbers, outside of jit",
        )
    back = [p - 1 for p in order.inverse("x") if p]
    cut = (
        one[tuple(slice(int(size)) for size in own)] for one, own in zip(batch, known, strict=True)
    )
    return [jnp.transpose(one, back) for one in cut]


def mask(x: ArrayLike, sizes: ArrayLike, *, layout: LayoutLike = None) -> Array:
    """x with zeros in place of whatever it holds beyond each example's own size.

    Args:
        x: (N, spatial..., C).
        sizes: rows of each example on each spatial axis, (N, axes).
        layout: as in `conv`.

    Returns:
        An array like x.

    Raises:
        ConvError: if the sizes do not fit x.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> jconv.ragged.mask(jnp.ones((2, 3, 1)), jnp.array([3, 1]))[:, :, 0].tolist()
        [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    """
    batch, order = read_array("ragged.mask", x, layout)
    kept = keep(batch, read_sizes("ragged.mask", sizes, batch.shape))
    return jnp.transpose(kept, order.inverse("x"))


def sum(x: ArrayLike, sizes: ArrayLike, *, layout: LayoutLike = None) -> Array:
    """The sum over each example's own places.

    Args:
        x: (N, spatial..., C).
        sizes: rows of each example on each spatial axis, (N, axes).
        layout: as in `conv`.

    Returns:
        (N, C).

    Raises:
        ConvError: if the sizes do not fit x.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> jconv.ragged.sum(jnp.ones((2, 3, 1)), jnp.array([3, 1])).tolist()
        [[3.0], [1.0]]
    """
    batch, _ = read_array("ragged.sum", x, layout)
    kept = keep(batch, read_sizes("ragged.sum", sizes, batch.shape))
    return jnp.sum(kept, axis=tuple(range(1, batch.ndim - 1)))


def mean(x: ArrayLike, sizes: ArrayLike, *, layout: LayoutLike = None) -> Array:
    """The mean over each example's own places: global average pooling; 0 where there are none.

    Args:
        x: (N, spatial..., C).
        sizes: rows of each example on each spatial axis, (N, axes).
        layout: as in `conv`.

    Returns:
        (N, C).

    Raises:
        ConvError: if the sizes do not fit x.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> jconv.ragged.mean(jnp.ones((2, 3, 1)), jnp.array([3, 1])).tolist()
        [[1.0], [1.0]]
    """
    batch, _ = read_array("ragged.mean", x, layout)
    own = read_sizes("ragged.mean", sizes, batch.shape)
    total = jnp.sum(keep(batch, own), axis=tuple(range(1, batch.ndim - 1)))
    places = jnp.asarray(math.prod(own[:, a] for a in range(own.shape[1])))
    return total / jnp.maximum(places, 1)[:, None].astype(jnp.result_type(total, 1.0))
