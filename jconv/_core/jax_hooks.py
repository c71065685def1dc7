"""The parts of JAX's interpreters and jaxprs that change between releases.

`HOOKS` is None when this JAX lacks the interpreter hooks; jconv then runs on jax.custom_vjp.
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import jax


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
    """Give jax.experimental.jet a bilinear primitive's rule: the product of two power series."""
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
    """Make primitives count in jax.experimental.roofline, once the user has imported it.

    jconv does not import it, since that would take a quarter of jconv's own import time. What
    jit traced and kept before the user's import counts as no operations.
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


JAXPRS: Any = _jaxpr_hooks()  # None where this JAX release lacks them


def with_equations(jaxpr: Any, replaced: Callable[[Any], list[Any]]) -> Any:
    """A jaxpr with each equation replaced; the given object itself where nothing changes.

    Before jax 0.11 a jaxpr with constants is a ClosedJaxpr, a class around a plain jaxpr.
    """
    inner = getattr(jaxpr, "jaxpr", jaxpr)
    equations = [new for old in inner.eqns for new in replaced(old)]
    if len(equations) == len(inner.eqns) and all(map(operator.is_, equations, inner.eqns)):
        return jaxpr
    changed = inner.replace(eqns=equations)
    return changed if inner is jaxpr else jaxpr.replace(jaxpr=changed)


def traced_in_place_of(equation: Any, fn: Callable[..., Any]) -> Any:
    """fn's jaxpr for an equation's operands, under the mesh and modes of that equation."""
    with equation.ctx.manager:
        return jax.make_jaxpr(fn)(*(variable.aval for variable in equation.invars))


def rewrapped(thunk: Any, fn: Callable[..., Any]) -> Any:
    """`fn` in place of a function that JAX keeps among an equation's parameters."""
    return JAXPRS.wrap_init(fn, debug_info=thunk.debug_info)


make_user_context = jax.make_user_context


def default_platform() -> str:
    """The name under which the default backend's lowering rules are registered."""
    name = jax.default_backend()
    if name != "gpu":
        return name
    return "rocm" if "rocm" in jax.devices()[0].client.platform_version.lower() else "cuda"


def bind_equation(equation: Any, values: Sequence[Any]) -> list[Any]:
    """The results of a jaxpr's equation on these values, under the equation's mesh and modes."""
    params = equation.primitive.get_bind_params(equation.params)
    with equation.ctx.manager:
        result = equation.primitive.bind(*values, **params)
    return list(result) if equation.primitive.multiple_results else [result]
