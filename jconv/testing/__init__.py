"""A kit that judges implementations of convolution, jconv's or anybody's.

`check_conformance` compares one with the oracle, on a table of nasty cases and under every
transformation of JAX's, and says what is wrong, the smallest case that shows it and the likeliest
cause. `check_trilinear`, `check_adjoint`, `check_grads` and `check_transforms` check one property
each, and raise. `reference` is the oracle, `CASES` is the table, and `strategies` draws more
configurations, valid and broken ones (it needs hypothesis, which is imported at the name's first
use). From a shell:

    pytest --pyargs jconv.testing --conv-implementation=mymodule:myconv
    python -m jconv.testing soak --minutes 5

The packages, each of which imports from those before it: `oracle`, `cases`, `transformations`,
`causes`, `run` and `soak`.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from jconv.testing.cases.table import CASES as CASES
from jconv.testing.oracle import reference as reference
from jconv.testing.oracle.case import Case as Case
from jconv.testing.run.checks import check_adjoint as check_adjoint
from jconv.testing.run.checks import check_transforms as check_transforms
from jconv.testing.run.checks import check_trilinear as check_trilinear
from jconv.testing.run.conformance import PROPERTIES as PROPERTIES
from jconv.testing.run.conformance import check_conformance as check_conformance
from jconv.testing.run.report import Finding as Finding
from jconv.testing.run.report import Refused as Refused
from jconv.testing.run.report import Report as Report
from jconv.testing.transformations.grads import check_grads as check_grads
from jconv.testing.transformations.ways import WAYS as WAYS

if TYPE_CHECKING:
    from jconv.testing.cases import strategies as strategies

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
        return importlib.import_module("jconv.testing.cases.strategies")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
