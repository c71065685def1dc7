"""The three legs under JAX's transformations: one closure table, two hosts.

With c the incoming cotangent, each leg's derivative in an operand is the leg that returns the
operand's slot::

    conv(x, w)             x' = input_grad(c, w)     w' = filter_grad(x, c)
    input_grad(g, w)       g' = conv(c, w)           w' = filter_grad(c, g)
    filter_grad(x, g)      x' = input_grad(g, c)     g' = conv(x, c)

The first host is three bilinear JAX primitives, closed under every transformation. The second
is jax.custom_vjp, which has no forward mode; it stands in should a JAX release lack the hooks.
"""

from __future__ import annotations

import functools
import threading
import warnings
from typing import Any

import jax
import jax.numpy as jnp

from jconv._algorithms.direct import written_as_lax
from jconv._core import jax_hooks, jax_sharding, xla_cpu
from jconv._core.geometry import product
from jconv._core.problem import LEG_OF, LEGS, OPERANDS, OUTPUT, Leg, Problem, Slot
from jconv._devices.partition import (
    alone,
    over_explicit_axes,
    partition_spec,
    partitioned,
    split_by_batch,
)
from jconv._devices.partition import out_spec as lies_as
from jconv._devices.roles import Spec, Split, decide
from jconv._planner.choose import Planner, choose


def run_leg(
    problem: Problem, a: jax.Array, b: jax.Array, out_spec: tuple[Any, ...] | None = None
) -> jax.Array:
    """One leg on its two operands, differentiable in both to any order.

    `out_spec` says how the result lies over explicit mesh axes; None to follow the operands.
    """
    a, b = jax_sharding.make_varying_alike(a, b)
    if (
        problem.orders is not None
        and jax_sharding.mesh_of(jax.typeof(a), jax.typeof(b)) is not None
    ):
        return _in_own_layout(problem, run_leg, a, b)  # explicit axes need jconv's own layout
    return _HOST(problem, a, b, out_spec)


def derivative(problem: Problem, slot: Slot) -> tuple[Problem, tuple[Slot, Slot]]:
    """The leg that gives the cotangent of an operand's slot, and its operands' slots.

    This is the closure table: a trilinear form's derivative in one slot takes the other two.
    """
    leg = LEG_OF[slot]
    return problem.replace(leg=leg), OPERANDS[leg]


def _compute(problem: Problem, a: jax.Array, b: jax.Array, *, platform: str) -> jax.Array:
    """A leg on one device, by the algorithm that the planner chooses; JAX does not look inside."""
    if problem.empty:
        return jnp.zeros(problem.laid_out(OUTPUT[problem.leg]), problem.out_dtype)
    outer, _thread.lowering = is_lowering(), True
    try:
        return _computed(problem, a, b, platform)
    finally:
        _thread.lowering = outer


_thread = threading.local()


def is_lowering() -> bool:
    """Whether this thread is lowering a leg: a lax convolution is then part of that leg."""
    return getattr(_thread, "lowering", False)


def _computed(problem: Problem, a: jax.Array, b: jax.Array, platform: str) -> jax.Array:
    as_lax = written_as_lax(problem, platform) and _chosen(problem, platform) == "direct"
    if problem.orders is not None and not as_lax:
        return _in_own_layout(problem, functools.partial(_computed, platform=platform), a, b)
    if platform == "cpu" and _chosen(problem, platform) != "direct":
        return _shared(a, b, problem=problem.unordered, platform=platform)
    with xla_cpu.inlined(platform != "cpu"):
        return _run(a, b, problem=problem, platform=platform)


def _in_own_layout(problem: Problem, run: Any, a: jax.Array, b: jax.Array) -> jax.Array:
    """A leg on arrays in the caller's layout, by `run`, which takes jconv's own layout."""
    operands = zip(OPERANDS[problem.leg], (a, b), strict=True)
    own = (jnp.transpose(value, problem.order(slot)) for slot, value in operands)
    order = problem.order(OUTPUT[problem.leg])
    result = run(problem.unordered, *own)
    return jnp.transpose(result, sorted(range(len(order)), key=order.__getitem__))


