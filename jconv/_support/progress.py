"""A progress bar on stderr, when someone is watching."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TextIO

WIDTH = 24


class Progress:
    """A line that is written over as work goes on, and gone when it ends."""

    def __init__(self, total: int, stream: TextIO | None = None):
        self.total, self.done = total, 0
        self.stream = stream or sys.stderr
        self.watched = self.stream.isatty()

    def show(self, what: str) -> None:
        """Say what is being worked on."""
        if self.watched:
            filled = WIDTH * self.done // max(self.total, 1)
            bar = "#" * filled + "." * (WIDTH - filled)
            self.stream.write(f"\r\033[K[{bar}] {self.done}/{self.total} {what}"[:98])
            self.stream.flush()

    def step(self) -> None:
        """One part of the work is done."""
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
