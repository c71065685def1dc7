"""Chains written as TOML files.

A file holds the arguments of `plan_chain` under their own names, and one table for each layer::

    x_shape = ["b", "h", "w", 3]
    constraints = ["h >= 16", "w >= 16"]

    [[layers]]
    kind = "conv"
    name = "down1"
    features = 32
    kernel = 3
    stride = 2
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from jconv._chain.parts import nearest
from jconv._core.errors import ConvError, Remedy
from jconv._support.files import check_plain

KEYS = ("x_shape", "layers", "dtype", "platform", "constraints", "layout", "mesh", "x_spec")

_TYPES: dict[str, tuple[type, str]] = {
    "x_shape": (list, "a list"),
    "constraints": (list, "a list"),
    "dtype": (str, "text"),
    "platform": (str, "text"),
    "mesh": (dict, "a table such as {data = 2, rows = 4}"),
    "x_spec": (list, "a list"),
}


@dataclasses.dataclass(frozen=True)
class Lines:
    """The line numbers of a file's tables and keys, for messages."""

    file: str
    layers: tuple[tuple[int, dict[str, int]], ...] = ()
    top: tuple[tuple[str, int], ...] = ()

    def of_layer(self, index: int, key: str | None = None) -> str:
        if index >= len(self.layers):
            return self.file
        line, keys = self.layers[index]
        return f"{self.file}, line {keys.get(key or '', line)}"

    def of_key(self, key: str) -> str:
        line = dict(self.top).get(key)
        return self.file if line is None else f"{self.file}, line {line}"


@dataclasses.dataclass(frozen=True)
class ChainFile:
    """A file's layers, its other arguments, and their line numbers."""

    layers: list[Any]
    arguments: dict[str, Any]
    lines: Lines


def is_file(layers: Any) -> bool:
    """Whether `layers` names a file."""
    return isinstance(layers, os.PathLike) or (
        isinstance(layers, str) and layers.lower().endswith(".toml")
    )


def read_file(path: str | os.PathLike[str]) -> ChainFile:
    """The chain in a TOML file.

    Raises:
        ConvError: for a file that cannot be read, naming the line.
    """
    place = Path(path)
    try:
        check_plain(place)
        text = place.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: an impossible file name, or not UTF-8
        reason = getattr(error, "strerror", None) or str(error)
        raise ConvError(
            f"plan_chain: the file {place} cannot be read: {reason}.",
            argument="layers",
            got=str(path),
            expected="a TOML file in UTF-8",
        ) from None
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        error = "its brackets are nested too deeply" if deep else error
        raise ConvError(
            f"plan_chain: {place.name} is not TOML: {error}.",
            argument="layers",
            got=str(path),
            expected="key = value lines, strings in quotes, and a [[layers]] line for each layer",
        ) from None
    lines = _lines(place.name, text)
    for key in content:
        if key not in KEYS:
            raise _unknown_key(lines, key, content[key])
    layers = content.get("layers")
    if not isinstance(layers, list) or not layers:
        raise ConvError(
            f"plan_chain: {lines.of_key('layers')}: it describes no layers.",
            argument="layers",
            got=layers,
            expected="a [[layers]] table for each layer",
        )
    given = {key: value for key, value in content.items() if key != "layers"}
    for key, (kinds, what) in _TYPES.items():
        if key in given and not isinstance(given[key], kinds):
            raise ConvError(
                f"plan_chain: {lines.of_key(key)}: `{key}` must be {what}.",
                argument=key,
                got=given[key],
                expected='["b", 224, 224, 3]' if key == "x_shape" else what,
            )
    return ChainFile(layers, given, lines)


def _unknown_key(lines: Lines, key: str, value: Any) -> ConvError:
    close = nearest(key, KEYS)
    hint = f"; did you mean `{close}`?" if close else ""
    return ConvError(
        f"plan_chain: {lines.of_key(key)}: there is no key `{key}`{hint}",
        argument=key,
        got=value,
        expected=", ".join(KEYS),
        remedies=[Remedy.rename(key, close, value)] if close else [],
    )


_HEADER = re.compile(r"\s*\[\[\s*[\"']?layers[\"']?\s*\]\]")
_KEY = re.compile(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*=")


def _lines(file: str, text: str) -> Lines:
    """The lines of [[layers]] headers and of the keys below; keys in inline tables have none."""
    top: dict[str, int] = {}
    layers: list[tuple[int, dict[str, int]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if _HEADER.match(line):
            layers.append((number, {}))
        elif match := _KEY.match(line):
            keys = layers[-1][1] if layers else top
            keys.setdefault(match.group(1), number)
    return Lines(file, tuple(layers), tuple(top.items()))
