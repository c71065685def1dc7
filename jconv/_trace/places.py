"""The order of an array's indices in lax, and how the array is brought to jconv's order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from jconv._core.layout import spatial_names
from jconv._core.problem import Slot

Positions = Sequence[int]  # where batch, channels and each spatial axis stand, in this order
Numbers = tuple[Positions, Positions, Positions]  # lax's ConvDimensionNumbers

# Two slots share one index: the batch n, the input channels c or the output channels f.
_SHARED = {frozenset("xy"): "n", frozenset("xw"): "c", frozenset("wy"): "f"}
_GROUPED = {"x": "c", "w": "f", "y": "f"}  # the index that groups multiply in a slot
_NAMES = {"x": {"n": "N", "c": "C"}, "y": {"n": "N", "f": "C"}, "w": {"c": "I", "f": "O"}}


def shared_index(a: Slot, b: Slot) -> str:
    """The index that two slots have in common: n, c or f."""
    return _SHARED[frozenset((a, b))]


@dataclasses.dataclass(frozen=True)
class Place:
    """The order of one array's indices in lax, and how the array is brought to jconv's order.

    lax's dimension numbers begin with two positions. The first is that of the index `first`, the
    second that of the slot's other index. In lax groups may multiply either of the two, groups
    made by vmap being slowest, then groups that were written. In jconv written groups multiply
    a fixed index of each slot, and groups made by vmap are a dimension in front.
    """

    slot: Slot
    first: str
    positions: Positions
    split: tuple[int, int]  # groups of vmap, groups that were written
    grouped_first: bool = False

    @property
    def as_it_lies(self) -> bool:
        """Whether jconv takes the array as it is, without a copy."""
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
        first, second, *rest = (array.shape[position] for position in self.positions)
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
        rest = [found[name] for name in spatial_names(len(kept) - 2)]
        sizes = self._sizes(found[self.first], found[self._second], rest)
        array = array.reshape([sizes[name] for name in self._in_jconv])
        array = jnp.transpose(array, [self._in_jconv.index(name) for name in self._in_lax])
        sizes[self.first if self.grouped_first else self._second] *= self.split[0] * self.split[1]
        return array.reshape([sizes[name] for name in self._in_lax if name not in "vg"])

    @property
    def _second(self) -> str:
        (other,) = set(_NAMES[self.slot]) - {self.first}
        return other

    @property
    def _in_lax(self) -> str:
        """The indices in the order of lax's dimensions, with groups set apart."""
        axes = spatial_names(len(self.positions) - 2)
        named = [self.first, self._second, *axes]
        named[not self.grouped_first] = "vg" + named[not self.grouped_first]
        at = dict(zip(self.positions, named, strict=True))
        return "".join(at[position] for position in range(len(at)))

    @property
    def _in_jconv(self) -> str:
        axes = spatial_names(len(self.positions) - 2)
        return {"x": f"vn{axes}gc", "w": f"v{axes}cgf", "y": f"vn{axes}gf"}[self.slot]

    def _sizes(self, first: Any, second: Any, rest: Sequence[Any]) -> dict[str, Any]:
        axes = spatial_names(len(self.positions) - 2)
        vmapped, groups = self.split
        named = {"v": vmapped, "g": groups, self.first: first, self._second: second}
        return {**named, **dict(zip(axes, rest, strict=True))}
