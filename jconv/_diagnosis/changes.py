"""Changes of one argument that may mend a call, each with its cost: the less, the likelier.

The unit is one size changed; the change's ratio breaks ties, so that of two sizes that could
both be wrong the one that needs the smaller relative change is named. Confusions that have a
name (channels first, a filter in another framework's order, a missing batch axis, a cotangent
given the input's shape) cost less than one size, since one slip explains all of it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

from jconv._check.call import ARRAYS, Call
from jconv._check.settings import LIMIT, entries_of
from jconv._check.spec import Spec, read_spec
from jconv._core.errors import ConvError
from jconv._core.geometry import is_static, same
from jconv._core.layout import MOST_AXES
from jconv._diagnosis.fits import (
    ANY,
    TOLD,
    Sets,
    allows,
    distance,
    known_shapes,
    natural,
    nearest,
    sets_of,
    slot_of,
)
from jconv._diagnosis.repairs import number_in

Sizes = tuple[Any, ...]

# Ties go to the argument that is told rather than measured, and to x last of all.
ORDER = ("input_shape", "filter_shape", "output_padding", "output_shape", "groups", "g", "w", "x")


@dataclasses.dataclass(frozen=True)
class Change:
    """One argument's new value, what it costs to believe in it, and how to say it."""

    argument: str
    value: Any
    cost: float
    text: str
    note: str = ""
    reinterprets: bool = False  # the same numbers read in another way


def spec_or_none(call: Call, rank: int) -> Spec | None:
    try:
        return read_spec(call, rank)
    except ConvError:
        return None


def ranks(call: Call) -> set[int]:
    """The numbers of spatial axes that the arrays may mean."""
    return {len(s) - 2 for s in call.shapes.values() if 3 <= len(s) <= MOST_AXES + 2}


def shape_changes(call: Call) -> Iterator[Change]:
    """Other shapes for one array or one told shape."""
    for rank in sorted(ranks(call)):
        for argument in (*ARRAYS[call.op], *TOLD[call.op]):
            others = [len(s) for name, s in call.shapes.items() if name != argument]
            if any(length != rank + 2 for length in others):
                continue
            spec = spec_or_none(call, rank)
            if spec is None:
                continue
            sets = sets_of(spec, slot := slot_of(call.op, argument) or "x")
            if argument in ARRAYS[call.op]:
                yield from _array_changes(spec, argument, slot, sets)
            else:
                yield from _told_changes(spec, argument, slot, sets)


# Arrays ---------------------------------------------------------------------------------------


def _array_changes(spec: Spec, argument: str, slot: str, sets: Sets) -> Iterator[Change]:
    shape = spec.call.shapes[argument]
    length = spec.rank + 2
    tie = 1e-3 * ORDER.index(argument)
    if len(shape) == length:
        yield from _permuted(spec, argument, slot, sets, tie)
        edited = _edited(spec, slot, spec.layout.canonical(slot, shape), sets)
        if edited is not None:
            sizes, cost = edited
            value = spec.layout.caller(slot, sizes)
            note = ""
            if slot == "y" and _has_the_inputs_size(spec, shape, sizes):
                cost = min(cost, 0.5)
                note = (
                    f"`{argument}` has the spatial size of the input; it must have that of the "
                    "convolution's result."
                )
            yield Change(argument, value, cost + tie, f"give {argument} the shape {value}", note)
        if slot == "w":
            yield from _depthwise(spec, argument, sets)
    elif len(shape) < length:
        yield from _grown(spec, argument, slot, sets, tie)
    elif len(shape) == length + 1:
        yield from _shrunk(spec, argument, slot, sets, tie)


