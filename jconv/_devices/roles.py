"""Which dimension of a leg each mesh axis splits, decided from how its arrays lie.

A leg has these dimensions, named by role: "v" (mapped over, shared by all arrays), "n" (batch),
one number for each spatial axis, "c" and "f" (input and output channels), or "g" (whole groups)
where there are several. A mesh axis splits one role and then every array that has it::

    split     conv                     input_grad               filter_grad
    n         local                    local                    local, then summed
    spatial   halo of x                halo of g                halo of x, then summed
    c         local, then summed       local                    local
    f         local                    local, then summed       local
    g, v      local                    local                    local

Where arrays disagree about a mesh axis, the axis splits the role under which the fewest bytes move,
and `bring` moves the parts of an array that it splits otherwise. No JAX is imported here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from jconv._core.geometry import Size, is_static, product
from jconv._core.problem import OPERANDS, OUTPUT, Leg, Problem, Slot, itemsize

Role = str | int | None  # None: a dimension that no leg can split, the filter's taps
Spec = tuple[tuple[str, ...], ...]  # for each dimension the mesh axes that split it, outer first

SUMMED: dict[Leg, tuple[str, ...]] = {
    "conv": ("c",),
    "input_grad": ("f",),
    "filter_grad": ("n",),  # and its spatial axes
}


def roles_of(problem: Problem, slot: Slot) -> tuple[Role, ...]:
    """The role of every dimension of a slot."""
    mapped: tuple[Role, ...] = ("v",) * len(problem.vmapped)
    inputs, outputs = ("g", "g") if problem.groups > 1 else ("c", "f")
    if slot == "w":
        # With groups, x's channels are split in whole groups ("g"), and w holds the input channels
        # of one group alone, which then stay whole.
        within = None if problem.groups > 1 else "c"
        return (*mapped, *(None,) * problem.rank, within, outputs)
    return (*mapped, "n", *range(problem.rank), inputs if slot == "x" else outputs)


def extent(problem: Problem, role: Role) -> Size:
    """How many parts a role can have at most."""
    if isinstance(role, int):
        x, y = problem.shape("x"), problem.shape("y")
        at = len(problem.vmapped) + 1 + role
        return max(x[at], y[at])
    sizes = {"n": problem.n, "c": problem.c, "f": problem.f, "g": problem.groups}
    return problem.vmapped[0] if role == "v" else sizes[str(role)]


def summed(leg: Leg, role: Role) -> bool:
    """Whether the devices' results are to be added where this role is split."""
    return role in SUMMED[leg] or (leg == "filter_grad" and isinstance(role, int))


@dataclasses.dataclass(frozen=True)
class Split:
    """How one leg is split over a mesh.

    Attributes:
        roles: the mesh axes of every role that is split, outer first.
        sizes: the mesh axes' sizes.
        reasons: why an operand is gathered or exchanged over a mesh axis, a sentence for each.
    """

    roles: tuple[tuple[Role, tuple[str, ...]], ...]
    sizes: tuple[tuple[str, int], ...]
    reasons: tuple[str, ...] = ()

    def names(self, role: Role) -> tuple[str, ...]:
        return dict(self.roles).get(role, ())

    def parts(self, role: Role) -> int:
        sizes = dict(self.sizes)
        return math.prod(sizes[name] for name in self.names(role))

    def spec(self, problem: Problem, slot: Slot) -> Spec:
        """How a slot's array lies on the devices."""
        return tuple(self.names(role) for role in roles_of(problem, slot))

    def reduced(self, leg: Leg) -> tuple[str, ...]:
        """The mesh axes over which the devices' results are added."""
        return tuple(name for role, names in self.roles if summed(leg, role) for name in names)


