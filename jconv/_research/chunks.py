"""Functions of many examples run on a few of them at a time, so that temporaries stay small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

# Bytes of temporaries in one turn of a loop, unless the policy's workspace is less: about what
# stays in a CPU's cache.
CHUNK_BYTES = 1 << 23


def map_chunks(fn: Callable[..., Any], arrays: Sequence[Any], size: int) -> Any:
    """fn over all examples, at most `size` of them in one turn of a loop.

    Args:
        fn: a function of trees of arrays with examples in front, which returns an array with the
            same number of examples in front, each the result of one example.
        arrays: its arguments; all have as many examples.
        size: examples in one turn, at most.

    Where a mesh is in force, a turn takes examples at equal distances from the whole
    batch. A turn then has the same number of examples from each device's part of the batch, if
    the number of parts divides the turn. Without a mesh it takes neighbours, which need no copy.
    """
    examples = jax.tree.leaves(arrays)[0].shape[0]
    if not isinstance(examples, int):
        return lax.map(lambda one: _first(fn(*_lifted(one))), tuple(arrays))
    if size >= examples:
        return fn(*arrays)
    size = _even(examples, size)
    turns = -(-examples // size)
    apart = not jax.sharding.get_abstract_mesh().empty
    shape = (size, turns) if apart else (turns, size)

    def cut(array: jax.Array) -> jax.Array:
        missing = size * turns - examples
        if missing:
            array = jnp.concatenate([array, jnp.zeros((missing, *array.shape[1:]), array.dtype)])
        array = array.reshape(*shape, *array.shape[1:])
        return jnp.swapaxes(array, 0, 1) if apart else array

    def join(array: jax.Array) -> jax.Array:
        array = jnp.swapaxes(array, 0, 1) if apart else array
        return array.reshape(-1, *array.shape[2:])[:examples]

    results = lax.map(lambda chunk: fn(*chunk), jax.tree.map(cut, tuple(arrays)))
    return jax.tree.map(join, results)


def _even(examples: int, size: int) -> int:
    """A divisor of `examples` near `size`, or else `size`; a divisor saves padding by a copy."""
    divisors = [n for n in range(size, max(1, size // 3) - 1, -1) if examples % n == 0]
    return divisors[0] if divisors else -(-examples // -(-examples // size))


def _lifted(tree: Any) -> Any:
    return jax.tree.map(lambda a: a[None], tree)


def _first(tree: Any) -> Any:
    return jax.tree.map(lambda a: a[0], tree)
