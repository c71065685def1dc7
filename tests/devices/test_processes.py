"""Several processes of jax.distributed on loopback: a training step equal to one process's."""

from __future__ import annotations

import pytest
from processes import CASES, run

pytestmark = pytest.mark.devices


@pytest.mark.parametrize("number", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_step_over_processes_is_that_of_one(number):
    found = run(number)
    assert [case["case"] for case in found] == [*CASES]
    for case in found:
        # Whole numbers: exact sums come out alike in every order. Winograd's products are others.
        assert max(case["off"]) <= (0 if case["policy"] == "exact" else 1e-5), case
        assert set(case["algorithms"].values()) != {"direct"}
        counted = case["collectives"]
        assert counted["all-gather"] == counted["all-to-all"] == 0
        assert counted["collective-permute"] > 0
        assert 1 <= counted["all-reduce"] <= 3


def test_a_process_that_fails_takes_the_others_with_it(monkeypatch):
    monkeypatch.setattr(
        "processes.HERE", __import__("pathlib").Path(__file__).parent / "nowhere.py"
    )
    with pytest.raises(AssertionError, match="nowhere"):
        run(2, patience=30)
