"""Ways to compute a leg wrongly: the oracle with a part of it exchanged.

Each function here returns a mistake: a function from an Item to the array that an implementation
with a certain bug would return, or to None where that bug is impossible. Where the bug changes
nothing, the mistake gives the right array.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jconv.testing.oracle import reference
from jconv.testing.oracle.case import Case, shapes_of, with_rows
from jconv.testing.oracle.legs import Array, Item, leg

Axis = reference.Axis
Mistake = Callable[[Item], Array | None]
Term = tuple[int, int, int]  # i, o, k
Channels = Callable[[int, int, int], Sequence[int]]  # (group, its size, groups) -> its channels


def blocked(group: int, size: int, groups: int) -> Sequence[int]:
    """The right channels of a group: adjacent ones."""
    return range(group * size, (group + 1) * size)


def interleaved(group: int, size: int, groups: int) -> Sequence[int]:
    """Channels dealt to the groups one by one."""
    return range(group, size * groups, groups)


def rotated(group: int, size: int, groups: int) -> Sequence[int]:
    """The channels of the next group."""
    return blocked((group + 1) % groups, size, groups)


def first_group(group: int, size: int, groups: int) -> Sequence[int]:
    return range(size)


def wrong_leg(
    item: Item,
    *,
    call: reference.Call | None = None,
    change: Callable[[list[Axis]], list[Axis]] = lambda axes: axes,
    terms: Callable[[Axis], list[Term]] = Axis.terms,
    inputs: Channels = blocked,
    outputs: Channels = blocked,
) -> Array:
    """The item's leg, with some part of the sum over the index equation exchanged.

    Args:
        item: whose operands and sizes are used.
        call: other settings.
        change: of the index equation of each axis.
        terms: which (i, o, k) of an axis are summed.
        inputs: which channels of x a group has.
        outputs: which channels of y a group has.
    """
    case = item.case
    arrays = dict(item.operands)
    dtype = np.result_type(*arrays.values(), np.int64)
    arrays[item.out] = np.zeros(shapes_of(case)[item.out], dtype)
    x, w, y = (np.transpose(arrays[s], order) for s, order in case.call.orders().items())
    axes = change((call or case.call).axes(x.shape[1:-1], w.shape[:-2]))
    axes = [dataclasses.replace(a, o=o) for a, o in zip(axes, y.shape[1:-1], strict=True)]
    groups = case.call.groups
    c, f = w.shape[-2], w.shape[-1] // groups
    for group in range(groups):
        ins, outs = list(inputs(group, c, groups)), list(outputs(group, f, groups))
        own = slice(group * f, (group + 1) * f)  # the filter itself is not reordered
        for triples in itertools.product(*(terms(axis) for axis in axes)):
            i, o, k = zip(*triples, strict=True)
            xi, wk, yo = (slice(None), *i, ins), (*k, slice(None), own), (slice(None), *o, outs)
            if item.out == "x":
                x[xi] += y[yo] @ w[wk].T
            elif item.out == "w":
                w[wk] += x[xi].T @ y[yo]
            else:
                y[yo] += x[xi] @ w[wk]
    return arrays[item.out]


def summed(**changes: Any) -> Mistake:
    """`wrong_leg` with these keywords."""
    return lambda item: wrong_leg(item, **changes)


def each_axis(change: Callable[[Axis], Axis]) -> Mistake:
    """The same mistake on every axis."""
    return lambda item: wrong_leg(item, change=lambda axes: [change(axis) for axis in axes])


def one_axis(at: int, change: Callable[[Axis], Axis]) -> Mistake:
    """A mistake on one of several axes alone."""

    def changed(axes: list[Axis]) -> list[Axis]:
        return [change(a) if n == at % len(axes) else a for n, a in enumerate(axes)]

    return lambda item: wrong_leg(item, change=changed) if item.case.rank > 1 else item.expected


def any_axis(change: Callable[[Axis], Axis]) -> tuple[Mistake, ...]:
    """The same mistake on every axis, on the first, on the second or on the last."""
    return each_axis(change), *(one_axis(at, change) for at in (0, 1, -1))


def settings(change: Callable[[Case], dict[str, Any] | None]) -> tuple[Mistake, Mistake]:
    """Other keywords than were given: with the right sizes, or with the sizes that follow."""

    def changed(case: Case) -> Case | None:
        keywords = change(case)
        return dataclasses.replace(case, kwargs={**case.kwargs, **keywords}) if keywords else None

    def right_sizes(item: Item) -> Array:
        other = changed(item.case)
        return wrong_leg(item, call=other.call) if other else item.expected

    def own_sizes(item: Item) -> Array | None:
        other = changed(item.case)
        return leg(other, "y", item.operands) if other and item.out == "y" else None

    return right_sizes, own_sizes


def operands(change: Callable[[str, Array, Item], Array]) -> Mistake:
    """The right leg on other operands: `change(slot, array, item)`."""

    def mistake(item: Item) -> Array:
        changed = {slot: change(slot, array, item) for slot, array in item.operands.items()}
        return leg(item.case, item.out, changed)

    return mistake


def result(change: Callable[[Array, Item], Array | None]) -> Mistake:
    """The right array, changed: `change(array, item)`."""
    return lambda item: change(item.expected, item)


def mixed(choose: Callable[[list[Array], int], Array | None]) -> Mistake:
    """vmap's results in disorder: `choose` is given the right ones, and this one's place."""

    def mistake(item: Item) -> Array | None:
        mapped, at = _mapped_with(item)
        return choose([other.expected for other in mapped], at) if len(mapped) > 1 else None

    return mistake


def mispaired(partner: Callable[[int, int], int]) -> Mistake:
    """vmap's second operand taken from another place: `partner(place, number of places)`."""

    def mistake(item: Item) -> Array | None:
        mapped, at = _mapped_with(item)
        if len(mapped) < 2:
            return None
        other = mapped[partner(at, len(mapped))]
        last = list(item.operands)[-1]
        return leg(item.case, item.out, {**item.operands, last: other.operands[last]})

    return mistake


def _mapped_with(item: Item) -> tuple[list[Item], int]:
    """The items of an answer that are legs of one slot, and the place of this one."""
    mapped = [other for other in item.stack if other.out == item.out]
    return mapped, next((n for n, other in enumerate(mapped) if other.index == item.index), 0)


def resized(sizes: Callable[[Item], Sequence[int] | None]) -> Mistake:
    """The gradient in x with other spatial sizes than were asked for."""

    def mistake(item: Item) -> Array | None:
        rows = sizes(item) if item.out == "x" else None
        if rows is None or min(rows) < 0:
            return None
        return leg(with_rows(item.case, rows), "x", item.operands)

    return mistake


def refilled(sizes: Callable[[Item], Sequence[int] | None], *, at_start: bool) -> Mistake:
    """The gradient in x with smaller spatial sizes, filled up with zeros to the right ones."""

    def mistake(item: Item) -> Array | None:
        rows = sizes(item) if item.out == "x" else None
        if rows is None or min(rows) < 0:
            return None
        order = item.case.call.orders()["x"]
        smaller = dataclasses.replace(item, case=with_rows(item.case, rows))
        have = np.transpose(wrong_leg(smaller), order)
        full = np.transpose(np.zeros(item.case.x_shape, have.dtype), order)
        kept = [
            slice(n - m, n) if at_start else slice(m)
            for n, m in zip(full.shape, have.shape, strict=True)
        ]
        full[(slice(None), *kept[1:-1], slice(None))] = have
        return np.transpose(full, np.argsort(order))

    return mistake
