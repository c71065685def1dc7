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
        """Calls that one more call of this work costs, since XLA copies what is called."""
        return self.kernels + self.calls + TERMS_OF_A_CALL * self.terms

    def again(self, times: float) -> Work:
        """This work, and `times` more calls of it."""
        return dataclasses.replace(self, calls=self.calls + times * self.copied)

    @property
    def seconds(self) -> float:
        s = SECONDS
        return s.program + s.kernel * self.kernels + s.call * self.calls + s.term * self.terms


OfPart = Callable[[Problem], Work]  # the work of a problem that is handed on to the planner


def few_kernels(problem: Problem, of_part: OfPart) -> Work:
    """The work of an algorithm that is a handful of kernels, or that has no formula of its own."""
    return Work(kernels=6)
