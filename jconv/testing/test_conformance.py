"""What `pytest --pyargs jconv.testing --conv-implementation=mymodule:myconv` runs.

One test for each operation and property, so that a report says at a glance what holds.
"""

from __future__ import annotations

import unittest
from typing import Any

from jconv.testing.oracle.legs import OPERATIONS
from jconv.testing.run.ask import Implementation
from jconv.testing.run.conformance import PROPERTIES, check_conformance


def pytest_generate_tests(metafunc: Any) -> None:
    metafunc.parametrize("operation", OPERATIONS)
    metafunc.parametrize("property_", PROPERTIES)


def test_conformance(
    conv_implementation: Any, conv_exact: bool | None, operation: str, property_: str
) -> None:
    __tracebackhide__ = True  # the report says it all
    # pytest takes unittest's exception for a skip, and jconv must not need pytest.
    if operation not in Implementation(conv_implementation).functions:
        raise unittest.SkipTest(f"it has no {operation}")
    report = check_conformance(
        conv_implementation, conv_exact, operations=[operation], properties=[property_]
    )
    if not report.checked and not report.refused:
        raise unittest.SkipTest(f"{property_}: {operation} has nothing to check")
    if not report.checked and property_ != "values":
        raise unittest.SkipTest(f"it refuses everything: {report.refused[0].reason}")
    report.raise_if_failed()