def _chosen(problem: Problem, platform: str) -> str:
    return choose(problem.unordered, platform).algorithm.name


def _run(a: jax.Array, b: jax.Array, *, problem: Problem, platform: str) -> jax.Array:
    return Planner(platform).run(problem, a, b).astype(problem.out_dtype)


# Unrolled algorithms compile slowly, so equal convolutions of a network share one computation.
_shared = xla_cpu.kept_apart(jax.jit(_run, static_argnames=("problem", "platform")))


# --- the primitives -----------------------------------------------------------------------


def _spec_of(problem: Problem, slot: Slot, aval: Any) -> Spec:
    """The explicit mesh axes that split each dimension of an operand."""
    explicit = aval.sharding.mesh.explicit_axes
    return tuple(
        tuple(name for name in jax_sharding.names_of(entry) if name in explicit)
        for entry in jax_sharding.spec_of(aval)
    )


def _explicit_split(problem: Problem, a: Any, b: Any, out_spec: Any) -> tuple[Any, Split, Spec]:
    """Over explicit mesh axes: the mesh, how the leg is split, and how its result lies."""
    mesh = jax_sharding.mesh_of(a, b)
    specs: dict[Slot, Spec] = {
        slot: _spec_of(problem, slot, aval)
        for slot, aval in zip(OPERANDS[problem.leg], (a, b), strict=True)
        if jax_sharding.mesh_of(aval) is not None
    }
    if out_spec is not None:
        explicit = mesh.explicit_axes
        out_spec = tuple(tuple(n for n in names if n in explicit) for names in out_spec)
        specs[OUTPUT[problem.leg]] = out_spec
    sizes = {name: mesh.shape[name] for name in mesh.explicit_axes}
    split = decide(problem, specs, sizes)
    return mesh, split, lies_as(problem, split) if out_spec is None else out_spec


def _out_aval(a: Any, b: Any, *, problem: Problem, out_spec: Any) -> Any:
    """The result's aval; over explicit mesh axes it is sharded as the leg is split."""
    mesh, spec = jax_sharding.mesh_of(a, b), None
    if mesh is not None:
        _, _, lies = _explicit_split(problem, a, b, out_spec)
        spec = partition_spec(lies)
    like = a if jax_sharding.mesh_of(b) is None else b
    shape = problem.laid_out(OUTPUT[problem.leg])
    return jax_sharding.output_aval(like, shape, jnp.dtype(problem.out_dtype), mesh, spec)


def _lowering(lower_fun: Any, platform: str) -> Any:
    """The lowering rule of the three primitives on one platform."""

    def rule(context: Any, *operands: Any, problem: Problem, out_spec: Any) -> Any:
        run = functools.partial(_compute, platform=platform)
        target = jax_sharding.target_of(context)
        if jax_sharding.mesh_of(*context.avals_in) is not None:
            first, second = context.avals_in
            mesh, split, lies = _explicit_split(problem, first, second, out_spec)
            fn = over_explicit_axes(problem, split, mesh, lies, run_leg)
        elif target.devices == 1 or problem.empty:
            fn = functools.partial(alone, problem, run=run)
        elif target.asks and problem.static:
            fn = partitioned(problem.unordered, target.mesh, target.free, run)
        else:
            fn = split_by_batch(problem.unordered, target.mesh, target.devices, run)
        if target.devices > 1 and problem.orders is not None and not problem.empty:
            split = fn
            fn = functools.partial(_in_own_layout, problem, lambda _, a, b: split(a, b))
        return lower_fun(fn, multiple_results=False)(context, *operands)

    return rule


def _transpose(
    slot: Slot, leg: Leg, cotangent: jax.Array, a: Any, b: Any, *, problem: Problem, out_spec: Any
) -> jax.Array:
    undefined, known = (a, b) if slot == OPERANDS[leg][0] else (b, a)
    (other,) = set(OPERANDS[leg]) - {slot}
    values = {OUTPUT[leg]: cotangent, other: known}
    adjoint, slots = derivative(problem, slot)
    lies = None
    if jax_sharding.mesh_of(undefined.aval) is not None:
        lies = _spec_of(problem, slot, undefined.aval)
    result = run_leg(adjoint, *(values[s] for s in slots), out_spec=lies)
    return jax_sharding.reshard_like(result, undefined.aval)


