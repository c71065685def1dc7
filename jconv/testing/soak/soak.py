"""A soak: trials in child processes, so that a process that dies is seen and counted.

XLA has killed the process over a convolution (an abort, not an exception). A child writes down what
it is about to run, so when it dies its parent knows over which trial, counts it and goes on with
the next ones.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from jconv.testing.soak.child import Batch
from jconv.testing.soak.draw import BATCH, RULES, draw
from jconv.testing.soak.trial import OPS

BLOCK = 16  # batches that one child runs
SECONDS = 60  # of processor time for one batch, after which its child is ended as hanging
STARVED = 20  # a child that uses no processor time is ended after this many times as long
TICK = 1.0  # seconds between looks at a child


@dataclasses.dataclass
class Figures:
    """What a soak has seen.

    Attributes:
        jax: its version.
        configurations: trials run.
        values: numbers compared.
        legs: legs compiled, by the algorithm that was chosen for them.
        aborts, wrong, errors: trials over which the process died, that were wrong, that raised.
        seconds: on the clock.
        processor_seconds: of the children, the start of each included.
        failures: what failed, each with the command that repeats it.
    """

    jax: str = jax.__version__
    configurations: int = 0
    values: int = 0
    legs: dict[str, int] = dataclasses.field(default_factory=dict)
    aborts: int = 0
    wrong: int = 0
    errors: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    failures: list[str] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failures

    @property
    def off_direct(self) -> float:
        """The share of legs for which another algorithm than direct was chosen."""
        total = sum(self.legs.values())
        return 1 - self.legs.get("direct", 0) / total if total else 0.0

    def __str__(self) -> str:
        return (
            f"jax {self.jax}: {self.configurations:,} configurations, "
            f"{sum(self.legs.values()):,} legs ({self.off_direct:.0%} not direct), "
            f"{self.values:,} values checked, {self.aborts} aborts, {self.wrong} wrong, "
            f"{self.errors} errors, {self.seconds:.0f} s "
            f"({self.processor_seconds:.0f} of processor)"
        )


def soak(
    configurations: int | None = None,
    *,
    minutes: float | None = None,
    seed: int = 0,
    first: int = 0,
    names: Sequence[str] = OPS,
    rules: Sequence[str] = RULES,
    child: Sequence[str] = (sys.executable, "-m", "jconv.testing", "block"),
    say: Callable[[str], None] = print,
    state: Path | None = None,
) -> Figures:
    """Run random configurations until their number or the time is used up.

    Args:
        configurations: how many.
        minutes: for how long; one block is run at least.
        seed: configuration number n of a seed is always the same.
        first: the number of the first.
        names: which operations to run, of `OPS`.
        rules: the policies, in equal shares.
        child: the command that calls `run_block`, without the name of its log.
        say: called with a line for every block and every failure.
        state: a file that is written after every block. If it exists, from a soak of the same
            seed, operations, policies and JAX, this soak continues that one, figures included.

    Returns:
        Figures, `.ok` if nothing died and every value was right.

    Raises:
        RuntimeError: if a child dies before its first trial, with the child's message.
        ValueError: if the state is of another soak.

    Examples:
        >>> from jconv.testing.soak.soak import soak
        >>> figures = soak(2, names=["conv"], say=lambda line: None)
        >>> figures.configurations, figures.ok
        (2, True)
    """
    figures, begin = _read_state(state, seed, names, rules, first)
    before, start = figures.seconds, time.monotonic()
    spent = figures.processor_seconds - _childrens_seconds()
    work = _Work(figures, seed, names, rules, child)
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
        figures.processor_seconds = spent + _childrens_seconds()
        for failure in figures.failures[known:]:
            say(failure)
        say(str(figures))
        if state is not None:
            told = {"names": list(names), "rules": list(rules)}
            held = {"seed": seed, **told, "first": first, "next": end}
            part = state.with_name(state.name + ".part")
            part.write_text(json.dumps({**held, "figures": dataclasses.asdict(figures)}))
            part.replace(state)  # in one step: a soak that is killed leaves a whole file
    return figures


def _read_state(
    state: Path | None, seed: int, names: Sequence[str], rules: Sequence[str], first: int
) -> tuple[Figures, int]:
    """The figures so far, and the number of the configuration to continue with."""
    if state is None or not state.exists():
        return Figures(), first
    held = json.loads(state.read_text())
    figures = Figures(**held["figures"])
    for what, have, want in (
        ("seed", held["seed"], seed),
        ("ops", held["names"], list(names)),
        ("policies", held["rules"], list(rules)),
        ("first", held["first"], first),
        ("jax", figures.jax, jax.__version__),
    ):
        if have != want:
            raise ValueError(f"{state} is the state of a soak with {what} {have}, not {want}")
    return figures, held["next"]


@dataclasses.dataclass(frozen=True)
class _Work:
    """What every child of a soak is given, and the figures that the children's logs add up to."""

    figures: Figures
    seed: int
    names: Sequence[str]
    rules: Sequence[str]
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
        """Add a child's log to the figures; the trials that it began and did not finish."""
        pending: Batch = []
        for record in log:
            if "run" in record:
                pending = list(record["run"])
                continue
            self.figures.values += record["values"]
            for name, legs in record["legs"].items():
                self.figures.legs[name] = self.figures.legs.get(name, 0) + legs
            for index in record["done"]:
                pending.remove(index)
                self.figures.configurations += 1
            for index, names, told in record["wrong"]:
                self.fail(record["kind"], index, names, told)
        return pending

    def fail(self, kind: str, index: int, names: Sequence[str], told: str) -> None:
        """Count a failure, and keep it as text with the command that repeats it."""
        setattr(self.figures, kind, getattr(self.figures, kind) + 1)
        again = f"--seed {self.seed} --first {index} --configurations 1 --ops {','.join(names)}"
        if list(self.rules) != list(RULES):
            again += f" --policies {','.join(self.rules)}"
        self.figures.failures.append(
            f"{kind.upper()}: {', '.join(names)}: {told}\n  {draw(self.seed, index, self.rules)}\n"
            f"  python -m jconv.testing soak {again}"
        )

    def spawn(
        self, names: Sequence[str], batches: list[Batch], *, optimised: bool = True
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A child's log, and how it died, if it did."""
        with tempfile.TemporaryDirectory() as folder:
            log, errors = Path(folder) / "log", Path(folder) / "errors"
            order = Path(folder) / "order"
            order.write_text(
                json.dumps([self.seed, list(self.rules), list(names), batches, optimised])
            )
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
    """An environment in which a child can import whatever its parent can.

    The threads of NumPy's BLAS wait for each other by spinning: the small products of a check took
    six times as long with two threads on two busy cores as with one.
    """
    path = os.pathsep.join(folder for folder in sys.path if folder)
    single = {"OPENBLAS_NUM_THREADS": "1", "JAX_ENABLE_X64": "1"}
    return {**os.environ, "PYTHONPATH": path, **single}


def _childrens_seconds() -> float:
    """Processor time of the children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _finish(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """The exit status of a process; None if it hangs, after it is killed.

    It hangs if it has used `seconds` of processor time, or has waited `STARVED` times as long
    without using any. The time in which it is stopped (SIGSTOP) does not count.
    """
    used = 0.0
    try:
        while seconds > 0:
            try:
                return process.wait(TICK)
            except subprocess.TimeoutExpired:
                stopped, total = _spent(process.pid, used + TICK)
                seconds -= 0 if stopped else max(total - used, TICK / STARVED)
                used = total
    finally:
        process.kill()
        process.wait()
    return None


def _spent(pid: int, otherwise: float) -> tuple[bool, float]:
    """Whether a process is stopped, and its processor time; without /proc `otherwise`."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[-1].split()
    except OSError:
        return False, otherwise
    return fields[0] == "T", (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _how_it_died(code: int | None, errors: str) -> str | None:
    if code == 0:
        return None
    telling = [line for line in errors.splitlines() if "Check failed" in line]
    last = (telling or errors.strip().splitlines() or ["no message"])[-1][:300]
    if code is None:
        return f"hung: {last}"
    how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return f"{how}: {last}"
