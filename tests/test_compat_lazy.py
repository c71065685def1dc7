"""jconv.compat costs nothing until a framework's module is used, and then loads that one alone."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys, jconv
def loaded():
    return sorted(name[13:] for name in sys.modules if name.startswith("jconv.compat."))
before = loaded()
jconv.compat.torch.conv2d
print(before, {name.partition(".")[0] for name in loaded()} & set(jconv.compat.__all__))
"""


def test_a_framework_is_loaded_when_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] {'torch'}"
