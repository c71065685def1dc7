"""The parts of JAX's meshes, shardings and lowering for many devices that releases change."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def varying_axes(aval: Any) -> frozenset[str]:
    """The manual mesh axes over which a value varies inside shard_map."""
    manual = getattr(aval, "mat", None)
    return manual.varying if manual is not None else getattr(aval, "vma", frozenset())


def make_varying_alike(*operands: jax.Array) -> tuple[jax.Array, ...]:
    """Bring operands to the union of their varying axes, as lax does for its own operations.

    The transpose of the cast is the psum that sums a replicated operand's cotangent.
    """
    axes = [varying_axes(jax.typeof(operand)) for operand in operands]
    union = frozenset().union(*axes)
    return tuple(
        jax.lax.pcast(operand, tuple(sorted(union - have)), to="varying")
        if union - have
        else operand
        for operand, have in zip(operands, axes, strict=True)
    )


def mesh_of(*avals: Any) -> Any:
    """The mesh with explicit axes that these values are sharded over, or None."""
    for aval in avals:
        sharding = getattr(aval, "sharding", None)
        mesh = getattr(sharding, "mesh", None)
        if mesh is not None and not mesh.empty and mesh.explicit_axes:
            return mesh
    return None


def spec_of(aval: Any) -> tuple[Any, ...]:
    """A value's partition spec, one entry for each dimension."""
    sharding = getattr(aval, "sharding", None)
    spec = tuple(getattr(sharding, "spec", ()))
    return spec + (None,) * (len(aval.shape) - len(spec))


def output_aval(like: Any, shape: Sequence[Any], dtype: Any, mesh: Any, spec: Any) -> Any:
    """An abstract array that varies over the same manual axes as `like`."""
    changes: dict[str, Any] = {"shape": tuple(shape), "dtype": dtype, "weak_type": False}
    if mesh is not None:
        changes["sharding"] = NamedSharding(mesh, PartitionSpec(*spec))
    else:
        changes["sharding"] = like.sharding.update(spec=PartitionSpec(*([None] * len(shape))))
    return like.update(**changes)


def reshard(value: jax.Array, mesh: Any, spec: PartitionSpec) -> jax.Array:
    """A value laid out over explicit mesh axes as `spec` says."""
    if tuple(spec) == spec_of(jax.typeof(value)):
        return value
    return jax.sharding.reshard(value, NamedSharding(mesh, spec))


def reshard_like(value: jax.Array, aval: Any) -> jax.Array:
    """Give a cotangent the sharding of its primal where the mesh's axes are explicit."""
    mesh = mesh_of(aval, jax.typeof(value))
    if mesh is None or spec_of(aval) == spec_of(jax.typeof(value)):
        return value
    return jax.sharding.reshard(value, NamedSharding(mesh, PartitionSpec(*spec_of(aval))))


def unsharded(value: jax.Array, dims: Sequence[int]) -> jax.Array:
    """`value` gathered along `dims`, since JAX cannot slice what explicit mesh axes split."""
    aval = jax.typeof(value)
    mesh, spec = mesh_of(aval), spec_of(aval)
    whole = tuple(None if dim in dims else entry for dim, entry in enumerate(spec))
    if mesh is None or whole == spec:
        return value
    return jax.sharding.reshard(value, NamedSharding(mesh, PartitionSpec(*whole)))


def make_varying(value: jax.Array, names: Sequence[str]) -> jax.Array:
    """`value`, marked as varying over the manual mesh axes `names` where JAX keeps such marks."""
    manual = jax.sharding.get_abstract_mesh().manual_axes
    missing = tuple(n for n in names if n in manual and n not in varying_axes(jax.typeof(value)))
    return jax.lax.pcast(value, missing, to="varying") if missing else value


_AXES: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("axes", default=())


@contextlib.contextmanager
def on_axes(names: Sequence[str]) -> Iterator[None]:
    """Inside, `permute` knows the order of the mesh's axes where JAX does not tell it."""
    token = _AXES.set(tuple(names))
    try:
        yield
    finally:
        _AXES.reset(token)