def _edited(spec: Spec, slot: str, sizes: Sizes, sets: Sets) -> tuple[Sizes, float] | None:
    """The nearest sizes that fit, and the cost of getting there; None in `sizes` is free."""
    first = 0 if slot == "w" or len(sizes) == spec.rank else 1
    new = []
    for at, (size, choices) in enumerate(zip(sizes, sets, strict=True)):
        axis = at - first if 0 <= at - first < spec.rank else None
        fit = _free(spec, slot, axis, choices) if size is None else nearest(choices, size)
        if fit is None:
            return None
        new.append(fit)
    spatial = slice(first, first + spec.rank)
    old_axes, new_axes = sizes[spatial], tuple(new[spatial])
    edits = [_edit(a, b) for a, b in zip(sizes, new, strict=True)]
    cost = sum(edits)
    if spec.rank > 1 and None not in sizes and _square(old_axes) and _square(new_axes):
        # Equal sizes are one number to whoever wrote them, and so is their change.
        one = edits[first]
        cost -= (spec.rank - 1) * one - (0.25 if one else 0.0)
    return tuple(new), cost + _squareness(old_axes, new_axes)


def _edit(old: Any, new: Any) -> float:
    """The cost of one size changed: always more than 1 and less than 2."""
    if old is None or same(old, new):
        return 0.0
    return 1 + min(0.6 * distance(old, new), 0.95)


def _square(sizes: Sizes) -> bool:
    return all(same(size, sizes[0]) for size in sizes)


def _free(spec: Spec, slot: str, axis: int | None, choices: Any) -> Any:
    """A size for an entry that the call leaves open; 3 rows are an example of a filter."""
    if not len(choices):
        return None
    if slot == "w" and axis is not None and choices is not ANY and allows(choices, 3):
        return 3
    if len(choices) > 64 or axis is None:
        return choices[0] or choices[min(1, len(choices) - 1)]
    return natural(spec, axis, choices) or choices[-1]


def _squareness(old: Sizes, new: Sizes) -> float:
    """A change that makes the spatial sizes equal is likelier, one that unmakes it less so."""
    if len(old) < 2 or old == new or None in old:
        return 0.0
    return 0.1 * (_square(old) - _square(new))


def _has_the_inputs_size(spec: Spec, shape: Sizes, right: Sizes) -> bool:
    """Whether a cotangent has the input's spatial size, and nothing else is wrong with it."""
    x = known_shapes(spec)["x"][1:-1]
    n, *sizes, f = spec.layout.canonical("y", shape)
    if spec.call.op == "conv_transpose" or tuple(x) != tuple(sizes):
        return False
    return same(n, right[0]) and same(f, right[-1])


def _permuted(spec: Spec, argument: str, slot: str, sets: Sets, tie: float) -> Iterator[Change]:
    """The shape in another order of its dimensions, where that fits as it stands."""
    shape, names = spec.call.shapes[argument], spec.layout.name(slot)
    for order, cost in _orders(spec, slot, names):
        # `order` names the dimensions as they came; the call reads them as `names`.
        permutation = tuple(order.index(letter) for letter in names)
        value = tuple(shape[p] for p in permutation)
        sizes = spec.layout.canonical(slot, value)
        if value == shape or not all(
            allows(choices, size) for size, choices in zip(sizes, sets, strict=True)
        ):
            continue
        cost += _plausibility(spec, slot, shape, sizes)
        how = f"jnp.transpose({argument}, {permutation})"
        yield Change(
            argument,
            value,
            cost + tie,
            f"transpose it: {how}, of shape {value}",
            f"`{argument}` looks like {order}, where {names} is expected.",
            reinterprets=True,
        )


def _orders(spec: Spec, slot: str, names: str) -> Iterator[tuple[str, float]]:
    """Orders that the dimensions may have come in: other conventions, then any two swapped."""
    axes = "".join(names[p] for p in spec.layout.spatial(slot))
    seen = {names}
    if slot == "w":
        known = ["OI" + axes, axes + "IO", axes + "OI", "IO" + axes, f"O{axes}I"]
    else:
        known = [f"NC{axes}", f"N{axes}C"]
    for order in known:
        if order not in seen:
            seen.add(order)
            yield order, 0.6
    for a, b in itertools.combinations(range(len(names)), 2):
        letters = list(names)
        letters[a], letters[b] = letters[b], letters[a]
        order = "".join(letters)
        if order not in seen:
            yield order, 0.9 if {names[a], names[b]} <= set(axes) else 1.1


