"""The operands of a filter backprop, checked and brought to jconv's own layout."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jconv._check.arrays import as_operand, make_call
from jconv._check.foreign_errors import same_value, worded
from jconv._check.resolve import Resolved
from jconv._core.layout import Layout
from jconv._core.problem import Problem, compute_dtype
from jconv._devices.borders import pad_borders
from jconv._diagnosis.diagnose import resolve_or_explain
from jconv._planner.policy import capture


@dataclasses.dataclass(frozen=True)
class Operands:
    """A filter backprop's problem and its two operands, (N, spatial..., channels) each."""

    problem: Problem
    x: jax.Array
    g: jax.Array
    layout: Layout


def read_operands(op: str, x: Any, g: Any, settings: dict[str, Any]) -> Operands:
    """Check the arguments of `op`, whose settings are those of `conv_filter_grad`.

    A padding mode other than zeros has been applied to the x that is returned.

    Raises:
        ConvError: in the words of `op`.
    """
    resolved = resolve_as(op, {"x": x, "g": g}, settings)
    layout, borders = resolved.layout, resolved.borders
    problem = capture(resolved.problem, settings.get("precision"))
    x, g = jnp.transpose(as_operand(x), layout.x), jnp.transpose(as_operand(g), layout.y)
    if borders is not None:
        # A row that was copied into a border gets several cotangents, summed in float32 or wider.
        problem = problem.replace(x_dtype=compute_dtype(problem.x_dtype))
        x = pad_borders(x.astype(problem.x_dtype), borders)
    return Operands(problem, x, g, layout)


def resolve_as(op: str, arrays: dict[str, Any], settings: dict[str, Any]) -> Resolved:
    """The filter backprop that a call of `op` asks for, its errors in the words of `op`."""
    names = {name: name for name in (*arrays, *settings)}
    values = dict.fromkeys(names, same_value)
    with worded(op, names, {**arrays, **settings}, values):
        return resolve_or_explain(make_call("conv_filter_grad", arrays, **settings))
