"""Confusions about keywords: values that cannot be read, and values that do not fit the shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from jconv._check import settings
from jconv._check.dtypes import kind_of, width_of
from jconv._check.sizes import read_output_padding
from jconv._core.errors import Remedy
from jconv._core.geometry import is_static
from jconv._core.layout import parse_layout
from jconv._diagnosis import remedies
from jconv._diagnosis.changes import Change
from jconv._diagnosis.reading import Reading, distance
from jconv._diagnosis.remedies import number_in
from jconv._diagnosis.values import DOUBT, FACTORS

HUGE = 2**16
"""A stride, dilation or padding this large is taken for a slip, such as a number of bytes."""


def misspelt_keyword(reading: Reading) -> Iterator[Change]:
    """What a keyword whose value cannot be read was probably meant to be."""
    call, rank = reading.call, reading.rank
    first = isinstance(call.layout, str) and call.layout.upper().startswith("NC")
    meant = {
        **{
            name: remedies.factor_remedies(name, getattr(call, name), rank, first)
            for name in FACTORS
        },
        "padding": remedies.padding_remedies(call.padding, rank, first),
        "groups": remedies.groups_remedies(call.groups),
        "padding_mode": remedies.mode_remedies(call.padding_mode, rank),
        "precision": remedies.precision_remedies(call.precision),
        "layout": remedies.layout_remedies(call.layout, rank),
    }
    for argument, found in meant.items():
        if not reading.malformed(argument):
            continue
        for n, remedy in enumerate(found):
            # The first remedy is the likeliest; leaving the keyword out always works, so it is
            # offered last.
            step = 0.6 if isinstance(remedy.value, str) else 0.1
            yield Change(remedy, 0.9 if n and remedy.value is None else min(step * n, 0.8))


def default_for_a_huge_value(reading: Reading) -> Iterator[Change]:
    """The default in place of a stride, dilation or padding too large to be meant."""
    for argument in (*FACTORS, "padding"):
        if _is_huge(getattr(reading.call, argument)):
            default = "it is 1" if argument in FACTORS else "it is 'SAME'"
            yield Change(Remedy.omit(argument, default), DOUBT)


def _is_huge(value: Any, depth: int = 0) -> bool:
    entries = settings.entries_of(value)
    if entries is not None:
        return depth < 2 and any(_is_huge(entry, depth + 1) for entry in entries)
    number = settings.as_int(value)
    return number is not None and number >= HUGE


def another_groups(reading: Reading) -> Iterator[Change]:
    """`groups` as x's channels over the filter's; where unknown, divisors of all channels."""
    one = Reading(reading.call.replace(groups=1), reading.rank)
    if one.spec is None:
        return
    given, known = reading.call.groups, one.known
    channels, c = known["x"][-1], known["w"][-2]
    f = known["y"][-1] if known["w"][-1] is None else known["w"][-1]
    sizes = [size for size in (channels, f) if size is not None and is_static(size) and size]
    if not sizes:
        return
    number = settings.as_int(given)
    malformed = number is None or number < 1
    old = abs(number_in(given) or 1)
    told = channels is not None and c is not None and is_static(channels, c) and c
    if told and channels and channels % c == 0:
        right = channels // c
        forgotten = number == 1
        clashes = channels % old or (is_static(f) and f is not None and f % old)
        cost = 0.9 if forgotten or clashes else 1.0
        cost += (0.3 if clashes else 0.6) * distance(old, right)
        if c == 1 and forgotten:
            cost = 0.7
        note = "Was `groups` left out?" if forgotten else ""
        yield Change(Remedy.use("groups", right), 0.2 if malformed else cost + 4e-3, note)
        return
    both = math.gcd(*sizes)
    divisors = [n for n in range(1, min(both, 4096) + 1) if both % n == 0]
    for right in sorted(divisors, key=lambda n: distance(old, n))[:4]:
        cost = (0.2 if malformed else 0.9) + 0.6 * distance(old, right)
        yield Change(Remedy.use("groups", right), cost)


def another_padding_mode(reading: Reading) -> Iterator[Change]:
    """Zeros or less padding, for borders that x has too few rows for or that b > 1 forbids."""
    spec = reading.spec
    if spec is None or not any(map(spec.copies, range(spec.rank))):
        return
    yield Change(Remedy.use("padding_mode", "zeros"), 1.0)
    if {mode for pair in spec.modes for mode in pair} != {"edge"}:
        yield Change(Remedy.use("padding_mode", "edge"), 1.2)
    if any(b > 1 for b in spec.b):
        yield Change(Remedy.omit("input_dilation", "it is 1"), 1.2)
    sizes = reading.known["x"][1:-1]
    if any(size is None or not is_static(size) for size in sizes):
        return
    if any(isinstance(pair, str) for pair in spec.padding):
        return
    capped = tuple(
        tuple(_most(mode, size, amount) for mode, amount in zip(modes, pair, strict=True))
        for modes, size, pair in zip(spec.modes, sizes, spec.padding, strict=True)
    )
    if capped != spec.padding:
        value: Any = tuple(p[0] if p[0] == p[1] else p for p in capped)
        if settings.as_int(reading.call.padding) is not None and len(set(value)) == 1:
            value = value[0]
        yield Change(Remedy.use("padding", value), 0.9)


def _most(mode: str, size: Any, amount: Any) -> Any:
    """`amount` rows of padding, or as many as this mode can copy from `size` rows of x."""
    limits = {"reflect": size - 1, "circular": size}
    return min(amount, limits.get(mode, amount))


def another_layout(reading: Reading) -> Iterator[Change]:
    """Channels first in place of channels last, or the reverse."""
    spec = reading.spec
    if spec is None:
        return
    last = parse_layout(None, spec.rank).names[0]
    first = "NC" + last[1:-1]
    is_first = spec.layout.name("x").startswith("NC")
    meant = last if is_first else first
    cost = 0.9
    if "w" in spec.slots and is_static(*spec.slots["w"]):
        other = parse_layout(meant, spec.rank)
        kernels = [spec.slots["w"][:-2], other.canonical("w", spec.call.shapes["w"])[:-2]]
        skews = [distance(min(k), max(k)) for k in kernels]
        if skews[1] > skews[0] or max(kernels[1]) > max(kernels[0]):
            cost = 1.4
        elif skews[1] < skews[0]:
            cost = 0.7
    default = Remedy.omit("layout", f"it is {last!r}")
    remedy = default if is_first else Remedy.use("layout", first)
    yield Change(remedy, cost, f"All shapes fit when they are read as {meant}.", reinterprets=True)


def another_output_padding(reading: Reading) -> Iterator[Change]:
    """The nearest consistent output_padding, or none."""
    given, rank = reading.call.output_padding, reading.rank
    if given is None or reading.spec is None:
        return
    yield Change(Remedy.omit("output_padding"), 1.3)
    other = reading.without("output_padding")
    spec, known = other.spec, other.known
    o: Any = known["y"][1:-1]
    k: Any = known["w"][:-2]
    if spec is None or not is_static(*o, *k):
        return
    low = spec.smallest(o, k)
    entries = settings.entries_of(given)
    wanted = [number_in(v) or 0 for v in (entries if entries is not None else [given])] or [0]
    wanted = (wanted + wanted[-1:] * rank)[:rank]
    near = []
    for a in range(rank):
        told: Any = known["x"][a + 1]
        sizes = spec.inputs(a, o[a], k[a]) if told is None else (told,)
        if not sizes:
            return
        near.append(min(max(wanted[a] + low[a], sizes[0]), sizes[-1]) - low[a])
    changed = sum(near[a] != wanted[a] for a in range(rank))
    scalar = entries is None and len(set(near)) == 1
    malformed = read_output_padding(given, rank) is None
    cost = 0.1 if malformed else 1.0 + (0.0 if scalar else 0.3 * max(changed - 1, 0)) + 2e-3
    yield Change(Remedy.use("output_padding", near[0] if scalar else tuple(near)), cost)


def another_dtype(reading: Reading) -> Iterator[Change]:
    """Operands of one dtype, the narrower converted to the wider."""
    call, order = reading.call, ("other", "int", "float", "complex")
    names = tuple(call.operation.arrays)
    for n, (name, other) in enumerate((names[::-1], names)):
        have = call.dtypes[name]
        for wanted in dict.fromkeys((call.dtypes[other], "float32")):
            if wanted == have or kind_of(wanted) == "other":
                continue
            old, new = ((order.index(kind_of(d)), width_of(d)) for d in (have, wanted))
            yield Change(Remedy.convert(name, wanted), (0.3 if new >= old else 1.5) + 1e-3 * n)
    if call.preferred_element_type is not None:
        yield Change(Remedy.omit("preferred_element_type"), 0.5)
