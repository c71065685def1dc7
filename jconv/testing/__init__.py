"""What it takes to judge an implementation of convolution: an oracle and configurations to ask.

`reference` is the oracle, `CASES` a table of small nasty configurations, and `strategies` draws
further ones (it needs hypothesis, which is imported when the name is first used).
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from jconv.testing import _reference as reference
from jconv.testing._cases import CASES as CASES
from jconv.testing._cases import Case as Case

if TYPE_CHECKING:
    from jconv.testing import _strategies as strategies

__all__ = ["CASES", "Case", "reference", "strategies"]


def __getattr__(name: str) -> ModuleType:
    if name == "strategies":
        return importlib.import_module("jconv.testing._strategies")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
