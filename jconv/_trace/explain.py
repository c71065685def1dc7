"""explain: every convolution inside a function, as plans."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax

from jconv._core import jax_hooks
from jconv._core.errors import ConvError
from jconv._core.geometry import Axis
from jconv._core.problem import OPERANDS, Problem, Slot
from jconv._devices.mesh_plan import leg_devices
from jconv._devices.roles import Spec
from jconv._ops.primitives import PRIMITIVES
from jconv._plan.plan import Plan, plan_of
from jconv._planner.policy import captured
from jconv._trace.accelerate import accelerate
from jconv._trace.lies import Known, follow, inner_known, note_results, of_argument, of_operands


def explain(fn: Callable[..., Any], *args: Any) -> list[Plan]:
    """A Plan for every convolution that fn(*args) runs, jconv's and lax's, gradients included.

    fn is traced, not run: the arguments may be arrays or jax.ShapeDtypeStruct. The plan's
    `leg` says which of the three operations stands there; convolutions inside scan, cond, jit
    and the like are listed once for each place in the code.

    Where arguments lie on a mesh, a plan's `devices` says how its convolution is split, what moves
    between devices, and why an operand is brought together. Over explicit mesh axes the types of
    all values say how they lie; over automatic ones the arguments' shardings are followed through
    the program as far as they can be, and a note names an operand that is left to the compiler.

    Args:
        fn: a function of anything: arrays, trees of them, whole models.
        *args: its arguments. Non-array arguments are passed through unchanged.

    Returns:
        The plans, in the order of the traced program.

    Raises:
        ConvError: if fn cannot be called.

    Examples:
        >>> import jax, jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
        >>> loss = lambda x, w: jconv.conv(x, w).sum()
        >>> [p.leg for p in jconv.explain(jax.grad(loss, argnums=(0, 1)), x, w)]
        ['conv', 'filter_grad', 'input_grad']
    """
    if not callable(fn):
        raise ConvError(
            "explain: `fn` must be the function whose convolutions are to be planned.",
            argument="fn",
            got=fn,
            expected="a function of the arguments that follow it",
        )
    return [_plan(found) for found in convolutions_of(fn, args)]


@dataclasses.dataclass(frozen=True)
class Found:
    """A convolution in a traced program.

    Attributes:
        problem: its leg, in the library's own layout, borders included.
        mesh: the sizes of the mesh axes that its operands lie on; empty where none are known.
        specs: how its operands lie, of those that are known.
    """

    problem: Problem
    mesh: tuple[tuple[str, int], ...] = ()
    specs: tuple[tuple[Slot, Spec], ...] = ()


def _plan(found: Found) -> Plan:
    """The plan of a convolution, with what each device does where its arrays lie on a mesh."""
    problem, mesh, specs = found.problem, dict(found.mesh), dict(found.specs)
    made = plan_of(problem.unbordered)
    if not specs:
        return made
    record, _ = leg_devices(problem, specs, mesh, made.platform)
    notes = [
        f"How {slot} lies on the mesh is left to the compiler: it is taken to lie as "
        "this leg is split."
        for slot in OPERANDS[problem.leg]
        if slot not in specs
    ]
    return dataclasses.replace(
        made,
        mesh=found.mesh,
        specs=tuple((slot, spec) for slot, spec in record.specs if slot != "y"),
        device_records=((problem.leg, record),),
        notes=(*made.notes, *notes),
    )


def problems_of(fn: Callable[..., Any], args: tuple[Any, ...]) -> list[Problem]:
    """The problem of every convolution in fn(*args), in the order of the traced program."""
    return [found.problem.unbordered for found in convolutions_of(fn, args)]


def convolutions_of(fn: Callable[..., Any], args: tuple[Any, ...]) -> list[Found]:
    """Every convolution in fn(*args), in the order of the traced program."""
    leaves, structure = jax.tree.flatten(args)
    places = [n for n, leaf in enumerate(leaves) if hasattr(leaf, "dtype")]

    def on_arrays(*arrays: Any) -> list[Any]:
        filled = list(leaves)
        for place, array in zip(places, arrays, strict=True):
            filled[place] = array
        results = jax.tree.leaves(fn(*jax.tree.unflatten(structure, filled)))
        return [result for result in results if isinstance(result, jax.Array)]

    # accelerate replaces lax's convolutions by jconv's, whose problems can then be read.
    can_rewrite = jax_hooks.JAXPRS is not None and PRIMITIVES
    read = accelerate(on_arrays) if can_rewrite else on_arrays
    arrays = [leaves[place] for place in places]
    jaxpr = jax.make_jaxpr(read)(*arrays).jaxpr
    lies = zip(jaxpr.invars, map(of_argument, arrays), strict=True)
    return list(_found_in(jaxpr, {variable: of for variable, of in lies if of is not None}))


def problems_in(jaxpr: Any) -> Iterator[Problem]:
    """The problem of every convolution in a jaxpr, jconv's and lax's."""
    return (found.problem.unbordered for found in _found_in(jaxpr, {}))


def _found_in(jaxpr: Any, known: Known) -> Iterator[Found]:
    """The convolutions of a jaxpr; how its results lie is added to what is known."""
    for equation in jaxpr.eqns:
        conv = equation.primitive in PRIMITIVES
        if conv:
            mesh, specs = of_operands(equation, known)
            problem = equation.params["problem"].unordered
            yield Found(problem, tuple(mesh.items()), tuple(specs.items()))
        elif equation.primitive.name == "conv_general_dilated":
            yield Found(_from_lax(equation))
        else:
            for value in equation.params.values():
                yield from _inside(equation, value, known)
        follow(equation, known, conv=conv)


def _inside(equation: Any, value: Any, known: Known) -> Iterator[Found]:
    """The convolutions in the jaxprs that an equation's parameter holds."""
    if isinstance(value, tuple | list):
        for entry in value:
            yield from _inside(equation, entry, known)
    inner = getattr(value, "jaxpr", value)
    if hasattr(inner, "eqns"):
        within = inner_known(equation, inner, known)
        yield from _found_in(inner, within)
        note_results(equation, inner, within, known)


def _from_lax(equation: Any) -> Problem:
    """A lax convolution that jconv has no operation for, described as a forward one."""
    params = equation.params
    lhs, rhs = (variable.aval for variable in equation.invars)
    (result,) = equation.outvars
    numbers = params["dimension_numbers"]
    n, _, *i = (lhs.shape[p] for p in numbers.lhs_spec)
    f, c, *k = (rhs.shape[p] for p in numbers.rhs_spec)
    _, _, *o = (result.aval.shape[p] for p in numbers.out_spec)
    settings = ("window_strides", "lhs_dilation", "rhs_dilation", "padding")
    windows = zip(*(params[name] for name in settings), strict=True)
    batch_groups = params["batch_group_count"]
    groups = params["feature_group_count"] * batch_groups
    return Problem(
        leg="conv",
        axes=tuple(
            Axis(i=i[a], k=k[a], o=o[a], s=s, b=b, d=d, p0=low)
            for a, (s, b, d, (low, _)) in enumerate(windows)
        ),
        n=n // batch_groups,
        groups=groups,
        c=c,
        f=f // groups,
        x_dtype=str(lhs.dtype),
        w_dtype=str(rhs.dtype),
        y_dtype=str(result.aval.dtype),
        **captured(),
    )
