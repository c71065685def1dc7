"""The documentation's pages: code runs, printed text is what it prints, names are complete."""

from __future__ import annotations

import re
import runpy
import types
from pathlib import Path

import pages
import pytest

import jconv
from jconv import compat, testing

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ELSEWHERE = {
    "frameworks.md",  # its code runs in tests/compat
    "guides/accelerate.md",  # in tests/trace, where its libraries are
    "guides/testing.md",  # it imports a module of the reader's; tests/testing runs such a one
}
PUBLIC_MODULES = ("ragged", "sharding", "streaming", "testing")
PAGES = sorted(
    str(path.relative_to(DOCS))
    for path in DOCS.rglob("*.md")
    if "```python" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", [page for page in PAGES if page not in ELSEWHERE])
def test_code_runs_and_prints_what_the_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # for the files that a page's code writes
    pages.run(name, (DOCS / name).read_text(encoding="utf-8"))


def test_a_wrong_print_is_noticed() -> None:
    with pytest.raises(AssertionError, match="printed"):
        pages.run("page", "```python\nprint(1)\n```\n\n```text\n2\n```\n")


def documented() -> set[str]:
    api = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))
    return set(re.findall(r"^::: (jconv\S+)$", api, re.MULTILINE))


def test_every_public_name_is_in_the_reference() -> None:
    assert {f"jconv.{name}" for name in jconv.__all__} <= documented()
    covered = {name.split(".")[2] for name in documented() if name.startswith("jconv.compat.")}
    assert covered == set(compat.__all__)
    assert {f"jconv.{name}" for name in PUBLIC_MODULES} <= documented()


def test_public_names_have_docstrings() -> None:
    for name in jconv.__all__:
        assert getattr(jconv, name).__doc__, name
    for name in testing.__all__:
        thing = getattr(testing, name)
        if callable(thing) or isinstance(thing, types.ModuleType):
            assert thing.__doc__, name


def test_every_algorithm_has_a_page() -> None:
    named = {path.stem for path in (DOCS / "algorithms").glob("*.md")} - {"index"}
    assert named == set(jconv.algorithms())
    index = (DOCS / "algorithms" / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[(\w+)\]\(\1\.md\) ", index, re.MULTILINE)) == named
    for name in named:
        text = (DOCS / "algorithms" / f"{name}.md").read_text(encoding="utf-8")
        for heading in ("When it is chosen", "Its error", "NaNs, infinities and zeros", "Cost"):
            assert f"\n## {heading}\n" in text
        assert re.search(rf"^!\[.*\]\(\.\./pictures/algorithm_{name}\.svg", text, re.MULTILINE)


def test_every_algorithm_has_the_picture_that_is_drawn_for_it() -> None:
    drawn = runpy.run_path(str(DOCS / "pictures" / "draw_algorithms.py"))
    pictures = {name: drawn["draw"](name) for name in jconv.algorithms()}
    assert len(set(pictures.values())) == len(pictures)
    for name, picture in pictures.items():
        path = DOCS / "pictures" / f"algorithm_{name}.svg"
        assert path.read_text(encoding="utf-8") == picture, "run docs/pictures/draw_algorithms.py"
