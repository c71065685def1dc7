"""Every example runs in a process of its own and says what it should; so does every docstring."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import jconv

ROOT = Path(__file__).parents[1]


def run(script: Path, *arguments: str) -> str:
    """What the script prints, with this checkout's jconv and warnings as errors."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:__main__", str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_train_by_hand(printed: str) -> None:
    losses = [float(loss) for loss in re.findall(r"^step .*? loss (\d+\.\d+)", printed, re.M)]
    assert len(losses) >= 2
    assert losses[-1] < losses[0] / 2
    difference, largest = re.search(
        r"largest difference (\S+), largest gradient ([^:]+): they agree", printed
    ).groups()
    assert float(difference) <= 1e-5 * float(largest)
    assert float(largest) > 0


SHORT_FORMS: dict[str, tuple[list[str], Callable[[str], None]]] = {
    "train_by_hand.py": (["--steps", "30"], check_train_by_hand),
}


def test_every_example_has_a_short_form() -> None:
    assert set(SHORT_FORMS) == {path.name for path in (ROOT / "examples").glob("*.py")}


@pytest.mark.parametrize("name", SHORT_FORMS)
def test_example(name: str) -> None:
    pytest.importorskip("optax", reason="optax is missing: install the extra `test`")
    pytest.importorskip("sklearn", reason="scikit-learn is missing: install the extra `test`")
    arguments, check = SHORT_FORMS[name]
    check(run(ROOT / "examples" / name, *arguments))


MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(jconv.__path__, "jconv.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["jconv", *MODULES])
def test_docstring_examples(name: str) -> None:
    module = importlib.import_module(name)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(module, optionflags=options).failed == 0


def test_public_functions_have_examples() -> None:
    finder = doctest.DocTestFinder()
    functions = {name: getattr(jconv, name) for name in jconv.__all__}
    functions = {n: f for n, f in functions.items() if callable(f) and not isinstance(f, type)}
    assert "conv" in functions
    without = [
        name
        for name, function in functions.items()
        if not any(test.examples for test in finder.find(function, name))
    ]
    assert without == []
