"""The bytes that compiled programs move between devices, beside those that plans name.

Many legs are compiled in one program for each mesh, every leg under a named scope of its own, so
that its collectives are found by the scope in their metadata. Arrays are small and legs run by
"direct": what moves between devices does not depend on the algorithm, and this compiles fast.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from compiling import AS_USERS
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconv

KINDS = ("all-gather", "all-reduce", "collective-permute", "all-to-all", "reduce-scatter")
NAMES = ("a", "b", "c")
BYTES = {"f32": 4, "bf16": 2, "f16": 2, "f64": 8, "s32": 4, "u32": 4, "pred": 1}

_MADE = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (\w+)\[([\d,]*)\]", re.MULTILINE)
_CALL = re.compile(rf"^.* = .*? ({'|'.join(KINDS)})(?:-start)?\(([^)]*)\).*$", re.MULTILINE)
_SCOPE = re.compile(r"/(leg\d+)/")


def operand_bytes(text: str) -> dict[str, dict[str, int]]:
    """For each scope "legN" (or "" for none) the operands' bytes of each kind of collective."""
    made: dict[str, int] = {}
    lines: dict[str, str] = {}
    for found in _MADE.finditer(text):
        name, dtype, sizes = found.groups()
        made[name] = BYTES[dtype] * int(np.prod([int(n) for n in sizes.split(",") if n] or [1]))
        lines[name] = text[found.start() : text.index("\n", found.end())]
    moved: dict[str, dict[str, int]] = {}
    text = re.sub(r"/\*.*?\*/", "", text)  # the places of a long list's entries
    for found in _CALL.finditer(text):
        operands = [word.split()[-1].lstrip("%") for word in found.group(2).split(",")]
        for operand in operands:
            # Of a collective that was made of several, each operand says whose it is.
            line = found.group(0) if len(operands) == 1 else lines[operand]
            scope = _SCOPE.search(line) or _SCOPE.search(lines[operand])
            of_scope = moved.setdefault(scope.group(1) if scope else "", dict.fromkeys(KINDS, 0))
            of_scope[found.group(1)] += made[operand]
    return moved


@dataclasses.dataclass(frozen=True)
class PlannedLeg:
    """One leg of a planned call: what it is told about, and the function that runs it."""

    name: str
    case: dict[str, Any]
    record: Any
    run: Any
    avals: tuple[Any, Any]
    result: NamedSharding

    @property
    def planned(self) -> tuple[int, int, int]:
        return self.record.permuted, self.record.reduced, self.record.gathered


def mesh_of(shape: Sequence[int], kind: str) -> Any:
    names = NAMES[: len(shape)]
    return jax.make_mesh(shape, names, axis_types=(getattr(AxisType, kind),) * len(names))


def planned_legs(case: dict[str, Any], mesh: Any) -> list[PlannedLeg]:
    """The legs of a call whose result divides among the devices.

    A program's results are always in parts of one size; others it gathers at its end.
    """
    settings, specs, sizes = case["settings"], case["specs"], dict(mesh.shape)
    plan = jconv.plan(
        case["x"],
        case["w"],
        mesh=sizes,
        x_spec=specs["x"],
        w_spec=specs["w"],
        platform="cpu",
        **settings,
    )
    shapes = {"x": plan.x_shape, "w": plan.w_shape, "y": plan.y_shape}
    x, w = plan.x_shape, plan.w_shape
    runs = {
        "conv": lambda x, w: jconv.conv(x, w, **settings),
        "input_grad": lambda g, w: jconv.conv_input_grad(g, w, input_shape=x, **settings),
        "filter_grad": lambda x, g: jconv.conv_filter_grad(x, g, filter_shape=w, **settings),
    }
    slots = {"conv": "xwy", "input_grad": "ywx", "filter_grad": "xyw"}
    found = []
    for leg, run in runs.items():
        record, lies = plan.devices[leg], {**specs, "y": dict(plan.devices["conv"].specs)["y"]}
        *operands, out = slots[leg]
        part = zip(shapes[out], dict(record.shapes)[out], strict=True)
        uneven = [
            size % int(np.prod([sizes[axis] for axis in axes]))
            for size, axes in zip(shapes["y"], lies["y"], strict=True)
        ]
        if any(uneven) or any(size % rows for size, rows in part):
            continue
        lies |= {out: dict(record.specs)[out]}
        laid = {s: NamedSharding(mesh, P(*(tuple(n) or None for n in lies[s]))) for s in lies}
        a, b = (
            jax.ShapeDtypeStruct(shapes[slot], jnp.float32, sharding=laid[slot])
            for slot in operands
        )
        found.append(PlannedLeg(leg, case, record, run, (a, b), laid[out]))
    return found


def unequal(legs: Sequence[PlannedLeg]) -> list[tuple[Any, ...]]:
    """Of legs on one mesh those whose planned bytes are not the compiled program's."""

    def program(operands: Any) -> Any:
        results = []
        for number, (leg, arrays) in enumerate(zip(legs, operands, strict=True)):
            with jax.named_scope(f"leg{number}"):
                results.append(leg.run(*arrays))
        return results

    with jconv.policy("direct"):
        jitted = jax.jit(program, out_shardings=[leg.result for leg in legs])
        text = jitted.lower([leg.avals for leg in legs]).compile(AS_USERS).as_text()
    moved = operand_bytes(text)
    assert "" not in moved, "a collective belongs to no leg"
    wrong = []
    for number, leg in enumerate(legs):
        of_leg = moved.get(f"leg{number}", dict.fromkeys(KINDS, 0))
        gathered = of_leg["all-gather"] + of_leg["all-to-all"]
        read = of_leg["collective-permute"], of_leg["all-reduce"], gathered
        if leg.planned != read or of_leg["reduce-scatter"]:
            wrong.append((leg.name, leg.case, leg.planned, read, leg.record.reasons))
    return wrong
