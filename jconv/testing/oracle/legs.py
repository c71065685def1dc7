"""The arrays that an operation or a transformation of it returns: legs of one trilinear form.

Whatever is done with an operation, its results are derivatives of the form in one slot, x, w or y,
on known arrays in the two other slots. The gradient of `conv` in x along g is the leg of slot x on
(g, w), a second derivative is another leg, and vmap returns a stack of legs. So an answer is a
list of arrays, each of which the oracle can compute.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from jconv._check.operations import OPERATIONS as RECORDS
from jconv._core.problem import OUTPUT
from jconv.testing.oracle import reference
from jconv.testing.oracle.case import Case

Array = reference.Array
Operands = Mapping[str, Array]  # by slot: "x", "w", "y"

SLOTS: dict[str, tuple[str, tuple[str, ...]]] = {
    op.name: (OUTPUT[op.leg], tuple(op.arrays.values())) for op in RECORDS.values()
}
"""For each operation the slot of its result and the slots of its operands."""
OPERATIONS = tuple(SLOTS)


def argument_names(operation: str) -> dict[str, str]:
    """The name of each array argument of an operation, by slot."""
    return {slot: name for name, slot in RECORDS[operation].arrays.items()}


def leg(case: Case, out: str, operands: Operands) -> Array:
    """The oracle's answer: the trilinear form's derivative in slot `out`."""
    if out == "y":
        return reference.conv(operands["x"], operands["w"], **case.kwargs)
    if out == "x":
        g, w = operands["y"], operands["w"]
        return reference.conv_input_grad(g, w, input_shape=case.x_shape, **case.kwargs)
    x, g = operands["x"], operands["y"]
    return reference.conv_filter_grad(x, g, filter_shape=case.w_shape, **case.kwargs)


@dataclasses.dataclass(frozen=True)
class Item:
    """One array of an answer: which leg it is, on which operands.

    Attributes:
        case: the convolution.
        out: the slot of the leg.
        operands: the arrays in the two other slots.
        given: what gave the result's size, as in `Question`.
        stack: all items of the answer, which a wrong transformation may mix up.
        index: the place of this item in `stack`.
    """

    case: Case
    out: str
    operands: Operands
    given: str = ""
    index: int = 0
    stack: tuple[Item, ...] = dataclasses.field(default=(), repr=False)

    @property
    def expected(self) -> Array:
        return leg(self.case, self.out, self.operands)
