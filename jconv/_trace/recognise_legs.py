"""Which operation a convolution written in lax's terms is: forward, or one of the backprops.

`jax.grad` turns a convolution into other calls of `conv_general_dilated`, and each of them is
one of the three operations of jconv. A call sums over all solutions of the index equation

    b*l + p = s*m + d*r           l in lhs, m in the result, r in rhs

so lhs, rhs and result are x, w and y in some order, and each of b, s and d is the coefficient of
one of them. Where jax reversed the filter, k = R-1-r moves its term to the other side of the
equation; likewise for other reversed operands and results. Six such readings occur:

    lhs  rhs  result    reversed    what jax differentiated
    x    w    y                     nothing: it is a forward convolution
    x    y    w                     a forward convolution in its filter
    y    w    x         w           a forward convolution in its input
    w    y    x         y           a filter backprop in its input
    y    x    w         w           an input backprop in its filter
    w    x    y         w and x     the one before in its lhs

Every reading gives the right result, since all are one sum. The reading that jax meant is chosen
because the backprops have algorithms of their own, which are faster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jconv._core.geometry import Axis, differ, is_static, out_size, same
from jconv._core.layout import spatial_names
from jconv._core.problem import OPERANDS, Leg, Slot
from jconv._ops.conv import conv, conv_filter_grad, conv_input_grad
from jconv._trace.places import Numbers, Place, Positions, shared_index

Pairs = tuple[tuple[Any, Any], ...]


@dataclasses.dataclass(frozen=True)
class Window:
    """The settings of one convolution, in the order of lax's dimension numbers."""

    s: tuple[int, ...]
    b: tuple[int, ...]
    d: tuple[int, ...]
    pads: Pairs
    groups: int = 1
    batch_groups: int = 1


@dataclasses.dataclass(frozen=True)
class Clues:
    """What the program around a convolution says about it.

    `vmapped` is the number of groups, counted from the slowest, that vmap made out of batches of
    both operands; the others were written as groups.
    """

    lhs_reversed: bool = False
    rhs_reversed: bool = False
    result_reversed: bool = False
    vmapped: int = 1


@dataclasses.dataclass(frozen=True)
class Reading:
    """A leg, the slots that lhs, rhs and result stand for, and the slots that are reversed."""

    leg: Leg
    lhs: Slot
    rhs: Slot
    result: Slot
    reversed: tuple[Slot, ...] = ()


CONV = Reading("conv", "x", "w", "y")
FILTER_GRAD = Reading("filter_grad", "x", "y", "w")
INPUT_GRAD = Reading("input_grad", "y", "w", "x", ("w",))
INPUT_GRAD_OF_FILTER_GRAD = Reading("input_grad", "w", "y", "x", ("y",))
FILTER_GRAD_OF_INPUT_GRAD = Reading("filter_grad", "y", "x", "w", ("w",))
CONV_OF_THE_LATTER = Reading("conv", "w", "x", "y", ("w", "x"))


def read(numbers: Numbers, window: Window, axes: Sequence[Axis], clues: Clues) -> Reading:
    """The reading of a convolution that says what jax meant by it."""
    lhs, rhs, out = numbers
    s, b, d = (any(factor > 1 for factor in each) for each in (window.s, window.b, window.d))
    # jax differentiated some convolution in lhs or in rhs. Which of them decides which
    # coefficients are that convolution's stride and input dilation, and which operand's channels
    # show that jax exchanged them.
    if clues.rhs_reversed and _channels_first(out) and _lhs_is_a_filter(lhs, out, axes):
        if _was_input_grad(d, s, clues.lhs_reversed, _exchanged(lhs)):
            return CONV_OF_THE_LATTER
        return INPUT_GRAD_OF_FILTER_GRAD
    if window.batch_groups > 1 or _sums_a_batch(numbers, axes):
        if _was_input_grad(d, b, clues.result_reversed, _exchanged(out)):
            return FILTER_GRAD_OF_INPUT_GRAD
        return FILTER_GRAD
    return INPUT_GRAD if _was_input_grad(s, b, clues.rhs_reversed, rhs) else CONV


def _was_input_grad(strided: bool, dilated: bool, reversed_filter: bool, rhs: Positions) -> bool:
    """Whether a convolution is an input backprop, by its stride, holes in lhs, and its filter.

    Holes alone are the stride of the convolution that was differentiated. A stride alone comes
    from an input backprop that was differentiated in its input, a forward convolution. Where
    there are both or none, the filter decides: jax reverses it and exchanges its channels.
    """
    if dilated != strided:
        return dilated
    return reversed_filter and _channels_swapped(rhs)


