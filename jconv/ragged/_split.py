"""Ragged operations where explicit mesh axes split the arrays: a device runs its own examples."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

from jconv._core import jax_sharding
from jconv._core.geometry import Shape

Arrays = tuple[jax.Array, ...]


def on_own_examples(
    fn: Callable[..., Any],
    settings: tuple[Any, ...],
    x: jax.Array,
    filters: Arrays,
    sizes: Arrays,
    *,
    rows: Shape,
) -> Any:
    """`fn(*settings, x, *filters, *sizes, rows=rows)`, over explicit mesh axes as a shard_map.

    An example is laid out by its own size, so that its rows and channels are brought together;
    axes that split the batch keep splitting it, the results' too.

    Args:
        fn: the program, whose results' first dimension counts the examples.
        settings: what it is told beside arrays, hashable.
        x: the batch.
        filters: arrays that belong to all examples.
        sizes: arrays of sizes, whose first dimension counts the examples.
        rows: the result's spatial sizes.
    """
    # Channels that are split, and nothing else, every step keeps split by itself.
    split = any(any(jax_sharding.spec_of(jax.typeof(array))[:-1]) for array in (x, *sizes))
    if not split or jax_sharding.mesh_of(*map(jax.typeof, (x, *sizes))) is None:
        return fn(*settings, x, *filters, *sizes, rows=rows)
    return _mapped(fn, settings, rows, x, filters, sizes)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _mapped(
    fn: Callable[..., Any],
    settings: tuple[Any, ...],
    rows: Shape,
    x: jax.Array,
    filters: Arrays,
    sizes: Arrays,
) -> Any:
    mesh = jax_sharding.mesh_of(*map(jax.typeof, (x, *sizes)))
    entries = [jax_sharding.spec_of(jax.typeof(array))[0] for array in (x, *sizes)]
    batch = next((names for names in entries if names is not None), None)

    def placed(array: jax.Array, names: Any) -> jax.Array:
        return jax_sharding.reshard(array, mesh, PartitionSpec(names, *(None,) * (array.ndim - 1)))

    operands = (
        *(placed(array, batch) for array in (x, *sizes)),
        *(placed(array, None) for array in filters),
    )
    specs = (PartitionSpec(batch),) * (1 + len(sizes)) + (PartitionSpec(),) * len(filters)

    def local(x: jax.Array, *others: jax.Array) -> Any:
        own, whole = others[: len(sizes)], others[len(sizes) :]
        return fn(*settings, x, *whole, *own, rows=rows)

    return jax_sharding.shard_map(local, mesh, specs, PartitionSpec(batch))(*operands)
