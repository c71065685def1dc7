"""Confusions about shapes: of the arrays, and of the argument that tells the result's shape."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from jconv._check.settings import LIMIT, entries_of
from jconv._core.errors import Remedy
from jconv._core.geometry import same
from jconv._core.layout import Layout
from jconv._diagnosis.changes import Change, edited, plausibility, tie
from jconv._diagnosis.reading import ANY, Reading, Sizes, allows
from jconv._diagnosis.remedies import number_in

CONVENTION = 0.6
"""The cost, in sizes changed, of reading a shape in another framework's order."""

# Arrays ---------------------------------------------------------------------------------------


def _arrays(reading: Reading, more: int = 0) -> Iterator[tuple[str, str, Sizes, Layout]]:
    """The arrays with `more` dimensions than this reading needs (fewer if it is negative)."""
    for argument, slot in reading.shaped():
        shape = reading.call.shapes.get(argument)
        if shape is not None and len(shape) == reading.rank + 2 + more:
            assert reading.spec is not None
            yield argument, slot, shape, reading.spec.layout


def dimensions_in_another_order(reading: Reading) -> Iterator[Change]:
    """An array as another layout or another framework has it, where that fits as it stands."""
    for argument, slot, shape, layout in _arrays(reading):
        names = layout.name(slot)
        for order, cost in orders(layout, slot):
            # `order` names the dimensions as they came; the call reads them as `names`.
            permutation = tuple(order.index(letter) for letter in names)
            value = tuple(shape[p] for p in permutation)
            sizes = layout.canonical(slot, value)
            if value == shape or not all(map(allows, reading.sets[slot], sizes)):
                continue
            cost += plausibility(slot, layout.canonical(slot, shape), sizes)
            how = f"transpose it: jnp.transpose({argument}, {permutation})"
            note = f"`{argument}` looks like {order}, where {names} is expected."
            remedy = Remedy.shape(argument, value, how)
            yield Change(remedy, cost + tie(argument), note, reinterprets=True)


def orders(layout: Layout, slot: str) -> Iterator[tuple[str, float]]:
    """Orders that the dimensions may have come in: other conventions, then any two swapped."""
    names = layout.name(slot)
    axes = "".join(names[p] for p in layout.spatial(slot))
    seen = {names}
    if slot == "w":
        known = ["OI" + axes, axes + "IO", axes + "OI", "IO" + axes, f"O{axes}I"]
    else:
        known = [f"NC{axes}", f"N{axes}C"]
    for order in known:
        if order not in seen:
            seen.add(order)
            yield order, CONVENTION
    for a, b in itertools.combinations(range(len(names)), 2):
        letters = list(names)
        letters[a], letters[b] = letters[b], letters[a]
        order = "".join(letters)
        if order not in seen:
            yield order, 0.9 if {names[a], names[b]} <= set(axes) else 1.1


def another_size(reading: Reading) -> Iterator[Change]:
    """An array of other sizes, or a cotangent that was given the input's sizes."""
    for argument, slot, shape, layout in _arrays(reading):
        found = edited(reading, slot, layout.canonical(slot, shape), reading.sets[slot])
        if found is None:
            continue
        sizes, cost = found
        note = ""
        if slot == "y" and _has_the_inputs_size(reading, layout.canonical("y", shape), sizes):
            cost = min(cost, 0.5)
            note = (
                f"`{argument}` has the spatial size of the input; it must have that of the "
                "convolution's result."
            )
        yield Change(Remedy.shape(argument, layout.caller(slot, sizes)), cost + tie(argument), note)


def _has_the_inputs_size(reading: Reading, sizes: Sizes, right: Sizes) -> bool:
    """Whether a cotangent has the input's spatial size, and nothing else is wrong with it."""
    if not reading.call.operation.is_backprop or reading.known["x"][1:-1] != sizes[1:-1]:
        return False
    return same(sizes[0], right[0]) and same(sizes[-1], right[-1])


def depthwise_filter(reading: Reading) -> Iterator[Change]:
    """A depthwise filter in TensorFlow's order, (spatial..., C, M), with groups = C."""
    for argument, slot, shape, layout in _arrays(reading):
        groups = reading.spec.groups if reading.spec is not None else 1
        *k, c, m = layout.canonical(slot, shape)
        if slot == "w" and groups > 1 and same(c, groups):
            value = layout.caller("w", (*k, 1, c * m))
            note = (
                f"`{argument}` looks like a depthwise filter (spatial..., channels, multiplier); "
                f"with groups={groups} each group has one input channel."
            )
            text = f"reshape it: {argument}.reshape({value})"
            yield Change(Remedy(argument, value, text), 0.3, note, reinterprets=True)


def missing_axes(reading: Reading) -> Iterator[Change]:
    """An array without one of its axes, or without its batch axis and another."""
    length = reading.rank + 2
    for missing in (1, 2):
        for argument, slot, shape, layout in _arrays(reading, -missing):
            if not shape:
                continue
            for places in itertools.combinations(range(length), missing):
                rest = iter(shape)
                guess = tuple(None if p in places else next(rest) for p in range(length))
                value = _grown(reading, slot, guess, places, layout)
                if value is not None:
                    yield _added(argument, slot, value, places, layout)


def _grown(
    reading: Reading, slot: str, guess: Sizes, places: Sizes, layout: Layout
) -> Sizes | None:
    sets = reading.sets[slot]
    spatial = [p for p in places if p in layout.spatial(slot)]
    if slot != "w" and any(sets[getattr(layout, slot).index(p)] is ANY for p in spatial):
        return None
    found = edited(reading, slot, layout.canonical(slot, guess), sets)
    return None if found is None or found[1] > 0 else layout.caller(slot, found[0])


