"""Sizes, pads and role swaps of one axis, against the index equation counted out."""

from __future__ import annotations

import itertools

import pytest
from jax import export

from jconv._core import geometry
from jconv._core.geometry import (
    Axis,
    filter_sizes,
    input_sizes,
    out_size,
    resolve_axis,
    smallest_size,
    span,
)
from jconv.testing import reference

NAMED = ("SAME", "SAME_LOWER", "VALID", "CAUSAL")
EXPLICIT = ((0, 0), (1, 2), (3, 0), (-1, 0), (-2, 3), (0, -4), (-5, 4))
STEPS = [(s, b, d) for s in (1, 2, 3, 5) for b in (1, 2, 3) for d in (1, 2, 4)]
SIZES = [(i, k) for i in range(8) for k in range(5)]


def counted(i, k, padding, s, b, d):
    """The oracle's reading of the same axis."""
    call = reference.Call(
        1,
        stride=s,
        input_dilation=b,
        dilation=d,
        padding=padding if isinstance(padding, str) else [padding],
    )
    return call.axes([i], [k])[0]


@pytest.mark.parametrize("padding", [*NAMED, *EXPLICIT], ids=str)
def test_output_rows_and_pads(padding):
    for (i, k), (s, b, d) in itertools.product(SIZES, STEPS):
        axis = counted(i, k, padding, s, b, d)
        got = resolve_axis(i, k, padding, s=s, b=b, d=d)
        assert got == (axis.o, axis.p0, axis.p1), (i, k, s, b, d)
        if not isinstance(padding, str):
            assert out_size(i, k, sum(padding), s=s, b=b, d=d) == axis.o


@pytest.mark.parametrize("padding", [*NAMED, *EXPLICIT], ids=str)
def test_the_sizes_that_give_an_output(padding):
    """input_sizes and filter_sizes name all sizes and no other, up to where the search goes."""
    for s, b, d in STEPS[::2]:
        for k in range(1, 4):
            rows = [counted(i, k, padding, s, b, d).o for i in range(25)]
            for o in range(4):
                told = input_sizes(o, k, padding, s=s, b=b, d=d)
                assert all(size >= 0 for size in told[:2])
                least = 1 if o else 0  # rows that padding alone makes are of no size
                found = [i for i in range(least, 25) if rows[i] == o]
                assert [i for i in range(25) if i in told] == found, (o, k, s, b, d)
        for i in range(5):
            outputs = [counted(i, k, padding, s, b, d).o for k in range(20)]
            for o in range(4):
                told = filter_sizes(i, o, padding, s=s, b=b, d=d)
                assert all(0 <= size <= geometry.LARGEST for size in told[-2:])
                found = [k for k in range(1, 20) if outputs[k] == o]
                assert [k for k in range(1, 20) if k in told] == found, (i, o, s, b, d)


@pytest.mark.parametrize("padding", [*NAMED, *EXPLICIT], ids=str)
def test_the_smallest_size(padding):
    """output_padding counts from the least size that gives the output, where one does."""
    for s, d in itertools.product((1, 2, 3, 5), (1, 2, 4)):
        for o, k in itertools.product(range(1, 5), range(1, 4)):
            low = smallest_size(o, k, padding, s=s, d=d)
            fits = [i for i in range(1, 60) if counted(i, k, padding, s, 1, d).o == o]
            if low >= 1:
                assert fits[0] == low, (o, k, s, d)
                assert fits == list(range(low, low + s))


def equation(axis):
    """All (i, o, k) of b*i + p0 = s*o + d*k."""
    ranges = itertools.product(range(axis.i), range(axis.o), range(axis.k))
    return {(i, o, k) for i, o, k in ranges if axis.b * i + axis.p0 == axis.s * o + axis.d * k}


AXES = [
    Axis(i=i, k=k, o=o, s=s, b=b, d=d, p0=p0)
    for (i, k), o in itertools.product([(1, 1), (4, 3), (6, 2)], (1, 3))
    for (s, b, d), p0 in itertools.product([(1, 1, 1), (2, 1, 3), (3, 2, 1)], (-1, 0, 2))
]


