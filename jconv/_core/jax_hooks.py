"""Everything of JAX that moves between releases, in one place.

`HOOKS` is None when this JAX lacks the interpreter hooks; `jconv` then runs on custom_vjp.
"""

from __future__ import annotations

import contextlib
import contextvars
import operator
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec


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
        if _inlining.get():
            return fn(*args, **kwargs)
        with set_xla_metadata(inlineable="false"):
            return fn(*args, **kwargs)

    return call


_inlining: contextvars.ContextVar[bool] = contextvars.ContextVar("inlining", default=False)


@contextlib.contextmanager
def inlined(on: bool) -> Iterator[None]:
    """Within this context, calls that `kept_apart` would keep apart are inlined, if `on`.

    Only XLA's CPU backend is known to take calls that are not.
    """
    token = _inlining.set(on or _inlining.get())
    try:
        yield
    finally:
        _inlining.reset(token)


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


def output_aval(like: Any, shape: Sequence[Any], dtype: Any, mesh: Any, spec: Sequence[Any]) -> Any:
    """An abstract array that varies over the same manual axes as `like`."""
    changes: dict[str, Any] = {"shape": tuple(shape), "dtype": dtype, "weak_type": False}
    if mesh is not None:
        changes["sharding"] = NamedSharding(mesh, PartitionSpec(*spec))
    else:
        changes["sharding"] = like.sharding.update(spec=PartitionSpec(*([None] * len(shape))))
    return like.update(**changes)


def reshard_like(value: jax.Array, aval: Any) -> jax.Array:
    """Give a cotangent the sharding of its primal where the mesh's axes are explicit."""
    mesh = mesh_of(aval, jax.typeof(value))
    if mesh is None or spec_of(aval) == spec_of(jax.typeof(value)):
        return value
    return jax.sharding.reshard(value, NamedSharding(mesh, PartitionSpec(*spec_of(aval))))


def with_automatic_axes(fn: Any, out_mesh: Any, out_spec: Sequence[Any]) -> Any:
    """`fn` with explicit mesh axes left to the compiler inside, its result sharded as told."""
    return jax.sharding.auto_axes(
        fn,
        axes=out_mesh.explicit_axes,
        out_sharding=NamedSharding(out_mesh, PartitionSpec(*out_spec)),
    )


def unsharded(value: jax.Array, dims: Sequence[int]) -> jax.Array:
    """`value` whole along `dims`, where explicit mesh axes shard them: slices of it then are."""
    aval = jax.typeof(value)
    mesh, spec = mesh_of(aval), spec_of(aval)
    whole = tuple(None if dim in dims else entry for dim, entry in enumerate(spec))
    if mesh is None or whole == spec:
        return value
    return jax.sharding.reshard(value, NamedSharding(mesh, PartitionSpec(*whole)))


def gather(values: Sequence[jax.Array], dims: Sequence[int]) -> list[jax.Array]:
    """The values whole along `dims` on every device, other dimensions sharded as they are.

    Where a dimension that a convolution sums over is sharded in both operands, XLA's partitioner
    adds up all devices, those that hold copies too: the sum is too large by their number. Only
    a mesh of two axes or more has copies, and those that shardings leave to the compiler cannot
    be told while tracing.
    """
    meshes = [jax.typeof(value).sharding.mesh for value in values]
    mesh = next((m for m in meshes if not m.empty), jax.sharding.get_abstract_mesh())
    if not mesh.auto_axes or sum(size > 1 for size in mesh.shape.values()) < 2:
        return list(values)
    free = PartitionSpec.UNCONSTRAINED
    spec = PartitionSpec(*(None if dim in dims else free for dim in range(values[0].ndim)))
    sharding = NamedSharding(mesh, spec)
    return [jax.lax.with_sharding_constraint(value, sharding) for value in values]
