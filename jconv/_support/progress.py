"""A progress bar on stderr, when someone is watching."""

from __future__ import annotations

import shutil
import sys
from types import TracebackType
from typing import TextIO

WIDTH = 24  # characters of the bar


class Progress:
    """A line that is overwritten as work goes on and erased when it ends."""

    def __init__(self, total: int, stream: TextIO | None = None):
        self.total, self.done = total, 0
        self.stream = stream or sys.stderr
        self.watched = self.stream is not None and self.stream.isatty()

    def show(self, what: str) -> None:
        """Say what is being worked on."""
        if self.watched:
            filled = WIDTH * self.done // max(self.total, 1)
            bar = "#" * filled + "." * (WIDTH - filled)
            # A line that wraps cannot be written over.
            columns = shutil.get_terminal_size().columns
            line = f"[{bar}] {self.done}/{self.total} {what}"[: columns - 1]
            self.stream.write(f"\r\033[K{line}")
            self.stream.flush()

    def step(self) -> None:
        """Count one part of the work as done."""
        self.done += 1

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.watched:
            self.stream.write("\r\033[K")
            self.stream.flush()