def permute(value: jax.Array, names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> jax.Array:
    """`lax.ppermute` over mesh axes in any order: places are counted in the order of `names`.

    JAX counts them in the order of the mesh's axes, without a word in older releases, and refuses
    any other order in newer ones.
    """
    known = jax.sharding.get_abstract_mesh().axis_names
    known = known if set(names) <= set(known) else _AXES.get()
    ordered = tuple(name for name in known if name in names)
    if ordered == tuple(names) or len(ordered) != len(names):
        return jax.lax.ppermute(value, tuple(names), pairs)
    sizes = [jax.lax.axis_size(name) for name in names]
    places = np.arange(math.prod(sizes)).reshape(sizes)
    places = places.transpose([list(names).index(name) for name in ordered]).ravel()
    place = {int(old): new for new, old in enumerate(places)}
    return jax.lax.ppermute(value, ordered, [(place[a], place[b]) for a, b in pairs])


def _needing_devices() -> Any:
    """(the set of primitives whose lowering rules are told the devices, custom_partitioning).

    None where this JAX release lacks either.
    """
    try:
        from jax._src.dispatch import prim_requires_devices_during_lowering
        from jax.experimental.custom_partitioning import custom_partitioning

        return prim_requires_devices_during_lowering, custom_partitioning
    except (ImportError, AttributeError):
        return None


_DEVICES = _needing_devices()


def tell_devices(primitives: Sequence[Any]) -> None:
    """Have the lowering rules of these primitives told which devices the program is for."""
    if _DEVICES is not None:
        _DEVICES[0].update(primitives)


@dataclasses.dataclass(frozen=True)
class Target:
    """What a program that is being lowered will run on.

    Attributes:
        devices: over how many devices the compiler splits this part of the program; 1 inside
            a shard_map over every axis of its mesh.
        mesh: the mesh of all devices, or None where none is known.
        free: the mesh without the axes of an enclosing shard_map: what XLA may still split
            arrays over. None where it may not, or where the mesh is not known.
        asks: whether jconv can tell XLA by custom_partitioning how to split a leg.
    """

    devices: int
    mesh: Any
    free: Any
    asks: bool


def target_of(context: Any) -> Target:
    """What the program of a lowering rule's context will run on."""
    module = context.module_context
    axes = module.axis_context
    asks = _DEVICES is not None and not getattr(module.lowering_parameters, "for_export", True)
    mesh = getattr(axes, "mesh", None)
    if mesh is not None:  # inside a shard_map
        devices = mesh.size // math.prod(mesh.shape[name] for name in axes.manual_axes)
        if devices == 1 or not isinstance(mesh, Mesh):
            return Target(devices, mesh, None, asks=False)
        # The compiler treats each group of devices with equal manual axes as a mesh of its own.
        at = tuple(0 if n in axes.manual_axes else slice(None) for n in mesh.axis_names)
        names = tuple(n for n in mesh.axis_names if n not in axes.manual_axes)
        return Target(devices, mesh, Mesh(mesh.devices[at], names), asks)
    devices = getattr(axes, "num_devices", 1)
    listed = getattr(axes, "device_assignment", None)
    mesh = getattr(axes, "abstract_mesh", None)
    if listed is None or mesh is None or mesh.size != len(listed):
        return Target(devices, mesh, mesh, asks=False)
    made = Mesh(np.asarray(listed).reshape(mesh.axis_sizes), mesh.axis_names)
    return Target(devices, made, made, asks)


def custom_partitioned(
    whole: Callable[..., Any],
    partition: Callable[..., Any],
    infer: Callable[..., Any],
    rule: str,
    sizes: dict[str, Any],
) -> Callable[..., Any]:
    """`whole`, which the compiler splits by asking `partition` once it knows shardings."""
    wrapped = _DEVICES[1](whole)
    wrapped.def_partition(
        partition,
        infer_sharding_from_operands=infer,
        decode_shardings=False,
        sharding_rule=rule,
        **sizes,
    )
    return wrapped


def along_first(value: jax.Array, mesh: Any, dims: int, devices: int) -> jax.Array:
    """The value, constrained so that XLA splits at most its first `dims` dimensions.

    Where no mesh is known it is whole on each of the devices: that needs no names of axes.
    """
    mesh = jax.sharding.get_abstract_mesh() if mesh is None else mesh
    mesh = getattr(mesh, "abstract_mesh", mesh)
    if mesh.empty:
        auto = (jax.sharding.AxisType.Auto,)
        mesh, dims = jax.sharding.AbstractMesh((devices,), ("all",), axis_types=auto), 0
    if not mesh.auto_axes:
        return value
    spec = PartitionSpec(*(PartitionSpec.UNCONSTRAINED,) * dims, *(None,) * (value.ndim - dims))
    return jax.lax.with_sharding_constraint(value, NamedSharding(mesh, spec))


def named_spec(sharding: Any, mesh: Any, ndim: int) -> tuple[tuple[str, ...], ...]:
    """For each dimension the axes of `mesh` that XLA's sharding splits it over.

    No axes for any dimension where the sharding does not split by whole axes of the mesh: jconv
    then gathers the array.
    """
    hlo = sharding._to_xla_hlo_sharding(ndim)
    if not hlo.is_tiled():
        return ((),) * ndim
    used = {name: size for name, size in mesh.shape.items() if size > 1}
    order = iter(_axes_in_order(tuple(used.values()), hlo.tile_assignment_devices()))
    names, found = list(used), []
    for parts in hlo.tile_assignment_dimensions()[:ndim]:
        entry: list[str] = []
        while parts > 1:
            name = names[next(order, -1)]
            if parts % used[name]:
                return ((),) * ndim  # it splits by part of an axis, or in no order of the axes
            parts //= used[name]
            entry.append(name)
        found.append(tuple(entry))
    return tuple(found)


def _axes_in_order(sizes: tuple[int, ...], devices: Sequence[int]) -> list[int]:
    """The axes of a row-major mesh, outer first in the order in which `devices` lists it.

    Empty where no order of the axes gives that list.
    """
    for order in itertools.permutations(range(len(sizes))):
        listed = np.arange(math.prod(sizes)).reshape(sizes).transpose(order).ravel()
        if np.array_equal(listed, devices):
            return list(order)
    return []


def names_of(entry: Any) -> tuple[str, ...]:
    """The mesh axes that an entry of a partition spec names."""
    if entry is None or entry is PartitionSpec.UNCONSTRAINED:
        return ()
    return tuple(entry) if isinstance(entry, tuple | list) else (entry,)


def shard_map(fn: Any, mesh: Any, in_specs: Any, out_specs: Any) -> Any:
    """`fn` on the parts of arrays over the explicit axes of a mesh."""
    return jax.shard_map(
        fn,
        mesh=mesh,
        in_specs=in_specs,
        out_specs=out_specs,
        axis_names=set(mesh.explicit_axes),
    )
