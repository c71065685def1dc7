"""Which operation a convolution in lax's words is: the forward one, or one of the backprops.

`jax.grad` turns a convolution into other calls of `conv_general_dilated`, and each of them is
one of the three operations of jconv. A call sums over all solutions of the index equation

    b*l + p = s*m + d*r           l in lhs, m in the result, r in rhs

so lhs, rhs and result are x, w and y in some order, and b, s and d are the coefficients of
whichever they are. Where jax wrote the kernel or the result in reverse, r = R-1-k (or
m = M-1-k) moves one term to the other side of the equation. Five such readings occur:

    lhs  rhs  result    reversed   what jax differentiated
    x    w    y                    nothing: it is a forward convolution
    x    y    w                    a forward convolution in its filter
    y    w    x         rhs        a forward convolution in its input
    w    y    x         rhs        a filter backprop in its input
    y    x    w         result     an input backprop in its filter

All readings are right, since they are the same sum; the one that says what was meant is chosen
for its plan, because the backprops have algorithms of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jconv._geometry import Axis, differ, is_static, out_size, same
from jconv._layout import spatial_names
from jconv._ops import conv, conv_filter_grad, conv_input_grad
from jconv._problem import OPERANDS, Leg, Slot

Pairs = tuple[tuple[Any, Any], ...]
Positions = Sequence[int]  # where batch, channels and each spatial axis stand, in this order
Numbers = tuple[Positions, Positions, Positions]  # lax's ConvDimensionNumbers


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

    rhs_reversed: bool = False
    result_reversed: bool = False
    vmapped: int = 1


@dataclasses.dataclass(frozen=True)
class Reading:
    """A leg, the slots that lhs, rhs and result stand for, and the slot that is reversed."""

    leg: Leg
    lhs: Slot
    rhs: Slot
    result: Slot
    reversed: Slot | None = None


CONV = Reading("conv", "x", "w", "y")
FILTER_GRAD = Reading("filter_grad", "x", "y", "w")
INPUT_GRAD = Reading("input_grad", "y", "w", "x", "w")
INPUT_GRAD_OF_FILTER_GRAD = Reading("input_grad", "w", "y", "x", "y")
FILTER_GRAD_OF_INPUT_GRAD = Reading("filter_grad", "y", "x", "w", "w")

# Two slots share one index: the batch n, the input channels c or the output channels f.
_SHARED = {frozenset("xy"): "n", frozenset("xw"): "c", frozenset("wy"): "f"}
_GROUPED = {"x": "c", "w": "f", "y": "f"}  # the index that groups multiply in a slot
_NAMES = {"x": {"n": "N", "c": "C"}, "y": {"n": "N", "f": "C"}, "w": {"c": "I", "f": "O"}}


def read(numbers: Numbers, window: Window, axes: Sequence[Axis], clues: Clues) -> Reading:
    """The reading of a convolution that says what jax meant by it."""
    lhs, rhs, out = numbers
    if clues.rhs_reversed and _channels_first(out) and (lhs != out or _starts_cn(out)):
        return INPUT_GRAD_OF_FILTER_GRAD
    strided, dilated = any(s > 1 for s in window.s), any(b > 1 for b in window.b)
    if window.batch_groups > 1 or _sums_a_batch(numbers, axes):
        as_filter = (out[1], out[0], *out[2:])
        of_input_grad = clues.result_reversed and _channels_swapped(as_filter)
        if of_input_grad or (dilated and all(d == 1 for d in window.d)):
            return FILTER_GRAD_OF_INPUT_GRAD
        return FILTER_GRAD
    if dilated and not strided:
        return INPUT_GRAD
    # A strided one without holes in lhs is the gradient of an input backprop in its input.
    if clues.rhs_reversed and _channels_swapped(rhs) and (dilated or not strided):
        return INPUT_GRAD
    return CONV


def _channels_first(positions: Positions) -> bool:
    return positions[1] < positions[0]


def _starts_cn(positions: Positions) -> bool:
    return positions[1] == 0 and positions[0] == 1


def _sums_a_batch(numbers: Numbers, axes: Sequence[Axis]) -> bool:
    """Whether lhs has its channels before its batch because they have changed places.

    For a filter backprop jax exchanges batch and channels in the numbers of all three operands.
    Then lhs and rhs, which were x and y, usually share a layout. In a forward convolution lhs
    and result do. Where all three do, data in the order CN, channels first, are taken for NC
    with its places exchanged, since nobody keeps data in the former; in other orders a window
    larger than the result decides.
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


# Running it ----------------------------------------------------------------------------------


def convolve(
    lhs: Array, rhs: Array, numbers: Numbers, window: Window, clues: Clues | None = None, **how: Any
) -> Array:
    """The convolution of `lhs` and `rhs` by jconv, run as what it is.

    Args:
        lhs, rhs: the operands. They have been checked, but for what `jconv.conv` checks itself.
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
    """The axes, if all sizes are known, something is to be summed, and the channels fit."""
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

    With r = R-1-k the equation b*l + p = s*m + d*r becomes s*m + d*(R-1) - p = b*l + d*k, and
    likewise with m = M-1-k.
    """
    names = (reading.lhs, reading.rhs, reading.result)
    size = dict(zip(names, (axis.i, axis.k, axis.o), strict=True))
    factor = dict(zip(names, (axis.b, axis.d, axis.s), strict=True))
    p0 = axis.p0
    if reading.reversed is not None:
        p0 = factor[reading.reversed] * (size[reading.reversed] - 1) - p0
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
    out = _Place(reading.result, _shared(reading.lhs, reading.result), numbers[2], split)
    lhs = dataclasses.replace(
        out, slot=reading.lhs, positions=numbers[0], grouped_first=window.batch_groups > 1
    )
    rhs = _Place(reading.rhs, _shared(reading.rhs, reading.result), numbers[1], split, True)
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
        if reading.reversed in by_slot:
            by_slot[reading.reversed] = _reversed(by_slot[reading.reversed], rhs.names)
        first, second = OPERANDS[reading.leg]
        result = operation[reading.leg](by_slot[first], by_slot[second], **how)
        return _reversed(result, out.names) if reading.reversed == reading.result else result

    run = jax.vmap(leg) if vmapped > 1 else leg
    return out.restored(run(lhs.brought(arrays.lhs), rhs.brought(arrays.rhs)))