def _batch(
    leg: Leg, args: Any, dims: Any, *, problem: Problem, out_spec: Any
) -> tuple[jax.Array, int]:
    """The rule for vmap.

    One mapped operand is folded into the index that it shares with the result alone. Two mapped
    operands share a leading dimension.
    """
    out = _mapped(leg, args, dims, problem)
    if out_spec is not None and jax_sharding.mesh_of(jax.typeof(out)) is not None:
        mapped = jax_sharding.names_of(jax_sharding.spec_of(jax.typeof(out))[0])
        used = {name for names in out_spec for name in names}
        lead = tuple(name for name in mapped if name not in used)
        mesh = jax_sharding.mesh_of(jax.typeof(out))
        out = jax_sharding.reshard(out, mesh, partition_spec((lead, *out_spec)))
    return out, 0


def _mapped(leg: Leg, args: Any, dims: Any, problem: Problem) -> jax.Array:
    """The results of all mapped operands, along a leading dimension."""
    (a, b), (dim_a, dim_b) = args, dims
    slot_a, slot_b = OPERANDS[leg]
    if dim_a is not None and dim_b is not None:
        a, b = jnp.moveaxis(a, dim_a, 0), jnp.moveaxis(b, dim_b, 0)
        size = a.shape[0]
        if problem.vmapped:
            a, b = (v.reshape(size * v.shape[1], *v.shape[2:]) for v in (a, b))
            both = problem.replace(vmapped=(size * problem.vmapped[0],))
            out = run_leg(both, a, b)
            return out.reshape(size, *problem.laid_out(OUTPUT[leg]))
        return run_leg(problem.replace(vmapped=(size,)), a, b)
    slot, array, dim = (slot_b, b, dim_b) if dim_a is None else (slot_a, a, dim_a)
    index = _free_index(slot, OUTPUT[leg])
    array = jnp.moveaxis(array, dim or 0, 0)
    size = array.shape[0]
    folded = _fold(problem, slot, index, array)
    larger = problem.replace(**{index: size * getattr(problem, index)})
    operands = (folded, b) if slot == slot_a else (a, folded)
    out = run_leg(larger, *operands)
    return _unfold(problem, OUTPUT[leg], index, size, out)


def _free_index(slot: Slot, out: Slot) -> str:
    """The index that an operand shares with the output alone, so that it is not summed over.

    x and y share the batch, w and y the output channels, x and w the input channels.
    """
    return {frozenset("xy"): "n", frozenset("wy"): "f", frozenset("xw"): "c"}[frozenset(slot + out)]


def _split(problem: Problem, slot: Slot, index: str) -> tuple[int, tuple[Any, ...]]:
    """Where `index` stands in a slot, and the slot's shape with the groups set apart from it."""
    shape, order = problem.laid_out(slot), problem.order(slot)
    if index == "n":
        return order[len(problem.vmapped)], shape
    if slot == "w" and index == "c":
        return order[-2], shape
    at = order[-1]
    if problem.groups == 1:
        return at, shape
    apart = (problem.groups, getattr(problem, index))
    return at + 1, (*shape[:at], *apart, *shape[at + 1 :])


def _fold(problem: Problem, slot: Slot, index: str, array: jax.Array) -> jax.Array:
    """A leading dimension merged into `index` as its slower part."""
    at, shape = _split(problem, slot, index)
    size = array.shape[0]
    array = jnp.moveaxis(array.reshape(size, *shape), 0, at)
    merged = problem.replace(**{index: size * getattr(problem, index)})
    return array.reshape(merged.laid_out(slot))


def _unfold(problem: Problem, slot: Slot, index: str, size: Any, array: jax.Array) -> jax.Array:
    """The inverse of `_fold`: the slower part of `index` as a leading dimension."""
    at, shape = _split(problem, slot, index)
    array = array.reshape(*shape[:at], size, *shape[at:])
    return jnp.moveaxis(array, at, 0).reshape(size, *problem.laid_out(slot))


