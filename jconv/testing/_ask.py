"""Asking an implementation: many questions compiled as one program, and what came back.

Compiling is what a conformance check spends its time on, so questions share programs, one of which
is compiled while the next is traced, without LLVM's optimisation: what XLA does with a convolution
comes before that. What cannot be traced is asked eagerly, and what breaks a program is asked alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jconv.testing._questions import OPERATIONS, Array, Item, Question
from jconv.testing._rounding import EXACT_BELOW, bound

BATCH = 48  # questions that share a program
COMPILING = 2  # programs at a time
# Fusions are most of what is left to compile: by their older emitters a fourth of it (jax 0.10).
# One LLVM module in place of up to 32 that compile side by side: a fifth less on one core.
FAST: tuple[dict[str, Any], ...] = (
    {
        "xla_backend_optimization_level": 0,
        "xla_cpu_use_fusion_emitters": False,
        "xla_cpu_parallel_codegen_split_count": 1,
    },
    {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False},
    {"xla_backend_optimization_level": 0},
)

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
                answers[at] = self.alone(question)
            else:
                traced.append(at)
        batches = [traced[start : start + BATCH] for start in range(0, len(traced), BATCH)]
        with ThreadPoolExecutor(COMPILING) as pool:
            programs = [_Program(self, [questions[at] for at in batch], pool) for batch in batches]
            for batch, program in zip(batches, programs, strict=True):
                say(f"{len(answers)} of {len(questions)} questions")
                answers.update(zip(batch, program.answers(), strict=True))
        return [answers[at] for at in range(len(questions))]

    def alone(self, question: Question) -> Answer:
        try:
            return jax.device_get(self.run(question, jax.device_put(question.operands())))
        except _UNTRACEABLE:
            return Refusal("cannot be traced by JAX")
        except Exception as error:
            return _caught(question, error)

    def run(self, question: Question, operands: list[Any]) -> list[Any]:
        arrays = question.run(self.functions[question.op], operands)
        for array in arrays:
            if not hasattr(array, "shape") or not hasattr(array, "dtype"):
                raise TypeError(f"returned {type(array).__name__}, not an array")
        return arrays


class _Program:
    """Questions that are compiled together, in another thread, and then asked in this one."""

    def __init__(
        self, asked: Implementation, questions: Sequence[Question], pool: ThreadPoolExecutor
    ):
        self.asked, self.questions = asked, questions
        self.given = [question.operands() for question in questions]
        self.raised: dict[int, Answer | None] = {}
        self.compiled: Future[Callable[..., Any]] | None = None
        try:
            lowered = jax.jit(self._trace).lower(self.given)
        except Exception:  # of which, is found one by one
            return
        self.compiled = pool.submit(compiled, lowered)

    def _trace(self, given: Any) -> Any:
        results = {}
        for at, (question, operands) in enumerate(zip(self.questions, given, strict=True)):
            try:
                results[at] = self.asked.run(question, operands)
            except _UNTRACEABLE:
                self.raised[at] = None
            except Exception as error:
                self.raised[at] = _caught(question, error)
        return results

    def answers(self) -> list[Answer]:
        got: dict[int, Any] = {}
        if self.compiled is not None:
            # What the compiler raises, or a callback that the program runs: one by one, again.
            with contextlib.suppress(Exception):
                got = {**self.raised, **jax.device_get(self.compiled.result()(self.given))}
        return [
            got.get(at) or self.asked.alone(question) for at, question in enumerate(self.questions)
        ]


def compiled(lowered: Any) -> Any:
    """A lowered program, compiled as fast as the backend can be made to."""
    for options in FAST:
        with contextlib.suppress(Exception):  # of a backend that does not know an option
            return lowered.compile(compiler_options=options)
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
