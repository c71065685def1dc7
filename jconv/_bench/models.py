"""Whole networks against each other: verified, then their steps timed in turns."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jconv._bench import contestant_torch
from jconv._bench.match import WARM
from jconv._bench.steps import JAX_OPERATIONS, Step, jax_step, torch_step
from jconv._plan.table import table, wrap
from jconv._support.clock import race
from jconv._support.progress import Progress

# Largest allowed errors relative to lax: of the loss, and of all gradients as one vector. Rounding
# grows in the backward pass through normalisations and relus; a wrong tap gives 0.1 and more.
LOSS, GRADIENT = 1e-4, 2e-3


@dataclasses.dataclass(frozen=True)
class ModelTiming:
    """One network's training step by one contestant."""

    model: str
    contestant: str
    seconds: tuple[float, ...]
    loss_error: float
    gradient_error: float
    compile_seconds: float | None
    second_seconds: float | None
    temporary_bytes: int | None

    @property
    def wrong(self) -> bool:
        return not (self.loss_error <= LOSS and self.gradient_error <= GRADIENT)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("nan")


def contestants(threads: int) -> dict[str, Callable[[str], Step]]:
    """The installed contestants, from name to step; lax is first, as the others' reference."""
    found: dict[str, Callable[[str], Step]] = {
        host: lambda name, host=host: jax_step(name, host) for host in JAX_OPERATIONS
    }
    if contestant_torch.installed():
        for memory_format in contestant_torch.FORMATS:
            found[memory_format] = lambda name, f=memory_format: torch_step(name, threads, f)
    return found


def play_models(
    names: Sequence[str], entries: dict[str, Callable[[str], Step]], *, rounds: int
) -> list[ModelTiming]:
    """Time a training step of every network by every contestant whose step is right."""
    timings = []
    with Progress(len(names)) as progress:
        for name in names:
            progress.show(f"a training step of {name}")
            steps = {contestant: make(name) for contestant, make in entries.items()}
            reference = next(iter(steps.values())).results()
            errors = {c: _errors(step.results(), reference) for c, step in steps.items()}
            found = [
                ModelTiming(
                    *(name, c, (), *errors[c]),
                    *(s.compile_seconds, s.second_seconds, s.temporary_bytes),
                )
                for c, s in steps.items()
            ]
            fit = {t.contestant: steps[t.contestant].run for t in found if not t.wrong}
            times = race(fit, rounds=rounds, warm=WARM)
            timings += [
                dataclasses.replace(t, seconds=tuple(times.get(t.contestant, ()))) for t in found
            ]
            progress.step()
    return timings


def _errors(
    result: tuple[float, list[np.ndarray]], reference: tuple[float, list[np.ndarray]]
) -> tuple[float, float]:
    (loss, grads), (right, rights) = result, reference
    if [g.shape for g in grads] != [g.shape for g in rights]:
        return float("inf"), float("inf")
    apart = sum(float(np.sum(np.square(g - r))) for g, r in zip(grads, rights, strict=True))
    length = sum(float(np.sum(np.square(r))) for r in rights)
    return abs(loss - right) / abs(right), (apart / length) ** 0.5


def models_table(timings: Sequence[ModelTiming]) -> list[str]:
    """Time, compile time and temporaries, and jconv's ratios to the others."""
    rows = []
    for timing in timings:
        ours = next(t for t in timings if (t.model, t.contestant) == (timing.model, "jconv"))
        rows.append(
            [
                timing.model,
                timing.contestant,
                "WRONG" if timing.wrong else f"{timing.median * 1e3:.4g}",
                _quotient(ours.median, timing.median),
                "-" if timing.compile_seconds is None else f"{timing.compile_seconds:.2f}",
                _quotient(ours.compile_seconds, timing.compile_seconds),
                "-" if timing.second_seconds is None else f"{timing.second_seconds:.2f}",
                "-" if timing.temporary_bytes is None else f"{timing.temporary_bytes / 1e6:.1f}",
                _quotient(ours.temporary_bytes, timing.temporary_bytes),
            ]
        )
    header = ["model", "contestant", "step ms", "ratio", "compile s", "ratio", "again s"]
    notes = (
        "ratio: jconv's to this one's; compile: tracing, lowering and XLA; again: the same where "
        "JAX finds the program on disk, as a second start does; PyTorch runs eagerly"
    )
    return [*table([*header, "temporary MB", "ratio"], rows, left=2), *wrap(notes)]


def wrong_models(timings: Sequence[ModelTiming]) -> list[str]:
    """One line for each step that was wrong, and so not timed."""
    return [
        f"WRONG: {t.contestant}: {t.model}: loss off by {t.loss_error:.1e}, "
        f"gradients by {t.gradient_error:.1e}"
        for t in timings
        if t.wrong
    ]


def _quotient(ours: float | None, other: float | None) -> str:
    if not ours or not other or ours != ours or other != other:
        return "-"
    return f"{ours / other:.2f}"


def model_records(timings: Sequence[ModelTiming]) -> list[dict[str, Any]]:
    """One record for each timing, in types that JSON knows."""
    return [
        {
            "model": t.model,
            "contestant": t.contestant,
            "median_ms": None if not t.seconds else float(f"{t.median * 1e3:.4g}"),
            "rounds": len(t.seconds),
            "compile_s": t.compile_seconds,
            "second_start_s": t.second_seconds,
            "temporary_bytes": t.temporary_bytes,
            "loss_error": t.loss_error,
            "gradient_error": t.gradient_error,
        }
        for t in timings
    ]
