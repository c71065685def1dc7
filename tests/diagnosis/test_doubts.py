"""Calls that are right and look wrong, and dtypes that two operands have to change."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

import jconv
from jconv.compat import lax as compat_lax
from jconv.compat import onnx as compat_onnx
from jconv.compat import torch as compat_torch


@pytest.mark.parametrize(
    ("x", "w", "layout", "order"),
    [
        ((1, 32, 32, 3), (16, 3, 3, 3), None, "OIHW"),
        ((1, 32, 32, 5), (64, 5, 5, 5), None, "OIHW"),
        ((1, 3, 32, 32), (3, 3, 3, 16), "NCHW", "HWIO"),
        ((1, 64, 3), (32, 3, 3), None, "OIW"),
    ],
)
def test_a_filter_of_another_framework_is_seen(x, w, layout, order):
    plan = jconv.plan(x, w, layout=layout)
    diagnosis = jconv.diagnose(x_shape=x, w_shape=w, layout=layout)
    (note,) = plan.notes
    assert f"looks like {order}" in note
    assert f"looks like {order}" in " ".join(str(plan).split())
    assert f"looks like {order}" in " ".join(diagnosis.text.split())
    assert diagnosis.ok
    assert plan.to_dict()["notes"] == [note]


@pytest.mark.parametrize(
    "w", [(3, 3, 3, 8), (7, 1, 3, 8), (1, 7, 3, 3), (5, 3, 3, 8), ("k", 3, 3, 3)]
)
def test_usual_filters_are_not_doubted(w):
    assert not jconv.plan((1, 32, 32, 3), w).notes


BOOLS = {
    "conv": (jconv.conv, (1, 8, 8, 3), (3, 3, 3, 4), ("x", "w")),
    "torch": (compat_torch.conv2d, (1, 3, 8, 8), (4, 3, 3, 3), ("input", "weight")),
    "onnx": (compat_onnx.conv, (1, 3, 8, 8), (4, 3, 3, 3), ("X", "W")),
}


@pytest.mark.parametrize("case", BOOLS)
def test_two_operands_that_must_both_change_are_named_as_the_caller_does(case):
    call, first, second, names = BOOLS[case]
    with pytest.raises(jconv.ConvError, match="Two changes are needed") as caught:
        call(jnp.ones(first, bool), jnp.ones(second, bool))
    error = caught.value
    assert error.together
    assert [(r.argument, r.value) for r in error.remedies] == [(n, "float32") for n in names]
    assert f"and:      convert it: {names[1]}.astype('float32')" in str(error)
    assert error.argument == names[0]


@pytest.mark.parametrize(
    "call", [lambda x: jconv.unfold(x, 3), lambda x: jconv.fold(x, 1, input_shape=(8, 8))]
)
def test_one_operand_needs_one_change(call):
    with pytest.raises(jconv.ConvError) as caught:
        call(jnp.ones((1, 8, 8, 3), bool))
    assert [remedy.value for remedy in caught.value.remedies] == ["float32"]
    assert not caught.value.together


def test_dimensions_are_said_in_a_sentence():
    with pytest.raises(jconv.ConvError, match="`rhs` must be an array of 4 dimensions"):
        compat_lax.conv_general_dilated(jnp.ones((1, 3, 8, 8)), jnp.ones((4, 3, 3)), (1, 1), "SAME")


@pytest.mark.parametrize(
    ("op", "arrays"),
    [
        ("conv", {"x_shape": (1, 5, 5, 3), "w_shape": (3, 3, 3, 8)}),
        ("conv_input_grad", {"w_shape": (3, 3, 3, 8), "input_shape": (5, 5)}),
        ("conv_filter_grad", {"x_shape": (1, 5, 5, 3), "filter_shape": (3, 3)}),
        ("conv_transpose", {"x_shape": (1, 5, 5, 8), "w_shape": (3, 3, 3, 8)}),
    ],
)
def test_a_call_that_fits_is_not_doubted_whichever_arrays_it_takes(op, arrays):
    if "grad" in op:
        arrays |= {"g_shape": (1, 3, 3, 8)}
    found = jconv.diagnose(op=op, **arrays, padding="VALID")
    assert found.ok, str(found)
    assert found.remedies == ()
