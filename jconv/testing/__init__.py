"""What it takes to judge an implementation of convolution, jconv's or anybody's.

`check_conformance` holds one against the oracle, over a table of nasty cases and under every
transformation of JAX's, and says what is wrong, where it shows best and what is the likeliest
cause. `check_trilinear`, `check_adjoint`, `check_grads` and `check_transforms` check one property
each, and raise. `reference` is the oracle, `CASES` the table, and `strategies` draws further
configurations, valid and broken ones (it needs hypothesis, which is imported when the name is first
used). From a shell:

    pytest --pyargs jconv.testing --conv-implementation=mymodule:myconv
    python -m jconv.testing soak --minutes 5
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from jconv.testing import _reference as reference
from jconv.testing._cases import CASES as CASES
from jconv.testing._cases import Case as Case
from jconv.testing._checks import check_adjoint as check_adjoint
from jconv.testing._checks import check_transforms as check_transforms
from jconv.testing._checks import check_trilinear as check_trilinear
from jconv.testing._conformance import PROPERTIES as PROPERTIES
from jconv.testing._conformance import check_conformance as check_conformance
from jconv.testing._grads import check_grads as check_grads
from jconv.testing._report import Finding as Finding
from jconv.testing._report import Refused as Refused
from jconv.testing._report import Report as Report
from jconv.testing._ways import WAYS as WAYS

if TYPE_CHECKING:
    from jconv.testing import _strategies as strategies

__all__ = [
    "CASES",
    "PROPERTIES",
    "WAYS",
    "Case",
    "Finding",
    "Refused",
    "Report",
    "check_adjoint",
    "check_conformance",
    "check_grads",
    "check_transforms",
    "check_trilinear",
    "reference",
    "strategies",
]


def __getattr__(name: str) -> ModuleType:
    if name == "strategies":
        return importlib.import_module("jconv.testing._strategies")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
