"""The causes that a report can name, each with the wrong oracles that show its symptoms.

A cause is believed when one of its answers is the implementation's own wrong answer, in every
failing case that was looked at, and the right one wherever the implementation was right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from jconv.testing import _reference as reference
from jconv.testing import _wrong as wrong
from jconv.testing._cases import Case
from jconv.testing._questions import Array, Item
from jconv.testing._wrong import Answer, Axis

replace = dataclasses.replace
MODES = ("reflect", "edge", "circular")


@dataclasses.dataclass(frozen=True)
class Cause:
    """A bug by name, what to look at, and the answers that it may lead to."""

    name: str
    text: str
    answers: tuple[Answer, ...]


# --- settings -------------------------------------------------------------------------------


def _each(case: Case, name: str) -> list[int]:
    value = case.kwargs.get(name, 1)
    return [value] * case.rank if isinstance(value, int) else list(value)


def _without(name: str) -> tuple[Answer, ...]:
    return wrong.settings(lambda case: {name: 1} if max(_each(case, name)) > 1 else None)


def _reversed(name: str) -> tuple[Answer, ...]:
    return wrong.settings(lambda case: {name: _each(case, name)[::-1]})


def _first_axis_alone(name: str) -> tuple[Answer, ...]:
    return wrong.settings(lambda case: {name: _each(case, name)[0]})


def _rule(case: Case) -> Any:
    padding = case.kwargs.get("padding", "SAME")
    return padding.upper() if isinstance(padding, str) else padding


def _taken_for(given: str, other: str) -> tuple[Answer, ...]:
    return wrong.settings(lambda case: {"padding": other} if _rule(case) == given else None)


def _pairs(case: Case) -> list[tuple[int, int]] | None:
    if isinstance(_rule(case), str):
        return None
    return [(p[0], p[1]) for p in case.call.paddings() if isinstance(p, tuple)]


def _repadded(change: Callable[[list[tuple[int, int]]], Any]) -> tuple[Answer, ...]:
    def keywords(case: Case) -> dict[str, Any] | None:
        pairs = _pairs(case)
        return None if pairs is None else {"padding": change(pairs)}

    return wrong.settings(keywords)


def _mode(given: str, other: str) -> tuple[Answer, ...]:
    return wrong.settings(
        lambda case: {"padding_mode": other} if case.kwargs.get("padding_mode") == given else None
    )


def _same_without(name: str) -> Answer:
    """SAME's and CAUSAL's pads worked out as if a setting were 1; everything else with it."""

    def change(item: Item) -> Array:
        case = item.case
        if not isinstance(_rule(case), str):
            return item.expected
        pads = wrong.axes_of(replace(case, kwargs={**case.kwargs, name: 1}))
        return wrong.form(
            item, change=lambda axes: [replace(a, p0=p.p0) for a, p in zip(axes, pads, strict=True)]
        )

    return change


def _half_kernel(axis: Axis) -> Axis:
    return replace(axis, p0=(axis.d * (axis.k - 1)) // 2)


def _only_same(answer: Answer) -> Answer:
    return lambda item: (
        answer(item) if _rule(item.case) in ("SAME", "SAME_LOWER") else item.expected
    )


def _lax_transpose_pads(axis: Axis) -> Axis:
    """lax.conv_transpose's SAME: pads of the dilated input, as forward ones."""
    window = axis.d * (axis.k - 1) + 1
    total = window + axis.s - 2
    low = window - 1 if axis.s > window - 1 else -(-total // 2)
    return replace(axis, p0=window - 1 - low)


# --- pieces of the sum ----------------------------------------------------------------------


def _flip(axis: Axis) -> list[wrong.Term]:
    return [(i, o, axis.k - 1 - k) for i, o, k in axis.terms()]


def _flip_one(at: int) -> Answer:
    def change(item: Item) -> Array:
        count = iter(range(10**9))

        def terms(axis: Axis) -> list[wrong.Term]:
            return (
                _flip(axis) if next(count) % item.case.rank == at % item.case.rank else axis.terms()
            )

        return wrong.form(item, terms=terms)

    return change


def _dropping(keep: Callable[[Axis, int, int, int], bool]) -> Answer:
    return wrong.summed(terms=lambda axis: [t for t in axis.terms() if keep(axis, *t)])


def _transposed_matrices(array: Array, case: Case) -> Array:
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


def _reread_matrices(array: Array, case: Case) -> Array:
    """The memory of an (O, I) matrix read as (I, O)."""
    order = case.call.orders()["w"]
    w = np.transpose(array, order)
    other = np.ascontiguousarray(w.swapaxes(-1, -2)).reshape(w.shape)
    return np.transpose(other, np.argsort(order))


def _on_filter(change: Callable[[Array, Case], Array]) -> tuple[Answer, Answer]:
    """A mistake in reading the filter, and the same in writing it."""
    reading = wrong.operands(lambda s, a, item: change(a, item.case) if s == "w" else a)
    writing = wrong.result(lambda a, item: change(a, item.case) if item.out == "w" else a)
    return reading, writing


def _transposed_axes(array: Array, case: Case) -> Array:
    order = case.call.orders()["w"]
    w = np.transpose(array, order)
    taps = [*range(case.rank)][::-1]
    return np.transpose(np.transpose(w, (*taps, case.rank, case.rank + 1)), np.argsort(order))


def _conjugated(slots: str) -> Answer:
    return wrong.operands(lambda s, a, item: a.conj() if s in slots else a)


def _ones(slot: str) -> Answer:
    return wrong.operands(lambda s, a, item: np.ones_like(a) if s == slot else a)


# --- sizes ----------------------------------------------------------------------------------


def _told_none(item: Item) -> list[int] | None:
    call, case = item.case.call, item.case
    if not case.transposable:
        return None
    outputs, kernel = call.read("y", case.y_shape)[1:-1], call.read("w", case.w_shape)[:-2]
    return reference.transposed_sizes(call, outputs, kernel)


def _smallest(item: Item) -> list[int] | None:
    call, case = item.case.call, item.case
    outputs, kernel = call.read("y", case.y_shape)[1:-1], call.read("w", case.w_shape)[:-2]
    return reference.transposed_sizes(call, outputs, kernel, 0) if case.transposable else None


def _strides_times_rows(item: Item) -> list[int]:
    outputs = item.case.call.read("y", item.case.y_shape)[1:-1]
    return [s * o for s, o in zip(_each(item.case, "stride"), outputs, strict=True)]


def _whole_taps(axis: Axis) -> int:
    """The remainder as far as it holds whole taps."""
    return wrong.remainder(axis) // axis.d * axis.d


def _without_remainder(item: Item) -> list[int] | None:
    axes = wrong.axes_of(item.case)
    return (
        [a.i - wrong.remainder(a) for a in axes]
        if max(_each(item.case, "input_dilation")) == 1
        else None
    )


def _only_transposed(answer: Answer, told: str) -> Answer:
    return lambda item: answer(item) if item.told == told else item.expected


# --- the batch ------------------------------------------------------------------------------


def _batch_axis(slot: str, case: Case) -> int:
    return case.call.orders()[slot][0]


def _first_of_batch(slot: str, array: Array, item: Item) -> Array:
    if slot == "w":
        return array
    at = _batch_axis(slot, item.case)
    kept = np.zeros_like(array)
    first = tuple(slice(0, 1) if axis == at else slice(None) for axis in range(array.ndim))
    kept[first] = array[first]
    return kept


def _first_for_all(array: Array, item: Item) -> Array:
    if item.out == "w" or not array.size:
        return array
    first = array.take([0], _batch_axis(item.out, item.case))
    return np.broadcast_to(first, array.shape)


def _batch_mean(array: Array, item: Item) -> Array:
    n = item.case.call.read("x", item.case.x_shape)[0]
    return array / n if item.out == "w" and n else array


# --- transformations ------------------------------------------------------------------------


def _faster_in(axis: int) -> Answer:
    """The mapped axis unfolded from `axis` as if it had been its faster part."""

    def choose(stack: list[Array], at: int) -> Array | None:
        whole = np.concatenate(stack, axis)
        slices = [slice(None)] * whole.ndim
        slices[axis] = slice(at, None, len(stack))
        return whole[tuple(slices)]

    return wrong.mixed(choose)


CAUSES: tuple[Cause, ...] = (
    Cause("zeros", "the result is zero: a gradient that is stopped, or an output never written",
          (wrong.result(lambda a, item: np.zeros_like(a)),)),
    Cause("sign", "the result has the wrong sign", (wrong.result(lambda a, item: -a),)),
    Cause("scale", "the result is doubled or halved: something is counted twice, or averaged",
          tuple(wrong.result(lambda a, item, by=by: a * by) for by in (2, 0.5))),
    Cause("flipped kernel",
          "the filter runs backwards: conv takes it as it is, both backprops flip it",
          (wrong.summed(terms=_flip), _flip_one(0), _flip_one(-1))),
    Cause("kernel axes exchanged", "the filter's spatial axes stand in the wrong order",
          _on_filter(_transposed_axes)),
    Cause("swapped channels", "the filter's input and output channels are exchanged",
          (*_on_filter(_transposed_matrices), *_on_filter(_reread_matrices))),
    Cause("group order", "channels are dealt to the groups in the wrong order: those of one group "
          "are adjacent, in x and in y",
          (wrong.summed(inputs=wrong.interleaved), wrong.summed(outputs=wrong.interleaved),
           wrong.summed(inputs=wrong.interleaved, outputs=wrong.interleaved))),
    Cause("groups read alike", "every group reads, or is given, the first group's channels",
          (wrong.summed(inputs=wrong.first_group), wrong.summed(outputs=wrong.first_group))),
    Cause("SAME pads the wrong side", "SAME puts an odd row of padding at the end",
          (_only_same(wrong.each_axis(lambda a: replace(a, p0=a.p1))),
           *_taken_for("SAME", "SAME_LOWER"))),
    Cause("SAME_LOWER taken for SAME", "SAME_LOWER puts an odd row of padding at the start",
          _taken_for("SAME_LOWER", "SAME")),
    Cause("CAUSAL taken for SAME", "CAUSAL puts all K-1 rows of padding at the start",
          _taken_for("CAUSAL", "SAME")),
    Cause("CAUSAL taken for VALID", "CAUSAL puts all K-1 rows of padding at the start",
          _taken_for("CAUSAL", "VALID")),
    Cause("pads exchanged", "low and high padding are exchanged",
          (wrong.each_axis(lambda a: replace(a, p0=a.p1)),
           *_repadded(lambda pairs: [pair[::-1] for pair in pairs]))),
    Cause("pads of the axes exchanged", "the axes' paddings stand in the wrong order",
          _repadded(lambda pairs: pairs[::-1])),
    Cause("low padding on both sides", "the low padding is used for the high one, or the reverse",
          (*_repadded(lambda pairs: [(p, p) for p, _ in pairs]),
           *_repadded(lambda pairs: [(p, p) for _, p in pairs]))),
    Cause("negative padding clipped", "a negative padding crops; it is not zero",
          (*_repadded(lambda pairs: [(max(p, 0), max(q, 0)) for p, q in pairs]),
           *_repadded(lambda pairs: [(max(p, 0), q) for p, q in pairs]),
           *_repadded(lambda pairs: [(p, max(q, 0)) for p, q in pairs]),
           *_repadded(lambda pairs: [(abs(p), abs(q)) for p, q in pairs]))),
    Cause("padding ignored", "explicit padding is not applied", _repadded(lambda pairs: 0)),
    Cause("SAME from the undilated kernel", "SAME and CAUSAL count K = d*(k-1)+1 rows, not k",
          (_same_without("dilation"),)),
    Cause("SAME from the undilated input", "SAME counts I = b*(i-1)+1 rows, not i",
          (_same_without("input_dilation"),)),
    Cause("SAME without its stride", "SAME's padding is max((o-1)*s + K - I, 0), which depends on "
          "the stride; (K-1)//2 is right for stride 1 alone",
          (_same_without("stride"), _only_same(wrong.each_axis(_half_kernel)))),
    Cause("pads of lax.conv_transpose", "the padding is that of the forward convolution, not that "
          "of the dilated input as in lax.conv_transpose",
          (wrong.each_axis(_lax_transpose_pads), _only_same(wrong.each_axis(_lax_transpose_pads)))),
    Cause("stride and dilation exchanged", "the filter backprop alone exchanges the two",
          (wrong.each_axis(lambda a: replace(a, s=a.d, d=a.s)),)),
    Cause("stride and input dilation exchanged", "the input backprop alone exchanges the two",
          (wrong.each_axis(lambda a: replace(a, s=a.b, b=a.s)),)),
    Cause("dilations exchanged", "the filter's and the input's dilation are exchanged",
          (wrong.each_axis(lambda a: replace(a, b=a.d, d=a.b)),)),
    Cause("dilation ignored", "the filter's taps are not `dilation` apart",
          (wrong.each_axis(lambda a: replace(a, d=1)), *_without("dilation"))),
    Cause("input dilation ignored", "the input's rows are not `input_dilation` apart",
          (wrong.each_axis(lambda a: replace(a, b=1)), *_without("input_dilation"))),
    Cause("stride ignored", "windows are not `stride` apart",
          (wrong.each_axis(lambda a: replace(a, s=1)), *_without("stride"))),
    Cause("strides of the axes exchanged", "the axes' strides stand in the wrong order",
          (*_reversed("stride"), *_first_axis_alone("stride"))),
    Cause("dilations of the axes exchanged", "the axes' dilations stand in the wrong order",
          (*_reversed("dilation"), *_first_axis_alone("dilation"))),
    Cause("remainder dropped", "rows that the windows leave over, r = (I+P-K) mod s, are not "
          "counted: a backprop pads with (K-1-p0, K-1-p1+r), the filter's with (p0, p1-r)",
          (wrong.refilled(_without_remainder, at_start=False),
           wrong.refilled(_without_remainder, at_start=True),
           wrong.resized(_without_remainder),
           *(wrong.each_axis(lambda a, by=by: replace(a, p0=a.p0 + by * wrong.remainder(a)))
             for by in (1, -1)),
           *(wrong.each_axis(lambda a, by=by: replace(a, p0=a.p0 + by * _whole_taps(a)))
             for by in (1, -1)))),
    Cause("padding mode ignored", "zeros are padded whatever `padding_mode` says, or a border's "
          "gradient is dropped",
          (wrong.each_axis(lambda a: replace(a, mode="zeros")),
           *(answer for mode in MODES for answer in _mode(mode, "zeros")))),
    Cause("padding modes confused", "one padding mode is taken for another",
          tuple(answer for a in MODES for b in MODES if a != b for answer in _mode(a, b))),
    Cause("one row off", "windows start one row early or late",
          tuple(wrong.each_axis(lambda a, by=by: replace(a, p0=a.p0 + by)) for by in (1, -1))),
    Cause("last tap dropped", "a loop over the filter's taps ends one short, or begins one late",
          (_dropping(lambda a, i, o, k: k < a.k - 1), _dropping(lambda a, i, o, k: k > 0))),
    Cause("last row dropped", "a loop over rows ends one short",
          (_dropping(lambda a, i, o, k: o < a.o - 1), _dropping(lambda a, i, o, k: i < a.i - 1),
           _dropping(lambda a, i, o, k: o > 0), _dropping(lambda a, i, o, k: i > 0))),
    Cause("conjugation", "the pairing is bilinear: nothing is conjugated",
          (*map(_conjugated, ("x", "w", "y", "xwy")), wrong.result(lambda a, item: a.conj()))),
    Cause("imaginary part dropped", "complex values lose their imaginary part",
          (wrong.result(lambda a, item: np.real(a) + 0j),
           wrong.operands(lambda s, a, item: np.real(a) + 0j))),
    Cause("batch dropped", "only the first of the batch is used",
          (wrong.operands(_first_of_batch), wrong.result(_first_for_all))),
    Cause("averaged over the batch", "the filter's gradient is a sum over the batch, not a mean",
          (wrong.result(_batch_mean),)),
    Cause("output_padding ignored", "the rows that `output_padding` adds to the smallest size are "
          "gradients like the others, at the end",
          (_only_transposed(wrong.resized(_smallest), "output_padding"),
           _only_transposed(wrong.refilled(_smallest, at_start=False), "output_padding"),
           _only_transposed(wrong.refilled(_smallest, at_start=True), "output_padding"),
           _only_transposed(wrong.resized(_told_none), "output_padding"))),
    Cause("output_shape ignored", "the size that is told is not the one that is made",
          (wrong.resized(_told_none), wrong.resized(_smallest),
           wrong.resized(_strides_times_rows))),
    Cause("cotangent ignored", "an operand is taken for ones: a gradient that forgets its "
          "cotangent or its chain rule", tuple(map(_ones, ("y", "x", "w")))),
    Cause("mapped results exchanged", "vmap's results stand in the wrong order",
          (wrong.mixed(lambda stack, at: stack[-1 - at]),)),
    Cause("first of the mapped alone", "vmap returns the first result for all",
          (wrong.mixed(lambda stack, at: stack[0]),
           wrong.mixed(lambda stack, at: stack[-1]))),
    Cause("mapped axis folded as the faster part", "an axis that vmap merges with another must be "
          "split from it in the same order", tuple(_faster_in(axis) for axis in range(-4, 4))),
    Cause("mapped results summed", "vmap's results are added up",
          (wrong.mixed(lambda stack, at: np.sum(stack, axis=0)),)),
)  # fmt: skip
"""In order of simplicity: of two that explain as much the first is named."""
