"""space_to_batch: a filter of dilation d as a dense filter on each of d interleaved images.

At stride 1 an output reads only rows of one residue modulo d, so the rows of each residue are a
image of their own. With these images in the batch, the filter is not dilated.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from jconv._algorithms import cost
from jconv._algorithms.batches import chunk, in_chunks, unjoined_bytes
from jconv._algorithms.compiling import OfPart, Work
from jconv._algorithms.legs import part_of, widen
from jconv._algorithms.record import Algorithm, Planner, static_in_parts
from jconv._algorithms.windows import resize
from jconv._core.geometry import Axis
from jconv._core.problem import OPERANDS, OUTPUT, Problem, Slot, itemsize


def dense(problem: Problem) -> Problem:
    """The convolution of all of these images, which are its batch."""
    axes = []
    for axis in problem.axes:
        # o + d*k = i + p0 with o = d*u + c and i + p0 = d*v + c: output u reads row v = u + k.
        o = -(-axis.o // axis.d)
        axes.append(Axis(i=o + axis.k - 1, k=axis.k, o=o))
    apart = math.prod(axis.d for axis in problem.axes)
    return part_of(problem, axes=tuple(axes), n=problem.n * apart)


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    if problem.leg == "filter_grad":
        one = lambda x, g: _run(problem.replace(n=x.shape[0]), planner, x, g)  # noqa: E731
        return in_chunks(one, (a, b), images(problem), total=True)
    one = lambda a: _run(problem.replace(n=a.shape[0]), planner, a, b)  # noqa: E731
    return in_chunks(one, (a,), images(problem))


def images(problem: Problem) -> int:
    """Images to a chunk of the batch."""
    part = dense(problem)
    elements = sum(math.prod(part.shape(slot)) for slot in _cut_up(problem))
    return chunk(problem.n, 2 * elements // problem.n * itemsize(problem.wide_dtype))


def _run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    part = dense(problem)
    operands = [
        array if slot == "w" else _to_images(problem, part, slot, array)
        for slot, array in zip(OPERANDS[problem.leg], (a, b), strict=True)
    ]
    result = planner.run(part, *operands)
    slot = OUTPUT[problem.leg]
    return result if slot == "w" else _from_images(problem, part, slot, result)


def _sizes(problem: Problem, part: Problem, slot: Slot):
    """For each axis: dilation, rows of a part, rows of the whole, and its low padding."""
    for axis, small in zip(problem.axes, part.axes, strict=True):
        if slot == "x":
            yield axis.d, small.i, axis.i, axis.p0
        else:
            yield axis.d, small.o, axis.o, 0


def _to_images(problem: Problem, part: Problem, slot: Slot, array: jax.Array) -> jax.Array:
    shape = [problem.n]
    for dim, (d, rows, _, low) in enumerate(_sizes(problem, part, slot), start=1):
        array = resize(array, dim, low, rows * d)
        shape += [rows, d]
    rank, channels = problem.rank, array.shape[-1]
    array = array.reshape(*shape, channels)
    # (N, r1, d1, r2, d2, ..., C) to (N, d1, d2, ..., r1, r2, ..., C)
    order = [0, *range(2, 2 * rank + 1, 2), *range(1, 2 * rank, 2), 2 * rank + 1]
    array = jnp.transpose(array, order)
    return array.reshape(part.n, *(r for _, r, _, _ in _sizes(problem, part, slot)), channels)


def _from_images(problem: Problem, part: Problem, slot: Slot, array: jax.Array) -> jax.Array:
    sizes = list(_sizes(problem, part, slot))
    rank, channels = problem.rank, array.shape[-1]
    array = array.reshape(
        problem.n, *(d for d, *_ in sizes), *(r for _, r, _, _ in sizes), channels
    )
    order = [0]
    for dim in range(rank):
        order += [1 + rank + dim, 1 + dim]
    array = jnp.transpose(array, [*order, 2 * rank + 1])
    array = array.reshape(problem.n, *(d * r for d, r, _, _ in sizes), channels)
    for dim, (_, _, size, low) in enumerate(sizes, start=1):
        array = resize(array, dim, -low, size)
    return array


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_in_parts(problem, platform):
        return reason
    if all(axis.d == 1 for axis in problem.axes):
        return "only supports filter dilation"
    if any(axis.s > 1 or axis.b > 1 for axis in problem.axes):
        return "only supports stride 1 and no input dilation"
    return None


def seconds(problem: Problem, planner: Planner) -> float:
    part = dense(problem)
    made = [math.prod(part.shape(slot)) for slot in _cut_up(problem)]
    calls = problem.n / images(problem)
    multiply = calls * planner.cost(dense(problem.replace(n=images(problem))))
    return multiply + cost.moved(problem, 4 * sum(made)) + cost.kernels(6, calls)


def _cut_up(problem: Problem) -> list[Slot]:
    return [s for s in (*OPERANDS[problem.leg], OUTPUT[problem.leg]) if s != "w"]


def workspace(problem: Problem, platform: str) -> int:
    """A chunk's images; the planner adds what their convolution takes."""
    size, part = images(problem), dense(problem)
    held = sum(math.prod(part.shape(slot)) for slot in _cut_up(problem)) * size // problem.n
    wide = itemsize(problem.wide_dtype)
    total = cost.widened(problem) + held * wide
    if problem.leg != "filter_grad":  # whose chunks are added up
        total += unjoined_bytes(problem.n, size, math.prod(problem.out_shape) * wide)
    return total


def compiling(problem: Problem, of_part: OfPart) -> Work:
    chunks = -(-problem.n // images(problem))
    return (Work(kernels=5) + of_part(dense(problem))).again(chunks - 1)


def local(problem: Problem) -> str | None:
    if problem.leg == "filter_grad" and any(axis.o % axis.d for axis in problem.axes):
        return "would multiply added zeros of g with rows of x that no window reads"
    return None


SPACE_TO_BATCH = Algorithm(
    name="space_to_batch",
    supports=supports,
    cost=seconds,
    run=run,
    workspace=workspace,
    parts=lambda problem: [dense(problem.replace(n=images(problem)))],
    compiling=compiling,
    local=local,
)
