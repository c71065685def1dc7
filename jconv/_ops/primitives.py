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
import warnings
from typing import Any

import jax
import jax.numpy as jnp

from jconv._algorithms.direct import written_as_lax
from jconv._core import jax_hooks
from jconv._core.problem import LEG_OF, LEGS, OPERANDS, OUTPUT, Leg, Problem, Slot
from jconv._planner.choose import Planner, choose


def run_leg(problem: Problem, a: jax.Array, b: jax.Array) -> jax.Array:
    """One leg on its two operands, differentiable in both to any order."""
    a, b = jax_hooks.make_varying_alike(a, b)
    return _HOST(problem, a, b)


def derivative(problem: Problem, slot: Slot) -> tuple[Problem, tuple[Slot, Slot]]:
    """The leg that gives the cotangent of an operand's slot, and its operands' slots.

    This is the closure table: a trilinear form's derivative in one slot takes the other two.
    """
    leg = LEG_OF[slot]
    return problem.replace(leg=leg), OPERANDS[leg]


def _compute(problem: Problem, a: jax.Array, b: jax.Array, *, platform: str) -> jax.Array:
    """What a leg lowers to: no autodiff happens in here any more."""
    if problem.empty:
        return jnp.zeros(problem.laid_out(OUTPUT[problem.leg]), problem.out_dtype)
    slots = OPERANDS[problem.leg]
    as_lax = written_as_lax(problem, platform) and _chosen(problem, platform) == "direct"
    if problem.orders is not None and not as_lax:
        a, b = (jnp.transpose(v, problem.order(s)) for v, s in zip((a, b), slots, strict=True))
        result = _compute(problem.unordered, a, b, platform=platform)
        order = problem.order(OUTPUT[problem.leg])
        return jnp.transpose(result, sorted(range(len(order)), key=order.__getitem__))
    if problem.leg == "filter_grad":  # its sum runs over the rows that both operands have
        first = len(problem.vmapped) + 1
        rows = [problem.order(slot)[first : first + problem.rank] for slot in slots]
        a, b = (jax_hooks.gather([v], dims)[0] for v, dims in zip((a, b), rows, strict=True))
    if platform == "cpu" and _chosen(problem, platform) != "direct":
        return _shared(a, b, problem=problem.unordered, platform=platform)
    with jax_hooks.inlined(platform != "cpu"):
        return _run(a, b, problem=problem, platform=platform)


def _chosen(problem: Problem, platform: str) -> str:
    return choose(problem.unordered, platform).algorithm.name


def _run(a: jax.Array, b: jax.Array, *, problem: Problem, platform: str) -> jax.Array:
    return Planner(platform).run(problem, a, b).astype(problem.out_dtype)


# What is unrolled compiles slowly, so a network's equal convolutions share one computation.
_shared = jax_hooks.kept_apart(jax.jit(_run, static_argnames=("problem", "platform")))


# --- the primitives -----------------------------------------------------------------------


def _slot_letters(problem: Problem, slot: Slot) -> str:
    """One letter a dimension: V shared, N batch, C and F channels, a dot for spatial ones."""
    spatial = "." * problem.rank
    letters = {"x": f"N{spatial}C", "w": f"{spatial}CF", "y": f"N{spatial}F"}[slot]
    return "V" * len(problem.vmapped) + letters


def _out_aval(a: Any, b: Any, *, problem: Problem) -> Any:
    """Shape and dtype from the problem; every output dimension is sharded as its source is.

    A contracted dimension that is sharded (the batch, in a filter backprop) leaves no trace:
    the compiler sums over the devices.
    """
    mesh = jax_hooks.mesh_of(a, b)
    sources: dict[str, Any] = {}
    if mesh is not None:
        for slot, aval in zip(OPERANDS[problem.leg], (a, b), strict=True):
            for letter, entry in zip(
                _slot_letters(problem, slot), jax_hooks.spec_of(aval), strict=True
            ):
                if letter != "." and not (letter == "C" and problem.groups > 1):
                    sources[letter] = sources.get(letter) or entry
    spec: list[Any] = []
    used: set[Any] = set()
    for letter in _slot_letters(problem, OUTPUT[problem.leg]):
        entry = sources.get(letter)
        names: set[Any] = set(entry if isinstance(entry, tuple) else (entry,)) - {None}
        spec.append(None if names & used else entry)  # a mesh axis shards one dimension
        used |= names
    like = a if jax_hooks.mesh_of(b) is None else b
    shape = problem.laid_out(OUTPUT[problem.leg])
    return jax_hooks.output_aval(like, shape, jnp.dtype(problem.out_dtype), mesh, spec)