def test_role_swaps_keep_the_equation():
    for axis in AXES:
        triples = equation(axis)
        swapped = equation(axis.input_grad())
        assert {(o, i, axis.k - 1 - k) for i, o, k in triples} == swapped, axis
        assert {(i, k, o) for i, o, k in triples} == equation(axis.filter_grad()), axis


def test_high_padding_reads_exactly_the_outputs():
    for axis in AXES:
        rows, window = axis.b * (axis.i - 1) + 1, axis.d * (axis.k - 1) + 1
        assert (rows + axis.p0 + axis.p1 - window) % axis.s == 0
        assert (rows + axis.p0 + axis.p1 - window) // axis.s + 1 == axis.o
        low, high = axis.pads
        assert low == axis.p0
        assert (rows + low + high - window) // axis.s + 1 == axis.o
        crops = range(axis.p1, axis.p1 + axis.s)
        assert high == min(crops, key=lambda pad: (abs(pad), pad) if axis.p1 < 0 else pad)


def test_empty_and_static():
    assert not Axis(i=1, k=1, o=1).empty
    for name in ("i", "k", "o"):
        assert Axis(**{"i": 1, "k": 1, "o": 1, name: 0}).empty
    (n,) = export.symbolic_shape("n")
    assert Axis(i=1, k=1, o=1).static
    for name in ("i", "k", "o", "p0"):
        assert not Axis(**{"i": 1, "k": 1, "o": 1, "p0": 0, name: n}).static
    assert geometry.is_static(1, 2)
    assert not geometry.is_static(1, n)


def test_the_largest_size_is_xlas():
    assert geometry.LARGEST == 2**31 - 1
    assert filter_sizes(5, 5, "SAME", s=1, b=1, d=1)[-1] == geometry.LARGEST


def test_defaults_are_the_plain_convolution():
    axis = Axis(i=5, k=3, o=3)
    assert (axis.s, axis.b, axis.d, axis.p0) == (1, 1, 1, 0)


def test_spans():
    assert [span(size, 1) for size in range(4)] == [0, 1, 2, 3]
    assert [span(size, 3) for size in range(4)] == [0, 1, 4, 7]
    (n,) = export.symbolic_shape("n")
    assert span(n, 3) == 3 * n - 2
    assert span(n - 5, 3) == (3 * n - 17).max(0)  # which of them is the larger is not known
    assert geometry.product([]) == 1
    assert geometry.product([2, 3, 4]) == 24


def test_symbols_are_compared_by_proof():
    n, m = export.symbolic_shape("n, m")
    assert geometry.proved(lambda: n >= 1)
    assert not geometry.proved(lambda: n > m)  # it cannot be decided, and that is no proof
    with pytest.raises(ZeroDivisionError):
        geometry.proved(lambda: 1 // 0)
    assert geometry.same(n, n)
    assert not geometry.same(n, m)
    assert geometry.differ(n, n + 1)
    assert geometry.differ(n + 1, n)
    assert not geometry.differ(n, n)
    assert not geometry.differ(n, m)
    assert geometry.differ(1, 2)
    assert not geometry.differ(2, 2)
    assert geometry.max_size(n, 1) == n
    assert geometry.max_size(2, 5) == 5
    assert geometry.max_size(7, 5) == 7


@pytest.mark.parametrize("padding", [*NAMED, (1, 2)], ids=str)
def test_symbolic_sizes_agree_with_numbers(padding):
    """What is worked out for n says for every n what is worked out for that number."""
    (n,) = export.symbolic_shape("n")
    for s, d, k in itertools.product((1, 2, 3), (1, 2), (1, 3)):
        o, p0, p1 = resolve_axis(n, k, padding, s=s, b=1, d=d)
        for number in (1, 2, 5, 8):
            want = resolve_axis(number, k, padding, s=s, b=1, d=d)
            have = tuple(
                size if isinstance(size, int) else size._evaluate({"n": number})
                for size in (o, p0, p1)
            )
            assert have == want, (s, d, k, number)
