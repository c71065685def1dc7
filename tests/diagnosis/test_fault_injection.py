"""From random valid calls one argument is broken: it must be named, and the remedy must mend."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

import pytest

from jconv._check.resolve import resolve
from jconv._core.errors import ConvError
from jconv._diagnosis.diagnose import resolve_or_explain

PATH = pathlib.Path(__file__).parents[2] / "benchmarks" / "fault_injection.py"


@pytest.fixture(scope="module")
def injection():
    """The full-size script, from which this is a sample."""
    spec = importlib.util.spec_from_file_location("fault_injection", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fault_injection"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fault_injection"]


@pytest.mark.parametrize("seed", [1, 2])
def test_culprits_are_named_and_mended(injection, seed: int):
    clear, _ = injection.measure(seed, 250)
    count = injection.total(clear)
    assert count.cases > 100
    assert count.named >= 0.95 * count.cases, clear
    assert count.mended >= 0.99 * count.cases, clear


def test_every_remedy_was_tried(injection):
    for call, fault in injection.broken_cases(3, 400):
        broken = injection.apply(call, fault)
        with pytest.raises(ConvError) as caught:
            resolve_or_explain(broken)
        for remedy in caught.value.remedies:
            resolve(broken.with_argument(remedy.argument, remedy.value))


def test_the_count_can_fail(injection, monkeypatch):
    """An engine that always blames the filter is seen to be wrong."""

    def blame(call):
        raise ConvError("", argument="w")

    monkeypatch.setattr(injection, "resolve_or_explain", blame)
    clear, _ = injection.measure(4, 60)
    count = injection.total(clear)
    assert count.named < 0.5 * count.cases
    assert count.mended == 0
