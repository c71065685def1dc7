"""What every algorithm asks of a leg: its windows, channels, dtypes and precision.

`conv` and `input_grad` are both the forward convolution of some x and w on some axes.
`input_grad` is that of g and the flipped filter, the roles of stride and input dilation
exchanged. `filter_grad` sums over the windows instead.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._core.geometry import Axis, Shape
from jconv._core.problem import ONE_WINDOW, Problem, itemsize


def rows_read(axis: Axis) -> int:
    """Rows from the first that a window reads to the last that one reads."""
    return axis.s * (axis.o - 1) + axis.d * (axis.k - 1) + 1


def channels(problem: Problem) -> tuple[int, int]:
    """Channels of a group that the windows read, and that they make."""
    c, f = problem.c, problem.f
    return (f, c) if problem.leg == "input_grad" else (c, f)


def widen(problem: Problem, a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The operands in the dtype that the leg computes in."""
    dtype = problem.wide_dtype
    return a.astype(dtype), b.astype(dtype)


def part_of(problem: Problem, **changes: Any) -> Problem:
    """A simpler problem that is a part of this one, on widened operands.

    All of its dtypes are wide, so the planner cannot see the dtypes of this problem. Where these
    leave no room for the rounding of transformed operands, the policy becomes "exact", unless it
    is stricter already. Of dtypes that nothing transforms a named policy keeps its name.
    """
    wide = problem.wide_dtype
    seen = problem.policy == "auto" or wide == "float32"
    if seen and not may_transform(problem) and problem.policy not in ("local", ONE_WINDOW):
        changes["policy"] = "exact"
    return problem.replace(x_dtype=wide, w_dtype=wide, y_dtype=wide, **changes)


def may_transform(problem: Problem) -> bool:
    """Whether rounding transformed operands loses no more than the leg's dtypes lose anyway.

    True for float32 throughout, where the policy decides, and for results that are rounded to
    half precision.
    """
    if problem.wide_dtype != "float32":
        return False
    dtypes = {problem.x_dtype, problem.w_dtype, problem.y_dtype}
    return itemsize(problem.out_dtype) < 4 or dtypes == {"float32"}


def vmapped_to_groups(array: jax.Array, channel: int = -1) -> jax.Array:
    """The array without the leading dimension that vmap added, which becomes groups.

    `channel` is the position of the channels without that dimension. Channels are ordered by
    groups in every slot, so the mapped dimension becomes their slower part, and one convolution
    with that many times the groups does what vmap asks for.
    """
    at = channel % (array.ndim - 1)
    array = jnp.moveaxis(array, 0, at)
    return array.reshape(*array.shape[:at], -1, *array.shape[at + 2 :])


def groups_to_vmapped(array: jax.Array, vmapped: Shape, channel: int = -1) -> jax.Array:
    """The inverse of `vmapped_to_groups`."""
    at = channel % array.ndim
    apart = array.reshape(*array.shape[:at], *vmapped, -1, *array.shape[at + 1 :])
    return jnp.moveaxis(apart, at, 0)


def precision(problem: Problem) -> tuple[lax.Precision, lax.Precision]:
    """The precision of both operands, for the argument of this name in lax's functions."""
    first, second = problem.precision
    return lax.Precision[first], lax.Precision[second]