def _settings(
    reading: Reading, window: Window, axes: list[Axis] | None, w_names: str
) -> dict[str, Any]:
    """The geometry's keywords, in the order in which the filter has its spatial axes."""
    letters = spatial_names(len(window.s))
    order = [letters.index(name) for name in w_names if name in letters]
    if axes is None or reading.leg == "conv":
        return {
            "stride": tuple(window.s[a] for a in order),
            "padding": tuple(window.pads[a] for a in order),
            "dilation": tuple(window.d[a] for a in order),
            "input_dilation": tuple(window.b[a] for a in order),
        }
    slots = [in_slots(axes[a], reading) for a in order]
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


def _shared(a: Slot, b: Slot) -> str:
    return _SHARED[frozenset((a, b))]


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where the indices of one array stand in lax's order, and how they come to jconv's.

    The first of lax's numbers places the index `first`, the second the other one of the slot.
    Groups multiply either: those of vmap slowest, then those that were written. In jconv groups
    multiply one index of each slot, and what vmap made is a dimension in front.
    """

    slot: Slot
    first: str
    positions: Positions
    split: tuple[int, int]  # groups of vmap, groups that were written
    grouped_first: bool = False

    @property
    def as_it_lies(self) -> bool:
        """Whether jconv takes the array without any copy."""
        grouped = self.first if self.grouped_first else self._second
        vmapped, groups = self.split
        return vmapped == 1 and (groups == 1 or grouped == _GROUPED[self.slot])

    @property
    def names(self) -> str:
        """The letters of jconv's layout for the array that the leg takes or returns."""
        axes, letters = spatial_names(len(self.positions) - 2), _NAMES[self.slot]
        if self.as_it_lies:
            named = [letters[self.first], letters[self._second], *axes]
            at = dict(zip(self.positions, named, strict=True))
            return "".join(at[position] for position in range(len(at)))
        return "".join(letters.get(name, name) for name in self._in_jconv if name not in "vg")

    def brought(self, array: Array) -> Array:
        """lax's operand as the leg takes it."""
        if self.as_it_lies:
            return array
        array = jnp.transpose(array, self.positions)
        first, second, *rest = array.shape
        groups = self.split[0] * self.split[1]
        if self.grouped_first:
            first //= groups
        else:
            second //= groups
        sizes = self._sizes(first, second, rest)
        array = array.reshape([sizes[name] for name in self._in_lax])
        array = jnp.transpose(array, [self._in_lax.index(name) for name in self._in_jconv])
        sizes[_GROUPED[self.slot]] *= sizes["g"]
        lead = "v" if self.split[0] > 1 else ""
        return array.reshape([sizes[name] for name in lead + self._in_jconv[1:] if name != "g"])

    def restored(self, array: Array) -> Array:
        """The leg's result as lax lays it out: the inverse of `brought`."""
        if self.as_it_lies:
            return array
        kept = [name for name in self._in_jconv if name not in "vg"]
        found = dict(zip(kept, array.shape[-len(kept) :], strict=True))
        found[_GROUPED[self.slot]] //= self.split[1]
        rest = [found[name] for name in self._in_lax if name not in "vgncf"]
        sizes = self._sizes(found[self.first], found[self._second], rest)
        array = array.reshape([sizes[name] for name in self._in_jconv])
        array = jnp.transpose(array, [self._in_jconv.index(name) for name in self._in_lax])
        sizes[self.first if self.grouped_first else self._second] *= self.split[0] * self.split[1]
        array = array.reshape([sizes[name] for name in self._in_lax if name not in "vg"])
        order = [self.positions.index(p) for p in range(len(self.positions))]
        return jnp.transpose(array, order)

    @property
    def _second(self) -> str:
        (other,) = set(_NAMES[self.slot]) - {self.first}
        return other

    @property
    def _in_lax(self) -> str:
        axes = spatial_names(len(self.positions) - 2)
        grouped = f"vg{self.first}", self._second
        if not self.grouped_first:
            grouped = self.first, f"vg{self._second}"
        return "".join(grouped) + axes

    @property
    def _in_jconv(self) -> str:
        axes = spatial_names(len(self.positions) - 2)
        return {"x": f"vn{axes}gc", "w": f"v{axes}cgf", "y": f"vn{axes}gf"}[self.slot]

    def _sizes(self, first: Any, second: Any, rest: Sequence[Any]) -> dict[str, Any]:
        axes = spatial_names(len(self.positions) - 2)
        vmapped, groups = self.split
        named = {"v": vmapped, "g": groups, self.first: first, self._second: second}
        return {**named, **dict(zip(axes, rest, strict=True))}
