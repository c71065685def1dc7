"""A soak: trials in child processes, so that a process that dies is seen and counted.

XLA has killed the process over a convolution (an abort, not an exception). A child writes down
what it is about to do, so when it dies the parent knows over what, counts it and goes on behind.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import jax

from jconv.testing._ask import compiled
from jconv.testing._trials import OPS, Arrays, askable, check, draw, operands, operands_given, run

BATCH = 16  # trials that are compiled as one program; one by one where that dies
BLOCK = 16  # batches for which one child lives
SECONDS = 60  # for one batch, before its child is said to hang
TICK = 1.0  # seconds between looks at a child

Batch = list[int]


@dataclasses.dataclass
class Figures:
    """What a soak has seen."""

    jax: str = jax.__version__
    configurations: int = 0
    values: int = 0
    aborts: int = 0
    wrong: int = 0
    errors: int = 0
    seconds: float = 0.0
    failures: list[str] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        return (
            f"jax {self.jax}: {self.configurations:,} configurations, {self.values:,} values "
            f"checked, {self.aborts} aborts, {self.wrong} wrong, {self.errors} errors, "
            f"{self.seconds:.0f} s"
        )


def soak(
    configurations: int | None = None,
    *,
    minutes: float | None = None,
    seed: int = 0,
    first: int = 0,
    names: Sequence[str] = OPS,
    child: Sequence[str] = (sys.executable, "-m", "jconv.testing", "block"),
    say: Callable[[str], None] = print,
    state: Path | None = None,
) -> Figures:
    """Run random configurations until their number or the time is used up.

    Args:
        configurations: how many.
        minutes: for how long, at the least one block.
        seed: configuration number n of a seed is always the same one.
        first: the number of the first.
        names: which operations to run, of `OPS`.
        child: the command that calls `run_block`, less the name of its log.
        say: called with a line for every block and every failure.
        state: a file that is written after every block. Where it is there already, from a soak of
            the same seed, operations and JAX, the soak goes on behind it, its figures included.

    Returns:
        Figures, `.ok` if nothing died and every value was right.

    Raises:
        RuntimeError: if a child dies before it has begun: its message is the child's.
        ValueError: if the state is of another soak.

    Examples:
        >>> from jconv.testing._soak import soak
        >>> figures = soak(2, names=["conv"], say=lambda line: None)
        >>> figures.configurations, figures.ok
        (2, True)
    """
    figures, begin = _read_state(state, seed, names, first)
    before, start = figures.seconds, time.monotonic()
    work = _Work(figures, seed, names, child)
    stop = None if configurations is None else first + configurations
    for at in itertools.count(begin, BATCH * BLOCK):
        if stop is not None and at >= stop:
            break
        if minutes is not None and at > begin and time.monotonic() - start > 60 * minutes:
            break
        end = at + BATCH * BLOCK if stop is None else min(stop, at + BATCH * BLOCK)
        known = len(figures.failures)
        batches = [[*range(b, min(end, b + BATCH))] for b in range(at, end, BATCH)]
        work.finish(batches, optimised=at // (BATCH * BLOCK) % 4 == 3)
        figures.seconds = before + time.monotonic() - start
        for failure in figures.failures[known:]:
            say(failure)
        say(str(figures))
        if state is not None:
            held = {"seed": seed, "names": list(names), "first": first, "next": end}
            part = state.with_name(state.name + ".part")
            part.write_text(json.dumps({**held, "figures": dataclasses.asdict(figures)}))
            part.replace(state)  # in one step: a soak that is killed leaves the state before
    return figures


def _read_state(
    state: Path | None, seed: int, names: Sequence[str], first: int
) -> tuple[Figures, int]:
    """The figures so far, and the number of the configuration to go on with."""
    if state is None or not state.exists():
        return Figures(), first
    held = json.loads(state.read_text())
    figures = Figures(**held["figures"])
    for what, have, want in (
        ("seed", held["seed"], seed),
        ("ops", held["names"], list(names)),
        ("first", held["first"], first),
        ("jax", figures.jax, jax.__version__),
    ):
        if have != want:
            raise ValueError(f"{state} is the state of a soak with {what} {have}, not {want}")
    return figures, held["next"]


@dataclasses.dataclass(frozen=True)
class _Work:
    """What stays the same from child to child, and the figures that they add to."""

    figures: Figures
    seed: int
    names: Sequence[str]
    child: Sequence[str]

    def finish(self, batches: list[Batch], *, optimised: bool) -> None:
        """Run batches in as many children as it takes."""
        while batches:
            log, death = self.spawn(self.names, batches, optimised=optimised)
            begun = sum("run" in record for record in log)
            pending = self.count(log)
            if death is not None and not begun:
                raise RuntimeError(f"a soak's child did not begin: {death}")
            batches, last = batches[begun:], batches[begun - 1]
            if len(pending) > 1:
                batches = [*([index] for index in pending), *batches]
            elif death is not None:
                self.figures.configurations += len(pending)
                culprits = [
                    name for name in self.names if pending and self.spawn([name], [pending])[1]
                ]
                self.fail("aborts", (pending or last)[0], culprits or self.names, death)

    def count(self, log: list[dict[str, Any]]) -> Batch:
        """Add a child's log to the figures; the trials that it had begun and not ended."""
        pending: Batch = []
        for record in log:
            if "run" in record:
                pending = list(record["run"])
                continue
            self.figures.values += record["values"]
            for index in record["done"]:
                pending.remove(index)
                self.figures.configurations += 1
            for index, names, told in record["wrong"]:
                self.fail(record["kind"], index, names, told)
        return pending

    def fail(self, kind: str, index: int, names: Sequence[str], told: str) -> None:
        setattr(self.figures, kind, getattr(self.figures, kind) + 1)
        again = f"--seed {self.seed} --first {index} --configurations 1 --ops {','.join(names)}"
        self.figures.failures.append(
            f"{kind.upper()}: {', '.join(names)}: {told}\n  {draw(self.seed, index)}\n"
            f"  python -m jconv.testing soak {again}"
        )

    def spawn(
        self, names: Sequence[str], batches: list[Batch], *, optimised: bool = True
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A child's log, and how it died, if it did."""
        with tempfile.TemporaryDirectory() as folder:
            log, errors = Path(folder) / "log", Path(folder) / "errors"
            order = Path(folder) / "order"
            order.write_text(json.dumps([self.seed, list(names), batches, optimised]))
            with order.open() as stdin, errors.open("w") as stderr:
                code = _finish(
                    subprocess.Popen(
                        [*self.child, str(log)],
                        stdin=stdin,
                        stdout=stderr,
                        stderr=stderr,
                        env=child_environment(),
                    ),
                    60 + SECONDS * len(batches),
                )
            text = log.read_text().splitlines() if log.exists() else []
            records = [json.loads(line) for line in text]
            return records, _how_it_died(code, errors.read_text(errors="replace"))


def child_environment() -> dict[str, str]:
    """An environment in which a child imports what its parent did, installed or not."""
    path = os.pathsep.join(folder for folder in sys.path if folder)
    return {**os.environ, "PYTHONPATH": path, "JAX_ENABLE_X64": "1"}


def _finish(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Its exit status; None if that took longer, not counting what it or this one was stopped."""
    try:
        while seconds > 0:
            try:
                return process.wait(TICK)
            except subprocess.TimeoutExpired:
                seconds -= 0 if _stopped(process.pid) else TICK
    finally:
        process.kill()
        process.wait()
    return None


def _stopped(pid: int) -> bool:
    """Whether a process is stopped (SIGSTOP), where the system tells."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[-1].split()[0] == "T"
    except OSError:
        return False


def _how_it_died(code: int | None, errors: str) -> str | None:
    if code == 0:
        return None
    telling = [line for line in errors.splitlines() if "Check failed" in line]
    last = (telling or errors.strip().splitlines() or ["no message"])[-1][:300]
    if code is None:
        return f"hung: {last}"
    how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return f"{how}: {last}"


# --- the child ----------------------------------------------------------------------------


def run_block(order: str, log: TextIO) -> None:
    """Run batches of trials, writing a line before each and one after each of its trials.

    What is not optimised compiles in less than half the time. It differs in the code that is made,
    not in what XLA does with a convolution before that.
    """
    seed, names, batches, optimised = json.loads(order)
    for batch in batches:
        _say(log, run=batch)
        for part in _attempt(seed, names, batch, optimised):
            _say(log, **part)


def _attempt(
    seed: int, names: Sequence[str], batch: Batch, optimised: bool
) -> Iterator[dict[str, Any]]:
    trials = {index: draw(seed, index) for index in batch}
    given = {index: operands_given(trial, operands(trial)) for index, trial in trials.items()}
    jitted = [index for index in batch if trials[index].jit]

    def run_one(index: int, arrays: Arrays) -> dict[str, Any]:
        return run(trials[index], askable(trials[index], names), arrays)

    def run_jitted(arrays: dict[int, Arrays]) -> dict[int, Any]:
        return {index: run_one(index, arrays[index]) for index in jitted}

    try:
        arrays = {index: given[index] for index in jitted}
        lowered = jax.jit(run_jitted).lower(arrays)
        got = (lowered.compile() if optimised else compiled(lowered))(arrays)
        got |= {index: run_one(index, given[index]) for index in batch if index not in jitted}
    except Exception as error:
        if len(batch) > 1:
            for index in batch:
                yield from _attempt(seed, names, [index], optimised)
        else:
            first = (str(error).strip() or "no message").splitlines()[0]
            told = f"{type(error).__name__}: {first}"
            wrong = [[batch[0], names, told]]
            yield {"done": batch, "values": 0, "wrong": wrong, "kind": "errors"}
        return
    for index in batch:
        count, wrong = check(trials[index], names, got[index])
        told = [[index, [name], what] for name, what in wrong]
        yield {"done": [index], "values": count, "wrong": told, "kind": "wrong"}


def _say(log: TextIO, **record: Any) -> None:
    log.write(json.dumps(record) + "\n")
    log.flush()
