"""The oracle against truths that do not come from it, and mutants of it that they must refuse."""

import dataclasses
import itertools

import numpy as np
import pytest

from jconv.testing import CASES, reference


def _row(values):
    return np.asarray(values)[None, :, None]


def _column(values):
    return np.asarray(values)[:, None, None]


def _conv1d(x, w, **kwargs):
    return reference.conv(_row(x), _column(w), **kwargs)[0, :, 0].tolist()


# --- truths: each compares the oracle with something worked out without it ------------------


def by_hand_three_legs():
    # Padded x is 0 1 2 3 4 5; the windows are 0 1 2 and 2 3 4, and the 5 is never read.
    kwargs = {"stride": 2, "padding": ((1, 0),)}
    x, w, g = [1, 2, 3, 4, 5], [1, 10, 100], [1, 10]
    assert _conv1d(x, w, **kwargs) == [210, 432]
    gx = reference.conv_input_grad(_row(g), _column(w), input_shape=(5,), **kwargs)
    assert gx[0, :, 0].tolist() == [10, 110, 100, 1000, 0]
    gw = reference.conv_filter_grad(_row(x), _row(g), filter_shape=(3,), **kwargs)
    assert gw[:, 0, 0].tolist() == [20, 31, 42]


def by_hand_named_paddings():
    x, w = [1, 2, 3], [1, 10]
    assert _conv1d(x, w, padding="VALID") == [21, 32]
    assert _conv1d(x, w) == [21, 32, 3]
    assert _conv1d(x, w, padding="SAME_LOWER") == [10, 21, 32]
    assert _conv1d(x, w, padding="CAUSAL") == [10, 21, 32]
    assert _conv1d(x, [1, 10, 100], padding="CAUSAL") == [100, 210, 321]
    assert _conv1d([1, 2, 3, 4], [1, 10, 100], stride=2) == [321, 43]
    assert _conv1d([1, 2, 3, 4], [1, 10, 100], stride=2, padding="same_lower") == [210, 432]


def by_hand_dilations():
    assert _conv1d([1, 2, 3, 4, 5], [1, 10], dilation=2, padding="VALID") == [31, 42, 53]
    assert _conv1d([1, 2, 3], [1, 10], input_dilation=2, padding="VALID") == [1, 20, 2, 30]
    # x is 1 . . 2 . . 3: a crop of one leaves . . 2 . . , residual holes at both ends.
    crop = {"input_dilation": 3, "padding": -1}
    assert _conv1d([1, 2, 3], [1], **crop) == [0, 0, 2, 0, 0]


def by_hand_crops():
    assert _conv1d([1, 2, 3, 4], [1], padding=((-1, 2),)) == [2, 3, 4, 0, 0]
    assert _conv1d([1, 2, 3], [1], padding=((-5, 4),)) == [0, 0]
    assert _conv1d([1, 2, 3], [1], padding=((-2, -1),)) == []
    assert _conv1d([1, 2, 3], [1], padding=((-5, 4),), padding_mode="edge") == [3, 3]


def by_hand_padding_modes():
    shown = {
        "zeros": [0, 0, 1, 2, 3, 0, 0],
        "reflect": [3, 2, 1, 2, 3, 2, 1],
        "edge": [1, 1, 1, 2, 3, 3, 3],
        "circular": [2, 3, 1, 2, 3, 1, 2],
    }
    for mode, rows in shown.items():
        assert _conv1d([1, 2, 3], [1], padding=2, padding_mode=mode) == rows
        # The adjoint adds every copy to the row that it was copied from.
        gx = reference.conv_input_grad(
            _row(range(7)), _column([1]), input_shape=(3,), padding=2, padding_mode=mode
        )
        copies = {1: 0, 2: 0, 3: 0, 0: 0}
        for at, value in enumerate(rows):
            copies[value] += at
        assert gx[0, :, 0].tolist() == [copies[1], copies[2], copies[3]]


def by_hand_groups():
    x, w = np.array([[[1, 2]]]), np.array([[[1, 10, 100, 1000]]])
    assert reference.conv(x, w, groups=2).tolist() == [[[1, 10, 200, 2000]]]
    gx = reference.conv_input_grad(np.ones((1, 1, 4)), w, input_shape=(1,), groups=2)
    assert gx.tolist() == [[[11, 1100]]]
    gw = reference.conv_filter_grad(x, [[[1, 2, 3, 4]]], filter_shape=(1,), groups=2)
    assert gw.tolist() == [[[1, 2, 6, 8]]]


