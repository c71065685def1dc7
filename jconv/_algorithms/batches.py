"""A leg over chunks of its batch, so that temporaries stay in cache."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._core.xla_cpu import kept_apart, traced_once

CHUNK_BYTES = 1 << 24  # bytes of temporaries for one chunk; more would leave the L3 cache
MAX_CHUNKS = 16  # chunks of a batch; XLA schedules each of them as a computation


def in_chunks(
    fn: Callable[..., jax.Array],
    arrays: tuple[jax.Array, ...],
    size: int,
    *,
    total: bool = False,
) -> jax.Array:
    """fn of chunks of the leading dimension, joined again or (`total`) added up.

    Temporaries then stay in cache: XLA's CPU runtime takes fresh pages for large ones on every
    call, and page faults cost more than the arithmetic. Chunks are calls of one computation. In
    a loop instead, XLA's CPU compiler would give every fused kernel one thread only.
    """
    n = arrays[0].shape[0]
    if size >= n:
        return fn(*arrays)

    # The call itself cuts its chunk: slices made outside would all be held at once.
    @functools.partial(jax.jit, static_argnums=1)
    def part(at: Any, size: int, *arrays: jax.Array) -> jax.Array:
        return fn(*(lax.dynamic_slice_in_dim(a, at, size) for a in arrays))

    @functools.partial(jax.jit, static_argnums=1)
    def put(at: Any, size: int, joined: jax.Array, *arrays: jax.Array) -> jax.Array:
        made = traced_once(part)(at, size, *arrays)
        return lax.dynamic_update_slice_in_dim(joined, made, at, 0)

    spans = [(at, min(size, n - at)) for at in range(0, n, size)]
    call = kept_apart(part)
    if total:
        return functools.reduce(lax.add, [call(*span, *arrays) for span in spans])
    like = part.eval_shape(*spans[0], *arrays)
    if n * like.size // size * like.dtype.itemsize <= CHUNK_BYTES:
        return lax.concatenate([call(*span, *arrays) for span in spans], 0)
    # Slices are made inside, and so is each part of a large result put in its place.
    joined = jnp.zeros((n, *like.shape[1:]), like.dtype)
    for span in spans:
        joined = kept_apart(put)(*span, joined, *arrays)
    return joined


def one_by_one(fn: Callable[[jax.Array], jax.Array], a: jax.Array, most: int) -> jax.Array:
    """fn of each example of a batch by itself, as one computation whatever the batch.

    Up to `most` examples are calls side by side, whose kernels share their work among threads.
    More are a loop, whose time to compile does not grow with the batch.
    """
    call = kept_apart(jax.jit(fn))
    n = a.shape[0]
    if isinstance(n, int) and n <= min(most, MAX_CHUNKS):
        return lax.concatenate([call(lax.slice_in_dim(a, at, at + 1)) for at in range(n)], 0)
    return lax.map(lambda example: call(example[None])[0], a)


def chunk(n: int, image: int, limit: int = CHUNK_BYTES) -> int:
    """Images in a chunk, at `image` bytes of temporaries each; equal chunks where possible."""
    fewest = min(max(-(-n * image // limit), 1), MAX_CHUNKS, max(n, 1))
    even = (count for count in range(fewest, min(2 * fewest, MAX_CHUNKS, n) + 1) if n % count == 0)
    return -(-n // next(even, fewest))


def spans(total: int, most: int) -> list[tuple[int, int]]:
    """(first, size) of the fewest parts of at most `most`; sizes differ by one at most."""
    count = -(-total // most)
    least, larger = divmod(total, count)
    sizes = [least + 1] * larger + [least] * (count - larger)
    return list(zip(itertools.accumulate(sizes, initial=0), sizes, strict=False))


def unjoined_bytes(n: int, size: int, result: int) -> int:
    """Bytes of a result's parts that wait to be joined while the last chunk is computed."""
    return result * max(n - size, 0) // n if 0 < result <= CHUNK_BYTES else 0
