"""phase: a stride undone by residues: one stride-1 problem for each class of output rows.

The backprop in x puts a product at row t = s*o + k of the padded input. With t = s*u + c, the
rows of one residue c meet only the taps k = s*q + c, at u = o + q: the input backprop of a
convolution of stride 1 with a part of the filter. Input dilation in a forward convolution is
the same thing seen from the other side: the outputs o = b*u + c meet the taps that make
o + k - p0 divisible by b. The results interleave; no zero is ever multiplied.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import _cost
from jconv._algorithms._arrange import chunk, in_chunks, interleave, part_of, waiting_chunks, widen
from jconv._algorithms._record import Algorithm, Planner, always_local, static
from jconv._core.geometry import Axis
from jconv._core.problem import Problem, itemsize

MOST_RESIDUES = 64  # of all axes together: each is a convolution to compile


def _classes(axis: Axis, leg: str) -> list[tuple[range, Axis]]:
    """The taps of each residue, and the axis of its own problem; all make as many rows."""
    step, start = (axis.s, axis.p0) if leg == "input_grad" else (axis.b, -axis.p0)
    size = axis.i if leg == "input_grad" else axis.o
    low = start // step  # u of the first row; the rows before `start` are dropped again
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
    """Images to a chunk of the batch: what is made is held twice, as phases and interleaved."""
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


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static(problem, platform):
        return reason
    if any(axis.d > 1 for axis in problem.axes):
        return "is not for filter dilation"
    if problem.leg == "filter_grad":
        return "is for results that interleave"
    if problem.leg == "input_grad":
        apart, joined = [axis.s for axis in problem.axes], [axis.b for axis in problem.axes]
    else:
        apart, joined = [axis.b for axis in problem.axes], [axis.s for axis in problem.axes]
    if max(joined) > 1:
        return "is not for a stride and an input dilation at once"
    if math.prod(apart) > MOST_RESIDUES:
        return f"makes over {MOST_RESIDUES} convolutions here, which compile slowly"
    return "there is no stride to undo" if max(apart) == 1 else None


def cost(problem: Problem, planner: Planner) -> float:
    calls = problem.n / images(problem)
    total, made, classes = 0.0, 0, 0
    for count, part in different_parts(problem.replace(n=images(problem))):
        total += 0.0 if part.empty else count * planner.cost(part)
        made += count * math.prod(part.out_shape)
        classes += count
    total += _cost.moved(problem, 4 * made)
    return calls * total + _cost.kernels(2 * classes, calls)


def different_parts(problem: Problem) -> Iterator[tuple[int, Problem]]:
    """The problems of `parts` that differ, each with how many residues have it."""
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
    return _cost.widened(problem) + held * wide + waiting_chunks(problem.n, size, out * wide)


PHASE = Algorithm(
    name="phase",
    exact=True,
    error=2.0,
    supports=supports,
    cost=cost,
    workspace=workspace,
    run=run,
    local=always_local,
)
