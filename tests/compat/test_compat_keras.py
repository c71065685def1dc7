"""jconv.compat.keras equals Keras' stored answers, its output_padding rule among them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from compat_answers import check_equal
from peers import store

import jconv
from jconv.compat import keras as ours

STORED = store.read("keras_more")


@pytest.mark.parametrize(("call", "expected"), STORED.calls, ids=[c.name for c, _ in STORED.calls])
def test_stored(call, expected):
    check_equal("keras", call, expected)


def test_the_file_names_what_made_it():
    assert set(STORED.made_by) == {"keras", "numpy"}
    assert store.path("keras_more").stat().st_size < 60_000


def test_every_function_is_asked():
    assert {call.op for call, _ in STORED.calls} == set(ours.__all__)


def test_another_answer_is_noticed():
    call, expected = next((c, r) for c, r in STORED.calls if c.op == "conv_transpose")
    wrong = dataclasses.replace(call, arguments={**call.arguments, "output_padding": 3})
    with pytest.raises(AssertionError):
        check_equal("keras", wrong, expected)


X = np.ones((1, 6, 6, 4), np.float32)
W = np.ones((3, 3, 4, 6), np.float32)
D = np.ones((3, 3, 4, 2), np.float32)
T = np.ones((3, 3, 5, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: ours.conv([1], W), "inputs"),
        (lambda: ours.conv(X[0], W), "inputs"),
        (lambda: ours.conv(X, W[0, 0]), "kernel"),
        (lambda: ours.conv(X, W[:, :, :3]), "kernel"),
        (lambda: ours.conv(X, W.astype(np.int32)), "kernel"),
        (lambda: ours.conv(X[:, :2], W), "inputs"),
        (lambda: ours.conv(X, W, strides=(1, 2, 3)), "strides"),
        (lambda: ours.conv(X, W, padding="causal"), "padding"),
        (lambda: ours.conv(X, W, padding=1), "padding"),
        (lambda: ours.conv(X, W, data_format="NHWC"), "data_format"),
        (lambda: ours.conv(X, W, dilation_rate=0), "dilation_rate"),
        (lambda: ours.depthwise_conv(X, D[:, :, :3]), "kernel"),
        (lambda: ours.separable_conv(X, D, W), "pointwise_kernel"),
        (lambda: ours.separable_conv(X, D[:, :, :3], W), "depthwise_kernel"),
        (lambda: ours.conv_transpose(X, W), "kernel"),
        (
            lambda: ours.conv_transpose(X, T, output_padding=0.5),
            "output_padding",
        ),
        (lambda: ours.conv_transpose(X, T, output_padding=-9), "output_padding"),
    ],
)
def test_bad_input(call, argument):
    with pytest.raises(jconv.ConvError) as caught:
        call()
    assert caught.value.argument == argument
    jconvs_own = {"x", "w", "output_shape", "layout", "groups"}
    assert not {remedy.argument for remedy in caught.value.remedies} & jconvs_own
    assert not any(f"`{name}`" in caught.value.message for name in jconvs_own)
