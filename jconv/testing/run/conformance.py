"""check_conformance: every property of the kit, over its cases, with a report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from jconv.testing.cases.table import CASES, LONG_SUMS
from jconv.testing.oracle.case import Case
from jconv.testing.oracle.legs import OPERATIONS
from jconv.testing.oracle.rounding import HALVES
from jconv.testing.run.ask import Implementation
from jconv.testing.run.findings import examine
from jconv.testing.run.report import Report
from jconv.testing.transformations.questions import Question, natural
from jconv.testing.transformations.ways import WAYS

PROPERTIES = ("values", "sizes", "eager", "complex", "rounding", "derivatives", "transformations")
"""What check_conformance can check."""

DERIVATIVES = (
    *("reverse", "forward", "linear-transpose"),
    *("reverse-over-reverse", "forward-over-reverse", "reverse-over-forward"),
)
TRANSFORMATIONS = tuple(way for way in WAYS if way not in (*DERIVATIVES, "value"))
# The cases that are transformed: few, because transformations compile slowly, but with what they
# may mix up: a batch, groups, equal counts of batch, channels and groups, and another layout.
TRANSFORMED = ("groups-equal-batch", "groups-multiplier-strided", "layout-nchw-asymmetric")


def check_conformance(
    implementation: Any,
    exact: bool | None = None,
    *,
    cases: Sequence[Case] = CASES,
    operations: Sequence[str] = OPERATIONS,
    properties: Sequence[str] = PROPERTIES,
    precision: str | None = "highest",
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Hold an implementation of convolution against the oracle, and say what is wrong with it.

    Every operation runs all cases in small whole numbers, on which any order of summation gives
    the same result. It runs samples of the cases eagerly, in complex numbers, with its result's
    size given in other ways, and under every transformation of JAX's; and it runs long sums of
    real numbers in three precisions, which must be summed in float32 at least.

    Args:
        implementation: an object or module with any of `conv`, `conv_input_grad`,
            `conv_filter_grad` and `conv_transpose`, of jconv's signatures; or a function, which
            is taken for a `conv`. It refuses what it does not support by NotImplementedError, or
            by lacking the keyword; any other exception is a failure.
        exact: True for an implementation that forms the products of the definition and no others:
            whole numbers must come out to the last bit, and real ones within the bound of a sum
            in any order. None allows other products too (Winograd, FFT), within a wider bound;
            the report says whether whole numbers were rounded.
        cases: the configurations.
        operations: which operations to check, of those that the implementation has.
        properties: which of `PROPERTIES` to check.
        precision: the `jax.default_matmul_precision` under which everything runs.
        say: called with a line of progress now and then.

    Returns:
        A Report: `.ok`, `.raise_if_failed()`, `print(report)`.

    Examples:
        >>> import jconv
        >>> from jconv.testing import CASES, check_conformance
        >>> report = check_conformance(jconv, cases=CASES[:2], properties=["values"])
        >>> report.ok, report.exact
        (True, True)
        >>> class Flipped:
        ...     def conv(x, w, **keywords):
        ...         return jconv.conv(x, w[::-1], **keywords)
        >>> check_conformance(Flipped, cases=CASES[:9], properties=["values"]).cause
        'flipped kernel'
    """
    if unknown := {*properties} - {*PROPERTIES}:
        raise ValueError(f"no properties {sorted(unknown)}; there are {', '.join(PROPERTIES)}")
    checked = Implementation(implementation)
    present = [op for op in operations if op in checked.functions]
    missing = tuple(op for op in operations if op not in checked.functions)
    questions = [question for op in present for question in plan(op, cases, properties)]
    with jax.default_matmul_precision(precision) if precision else contextlib.nullcontext():
        answers = checked.ask(questions, say)
        return examine(checked, questions, answers, exact=bool(exact), missing=missing, say=say)


def plan(op: str, cases: Sequence[Case], properties: Sequence[str]) -> Iterator[Question]:
    """The questions that one operation is asked."""
    if op == "conv_transpose":
        cases = [case for case in cases if case.transposable]
    if "values" in properties:
        yield from (Question(case, op) for case in cases)
    if "sizes" in properties:
        yield from _sizes(op, cases)
    if "eager" in properties:
        yield from (Question(case, op, eager=True) for case in _sample(cases, 12))
    if "complex" in properties:
        yield from (Question(case, op, dtype="complex64") for case in _sample(cases, 12))
    if "rounding" in properties:
        for dtype in ("float32", *HALVES):
            for case in LONG_SUMS:
                yield Question(case, op, dtype=dtype, rounded=True)
            yield Question(LONG_SUMS[0], op, "reverse", dtype=dtype, rounded=True)
    if "derivatives" in properties:
        yield from (Question(case, op, "reverse") for case in _sample(cases, 24))
    chosen = [case for case in cases if case.name in TRANSFORMED] or _sample(cases, 2)
    for way in (way for way in WAYS if way in _ways(properties)):
        yield from (Question(case, op, way) for case in chosen)


def _ways(properties: Sequence[str]) -> tuple[str, ...]:
    named = {"derivatives": DERIVATIVES, "transformations": TRANSFORMATIONS}
    return tuple(way for name in properties for way in named.get(name, ()))


def _sizes(op: str, cases: Sequence[Case]) -> Iterator[Question]:
    if op in ("conv_input_grad", "conv_filter_grad"):
        yield from (Question(case, op, given="spatial") for case in _sample(cases, 6))
    if op == "conv_transpose":
        chosen = [(case, natural(case)) for case in _sample(cases, 90)]
        yield from (Question(other, op, given="nothing") for _, other in chosen if other)
        yield from (Question(case, op, given="output_padding") for case, other in chosen if other)


def _sample(cases: Sequence[Case], count: int) -> list[Case]:
    """`count` of the cases, evenly spaced."""
    return list(cases[:: max(len(cases) // count, 1)][:count])
