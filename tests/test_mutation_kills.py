"""A quick sample of the kit on jconv, by property: what mutation.py kills mutants with."""

import pytest

import jconv
from jconv.testing import CASES, check_conformance

QUICK = {
    "values": CASES[::9],
    "derivatives": CASES[5::60],
    "transformations": [
        c for c in CASES if c.name in ("groups-equal-batch", "layout-nchw-asymmetric")
    ],
}


@pytest.mark.parametrize("property_", QUICK)
def test_quick(property_):
    report = check_conformance(jconv, True, cases=QUICK[property_], properties=[property_])
    report.raise_if_failed()
    assert not report.refused
