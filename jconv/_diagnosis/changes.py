"""`Change`, a new value of one argument that may mend a call, and its cost.

The lower the cost, the likelier the change was meant. The unit is one size changed. The ratio of
the new size to the old breaks ties: of two sizes that could both be wrong, the one that needs the
smaller relative change is named.
A confusion that has a name (channels first, a filter in another framework's order, a missing
batch axis, a cotangent given the input's shape) costs less than one size, since one slip
explains all of it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from jconv._core.errors import Remedy
from jconv._core.geometry import is_static, same
from jconv._diagnosis.reading import ANY, Reading, Sets, Sizes, allows, distance, nearest

# Of changes that cost alike, the one whose argument stands first here is offered first: what the
# user typed is wrong more often than an array's shape, and x is wrong least often.
ORDER = ("input_shape", "filter_shape", "output_padding", "output_shape", "groups", "g", "w", "x")


@dataclasses.dataclass(frozen=True)
class Change:
    """One argument's new value, how likely it was meant, and what was probably confused.

    Attributes:
        remedy: the change.
        cost: in sizes changed; the lower, the likelier that this was meant.
        note: what was probably confused, in a sentence.
        reinterprets: whether it keeps the numbers and only reads them in another order.
    """

    remedy: Remedy
    cost: float
    note: str = ""
    reinterprets: bool = False

    @property
    def argument(self) -> str:
        return self.remedy.argument

    @property
    def value(self) -> Any:
        return self.remedy.value


def tie(argument: str) -> float:
    """A cost that only decides between changes which otherwise cost alike."""
    return 1e-3 * ORDER.index(argument)


def edited(reading: Reading, slot: str, sizes: Sizes, sets: Sets) -> tuple[Sizes, float] | None:
    """The nearest sizes that fit, and the cost of getting there; None in `sizes` is free."""
    rank = reading.rank
    first = 0 if slot == "w" or len(sizes) == rank else 1
    new = []
    for at, (size, choices) in enumerate(zip(sizes, sets, strict=True)):
        axis = at - first if 0 <= at - first < rank else None
        fit = _free(reading, slot, axis, choices) if size is None else nearest(choices, size)
        if fit is None:
            return None
        new.append(fit)
    spatial = slice(first, first + rank)
    old_axes, new_axes = sizes[spatial], tuple(new[spatial])
    edits = [_edit(a, b) for a, b in zip(sizes, new, strict=True)]
    cost = sum(edits)
    if rank > 1 and None not in sizes and square(old_axes) and square(new_axes):
        # Whoever writes a square thinks of one number, so changing all its sides is one change.
        one = edits[first]
        cost -= (rank - 1) * one - (0.25 if one else 0.0)
    if len(old_axes) > 1 and old_axes != new_axes and None not in old_axes:
        # A change to equal spatial sizes is likelier, a change away from them less likely.
        cost += 0.1 * (square(old_axes) - square(new_axes))
    return tuple(new), cost


def _edit(old: Any, new: Any) -> float:
    """The cost of one size changed: always more than 1 and less than 2."""
    if old is None or same(old, new):
        return 0.0
    return 1 + min(0.6 * distance(old, new), 0.95)


def square(sizes: Sizes) -> bool:
    return all(same(size, sizes[0]) for size in sizes)


def _free(reading: Reading, slot: str, axis: int | None, choices: Any) -> Any:
    """A size for an entry that the call leaves open; for a filter 3, as an example, if it fits."""
    if not len(choices):
        return None
    if slot == "w" and axis is not None and choices is not ANY and allows(choices, 3):
        return 3
    if len(choices) > 64 or axis is None:
        return choices[0] or choices[min(1, len(choices) - 1)]
    # Of the sizes that a stride allows, the one that conv_transpose chooses by default.
    assert reading.spec is not None
    largest = reading.spec.padding[axis] in ("SAME", "SAME_LOWER", "CAUSAL")
    return choices[-1] if largest else choices[0] or choices[-1]


def plausibility(slot: str, before: Sizes, after: Sizes) -> float:
    """The cost of reading canonical sizes in another order: kernels are small and mostly square."""
    if not is_static(*after):
        return 0.0
    part = slice(0, -2) if slot == "w" else slice(1, -1)
    old, new = before[part], after[part]
    skew = distance(min(old), max(old)) - distance(min(new), max(new))
    if skew > 0:
        return -0.2
    if skew < 0:
        return 0.9 if square(old) else 0.05
    return 0.3 if slot == "w" and max(new) > max(old) else 0.0