def decide(
    problem: Problem,
    specs: Mapping[Slot, Spec],
    sizes: Mapping[str, int],
) -> Split:
    """The split of a leg whose arrays lie as `specs` says.

    Args:
        problem: the leg.
        specs: how its arrays lie; a slot that is left out takes what the others decide.
        sizes: the mesh axes' sizes.
    """
    chosen: dict[Role, list[str]] = {}
    reasons: list[str] = []
    for name in _in_order(problem, specs):
        claims = _claims(problem, specs, name)
        role, words = _best(problem, specs, sizes, claims, name, chosen)
        reasons += words
        if role is not None:
            chosen.setdefault(role, []).append(name)
    ordered = tuple((role, tuple(names)) for role, names in chosen.items())
    return Split(ordered, tuple(sizes.items()), tuple(reasons))


def _in_order(problem: Problem, specs: Mapping[Slot, Spec]) -> list[str]:
    """Every mesh axis in use, by array, the largest first; within one dimension outer first."""
    by_size = list(specs)
    if problem.static:
        by_size.sort(key=lambda slot: -_bytes(problem, slot))
    return list(dict.fromkeys(n for slot in by_size for names in specs[slot] for n in names))


def _claims(problem: Problem, specs: Mapping[Slot, Spec], name: str) -> dict[Slot, Role]:
    """The role that a mesh axis splits in each array, for the arrays that it splits."""
    return {
        slot: role
        for slot, spec in specs.items()
        for role, names in zip(roles_of(problem, slot), spec, strict=True)
        if name in names
    }


def _bytes(problem: Problem, slot: Slot) -> Size:
    return product(problem.shape(slot)) * itemsize(problem.dtype(slot))


def _best(
    problem: Problem,
    specs: Mapping[Slot, Spec],
    sizes: Mapping[str, int],
    claims: Mapping[Slot, Role],
    name: str,
    chosen: Mapping[Role, Sequence[str]],
) -> tuple[Role, list[str]]:
    """The role under which a mesh axis moves the fewest bytes, and why operands have to move."""
    refused: dict[Role, str] = {}
    costs: dict[Role, float] = {}
    candidates = list(dict.fromkeys(claims.values()))
    for role in candidates:
        parts = math.prod(sizes[other] for other in chosen.get(role, ())) * sizes[name]
        reason = _unsplittable(problem, role, parts)
        if reason is None:
            compared = problem.static and len(candidates) > 1  # symbols go by the first claim
            costs[role] = _moved(problem, claims, specs, role, sizes[name]) if compared else 0.0
        else:
            refused[role] = reason
    # The first of equals: operands come before the result, the larger operand first.
    role = min(costs, key=costs.__getitem__) if costs else None
    words = []
    for slot in OPERANDS[problem.leg]:
        if slot in claims and claims[slot] != role:
            claimed = claims[slot]
            why = refused.get(claimed) or f"the mesh axis splits {told(role)} here"
            words.append(f"{slot} is brought together over {name!r}: {why}")
    return role, words


def told(role: Role) -> str:
    """A role in words."""
    words = {
        "v": "the mapped dimension",
        "n": "the batch",
        "c": "the input channels",
        "f": "the output channels",
        "g": "the groups",
        None: "nothing",
    }
    return f"spatial axis {role}" if isinstance(role, int) else words[role]


def _unsplittable(problem: Problem, role: Role, parts: int) -> str | None:
    if role is None:
        return "no leg can split the filter's taps, nor the input channels of several groups"
    size = extent(problem, role)
    if role == "g" and is_static(size, parts) and size % parts:
        return f"{parts} parts do not hold whole ones of the {size} groups"
    return None


def _moved(
    problem: Problem,
    claims: Mapping[Slot, Role],
    specs: Mapping[Slot, Spec],
    role: Role,
    parts: int,
) -> float:
    """Bytes that a device receives, about, where a mesh axis splits this role."""
    total = 0.0
    for slot in OPERANDS[problem.leg]:
        if slot in claims and claims[slot] != role:
            exchanged = role in roles_of(problem, slot)
            total += _bytes(problem, slot) / (parts if exchanged else 1)
    out = OUTPUT[problem.leg]
    if summed(problem.leg, role):
        total += 2 * _bytes(problem, out)
    elif out in specs and claims.get(out, None) != role:
        total += _bytes(problem, out) / (parts if out in claims else 1)
    return total