def _exchanged(positions: Positions) -> Positions:
    return (positions[1], positions[0], *positions[2:])


def _channels_first(positions: Positions) -> bool:
    return positions[1] < positions[0]


def _starts_cn(positions: Positions) -> bool:
    return positions[1] == 0 and positions[0] == 1


def _lhs_is_a_filter(lhs: Positions, out: Positions, axes: Sequence[Axis]) -> bool:
    """Whether lhs, where the result has its channels first, is what a filter backprop gave."""
    if lhs != out or _starts_cn(out):
        return True
    return all(axis.k >= axis.i for axis in axes) and any(axis.k > axis.i for axis in axes)


def _sums_a_batch(numbers: Numbers, axes: Sequence[Axis]) -> bool:
    """Whether lhs has its channels before its batch because they have changed places.

    For a filter backprop jax exchanges batch and channels in the numbers of all three operands.
    Then lhs and rhs, which were x and y, usually share a layout. In a forward convolution lhs
    and result share one. Where all three do, the order CN is taken for an exchanged NC, since
    nobody keeps data as CN; in other orders a window larger than the result decides.
    """
    lhs, rhs, out = numbers
    as_forward, as_filter_grad = lhs == out, lhs == rhs
    if not _channels_first(lhs):
        return as_filter_grad and not as_forward and out[0] != 0
    if as_forward and as_filter_grad and not _starts_cn(lhs):
        return all(axis.k >= axis.o for axis in axes) and any(axis.k > axis.o for axis in axes)
    return not as_forward or _starts_cn(lhs)


def _channels_swapped(rhs: Positions) -> bool:
    """Whether a filter has its channels in the order that jax's input gradients give them.

    Filters are kept with outputs before inputs where one of them comes first, and with inputs
    before outputs where both come last.
    """
    outputs, inputs = rhs[0], rhs[1]
    return inputs == 0 or (inputs > outputs > 0 and outputs == len(rhs) - 2)


# Running a reading ----------------------------------------------------------------------------


def convolve(
    lhs: Array, rhs: Array, numbers: Numbers, window: Window, clues: Clues | None = None, **how: Any
) -> Array:
    """The convolution of `lhs` and `rhs`, by the operation of jconv that it is.

    Args:
        lhs, rhs: the operands, checked except for what `jconv.conv` checks itself.
        numbers: where batch, channels and spatial axes stand, as in lax.
        window: stride, dilations, pads and groups.
        clues: what else is known about it.
        how: precision and preferred_element_type.
    """
    numbers = tuple(tuple(positions) for positions in numbers)  # pyright: ignore
    if lhs.ndim == 2:  # a product of matrices is a convolution with one tap of one row
        numbers = tuple((*positions, 2) for positions in numbers)  # pyright: ignore
        whole = Window((1,), (1,), (1,), ((0, 0),), window.groups, window.batch_groups)
        return convolve(lhs[..., None], rhs[..., None], numbers, whole, clues, **how)[..., 0]
    clues = clues or Clues()
    axes = _axes(lhs.shape, rhs.shape, numbers, window)
    inexact = jnp.issubdtype(lhs.dtype, jnp.inexact) and lhs.dtype == rhs.dtype
    reading = read(numbers, window, axes, clues) if axes is not None and inexact else CONV
    groups = max(window.groups, window.batch_groups)
    vmapped = clues.vmapped if axes is not None and groups % clues.vmapped == 0 else 1
    if reading.result == "w" and window.batch_groups == 1:
        vmapped = groups  # groups of a summed index are independent filter backprops
    return _run(reading, _Arrays(lhs, rhs, numbers, window, groups, vmapped), axes, how)


def _axes(lhs: Any, rhs: Any, numbers: Numbers, window: Window) -> list[Axis] | None:
    """The axes; None if a size is symbolic, the sum is empty or the channels do not fit."""
    n, channels, *i = (lhs[p] for p in numbers[0])
    f, c, *k = (rhs[p] for p in numbers[1])
    if not is_static(n, channels, c, f, *i, *k):
        return None
    if differ(channels, c * window.groups) or f % window.groups:
        return None
    axes = [
        Axis(
            i=i[a],
            k=k[a],
            o=out_size(i[a], k[a], sum(window.pads[a]), s=s, b=window.b[a], d=window.d[a]),
            s=s,
            b=window.b[a],
            d=window.d[a],
            p0=window.pads[a][0],
        )
        for a, s in enumerate(window.s)
    ]
    empty = any(axis.empty for axis in axes) or same(n * channels * f, 0)
    return None if empty else axes


