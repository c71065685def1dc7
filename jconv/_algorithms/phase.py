"""phase: one convolution of stride 1 for each residue of the stride, and their results interleaved.

The input backprop adds a product to row t = s*o + k of the padded input. With t = s*u + c, the
rows of one residue c meet only the taps k = s*q + c, at u = o + q. That is the input backprop of
a convolution of stride 1 with a part of the filter. A forward convolution with input dilation b is
alike: the outputs with o - p0 = b*u + c meet the taps k = b*q + (-c mod b). No zero is ever
multiplied.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import cost
from jconv._algorithms.batches import chunk, in_chunks, unjoined_bytes
from jconv._algorithms.compiling import OfPart, Work
from jconv._algorithms.legs import part_of, widen
from jconv._algorithms.record import Algorithm, Planner, always_local, static_in_parts
from jconv._core.geometry import Axis
from jconv._core.problem import Problem, itemsize

MAX_RESIDUES = 64  # residues of all axes together; each is a convolution to compile


def _classes(axis: Axis, leg: str) -> list[tuple[range, Axis]]:
    """The taps and the axis of each residue's problem; all make equally many rows."""
    step, start = (axis.s, axis.p0) if leg == "input_grad" else (axis.b, -axis.p0)
    size = axis.i if leg == "input_grad" else axis.o
    low = start // step  # u of the first row; `run` drops the rows before `start`
    count = -(-(start + size) // step) - low
    classes = []
    for c in range(step):
        if leg == "input_grad":
            taps = range(c, axis.k, step)
            part = Axis(i=count, k=len(taps), o=axis.o, p0=low)
        else:
            # o - p0 = b*u + c and k = b*q + (-c mod b) give i = u + q + (c > 0).
            taps = range(-c % step, axis.k, step)
            part = Axis(i=axis.i, k=len(taps), o=count, p0=-(low + (c > 0)))
        classes.append((taps, part))
    return classes


def parts(problem: Problem) -> Iterator[tuple[tuple[range, ...], Problem]]:
    """The taps and the problem of every combination of residues, the last axis fastest."""
    for combination in itertools.product(*(_classes(a, problem.leg) for a in problem.axes)):
        taps, axes = zip(*combination, strict=True)
        yield taps, part_of(problem, axes=axes)


def run(problem: Problem, planner: Planner, a: jax.Array, w: jax.Array) -> jax.Array:
    a, w = widen(problem, a, w)
    one = lambda a: _run(problem.replace(n=a.shape[0]), planner, a, w)  # noqa: E731
    return in_chunks(one, (a,), images(problem))


def images(problem: Problem) -> int:
    """Images to a chunk of the batch; results are held twice, apart and interleaved."""
    made = 2 * math.prod(problem.out_shape) // problem.n * itemsize(problem.wide_dtype)
    return chunk(problem.n, made)


def _run(problem: Problem, planner: Planner, a: jax.Array, w: jax.Array) -> jax.Array:
    made = []
    for taps, part in parts(problem):
        if part.empty:
            made.append(jnp.zeros(part.out_shape, w.dtype))
            continue
        starts = [each.start for each in taps]
        steps = [each.step for each in taps]
        picked = lax.slice(w, [*starts, 0, 0], w.shape, [*steps, 1, 1])
        made.append(planner.run(part, a, picked))
    inward = problem.leg == "input_grad"
    drops, sizes = [], []
    for dim in reversed(range(problem.rank)):
        axis = problem.axes[dim]
        step, start = (axis.s, axis.p0) if inward else (axis.b, -axis.p0)
        if step > 1:
            made = [interleave(made[i : i + step], dim + 1) for i in range(0, len(made), step)]
        drops.insert(0, start % step)
        sizes.insert(0, axis.i if inward else axis.o)
    (whole,) = made
    stops = [drop + size for drop, size in zip(drops, sizes, strict=True)]
    return lax.slice(whole, [0, *drops, 0], [whole.shape[0], *stops, whole.shape[-1]])


def interleave(phases: list[jax.Array], dim: int) -> jax.Array:
    """The rows of the phases in turn, along one dimension.

    They are joined along the flattened last dimension, where a join copies long runs of memory.
    """
    shape = phases[0].shape
    flat = [p.reshape(*shape[: dim + 1], -1) for p in lax.optimization_barrier(phases)]
    joined = lax.concatenate(flat, dim + 1)
    return joined.reshape(*shape[:dim], len(phases) * shape[dim], *shape[dim + 1 :])


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_in_parts(problem, platform):
        return reason
    if any(axis.d > 1 for axis in problem.axes):
        return "does not support filter dilation"
    if problem.leg == "filter_grad":
        return "does not support filter backprops"
    if problem.leg == "input_grad":
        apart, joined = [axis.s for axis in problem.axes], [axis.b for axis in problem.axes]
    else:
        apart, joined = [axis.b for axis in problem.axes], [axis.s for axis in problem.axes]
    if max(apart) == 1:
        inward = problem.leg == "input_grad"
        return "only supports a stride above 1" if inward else "only supports input dilation"
    if max(joined) > 1:
        return "does not support a stride together with an input dilation"
    if math.prod(apart) > MAX_RESIDUES:
        return f"would make over {MAX_RESIDUES} convolutions, which compile slowly"
    return None


def seconds(problem: Problem, planner: Planner) -> float:
    calls = problem.n / images(problem)
    total, made, classes = 0.0, 0, 0
    for count, part in different_parts(problem.replace(n=images(problem))):
        total += 0.0 if part.empty else count * planner.cost(part)
        made += count * math.prod(part.out_shape)
        classes += count
    total += cost.moved(problem, 4 * made)
    return calls * total + cost.kernels(2 * classes, calls)


def different_parts(problem: Problem) -> Iterator[tuple[int, Problem]]:
    """The different problems of `parts`, each with the number of residues that have it."""
    axes = [
        collections.Counter(part for _, part in _classes(axis, problem.leg)).items()
        for axis in problem.axes
    ]
    for combination in itertools.product(*axes):
        parts, counts = zip(*combination, strict=True)
        yield math.prod(counts), part_of(problem, axes=parts)


def workspace(problem: Problem, platform: str) -> int:
    """A chunk's phases, apart and interleaved; the planner adds what a part takes."""
    size, out = images(problem), math.prod(problem.out_shape)
    held = 2 * size * out // problem.n + math.prod(problem.shape("w"))
    wide = itemsize(problem.wide_dtype)
    return cost.widened(problem) + held * wide + unjoined_bytes(problem.n, size, out * wide)


def compiling(problem: Problem, of_part: OfPart) -> Work:
    chunks, total = -(-problem.n // images(problem)), Work()
    for count, part in different_parts(problem):
        total += Work(kernels=2 * count) + of_part(part).again(count - 1)
    return total.again(chunks - 1)


def handed_on(problem: Problem) -> list[Problem]:
    return [part for _, part in different_parts(problem.replace(n=images(problem)))]


PHASE = Algorithm(
    name="phase",
    supports=supports,
    cost=seconds,
    run=run,
    workspace=workspace,
    parts=handed_on,
    compiling=compiling,
    local=always_local,
)
