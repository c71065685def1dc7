"""What a leg sends and holds on a mesh, before it runs: shapes, halo rows and bytes on one device.

Bytes are the operands of the compiled program's collectives. Where sizes are symbols, plans assume
that the D parts of an axis line up (i = D*I, o = D*O, I*b = O*s, in the letters of `halo`) and that
a halo comes from the next part alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jconv._core.geometry import Axis, Shape, Size, is_static, max_size, product, span
from jconv._core.problem import LEGS, OPERANDS, OUTPUT, Problem, Slot, itemsize
from jconv._devices.bring import steps_between
from jconv._devices.local import LocalLeg, localize
from jconv._devices.roles import Spec, Split, decide, roles_of, told
from jconv._planner.choose import choose


@dataclasses.dataclass(frozen=True)
class LegDevices:
    """One leg on every device of a mesh.

    Attributes:
        split: the mesh axes of every dimension that is split, by its name.
        shapes: a device's part of x, w and y, in the library's own layout (channels last).
        specs: the mesh axes of each dimension of x, w and y as the leg uses them (so after an
            operand that cannot stay split is gathered), in the library's own layout.
        halo: for each spatial axis the rows received from before and after; (0, 0) for none.
        permuted: bytes that a device sends to single other devices: halo rows, and parts of
            operands that belong on another device.
        reduced: bytes of the partial result that devices add up.
        gathered: bytes that a device sends where an operand is gathered, or its split exchanged
            for that of another dimension.
        reasons: why operands are gathered or exchanged, a sentence for each mesh axis.
        algorithm: what every device runs on its parts.
    """

    split: tuple[tuple[str, tuple[str, ...]], ...]
    shapes: tuple[tuple[str, Shape], ...]
    specs: tuple[tuple[Slot, Spec], ...]
    halo: tuple[tuple[Size, Size], ...]
    permuted: Size
    reduced: Size
    gathered: Size
    reasons: tuple[str, ...]
    algorithm: str

    def to_dict(self) -> dict[str, Any]:
        """The record in types that JSON knows; symbolic sizes as text."""
        return {
            "split": {name: list(axes) for name, axes in self.split},
            "shapes": {slot: [_plain(size) for size in shape] for slot, shape in self.shapes},
            "specs": {slot: [list(axes) for axes in spec] for slot, spec in self.specs},
            "halo": [[_plain(rows) for rows in pair] for pair in self.halo],
            "permuted": _plain(self.permuted),
            "reduced": _plain(self.reduced),
            "gathered": _plain(self.gathered),
            "reasons": list(self.reasons),
            "algorithm": self.algorithm,
        }


def _plain(size: Size) -> Any:
    return size if is_static(size) else str(size)


def legs_devices(
    problem: Problem, specs: Mapping[Slot, Spec], mesh: Mapping[str, Size], platform: str
) -> tuple[tuple[str, LegDevices], ...]:
    """The three legs of a convolution whose x (or y) and w lie as `specs` says.

    The slot that `specs` leaves out lies as the forward operation leaves its result.
    """
    known: dict[Slot, Spec] = dict(specs)
    if "y" not in known:
        known["y"] = leg_devices(problem.replace(leg="conv"), known, mesh, platform)[1]
    if "x" not in known:
        known["x"] = leg_devices(problem.replace(leg="input_grad"), known, mesh, platform)[1]
    records = []
    for leg in LEGS:
        operands: dict[Slot, Spec] = {slot: known[slot] for slot in OPERANDS[leg]}
        records.append((leg, leg_devices(problem.replace(leg=leg), operands, mesh, platform)[0]))
    return tuple(records)


def leg_devices(
    problem: Problem, specs: Mapping[Slot, Spec], mesh: Mapping[str, Size], platform: str
) -> tuple[LegDevices, Spec]:
    """A leg whose operands lie as `specs` says, and how its result then lies."""
    split = decide(problem, specs, mesh)
    names = {role: told(role) for role, _ in split.roles}
    leg = localize(problem, split) if _known(problem, mesh) else None
    slots: tuple[Slot, ...] = ("x", "w", "y")
    shapes: dict[Slot, Shape] = {slot: _part(problem, split, slot) for slot in slots}
    halo = _halo(problem, split, leg)
    rows = _permuted(leg) if leg is not None else _permuted_rows(problem, shapes, halo)
    record = LegDevices(
        split=tuple((names[role], axes) for role, axes in split.roles),
        shapes=tuple(shapes.items()),
        specs=tuple((slot, split.spec(problem, slot)) for slot in slots),
        halo=halo,
        permuted=rows + _brought(problem, split, specs, ("permute",)),
        reduced=_reduced(problem, split, shapes),
        gathered=_brought(problem, split, specs, ("gather", "exchange")),
        reasons=split.reasons,
        algorithm=choose((leg.local if leg else problem).unbordered, platform).algorithm.name,
    )
    return record, split.spec(problem, OUTPUT[problem.leg])


def _known(problem: Problem, mesh: Mapping[str, Size]) -> bool:
    return problem.static and is_static(*mesh.values())


def _part(problem: Problem, split: Split, slot: Slot) -> Shape:
    """A device's part of a slot's array."""
    return tuple(
        _share(size, split.parts(role))
        for role, size in zip(roles_of(problem, slot), problem.shape(slot), strict=True)
    )


def _share(size: Size, parts: Size) -> Size:
    return size if is_static(parts) and parts == 1 else -(-size // parts)


def _halo(problem: Problem, split: Split, leg: LocalLeg | None) -> tuple[tuple[Size, Size], ...]:
    if leg is not None:
        return tuple((h.low, h.high) if h is not None else (0, 0) for h in leg.halos)
    return tuple(
        _lined_up(axis) if split.names(a) else (0, 0) for a, axis in enumerate(problem.window_axes)
    )


def _lined_up(axis: Axis) -> tuple[Size, Size]:
    """The halo where parts line up: rows before and after a part's own that its windows reach.

    The first window begins p0 (dilated) rows before the part, the last ends K - s - p0 after it.
    """
    before, after = axis.p0, span(axis.k, axis.d) - axis.s - axis.p0
    return max_size(before // axis.b, 0), max_size(-(-after // axis.b), 0)


def _permuted(leg: LocalLeg) -> int:
    """Bytes of the rows that one device sends along all spatial axes, one after the other."""
    problem = leg.problem
    gives_back = problem.leg == "input_grad" and problem.borders is not None
    slot: Slot = "x" if gives_back else OPERANDS[problem.leg][0]
    first = len(problem.vmapped) + 1
    shape = list(leg.shape(slot))
    grown = [halo.axis.i if halo is not None else 0 for halo in leg.halos]
    total = 0
    if gives_back:
        for a, halo in enumerate(leg.halos):
            shape[first + a] = grown[a] if halo is not None else shape[first + a]
    order = range(problem.rank - 1, -1, -1) if gives_back else range(problem.rank)
    for a in order:
        halo = leg.halos[a]
        if halo is not None:
            others = product([size for at, size in enumerate(shape) if at != first + a])
            total += halo.received * others
            shape[first + a] = halo.rows if gives_back else grown[a]
    dtype = leg.local.x_dtype if gives_back else problem.dtype(slot)
    return total * itemsize(dtype)


def _permuted_rows(
    problem: Problem, shapes: Mapping[Slot, Shape], halo: tuple[tuple[Size, Size], ...]
) -> Size:
    """`_permuted` where sizes are symbols; rows sent include the halos of earlier axes."""
    slot = OPERANDS[problem.leg][0]
    shape, first, total = list(shapes[slot]), len(problem.vmapped) + 1, 0
    for a, (low, high) in enumerate(halo):
        others = product([size for at, size in enumerate(shape) if at != first + a])
        total += (low + high) * others
        shape[first + a] = shape[first + a] + low + high
    return total * itemsize(problem.dtype(slot))


def _reduced(problem: Problem, split: Split, shapes: Mapping[Slot, Shape]) -> Size:
    sizes = dict(split.sizes)
    adding = [n for n in split.reduced(problem.leg) if not (is_static(sizes[n]) and sizes[n] == 1)]
    if not adding:
        return 0
    return product(shapes[OUTPUT[problem.leg]]) * itemsize(problem.unbordered.wide_dtype)


def _brought(
    problem: Problem, split: Split, specs: Mapping[Slot, Spec], kinds: tuple[str, ...]
) -> Size:
    """Bytes that a device sends in `steps_between` of these kinds, for both operands."""
    total: Size = 0
    for slot in OPERANDS[problem.leg]:
        wanted = split.spec(problem, slot)
        for step in steps_between(
            problem.shape(slot), specs.get(slot, wanted), wanted, dict(split.sizes)
        ):
            total += step.sent * itemsize(problem.dtype(slot)) if step.kind in kinds else 0
    return total
