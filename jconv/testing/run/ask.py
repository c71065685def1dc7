"""Asking an implementation many questions, compiled together as a few programs.

A conformance check spends its time on compiling. So questions share programs, one of which is
compiled while the next is traced. LLVM does not optimise them: that is most of the compile time,
and changes nothing about how XLA has rewritten a convolution by then. A question that cannot be
traced is asked eagerly, and the questions of a program that fails are asked one by one.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from jconv.testing.oracle.legs import OPERATIONS, Array
from jconv.testing.transformations.questions import Question

BATCH = 48  # questions that share a program
COMPILING = 2  # programs that are compiled at a time
# Options of XLA's compiler; where a backend does not know one of them, the next set is tried.
# Without optimisation most of the time goes into fusions. XLA's older emitters of them save a
# fourth of it (jax 0.10), and one LLVM module in place of up to 32 another fifth on one core.
FAST: tuple[dict[str, Any], ...] = (
    {
        "xla_backend_optimization_level": 0,
        "xla_cpu_use_fusion_emitters": False,
        "xla_cpu_parallel_codegen_split_count": 1,
    },
    {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False},
    {"xla_backend_optimization_level": 0},
)

# JAX's errors for a function that has no derivative of the kind that is asked for.
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
    """The implementation says that it does not support the question."""

    reason: str


@dataclasses.dataclass(frozen=True)
class Crash:
    """The implementation raised any other exception; `told` is its type and message."""

    told: str


Answer = list[Array] | Refusal | Crash


class Implementation:
    """The operations of an object or a module by name, or one function, which is then `conv`."""

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
        """The answer to each question."""
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
    """Questions that are compiled together in another thread, and run in this one."""

    def __init__(
        self, asked: Implementation, questions: Sequence[Question], pool: ThreadPoolExecutor
    ):
        self.asked, self.questions = asked, questions
        self.given = [question.operands() for question in questions]
        self.raised: dict[int, Answer | None] = {}
        self.compiled: Future[Callable[..., Any]] | None = None
        try:
            lowered = jax.jit(self._trace).lower(self.given)
        except Exception:  # `answers` asks the questions one by one
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
            # Where the compiler or the program itself raises, the questions are asked one by one.
            with contextlib.suppress(Exception):
                got = {**self.raised, **jax.device_get(self.compiled.result()(self.given))}
        return [
            got.get(at) or self.asked.alone(question) for at, question in enumerate(self.questions)
        ]


def compiled(lowered: Any) -> Any:
    """A lowered program, compiled with the fastest options that the backend knows."""
    for options in FAST:
        with contextlib.suppress(Exception):
            return lowered.compile(compiler_options=options)
    return lowered.compile()


def _caught(question: Question, error: Exception) -> Refusal | Crash:
    first = (str(error).strip() or "no message").splitlines()[0][:200]
    # jconv's ConvError, like any error with this attribute, names the argument that it refuses.
    if isinstance(error, NotImplementedError) or hasattr(error, "argument"):
        return Refusal(first)
    if question.way != "value" and any(phrase in str(error) for phrase in _NO_SUCH_MODE):
        return Refusal(first)
    return Crash(f"{type(error).__name__}: {first}")
