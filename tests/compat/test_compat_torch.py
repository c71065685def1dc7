"""jconv.compat.torch equals PyTorch: as stored, and as asked now where it is installed."""

from __future__ import annotations

import dataclasses
import inspect
import itertools

import numpy as np
import pytest
from compat_answers import check_equal
from peers import store

import jconv
from jconv.compat import torch as ours

STORED = store.read("torch_more")


@pytest.mark.parametrize(("call", "expected"), STORED.calls, ids=[c.name for c, _ in STORED.calls])
def test_stored(call, expected):
    check_equal("torch", call, expected)


def test_the_file_names_what_made_it():
    assert set(STORED.made_by) == {"torch", "numpy"}
    assert store.path("torch_more").stat().st_size < 120_000


def test_another_answer_is_noticed():
    call, expected = next((c, r) for c, r in STORED.calls if c.arguments.get("padding") == "same")
    wrong = dataclasses.replace(call, arguments={**call.arguments, "padding": "valid"})
    with pytest.raises(AssertionError):
        check_equal("torch", wrong, expected)


def test_every_function_is_asked():
    asked = {call.op for call, _ in STORED.calls}
    functions = {name for name in ours.__all__ if callable(getattr(ours, name))}
    assert functions == asked


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
def test_random_calls_now():
    pytest.importorskip("torch", reason="PyTorch is a peer, not a dependency")
    from peers import torch_calls

    draws = (call for call in torch_calls.calls(seed=5) if not call[0].startswith("pad_"))
    for number, (op, shapes, arguments) in enumerate(itertools.islice(draws, 24)):
        call = store.Call(store.name_of(op, arguments, number), op, shapes, arguments, number)
        expected = torch_calls.run(op, call.operands(), arguments)
        if op == "convolution_backward":
            more = {"bias_sizes": None, "output_mask": [True, True, False]}
            call = dataclasses.replace(call, arguments={**arguments, **more})
        elif op.endswith(("_input", "_weight")):
            call = dataclasses.replace(call, op=f"grad.{op}")
            expected = {"output": next(iter(expected.values()))}
        check_equal("torch", call, expected)


def test_signatures_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is a peer, not a dependency")
    for name in ("unfold", "fold"):
        theirs = inspect.signature(getattr(torch.nn.functional, name)).parameters
        assert [*inspect.signature(getattr(ours, name)).parameters] == [*theirs]
    for name in ours.grad.__all__:
        theirs = inspect.signature(getattr(torch.nn.grad, name)).parameters
        mine = inspect.signature(getattr(ours.grad, name)).parameters
        assert {n: p.default for n, p in mine.items()} == {n: p.default for n, p in theirs.items()}


X = np.ones((1, 4, 6, 6), np.float32)
W = np.ones((6, 4, 3, 3), np.float32)
G = np.ones((1, 6, 4, 4), np.float32)
BACKWARD = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0, "groups": 1}


def backward(**changes):
    given = {"bias_sizes": None, "transposed": False, "output_mask": [True] * 3, **BACKWARD}
    return ours.convolution_backward(G, X, W, **{**given, **changes})


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: ours.conv2d([1], W), "input"),
        (lambda: ours.conv2d(X[0, 0], W), "input"),
        (lambda: ours.conv2d(X, W[0]), "weight"),
        (lambda: ours.conv2d(X, W[:, :3]), "weight"),
        (lambda: ours.conv2d(X, W.astype(np.int32)), "weight"),
        (lambda: ours.conv2d(X, W, np.ones(5, np.float32)), "bias"),
        (lambda: ours.conv2d(X, W, stride=0), "stride"),
        (lambda: ours.conv2d(X, W, stride=(1, 2, 3)), "stride"),
        (lambda: ours.conv2d(X, W, padding=-1), "padding"),
        (lambda: ours.conv2d(X, W, padding="SAME"), "padding"),
        (lambda: ours.conv2d(X, W, padding="same", stride=2), "padding"),
        (lambda: ours.conv2d(X, W, dilation=1.5), "dilation"),
        (lambda: ours.conv2d(X, W, groups=3), "groups"),
        (lambda: ours.conv2d(X[:, :, :2], W), "input"),
        (lambda: ours.conv2d(X, W, padding_mode="edge"), "padding_mode"),
        (lambda: ours.conv2d(X, W, padding=9, padding_mode="circular"), "padding"),
        (lambda: ours.conv_transpose2d(X, W), "weight"),
        (lambda: ours.conv_transpose2d(G, W, stride=2, output_padding=2), "output_padding"),
        (lambda: ours.conv_transpose2d(G, W, padding=9), "input"),
        (lambda: ours.grad.conv2d_input((1, 4, 9, 6), W, G), "input_size"),
        (lambda: ours.grad.conv2d_input((1, 5, 6, 6), W, G), "input_size"),
        (lambda: ours.grad.conv2d_weight(X, (6, 4, 2, 3), G), "weight_size"),
        (lambda: backward(output_mask=[True]), "output_mask"),
        (lambda: backward(bias_sizes=[5]), "bias_sizes"),
        (lambda: backward(stride=2), "input"),
        (lambda: ours.unfold(X, (3, 3, 3)), "kernel_size"),
        (lambda: ours.unfold(X, 7), "input"),
        (lambda: ours.fold(np.ones((1, 36, 15)), 6, 3), "input"),
        (lambda: ours.fold(np.ones((1, 35, 16)), 6, 3), "input"),
    ],
)
def test_bad_input(call, argument):
    with pytest.raises(jconv.ConvError) as caught:
        call()
    assert caught.value.argument == argument
    jconvs_own = {"x", "w", "g", "input_shape", "filter_shape", "layout", "patches", "kernel"}
    assert not {remedy.argument for remedy in caught.value.remedies} & jconvs_own
    assert not any(f"`{name}`" in caught.value.message for name in jconvs_own)


@pytest.mark.parametrize(
    "settings",
    [
        {"groups": 3},
        {"padding": "same", "stride": 2},
        {"padding": "SAME"},
        {"padding_mode": "none"},
    ],
)
def test_the_first_remedy_mends_the_call(settings):
    with pytest.raises(jconv.ConvError) as caught:
        ours.conv2d(X, W, **settings)
    remedy = caught.value.remedies[0]
    assert ours.conv2d(X, W, **{**settings, remedy.argument: remedy.value}).shape[1] == 6
