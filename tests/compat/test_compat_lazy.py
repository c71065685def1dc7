"""A framework's module is loaded when it is first used, and then that one alone."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys, jconv
def loaded():
    names = {name.split(".")[2] for name in sys.modules if name.startswith("jconv.compat.")}
    return sorted(names & set(jconv.compat.__all__) - {"lax"})  # accelerate needs that one
before = loaded()
jconv.compat.torch.conv2d
print(before, loaded())
"""


def test_a_framework_is_loaded_when_it_is_used() -> None:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] ['torch']"
