"""Confusions about values: strides, dilations and paddings with which the call's sizes fit.

Where x, w and y are all known, small values are searched with which the equation holds on every
axis. A keyword that can be read is doubted only at a price, so that it is named when it explains
several mismatches at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jconv._check import settings
from jconv._check.spec import Spec
from jconv._core import geometry
from jconv._core.errors import Remedy
from jconv._core.geometry import STRING_PADDINGS
from jconv._diagnosis.changes import Change
from jconv._diagnosis.reading import Reading, distance
from jconv._diagnosis.remedies import number_in

DOUBT = 0.5
"""The cost, in sizes changed, of doubting a stride, dilation or padding that can be read."""

FACTORS = {"stride": "s", "dilation": "d", "input_dilation": "b"}

Axes = list[tuple[int, int, int]]  # (i, k, o) of each axis


def _searched(reading: Reading, argument: str) -> tuple[Spec, Axes, float] | None:
    """The call without this argument, its sizes, and another value's least cost.

    None where the call does not give all sizes.
    """
    other = reading.without(argument)
    if other.spec is None or other.axes is None:
        return None
    return other.spec, other.axes, 0.3 if reading.malformed(argument) else 1 + DOUBT


def factor_of_the_sizes(reading: Reading) -> Iterator[Change]:
    """Another stride, dilation or input dilation."""
    for argument, letter in FACTORS.items():
        found = _searched(reading, argument)
        if found is not None:
            feasible = [_factors(found[0], a, axis, letter) for a, axis in enumerate(found[1])]
            if all(feasible):
                yield from _factor_values(reading, argument, feasible, found[2])


def _factors(spec: Spec, a: int, axis: tuple[int, int, int], letter: str) -> list[int]:
    i, k, o = axis
    own = {"s": spec.s[a], "b": spec.b[a], "d": spec.d[a]}
    outputs = {
        v: geometry.resolve_axis(i, k, spec.padding[a], **{**own, letter: v})[0]
        for v in range(1, 9)
    }
    return [v for v, made in outputs.items() if made == o]


def _factor_values(
    reading: Reading, argument: str, feasible: list[list[int]], base: float
) -> Iterator[Change]:
    given, rank = getattr(reading.call, argument), reading.rank
    entries = settings.entries_of(given)
    old = [number_in(v) or 1 for v in (entries if entries is not None else [given] * rank)]
    old = (old + [1] * rank)[:rank]
    for v in sorted(set.intersection(*map(set, feasible))):
        value = v if entries is None or len(entries) != rank else (v,) * rank
        cost = base + max(distance(abs(was), v) for was in old) / 10
        cost += 0.2 if len(set(old)) > 1 else 0.0
        yield Change(Remedy.use(argument, value), cost)
    near = tuple(
        old[a] if old[a] in choices else min(choices, key=lambda v, a=a: distance(old[a], v))
        for a, choices in enumerate(feasible)
    )
    changed = [a for a in range(rank) if near[a] != old[a]]
    cost = base + sum(0.3 * distance(abs(old[a]), near[a]) for a in changed)
    cost += 0.5 * (len(changed) - 1)
    cost += 0.0 if entries is not None or reading.malformed(argument) else 0.3
    if changed and len(set(near)) > 1:
        yield Change(Remedy.use(argument, near), cost)


def _fits(spec: Spec, a: int, axis: tuple[int, int, int], padding: Any) -> bool:
    i, k, o = axis
    return geometry.resolve_axis(i, k, padding, s=spec.s[a], b=spec.b[a], d=spec.d[a])[0] == o


def padding_of_the_sizes(reading: Reading) -> Iterator[Change]:
    """Another padding: a rule, a number for every side, or a pair for each axis."""
    found = _searched(reading, "padding")
    if found is None:
        return
    spec, axes, base = found
    given = reading.call.padding
    named, number = isinstance(given, str), settings.as_int(given)
    for rule in STRING_PADDINGS:
        if all(_fits(spec, a, axis, rule) for a, axis in enumerate(axes)):
            cost = base + 0.2 * (not named) + 0.15 * (rule in ("SAME_LOWER", "CAUSAL"))
            yield Change(Remedy.use("padding", rule), cost)
    most = max(4, *(geometry.span(k, spec.d[a]) for a, (_, k, _) in enumerate(axes)))
    for amount in range(min(most, 64) + 1):
        if all(_fits(spec, a, axis, (amount, amount)) for a, axis in enumerate(axes)):
            cost = base + 0.01 * abs(amount - (number or 0)) + 0.2 * named
            yield Change(Remedy.use("padding", amount), cost)
    yield from _padding_pairs(reading, spec, axes, base, most)


def _padding_pairs(
    reading: Reading, spec: Spec, axes: Axes, base: float, most: int
) -> Iterator[Change]:
    """A pair for each axis: the given one where it fits, and else the nearest that does."""
    given, malformed = reading.call.padding, reading.malformed("padding")
    old = [None if pair is None else settings.read_pair(pair) for pair in _pairs(given, spec.rank)]
    new, changed = [], 0
    for a, (i, k, o) in enumerate(axes):
        pair = old[a]
        if pair is not None and _fits(spec, a, axes[a], pair):
            new.append(pair)
            continue
        changed += 1
        # P = s*(o-1) + K - I, ..., s-1 more, gives o windows; less than K - I gives none.
        least = spec.s[a] * (o - 1) + geometry.span(k, spec.d[a]) - geometry.span(i, spec.b[a])
        totals = (least, least + spec.s[a] - 1) if o else (least + spec.s[a] - 1,) * 2
        low, high = pair if pair is not None else (0, 0)
        total = min(max(low + high, totals[0]), totals[1])
        if pair is None or (low == high and total % 2 == 0):
            new.append((total // 2, total - total // 2))
        else:
            new.append((low, total - low))
    if all(_fits(spec, a, axis, new[a]) for a, axis in enumerate(axes)) and all(
        pair == was or max(map(abs, pair)) <= most for pair, was in zip(new, old, strict=True)
    ):
        value = tuple(low if low == high else (low, high) for low, high in new)
        cost = base + 0.5 * max(changed - 1, 0)
        cost += 0.4 if malformed else 0.3 if isinstance(given, str) else 0.05
        cost += 0.3 if not malformed and settings.as_int(given) is not None else 0.0
        yield Change(Remedy.use("padding", value), cost)


def _pairs(given: Any, rank: int) -> list[Any]:
    entries = settings.entries_of(given)
    if entries is None:
        entries = [given] * rank
    return (entries + [None] * rank)[:rank]


def less_padding(reading: Reading) -> Iterator[Change]:
    """Less padding, where padding alone makes more rows than conv_transpose is given."""
    call, other = reading.call, reading.without("padding")
    pairs = [settings.read_pair(entry) for entry in _pairs(call.padding, reading.rank)]
    if call.op != "conv_transpose" or None in pairs or other.spec is None or other.axes is not None:
        return
    known = [pair for pair in pairs if pair is not None]
    largest = max(max(pair) for pair in known)
    for amount in range(min(largest, 64), -1, -1):
        capped = tuple((min(low, amount), min(high, amount)) for low, high in known)
        value: Any = tuple(low if low == high else (low, high) for low, high in capped)
        if settings.as_int(call.padding) is not None:
            value = capped[0][0]
        yield Change(Remedy.use("padding", value), 1 + 0.01 * (largest - amount))
