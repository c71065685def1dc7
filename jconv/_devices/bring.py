"""An operand that is not sharded as a leg needs it: the steps that bring it there.

How an array lies is a `Spec`: for each dimension the mesh axes that split it, outer first. Steps
of four kinds lead from one Spec to another. A *cut*: every device keeps a part of what it holds.
An *exchange*: devices along some mesh axes swap parts, so that these axes split another dimension
than before. A *permutation*: devices swap whole parts, so that the same dimension is split over
other mesh axes or in another order. A *gather*: every device receives the parts of others.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import jax
from jax import lax

from jconv._core import jax_sharding
from jconv._core.geometry import Shape, Size, is_static, product, same
from jconv._devices.roles import Spec

Axes = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """One step from how an operand lies to how a leg needs it.

    Attributes:
        kind: which of the four, as the module's docstring describes them.
        dim: the dimension that changes.
        names: the mesh axes along which devices cut, exchange or gather; in a permutation the
            mesh axes that split `dim` before.
        sent: elements that one device sends.
        wanted: in a permutation the mesh axes that split `dim` afterwards.
        into: in an exchange the dimension that `names` split afterwards.
    """

    kind: Literal["cut", "exchange", "permute", "gather"]
    dim: int
    names: Axes
    sent: Size
    wanted: Axes = ()
    into: int = 0


def steps_between(
    shape: Shape, lies: Spec, wanted: Spec, sizes: Mapping[str, Size]
) -> tuple[Step, ...]:
    """The steps that take an array from one Spec to another, in the order to take them.

    Args:
        shape: of the whole array.
        lies: how the array lies now.
        wanted: how it is to lie.
        sizes: the mesh axes' sizes.
    """
    lies, wanted = (
        tuple(tuple(name for name in names if not same(sizes[name], 1)) for names in spec)
        for spec in (lies, wanted)
    )
    part = [_share(n, names, sizes) for n, names in zip(shape, lies, strict=True)]
    have, steps = list(lies), []

    def add(step: Step, at: int, names: Axes) -> None:
        steps.append(step)
        have[at], part[at] = names, _share(shape[at], names, sizes)

    for dim, into in itertools.permutations(range(len(shape)), 2):
        kept = wanted[dim]
        over = have[dim][len(kept) :]
        if over and have[dim][: len(kept)] == kept and wanted[into] == (*have[into], *over):
            add(Step("exchange", dim, over, product(part), into=into), dim, kept)
            have[into] = wanted[into]
            part[into] = _share(shape[into], wanted[into], sizes)

    def cut_what_is_at_hand() -> None:
        """Cut along mesh axes that split no dimension now: each device holds all parts to cut."""
        for dim, names in enumerate(wanted):
            added, used = names[len(have[dim]) :], {name for held in have for name in held}
            if added and names[: len(have[dim])] == have[dim] and not used & set(added):
                add(Step("cut", dim, added, 0), dim, names)

    cut_what_is_at_hand()
    for dim in reversed(range(len(shape))):
        held, names = have[dim], wanted[dim]
        if set(held) - set(names):
            kept = 0
            while held[kept : kept + 1] and held[kept : kept + 1] == names[kept : kept + 1]:
                kept += 1
            add(Step("gather", dim, held[kept:], product(part)), dim, held[:kept])
            cut_what_is_at_hand()
    for dim, names in enumerate(wanted):
        if have[dim] != names:
            part[dim] = _share(shape[dim], names, sizes)
            add(Step("permute", dim, have[dim], product(part), wanted=names), dim, names)
    return tuple(steps)


def in_equal_parts(shape: Shape, lies: Spec, wanted: Spec, sizes: Mapping[str, int]) -> bool:
    """Whether every dimension that changes is held in parts of one size, before and after."""
    return all(
        n % math.prod(sizes[name] for name in names) == 0
        for n, before, after in zip(shape, lies, wanted, strict=True)
        if before != after
        for names in (before, after)
    )


def bring(part: jax.Array, steps: Sequence[Step], sizes: Mapping[str, int]) -> jax.Array:
    """A device's part of an array after `steps`, where `in_equal_parts` is true of the array."""
    for step in steps:
        if step.kind == "cut":
            part = _cut(part, step.dim, step.names, sizes)
        elif step.kind == "exchange":
            part = lax.all_to_all(part, step.names, step.into, step.dim, tiled=True)
        elif step.kind == "gather":
            part = lax.all_gather(part, step.names, axis=step.dim, tiled=True)
        else:
            added = tuple(name for name in step.wanted if name not in step.names)
            part = _cut(part, step.dim, added, sizes)
            held = (*step.names, *added)
            part = jax_sharding.permute(part, step.wanted, _reordered(held, step.wanted, sizes))
    return part


def _share(size: Size, names: Axes, sizes: Mapping[str, Size]) -> Size:
    parts = product([sizes[name] for name in names])
    return size if is_static(parts) and parts == 1 else -(-size // parts)


def _cut(part: jax.Array, dim: int, names: Axes, sizes: Mapping[str, int]) -> jax.Array:
    rows = part.shape[dim] // math.prod(sizes[name] for name in names)
    return lax.dynamic_slice_in_dim(part, lax.axis_index(names) * rows, rows, axis=dim)


def _reordered(held: Axes, wanted: Axes, sizes: Mapping[str, int]) -> list[tuple[int, int]]:
    """(sender, receiver) of each part, when the axes that split a dimension change their order.

    Devices are numbered over the mesh axes `wanted` in this order, the last axis fastest. Numbered
    over the axes in the order `held`, a device has the number of the part that it holds. A part
    goes to the device that has the part's number in the order `wanted`.
    """
    places = itertools.product(*(range(sizes[name]) for name in wanted))
    sends = []
    for source, place in enumerate(places):
        at, number = dict(zip(wanted, place, strict=True)), 0
        for name in held:
            number = number * sizes[name] + at[name]
        sends.append((source, number))
    return sends
