"""The README's code runs, its commands are the two that they should be, its versions are true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pages
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_code_runs_and_prints_what_the_readme_says() -> None:
    assert len(pages.blocks(README)) >= 3
    pages.run("README.md", README)


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_the_first_python_block_is_ten_lines() -> None:
    assert len(blocks("python")[0].splitlines()) == 10


def test_bash_blocks_are_the_two_commands() -> None:
    assert blocks("bash") == [
        'pip install ".[examples]" && jconv demo\n',
        'pip install ".[test]" && python -m pytest\n',
    ]


def test_what_a_reader_looks_for_comes_in_this_order() -> None:
    marks = ["\n![", "```bash", "```python", "jconv.accelerate(", "print(error)", "print(plan)"]
    marks += ["\n## How it works", "\n## What it adds", "\n## Speed", "\n## Limits"]
    places = [README.index(mark) for mark in marks]
    assert places == sorted(places)


def test_named_files_exist() -> None:
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\((?!http)([^)#]+)\)", prose)
    assert links
    assert [name for name in links if not (ROOT / name).exists()] == []


def test_every_example_is_listed() -> None:
    listed = set(re.findall(r"\]\((\w+\.py)\)", (ROOT / "examples/README.md").read_text()))
    assert listed == {path.name for path in (ROOT / "examples").glob("*.py")}


def test_named_versions_are_pyprojects() -> None:
    assert named_versions(README) == project_versions(PROJECT)


@pytest.mark.parametrize(
    "wrong",
    [
        "Python 3.12 or newer and jax 0.10 to 0.12",
        "Python 3.11 or newer and jax 0.9 to 0.12",
        "Python 3.11 or newer and jax 0.10 to 0.13",
    ],
)
def test_a_wrong_version_is_noticed(wrong: str) -> None:
    assert named_versions(wrong) != project_versions(PROJECT)


def test_run_time_dependencies_are_three() -> None:
    names = {re.split(r"[<>=~! ]", need, maxsplit=1)[0] for need in PROJECT["dependencies"]}
    assert names == {"jax", "jaxlib", "numpy"}


def test_the_changelog_names_this_version() -> None:
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def named_versions(text: str) -> dict[str, str]:
    """The versions that a text names: the lowest Python, the lowest and the highest JAX."""
    match = re.search(r"Python (\d+\.\d+) or newer and jax (\d+\.\d+) to (\d+\.\d+)", text)
    assert match is not None
    return dict(zip(["python", "lowest jax", "highest jax"], match.groups(), strict=True))


def project_versions(project: dict[str, Any]) -> dict[str, str]:
    """The same of pyproject.toml, where the first JAX that is too new stands."""
    ranges = {need for need in project["dependencies"] if need.startswith("jax")}
    bounds = {re.fullmatch(r"jax(?:lib)?>=0\.(\d+),<0\.(\d+)", need).groups() for need in ranges}
    assert len(bounds) == 1  # jax and jaxlib alike
    lowest, too_new = bounds.pop()
    return {
        "python": project["requires-python"].removeprefix(">="),
        "lowest jax": f"0.{lowest}",
        "highest jax": f"0.{int(too_new) - 1}",
    }
