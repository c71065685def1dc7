"""Bugs of convolutions as mistakes: functions to the wrong array that a bug leads to.

First bugs in settings, then in the sum, in sizes, in the batch, and in what vmap maps over.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from jconv.testing.causes import wrong_legs as wrong
from jconv.testing.causes.wrong_legs import Axis, Mistake
from jconv.testing.oracle.case import Case, axes_of, per_axis, remainder, rows_of, transposed_rows
from jconv.testing.oracle.legs import Array, Item

# --- settings -------------------------------------------------------------------------------


def without(name: str) -> tuple[Mistake, ...]:
    """A stride or dilation ignored."""
    return wrong.settings(lambda case: {name: 1} if max(per_axis(case, name)) > 1 else None)


def axes_reversed(name: str) -> tuple[Mistake, ...]:
    """The entries of a stride or dilation in reverse order."""
    return wrong.settings(lambda case: {name: per_axis(case, name)[::-1]})


def first_axis_alone(name: str) -> tuple[Mistake, ...]:
    """The first axis' stride or dilation used for all axes."""
    return wrong.settings(lambda case: {name: per_axis(case, name)[0]})


def rule(case: Case) -> Any:
    """The padding as it was given, a name in capitals."""
    padding = case.kwargs.get("padding", "SAME")
    return padding.upper() if isinstance(padding, str) else padding


def taken_for(given: str, other: str) -> tuple[Mistake, ...]:
    """One named padding taken for another."""
    return wrong.settings(lambda case: {"padding": other} if rule(case) == given else None)


def repadded(change: Callable[[list[tuple[int, int]]], Any]) -> tuple[Mistake, ...]:
    """The (low, high) pairs of an explicit padding changed."""

    def keywords(case: Case) -> dict[str, Any] | None:
        pairs = [(p[0], p[1]) for p in case.call.paddings() if isinstance(p, tuple)]
        return {"padding": change(pairs)} if pairs else None

    return wrong.settings(keywords)


def mode(given: str, other: str) -> tuple[Mistake, ...]:
    """One padding mode taken for another."""
    return wrong.settings(
        lambda case: {"padding_mode": other} if case.kwargs.get("padding_mode") == given else None
    )


def same_without(name: str) -> Mistake:
    """SAME's and CAUSAL's pads worked out as if a setting were 1; all else is done right."""

    def change(item: Item) -> Array:
        case = item.case
        if not isinstance(rule(case), str):
            return item.expected
        pads = axes_of(replace(case, kwargs={**case.kwargs, name: 1}))
        return wrong.wrong_leg(
            item, change=lambda axes: [replace(a, p0=p.p0) for a, p in zip(axes, pads, strict=True)]
        )

    return change


