"""The page on other frameworks: its code runs, the README links it, no framework is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jconv import compat

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "frameworks.md"


def test_code_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    # One namespace for all: a later block may use what an earlier one has made.
    namespace: dict[str, Any] = {"__name__": "page"}
    for number, source in enumerate(blocks, start=1):
        exec(compile(source, f"{PAGE.name}, python block {number}", "exec"), namespace)


def test_the_readme_links_it() -> None:
    assert f"](docs/{PAGE.name})" in (ROOT / "README.md").read_text()


def test_every_framework_has_a_section() -> None:
    for name in compat.__all__:
        assert f"from jconv.compat import {name}\n" in PAGE.read_text()
