"""Pages of Markdown as tests: their code runs, and what they say is printed is printed."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import types
from collections.abc import Iterator
from typing import Any

import jax

from jconv._core.jax_cache import forget_folder

BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> list[tuple[str, str | None]]:
    """Each python block and the text block that comes next, if one comes before the next code."""
    found: list[tuple[str, str | None]] = []
    for language, content in BLOCK.findall(text):
        if language == "python":
            found.append((content, None))
        elif found and found[-1][1] is None:
            found[-1] = (found[-1][0], content)
    return found


@contextlib.contextmanager
def jax_settings_put_back() -> Iterator[None]:
    before = dict(jax.config.values)
    try:
        yield
    finally:
        for name, value in before.items():
            if jax.config.values[name] != value:
                jax.config.update(name, value)
        forget_folder()


@jax_settings_put_back()
def run(name: str, text: str) -> None:
    """Run a page's blocks in order in one namespace, and compare what they print."""
    module = types.ModuleType("page")
    namespace: dict[str, Any] = vars(module)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for number, (source, wanted) in enumerate(blocks(text), start=1):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(source, f"{name}, python block {number}", "exec"), namespace)
        if wanted is not None:
            same = doctest.OutputChecker().check_output(wanted, out.getvalue(), flags)
            assert same, f"{name}, block {number} printed\n{out.getvalue()}and not\n{wanted}"
