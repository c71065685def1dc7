"""Layouts: where batch, spatial and channel dimensions stand in each operand.

A layout is three permutations that take the caller's dimensions to the library's own order,
x (N, spatial..., C), w (spatial..., I, O), y (N, spatial..., C), and back.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Layout:
    """For each slot, the caller's position of each canonical dimension."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    y: tuple[int, ...]
    names: tuple[str, str, str]

    def canonical(self, slot: str, shape: Sequence[T]) -> tuple[T, ...]:
        return tuple(shape[p] for p in getattr(self, slot))

    def caller(self, slot: str, shape: Sequence[T]) -> tuple[T, ...]:
        return tuple(shape[p] for p in self.inverse(slot))

    def inverse(self, slot: str) -> tuple[int, ...]:
        order = getattr(self, slot)
        return tuple(order.index(p) for p in range(len(order)))

    def name(self, slot: str) -> str:
        return self.names["xwy".index(slot)]

    def spatial(self, slot: str) -> tuple[int, ...]:
        """The caller's positions of the spatial dimensions, in order of the axes."""
        return self.x[1:-1] if slot == "x" else self.y[1:-1] if slot == "y" else self.w[:-2]


class LayoutError(ValueError):
    """A layout that cannot be read; the message says why."""


_NAMES = {1: "W", 2: "HW", 3: "DHW"}


_LETTERS = "ABEFGJKLMPQRSTUVXYZDHW"  # every letter but N, C, I and O, which layouts use
MOST_AXES = len(_LETTERS)  # spatial axes, since each needs a letter


def spatial_names(rank: int) -> str:
    """One letter for each spatial axis: W, HW, DHW, and from four axes on A, B, E, ..."""
    return _NAMES.get(rank) or _LETTERS[:rank]


@functools.lru_cache(maxsize=256)
def parse_layout(layout: Any, rank: int) -> Layout:
    """The Layout that `layout=` names, for `rank` spatial axes."""
    axes = spatial_names(rank)
    if layout is None:
        return _from_strings(f"N{axes}C", f"{axes}IO", f"N{axes}C", rank)
    if isinstance(layout, str):
        if len(layout) != rank + 2:
            raise LayoutError(f"names {len(layout)} dimensions where the operands have {rank + 2}")
        if layout.startswith("NC"):
            axes = layout[2:]
            return _from_strings(layout, f"OI{axes}", layout, rank)
        if layout.startswith("N") and layout.endswith("C"):
            axes = layout[1:-1]
            return _from_strings(layout, f"{axes}IO", layout, rank)
        raise LayoutError("must begin with 'NC' (channels first) or read 'N...C' (channels last)")
    if isinstance(layout, tuple) and len(layout) == 3 and all(isinstance(s, str) for s in layout):
        return _from_strings(*layout, rank)
    raise LayoutError("must be a string such as 'NHWC' or 'NCHW', or a triple (lhs, rhs, out)")


def _from_strings(lhs: str, rhs: str, out: str, rank: int) -> Layout:
    for name, text, letters in (("lhs", lhs, "NC"), ("rhs", rhs, "IO"), ("out", out, "NC")):
        if len(text) != rank + 2:
            raise LayoutError(f"{name} {text!r} names {len(text)} dimensions, not {rank + 2}")
        if len(set(text)) != len(text) or not set(letters) <= set(text):
            raise LayoutError(f"{name} {text!r} must hold {letters[0]!r} and {letters[1]!r} once")
    axes = [c for c in rhs if c not in "IO"]
    for name, text in (("lhs", lhs), ("out", out)):
        if set(text) - {"N", "C"} != set(axes):
            raise LayoutError(f"{name} {text!r} and rhs {rhs!r} name different spatial axes")
    return Layout(
        x=tuple(lhs.index(c) for c in ["N", *axes, "C"]),
        w=tuple(rhs.index(c) for c in [*axes, "I", "O"]),
        y=tuple(out.index(c) for c in ["N", *axes, "C"]),
        names=(lhs, rhs, out),
    )
