"""The oracle against PyTorch, in small integers held in float64: equal to the last bit."""

import numpy as np
import pytest

from jconv.testing import reference

torch = pytest.importorskip("torch", reason="PyTorch is a peer, not a dependency")

LAYOUTS = {1: "NCW", 2: "NCHW", 3: "NCDHW"}

# name -> (spatial sizes of x, of w, groups, keywords that both libraries understand)
SETTINGS = {
    "plain-1d": ((7,), (3,), 1, {}),
    "strided-1d": ((8,), (3,), 1, {"stride": 2, "padding": 1}),
    "stride-above-kernel-1d": ((11,), (2,), 1, {"stride": 4}),
    "dilated-1d": ((9,), (3,), 2, {"dilation": 3, "padding": 2}),
    "plain-2d": ((5, 6), (3, 2), 1, {}),
    "remainder-2d": ((6, 8), (3, 3), 1, {"stride": (2, 3), "padding": (1, 0)}),
    "grouped-2d": ((5, 4), (2, 3), 3, {"stride": (1, 2), "padding": 1}),
    "depthwise-2d": ((6, 6), (3, 3), 4, {"padding": 1, "stride": 2}),
    "dilated-2d": ((8, 7), (2, 3), 2, {"dilation": (3, 2), "padding": (2, 1), "stride": 2}),
    "kernel-above-input-2d": ((2, 3), (4, 5), 1, {"padding": 2}),
    "plain-3d": ((3, 4, 5), (2, 2, 3), 1, {"padding": 1}),
    "all-3d": ((4, 5, 4), (2, 3, 2), 2, {"stride": (2, 1, 3), "dilation": (1, 2, 1), "padding": 1}),
}


def _draw(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(-4, 5, shape).astype(np.float64) for shape in shapes]


def _setup(name):
    """Arrays of a setting, channels first, and the keywords as the oracle takes them."""
    i, k, groups, torchs = SETTINGS[name]
    depthwise = name.startswith("depthwise")
    c, f = (1, 2) if depthwise else (2, 3)
    x, w = _draw((2, c * groups, *i), (f * groups, c, *k))
    ours = {"padding": 0, "groups": groups, "layout": LAYOUTS[len(i)], **torchs}
    return x, w, {"groups": groups, **torchs}, ours


@pytest.mark.parametrize("name", SETTINGS)
def test_conv(name):
    x, w, torchs, ours = _setup(name)
    op = getattr(torch.nn.functional, f"conv{x.ndim - 2}d")
    expected = op(torch.tensor(x), torch.tensor(w), **torchs)
    np.testing.assert_array_equal(reference.conv(x, w, **ours), expected.numpy())


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients(name):
    x, w, torchs, ours = _setup(name)
    (g,) = _draw(reference.conv(x, w, **ours).shape, seed=1)
    tx, tw = (torch.tensor(array, requires_grad=True) for array in (x, w))
    getattr(torch.nn.functional, f"conv{x.ndim - 2}d")(tx, tw, **torchs).backward(torch.tensor(g))
    got = reference.conv_input_grad(g, w, input_shape=x.shape, **ours)
    np.testing.assert_array_equal(got, tx.grad.numpy())
    got = reference.conv_filter_grad(x, g, filter_shape=w.shape, **ours)
    np.testing.assert_array_equal(got, tw.grad.numpy())


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("output_padding", [0, 1])
def test_conv_transpose(name, output_padding):
    _, w, torchs, ours = _setup(name)
    (x,) = _draw((2, w.shape[0], *(4, 5, 3)[: w.ndim - 2]), seed=2)
    op = getattr(torch.nn.functional, f"conv_transpose{x.ndim - 2}d")
    steps = np.broadcast_to(torchs.get("stride", 1), (x.ndim - 2,))
    extra = tuple(int(min(output_padding, step - 1)) for step in steps)
    expected = op(torch.tensor(x), torch.tensor(w), output_padding=extra, **torchs)
    got = reference.conv_transpose(x, w, output_padding=extra, **ours)
    np.testing.assert_array_equal(got, expected.numpy())
    if not any(extra):
        np.testing.assert_array_equal(reference.conv_transpose(x, w, **ours), expected.numpy())


@pytest.mark.parametrize("mode", ["reflect", "edge", "circular"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_padding_modes_and_their_gradients(mode, rank):
    torchs = {"edge": "replicate"}.get(mode, mode)
    x, w = _draw((2, 2, *(5, 4, 3)[:rank]), (3, 2, *(3, 2, 2)[:rank]))
    pads = ((2, 1), (1, 2), (0, 2))[:rank]
    ours = {"padding": pads, "padding_mode": mode, "stride": 2, "layout": LAYOUTS[rank]}
    tx, tw = (torch.tensor(array, requires_grad=True) for array in (x, w))
    # PyTorch lists the last axis first.
    flat = [side for pair in reversed(pads) for side in pair]
    padded = torch.nn.functional.pad(tx, flat, mode=torchs)
    y = getattr(torch.nn.functional, f"conv{rank}d")(padded, tw, stride=2)
    np.testing.assert_array_equal(reference.conv(x, w, **ours), y.detach().numpy())
    (g,) = _draw(y.shape, seed=3)
    y.backward(torch.tensor(g))
    got = reference.conv_input_grad(g, w, input_shape=x.shape, **ours)
    np.testing.assert_array_equal(got, tx.grad.numpy())
    got = reference.conv_filter_grad(x, g, filter_shape=w.shape, **ours)
    np.testing.assert_array_equal(got, tw.grad.numpy())


def test_complex_products_are_not_conjugated():
    x, w, xi, wi = _draw((1, 2, 5), (3, 2, 2), (1, 2, 5), (3, 2, 2))
    x, w = x + 1j * xi, w - 2j * wi
    expected = torch.nn.functional.conv1d(torch.tensor(x), torch.tensor(w)).numpy()
    np.testing.assert_array_equal(reference.conv(x, w, padding="VALID", layout="NCW"), expected)
