"""jconv.compat.tf equals TensorFlow's stored answers, and refuses by TensorFlow's own names."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from compat_answers import check_equal
from peers import store

import jconv
from jconv.compat import tf as ours

STORED = store.read("tensorflow_more")


@pytest.mark.parametrize(("call", "expected"), STORED.calls, ids=[c.name for c, _ in STORED.calls])
def test_stored(call, expected):
    check_equal("tf", call, expected)


def test_the_file_names_what_made_it():
    assert set(STORED.made_by) == {"tensorflow", "numpy"}
    assert store.path("tensorflow_more").stat().st_size < 60_000


def test_every_function_is_asked():
    """The raw operations are asked at random, in test_peers."""
    asked = {call.op for call, _ in STORED.calls}
    assert {f"nn.{name}" for name in ours.nn.__all__} <= asked
    random = {call.op for call, _ in store.read("tensorflow").calls}
    assert set(ours.raw_ops.__all__) <= random


def test_another_answer_is_noticed():
    call, expected = next((c, r) for c, r in STORED.calls if c.op == "nn.atrous_conv2d")
    wrong = dataclasses.replace(call, arguments={**call.arguments, "rate": 3})
    with pytest.raises(AssertionError):
        check_equal("tf", wrong, expected)


X = np.ones((1, 6, 6, 4), np.float32)
W = np.ones((3, 3, 4, 6), np.float32)
D = np.ones((3, 3, 4, 2), np.float32)
G = np.ones((1, 6, 6, 6), np.float32)
ONES = [1, 1, 1, 1]


def conv2d(**changes):
    given = {"input": X, "filters": W, "strides": 1, "padding": "SAME", **changes}
    return ours.nn.conv2d(**given)


def raw(op, **changes):
    arrays = {
        "Conv2D": {"input": X, "filter": W},
        "Conv2DBackpropInput": {"input_sizes": X.shape, "filter": W, "out_backprop": G},
        "Conv2DBackpropFilter": {"input": X, "filter_sizes": W.shape, "out_backprop": G},
        "DepthwiseConv2dNativeBackpropFilter": {
            "input": X,
            "filter_sizes": D.shape,
            "out_backprop": np.ones((1, 6, 6, 8), np.float32),
        },
    }
    given = {"strides": ONES, "padding": "SAME", **arrays[op], **changes}
    return getattr(ours.raw_ops, op)(**given)


def transposed(**changes):
    given = {"input": G, "filters": W, "output_shape": X.shape, "strides": 1, **changes}
    return ours.nn.conv2d_transpose(**given)


PAIRS = [[0, 0], [1, 1], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: conv2d(input=[1]), "input"),
        (lambda: conv2d(input=X[0]), "input"),
        (lambda: conv2d(filters=W[0]), "filters"),
        (lambda: conv2d(filters=W[:, :, :3]), "filters"),
        (lambda: conv2d(filters=W.astype(np.int32)), "filters"),
        (lambda: conv2d(strides=[2, 1, 1, 1]), "strides"),
        (lambda: conv2d(strides=0), "strides"),
        (lambda: conv2d(dilations=[1, 2, 3]), "dilations"),
        (lambda: conv2d(padding="same"), "padding"),
        (lambda: conv2d(padding="EXPLICIT"), "padding"),
        (lambda: conv2d(padding=PAIRS[:2]), "padding"),
        (lambda: conv2d(padding=[1, 1, 1, 1]), "padding"),
        (lambda: conv2d(padding=PAIRS, data_format="NCHW"), "padding"),
        (lambda: conv2d(data_format="NWHC"), "data_format"),
        (lambda: ours.nn.conv1d(X[0], W[0], 0, "SAME"), "stride"),
        (lambda: ours.nn.conv1d(X[0], W[0], 1, PAIRS), "padding"),
        (lambda: ours.nn.atrous_conv2d(X, W, 0, "SAME"), "rate"),
        (lambda: ours.nn.atrous_conv2d(X[0], W, 1, "SAME"), "value"),
        (lambda: ours.nn.depthwise_conv2d(X, D[:, :, :3], ONES, "SAME"), "filter"),
        (lambda: ours.nn.depthwise_conv2d(X, D, [1, 2, 2, 1], "SAME", None, [2, 2]), "dilations"),
        (lambda: ours.nn.separable_conv2d(X, D, W, ONES, "SAME"), "pointwise_filter"),
        (lambda: transposed(output_shape=(1, 7, 6, 4)), "output_shape"),
        (lambda: transposed(output_shape=(1, 6, 6, 5)), "output_shape"),
        (lambda: transposed(output_shape=(2, 6, 6, 4)), "output_shape"),
        (lambda: raw("Conv2D", strides=[1, 1]), "strides"),
        (lambda: raw("Conv2D", padding="EXPLICIT"), "explicit_paddings"),
        (lambda: raw("Conv2D", explicit_paddings=[0] * 8), "explicit_paddings"),
        (lambda: raw("Conv2D", padding="EXPLICIT", explicit_paddings=[1] * 8), "explicit_paddings"),
        (lambda: raw("Conv2DBackpropInput", input_sizes=[1, 7, 6, 4]), "input_sizes"),
        (lambda: raw("Conv2DBackpropInput", input_sizes=[1, 6, 6, 5]), "input_sizes"),
        (lambda: raw("Conv2DBackpropFilter", filter_sizes=[3, 3]), "filter_sizes"),
        (lambda: raw("Conv2DBackpropFilter", filter_sizes=[3, 3, 4, 5]), "filter_sizes"),
        (lambda: raw("Conv2DBackpropFilter", out_backprop=G[:, :5]), "out_backprop"),
        (
            lambda: raw("DepthwiseConv2dNativeBackpropFilter", filter_sizes=[3, 3, 3, 2]),
            "filter_sizes",
        ),
    ],
)
def test_bad_input(call, argument):
    with pytest.raises(jconv.ConvError) as caught:
        call()
    assert caught.value.argument == argument
    jconvs_own = {"x", "w", "g", "input_shape", "filter_shape", "layout", "groups"}
    assert not {remedy.argument for remedy in caught.value.remedies} & jconvs_own
    assert not any(f"`{name}`" in caught.value.message for name in jconvs_own)


def test_the_first_remedy_mends_the_call():
    with pytest.raises(jconv.ConvError) as caught:
        transposed(output_shape=(1, 7, 6, 4))
    remedy = caught.value.remedies[0]
    assert (remedy.argument, remedy.value) == ("output_shape", (1, 6, 6, 4))
    with pytest.raises(jconv.ConvError) as caught:
        ours.nn.depthwise_conv2d(X, D, [1, 2, 2, 1], "SAME", dilations=[2, 2])
    remedy = caught.value.remedies[0]
    assert (remedy.argument, remedy.value) == ("dilations", None)
