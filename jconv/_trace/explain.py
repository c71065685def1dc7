"""explain: every convolution inside a function, as plans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax

from jconv._core import jax_hooks
from jconv._core.errors import ConvError
from jconv._core.geometry import Axis
from jconv._core.problem import Problem
from jconv._ops.primitives import PRIMITIVES
from jconv._plan.plan import Plan, plan_of
from jconv._planner.policy import captured
from jconv._trace.accelerate import accelerate


def explain(fn: Callable[..., Any], *args: Any) -> list[Plan]:
    """A Plan for every convolution that fn(*args) runs, jconv's and lax's, gradients included.

    fn is traced, not run: the arguments may be arrays or jax.ShapeDtypeStruct. The plan's
    `leg` says which of the three operations stands there; convolutions inside scan, cond, jit
    and the like are listed once for each place in the code.

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
    return [plan_of(problem) for problem in problems_of(fn, args)]


def problems_of(fn: Callable[..., Any], args: tuple[Any, ...]) -> list[Problem]:
    """The problem of every convolution in fn(*args), in the order of the traced program."""
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
    jaxpr = jax.make_jaxpr(read)(*(leaves[place] for place in places))
    return list(problems_in(jaxpr.jaxpr))


def problems_in(jaxpr: Any) -> Iterator[Problem]:
    """The problem of every convolution in a jaxpr, jconv's and lax's."""
    for equation in jaxpr.eqns:
        if equation.primitive in PRIMITIVES:
            yield equation.params["problem"].unordered.unbordered
        elif equation.primitive.name == "conv_general_dilated":
            yield _from_lax(equation)
        else:
            for value in equation.params.values():
                yield from _inside(value)


def _inside(value: Any) -> Iterator[Problem]:
    """The problems in the jaxprs that an equation's parameter holds."""
    if isinstance(value, tuple | list):
        for entry in value:
            yield from _inside(entry)
    inner = getattr(value, "jaxpr", value)
    if hasattr(inner, "eqns"):
        yield from problems_in(inner)


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
