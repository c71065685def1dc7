"""How arrays lie on a mesh inside a traced program, as far as that can be known before it runs.

Over explicit mesh axes every value's type says it. Over automatic axes the compiler decides, and
what is known are the shardings of the arguments; they are followed here through convolutions,
element-by-element operations, transposes, broadcasts and sums. What is not followed is unknown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import NamedSharding

from jconv._core import jax_sharding
from jconv._core.problem import OPERANDS, OUTPUT, Problem, Slot
from jconv._devices.roles import Spec, decide


@dataclasses.dataclass(frozen=True)
class Lies:
    """How one array lies: the sizes of the mesh's axes, and those that split each dimension."""

    mesh: tuple[tuple[str, int], ...]
    spec: Spec


Known = dict[Any, Lies]


def of_argument(value: Any) -> Lies | None:
    """How an argument that is an array, or stands for one, lies."""
    sharding = getattr(value, "sharding", None)
    if not isinstance(sharding, NamedSharding) or sharding.mesh.size == 1:
        return None
    names = [jax_sharding.names_of(entry) for entry in sharding.spec]
    spec = (*names, *((),) * (len(value.shape) - len(names)))
    return Lies(tuple(sharding.mesh.shape.items()), spec)


def of_value(variable: Any, known: Known) -> Lies | None:
    """How a value of a traced program lies, by its type or by what was followed."""
    aval = variable.aval
    mesh = jax_sharding.mesh_of(aval)
    if mesh is not None:
        explicit = set(mesh.explicit_axes)
        spec = tuple(
            tuple(name for name in jax_sharding.names_of(entry) if name in explicit)
            for entry in jax_sharding.spec_of(aval)
        )
        return Lies(tuple((name, mesh.shape[name]) for name in mesh.explicit_axes), spec)
    return None if hasattr(variable, "val") else known.get(variable)  # literals do not hash


def of_operands(equation: Any, known: Known) -> tuple[dict[str, int], dict[Slot, Spec]]:
    """The mesh of a convolution, and how its arrays lie, in the library's own layout.

    Of its result that is known where the call, or a gradient over explicit axes, says it.
    """
    problem: Problem = equation.params["problem"]
    mesh: dict[str, int] = {}
    specs: dict[Slot, Spec] = {}
    for slot, variable in zip(OPERANDS[problem.leg], equation.invars, strict=True):
        lies = of_value(variable, known)
        if lies is not None:
            mesh = mesh or dict(lies.mesh)
            if dict(lies.mesh) == mesh:
                specs[slot] = tuple(lies.spec[at] for at in problem.order(slot))
    asked = equation.params["out_spec"]
    if asked is not None and specs:
        specs[OUTPUT[problem.leg]] = tuple(tuple(n for n in names if n in mesh) for names in asked)
    return mesh, specs


def follow(equation: Any, known: Known, *, conv: bool) -> None:
    """Note how an equation's results lie, where that follows from its operands."""
    lies = [of_value(variable, known) for variable in equation.invars]
    if not any(lies):
        return
    for out in equation.outvars:
        found = _of_conv(equation, known) if conv else _of_result(equation, lies, out)
        if found is not None:
            known[out] = found


def _of_conv(equation: Any, known: Known) -> Lies | None:
    problem = equation.params["problem"]
    mesh, specs = of_operands(equation, known)
    slot = OUTPUT[problem.leg]
    own = specs.get(slot) or decide(problem, specs, mesh).spec(problem, slot)
    placed = dict(zip(problem.order(slot), own, strict=True))
    return Lies(tuple(mesh.items()), tuple(placed[at] for at in range(len(placed))))


def _of_result(equation: Any, lies: Sequence[Lies | None], out: Any) -> Lies | None:
    name, params = equation.primitive.name, equation.params
    first, shape = lies[0], equation.invars[0].aval.shape
    if first is not None:
        if name == "transpose":
            return dataclasses.replace(
                first, spec=tuple(first.spec[at] for at in params["permutation"])
            )
        if name == "broadcast_in_dim":
            places = dict(zip(params["broadcast_dimensions"], range(len(shape)), strict=True))
            kept = [
                first.spec[places[d]] if d in places and shape[places[d]] == n else ()
                for d, n in enumerate(out.aval.shape)
            ]
            return dataclasses.replace(first, spec=tuple(kept))
        if name.startswith("reduce_") and "axes" in params and len(lies) == 1:
            kept = [names for d, names in enumerate(first.spec) if d not in params["axes"]]
            return dataclasses.replace(first, spec=tuple(kept))
        if name in ("slice", "pad", "dynamic_slice") and len(shape) == len(out.aval.shape):
            pairs = zip(first.spec, shape, out.aval.shape, strict=True)
            return dataclasses.replace(
                first, spec=tuple(names if n == m else () for names, n, m in pairs)
            )
    if name in ("reshape", "gather", "dot_general", "conv_general_dilated"):
        return None
    alike = [
        found
        for found, variable in zip(lies, equation.invars, strict=True)
        if found is not None and variable.aval.shape == out.aval.shape
    ]
    return alike[0] if alike else None


def inner_known(equation: Any, inner: Any, known: Known) -> Known:
    """What is known of the variables of a jaxpr inside an equation, such as jit's or scan's."""
    name = equation.primitive.name
    if name in ("shard_map", "while"):
        return {}
    outer: list[Lies | None] = [of_value(variable, known) for variable in equation.invars]
    if name == "cond":
        outer = outer[1:]
    if len(outer) != len(inner.invars):
        return {}
    pairs = zip(inner.invars, outer, strict=True)
    # What scan goes through has a leading dimension more outside than inside.
    here = {variable: _within(lies, len(variable.aval.shape)) for variable, lies in pairs}
    return {variable: lies for variable, lies in here.items() if lies is not None}


def note_results(equation: Any, inner: Any, within: Mapping[Any, Lies], known: Known) -> None:
    """Note how the results of an equation lie that runs a jaxpr once, such as jit's."""
    if equation.primitive.name in ("scan", "while", "cond", "shard_map"):
        return
    if len(inner.outvars) == len(equation.outvars):
        for result, out in zip(inner.outvars, equation.outvars, strict=True):
            lies = of_value(result, dict(within))
            if lies is not None:
                known[out] = lies


def _within(lies: Lies | None, ndim: int) -> Lies | None:
    """How a value lies inside, where it has `ndim` dimensions.

    With one dimension less it is an entry along the leading one, which has to be whole.
    """
    if lies is None or len(lies.spec) == ndim:
        return lies
    if len(lies.spec) == ndim + 1 and not lies.spec[0]:
        return dataclasses.replace(lies, spec=lies.spec[1:])
    return None
