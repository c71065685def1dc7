"""Every injected bug is found by the kit, and named for what it is."""

from __future__ import annotations

import pytest
from mutants import ALL, MUTANTS
from mutants_held_out import MUTANTS as HELD_OUT
from own_conv import Own

from jconv.testing import CASES, check_conformance

EVERY_THIRD = CASES[::3]


def check(mutant, cases, operations):
    return check_conformance(
        mutant.implementation, cases=cases, operations=operations, properties=mutant.properties
    )


@pytest.mark.once
@pytest.mark.parametrize("mutant", [*MUTANTS, *HELD_OUT], ids=str)
def test_found_and_named(mutant):
    report = check(mutant, EVERY_THIRD, mutant.fails[:1] or ("conv",))
    assert not report.ok
    assert report.cause == mutant.cause, report


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_found_and_named_in_full(mutant):
    """Over all cases, with all other operations right."""
    report = check(mutant, CASES, ALL)
    assert report.cause == mutant.cause, report
    if mutant.fails:
        assert {finding.operation for finding in report.findings} == set(mutant.fails), report


def test_there_are_enough():
    names = [mutant.name for mutant in (*MUTANTS, *HELD_OUT)]
    assert len(names) == len(set(names)) >= 40
    assert len({mutant.cause for mutant in MUTANTS}) >= 30


def test_without_a_bug_nothing_is_found():
    report = check_conformance(Own(), properties=["values", "sizes", "complex", "rounding"])
    assert report.ok, report
    assert report.exact
    assert report.checked > 1300
    assert not report.missing
    # NumPy has no gradients: that is said, and all that is.
    assert {refused.reason for refused in report.refused} == {"cannot be traced by JAX"}
