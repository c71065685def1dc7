"""Bugs of convolutions, each as the answer that it leads to: what the causes are made of.

Those of settings, of the sum, of sizes, of the batch and of what maps over it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from jconv.testing import _reference as reference
from jconv.testing import _wrong as wrong
from jconv.testing._cases import Case
from jconv.testing._questions import Array, Item
from jconv.testing._wrong import Answer, Axis

# --- settings -------------------------------------------------------------------------------


def each(case: Case, name: str) -> list[int]:
    value = case.kwargs.get(name, 1)
    return [value] * case.rank if isinstance(value, int) else list(value)


def without(name: str) -> tuple[Answer, ...]:
    return wrong.settings(lambda case: {name: 1} if max(each(case, name)) > 1 else None)


def reversed(name: str) -> tuple[Answer, ...]:
    return wrong.settings(lambda case: {name: each(case, name)[::-1]})


def first_axis_alone(name: str) -> tuple[Answer, ...]:
    return wrong.settings(lambda case: {name: each(case, name)[0]})


def rule(case: Case) -> Any:
    padding = case.kwargs.get("padding", "SAME")
    return padding.upper() if isinstance(padding, str) else padding


def taken_for(given: str, other: str) -> tuple[Answer, ...]:
    return wrong.settings(lambda case: {"padding": other} if rule(case) == given else None)


def told_pairs(case: Case) -> list[tuple[int, int]] | None:
    if isinstance(rule(case), str):
        return None
    return [(p[0], p[1]) for p in case.call.paddings() if isinstance(p, tuple)]


def repadded(change: Callable[[list[tuple[int, int]]], Any]) -> tuple[Answer, ...]:
    def keywords(case: Case) -> dict[str, Any] | None:
        pairs = told_pairs(case)
        return None if pairs is None else {"padding": change(pairs)}

    return wrong.settings(keywords)


def mode(given: str, other: str) -> tuple[Answer, ...]:
    return wrong.settings(
        lambda case: {"padding_mode": other} if case.kwargs.get("padding_mode") == given else None
    )


def same_without(name: str) -> Answer:
    """SAME's and CAUSAL's pads worked out as if a setting were 1; everything else with it."""

    def change(item: Item) -> Array:
        case = item.case
        if not isinstance(rule(case), str):
            return item.expected
        pads = wrong.axes_of(replace(case, kwargs={**case.kwargs, name: 1}))
        return wrong.form(
            item, change=lambda axes: [replace(a, p0=p.p0) for a, p in zip(axes, pads, strict=True)]
        )

    return change


def half_kernel(axis: Axis) -> Axis:
    return replace(axis, p0=(axis.d * (axis.k - 1)) // 2)


def only_same(answer: Answer) -> Answer:
    return lambda item: answer(item) if rule(item.case) in ("SAME", "SAME_LOWER") else item.expected


def lax_transpose_pads(axis: Axis) -> Axis:
    """lax.conv_transpose's SAME: pads of the dilated input, as forward ones."""
    window = axis.d * (axis.k - 1) + 1
    total = window + axis.s - 2
    low = window - 1 if axis.s > window - 1 else -(-total // 2)
    return replace(axis, p0=window - 1 - low)


# --- pieces of the sum ----------------------------------------------------------------------


def flip(axis: Axis) -> list[wrong.Term]:
    return [(i, o, axis.k - 1 - k) for i, o, k in axis.terms()]


def flip_one(at: int) -> Answer:
    def change(item: Item) -> Array:
        count = iter(range(10**9))

        def terms(axis: Axis) -> list[wrong.Term]:
            return (
                flip(axis) if next(count) % item.case.rank == at % item.case.rank else axis.terms()
            )

        return wrong.form(item, terms=terms)

    return change


def dropping(keep: Callable[[Axis, int, int, int], bool]) -> Answer:
    return wrong.summed(terms=lambda axis: [t for t in axis.terms() if keep(axis, *t)])


def transposed_matrices(array: Array, case: Case) -> Array:
    """Each tap's matrix of one group with inputs and outputs exchanged, if it is square."""
    order = case.call.orders()["w"]
    w = np.transpose(array, order)
    groups = case.call.groups
    c, f = w.shape[-2], w.shape[-1] // groups
    if c != f:
        return array
    parts = w.reshape(*w.shape[:-1], groups, f)
    parts = np.moveaxis(np.swapaxes(np.moveaxis(parts, -2, 0), -1, -2), 0, -2)
    return np.transpose(parts.reshape(w.shape), np.argsort(order))


def reread_matrices(array: Array, case: Case) -> Array:
    """The memory of an (O, I) matrix read as (I, O)."""
    order = case.call.orders()["w"]
    w = np.transpose(array, order)
    other = np.ascontiguousarray(w.swapaxes(-1, -2)).reshape(w.shape)
    return np.transpose(other, np.argsort(order))


def on_filter(change: Callable[[Array, Case], Array]) -> tuple[Answer, Answer]:
    """A mistake in reading the filter, and the same in writing it."""
    reading = wrong.operands(lambda s, a, item: change(a, item.case) if s == "w" else a)
    writing = wrong.result(lambda a, item: change(a, item.case) if item.out == "w" else a)
    return reading, writing


def dealt_outputs(array: Array, case: Case) -> Array:
    """The outputs of a filter dealt to the groups one by one."""
    return array.take(_dealt(case), case.call.orders()["w"][-1])


def gathered_outputs(array: Array, case: Case) -> Array:
    """The reverse: those of all groups in turn."""
    return array.take(np.argsort(_dealt(case)), case.call.orders()["w"][-1])


def _dealt(case: Case) -> list[int]:
    groups = case.call.groups
    size = case.call.read("w", case.w_shape)[-1] // groups
    return [n for group in range(groups) for n in wrong.interleaved(group, size, groups)]


def without_last(at: int) -> Callable[[Array, Case], Array]:
    """Nothing of each group's last input (-2) or output channel (-1)."""

    def change(array: Array, case: Case) -> Array:
        order = case.call.orders()["w"]
        w = np.transpose(array, order).copy()
        size = w.shape[-2] if at == -2 else w.shape[-1] // case.call.groups
        if size > 1:
            np.moveaxis(w, at, 0)[size - 1 :: size] = 0
        return np.transpose(w, np.argsort(order))

    return change


def transposed_axes(array: Array, case: Case) -> Array:
    order = case.call.orders()["w"]
    w = np.transpose(array, order)
    taps = [*range(case.rank)][::-1]
    return np.transpose(np.transpose(w, (*taps, case.rank, case.rank + 1)), np.argsort(order))


def conjugated(slots: str) -> Answer:
    return wrong.operands(lambda s, a, item: a.conj() if s in slots else a)


def ones(slot: str) -> Answer:
    return wrong.operands(lambda s, a, item: np.ones_like(a) if s == slot else a)


# --- sizes ----------------------------------------------------------------------------------


def told_none(item: Item) -> list[int] | None:
    call, case = item.case.call, item.case
    if not case.transposable:
        return None
    outputs, kernel = call.read("y", case.y_shape)[1:-1], call.read("w", case.w_shape)[:-2]
    return reference.transposed_sizes(call, outputs, kernel)


def smallest(item: Item) -> list[int] | None:
    call, case = item.case.call, item.case
    outputs, kernel = call.read("y", case.y_shape)[1:-1], call.read("w", case.w_shape)[:-2]
    return reference.transposed_sizes(call, outputs, kernel, 0) if case.transposable else None


def extra_in_front(item: Item) -> Array:
    """The rows of the output_padding before the others."""
    least = smallest(item)
    if least is None:
        return item.expected
    return wrong.form(
        item,
        change=lambda axes: [
            replace(a, p0=a.p0 - (a.i - n)) for a, n in zip(axes, least, strict=True)
        ],
    )


def strides_times_rows(item: Item) -> list[int]:
    outputs = item.case.call.read("y", item.case.y_shape)[1:-1]
    return [s * o for s, o in zip(each(item.case, "stride"), outputs, strict=True)]


def whole_taps(axis: Axis) -> int:
    """The remainder as far as it holds whole taps."""
    return wrong.remainder(axis) // axis.d * axis.d


def without_remainder(item: Item) -> list[int] | None:
    axes = wrong.axes_of(item.case)
    return (
        [a.i - wrong.remainder(a) for a in axes]
        if max(each(item.case, "input_dilation")) == 1
        else None
    )


def only_transposed(answer: Answer, told: str) -> Answer:
    return lambda item: answer(item) if item.told == told else item.expected


# --- the batch ------------------------------------------------------------------------------


def batch_axis(slot: str, case: Case) -> int:
    return case.call.orders()[slot][0]


def first_of_batch(slot: str, array: Array, item: Item) -> Array:
    if slot == "w":
        return array
    at = batch_axis(slot, item.case)
    kept = np.zeros_like(array)
    first = tuple(slice(0, 1) if axis == at else slice(None) for axis in range(array.ndim))
    kept[first] = array[first]
    return kept


def first_for_all(array: Array, item: Item) -> Array:
    if item.out == "w" or not array.size:
        return array
    first = array.take([0], batch_axis(item.out, item.case))
    return np.broadcast_to(first, array.shape)


def batch_mean(array: Array, item: Item) -> Array:
    n = item.case.call.read("x", item.case.x_shape)[0]
    return array / n if item.out == "w" and n else array


# --- transformations ------------------------------------------------------------------------


def faster_in(axis: int) -> Answer:
    """The mapped axis unfolded from `axis` as if it had been its faster part."""

    def choose(stack: list[Array], at: int) -> Array | None:
        whole = np.concatenate(stack, axis)
        slices = [slice(None)] * whole.ndim
        slices[axis] = slice(at, None, len(stack))
        return whole[tuple(slices)]

    return wrong.mixed(choose)
