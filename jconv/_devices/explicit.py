"""The keyword `out_sharding`, and calls whose shardings over explicit mesh axes are ambiguous."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from jconv._core import jax_sharding
from jconv._core.errors import ConvError, Remedy
from jconv._core.layout import Layout
from jconv._core.problem import OUTPUT, Problem, Slot
from jconv._devices.roles import Role, Spec, roles_of, told


def read_out_sharding(op: str, value: Any, ndim: int) -> PartitionSpec | None:
    """The partition spec that `out_sharding` gives the result, one entry for each dimension."""
    if value is None:
        return None
    spec = value.spec if isinstance(value, NamedSharding) else value
    if not isinstance(spec, PartitionSpec) or len(spec) > ndim:
        raise ConvError(
            f"{op}: `out_sharding` must be a jax.sharding.NamedSharding or PartitionSpec of at "
            f"most {ndim} entries.",
            argument="out_sharding",
            got=value,
            expected=f"None, or a sharding of the {ndim} dimensions of the result",
            remedies=[Remedy("out_sharding", None, "leave out_sharding out")],
        )
    return PartitionSpec(*spec, *(None,) * (ndim - len(spec)))


def permuted(spec: PartitionSpec, order: tuple[int, ...]) -> Spec:
    """The mesh axes of each dimension in jconv's own layout, from a spec in the caller's layout.

    `order` is that slot's field of the caller's Layout.
    """
    return tuple(jax_sharding.names_of(spec[at]) for at in order)


def check_unambiguous(
    op: str, problem: Problem, layout: Layout, arrays: Mapping[str, Slot], avals: Mapping[str, Any]
) -> None:
    """Refuse a call in which one explicit mesh axis would split two dimensions of the result.

    Args:
        op: the operation's name.
        problem: its leg.
        layout: the caller's.
        arrays: the slot of each array argument.
        avals: what JAX knows of the arguments, in the caller's layout.
    """
    mesh = jax_sharding.mesh_of(*avals.values())
    if mesh is None:
        return
    result = roles_of(problem, OUTPUT[problem.leg])
    claimed: dict[str, tuple[str, Role]] = {}
    for name, slot in arrays.items():
        spec = permuted(PartitionSpec(*jax_sharding.spec_of(avals[name])), getattr(layout, slot))
        for role, axes in zip(roles_of(problem, slot), spec, strict=True):
            for axis in set(axes) & set(mesh.explicit_axes):
                if role not in result:
                    continue
                other, before = claimed.setdefault(axis, (name, role))
                if before != role:
                    raise _ambiguous(op, axis, (other, before), (name, role), avals)


def _ambiguous(
    op: str,
    axis: str,
    first: tuple[str, Role],
    second: tuple[str, Role],
    avals: Mapping[str, Any],
) -> ConvError:
    (a, role_a), (b, role_b) = first, second
    moved = min((b, a), key=lambda name: avals[name].size)
    entries = []
    for entry in jax_sharding.spec_of(avals[moved]):
        kept = tuple(name for name in jax_sharding.names_of(entry) if name != axis)
        entries.append(kept[0] if len(kept) == 1 else kept or None)
    spec = PartitionSpec(*entries)
    lies = f"jax.P({', '.join(map(repr, entries))})"
    if jax.sharding.get_abstract_mesh().empty:  # no mesh is set: JAX takes no bare spec then
        lies = f"jax.NamedSharding(jax.typeof({moved}).sharding.mesh, {lies})"
    call = f"jax.sharding.reshard({moved}, {lies})"
    return ConvError(
        f"{op}: the mesh axis {axis!r} splits {told(role_a)} of `{a}` and {told(role_b)} of `{b}`, "
        f"and one mesh axis cannot split two dimensions of the result. Pass {call} in place of "
        f"`{moved}`, or say with `out_sharding` how the result is to lie.",
        argument=moved,
        got=jax_sharding.spec_of(avals[moved]),
        expected=f"a sharding without {axis!r}",
        remedies=[Remedy(moved, spec, f"pass {call} as `{moved}`")],
    )


def laid_out(array: jax.Array, spec: PartitionSpec) -> jax.Array:
    """The array sharded as `spec` says, over a mesh whose axes are explicit or automatic."""
    mesh = jax.sharding.get_abstract_mesh()
    explicit = jax_sharding.mesh_of(jax.typeof(array))
    if explicit is not None:
        return jax_sharding.reshard(array, explicit, spec)
    sharding = spec if mesh.empty else NamedSharding(mesh, spec)
    return jax.lax.with_sharding_constraint(array, sharding)
