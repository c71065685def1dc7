"""The halo law by itself: every part's windows read the rows that the whole axis' windows read."""

from __future__ import annotations

import random

import numpy as np
import pytest

from jconv._core.geometry import Axis
from jconv._devices.halo import NOTHING, Border, Halo, split_axis


def convolve(x, w, axis):
    y = np.zeros(axis.o)
    for i in range(axis.i):
        for k in range(axis.k):
            place = axis.b * i + axis.p0 - axis.d * k
            if place % axis.s == 0 and 0 <= place // axis.s < axis.o:
                y[place // axis.s] += x[i] * w[k]
    return y


def exchanged(halo: Halo, parts):
    """What each part's local windows read, rows sent as the halo's messages say."""
    for part, own in enumerate(parts):
        rows = [own]
        for sign in (-1, 1):
            for distance, amount in halo.hops(before=sign < 0):
                other = part + sign * distance
                other = other % halo.parts if halo.ring else other
                there = 0 <= other < halo.parts
                whole = parts[other] if there else np.zeros(halo.rows)
                sent = whole[halo.rows - amount :] if sign < 0 else whole[:amount]
                rows.insert(0, sent) if sign < 0 else rows.append(sent)
        joined = np.concatenate(rows)
        if halo.sources is None:
            below, above = halo.blank
            joined = np.pad(joined, (below, above))
            start = halo.starts[part]
            yield joined[start : start + halo.axis.i]
        else:
            places = halo.sources[part]
            yield np.array([0 if p == NOTHING else joined[p] for p in places])


def in_parts(x, w, halo: Halo):
    filled = np.pad(x, (0, halo.rows * halo.parts - halo.size))
    read = exchanged(halo, np.split(filled, halo.parts))
    made = [
        convolve(rows, w, halo.axis)[shift : shift + halo.made]
        for rows, shift in zip(read, halo.shifts, strict=True)
    ]
    return np.concatenate(made)[: halo.out]


def drawn(rng, *, bordered):
    i, k, d = rng.randint(1, 30), rng.randint(1, 9), rng.randint(1, 3)
    s, b = rng.randint(1, 5), 1 if bordered else rng.randint(1, 5)
    if not bordered:
        return Axis(i, k, rng.randint(1, 40), s, b, d, rng.randint(-6, 12)), None
    modes = tuple(rng.choice(["zeros", "edge", "reflect", "circular"]) for _ in range(2))
    low, high = (rng.randint(-2, i - (mode == "reflect")) for mode in modes)
    o = max((i + low + high - d * (k - 1) - 1) // s + 1, 0)
    return Axis(i, k, o, s, 1, d, low), Border(low, high, modes)


def padded(x, border):
    modes = {"zeros": "constant", "edge": "edge", "reflect": "reflect", "circular": "wrap"}
    sides = []
    for side, amount in enumerate((border.low, border.high)):
        widths = [(0, 0), (0, 0)]
        widths[side] = (max(amount, 0), 0) if side == 0 else (0, max(amount, 0))
        grown = np.pad(x, widths[side], mode=modes[border.modes[side]])
        sides.append(grown[: max(amount, 0)] if side == 0 else grown[len(x) :])
    whole = np.concatenate([sides[0], x, sides[1]])
    return whole[max(-border.low, 0) : len(whole) - max(-border.high, 0)]


@pytest.mark.parametrize("bordered", [False, True], ids=["zeros", "borders"])
def test_parts_joined_are_the_whole(bordered):
    rng, seen = random.Random(0), 0
    while seen < 600:
        axis, border = drawn(rng, bordered=bordered)
        if not axis.o:
            continue
        x, w = (np.array([rng.randint(-9, 9) for _ in range(n)], float) for n in (axis.i, axis.k))
        parts = rng.choice([1, 2, 3, 4, 8])
        if border is None:
            want = convolve(x, w, axis)
        else:
            rows = padded(x, border)
            plain = Axis(len(rows), axis.k, axis.o, axis.s, 1, axis.d, 0)
            want = convolve(rows, w, plain)
        got = in_parts(x, w, split_axis(axis, parts, border))
        np.testing.assert_array_equal(got, want, err_msg=f"{axis} {border} in {parts} parts")
        seen += 1


@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize(("k", "p0"), [(3, 1), (5, 2), (1, 0), (2, 0), (7, 6)])
def test_where_parts_line_up_the_halo_is_that_of_the_equation(s, k, p0):
    halo = split_axis(Axis(i=8 * 6 * s, k=k, o=8 * 6, s=s, p0=p0), 8)
    assert (halo.low, halo.high) == (p0, max(k - s - p0, 0))
    assert len(set(halo.starts)) == 1
    assert set(halo.shifts) == {0}


def test_a_wider_halo_comes_from_several_parts():
    halo = split_axis(Axis(i=16, k=11, o=16, p0=5), 8)
    assert halo.hops(before=True) == ((1, 2), (2, 2), (3, 1))
    assert halo.received == 10


def test_a_ring_leads_back_to_the_part_itself():
    halo = split_axis(Axis(i=4, k=9, o=4, p0=4), 2, Border(4, 4, ("circular", "circular")))
    assert halo.ring
    assert halo.received == 4  # the other part's two rows from either side
