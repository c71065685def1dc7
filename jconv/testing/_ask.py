"""Asking an implementation: many questions compiled as one program, and what came back.

Compiling is what a conformance check spends its time on, so questions share programs, which are
compiled without LLVM's optimisation: what XLA does with a convolution comes before that. What
cannot be traced is asked eagerly, and what breaks a program is asked alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jconv.testing._questions import OPERATIONS, Array, Item, Question
from jconv.testing._rounding import EXACT_BELOW, bound

BATCH = 48  # questions that share a program

# What JAX says of a function without the derivative that is asked for.
_NO_SUCH_MODE = (
    "forward-mode autodiff",
    "do not support JVP",
    "cannot be differentiated",
    "does not support reverse-mode",
)
_UNTRACEABLE = (
    jax.errors.TracerArrayConversionError,
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerIntegerConversionError,
)


@dataclasses.dataclass(frozen=True)
class Refusal:
    """The implementation says that this is not for it."""

    reason: str


@dataclasses.dataclass(frozen=True)
class Crash:
    """It raised something else."""

    told: str


Answer = list[Array] | Refusal | Crash


class Implementation:
    """The functions of an object, a module, or one function, which is then the forward one."""

    def __init__(self, given: Any):
        self.name = getattr(given, "__name__", type(given).__name__)
        found = {op: getattr(given, op, None) for op in OPERATIONS}
        self.functions = {op: function for op, function in found.items() if callable(function)}
        if not self.functions and callable(given):
            self.functions = {"conv": given}
        if not self.functions:
            raise TypeError(f"{given!r} has none of {', '.join(OPERATIONS)}")

    def ask(
        self, questions: Sequence[Question], say: Callable[[str], None] = lambda line: None
    ) -> list[Answer]:
        """An answer to each question."""
        answers: dict[int, Answer] = {}
        traced = []
        for at, question in enumerate(questions):
            keyword = question.untaken(self.functions[question.op])
            if keyword is not None:
                answers[at] = Refusal(f"takes no keyword `{keyword}`")
            elif question.eager:
                answers[at] = self._alone(question)
            else:
                traced.append(at)
        for start in range(0, len(traced), BATCH):
            batch = traced[start : start + BATCH]
            say(f"{len(answers)} of {len(questions)} questions")
            told = self._together([questions[at] for at in batch])
            answers.update(zip(batch, told, strict=True))
        return [answers[at] for at in range(len(questions))]

    def _together(self, questions: Sequence[Question]) -> list[Answer]:
        given = [question.operands() for question in questions]
        raised: dict[int, Answer | None] = {}

        def program(given: Any) -> Any:
            results = {}
            for at, (question, operands) in enumerate(zip(questions, given, strict=True)):
                try:
                    results[at] = self._run(question, operands)
                except _UNTRACEABLE:
                    raised[at] = None
                except Exception as error:
                    raised[at] = _caught(question, error)
            return results

        try:
            got = jax.device_get(_compiled(program, given)(given))
        except Exception:  # of the compiler, or of what a callback runs: of which, one by one
            return [self._alone(question) for question in questions]
        answers: list[Answer] = []
        for at, question in enumerate(questions):
            answer = got.get(at, raised.get(at))
            answers.append(self._alone(question) if answer is None else answer)
        return answers

    def _alone(self, question: Question) -> Answer:
        try:
            return jax.device_get(self._run(question, jax.device_put(question.operands())))
        except _UNTRACEABLE:
            return Refusal("cannot be traced by JAX")
        except Exception as error:
            return _caught(question, error)

    def _run(self, question: Question, operands: list[Any]) -> list[Any]:
        arrays = question.run(self.functions[question.op], operands)
        for array in arrays:
            if not hasattr(array, "shape") or not hasattr(array, "dtype"):
                raise TypeError(f"returned {type(array).__name__}, not an array")
        return arrays


def _compiled(program: Callable[..., Any], given: Any) -> Callable[..., Any]:
    lowered = jax.jit(program).lower(given)
    unoptimised: Any = {"xla_backend_optimization_level": 0}
    try:
        return lowered.compile(compiler_options=unoptimised)
    except Exception:  # a backend that does not know the option, or a program that none compiles
        return lowered.compile()


def _caught(question: Question, error: Exception) -> Refusal | Crash:
    first = (str(error).strip() or "no message").splitlines()[0][:200]
    # jconv's own ConvError, and whatever else names the argument that it refuses.
    if isinstance(error, NotImplementedError) or hasattr(error, "argument"):
        return Refusal(first)
    if question.way != "value" and any(phrase in str(error) for phrase in _NO_SUCH_MODE):
        return Refusal(first)
    return Crash(f"{type(error).__name__}: {first}")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is wrong with one array of an answer ("" if it is right), and the array.

    `kind` is "values", "shape", "dtype" or "raised"; `rounded` says that whole numbers did not
    come out to the last bit.
    """

    question: Question
    item: Item
    wrong: str = ""
    got: Array | None = None
    kind: str = ""
    rounded: bool = False


def judge(question: Question, answer: list[Array] | Crash, exact: bool) -> list[Verdict]:
    """A verdict on every array of an answer."""
    items = question.items()
    if isinstance(answer, Crash):
        return [Verdict(question, items[0], answer.told, kind="raised")]
    return [_judge(question, item, array, exact) for item, array in zip(items, answer, strict=True)]


def _judge(question: Question, item: Item, got: Array, exact: bool) -> Verdict:
    want, got = item.expected, np.asarray(got)
    if got.shape != want.shape:
        told = f"shape {got.shape} instead of {want.shape}"
        return Verdict(question, item, told, _widened(got), "shape")
    if str(got.dtype) != question.dtype:
        told = f"dtype {got.dtype} instead of {question.dtype}"
        return Verdict(question, item, told, _widened(got), "dtype")
    got = _widened(got)
    off = abs(got - want)
    if question.rounded:
        bad = ~(off <= bound(item, question.dtype, exact))
    elif exact or not np.any(off):
        bad = ~(off == 0)
    else:
        bad = ~(off <= np.minimum(bound(item, question.dtype, exact), EXACT_BELOW))
    if not bad.any():
        return Verdict(question, item, "", got, rounded=bool(np.any(off)) and not question.rounded)
    told = f"{int(bad.sum())} of {bad.size} values, by up to {np.max(off):.3g}"
    return Verdict(question, item, told, got, "values")


def _widened(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
