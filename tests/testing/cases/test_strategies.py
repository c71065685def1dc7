"""Broken calls, drawn: each is refused before anything runs, and the broken argument is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import jconv
from jconv.testing import strategies
from jconv.testing.cases.invalid import FAULTS

drawn = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def refuse(call):
    arrays = [np.zeros(shape, np.float32) for shape in call.shapes.values()]
    with pytest.raises(jconv.ConvError) as caught:
        getattr(jconv, call.op)(*arrays, **call.kwargs)
    return caught.value


@pytest.mark.parametrize("op", ["conv", "conv_input_grad", "conv_filter_grad", "conv_transpose"])
def test_refused_with_the_argument_named(op):
    seen = set()

    @drawn
    @given(strategies.invalid(ops=(op,)))
    def search(call):
        error = refuse(call)
        assert error.argument in call.blamable, f"{call}\n{error}"
        # What is certain is said: only where another argument may be at fault may it be named.
        assert call.argument == call.blamable[0]
        seen.add(call.argument)

    search()
    assert len(seen) >= 9, seen


def test_every_fault_is_labelled():
    assert all(done and callable(change) for faults in FAULTS.values() for done, change in faults)
    assert sum(map(len, FAULTS.values())) >= 40


def test_a_wrong_name_would_be_noticed():
    """An error that blames the stride for everything is not accepted."""

    @settings(drawn, max_examples=40)
    @given(strategies.invalid())
    def search(call):
        assert "stride" in call.blamable

    with pytest.raises(AssertionError):
        search()
