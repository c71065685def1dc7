"""Everything of JAX that moves between releases, in one place.

`HOOKS` is None when this JAX lacks the interpreter hooks; `jconv` then runs on custom_vjp.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import operator
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def _interpreter_hooks() -> SimpleNamespace | None:
    try:
        from jax.extend.core import Primitive
        from jax.interpreters import ad, batching, mlir

        return SimpleNamespace(
            Primitive=Primitive,
            defbilinear=ad.defbilinear,
            is_undefined_primal=ad.is_undefined_primal,
            primitive_batchers=batching.primitive_batchers,
            register_lowering=mlir.register_lowering,
            lower_fun=mlir.lower_fun,
        )
    except (ImportError, AttributeError):
        return None


HOOKS = _interpreter_hooks()


def give_jet_rule(primitive: Any) -> None:
    """Make a bilinear primitive known to jax.experimental.jet: the product of two power series."""
    try:
        from jax.experimental.jet import jet_rules
    except ImportError:
        return

    def rule(primals: Any, series: Any, **params: Any) -> tuple[Any, list[Any]]:
        first, second = ([primal, *terms] for primal, terms in zip(primals, series, strict=True))
        terms = [
            functools.reduce(
                operator.add,
                (primitive.bind(first[j], second[k - j], **params) for j in range(k + 1)),
            )
            for k in range(len(first))
        ]
        return terms[0], terms[1:]

    jet_rules[primitive] = rule


def give_roofline_rules(primitives: dict[str, Any], operations: Callable[[Any], int]) -> None:
    """Make primitives count in jax.experimental.roofline, once it is imported.

    Importing it takes as long as a fourth of jconv itself, so that is left to who uses it. What was
    traced and kept by jit before that import is still counted as nothing.
    """
    roofline = sys.modules.get("jax.experimental.roofline")
    if roofline is None or not primitives or getattr(roofline, "_counts_jconv", False):
        return
    roofline._counts_jconv = True  # pyright: ignore[reportAttributeAccessIssue]

    def rule(context: Any, *_: Any, problem: Any, **__: Any) -> Any:
        moved = sum(a.size * a.dtype.itemsize for a in (*context.avals_in, *context.avals_out))
        return roofline.RooflineResult(unfused_flops=operations(problem), unfused_hbm_bytes=moved)

    for primitive in primitives.values():
        roofline.register_roofline(primitive)(rule)


def _jaxpr_hooks() -> SimpleNamespace | None:
    try:
        from jax.extend import linear_util
        from jax.extend.core import Literal, jaxpr_as_fun
        from jax.extend.core.primitives import remat_p

        return SimpleNamespace(
            Literal=Literal,
            jaxpr_as_fun=jaxpr_as_fun,
            remat_p=remat_p,
            wrap_init=linear_util.wrap_init,
        )
    except (ImportError, AttributeError):
        return None


JAXPRS: Any = _jaxpr_hooks()  # None, should they be missing


def with_equations(jaxpr: Any, replaced: Callable[[Any], list[Any]]) -> Any:
    """A jaxpr with each equation replaced; the same object where each stands for itself.

    Until jax 0.11 one that carries constants is of another class, around a plain jaxpr.
    """
    inner = getattr(jaxpr, "jaxpr", jaxpr)
    equations = [new for old in inner.eqns for new in replaced(old)]
    if len(equations) == len(inner.eqns) and all(map(operator.is_, equations, inner.eqns)):
        return jaxpr
    changed = inner.replace(eqns=equations)
    return changed if inner is jaxpr else jaxpr.replace(jaxpr=changed)


def traced_in_place_of(equation: Any, fn: Callable[..., Any]) -> Any:
    """fn's jaxpr for an equation's operands, under the mesh and modes that it was made under."""
    with equation.ctx.manager:
        return jax.make_jaxpr(fn)(*(variable.aval for variable in equation.invars))


def rewrapped(thunk: Any, fn: Callable[..., Any]) -> Any:
    """`fn` in place of a function that JAX keeps among an equation's parameters."""
    return JAXPRS.wrap_init(fn, debug_info=thunk.debug_info)


