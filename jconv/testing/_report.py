"""What a check found, as a value that prints."""

from __future__ import annotations

import dataclasses
from typing import Any

from jconv.testing._cases import Case
from jconv.testing._questions import RECORDS


@dataclasses.dataclass(frozen=True)
class Finding:
    """One property that does not hold.

    Attributes:
        operation: of the implementation's, which one.
        property: what does not hold: "values", "gradients in w", "vmap" and so on.
        failed: in how many cases.
        asked: of how many.
        case: the smallest failing case, shrunk.
        told: what is wrong there.
        cause: the likeliest cause by name, "" if none fits.
        explanation: the cause in words, and how much of the failure it explains.
        call: a call that shows it.
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
    """What operations refused, by their own word."""

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
        name: of what was checked.
        findings: the properties that do not hold, the likeliest to be at the root first.
        refused: what the implementation said is not for it.
        missing: the operations that it does not have.
        checked: how many arrays were compared with the oracle's.
        unanswered: the operations that refused everything.
        exact: whether all answers in whole numbers were right to the last bit, which those are
            that form the products of the definition.
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
        how = "" if self.exact else ", rounded where exact sums would be whole numbers"
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


def symbols(operation: str) -> dict[str, str]:
    """What an operation calls its operands, by slot."""
    return {slot: name for name, slot in RECORDS[operation].arrays.items()}


def call_text(operation: str, case: Case, keywords: dict[str, Any], way: str) -> str:
    """A call in words, such as conv(x (1, 3, 1), w (2, 1, 1), stride=2)."""
    shapes = {"x": case.x_shape, "w": case.w_shape, "y": case.y_shape}
    arguments = [f"{name} {shapes[slot]}" for slot, name in symbols(operation).items()]
    arguments += [f"{name}={value!r}" for name, value in keywords.items()]
    text = f"{operation}({', '.join(arguments)})"
    return text if way == "value" else f"{text}, by {way}"
