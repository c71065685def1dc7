"""Another framework's words: a ConvError, which is a TypeError too, that names jconv's."""

from __future__ import annotations

import dataclasses
import inspect
import pickle

import jax.numpy as jnp
import pytest

import jconv
from jconv._check.call import Call
from jconv._check.operations import OPERATIONS

X, W, G = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4)), jnp.ones((1, 8, 8, 4))

# (call, what the first remedy sets), the remedy None where there is no such argument
SLIPS = {
    "strides": (lambda: jconv.conv(X, W, strides=2), ("stride", 2)),
    "window_strides": (lambda: jconv.conv(X, W, window_strides=(1, 2)), ("stride", (1, 2))),
    "rate": (lambda: jconv.conv_transpose(G, W, rate=2), ("dilation", 2)),
    "dilations": (lambda: jconv.conv(X, W, dilations=2), ("dilation", 2)),
    "rhs_dilation": (lambda: jconv.conv(X, W, rhs_dilation=(2, 2)), ("dilation", (2, 2))),
    "lhs_dilation": (lambda: jconv.conv(X, W, lhs_dilation=2), ("input_dilation", 2)),
    "feature_group_count": (lambda: jconv.conv(X, W, feature_group_count=3), ("groups", 3)),
    "data_format": (lambda: jconv.conv(X, W, data_format="channels_first"), ("layout", "NCHW")),
    "a typing error": (lambda: jconv.conv(X, W, strid=2), ("stride", 2)),
    "weight": (lambda: jconv.conv(X, weight=W), ("w", W.shape)),
    "kernel_size": (lambda: jconv.conv(X, W, kernel_size=3), ("kernel_size", None)),
    "filters": (lambda: jconv.conv(X, W, filters=4), ("filters", None)),
    "bias": (lambda: jconv.conv(X, W, bias=jnp.ones(4)), ("bias", None)),
    "both": (lambda: jconv.conv(X, W, stride=1, strides=2), ("strides", None)),
    "filter_sizes": (
        lambda: jconv.conv_filter_grad(X, G, filter_sizes=W.shape),
        ("filter_shape", W.shape),
    ),
    "by position": (lambda: jconv.conv(X, W, 2), ("stride", 2)),
    "padding by position": (lambda: jconv.conv(X, W, "VALID"), ("padding", "VALID")),
    "plan": (lambda: jconv.plan(X.shape, W.shape, strides=2), ("stride", 2)),
    "plan by position": (lambda: jconv.plan(X.shape, W.shape, 2), ("stride", 2)),
    "plan_transpose": (
        lambda: jconv.plan_transpose(G.shape, W.shape, data_format="NCHW"),
        ("layout", "NCHW"),
    ),
    "diagnose": (
        lambda: jconv.diagnose(x_shape=X.shape, w_shape=W.shape, dilations=2),
        ("dilation", 2),
    ),
    "solve": (lambda: jconv.solve(input=28, output=14, kernel_size=3), ("kernel", 3)),
    "custom_conv": (lambda: jconv.custom_conv(strides=2), ("stride", 2)),
    "unfold": (lambda: jconv.unfold(X, 3, rates=2), ("dilation", 2)),
}


@pytest.mark.parametrize("case", SLIPS)
def test_a_slip_names_jconvs_word(case):
    call, (argument, value) = SLIPS[case]
    with pytest.raises(jconv.ConvError) as caught:
        call()
    error = caught.value
    assert isinstance(error, TypeError)
    assert (error.remedies[0].argument, error.remedies[0].value) == (argument, value)
    assert argument in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert isinstance(pickle.loads(pickle.dumps(error)), TypeError)


def test_pytorchs_order_by_position():
    with pytest.raises(jconv.ConvError, match="no bias") as caught:
        jconv.conv(X, W, None, 2, 1)
    assert caught.value.together
    assert [(r.argument, r.value) for r in caught.value.remedies] == [("stride", 2), ("padding", 1)]


def test_numbers_without_names():
    with pytest.raises(jconv.ConvError) as caught:
        jconv.solve(28, 14)  # pyright: ignore[reportCallIssue]
    words = {remedy.argument: remedy.value for remedy in caught.value.remedies}
    assert words == {"input": 28, "output": 14}


@pytest.mark.parametrize(
    ("call", "argument", "value"),
    [
        (lambda: jconv.conv_input_grad(G, W), "input_shape", (8, 8)),
        (lambda: jconv.conv_filter_grad(X, G), "filter_shape", (3, 3)),
        (lambda: jconv.conv(X), "w", None),
        (lambda: jconv.plan(X.shape), "w_shape", None),
    ],
)
def test_what_is_missing_is_named(call, argument, value):
    with pytest.raises(jconv.ConvError, match="must be given") as caught:
        call()
    assert caught.value.argument == argument
    if value is not None:
        assert caught.value.remedies[0].value == value


def test_signatures_are_those_that_were_written():
    for name in ("conv", "conv_input_grad", "conv_filter_grad", "conv_transpose", "unfold", "fold"):
        parameters = inspect.signature(getattr(jconv, name)).parameters
        assert "stride" in parameters
        assert parameters["stride"].kind == inspect.Parameter.KEYWORD_ONLY
        assert "Args:" in getattr(jconv, name).__doc__


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_record_has_the_arguments_of_its_function(name):
    record = OPERATIONS[name]
    told = {*record.arrays, *record.keywords}
    parameters = set(inspect.signature(getattr(jconv, name)).parameters)
    assert told <= parameters
    of_a_call = {field.name for field in dataclasses.fields(Call)}
    assert set(record.keywords) <= of_a_call
    assert not (parameters - told) & of_a_call


def test_right_words_pass():
    y = jconv.conv(X, w=W, stride=2)
    assert y.shape == jconv.conv(x=X, w=W, stride=2).shape == (1, 4, 4, 4)