def in_slots(axis: Axis, reading: Reading) -> Axis:
    """The axis of x, w and y, from that of lhs, rhs and result.

    With r = R-1-k the equation b*l + p = s*m + d*r becomes b*l + d*k + p - d*(R-1) = s*m, and
    likewise for the others. In the end x stands on one side alone, w and y on the other.
    """
    names = (reading.lhs, reading.rhs, reading.result)
    size = dict(zip(names, (axis.i, axis.k, axis.o), strict=True))
    factor = dict(zip(names, (axis.b, axis.d, axis.s), strict=True))
    sign = dict(zip(names, (1, -1, -1), strict=True))  # of each term, all on the left
    p0 = axis.p0
    for slot in reading.reversed:
        p0 += sign[slot] * factor[slot] * (size[slot] - 1)
        sign[slot] = -sign[slot]
    p0 *= sign["x"]
    return Axis(
        i=size["x"],
        k=size["w"],
        o=size["y"],
        b=factor["x"],
        d=factor["w"],
        s=factor["y"],
        p0=p0,
    )


@dataclasses.dataclass(frozen=True)
class _Arrays:
    lhs: Array
    rhs: Array
    numbers: Numbers
    window: Window
    groups: int
    vmapped: int


def _run(reading: Reading, arrays: _Arrays, axes: list[Axis] | None, how: dict[str, Any]) -> Array:
    """The leg that a reading names, on operands brought to where the leg expects them."""
    window, numbers, vmapped = arrays.window, arrays.numbers, arrays.vmapped
    split = (vmapped, arrays.groups // vmapped)
    out = Place(reading.result, shared_index(reading.lhs, reading.result), numbers[2], split)
    lhs = dataclasses.replace(
        out, slot=reading.lhs, positions=numbers[0], grouped_first=window.batch_groups > 1
    )
    rhs = Place(reading.rhs, shared_index(reading.rhs, reading.result), numbers[1], split, True)
    names = {reading.lhs: lhs.names, reading.rhs: rhs.names, reading.result: out.names}
    how = {
        **how,
        **_settings(reading, window, axes, names["w"]),
        "groups": split[1],
        "layout": (names["x"], names["w"], names["y"]),
    }
    operation = {"conv": conv, "input_grad": conv_input_grad, "filter_grad": conv_filter_grad}

    def leg(*operands: Array) -> Array:
        by_slot = dict(zip((reading.lhs, reading.rhs), operands, strict=True))
        for slot in set(reading.reversed) & by_slot.keys():
            by_slot[slot] = _reversed(by_slot[slot], names[slot])
        first, second = OPERANDS[reading.leg]
        result = operation[reading.leg](by_slot[first], by_slot[second], **how)
        return _reversed(result, out.names) if reading.result in reading.reversed else result

    run = jax.vmap(leg) if vmapped > 1 else leg
    return out.restored(run(lhs.brought(arrays.lhs), rhs.brought(arrays.rhs)))


def _settings(
    reading: Reading, window: Window, axes: list[Axis] | None, w_names: str
) -> dict[str, Any]:
    """The geometry's keywords, in the order in which the filter has its spatial axes."""
    letters = spatial_names(len(window.s))
    order = [letters.index(name) for name in w_names if name in letters]
    if axes is None or reading == CONV:
        return {
            "stride": tuple(window.s[a] for a in order),
            "padding": tuple(window.pads[a] for a in order),
            "dilation": tuple(window.d[a] for a in order),
            "input_dilation": tuple(window.b[a] for a in order),
        }
    slots = [in_slots(axes[a], reading) for a in order]
    size = {}
    if reading.leg == "input_grad":
        size = {"input_shape": tuple(axis.i for axis in slots)}
    if reading.leg == "filter_grad":
        size = {"filter_shape": tuple(axis.k for axis in slots)}
    return {
        "stride": tuple(axis.s for axis in slots),
        "padding": tuple((axis.p0, axis.p1) for axis in slots),
        "dilation": tuple(axis.d for axis in slots),
        "input_dilation": tuple(axis.b for axis in slots),
        **size,
    }


def _reversed(array: Array, names: str) -> Array:
    return lax.rev(array, [p for p, name in enumerate(names) if name not in "NCIO"])