def _plausibility(spec: Spec, slot: str, shape: Sizes, sizes: Sizes) -> float:
    """Kernels are small and mostly square: a reading that makes them less so costs more."""
    if not is_static(*sizes):
        return 0.0
    old = spec.layout.canonical(slot, shape)
    part = slice(0, -2) if slot == "w" else slice(1, -1)
    before, after = old[part], sizes[part]
    skew = distance(min(before), max(before)) - distance(min(after), max(after))
    if skew > 0:
        return -0.2
    if skew < 0:
        if _square(before):
            return 0.9
        return 0.05
    return 0.3 if slot == "w" and max(after) > max(before) else 0.0


def _depthwise(spec: Spec, argument: str, sets: Sets) -> Iterator[Change]:
    """A depthwise filter in TensorFlow's order, (spatial..., C, M), with groups = C."""
    *k, c, m = spec.layout.canonical("w", spec.call.shapes[argument])
    if spec.groups > 1 and same(c, spec.groups):
        value = spec.layout.caller("w", (*k, 1, c * m))
        yield Change(
            argument,
            value,
            0.3,
            f"reshape it: {argument}.reshape({value})",
            f"`{argument}` looks like a depthwise filter (spatial..., channels, multiplier); with "
            f"groups={spec.groups} each group has one input channel.",
            reinterprets=True,
        )


def _grown(spec: Spec, argument: str, slot: str, sets: Sets, tie: float) -> Iterator[Change]:
    """The shape with the axes that it lacks: one, or a batch and a channel axis."""
    shape = spec.call.shapes[argument]
    missing = (length := spec.rank + 2) - len(shape)
    if missing > 2 or not shape:
        return
    for places in itertools.combinations(range(length), missing):
        rest = iter(shape)
        guess = tuple(None if p in places else next(rest) for p in range(length))
        canonical = spec.layout.canonical(slot, guess)
        spatial = [p for p in places if p in spec.layout.spatial(slot)]
        if any(sets[getattr(spec.layout, slot).index(p)] is ANY for p in spatial) and slot != "w":
            continue
        edited = _edited(spec, slot, canonical, sets)
        if edited is None or edited[1] > 0:
            continue
        value = spec.layout.caller(slot, edited[0])
        added = [value[p] for p in places]
        batch = -1 if slot == "w" else getattr(spec.layout, slot)[0]
        cost = 0.0
        for p, size in zip(places, added, strict=True):
            cost += 0.5 if p == batch else 0.7
            cost += 0.0 if same(size, 1) else 0.7
            cost += 0.6 if p in spatial else 0.0
        yield _added(argument, value, places, batch, cost + tie)


def _added(argument: str, value: Sizes, places: Sizes, batch: int, cost: float) -> Change:
    if any(not same(value[p], 1) for p in places):
        return Change(argument, value, cost, f"give {argument} the shape {value}")
    if places == (0,):
        how = f"{argument}[None]"
    else:
        at = places[0] if len(places) == 1 else tuple(places)
        how = f"jnp.expand_dims({argument}, {at})"
    if batch in places:
        note = (
            "The batch axis is missing."
            if len(places) == 1
            else "The batch axis and another are missing."
        )
        return Change(
            argument,
            value,
            cost,
            f"add the batch axis: {how}, of shape {value} (or map over examples with jax.vmap)",
            note,
        )
    return Change(argument, value, cost, f"add an axis of size 1: {how}, of shape {value}")


