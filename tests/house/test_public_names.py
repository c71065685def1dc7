"""The set of public names: whoever adds or takes one away does it here too."""

from __future__ import annotations

import jconv
from jconv import testing

PUBLIC = {
    "ChainPlan",
    "ChainRow",
    "ClippedPart",
    "ConvError",
    "Diagnosis",
    "Leg",
    "OperationPlan",
    "Plan",
    "Remedy",
    "Restore",
    "Solution",
    "TuningTable",
    "accelerate",
    "algorithms",
    "autotune",
    "clipped_grad",
    "conv",
    "conv_filter_grad",
    "conv_input_grad",
    "conv_transpose",
    "convs_saveable",
    "custom_conv",
    "diagnose",
    "everywhere",
    "explain",
    "explore",
    "filter_grad_norms",
    "fold",
    "input_sizes",
    "kfac_factors",
    "locally_connected",
    "per_example_filter_grads",
    "plan",
    "plan_chain",
    "plan_operation",
    "plan_transpose",
    "policy",
    "solve",
    "unfold",
}


TESTING = {
    "CASES",
    "Case",
    "Finding",
    "PROPERTIES",
    "Refused",
    "Report",
    "WAYS",
    "check_adjoint",
    "check_conformance",
    "check_grads",
    "check_transforms",
    "check_trilinear",
    "reference",
    "strategies",
}


def test_public_names_of_the_kit() -> None:
    assert set(testing.__all__) == TESTING
    assert [name for name in testing.__all__ if not hasattr(testing, name)] == []


def test_public_names_of_ragged_batches_and_streams() -> None:
    ragged = {"conv", "conv_transpose", "mask", "mean", "pool", "stack", "sum", "unstack"}
    assert set(jconv.ragged.__all__) == ragged
    assert set(jconv.streaming.__all__) == {"conv", "conv_transpose", "init"}


def test_public_names() -> None:
    assert set(jconv.__all__) == PUBLIC
    assert list(jconv.__all__) == sorted(jconv.__all__)


def test_public_names_are_there() -> None:
    assert [name for name in jconv.__all__ if not hasattr(jconv, name)] == []


def test_nothing_else_looks_public() -> None:
    modules = {"compat", "ragged", "sharding", "streaming", "testing"}
    # pytest, which rewrites the assertions of installed plugins, leaves names with an @ behind.
    visible = {name for name in vars(jconv) if not name.startswith(("_", "@"))}
    assert visible - modules == PUBLIC