make_user_context = jax.make_user_context

# XLA's CPU library of jaxlib 0.10 takes up to three times as long over a convolution without
# any padding as over the same one with a row of it; that of 0.12 does not.
UNPADDED_IS_SLOW = jax.__version_info__ < (0, 11)

# That of jaxlib 0.10 divides its work by channels made and along the last axis only, so that
# convolutions of few channels run on one thread.
FEW_TASKS = jax.__version_info__ < (0, 11)


def kept_apart(fn: Any) -> Any:
    """`fn`, a jitted function whose calls XLA does not inline: equal calls are compiled once."""
    try:
        from jax.experimental.xla_metadata import set_xla_metadata
    except ImportError:
        return fn

    def call(*args: Any, **kwargs: Any) -> Any:
        with set_xla_metadata(inlineable="false"):
            return fn(*args, **kwargs)

    return call


def default_platform() -> str:
    """The name under which the default backend's lowering rules are registered."""
    name = jax.default_backend()
    if name != "gpu":
        return name
    return "rocm" if "rocm" in jax.devices()[0].client.platform_version.lower() else "cuda"


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
    """`value` whole along `dims`, where explicit mesh axes shard them: slices of it then are."""
    aval = jax.typeof(value)
    mesh, spec = mesh_of(aval), spec_of(aval)
    whole = tuple(None if dim in dims else entry for dim, entry in enumerate(spec))
    if mesh is None or whole == spec:
        return value
    return jax.sharding.reshard(value, NamedSharding(mesh, PartitionSpec(*whole)))


def make_varying(value: jax.Array, names: Sequence[str]) -> jax.Array:
    """A value that counts as varying over the manual mesh axes `names`, where JAX keeps track."""
    manual = jax.sharding.get_abstract_mesh().manual_axes
    missing = tuple(n for n in names if n in manual and n not in varying_axes(jax.typeof(value)))
    return jax.lax.pcast(value, missing, to="varying") if missing else value


# --- many devices -------------------------------------------------------------------------


def _needing_devices() -> Any:
    """The set of primitives whose lowering rules JAX tells the program's devices."""
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
        devices: over how many devices the compiler splits this place of the program; 1 inside
            a shard_map over every axis of its mesh.
        mesh: the mesh of all devices, or None where none is known.
        free: the mesh that arrays are split over here: without the axes of a shard_map around it.
        asks: whether the compiler can ask back how a leg is to be split.
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


def along_first(value: jax.Array, mesh: Any, dims: int) -> jax.Array:
    """A value that the compiler may split along its first `dims` dimensions alone.

    Where no mesh is known there is nothing to say this with.
    """
    mesh = jax.sharding.get_abstract_mesh() if mesh is None else mesh
    mesh = getattr(mesh, "abstract_mesh", mesh)
    if mesh.empty or not mesh.auto_axes:
        return value
    spec = PartitionSpec(*(PartitionSpec.UNCONSTRAINED,) * dims, *(None,) * (value.ndim - dims))
    return jax.lax.with_sharding_constraint(value, NamedSharding(mesh, spec))


def named_spec(sharding: Any, mesh: Any, ndim: int) -> tuple[tuple[str, ...], ...]:
    """For each dimension the axes of `mesh` that a compiler's sharding splits it over.

    Nothing where they cannot be told: the array is brought together then.
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
                return ((),) * ndim  # part of an axis, or an order that no axes have
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


def bind_equation(equation: Any, values: Sequence[Any]) -> list[Any]:
    """An equation of a jaxpr applied to values, traced as that equation was made."""
    params = equation.primitive.get_bind_params(equation.params)
    with equation.ctx.manager:
        result = equation.primitive.bind(*values, **params)
    return list(result) if equation.primitive.multiple_results else [result]
