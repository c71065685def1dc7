"""A leg lowered for many devices, whose mesh axes are automatic or explicit (JAX's AxisType).

Automatic axes: the leg is wrapped in custom_partitioning. The compiler propagates shardings by
`sharding_rule`, then calls back with the shardings that it found, for the program of one device.
Explicit axes: the types of the operands say how they are sharded, so the leg is a shard_map over
these axes. Either way each device runs `run_local`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from jconv._core import jax_sharding
from jconv._core.problem import OPERANDS, OUTPUT, Problem, Slot
from jconv._devices.bring import Step, in_equal_parts, steps_between
from jconv._devices.local import RunLeg, localize, run_local
from jconv._devices.roles import Spec, Split, decide, roles_of

TwoArrays = Callable[[jax.Array, jax.Array], jax.Array]


def alone(problem: Problem, a: jax.Array, b: jax.Array, run: RunLeg) -> jax.Array:
    """A leg on one device, borders included."""
    if problem.borders is None:
        return run(problem, a, b)
    return run_local(localize(problem, Split((), ())), a, b, run)


def partitioned(problem: Problem, mesh: Any, free: Any, run: RunLeg) -> TwoArrays:
    """The leg as a function that the compiler splits over a mesh's automatic axes.

    Args:
        problem: the leg.
        mesh: the mesh of all of the program's devices.
        free: the mesh of those axes alone that may split the leg; shardings name its axes.
        run: runs a problem on its operands, on one device.
    """
    (first, second), out = OPERANDS[problem.leg], OUTPUT[problem.leg]

    def whole(a: jax.Array, b: jax.Array) -> jax.Array:
        # Traced for the shape of its result alone: a leg on one device is not wrapped.
        return alone(problem.replace(policy="direct"), a, b, run)

    sizes = dict(free.shape)

    def specs_of(arguments: Any, *result: Any) -> dict[Slot, Spec]:
        avals = zip((first, second, out), (*arguments, *result), strict=False)
        return {
            slot: jax_sharding.named_spec(aval.sharding, free, aval.ndim) for slot, aval in avals
        }

    def sharding(spec: Spec) -> NamedSharding:
        return NamedSharding(free, partition_spec(spec))

    def partition(_: Any, arguments: Any, result: Any) -> Any:
        specs = specs_of(arguments, result)
        split = decide(problem, specs, sizes)
        leg, lies = localize(problem, split), []
        steps: list[tuple[Step, ...]] = []
        for slot in (first, second):
            shape, have, wanted = problem.shape(slot), specs[slot], split.spec(problem, slot)
            # Parts of different sizes are left to the compiler, which reshards the operand.
            ours = in_equal_parts(shape, have, wanted, sizes)
            steps.append(steps_between(shape, have, wanted, sizes) if ours else ())
            lies.append(sharding(have if ours else wanted))
        leg = dataclasses.replace(leg, steps=(steps[0], steps[1]))

        def on_one_device(a: jax.Array, b: jax.Array) -> jax.Array:
            with jax_sharding.on_axes(free.axis_names):
                return run_local(leg, a, b, run)

        return mesh, on_one_device, sharding(split.spec(problem, out)), tuple(lies)

    def infer(_: Any, arguments: Any, result: Any) -> Any:
        return sharding(decide(problem, specs_of(arguments), sizes).spec(problem, out))

    rule, factors = sharding_rule(problem)
    return jax_sharding.custom_partitioned(whole, partition, infer, rule, factors)


def split_by_batch(problem: Problem, mesh: Any, devices: int, run: RunLeg) -> TwoArrays:
    """The leg where custom_partitioning is not to be had: correct, but slow.

    XLA then splits lax's own convolution by itself. Along the batch it does so well. Along several
    other dimensions at once it computes wrong numbers, so all arrays are gathered along dimensions
    other than the batch (and a vmap's) first; along the batch too where no mesh is known.
    """
    direct = problem.replace(policy="direct")
    slots = (*OPERANDS[problem.leg], OUTPUT[problem.leg])
    free = [len(problem.vmapped) + (slot != "w") for slot in slots]

    def run_whole(a: jax.Array, b: jax.Array) -> jax.Array:
        operands = zip((a, b), free, strict=False)
        a, b = (jax_sharding.along_first(v, mesh, n, devices) for v, n in operands)
        return jax_sharding.along_first(alone(direct, a, b, run), mesh, free[2], devices)

    return run_whole


def partition_spec(spec: Spec) -> PartitionSpec:
    return PartitionSpec(*(names or None for names in spec))


def sharding_rule(problem: Problem) -> tuple[str, dict[str, int]]:
    """How shardings propagate through a leg, in the notation of custom_partitioning.

    There is one letter for each role (see `roles`). Rows of x and of y have the same letter,
    although there may be more of one: with a letter of its own y would lose the sharding of its
    rows. Channels of several groups are two factors, "(g c)". The sizes of these factors come
    second; those of letters that are whole dimensions follow from the arrays.
    """
    grouped = problem.groups > 1
    mapped = [[("v", size)] for size in problem.vmapped]
    outputs = [("g", problem.groups), ("f", problem.f)] if grouped else [("f", problem.f)]
    inputs = [("g", problem.groups), ("c", problem.c)] if grouped else [("c", problem.c)]
    taps = [[(f"k{a}", axis.k)] for a, axis in enumerate(problem.axes)]
    rows = [[(f"h{a}", 2)] for a in range(problem.rank)]
    dims = {
        "x": [*mapped, [("n", problem.n)], *rows, inputs],
        "w": [*mapped, *taps, [("c", problem.c)], outputs],
        "y": [*mapped, [("n", problem.n)], *rows, outputs],
    }
    slots = (*OPERANDS[problem.leg], OUTPUT[problem.leg])
    sizes: dict[str, int] = {}
    whole: set[str] = set()
    words = [" ".join(_dimension(dim, sizes, whole) for dim in dims[slot]) for slot in slots]
    sizes = {letter: size for letter, size in sizes.items() if letter not in whole}
    return f"{words[0]}, {words[1]} -> {words[2]}", sizes


def _dimension(factors: list[tuple[str, int]], sizes: dict[str, int], whole: set[str]) -> str:
    """A dimension in the rule's notation; factors of size 1 are left out beside larger ones."""
    kept = [factor for factor in factors if factor[1] > 1] or factors[:1]
    if len(kept) == 1:
        whole.add(kept[0][0])
        return kept[0][0]
    sizes.update(kept)
    return "(" + " ".join(letter for letter, _ in kept) + ")"


# --- explicit axes ------------------------------------------------------------------------


def out_spec(problem: Problem, split: Split) -> Spec:
    """How the result lies: as the leg is split, but unsplit where parts would differ in size."""
    slot = OUTPUT[problem.leg]
    roles = roles_of(problem, slot)
    shape = problem.shape(slot)
    return tuple(
        names if size % split.parts(role) == 0 else ()
        for role, size, names in zip(roles, shape, split.spec(problem, slot), strict=True)
    )


def over_explicit_axes(
    problem: Problem, split: Split, mesh: Any, wanted: Spec, run: RunLeg
) -> TwoArrays:
    """The leg as a shard_map over the explicit axes of a mesh; its result lies as `wanted` says.

    A dimension that does not divide into parts of one size is padded with zeros until it does, and
    the result is cut to its size.
    """
    leg = localize(problem, split)
    slots = (*OPERANDS[problem.leg], OUTPUT[problem.leg])
    specs = [partition_spec(split.spec(problem, slot)) for slot in slots]
    shape = problem.out_shape

    def run_whole(a: jax.Array, b: jax.Array) -> jax.Array:
        operands = []
        for slot, spec, array in zip(slots, specs, (a, b), strict=False):
            grown = [
                split.parts(r) * n
                for r, n in zip(roles_of(problem, slot), leg.shape(slot), strict=True)
            ]
            if tuple(grown) != array.shape:
                array = jax_sharding.reshard(array, mesh, _whole_where(array, grown))
                pads = [(0, n - m, 0) for n, m in zip(grown, array.shape, strict=True)]
                array = lax.pad(array, jnp.zeros((), array.dtype), pads)
            operands.append(jax_sharding.reshard(array, mesh, spec))
        mapped = jax_sharding.shard_map(
            lambda a, b: run_local(leg, a, b, run), mesh, tuple(specs[:2]), specs[2]
        )
        out = mapped(*operands)
        if out.shape != shape:
            out = jax_sharding.reshard(out, mesh, _whole_where(out, shape))
            out = lax.slice(out, (0,) * out.ndim, shape)
        return jax_sharding.reshard(out, mesh, partition_spec(wanted))

    return run_whole


def _whole_where(array: jax.Array, shape: Any) -> PartitionSpec:
    """An array's spec without the mesh axes of the dimensions whose size is to change."""
    spec = jax_sharding.spec_of(jax.typeof(array))
    return PartitionSpec(
        *(
            entry if size == wanted else None
            for entry, size, wanted in zip(spec, array.shape, shape, strict=True)
        )
    )