def _lower(a: jax.Array, b: jax.Array, *, problem: Problem, platform: str) -> jax.Array:
    run = functools.partial(_compute, problem, platform=platform)
    mesh = jax_hooks.mesh_of(jax.typeof(a), jax.typeof(b))
    if mesh is not None:
        aval = _out_aval(jax.typeof(a), jax.typeof(b), problem=problem)
        run = jax_hooks.with_automatic_axes(run, mesh, jax_hooks.spec_of(aval))
    return run(a, b)


def _transpose(
    slot: Slot, leg: Leg, cotangent: jax.Array, a: Any, b: Any, *, problem: Problem
) -> jax.Array:
    undefined, known = (a, b) if slot == OPERANDS[leg][0] else (b, a)
    (other,) = set(OPERANDS[leg]) - {slot}
    values = {OUTPUT[leg]: cotangent, other: known}
    adjoint, slots = derivative(problem, slot)
    result = run_leg(adjoint, *(values[s] for s in slots))
    return jax_hooks.reshard_like(result, undefined.aval)


def _batch(leg: Leg, args: Any, dims: Any, *, problem: Problem) -> tuple[jax.Array, int]:
    """vmap: fold one batched operand into its free index; two share a leading dimension."""
    (a, b), (dim_a, dim_b) = args, dims
    slot_a, slot_b = OPERANDS[leg]
    if dim_a is not None and dim_b is not None:
        a, b = jnp.moveaxis(a, dim_a, 0), jnp.moveaxis(b, dim_b, 0)
        size = a.shape[0]
        if problem.vmapped:
            a, b = (v.reshape(size * v.shape[1], *v.shape[2:]) for v in (a, b))
            both = problem.replace(vmapped=(size * problem.vmapped[0],))
            out = run_leg(both, a, b)
            return out.reshape(size, *problem.laid_out(OUTPUT[leg])), 0
        return run_leg(problem.replace(vmapped=(size,)), a, b), 0
    slot, array, dim = (slot_b, b, dim_b) if dim_a is None else (slot_a, a, dim_a)
    index = _free_index(slot, OUTPUT[leg])
    array = jnp.moveaxis(array, dim or 0, 0)
    size = array.shape[0]
    folded = _fold(problem, slot, index, array)
    larger = problem.replace(**{index: size * getattr(problem, index)})
    operands = (folded, b) if slot == slot_a else (a, folded)
    out = run_leg(larger, *operands)
    return _unfold(problem, OUTPUT[leg], index, size, out), 0


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
    """Run outside jit by a compiled function that is kept for each problem."""
    compiled = jax.jit(primitive.bind, static_argnames="problem")

    def run(a: jax.Array, b: jax.Array, *, problem: Problem) -> jax.Array:
        with jax.disable_jit(False):  # under disable_jit it would call itself for ever
            return compiled(a, b, problem=problem)

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
            lower = functools.partial(_lower, platform=platform or "other")
            rule = hooks.lower_fun(lower, multiple_results=False)
            hooks.register_lowering(primitive, rule, platform=platform)
        primitives[leg] = primitive

    def bind(problem: Problem, a: jax.Array, b: jax.Array) -> jax.Array:
        return primitives[problem.leg].bind(a, b, problem=problem)

    return bind, tuple(primitives.values())


# --- custom_vjp, should the hooks be missing ----------------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _custom_vjp_host(problem: Problem, a: jax.Array, b: jax.Array) -> jax.Array:
    return _compute(problem, a, b, platform=jax_hooks.default_platform())


def _custom_fwd(problem: Problem, a: jax.Array, b: jax.Array) -> tuple[jax.Array, Any]:
    return _custom_vjp_host(problem, a, b), (a, b)


def _custom_bwd(problem: Problem, residuals: Any, cotangent: jax.Array) -> tuple[Any, ...]:
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

    Example:
        >>> import jax, jconv
        >>> step = jax.checkpoint(lambda x, w: jconv.conv(x, w), policy=jconv.convs_saveable)
    """
    return primitive in PRIMITIVES or getattr(primitive, "name", "") == "conv_general_dilated"
