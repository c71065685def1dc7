"""What one leg of a plan will do, and what it costs."""

from __future__ import annotations

import dataclasses
from typing import Any

from jconv._algorithms import Algorithm
from jconv._check.arrays import given_dtype
from jconv._check.dtypes import kind_of
from jconv._core import jax_hooks
from jconv._core.errors import ConvError, Remedy, show
from jconv._core.geometry import Size, product
from jconv._core.problem import OPERANDS, OUTPUT, Problem, itemsize
from jconv._planner.choose import at_once, choose, needs


@dataclasses.dataclass(frozen=True)
class Leg:
    """What one leg of a plan will do.

    Attributes:
        algorithm: the name of the algorithm that runs.
        flops: floating-point operations of the definition, two for each product.
        bytes: operands read and result written, once each.
        workspace_bytes: temporaries beside them.
        rejected: the algorithms that do not run, each with the reason.
        compile_seconds: predicted seconds to compile it alone, under a policy that says how many
            `runs` there will be; None otherwise.
    """

    algorithm: str
    flops: Size
    bytes: Size
    workspace_bytes: Size
    rejections: tuple[tuple[str, str], ...] = ()
    compile_seconds: float | None = None

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
            "compile_seconds": self.compile_seconds,
        }


PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def read_platform(op: str, value: Any) -> str:
    """A platform's name; that of the default backend for none."""
    if value is None:
        return jax_hooks.default_platform()
    if isinstance(value, str) and value in PLATFORMS:
        return value
    likely = "cuda" if isinstance(value, str) and value.lower() == "gpu" else None
    raise ConvError(
        f"{op}: `platform` has no choice {show(value)}.",
        argument="platform",
        got=value,
        expected=" or ".join(map(repr, PLATFORMS)),
        remedies=[Remedy.use("platform", likely)]
        if likely
        else [Remedy.omit("platform", "it is the default backend's")],
    )


def read_number_dtype(op: str, value: Any) -> str:
    """The dtype of a plan's operands: one that holds numbers, float32 for none."""
    name = given_dtype(op, "dtype", value) or "float32"
    if kind_of(name) == "other":
        raise ConvError(
            f"{op}: `dtype` must hold numbers; it is {name}.",
            argument="dtype",
            got=value,
            expected="a floating, complex or integer dtype, such as 'float32'",
            remedies=[Remedy.omit("dtype", "it is 'float32'")],
        )
    return name


def plan_leg(problem: Problem, platform: str) -> Leg:
    choice = choose(problem, platform)
    slots = (*OPERANDS[problem.leg], OUTPUT[problem.leg])
    moved = sum(product(problem.shape(slot)) * itemsize(problem.dtype(slot)) for slot in slots)
    return Leg(
        algorithm=choice.algorithm.name,
        flops=2 * problem.multiplications,
        bytes=moved,
        workspace_bytes=_workspace(choice.algorithm, problem, platform),
        rejections=tuple(choice.rejected.items()),
        compile_seconds=choice.compiling,
    )


def _workspace(algorithm: Algorithm, problem: Problem, platform: str) -> Size:
    one = at_once(problem, platform)
    held = needs(algorithm, one, platform)
    if one.n is problem.n or problem.vmapped:
        return held
    return held + product(problem.out_shape) * itemsize(problem.wide_dtype)  # examples, to join


def plain(value: Any) -> Any:
    """Nested tuples as lists, symbolic sizes and other objects as text."""
    if isinstance(value, tuple | list):
        return [plain(entry) for entry in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
