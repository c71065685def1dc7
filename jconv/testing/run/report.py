"""A report: what a check found, as records that print."""

from __future__ import annotations

import dataclasses
from typing import Any

from jconv.testing.oracle.case import Case, shapes_of
from jconv.testing.oracle.legs import argument_names


@dataclasses.dataclass(frozen=True)
class Finding:
    """One property that does not hold.

    Attributes:
        operation: the operation that fails.
        property: what does not hold: "values", "gradients in w", "vmap" and so on.
        failed: in how many cases it does not hold.
        asked: in how many cases it was checked.
        case: the smallest failing case, shrunk.
        told: what is wrong in that case.
        cause: the likeliest cause by name, "" if none fits.
        explanation: the cause in words, and how much of the failure it explains.
        call: a call that fails, with the case's arguments.
        details: the arrays of that call, where they are small.
        follows: whether an earlier finding on this operation has the same cause.
    """

    operation: str
    property: str
    failed: int
    asked: int
    case: Case
    told: str
    cause: str
    explanation: str
    call: str = ""
    details: str = ""
    follows: bool = False

    def __str__(self) -> str:
        head = f"FAILED {self.operation}: {self.property}: {self.failed} of {self.asked} cases"
        if self.follows:
            return f"{head}: {self.cause or 'unknown'}, as above"
        lines = [
            head,
            f"  likeliest cause: {self.cause or 'unknown'}",
            f"      {self.explanation}",
            f"  smallest failing case: {self.told}",
            f"      {self.call}",
        ]
        return "\n".join(lines + [f"      {line}" for line in self.details.splitlines()])


@dataclasses.dataclass(frozen=True)
class Refused:
    """What operations say that they do not support.

    Attributes:
        reason: the exception's message, or the keyword that the operation lacks.
        operations: those that refused something for this reason.
        properties: what could not be checked.
        cases: the names of the cases that were refused.
    """

    reason: str
    operations: tuple[str, ...]
    properties: tuple[str, ...]
    cases: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(self.cases[:4]) + (", ..." if len(self.cases) > 4 else "")
        by, of = ", ".join(self.operations), ", ".join(self.properties)
        return f"refused by {by}: {self.reason}\n  {of}; {len(self.cases)} cases: {shown}"


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """What a check found: true if nothing is wrong, and printed as a text that says what is.

    Attributes:
        name: of the implementation.
        findings: the properties that do not hold, in the order in which they were checked.
        refused: what the implementation says that it does not support.
        missing: the operations that it does not have.
        checked: how many arrays were compared with the oracle's.
        unanswered: the operations that refused everything.
        exact: whether all answers in whole numbers were right to the last bit, as those of an
            implementation are that forms the products of the definition and no others.
    """

    name: str
    findings: tuple[Finding, ...] = ()
    refused: tuple[Refused, ...] = ()
    missing: tuple[str, ...] = ()
    checked: int = 0
    unanswered: tuple[str, ...] = ()
    exact: bool = True

    @property
    def ok(self) -> bool:
        """Whether every operation answered something, and all that it answered was right."""
        return not self.findings and self.checked > 0 and not self.unanswered

    def __bool__(self) -> bool:
        return self.ok

    @property
    def cause(self) -> str:
        """The likeliest cause of the first finding, "" if there is none."""
        return self.findings[0].cause if self.findings else ""

    def raise_if_failed(self) -> Report:
        """This report, if nothing is wrong.

        Raises:
            AssertionError: with this report as its message.
        """
        __tracebackhide__ = True  # of pytest's: the report says it all
        if not self.ok:
            raise AssertionError(f"\n{self}")
        return self

    def __repr__(self) -> str:
        return str(self)  # which is what pytest shows of `assert report.ok, report`

    def __str__(self) -> str:
        how = "" if self.exact else ", sums of whole numbers rounded"
        head = (
            f"{self.name}: {'ok' if self.ok else 'NOT OK'}: {self.checked:,} arrays compared{how}"
        )
        if not self.checked:
            head += "; nothing was answered, so nothing is known"
        elif self.unanswered:
            head += f"; refused everything: {', '.join(self.unanswered)}"
        lines = [head, *map(str, self.findings), *map(str, self.refused)]
        if self.missing:
            lines.append(f"not there, and so not checked: {', '.join(self.missing)}")
        return "\n".join(lines)


def call_text(operation: str, case: Case, keywords: dict[str, Any], way: str) -> str:
    """A call in words, such as conv(x (1, 3, 1), w (2, 1, 1), stride=2)."""
    shapes = shapes_of(case)
    arguments = [f"{name} {shapes[slot]}" for slot, name in argument_names(operation).items()]
    arguments += [f"{name}={value!r}" for name, value in keywords.items()]
    text = f"{operation}({', '.join(arguments)})"
    return text if way == "value" else f"{text}, by {way}"
