"""Predicted seconds to compile a leg, from what each algorithm leaves to XLA's CPU compiler.

Three things take the time: kernels (a fused loop or a library call with what lies around it),
more calls of a kernel that is there already, and the terms of a fused sum of slices, each of
which is a chain of operations to trace, to simplify and to emit. Nothing depends on the sizes of
arrays otherwise.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from jconv._algorithms import col2im, gemm, grouped, phase, space_to_batch, windows
from jconv._algorithms.taps import filter_grads, window_sums
from jconv._algorithms.winograd import tile_size
from jconv._core.problem import Problem

LIMIT = 1.0  # seconds to compile; above, a slower algorithm may be chosen (WORTH_COMPILING)
LIMIT_OF_CALLS = 4.0  # seconds to compile; calls for each example are a loop where they take longer
TERMS_OF_A_CALL = 0.25  # a term in a kernel that is called again costs this share of a call


@dataclasses.dataclass(frozen=True)
class Seconds:
    """What each thing takes on the processor.

    Fitted by benchmarks/compile_time.py to 571 programs, every algorithm of 200 random legs
    compiled alone, on two cores of an AMD EPYC of the third generation with jaxlib 0.10. A program
    is off by a factor of 1.5 in the mean; chains of dilated terms on three axes by up to six.
    """

    program: float = 0.019  # an entry computation with one operation
    kernel: float = 0.018
    call: float = 0.0088  # a further call of a kernel
    term: float = 0.0031  # along one axis, of a fused sum of slices


SECONDS = Seconds()


@dataclasses.dataclass(frozen=True)
class Work:
    """How many kernels, further calls of kernels, and terms of sums, axis by axis."""

    kernels: float = 0.0
    calls: float = 0.0
    terms: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.kernels + other.kernels, self.calls + other.calls, self.terms + other.terms
        )

    @property
    def copied(self) -> float:
        """Calls that one more call of this work costs, since XLA copies what it calls."""
        return self.kernels + self.calls + TERMS_OF_A_CALL * self.terms

    def again(self, times: float) -> Work:
        """This work, and `times` more calls of it."""
        return dataclasses.replace(self, calls=self.calls + times * self.copied)

    @property
    def seconds(self) -> float:
        s = SECONDS
        return s.program + s.kernel * self.kernels + s.call * self.calls + s.term * self.terms


Chosen = Callable[[Problem], str]  # the algorithm of a part of a problem


def compile_seconds(name: str, problem: Problem, chosen: Chosen) -> float:
    """Predicted seconds to compile one algorithm of a leg on CPU, with nothing else around it.

    Args:
        name: the algorithm, which supports the problem.
        problem: the leg; 0 seconds more than a program's own where it has symbolic sizes.
        chosen: what runs a part that an algorithm hands back to the planner.
    """
    return work(name, problem, chosen).seconds


def most_calls(name: str, problem: Problem, chosen: Chosen) -> int:
    """How many calls of one algorithm's program compile within `LIMIT_OF_CALLS`; at least one."""
    once = work(name, problem, chosen)
    left = max(LIMIT_OF_CALLS - once.seconds, 0.0)
    return 1 + int(left / (SECONDS.call * max(once.copied, 1.0)))


def work(name: str, problem: Problem, chosen: Chosen) -> Work:
    """What one algorithm of a leg leaves to the compiler; nothing is known of symbolic sizes."""
    if not problem.static or problem.empty or problem.vmapped:
        return Work()
    return WORK.get(name, _few_kernels)(problem, chosen)


def _direct(problem: Problem, chosen: Chosen) -> Work:
    return Work(kernels={"conv": 0, "input_grad": 2, "filter_grad": 6}[problem.leg])


def _gemm(problem: Problem, chosen: Chosen) -> Work:
    chunks = -(-problem.n // gemm.images(problem))
    if problem.leg == "input_grad" and not gemm.pointwise(problem):
        counts = (-(-axis.k // axis.s) if axis.d == 1 else axis.k for axis in problem.axes)
        terms = math.prod(counts) * problem.rank
        return Work(1 + col2im.count_loops(problem.axes), 0, terms).again(chunks - 1)
    if gemm.pointwise(problem):
        return Work(kernels=1)
    return Work(kernels=6).again(chunks - 1)


def _taps(problem: Problem, chosen: Chosen) -> Work:
    if problem.leg != "filter_grad":
        axes = problem.window_axes
        apart = problem.leg == "input_grad" and 1 < problem.f <= window_sums.MAX_SUMS
        sums = problem.f if apart else 1
        size = math.prod(problem.shape("x")) * 4
        regions = 2 * problem.rank + 1 if window_sums.framed(axes, size) else 1
        terms = window_sums.count_terms(axes) * problem.rank * sums
        return Work(2 + 2 * regions + sums, 0, terms * regions)
    images = filter_grads.images(problem)
    blocks = -(-problem.axes[0].o // filter_grads.rows_at_once(problem))
    batches = -(-problem.n // images)
    different = blocks * (2 if problem.n % batches else 1)  # sizes of batches differ by one
    terms = 2 * windows.MAX_TERMS_PER_LOOP * problem.rank  # of x, and of its windows
    each = Work(kernels=6 * different, terms=different * terms)
    return each.again(batches - 1)


def _grouped(problem: Problem, chosen: Chosen) -> Work:
    count = grouped.blocks_of(problem)
    filters = problem.groups  # cut out one by one, and set among zeros where they are merged
    part = grouped.block_problem(problem)
    return Work(kernels=count + filters) + _part(part, chosen).again(count - 1)


def _phase(problem: Problem, chosen: Chosen) -> Work:
    chunks, total = -(-problem.n // phase.images(problem)), Work()
    for count, part in phase.different_parts(problem):
        total += Work(kernels=2 * count) + _part(part, chosen).again(count - 1)
    return total.again(chunks - 1)


def _space_to_batch(problem: Problem, chosen: Chosen) -> Work:
    chunks = -(-problem.n // space_to_batch.images(problem))
    return (Work(kernels=5) + _part(space_to_batch.dense(problem), chosen)).again(chunks - 1)


def _few_kernels(problem: Problem, chosen: Chosen) -> Work:
    """One that is a handful of kernels, or that has no formula here."""
    return Work(kernels=6)


def _winograd(problem: Problem, chosen: Chosen) -> Work:
    *lead, last = tile_size.tiles_of(problem.window_axes, tile_size.choose_outputs(problem))
    lines = math.prod(tile.products for tile in lead)
    operands = 2 if problem.leg == "filter_grad" else 1
    return Work(kernels=1.5 * operands * (lines + last.products) + 4, calls=lines)


def _part(problem: Problem, chosen: Chosen) -> Work:
    return work(chosen(problem), problem, chosen)


WORK: dict[str, Callable[[Problem, Chosen], Work]] = {
    "direct": _direct,
    "gemm": _gemm,
    "taps": _taps,
    "grouped": _grouped,
    "phase": _phase,
    "space_to_batch": _space_to_batch,
    "wide": _few_kernels,
    "winograd": _winograd,
    "fft": lambda problem, chosen: Work(kernels=10),
}
