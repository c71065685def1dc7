"""jconv.compat.onnx equals what ONNX Runtime answered; ONNX's own test data are in test_peers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from compat_answers import check_equal
from peers import store

import jconv
from jconv.compat import onnx as ours

STORED = store.read("onnx_more")


@pytest.mark.parametrize(("call", "expected"), STORED.calls, ids=[c.name for c, _ in STORED.calls])
def test_stored(call, expected):
    check_equal("onnx", call, expected)


def test_the_file_names_what_made_it():
    assert set(STORED.made_by) == {"onnx", "onnxruntime", "numpy"}
    assert store.path("onnx_more").stat().st_size < 60_000


def test_every_function_is_asked():
    """ConvInteger is among ONNX's own test data."""
    assert {call.op for call, _ in STORED.calls} == set(ours.__all__) - {"conv_integer"}


def test_another_answer_is_noticed():
    call, expected = next(
        (c, r)
        for c, r in STORED.calls
        if c.op == "conv_transpose" and c.arguments.get("auto_pad") == "SAME_UPPER"
    )
    wrong = dataclasses.replace(call, arguments={**call.arguments, "auto_pad": "SAME_LOWER"})
    with pytest.raises(AssertionError):
        check_equal("onnx", wrong, expected)


@pytest.mark.parametrize(
    ("auto_pad", "expected"),
    [
        ("SAME_UPPER", [0, 0, 1, 10, 0, 0, 0, 2, 20, 0, 0, 0, 3, 30, 0]),
        ("SAME_LOWER", [0, 1, 10, 0, 0, 0, 2, 20, 0, 0, 0, 3, 30, 0, 0]),
    ],
)
def test_rows_beyond_the_full_result_are_spread_as_pads_are(auto_pad, expected):
    """As ONNX's reference evaluator has it (onnx 1.23.2); other runtimes differ here."""
    x = np.array([[[1, 2, 3]]], np.float32)
    w = np.array([[[1, 10]]], np.float32)
    y = ours.conv_transpose(x, w, auto_pad=auto_pad, strides=[5])
    np.testing.assert_array_equal(y[0, 0], expected)


@pytest.mark.parametrize("extra", [[2, 2], [4, 3]])
def test_output_padding_beyond_the_stride_is_rows_of_zeros(extra):
    """The specification's size formula has no bound on it."""
    x, w = np.ones((1, 4, 3, 4), np.float32), np.ones((4, 2, 3, 2), np.float32)
    least = ours.conv_transpose(x, w, strides=[2, 2])
    padded = ours.conv_transpose(x, w, strides=[2, 2], output_padding=extra)
    sides = [(0, 0), (0, 0), (0, extra[0]), (0, extra[1])]
    np.testing.assert_array_equal(padded, np.pad(least, sides))


@pytest.mark.parametrize("points", [(None, None), (3, 2), (3, [1, -2, 0])])
def test_integers_less_their_zero_points(points):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (2, 4, 5, 5)).astype(np.uint8)
    w = rng.integers(-128, 127, (3, 4, 3, 3)).astype(np.int8)
    x_point = None if points[0] is None else np.uint8(points[0])
    w_point = None if points[1] is None else np.asarray(points[1], np.int8)
    got = ours.conv_integer(x, w, x_point, w_point, pads=[1, 1, 1, 1])
    assert got.dtype == np.int32
    wide_x, wide_w = x.astype(np.float32) - (points[0] or 0), w.astype(np.float32)
    wide_w -= np.reshape(points[1] or 0, (-1, 1, 1, 1))
    np.testing.assert_array_equal(got, ours.conv(wide_x, wide_w, pads=[1, 1, 1, 1]))


X = np.ones((1, 4, 6, 6), np.float32)
W = np.ones((6, 4, 3, 3), np.float32)
I = np.ones((1, 4, 6, 6), np.uint8)  # noqa: E741
P = np.ones((1, 18, 16), np.float32)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: ours.conv([1], W), "X"),
        (lambda: ours.conv(X[0], W), "X"),
        (lambda: ours.conv(X, W[0, 0]), "W"),
        (lambda: ours.conv(X, W[:, :3]), "W"),
        (lambda: ours.conv(X, W.astype(np.int32)), "W"),
        (lambda: ours.conv(X, W, np.ones(5, np.float32)), "B"),
        (lambda: ours.conv(X, W, auto_pad="SAME"), "auto_pad"),
        (lambda: ours.conv(X, W, auto_pad="VALID", pads=[1, 1, 1, 1]), "pads"),
        (lambda: ours.conv(X, W, pads=[1, 1]), "pads"),
        (lambda: ours.conv(X, W, pads=[1, 1, 1, -1]), "pads"),
        (lambda: ours.conv(X, W, strides=2), "strides"),
        (lambda: ours.conv(X, W, dilations=[1]), "dilations"),
        (lambda: ours.conv(X, W, group=3), "group"),
        (lambda: ours.conv(X, W, kernel_shape=[3, 2]), "kernel_shape"),
        (lambda: ours.conv_integer(X, W), "x"),
        (lambda: ours.conv_integer(I, np.ones((6, 4, 3, 3), np.int8), np.int32(1)), "x_zero_point"),
        (
            lambda: ours.conv_integer(I, I[:, :, :3, :3], None, np.ones(5, np.int8)),
            "w_zero_point",
        ),
        (lambda: ours.conv_transpose(X, W), "W"),
        (lambda: ours.conv_transpose(X, W[:4], output_shape=[1, 4, 6, 6]), "output_shape"),
        (lambda: ours.conv_transpose(X, W[:4], pads=[9, 9, 9, 9]), "pads"),
        (lambda: ours.conv_transpose(X, W[:4], output_padding=[-1, 0]), "output_padding"),
        (lambda: ours.col2im(P[0], (6, 6), (3, 3)), "input"),
        (lambda: ours.col2im(P, (6, 7), (3, 3)), "input"),
        (lambda: ours.col2im(P[:, :17], (6, 6), (3, 3)), "input"),
        (lambda: ours.col2im(P, (6, 6), 3), "block_shape"),
        (lambda: ours.col2im(P, (6, 6, 6), (3, 3)), "image_shape"),
    ],
)
def test_bad_input(call, argument):
    with pytest.raises(jconv.ConvError) as caught:
        call()
    assert caught.value.argument == argument
    jconvs_own = {"g", "output_padding", "layout", "groups", "kernel", "patches"}
    assert not {remedy.argument for remedy in caught.value.remedies} & jconvs_own
    assert not any(f"`{name}`" in caught.value.message for name in jconvs_own - {argument})
