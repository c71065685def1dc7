"""From answers to a report: what failed, why, and the smallest case that shows it."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jconv.testing.causes.explain import explain_rounding, likeliest
from jconv.testing.causes.features import in_common
from jconv.testing.oracle.case import Case
from jconv.testing.oracle.legs import SLOTS, argument_names
from jconv.testing.run.ask import Answer, Implementation, Refusal
from jconv.testing.run.judge import Verdict, judge
from jconv.testing.run.report import Finding, Refused, Report, call_text
from jconv.testing.run.shrink import shrink, size_of
from jconv.testing.transformations.questions import Question, natural

EVIDENCE = 24  # wrong arrays, and as many right ones, in which a cause is looked for
SHOWN = 12  # the most numbers of an array that a report prints
SYMBOLS = {"x": "x", "w": "w", "y": "g"}  # by slot, for arrays that an operation does not name

Key = tuple[str, str]  # operation, property


def examine(
    checked: Implementation,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    *,
    exact: bool,
    missing: tuple[str, ...] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """The report on what an implementation answered."""
    verdicts: dict[Key, list[Verdict]] = defaultdict(list)
    refusals: dict[str, list[Question]] = defaultdict(list)  # by reason
    for question, answer in zip(questions, answers, strict=True):
        if isinstance(answer, Refusal):
            refusals[answer.reason].append(question)
            continue
        for verdict in judge(question, answer, exact):
            verdicts[question.op, _property(verdict)].append(verdict)
    findings: list[Finding] = []
    for key, group in verdicts.items():
        if any(verdict.wrong for verdict in group):
            say(f"{key[0]}: {key[1]}: failed; looking for the cause")
            before = [finding for finding in findings if finding.operation == key[0]]
            findings.append(_finding(checked, key, group, exact, before))
    answered = {op for op, _ in verdicts}
    return Report(
        name=checked.name,
        findings=tuple(findings),
        refused=tuple(_refused(reason, asked) for reason, asked in refusals.items()),
        missing=missing,
        checked=sum(map(len, verdicts.values())),
        unanswered=tuple(dict.fromkeys(q.op for q in questions if q.op not in answered)),
        exact=not any(verdict.rounded for group in verdicts.values() for verdict in group),
    )


def _refused(reason: str, asked: list[Question]) -> Refused:
    operations = dict.fromkeys(question.op for question in asked)
    properties = dict.fromkeys(question.property for question in asked)
    names = dict.fromkeys(question.case.name for question in asked)
    return Refused(reason, tuple(operations), tuple(properties), tuple(names))


def _property(verdict: Verdict) -> str:
    """The question's property; for a derivative with the array in which it is taken."""
    name, (out, _) = verdict.question.property, SLOTS[verdict.question.op]
    return name if verdict.item.out == out else f"{name} in {SYMBOLS[verdict.item.out]}"


def _finding(
    checked: Implementation, key: Key, group: list[Verdict], exact: bool, before: list[Finding]
) -> Finding:
    failing = sorted((v for v in group if v.wrong), key=lambda v: size_of(v.question.case))
    passing = [v for v in group if not v.wrong]
    cause, explanation = _cause(failing, passing, before)
    follows = any(finding.cause == cause for finding in before)
    # A wrong array says more than an exception, which may come from another bug.
    smallest = next((v for v in failing if v.got is not None), failing[0])
    if not follows:
        smallest = _shrunk(checked, smallest, exact)
    question = smallest.question
    return Finding(
        *key,
        failed=len({v.question for v in failing}),
        asked=len({v.question for v in group}),
        case=question.case,
        told=smallest.wrong,
        cause=cause,
        explanation=explanation,
        call=call_text(question.op, question.case, question.keywords, question.way),
        details=_details(smallest),
        follows=follows,
    )


def _cause(
    failing: list[Verdict], passing: list[Verdict], before: list[Finding]
) -> tuple[str, str]:
    """The likeliest cause, by name and in words."""
    kinds = {v.kind for v in failing}
    if failing[0].question.rounded:
        # What is wrong in whole numbers is wrong in real numbers for the same reason.
        wrong = next(
            (f for f in before if f.property == "values" or "gradients" in f.property), None
        )
        if wrong is not None:
            return wrong.cause, wrong.explanation
        worst = failing[0]
        if worst.got is not None and kinds == {"values"}:
            return explain_rounding(worst.item, worst.got, worst.question.dtype)
    values = [v for v in failing if v.kind in ("values", "shape")]
    if 2 * len(values) >= len(failing):
        pairs = [(v.item, v.got) for v in _spread(values) if v.got is not None]
        right = [(v.item, v.got) for v in _spread(passing) if v.got is not None]
        found = likeliest(pairs, right)
        if found is not None:
            cause, count = found
            told = f"this explains {count} of {len(pairs)} wrong answers looked at"
            return cause.name, f"{cause.text}; {told}"
    if kinds == {"dtype"}:
        return "dtype of the result", "a result must have the operands' dtype"
    common = in_common(_cases(failing), _cases(passing))
    if common is not None:
        return common
    if kinds == {"raised"}:
        return "an exception", "what it does not support it must refuse by NotImplementedError"
    return "", "no known bug leads to these answers, and nothing sets the failing cases apart"


def _cases(verdicts: Sequence[Verdict]) -> list[Case]:
    return list({v.question.case.name: v.question.case for v in verdicts}.values())


def _spread(verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
    return verdicts[:: max(len(verdicts) // EVIDENCE, 1)][:EVIDENCE]


def _shrunk(checked: Implementation, verdict: Verdict, exact: bool) -> Verdict:
    """A verdict of the same kind on a smaller case."""
    question = verdict.question
    if question.rounded:  # rounding shows in long sums alone
        return verdict
    seen: dict[Any, Verdict] = {}

    def fail(cases: Sequence[Case]) -> list[bool]:
        asked = [dataclasses.replace(question, case=case) for case in cases]
        fitting = [other for other in asked if _fits(other)]
        answers = dict(zip(fitting, checked.ask(fitting), strict=True))
        results = []
        for case, other in zip(cases, asked, strict=True):
            answer = answers.get(other, Refusal("no such size"))
            verdicts = [] if isinstance(answer, Refusal) else judge(other, answer, exact)
            alike = [
                v for v in verdicts if v.kind == verdict.kind and v.item.out == verdict.item.out
            ]
            seen[_key(case)] = alike[0] if alike else verdict
            results.append(bool(alike))
        return results

    return seen.get(_key(shrink(question.case, fail)), verdict)


def _fits(question: Question) -> bool:
    """Whether the question can be asked of its case: conv_transpose cannot express every case."""
    if question.op != "conv_transpose":
        return True
    if not question.case.transposable:
        return False
    other = natural(question.case)
    return question.given != "nothing" or (other is not None and other == question.case)


def _key(case: Case) -> str:
    return repr((case.x_shape, case.w_shape, sorted(case.kwargs.items())))


def _details(verdict: Verdict) -> str:
    want = verdict.item.expected
    if verdict.got is None or verdict.question.rounded or want.size > SHOWN or not want.size:
        return ""
    lines = []
    if len(verdict.item.stack) == 1:
        names, operands = argument_names(verdict.question.op), verdict.item.operands.items()
        lines = [
            f"{names.get(slot, SYMBOLS[slot])} = {_numbers(array)}"
            for slot, array in operands
            if array.size <= SHOWN
        ]
    return "\n".join([*lines, f"expected {_numbers(want)}", f"got      {_numbers(verdict.got)}"])


def _numbers(array: Any) -> str:
    return " ".join(f"{value:g}" for value in np.asarray(array).reshape(-1))