def half_kernel(axis: Axis) -> Axis:
    """The low padding that is SAME's for stride 1."""
    return replace(axis, p0=(axis.d * (axis.k - 1)) // 2)


def only_same(mistake: Mistake) -> Mistake:
    """A bug under SAME and SAME_LOWER alone."""
    return lambda item: (
        mistake(item) if rule(item.case) in ("SAME", "SAME_LOWER") else item.expected
    )


def lax_transpose_pads(axis: Axis) -> Axis:
    """The padding of a convolution whose input backprop pads as lax.conv_transpose's SAME does."""
    window = axis.d * (axis.k - 1) + 1
    total = window + axis.s - 2
    low = window - 1 if axis.s > window - 1 else -(-total // 2)
    return replace(axis, p0=window - 1 - low)


# --- the sum --------------------------------------------------------------------------------


def flip(axis: Axis) -> list[wrong.Term]:
    """The terms of an axis with the filter's taps in reverse order."""
    return [(i, o, axis.k - 1 - k) for i, o, k in axis.terms()]


def flip_one(at: int) -> Mistake:
    """The filter flipped along one axis alone."""

    def mistake(item: Item) -> Array:
        calls = itertools.count()  # `terms` is called for each axis in turn

        def terms(axis: Axis) -> list[wrong.Term]:
            chosen = next(calls) % item.case.rank == at % item.case.rank
            return flip(axis) if chosen else axis.terms()

        return wrong.wrong_leg(item, terms=terms)

    return mistake


def dropping(keep: Callable[[Axis, int, int, int], bool]) -> Mistake:
    """The sum without some terms: `keep(axis, i, o, k)` says which stay."""
    return wrong.summed(terms=lambda axis: [t for t in axis.terms() if keep(axis, *t)])


def transposed_matrices(array: Array, case: Case) -> Array:
    """The channel matrix of each tap and group transposed, if it is square."""
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
    """The memory of each tap's (O, I) matrix read as an (I, O) matrix."""
    order = case.call.orders()["w"]
    w = np.transpose(array, order)
    other = np.ascontiguousarray(w.swapaxes(-1, -2)).reshape(w.shape)
    return np.transpose(other, np.argsort(order))


def on_filter(change: Callable[[Array, Case], Array]) -> tuple[Mistake, Mistake]:
    """A change of the filter before it is used, and the same change of the filter's gradient."""
    reading = wrong.operands(lambda s, a, item: change(a, item.case) if s == "w" else a)
    writing = wrong.result(lambda a, item: change(a, item.case) if item.out == "w" else a)
    return reading, writing


def dealt_outputs(array: Array, case: Case) -> Array:
    """The filter's output channels dealt to the groups one by one."""
    return array.take(_dealt(case), case.call.orders()["w"][-1])


def gathered_outputs(array: Array, case: Case) -> Array:
    """The filter's output channels with one of each group in turn: undoes `dealt_outputs`."""
    return array.take(np.argsort(_dealt(case)), case.call.orders()["w"][-1])


def _dealt(case: Case) -> list[int]:
    groups = case.call.groups
    size = case.call.read("w", case.w_shape)[-1] // groups
    return [n for group in range(groups) for n in wrong.interleaved(group, size, groups)]


def without_last(at: int) -> Callable[[Array, Case], Array]:
    """Zeros in place of each group's last input channel (at=-2) or output channel (at=-1)."""

    def change(array: Array, case: Case) -> Array:
        order = case.call.orders()["w"]
        w = np.transpose(array, order).copy()
        size = w.shape[-2] if at == -2 else w.shape[-1] // case.call.groups
        if size > 1:
            np.moveaxis(w, at, 0)[size - 1 :: size] = 0
        return np.transpose(w, np.argsort(order))

    return change


def transposed_axes(array: Array, case: Case) -> Array:
    """The filter with its spatial axes in reverse order."""
    order = case.call.orders()["w"]
    w = np.transpose(array, order)
    taps = [*range(case.rank)][::-1]
    return np.transpose(np.transpose(w, (*taps, case.rank, case.rank + 1)), np.argsort(order))


def conjugated(slots: str) -> Mistake:
    return wrong.operands(lambda s, a, item: a.conj() if s in slots else a)


def ones(slot: str) -> Mistake:
    """The array in a slot taken for ones."""
    return wrong.operands(lambda s, a, item: np.ones_like(a) if s == slot else a)


# --- sizes ----------------------------------------------------------------------------------


def natural_rows(item: Item) -> list[int] | None:
    """The size that conv_transpose chooses when it is given none."""
    return transposed_rows(item.case) if item.case.transposable else None


def smallest(item: Item) -> list[int] | None:
    """The size of conv_transpose's result without `output_padding`."""
    return transposed_rows(item.case, 0) if item.case.transposable else None


def extra_in_front(item: Item) -> Array:
    """The rows that `output_padding` adds placed before the others."""
    least = smallest(item)
    if least is None:
        return item.expected
    return wrong.wrong_leg(
        item,
        change=lambda axes: [
            replace(a, p0=a.p0 - (a.i - n)) for a, n in zip(axes, least, strict=True)
        ],
    )


def strides_times_rows(item: Item) -> list[int]:
    """Each size of y times the stride, whatever else is set."""
    rows = zip(per_axis(item.case, "stride"), rows_of(item.case, "y"), strict=True)
    return [s * o for s, o in rows]


def whole_taps(axis: Axis) -> int:
    """The remainder rounded down to a multiple of the dilation."""
    return remainder(axis) // axis.d * axis.d


def without_remainder(item: Item) -> list[int] | None:
    """The sizes of x less the rows that no window reaches."""
    if max(per_axis(item.case, "input_dilation")) > 1:
        return None
    return [axis.i - remainder(axis) for axis in axes_of(item.case)]


def by_output_padding(mistake: Mistake) -> Mistake:
    """A bug where the size is given by `output_padding` alone."""
    return lambda item: mistake(item) if item.given == "output_padding" else item.expected


# --- the batch ------------------------------------------------------------------------------


def first_of_batch(slot: str, array: Array, item: Item) -> Array:
    """x or y with zeros for every example but the first."""
    if slot == "w":
        return array
    kept = array.copy()
    np.moveaxis(kept, item.case.call.orders()[slot][0], 0)[1:] = 0
    return kept


def first_for_all(array: Array, item: Item) -> Array:
    """The result of the first example for every example."""
    if item.out == "w" or not array.size:
        return array
    first = array.take([0], item.case.call.orders()[item.out][0])
    return np.broadcast_to(first, array.shape)


def batch_mean(array: Array, item: Item) -> Array:
    """The filter's gradient divided by the batch size."""
    n = item.case.call.read("x", item.case.x_shape)[0]
    return array / n if item.out == "w" and n else array


# --- vmap -----------------------------------------------------------------------------------


def faster_in(axis: int) -> Mistake:
    """The mapped axis, which was merged with `axis` as its slower part, split off as its faster."""

    def choose(stack: list[Array], at: int) -> Array | None:
        whole = np.concatenate(stack, axis)
        slices = [slice(None)] * whole.ndim
        slices[axis] = slice(at, None, len(stack))
        return whole[tuple(slices)]

    return wrong.mixed(choose)
