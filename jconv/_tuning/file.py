"""A file of tuning tables, one for each device and release of JAX that it was made on."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from jconv._support.files import check_plain, write_whole

FORMAT = "jconv tuning tables, 1"
Read = TypeVar("Read")


def write_file(
    path: str | os.PathLike[str], environment: Mapping[str, Any], section: Mapping[str, Any]
) -> None:
    """Write a section to a file, replacing the file's section for this environment."""
    kept = []
    check_plain(path)
    if Path(path).exists():
        try:
            kept = [s for s in _sections(path) if not _is_of(s, environment)]
        except (ValueError, KeyError, RecursionError) as error:
            _report(path, f"was no file of tuning tables ({error}) and is replaced")
    text = json.dumps({"format": FORMAT, "tables": [*kept, section]}, indent=1)
    write_whole(path, text + "\n")


def read_file(
    path: str | os.PathLike[str],
    environment: Mapping[str, Any],
    read: Callable[[Mapping[str, Any]], tuple[Read, ...]],
) -> tuple[Read, ...]:
    """`read` of the section for this environment; () and a warning if there is none."""
    check_plain(path)
    try:
        sections = _sections(path)
        for section in sections:
            if _is_of(section, environment):
                return read(section)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        _report(path, f"is no file of tuning tables and is ignored ({reason})")
        return ()
    made_on = "; ".join(f"{s.get('device')}, jax {s.get('jax')}" for s in sections) or "nothing"
    here = f"{environment['device']}, jax {environment['jax']}"
    _report(path, f"holds no measurements of {here} and is ignored: it was made on {made_on}")
    return ()


def _sections(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    tables = content["tables"]
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ValueError("`tables` is not a list of tables")
    return tables


def _is_of(section: Mapping[str, Any], environment: Mapping[str, Any]) -> bool:
    return all(section.get(name) == value for name, value in environment.items())


def _report(path: str | os.PathLike[str], what: str) -> None:
    warnings.warn(f"the tuning file {os.fspath(path)} {what}", stacklevel=4)