def _shrunk(spec: Spec, argument: str, slot: str, sets: Sets, tie: float) -> Iterator[Change]:
    shape = spec.call.shapes[argument]
    for p in range(len(shape)):
        value = shape[:p] + shape[p + 1 :]
        edited = _edited(spec, slot, spec.layout.canonical(slot, value), sets)
        if edited is None or edited[1] > 0:
            continue
        one = same(shape[p], 1)
        how = f"drop the axis of size 1: jnp.squeeze({argument}, {p}), of shape {value}"
        text = how if one else f"give {argument} the shape {value}"
        yield Change(argument, value, (0.8 if one else 2.5) + 1e-4 * p + tie, text)


# Told shapes ----------------------------------------------------------------------------------


def _told_changes(spec: Spec, argument: str, slot: str, sets: Sets) -> Iterator[Change]:
    """input_shape, filter_shape and output_shape: full, or the spatial sizes alone."""
    given = getattr(spec.call, argument)
    if given is None and argument == "output_shape":
        return
    tie = 1e-3 * ORDER.index(argument)
    spatial_sets = sets[:-2] if slot == "w" else sets[1:-1]
    for guess, cost in _told_readings(spec, given):
        full = len(guess) == spec.rank + 2
        if not full and len(guess) != spec.rank:
            continue
        canonical = spec.layout.canonical(slot, guess) if full else guess
        edited = _edited(spec, slot, canonical, sets if full else spatial_sets)
        if edited is None:
            continue
        sizes, extra = edited
        value = spec.layout.caller(slot, sizes) if full else sizes
        yield Change(argument, value, cost + extra + tie, f"pass {argument}={value}")
    entries = entries_of(given)
    if entries is not None and None not in map(_size, entries):
        yield from _told_orders(spec, argument, slot, tuple(entries), tie)
    if argument == "output_shape":
        yield Change(argument, None, 2.5, "leave output_shape out")


def _told_orders(
    spec: Spec, argument: str, slot: str, entries: Sizes, tie: float
) -> Iterator[Change]:
    """The told sizes in another order."""
    names = spec.layout.name(slot)
    if len(entries) == spec.rank + 2:
        for order, cost in _orders(spec, slot, names):
            value = tuple(entries[order.index(letter)] for letter in names)
            if value != entries:
                cost += _plausibility(spec, slot, entries, spec.layout.canonical(slot, value))
                note = f"`{argument}` looks like {order}, where {names} is expected."
                text = f"pass {argument}={value}"
                yield Change(argument, value, cost + tie, text, note, reinterprets=True)
    elif len(entries) == spec.rank:
        for a, b in itertools.combinations(range(spec.rank), 2):
            swapped = list(entries)
            swapped[a], swapped[b] = swapped[b], swapped[a]
            value = tuple(swapped)
            if value != entries:
                note = f"Two sizes of `{argument}` have changed places."
                text = f"pass {argument}={value}"
                yield Change(argument, value, 0.9 + tie, text, note, reinterprets=True)


def _told_readings(spec: Spec, given: Any) -> Iterator[tuple[Sizes, float]]:
    """What was told as sizes, None for those that cannot be read, and the cost of the reading."""
    shape = getattr(given, "shape", None)
    if isinstance(shape, tuple) and len(shape) >= spec.rank:
        yield shape, 0.2  # the array was passed where its shape is meant
    entries = entries_of(given)
    if entries is None:
        number = number_in(given) if given is not None else None
        yield (None if number is None else abs(number),) * spec.rank, 0.3
        return
    sizes = tuple(_size(v) for v in entries)
    length, rank = len(sizes), spec.rank
    if length in (rank, rank + 2):
        yield sizes, 0.0
        return
    for target, dearer in ((rank + 2, 0.0), (rank, 0.3)):
        if length < target <= length + 2:
            for places in itertools.combinations(range(target), target - length):
                rest = iter(sizes)
                yield (
                    tuple(None if p in places else next(rest) for p in range(target)),
                    (0.5 * len(places) + dearer),
                )
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
