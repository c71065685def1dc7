"""Changes of one setting or dtype that may mend a call, each with its cost.

A malformed setting is read as what it was probably meant to be; where the sizes are told, small
values that make them consistent are searched besides. A well-formed setting is doubted only at
a price, so that it is named when it explains several mismatches at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from jconv._check import settings
from jconv._check.call import ARRAYS, Call
from jconv._check.dtypes import kind_of, width_of
from jconv._check.sizes import read_output_padding
from jconv._check.spec import Spec, read_spec
from jconv._core import geometry
from jconv._core.geometry import STRING_PADDINGS, is_static
from jconv._core.layout import parse_layout
from jconv._diagnosis.changes import Change, ranks, spec_or_none
from jconv._diagnosis.fits import distance, known_shapes
from jconv._diagnosis.repairs import (
    factor_readings,
    groups_readings,
    layout_readings,
    mode_readings,
    number_in,
    padding_readings,
    precision_readings,
)

DOUBT = 0.5
"""What it costs to doubt a well-formed stride, dilation or padding."""

FACTORS = {"stride": "s", "dilation": "d", "input_dilation": "b"}


def setting_changes(call: Call) -> Iterator[Change]:
    """Other values for one setting."""
    for rank in sorted(ranks(call)):
        for argument, read in _readers(call, rank).items():
            malformed = _malformed(call, argument, rank)
            if malformed:
                for n, (value, text) in enumerate(read()):
                    # The first reading is what was meant; a default is a way out, no more.
                    step = 0.6 if isinstance(value, str) else 0.1
                    cost = 0.9 if n and value is None else min(step * n, 0.8)
                    yield Change(argument, value, cost, text)
            if argument in (*FACTORS, "padding"):
                if _is_huge(getattr(call, argument)):
                    default = 1 if argument in FACTORS else "'SAME'"
                    text = f"leave {argument} out: it is {default} then"
                    yield Change(argument, None, DOUBT, text)
                spec = spec_or_none(call.with_argument(argument, None), rank)
                if spec is not None:
                    search = _padding_values if argument == "padding" else _factor_values
                    yield from search(spec, argument, getattr(call, argument), malformed)
        spec = spec_or_none(call, rank)
        if spec is not None:
            yield from _mode_changes(spec)
            yield from _layout_changes(spec)
            yield from _output_padding_changes(spec)
        spec = spec_or_none(call.replace(groups=1), rank)
        if spec is not None:
            yield from _groups_changes(spec, call.groups)
    yield from _dtype_changes(call)


def _is_huge(value: Any) -> bool:
    """Whether a stride, a dilation or a padding is beyond any that was meant."""
    entries = settings.entries_of(value)
    if entries is not None:
        return any(map(_is_huge, entries))
    number = settings.as_int(value)
    return number is not None and number >= 2**16


def _readers(call: Call, rank: int) -> dict[str, Callable[[], Iterator[Any]]]:
    first = isinstance(call.layout, str) and call.layout.upper().startswith("NC")
    factors = {
        name: lambda name=name: factor_readings(name, getattr(call, name), rank, first)
        for name in FACTORS
    }
    return {
        **factors,
        "padding": lambda: padding_readings(call.padding, rank, first),
        "groups": lambda: groups_readings(call.groups),
        "padding_mode": lambda: mode_readings(call.padding_mode),
        "precision": lambda: precision_readings(call.precision),
        "layout": lambda: layout_readings(call.layout, rank),
    }


def _malformed(call: Call, argument: str, rank: int) -> bool:
    """Whether this argument cannot be read, whatever the others are."""
    plain = Call(call.op, call.shapes, call.dtypes)
    return spec_or_none(plain.replace(**{argument: getattr(call, argument)}), rank) is None


# Values that make told sizes consistent -------------------------------------------------------


def _known_axes(spec: Spec) -> list[tuple[int, int, int]] | None:
    """(i, k, o) of every axis where the call says all of them in numbers."""
    known = known_shapes(spec)
    axes = list(zip(known["x"][1:-1], known["w"][:-2], known["y"][1:-1], strict=True))
    if any(size is None or not is_static(size) for axis in axes for size in axis):
        return None
    return axes  # type: ignore[return-value]


def _factor_values(spec: Spec, argument: str, given: Any, malformed: bool) -> Iterator[Change]:
    axes = _known_axes(spec)
    if axes is None:
        return
    feasible = []
    for a, (i, k, o) in enumerate(axes):
        own = {"s": spec.s[a], "b": spec.b[a], "d": spec.d[a]}
        feasible.append(
            [
                v
                for v in range(1, 9)
                if geometry.resolve_axis(i, k, spec.padding[a], **{**own, FACTORS[argument]: v})[0]
                == o
            ]
        )
    if not all(feasible):
        return
    entries = settings.entries_of(given)
    old = [number_in(v) or 1 for v in (entries if entries is not None else [given] * spec.rank)]
    old = (old + [1] * spec.rank)[: spec.rank]
    base = 0.3 if malformed else 1 + DOUBT
    for v in sorted(set.intersection(*map(set, feasible))):
        value = v if entries is None or len(entries) != spec.rank else (v,) * spec.rank
        cost = base + max(distance(abs(was), v) for was in old) / 10
        cost += 0.2 if len(set(old)) > 1 else 0.0
        yield Change(argument, value, cost, f"pass {argument}={value}")
    near = tuple(
        old[a] if old[a] in choices else min(choices, key=lambda v, a=a: distance(old[a], v))
        for a, choices in enumerate(feasible)
    )
    changed = [a for a in range(spec.rank) if near[a] != old[a]]
    cost = base + sum(0.3 * distance(abs(old[a]), near[a]) for a in changed)
    cost += 0.5 * (len(changed) - 1) + (0.0 if entries is not None or malformed else 0.3)
    if changed and len(set(near)) > 1:
        yield Change(argument, near, cost, f"pass {argument}={near}")


def _padding_values(spec: Spec, argument: str, given: Any, malformed: bool) -> Iterator[Change]:
    axes = _known_axes(spec)
    if axes is None:
        yield from _smaller_paddings(spec, given)
        return

    def fits(padding: Any) -> bool:
        return all(
            geometry.resolve_axis(i, k, padding, s=spec.s[a], b=spec.b[a], d=spec.d[a])[0] == o
            for a, (i, k, o) in enumerate(axes)
        )

    base = 0.3 if malformed else 1 + DOUBT
    named = isinstance(given, str)
    for rule in STRING_PADDINGS:
        if fits(rule):
            cost = base + 0.2 * (not named) + 0.15 * (rule in ("SAME_LOWER", "CAUSAL"))
            yield Change("padding", rule, cost, f"pass padding={rule!r}")
    number = settings.as_int(given)
    most = max(4, *(geometry.span(k, spec.d[a]) for a, (_, k, _) in enumerate(axes)))
    for amount in range(min(most, 64) + 1):
        if fits((amount, amount)):
            cost = base + 0.01 * abs(amount - (number or 0)) + 0.2 * named
            yield Change("padding", amount, cost, f"pass padding={amount}")
    old = [None if pair is None else settings.read_pair(pair) for pair in _pairs(given, spec.rank)]
    new, changed = [], 0
    for a, (i, k, o) in enumerate(axes):
        # P = s*(o-1) + K - I, ..., s-1 more, gives o windows; less than K - I gives none.
        least = spec.s[a] * (o - 1) + geometry.span(k, spec.d[a]) - geometry.span(i, spec.b[a])
        totals = (least, least + spec.s[a] - 1) if o else (least + spec.s[a] - 1,) * 2
        pair = old[a]
        if pair is not None and fits_axis(spec, a, axes[a], pair):
            new.append(pair)
            continue
        changed += 1
        low, high = pair if pair is not None else (0, 0)
        total = min(max(low + high, totals[0]), totals[1])
        if pair is None:
            total = min(max(0, totals[0]), totals[1])
            new.append((total // 2, total - total // 2))
        elif low == high and total % 2 == 0:
            new.append((total // 2, total // 2))
        else:
            new.append((low, total - low))
    if fits_each(spec, axes, new) and all(
        pair == was or max(map(abs, pair)) <= most for pair, was in zip(new, old, strict=True)
    ):
        value = tuple(low if low == high else (low, high) for low, high in new)
        cost = base + 0.5 * max(changed - 1, 0) + (0.4 if malformed else 0.3 if named else 0.05)
        cost += 0.3 if not malformed and number is not None else 0.0
        yield Change("padding", value, cost, f"pass padding={value}")


def _pairs(given: Any, rank: int) -> list[Any]:
    entries = settings.entries_of(given)
    if entries is None:
        entries = [given] * rank
    return (entries + [None] * rank)[:rank]


def fits_axis(spec: Spec, a: int, axis: tuple[int, int, int], pair: tuple[int, int]) -> bool:
    i, k, o = axis
    return geometry.resolve_axis(i, k, pair, s=spec.s[a], b=spec.b[a], d=spec.d[a])[0] == o


def fits_each(spec: Spec, axes: Any, pairs: list[tuple[int, int]]) -> bool:
    return all(fits_axis(spec, a, axis, pairs[a]) for a, axis in enumerate(axes))


def _smaller_paddings(spec: Spec, given: Any) -> Iterator[Change]:
    """Less padding, where so much of it makes more rows than a transposed convolution has."""
    pairs = [settings.read_pair(entry) for entry in _pairs(given, spec.rank)]
    if spec.call.op != "conv_transpose" or None in pairs:
        return
    known = [pair for pair in pairs if pair is not None]
    largest = max(max(pair) for pair in known)
    for amount in range(min(largest, 64), -1, -1):
        capped = tuple((min(low, amount), min(high, amount)) for low, high in known)
        value: Any = tuple(low if low == high else (low, high) for low, high in capped)
        if settings.as_int(given) is not None:
            value = capped[0][0]
        cost = 1 + 0.01 * (largest - amount)
        yield Change("padding", value, cost, f"pass padding={value}")


# The other settings ---------------------------------------------------------------------------


def _groups_changes(spec: Spec, given: Any) -> Iterator[Change]:
    """The groups that x's channels and the filter's input channels say, or divisors of both."""
    known = known_shapes(spec)
    channels, c = known["x"][-1], known["w"][-2]
    f = known["y"][-1] if known["w"][-1] is None else known["w"][-1]
    sizes = [size for size in (channels, f) if size is not None and is_static(size) and size]
    if not sizes:
        return
    old = number_in(given)
    old = 1 if old is None or old == 0 else abs(old)
    malformed = settings.as_int(given) is None or settings.as_int(given) < 1  # type: ignore
    told = channels is not None and c is not None and is_static(channels, c) and c
    if told and channels and channels % c == 0:
        right = channels // c
        forgotten = settings.as_int(given) == 1
        clashes = channels % old or (is_static(f) and f is not None and f % old)
        cost = 0.9 if forgotten or clashes else 1.0
        cost += (0.3 if clashes else 0.6) * distance(old, right)
        if c == 1 and forgotten:
            cost = 0.7
        note = "Was `groups` left out?" if forgotten else ""
        cost = 0.2 if malformed else cost + 4e-3
        yield Change("groups", right, cost, f"pass groups={right}", note)
        return
    both = math.gcd(*sizes)
    divisors = [n for n in range(1, min(both, 4096) + 1) if both % n == 0]
    for right in sorted(divisors, key=lambda n: distance(old, n))[:4]:
        cost = (0.2 if malformed else 0.9) + 0.6 * distance(old, right)
        yield Change("groups", right, cost, f"pass groups={right}")


def _mode_changes(spec: Spec) -> Iterator[Change]:
    """Borders that cannot be copied, or that do not go with input_dilation."""
    if spec.mode == "zeros":
        return
    yield Change("padding_mode", "zeros", 1.0, "pass padding_mode='zeros'")
    if spec.mode != "edge":
        yield Change("padding_mode", "edge", 1.2, "pass padding_mode='edge'")
    if any(b > 1 for b in spec.b):
        yield Change("input_dilation", None, 1.2, "leave input_dilation out: it is 1 then")
    sizes = known_shapes(spec)["x"][1:-1]
    if any(size is None or not is_static(size) for size in sizes):
        return
    if any(isinstance(pair, str) for pair in spec.padding):
        return
    limits = [size - (spec.mode == "reflect") for size in sizes]  # type: ignore[operator]
    capped = tuple(
        tuple(min(amount, limit) for amount in pair)
        for pair, limit in zip(spec.padding, limits, strict=True)
    )
    if capped != spec.padding:
        value: Any = tuple(p[0] if p[0] == p[1] else p for p in capped)
        if settings.as_int(spec.call.padding) is not None and len(set(value)) == 1:
            value = value[0]
        yield Change("padding", value, 0.9, f"pass padding={value}")


def _layout_changes(spec: Spec) -> Iterator[Change]:
    """Channels first for channels last and back, where the whole call reads better so."""
    last = parse_layout(None, spec.rank).names[0]
    first = "NC" + last[1:-1]
    is_first = spec.layout.name("x").startswith("NC")
    cost = 0.9
    if "w" in spec.slots and is_static(*spec.slots["w"]):
        other = parse_layout(last if is_first else first, spec.rank)
        kernels = [spec.slots["w"][:-2], other.canonical("w", spec.call.shapes["w"])[:-2]]
        skews = [distance(min(k), max(k)) for k in kernels]
        if skews[1] > skews[0] or max(kernels[1]) > max(kernels[0]):
            cost = 1.4
        elif skews[1] < skews[0]:
            cost = 0.7
    if is_first:
        note = f"All shapes fit when they are read as {last}."
        yield Change("layout", None, cost, f"leave layout out: it is {last!r} then", note, True)
    else:
        note = f"All shapes fit when they are read as {first}."
        yield Change("layout", first, cost, f"pass layout={first!r}", note, True)


def _output_padding_changes(spec: Spec) -> Iterator[Change]:
    given = spec.call.output_padding
    if given is None:
        return
    yield Change("output_padding", None, 1.3, "leave output_padding out")
    known = known_shapes(_without_output_padding(spec))
    o: Any = known["y"][1:-1]
    k: Any = known["w"][:-2]
    x = known["x"][1:-1]
    if not is_static(*o, *k):
        return
    low = spec.smallest(o, k)
    entries = settings.entries_of(given)
    wanted = [number_in(v) or 0 for v in (entries if entries is not None else [given])] or [0]
    wanted = (wanted + wanted[-1:] * spec.rank)[: spec.rank]
    near = []
    for a in range(spec.rank):
        told: Any = x[a]
        sizes = spec.inputs(a, o[a], k[a]) if told is None else (told,)
        if not sizes:
            return
        near.append(min(max(wanted[a] + low[a], sizes[0]), sizes[-1]) - low[a])
    changed = sum(near[a] != wanted[a] for a in range(spec.rank))
    scalar = entries is None and len(set(near)) == 1
    value = near[0] if scalar else tuple(near)
    malformed = read_output_padding(given, spec.rank) is None
    cost = 0.1 if malformed else 1.0 + (0.0 if scalar else 0.3 * max(changed - 1, 0)) + 2e-3
    yield Change("output_padding", value, cost, f"pass output_padding={value}")


def _without_output_padding(spec: Spec) -> Spec:
    return read_spec(spec.call.replace(output_padding=None), spec.rank)


# Dtypes ---------------------------------------------------------------------------------------


def _dtype_changes(call: Call) -> Iterator[Change]:
    order = ("other", "int", "float", "complex")
    names = tuple(ARRAYS[call.op])
    for n, (name, other) in enumerate((names[::-1], names)):
        have = call.dtypes[name]
        for wanted in dict.fromkeys((call.dtypes[other], "float32")):
            if wanted == have or kind_of(wanted) == "other":
                continue
            old, new = ((order.index(kind_of(d)), width_of(d)) for d in (have, wanted))
            cost = 0.3 if new >= old else 1.5
            text = f"convert it: {name}.astype({wanted!r})"
            yield Change(name, wanted, cost + 1e-3 * n, text)
    if call.preferred_element_type is not None:
        text = "leave preferred_element_type out"
        yield Change("preferred_element_type", None, 0.5, text)
