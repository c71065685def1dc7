"""What a malformed setting was probably meant to be: readings, the likeliest first.

Nothing here knows the shapes; the diagnosis tries each reading and keeps those that fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from jconv._check import settings
from jconv._check.settings import LIMIT, entries_of, read_pair
from jconv._core.errors import show
from jconv._core.layout import parse_layout

Reading = tuple[Any, str]


def number_in(value: Any) -> int | None:
    """The whole number that a float, a numeral, a bool or a one-element sequence stands for."""
    exact = settings.as_int(value)
    if exact is not None:
        return exact
    entries = entries_of(value)
    if entries is not None:
        return number_in(entries[0]) if len(entries) == 1 else None
    try:
        number = float(value)
    except Exception:
        return None
    return round(number) if math.isfinite(number) else None


def _positive(value: Any) -> int | None:
    number = number_in(value)
    return None if number is None else min(max(abs(number), 1), LIMIT)


def factor_readings(argument: str, value: Any, rank: int, first: bool = False) -> Iterator[Reading]:
    """stride, dilation and input_dilation."""
    entries = _flat(value)
    if entries is None or not entries:
        number = _positive(value)
        if number is not None:
            yield number, f"pass {argument}={number}"
    else:
        numbers = [_positive(v) for v in entries]
        known = [n for n in numbers if n is not None]
        spatial = list(_spatial_part(numbers, rank, 1, first))
        for kept in spatial:
            yield kept, f"give the spatial axes alone: {argument}={kept}"
        if len(known) == 1:
            yield known[0], f"pass {argument}={known[0]}"
        elif known and not spatial:
            filled = [known[0] if n is None else n for n in numbers][:rank]
            filled += [filled[-1]] * (rank - len(filled))
            fixed = tuple(filled)
            yield fixed, f"pass {argument}={fixed}, one entry for each spatial axis"
    yield None, f"leave {argument} out: it is 1 then"


def _flat(value: Any) -> list[Any] | None:
    """The entries of a sequence, those of nested ones in line."""
    entries = entries_of(value)
    if entries is None:
        return None
    flat = []
    for entry in entries:
        inner = entries_of(entry)
        flat += [entry] if inner is None else inner
    return flat


def _spatial_part(
    entries: list[Any], rank: int, neutral: Any, first: bool
) -> Iterator[tuple[Any, ...]]:
    """Of entries for all dimensions, channels last or `first`, those of the spatial axes."""
    if len(entries) != rank + 2 or None in entries or entries[0] != neutral:
        return
    readings = [(entries[-1], entries[1:-1]), (entries[1], entries[2:])]
    for channel, spatial in reversed(readings) if first else readings:
        if channel == neutral:
            yield tuple(spatial)


def groups_readings(value: Any) -> Iterator[Reading]:
    number = _positive(value)
    if number is not None:
        yield number, f"pass groups={number}"
    yield None, "leave groups out: it is 1 then"


PADDING_NAMES = {
    "FULL": "CAUSAL",
    "HALF": "SAME",
    "NONE": "VALID",
    "NO": "VALID",
    "NOTSET": "VALID",
    "SAME_UPPER": "SAME",
}


def padding_readings(value: Any, rank: int, first: bool = False) -> Iterator[Reading]:
    if isinstance(value, str):
        name = value.strip().upper().replace("-", "_").replace(" ", "_")
        name = PADDING_NAMES.get(name, name)
        number = number_in(value)
        if number is not None:
            yield number, f"pass padding={number}"
        else:
            likely = sorted(settings.STRING_PADDINGS, key=lambda known: _likeness(name, known))
            for known in reversed(likely):
                yield known, f"pass padding={known!r}"
        return
    entries = entries_of(value)
    if entries is None:
        number = number_in(value)
        if number is not None and abs(number) <= LIMIT:
            yield number, f"pass padding={number}"
    else:
        pairs = [_lenient_pair(entry) for entry in entries]
        for kept in _paddings(pairs, [number_in(v) for v in entries], rank, first):
            simple = tuple(low if low == high else (low, high) for low, high in kept)
            yield simple, f"give one entry for each spatial axis: padding={simple}"
        if len(entries) == 1:
            yield from padding_readings(entries[0], rank, first)
    yield None, "leave padding out: it is 'SAME' then"


def _lenient_pair(entry: Any) -> tuple[int, int] | None:
    pair = read_pair(entry)
    if pair is not None:
        return pair
    flat = _flat(entry)
    numbers = [number_in(v) for v in flat] if flat is not None else [number_in(entry)]
    numbers = [0 if n is None else n for n in numbers] or [0]
    if any(abs(n) > LIMIT for n in numbers):
        return None
    return numbers[0], numbers[1] if len(numbers) > 1 else numbers[0]


def _paddings(
    pairs: list[tuple[int, int] | None], flat: list[int | None], rank: int, first: bool
) -> Iterator[tuple[tuple[int, int], ...]]:
    """Ways to read a sequence as one (low, high) pair for each spatial axis."""
    if not pairs or None in pairs:
        return
    known = [pair for pair in pairs if pair is not None]
    spatial = list(_spatial_part(known, rank, (0, 0), first))
    yield from spatial
    sides = [n for n in flat if n is not None]
    if len(sides) == len(flat) == 2 * rank and len(known) != rank:
        yield tuple(zip(sides[::2], sides[1::2], strict=True))  # low, high, low, high
        yield tuple(zip(sides[:rank], sides[rank:], strict=True))  # the lows, then the highs
    elif not spatial:
        repaired = known[:rank]
        yield tuple(repaired + [repaired[-1]] * (rank - len(repaired)))


def _likeness(text: str, name: str) -> tuple[int, int]:
    """How many letters two names share in place and at all; then how near their lengths are."""
    text, name = text.lower(), name.lower()
    prefix = sum(a == b for a, b in zip(text, name, strict=False))
    return prefix + len(set(text) & set(name)), -abs(len(name) - len(text))


MODE_NAMES = {
    "constant": "zeros",
    "zero": "zeros",
    "replicate": "edge",
    "nearest": "edge",
    "symmetric": "reflect",
    "mirror": "reflect",
    "wrap": "circular",
    "periodic": "circular",
}


def mode_readings(value: Any) -> Iterator[Reading]:
    if isinstance(value, str):
        name = value.strip().lower()
        name = MODE_NAMES.get(name, name)
        best = max(settings.MODES, key=lambda known: _likeness(name, known))
        yield best, f"pass padding_mode={best!r}"
    yield None, "leave padding_mode out: it is 'zeros' then"


def precision_readings(value: Any) -> Iterator[Reading]:
    name = value.strip().upper() if isinstance(value, str) else None
    if name in settings.PRECISIONS:
        yield name.lower(), f"pass precision={name.lower()!r}"
    yield None, "leave precision out"


def layout_readings(value: Any, rank: int) -> Iterator[Reading]:
    last = parse_layout(None, rank).names[0]
    first = "NC" + last[1:-1]
    text = value.strip().upper() if isinstance(value, str) else ""
    is_first = text.startswith(("NC", "C")) and text != "CHANNELS_LAST"
    guesses = [first, last] if is_first else [last, first]
    entries = entries_of(value)
    names = [v.strip().upper() for v in entries or [] if isinstance(v, str)]
    if len(names) == 3:
        triples = [(names[0], names[1], names[0]), (names[2], names[1], names[2]), tuple(names)]
        guesses = [*triples, *guesses]
        if names[0].startswith("NC"):
            guesses[-2:] = [first, last]
    elif len(text) == rank + 2:
        guesses = [text, *guesses]
    for guess in dict.fromkeys(guesses):
        if guess == last:
            yield None, f"leave layout out: it is {last!r} then"
        else:
            yield guess, f"pass layout={show(guess)}"
