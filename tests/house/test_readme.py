"""The README's code runs, its commands are the two that they should be, its versions are true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_python_blocks_run_in_order() -> None:
    # One namespace for all: a later block may use what an earlier one has made.
    namespace: dict[str, Any] = {"__name__": "readme"}
    sources = blocks("python")
    assert len(sources) >= 3
    for number, source in enumerate(sources, start=1):
        exec(compile(source, f"README.md, python block {number}", "exec"), namespace)


def test_the_first_python_block_is_ten_lines() -> None:
    assert len(blocks("python")[0].splitlines()) == 10


def test_a_failing_block_is_noticed() -> None:
    with pytest.raises(AssertionError):
        exec("import jconv\nassert jconv.conv is None", {})


def test_bash_blocks_are_the_two_commands() -> None:
    assert blocks("bash") == [
        'pip install ".[examples]" && jconv demo\n',
        'pip install ".[test]" && python -m pytest\n',
    ]


def test_what_a_reader_looks_for_comes_in_this_order() -> None:
    marks = ["\n![", "```bash", "```python", "jconv.accelerate(", "\n## What it adds", "\n## Speed"]
    marks += ["\n## How it works", "\n## How to add an algorithm", "\n## Limits"]
    places = [README.index(mark) for mark in marks]
    assert places == sorted(places)


def test_named_files_exist() -> None:
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\((?!http)([^)#]+)\)", prose)
    assert links
    assert [name for name in links if not (ROOT / name).exists()] == []
    assert {f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py")} <= set(links)


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