def by_hand_sizes():
    # (i, k, keywords) -> o
    table = [
        ((6, 3, {"stride": 2, "padding": "VALID"}), 2),
        ((7, 3, {"stride": 2, "padding": "VALID"}), 3),
        ((7, 3, {"stride": 2}), 4),
        ((8, 3, {"stride": 2}), 4),
        ((2, 4, {"padding": "VALID"}), 0),
        ((0, 3, {"padding": 2}), 2),
        ((0, 3, {}), 0),
        ((5, 0, {"padding": "VALID", "stride": 2}), 3),
        ((4, 0, {"padding": "CAUSAL", "stride": 2}), 2),
        ((3, 2, {"input_dilation": 4, "padding": "VALID"}), 8),
        ((9, 3, {"dilation": 4, "padding": "VALID"}), 1),
        ((5, 3, {"padding": -1}), 1),
    ]
    for (i, k, kwargs), o in table:
        assert len(_conv1d(np.ones(i), np.ones(k), **kwargs)) == o, (i, k, kwargs)


def by_hand_transposed_sizes():
    # (o, k, keywords) -> size of the transposed convolution's result
    table = [
        ((4, 3, {"stride": 2}), 8),
        ((4, 3, {"stride": 2, "padding": "CAUSAL"}), 8),
        ((4, 3, {"stride": 2, "output_padding": 0}), 7),
        ((4, 3, {"stride": 2, "padding": "VALID"}), 9),
        ((4, 3, {"stride": 2, "padding": "VALID", "output_padding": 1}), 10),
        ((4, 3, {"stride": 3, "padding": 1}), 10),
        ((4, 3, {"stride": 3, "padding": ((1, 2),), "dilation": 2}), 11),
        ((1, 2, {"stride": 4, "padding": 2}), 1),
    ]
    for (o, k, kwargs), size in table:
        y = reference.conv_transpose(np.ones((1, o, 1)), np.ones((k, 1, 1)), **kwargs)
        assert y.shape == (1, size, 1), (o, k, kwargs)


def _relaid(array, old, new):
    return np.transpose(array, [old.index(letter) for letter in new])


def layouts_are_transpositions():
    rng = np.random.default_rng(0)
    x, w = rng.integers(-4, 5, (2, 5, 4, 6)), rng.integers(-4, 5, (3, 2, 2, 9))
    kwargs = {"groups": 3, "padding": ((1, 0), (0, 2))}
    y = reference.conv(x, w, stride=(2, 1), **kwargs)
    triples = [
        ("NCHW", ("NCHW", "OIHW", "NCHW")),
        ("NHWC", ("NHWC", "HWIO", "NHWC")),
        (None, ("NWHC", "HWIO", "WCHN")),
        (None, ("CWNH", "OHIW", "NHCW")),
    ]
    for name, (lhs, rhs, out) in triples:
        relaid = _relaid(x, "NHWC", lhs), _relaid(w, "HWIO", rhs)
        for layout in [(lhs, rhs, out), *([name] if name else [])]:
            got = reference.conv(*relaid, layout=layout, stride=(2, 1), **kwargs)
            np.testing.assert_array_equal(got, _relaid(y, "NHWC", out))
    # A filter that names W first gives the per-axis settings in that order.
    kwargs = {"groups": 3, "padding": ((0, 2), (1, 0))}
    relaid = x, _relaid(w, "HWIO", "OWHI")
    got = reference.conv(*relaid, layout=("NHWC", "OWHI", "NHWC"), stride=(1, 2), **kwargs)
    np.testing.assert_array_equal(got, y)


def numpy_correlate_and_convolve():
    rng = np.random.default_rng(1)
    for i, k in [(5, 3), (4, 4), (7, 2), (1, 1)]:
        x, w = rng.integers(-9, 10, i), rng.integers(-9, 10, k)
        assert _conv1d(x, w, padding="VALID") == np.correlate(x, w, "valid").tolist()
        assert _conv1d(x, w, padding=k - 1) == np.correlate(x, w, "full").tolist()
        # The transpose of correlation is convolution; with the roles exchanged, too.
        full = reference.conv_transpose(_row(x), _column(w), padding="VALID")
        assert full[0, :, 0].tolist() == np.convolve(x, w).tolist()
        grad = reference.conv_filter_grad(_row(x), _row(w), filter_shape=(i - k + 1,), padding=0)
        assert grad[:, 0, 0].tolist() == np.correlate(x, w, "valid").tolist()