def _eagerly(primitive: Any) -> Any:
    """How a primitive runs outside jit: by a compiled function that is kept for each problem."""
    compiled = jax.jit(primitive.bind, static_argnames=("problem", "out_spec"))

    def run(a: jax.Array, b: jax.Array, *, problem: Problem, out_spec: Any) -> jax.Array:
        with jax.disable_jit(False):  # under disable_jit it would call itself for ever
            return compiled(a, b, problem=problem, out_spec=out_spec)

    return run


def _primitives_host(hooks: Any) -> tuple[Any, tuple[Any, ...]]:
    primitives = {}
    for leg in LEGS:
        primitive = hooks.Primitive(f"jconv_{leg}")
        primitive.def_abstract_eval(_out_aval)
        primitive.def_impl(_eagerly(primitive))
        hooks.defbilinear(
            primitive, *(functools.partial(_transpose, slot, leg) for slot in OPERANDS[leg])
        )
        hooks.primitive_batchers[primitive] = functools.partial(_batch, leg)
        for platform in (None, "cpu", "cuda", "rocm", "tpu"):
            rule = _lowering(hooks.lower_fun, platform or "other")
            hooks.register_lowering(primitive, rule, platform=platform)
        primitives[leg] = primitive
        jax_hooks.give_jet_rule(primitive)
    count_for_roofline = functools.partial(jax_hooks.give_roofline_rules, primitives, _operations)

    def bind(problem: Problem, a: jax.Array, b: jax.Array, out_spec: Any) -> jax.Array:
        count_for_roofline()
        return primitives[problem.leg].bind(a, b, problem=problem, out_spec=out_spec)

    jax_sharding.tell_devices(tuple(primitives.values()))
    return bind, tuple(primitives.values())


def _operations(problem: Problem) -> int:
    """Two operations for each product with a row of x, as JAX's roofline counts for lax."""
    met = product([axis.products for axis in problem.axes])
    sizes = product((*problem.vmapped, problem.n, problem.groups, problem.c, problem.f))
    return 2 * met * sizes


# --- custom_vjp, should the hooks be missing ----------------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def _custom_vjp_host(problem: Problem, a: jax.Array, b: jax.Array, out_spec: Any) -> jax.Array:
    run = functools.partial(_compute, platform=jax_hooks.default_platform())
    return alone(problem, a, b, run)


def _custom_fwd(
    problem: Problem, a: jax.Array, b: jax.Array, out_spec: Any
) -> tuple[jax.Array, Any]:
    return _custom_vjp_host(problem, a, b, out_spec), (a, b)


def _custom_bwd(
    problem: Problem, out_spec: Any, residuals: Any, cotangent: jax.Array
) -> tuple[Any, ...]:
    operands = OPERANDS[problem.leg]
    values = {OUTPUT[problem.leg]: cotangent, **dict(zip(operands, residuals, strict=True))}
    grads = []
    for slot in operands:
        adjoint, slots = derivative(problem, slot)
        grads.append(run_leg(adjoint, *(values[s] for s in slots)))
    return tuple(grads)


_custom_vjp_host.defvjp(_custom_fwd, _custom_bwd)


if jax_hooks.HOOKS is not None:
    _HOST, PRIMITIVES = _primitives_host(jax_hooks.HOOKS)
else:
    warnings.warn(
        "this JAX release lacks the interpreter hooks that jconv's primitives need; jconv runs "
        "on jax.custom_vjp instead: forward-mode differentiation is off, all else is unchanged",
        stacklevel=2,
    )
    _HOST, PRIMITIVES = _custom_vjp_host, ()


def convs_saveable(primitive: Any, *_: Any, **__: Any) -> bool:
    """A rematerialisation policy for jax.checkpoint: keep what convolutions computed.

    Examples:
        >>> import jax, jconv
        >>> step = jax.checkpoint(lambda x, w: jconv.conv(x, w), policy=jconv.convs_saveable)
    """
    return primitive in PRIMITIVES or getattr(primitive, "name", "") == "conv_general_dilated"
