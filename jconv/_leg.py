"""What one leg of a plan will do, and what it costs."""

from __future__ import annotations

import dataclasses
from typing import Any

from jconv._geometry import Size, product
from jconv._planner import choose
from jconv._problem import OPERANDS, OUTPUT, Problem, itemsize


@dataclasses.dataclass(frozen=True)
class Leg:
    """What one leg of a plan will do.

    Attributes:
        algorithm: the name of the algorithm that runs.
        flops: floating-point operations of the definition, two for each product.
        bytes: operands read and result written, once each.
        workspace_bytes: temporaries beside them.
        rejected: the algorithms that do not run, each with the reason.
    """

    algorithm: str
    flops: Size
    bytes: Size
    workspace_bytes: Size
    rejections: tuple[tuple[str, str], ...] = ()

    @property
    def rejected(self) -> dict[str, str]:
        return dict(self.rejections)

    def to_dict(self) -> dict[str, Any]:
        return {
            "algorithm": self.algorithm,
            "flops": plain(self.flops),
            "bytes": plain(self.bytes),
            "workspace_bytes": plain(self.workspace_bytes),
            "rejected": self.rejected,
        }


def plan_leg(problem: Problem, platform: str) -> Leg:
    choice = choose(problem, platform)
    slots = (*OPERANDS[problem.leg], OUTPUT[problem.leg])
    moved = sum(product(problem.shape(slot)) * itemsize(problem.dtype(slot)) for slot in slots)
    return Leg(
        algorithm=choice.algorithm.name,
        flops=2 * problem.multiplications,
        bytes=moved,
        workspace_bytes=choice.algorithm.workspace(problem, platform),
        rejections=tuple(choice.rejected.items()),
    )


def plain(value: Any) -> Any:
    """Nested tuples as lists, symbolic sizes and other objects as text."""
    if isinstance(value, tuple | list):
        return [plain(entry) for entry in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
