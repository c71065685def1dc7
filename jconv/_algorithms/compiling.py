"""What an algorithm leaves to XLA's CPU compiler, and the seconds that this is predicted to take.

Three things take the time: kernels (a fused loop or a library call with what lies around it),
more calls of a kernel that is there already, and the terms of a fused sum of slices, each of
which is a chain of operations to trace, to simplify and to emit. Nothing depends on the sizes of
arrays otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from jconv._core.problem import Problem

TERMS_OF_A_CALL = 0.25  # a term in a kernel that is called again costs this share of a call


@dataclasses.dataclass(frozen=True)
class Seconds:
    """What each thing takes on the processor.

    Fitted by least squares of the relative error to 420 programs, each algorithm of random legs
    compiled alone. The machine was busy, so all four were then halved by hand, which gives the
    three legs of a 3x3 convolution by Winograd's tiles the two seconds that they took on a quiet
    machine. On a busy one, 30 other legs took 2.6 times the prediction. To be fitted anew by
    benchmarks/compile_time.py --every and --fit.
    """

    program: float = 0.0125  # an entry computation with one operation
    kernel: float = 0.011
    call: float = 0.005  # a further call of a kernel
    term: float = 0.0023  # along one axis, of a fused sum of slices


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

    def again(self, times: float) -> Work:
        """This work, and `times` more calls of what it has compiled, which XLA copies for each."""
        each = self.kernels + self.calls + TERMS_OF_A_CALL * self.terms
        return dataclasses.replace(self, calls=self.calls + times * each)

    @property
    def seconds(self) -> float:
        s = SECONDS
        return s.program + s.kernel * self.kernels + s.call * self.calls + s.term * self.terms


OfPart = Callable[[Problem], Work]  # the work of a problem that is handed on to the planner


def few_kernels(problem: Problem, of_part: OfPart) -> Work:
    """The work of an algorithm that is a handful of kernels, or that has no formula of its own."""
    return Work(kernels=6)
