"""The pages in docs/: their code runs, the README names them, and what they name is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jconv import compat

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_runs(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    # One namespace for all: a later block may use what an earlier one has made.
    namespace: dict[str, Any] = {"__name__": "page"}
    for number, source in enumerate(blocks, start=1):
        exec(compile(source, f"{page.name}, python block {number}", "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_readme_links_it(page: Path) -> None:
    assert f"](docs/{page.name})" in (ROOT / "README.md").read_text()


def test_every_framework_has_a_section() -> None:
    page = (ROOT / "docs" / "frameworks.md").read_text()
    for name in compat.__all__:
        assert f"from jconv.compat import {name}\n" in page