def numpy_sliding_windows():
    rng = np.random.default_rng(2)
    modes = {"zeros": "constant", "reflect": "reflect", "edge": "edge", "circular": "wrap"}
    settings = [
        ((6,), (3,), (2,), (1,), ((2, 1),)),
        ((6, 5), (3, 2), (1, 3), (2, 1), ((2, 0), (1, 3))),
        ((4, 5, 3), (2, 1, 2), (1, 2, 1), (2, 1, 2), ((1, 1), (0, 2), (2, 1))),
        ((3, 2, 3, 2), (2, 1, 2, 2), (1, 1, 2, 1), (1, 1, 1, 2), ((0, 1),) * 4),
    ]
    for (i, k, s, d, pads), (ours, numpys) in itertools.product(settings, modes.items()):
        rank = len(i)
        x, w = rng.integers(-4, 5, (2, *i, 3)), rng.integers(-4, 5, (*k, 3, 2))
        padded = np.pad(x, ((0, 0), *pads, (0, 0)), mode=numpys)
        spans = [b * (a - 1) + 1 for a, b in zip(k, d, strict=True)]
        axes = tuple(range(1, rank + 1))
        views = np.lib.stride_tricks.sliding_window_view(padded, spans, axes)
        steps = [slice(None), *(slice(None, None, a) for a in s), slice(None)]
        taps = [slice(None, None, a) for a in d]
        # (N, o..., C, k...) over (k..., C, O)
        views = views[(*steps, *taps)]
        inner = (*range(rank + 2, 2 * rank + 2), rank + 1)
        expected = np.tensordot(views, w, axes=(inner, tuple(range(rank + 1))))
        kwargs = {"stride": s, "dilation": d, "padding": pads, "padding_mode": ours}
        np.testing.assert_array_equal(reference.conv(x, w, **kwargs), expected)


def trilinear_identity():
    rng = np.random.default_rng(3)
    for case in CASES:
        x = rng.integers(-4, 5, case.x_shape) + 1j * rng.integers(-4, 5, case.x_shape)
        w, g = rng.integers(-4, 5, case.w_shape), rng.integers(-4, 5, case.y_shape)
        y = reference.conv(x, w, **case.kwargs)
        gx = reference.conv_input_grad(g, w, input_shape=case.x_shape, **case.kwargs)
        gw = reference.conv_filter_grad(x, g, filter_shape=case.w_shape, **case.kwargs)
        forms = {np.sum(g * y), np.sum(x * gx), np.sum(w * gw)}
        assert len(forms) == 1, (case.name, forms)


TRUTHS = (
    by_hand_three_legs,
    by_hand_named_paddings,
    by_hand_dilations,
    by_hand_crops,
    by_hand_padding_modes,
    by_hand_groups,
    by_hand_sizes,
    by_hand_transposed_sizes,
    layouts_are_transpositions,
    numpy_correlate_and_convolve,
    numpy_sliding_windows,
    trilinear_identity,
)


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda truth: truth.__name__)
def test_truth(truth):
    truth()


# --- mutants: the oracle with one thing wrong -----------------------------------------------

_SOURCE, _AXIS, _ORDERS = reference.Axis.source, reference._axis, reference.Call.orders
_SIZES, _TERMS = reference.transposed_sizes, reference.Call.terms


def _source_of(**changes):
    """A source() that looks at an axis with some numbers changed."""

    def source(axis, o, k):
        new = {name: change(axis) for name, change in changes.items()}
        return _SOURCE(dataclasses.replace(axis, **new), o, k)

    return "Axis.source", source


def _exchanged_lower(i, k, s, b, d, padding, mode):
    twin = {"SAME": "SAME_LOWER", "SAME_LOWER": "SAME"}
    padding = twin.get(padding, padding) if isinstance(padding, str) else padding
    return _AXIS(i, k, s, b, d, padding, mode)


def _interleaved_groups(call, x, w, y):
    if call.groups > 1:
        w = w[..., np.arange(w.shape[-1]).reshape(call.groups, -1).T.ravel()]
    return _TERMS(call, x, w, y)


def _strayed(call, x, w, y):
    for xi, wk, yo in _TERMS(call, x, w, y):
        yield xi, wk[::-1], yo


MUTANTS = {
    "filter flipped": ("Axis.source", lambda axis, o, k: _SOURCE(axis, o, axis.k - 1 - k)),
    "pads exchanged": _source_of(p0=lambda axis: axis.p1, p1=lambda axis: axis.p0),
    "off by one": _source_of(p0=lambda axis: axis.p0 + 1),
    "stride forgotten": _source_of(s=lambda axis: 1),
    "dilation forgotten": _source_of(d=lambda axis: 1),
    "input dilation forgotten": _source_of(b=lambda axis: 1),
    "stride and dilation exchanged": _source_of(s=lambda axis: axis.d, d=lambda axis: axis.s),
    "mode is zeros": _source_of(modes=lambda axis: ("zeros", "zeros")),
    "reflect is edge": _source_of(
        modes=lambda axis: tuple("edge" if m == "reflect" else m for m in axis.modes)
    ),
    "SAME is SAME_LOWER": ("_axis", _exchanged_lower),
    "output one short": (
        "_axis",
        lambda *numbers: dataclasses.replace(_AXIS(*numbers), o=max(_AXIS(*numbers).o - 1, 0)),
    ),
    "layout ignored": (
        "Call.orders",
        lambda call: _ORDERS(dataclasses.replace(call, layout=None)),
    ),
    "output channels interleaved": ("Call.terms", _interleaved_groups),
    "input channels reversed": ("Call.terms", _strayed),
    "transpose one short": (
        "transposed_sizes",
        lambda *args: [size - 1 for size in _SIZES(*args)],
    ),
}


