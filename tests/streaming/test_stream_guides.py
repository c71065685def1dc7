"""The guides on ragged batches and on streams: their snippets run, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[2] / "docs" / "guides"


@pytest.mark.parametrize("name", ["ragged", "streaming"])
def test_snippets_run(name: str) -> None:
    text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(snippets) >= 4
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, f"{name}.md", "exec"), names)
