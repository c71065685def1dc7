"""What a malformed setting was probably meant to be: remedies, the likeliest first.

Nothing here knows the shapes; the diagnosis tries each remedy and keeps those that fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from jconv._check import settings
from jconv._check.settings import LIMIT, entries_of, read_pair
from jconv._core.errors import Remedy
from jconv._core.layout import parse_layout

DEEPEST = 3  # lists within lists that are looked into: a list may contain itself


def number_in(value: Any, depth: int = 0) -> int | None:
    """The whole number that a float, a numeral, a bool or a one-element sequence stands for."""
    exact = settings.as_int(value)
    if exact is not None:
        return exact
    entries = entries_of(value)
    if entries is not None:
        return number_in(entries[0], depth + 1) if len(entries) == 1 and depth < DEEPEST else None
    try:
        number = float(value)
    except Exception:
        return None
    return round(number) if math.isfinite(number) else None


def _positive(value: Any) -> int | None:
    number = number_in(value)
    return None if number is None else min(max(abs(number), 1), LIMIT)


def factor_remedies(argument: str, value: Any, rank: int, first: bool = False) -> Iterator[Remedy]:
    """For stride, dilation and input_dilation."""
    entries = _flat(value)
    if entries is None or not entries:
        number = _positive(value)
        if number is not None:
            yield Remedy.use(argument, number)
    else:
        numbers = [_positive(v) for v in entries]
        known = [n for n in numbers if n is not None]
        spatial = list(_spatial_part(numbers, rank, 1, first))
        for kept in spatial:
            yield Remedy(argument, kept, f"give the spatial axes alone: {argument}={kept}")
        if len(known) == 1:
            yield Remedy.use(argument, known[0])
        elif known and not spatial:
            filled = [known[0] if n is None else n for n in numbers][:rank]
            filled += [filled[-1]] * (rank - len(filled))
            fixed = tuple(filled)
            yield Remedy.use(argument, fixed, "one entry for each spatial axis")
    yield Remedy.omit(argument, "it is 1")


def _flat(value: Any) -> list[Any] | None:
    """The entries of a sequence, nested sequences flattened by one level."""
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
    """The spatial axes' entries of a value that has one for batch and channels as well.

    `first` says whether channels come first.
    """
    if len(entries) != rank + 2 or None in entries or entries[0] != neutral:
        return
    readings = [(entries[-1], entries[1:-1]), (entries[1], entries[2:])]
    for channel, spatial in reversed(readings) if first else readings:
        if channel == neutral:
            yield tuple(spatial)


def groups_remedies(value: Any) -> Iterator[Remedy]:
    number = _positive(value)
    if number is not None:
        yield Remedy.use("groups", number)
    yield Remedy.omit("groups", "it is 1")


PADDING_NAMES = {  # other frameworks' names of padding rules
    "FULL": "CAUSAL",
    "HALF": "SAME",
    "NONE": "VALID",
    "NO": "VALID",
    "NOTSET": "VALID",
    "SAME_UPPER": "SAME",
}


def padding_remedies(
    value: Any, rank: int, first: bool = False, depth: int = 0
) -> Iterator[Remedy]:
    if isinstance(value, str):
        name = value.strip().upper().replace("-", "_").replace(" ", "_")
        name = PADDING_NAMES.get(name, name)
        number = number_in(value)
        if number is not None:
            yield Remedy.use("padding", number)
        else:
            likely = sorted(settings.STRING_PADDINGS, key=lambda known: _likeness(name, known))
            for known in reversed(likely):
                yield Remedy.use("padding", known)
        return
    entries = entries_of(value)
    if entries is None:
        number = number_in(value)
        if number is not None and abs(number) <= LIMIT:
            yield Remedy.use("padding", number)
    else:
        pairs = [_lenient_pair(entry) for entry in entries]
        for kept in _paddings(pairs, [number_in(v) for v in entries], rank, first):
            simple = tuple(low if low == high else (low, high) for low, high in kept)
            yield Remedy(
                "padding", simple, f"give one entry for each spatial axis: padding={simple}"
            )
        if len(entries) == 1 and depth < DEEPEST:
            yield from padding_remedies(entries[0], rank, first, depth + 1)
    yield Remedy.omit("padding", "it is 'SAME'")


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


MODE_NAMES = {  # other frameworks' names of padding modes
    "constant": "zeros",
    "zero": "zeros",
    "replicate": "edge",
    "nearest": "edge",
    "symmetric": "reflect",
    "mirror": "reflect",
    "wrap": "circular",
    "periodic": "circular",
}


def mode_remedies(value: Any, rank: int) -> Iterator[Remedy]:
    if isinstance(value, str):
        yield Remedy.use("padding_mode", _mode(value))
    entries = list(entries_of(value) or ())
    flat = _flat(value) or []
    if entries and all(isinstance(entry, str) for entry in flat):
        if rank == 1 and len(flat) == len(entries) == 2:  # the two sides of the one axis
            entries = [tuple(flat)]
        named = [_mode(e) if isinstance(e, str) else tuple(map(_mode, e)) for e in entries]
        named = [mode for mode in named if isinstance(mode, str) or len(mode) == 2][:rank]
        if named:
            meant = tuple(named + [named[-1]] * (rank - len(named)))
            yield Remedy.use("padding_mode", meant, "one entry for each spatial axis")
    yield Remedy.omit("padding_mode", "it is 'zeros'")


def _mode(name: str) -> str:
    """The mode that a word probably means."""
    name = name.strip().lower()
    name = MODE_NAMES.get(name, name)
    return max(settings.MODES, key=lambda known: _likeness(name, known))


def precision_remedies(value: Any) -> Iterator[Remedy]:
    name = value.strip().upper() if isinstance(value, str) else None
    if name in settings.PRECISIONS:
        yield Remedy.use("precision", name.lower())
    yield Remedy.omit("precision")


def layout_remedies(value: Any, rank: int) -> Iterator[Remedy]:
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
            yield Remedy.omit("layout", f"it is {last!r}")
        else:
            yield Remedy.use("layout", guess)