def _added(argument: str, slot: str, value: Sizes, places: Sizes, layout: Layout) -> Change:
    batch = -1 if slot == "w" else getattr(layout, slot)[0]
    cost = tie(argument)
    for p in places:
        cost += 0.5 if p == batch else 0.7
        cost += 0.0 if same(value[p], 1) else 0.7
        cost += 0.6 if p in layout.spatial(slot) else 0.0
    if any(not same(value[p], 1) for p in places):
        return Change(Remedy.shape(argument, value), cost)
    at = places[0] if len(places) == 1 else tuple(places)
    how = f"{argument}[None]" if places == (0,) else f"jnp.expand_dims({argument}, {at})"
    if batch not in places:
        return Change(Remedy.shape(argument, value, f"add an axis of size 1: {how}"), cost)
    text = f"add the batch axis: {how}, of shape {value} (or map over examples with jax.vmap)"
    what = "The batch axis is" if len(places) == 1 else "The batch axis and another are"
    return Change(Remedy(argument, value, text), cost, f"{what} missing.")


def extra_axis(reading: Reading) -> Iterator[Change]:
    """An array with one axis dropped, where it has one too many."""
    for argument, slot, shape, layout in _arrays(reading, 1):
        for p in range(len(shape)):
            value = shape[:p] + shape[p + 1 :]
            found = edited(reading, slot, layout.canonical(slot, value), reading.sets[slot])
            if found is None or found[1] > 0:
                continue
            one = same(shape[p], 1)
            how = f"drop the axis of size 1: jnp.squeeze({argument}, {p})" if one else ""
            cost = (0.8 if one else 2.5) + 1e-4 * p + tie(argument)
            yield Change(Remedy.shape(argument, value, how), cost)


# The argument that tells the result's shape ---------------------------------------------------


def _told(reading: Reading) -> Iterator[tuple[str, str, Any, Layout]]:
    for argument, slot in reading.shaped():
        if argument in reading.call.operation.told:
            assert reading.spec is not None
            yield argument, slot, getattr(reading.call, argument), reading.spec.layout


def told_sizes(reading: Reading) -> Iterator[Change]:
    """input_shape, filter_shape and output_shape: full, or the spatial sizes alone."""
    for argument, slot, given, layout in _told(reading):
        if given is None and argument == "output_shape":
            continue
        sets = reading.sets[slot]
        for guess, cost in _told_readings(reading.rank, given):
            full = len(guess) == reading.rank + 2
            canonical = layout.canonical(slot, guess) if full else guess
            some = sets if full else sets[:-2] if slot == "w" else sets[1:-1]
            found = edited(reading, slot, canonical, some)
            if found is not None:
                sizes, extra = found
                value = layout.caller(slot, sizes) if full else sizes
                yield Change(Remedy.use(argument, value), cost + extra + tie(argument))
        if argument == "output_shape":
            yield Change(Remedy.omit(argument), 2.5)


def told_sizes_in_another_order(reading: Reading) -> Iterator[Change]:
    for argument, slot, given, layout in _told(reading):
        entries = tuple(entries_of(given) or ())
        if None in map(_size, entries):
            continue
        if len(entries) == reading.rank + 2:
            names, before = layout.name(slot), layout.canonical(slot, entries)
            for order, cost in orders(layout, slot):
                value = tuple(entries[order.index(letter)] for letter in names)
                cost += plausibility(slot, before, layout.canonical(slot, value))
                note = f"`{argument}` looks like {order}, where {names} is expected."
                yield Change(Remedy.use(argument, value), cost + tie(argument), note, True)
        elif len(entries) == reading.rank:
            for a, b in itertools.combinations(range(reading.rank), 2):
                swapped = list(entries)
                swapped[a], swapped[b] = swapped[b], swapped[a]
                note = f"Two sizes of `{argument}` are swapped."
                yield Change(Remedy.use(argument, tuple(swapped)), 0.9 + tie(argument), note, True)


def _told_readings(rank: int, given: Any) -> Iterator[tuple[Sizes, float]]:
    """Ways to read `given` as sizes, None for an unreadable one, each with its cost."""
    shape = getattr(given, "shape", None)
    if isinstance(shape, tuple) and len(shape) in (rank, rank + 2):
        yield shape, 0.2  # the array was passed where its shape is meant
    entries = entries_of(given)
    if entries is None:
        number = number_in(given) if given is not None else None
        yield (None if number is None else abs(number),) * rank, 0.3
        return
    sizes = tuple(_size(v) for v in entries)
    length = len(sizes)
    if length in (rank, rank + 2):
        yield sizes, 0.0
        return
    for target, dearer in ((rank + 2, 0.0), (rank, 0.3)):
        if length < target <= length + 2:
            for places in itertools.combinations(range(target), target - length):
                rest = iter(sizes)
                guess = tuple(None if p in places else next(rest) for p in range(target))
                yield guess, 0.5 * len(places) + dearer
        elif target < length <= target + 2:
            for kept in itertools.combinations(range(length), target):
                dropped = [sizes[p] for p in range(length) if p not in kept]
                cost = sum(0.1 if size == 1 else 0.6 for size in dropped)
                yield tuple(sizes[p] for p in kept), cost + dearer
    if not sizes:
        yield (None,) * rank, 0.5


def _size(value: Any) -> Any:
    if hasattr(value, "scope"):
        return value
    number = number_in(value)
    return None if number is None or abs(number) > LIMIT else abs(number)
