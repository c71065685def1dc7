"""The snippets of the guides to these operations run, one page after another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[2] / "docs" / "guides"


@pytest.mark.parametrize("name", ["per_example", "kfac", "locally_connected"])
def test_guide(name):
    snippets = re.findall(r"```python\n(.*?)```", (GUIDES / f"{name}.md").read_text(), re.S)
    assert snippets
    exec("\n".join(snippets), {})
