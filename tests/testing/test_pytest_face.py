"""pytest --pyargs jconv.testing --conv-implementation=module:name, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MINE = """
import jconv

class Right:
    conv = staticmethod(jconv.conv)

class Flipped:
    @staticmethod
    def conv(x, w, **keywords):
        return jconv.conv(x, w[::-1], **keywords)

def refuses(x, w, **keywords):
    raise NotImplementedError("not today")
"""


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    (folder / "mine.py").write_text(MINE)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_jconv", "-p", "no:cacheprovider",
         "-p", "no:xdist", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


CONV = "not grad and not transpose"  # in the names of tests
KIT = ("--pyargs", "jconv.testing")


def test_a_right_one_passes(tmp_path):
    code, told = run(tmp_path, *KIT, "--conv-implementation=mine:Right", "-k", "conv and complex")
    assert code == 0, told
    assert re.search(r"1 passed, 3 skipped, \d+ deselected", told), told
    assert "warning" not in told


def test_what_an_operation_is_not_asked_is_skipped(tmp_path):
    """Of a forward convolution no sizes are told."""
    options = ("--conv-implementation=mine:Right", "-k", "sizes", "-rs")
    code, told = run(tmp_path, *KIT, *options)
    assert code == 0, told
    assert "sizes: conv has nothing to check" in told


def test_a_wrong_one_fails_with_its_cause(tmp_path):
    code, told = run(
        tmp_path, *KIT, "--conv-implementation=mine:Flipped", "-k", f"complex and {CONV}"
    )
    assert code == 1, told
    assert "likeliest cause: flipped kernel" in told
    assert "smallest failing case" in told
    assert "Traceback" not in told
    assert "def raise_if_failed" not in told
    assert "warning" not in told


def test_one_that_refuses_everything_fails(tmp_path):
    code, told = run(
        tmp_path, *KIT, "--conv-implementation=mine:refuses", "-k", f"values and {CONV}"
    )
    assert code == 1, told
    assert "nothing is known" in told


def test_without_an_implementation_it_says_what_to_tell(tmp_path):
    code, told = run(tmp_path, *KIT, "-rs")
    assert code == 0, told
    assert "give --conv-implementation=mymodule:myconv" in told
    code, told = run(tmp_path, *KIT, "--conv-implementation=mine:Missing")
    assert "mine:Missing: module 'mine' has no attribute 'Missing'" in told
    assert code != 0


def test_the_fixture_in_tests_of_ones_own(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "import pytest, mine\n"
        "from jconv.testing import CASES, check_conformance\n"
        "@pytest.fixture(scope='session')\n"
        "def conv_implementation(): return mine.Right\n"
        "def test_it(conv_implementation):\n"
        "    few = {'cases': CASES[:3], 'properties': ['values']}\n"
        "    assert check_conformance(conv_implementation, **few)\n"
    )
    code, told = run(tmp_path, "test_mine.py")
    assert code == 0, told


def test_the_plugin_is_registered_and_costs_nothing():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"pytest_jconv": "pytest_jconv"}
    assert (
        "pytest_jconv.py" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    )
    code = (
        "import sys, pytest, pytest_jconv; "
        "assert not {'jax', 'jconv', 'numpy'} & set(sys.modules), 'it imports too much'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=100)


def test_jconv_needs_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; import jconv.testing, jconv.testing.soak.soak"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=100)


@pytest.mark.parametrize("name", ["conv_implementation", "conv_exact"])
def test_the_fixtures_are_there(name):
    import pytest_jconv

    assert hasattr(pytest_jconv, name)
