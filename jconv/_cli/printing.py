"""Printing what the jconv command found: for a person, or JSON for a program."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from jconv._core.errors import ConvError


def report_problem(error: ConvError, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "ok": False,
                "argument": error.argument,
                "message": error.message,
                "got": str(error.got),
                "expected": str(error.expected),
                "remedies": [remedy_dict(remedy) for remedy in error.remedies],
                "together": error.together,
            }
        )
    else:
        print(error)


def remedy_dict(remedy: Any) -> dict[str, Any]:
    return {"argument": remedy.argument, "value": remedy.value, "text": remedy.text}


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))


def bold(text: str) -> str:
    colored = sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return f"\033[1m{text}\033[0m" if colored else text


def bold_headers(text: str) -> str:
    """The text with the line above each rule in bold; unchanged unless stdout is a terminal."""
    lines = text.split("\n")
    for number, line in enumerate(lines[1:], start=1):
        if line and set(line) == {"-"}:
            lines[number - 1] = bold(lines[number - 1])
    return "\n".join(lines)