def _holds(truth):
    try:
        truth()
    except (AssertionError, ValueError, IndexError):
        return False
    return True


def _mutate(monkeypatch, mutant):
    path, replacement = MUTANTS[mutant]
    owner, _, name = path.rpartition(".")
    monkeypatch.setattr(getattr(reference, owner) if owner else reference, name, replacement)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_breaks_a_truth(mutant, monkeypatch):
    _mutate(monkeypatch, mutant)
    assert not all(_holds(truth) for truth in TRUTHS)


@pytest.mark.parametrize("truth", TRUTHS[:-1], ids=lambda truth: truth.__name__)
def test_a_truth_refuses_some_mutant(truth, monkeypatch):
    refused = []
    for mutant in MUTANTS:
        with monkeypatch.context() as patch:
            _mutate(patch, mutant)
            refused += [] if _holds(truth) else [mutant]
    assert refused


def test_the_trilinear_identity_refuses_legs_that_differ(monkeypatch):
    # One wrong index map is wrong in all three legs alike and keeps the identity, so this truth
    # is for a leg that departs from the other two.
    right = reference.conv_filter_grad
    monkeypatch.setattr(reference, "conv_filter_grad", lambda x, g, **kw: right(x, g, **kw)[::-1])
    assert not _holds(trilinear_identity)


# --- the table ------------------------------------------------------------------------------


def test_the_table_is_large_and_its_names_differ():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 200
    assert all(case.nasty for case in CASES)


def _answers(case):
    rng = np.random.default_rng(4)
    x, w = rng.integers(-4, 5, case.x_shape), rng.integers(-4, 5, case.w_shape)
    try:
        return reference.conv(x, w, **case.kwargs).tolist()
    except (ValueError, IndexError):
        return None


@pytest.mark.parametrize("mutant", sorted(set(MUTANTS) - {"transpose one short"}))
def test_the_table_tells_a_mutant(mutant, monkeypatch):
    right = [_answers(case) for case in CASES]
    _mutate(monkeypatch, mutant)
    assert sum(_answers(case) != answer for case, answer in zip(CASES, right, strict=True)) >= 3


# --- refusals and dtypes --------------------------------------------------------------------


def test_sums_are_wide():
    x, w = np.full((1, 1, 999), 120, np.int8), np.full((1, 999, 1), 120, np.int8)
    assert reference.conv(x, w).dtype == np.int64
    assert reference.conv(x, w).item() == 120 * 120 * 999
    half = np.full((1, 1, 999), 0.1, np.float16)
    assert reference.conv(half, w * np.float16(1)).dtype == np.float64


def test_nothing_is_conjugated():
    x, w = np.array([[[1j]]]), np.array([[[1j]]])
    assert reference.conv(x, w).item() == -1
    assert reference.conv_input_grad(x, w, input_shape=(1,)).item() == -1
    assert reference.conv_filter_grad(x, w, filter_shape=(1,)).item() == -1


@pytest.mark.parametrize(
    ("shapes", "kwargs"),
    [
        (((1, 5, 3), (3, 2, 4)), {}),
        (((1, 5, 4), (3, 2, 3)), {"groups": 2}),
        (((1, 4, 1), (3, 1, 1)), {"padding": 4, "padding_mode": "reflect"}),
        (((1, 4, 1), (3, 1, 1)), {"padding": 5, "padding_mode": "circular"}),
        (((1, 4, 1), (3, 1, 1)), {"input_dilation": 2, "padding_mode": "edge"}),
        (((1, 0, 1), (3, 1, 1)), {"padding": 2, "padding_mode": "edge"}),
        (((1, 4, 1), (3, 1, 1)), {"padding": (1, 1)}),
    ],
)
def test_what_means_nothing_is_refused(shapes, kwargs):
    x, w = map(np.ones, shapes)
    with pytest.raises(ValueError):  # noqa: PT011 - which error is the library's concern
        reference.conv(x, w, **kwargs)


def test_inconsistent_sizes_are_refused():
    g, w, x = np.ones((1, 3, 1)), np.ones((3, 1, 1)), np.ones((1, 9, 1))
    with pytest.raises(ValueError, match="forward convolution gives"):
        reference.conv_input_grad(g, w, input_shape=(9,), stride=2, padding="VALID")
    with pytest.raises(ValueError, match="forward convolution gives"):
        reference.conv_filter_grad(x, g, filter_shape=(3,), stride=2, padding="VALID")
    with pytest.raises(ValueError, match="disagree"):
        reference.conv_transpose(g, w, stride=2, output_shape=(6,), output_padding=0)
