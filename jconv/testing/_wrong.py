"""The oracle with a bug: ways to compute a leg wrongly, out of which the causes are made.

Each function here makes an answer: a function from an Item to the array that an implementation
with that bug would return, or None where the bug cannot be committed. An answer that the bug does
not change is the right one.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jconv.testing import _reference as reference
from jconv.testing._cases import Case
from jconv.testing._questions import Array, Item, leg

Axis = reference.Axis
Answer = Callable[[Item], Array | None]
Term = tuple[int, int, int]  # i, o, k
Channels = Callable[[int, int, int], Sequence[int]]  # group, channels in it, groups -> which


def blocked(group: int, size: int, groups: int) -> Sequence[int]:
    return range(group * size, (group + 1) * size)


def interleaved(group: int, size: int, groups: int) -> Sequence[int]:
    return range(group, size * groups, groups)


def rotated(group: int, size: int, groups: int) -> Sequence[int]:
    return blocked((group + 1) % groups, size, groups)


def first_group(group: int, size: int, groups: int) -> Sequence[int]:
    return range(size)


def form(
    item: Item,
    *,
    call: reference.Call | None = None,
    change: Callable[[list[Axis]], list[Axis]] = lambda axes: axes,
    terms: Callable[[Axis], list[Term]] = Axis.terms,
    inputs: Channels = blocked,
    outputs: Channels = blocked,
) -> Array:
    """The sum over the index equation, with any part of it exchanged; sizes stay as they are."""
    case = item.case
    arrays = dict(item.operands)
    shapes = {"x": case.x_shape, "w": case.w_shape, "y": case.y_shape}
    dtype = np.result_type(*arrays.values(), np.int64)
    arrays[item.out] = np.zeros(shapes[item.out], dtype)
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


def summed(**changes: Any) -> Answer:
    return lambda item: form(item, **changes)


def each_axis(change: Callable[[Axis], Axis]) -> Answer:
    """The same mistake on every axis."""
    return lambda item: form(item, change=lambda axes: [change(axis) for axis in axes])


def one_axis(at: int, change: Callable[[Axis], Axis]) -> Answer:
    """A mistake on one of several axes alone."""

    def changed(axes: list[Axis]) -> list[Axis]:
        return [change(a) if n == at % len(axes) else a for n, a in enumerate(axes)]

    return lambda item: form(item, change=changed) if item.case.rank > 1 else item.expected


def any_axis(change: Callable[[Axis], Axis]) -> tuple[Answer, ...]:
    """The same mistake on every axis, on the first, on the second or on the last."""
    return each_axis(change), *(one_axis(at, change) for at in (0, 1, -1))


def settings(change: Callable[[Case], dict[str, Any] | None]) -> tuple[Answer, Answer]:
    """Other keywords than were given: with the right sizes, or with those that follow."""

    def other_call(item: Item) -> reference.Call | None:
        keywords = change(item.case)
        changed = {**item.case.kwargs, **keywords} if keywords else None
        return reference.Call(item.case.rank, **changed) if changed else None

    def kept(item: Item) -> Array:
        return form(item, call=other_call(item))

    def own_sizes(item: Item) -> Array | None:
        keywords = change(item.case)
        if item.out != "y" or not keywords:
            return None
        return reference.conv(
            item.operands["x"], item.operands["w"], **{**item.case.kwargs, **keywords}
        )

    return kept, own_sizes


def operands(change: Callable[[str, Array, Item], Array]) -> Answer:
    """The right leg of other operands: `change` is given slot, array and item."""

    def answer(item: Item) -> Array:
        changed = {slot: change(slot, array, item) for slot, array in item.operands.items()}
        return leg(item.case, item.out, changed)

    return answer


def result(change: Callable[[Array, Item], Array | None]) -> Answer:
    """Something done to the right result."""
    return lambda item: change(item.expected, item)


def mixed(choose: Callable[[list[Array], int], Array | None]) -> Answer:
    """A transformation's answers in disorder: `choose` is given all right ones, and which it is."""

    def answer(item: Item) -> Array | None:
        alike = [other for other in item.stack if other.out == item.out]
        if len(alike) < 2:
            return None
        at = next(n for n, other in enumerate(alike) if other.index == item.index)
        return choose([other.expected for other in alike], at)

    return answer


def mispaired(partner: Callable[[int, int], int]) -> Answer:
    """A mapped operand taken from another place: `partner` is given the place and their number."""

    def answer(item: Item) -> Array | None:
        alike = [other for other in item.stack if other.out == item.out]
        if len(alike) < 2:
            return None
        at = next(n for n, other in enumerate(alike) if other.index == item.index)
        other = alike[partner(at, len(alike))]
        last = list(item.operands)[-1]
        return leg(item.case, item.out, {**item.operands, last: other.operands[last]})

    return answer


def resized(sizes: Callable[[Item], Sequence[int] | None]) -> Answer:
    """The gradient in x, at other spatial sizes than were asked for."""

    def answer(item: Item) -> Array | None:
        other = sizes(item) if item.out == "x" else None
        if other is None or min(other) < 0:
            return None
        return leg(_with_rows(item.case, other), "x", item.operands)

    return answer


def refilled(sizes: Callable[[Item], Sequence[int] | None], *, at_start: bool) -> Answer:
    """The gradient in x at smaller sizes, filled up with zeros to those that were asked for."""

    def answer(item: Item) -> Array | None:
        small = sizes(item) if item.out == "x" else None
        if small is None or min(small) < 0:
            return None
        order = item.case.call.orders()["x"]
        have = np.transpose(form(_shrunk(item, small)), order)
        full = np.transpose(np.zeros(item.case.x_shape, have.dtype), order)
        rows = [
            slice(n - m, n) if at_start else slice(m)
            for n, m in zip(full.shape, have.shape, strict=True)
        ]
        full[(slice(None), *rows[1:-1], slice(None))] = have
        return np.transpose(full, np.argsort(order))

    return answer


def _shrunk(item: Item, sizes: Sequence[int]) -> Item:
    return dataclasses.replace(item, case=_with_rows(item.case, sizes))


def _with_rows(case: Case, sizes: Sequence[int]) -> Case:
    n, *_, c = case.call.read("x", case.x_shape)
    return dataclasses.replace(case, x_shape=case.call.write("x", (n, *sizes, c)))


def axes_of(case: Case) -> list[Axis]:
    call = case.call
    return call.axes(call.read("x", case.x_shape)[1:-1], call.read("w", case.w_shape)[:-2])


def remainder(axis: Axis) -> int:
    """Rows of the padded input that are never read."""
    rows = axis.b * (axis.i - 1) + 1 if axis.i else 0
    window = axis.d * (axis.k - 1) + 1 if axis.k else 0
    return max(rows + axis.p0 + axis.p1 - window, 0) % axis.s
