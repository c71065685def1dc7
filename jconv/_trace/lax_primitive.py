"""lax's convolution primitive: from its parameters to a leg of jconv, and back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._core.problem import Problem
from jconv._trace.recognise_legs import Clues, Window, convolve

PARAMETERS = {
    "window_strides",
    "padding",
    "lhs_dilation",
    "rhs_dilation",
    "dimension_numbers",
    "feature_group_count",
    "batch_group_count",
    "precision",
    "preferred_element_type",
    "out_sharding",
}


def from_lax(
    lhs: jax.Array, rhs: jax.Array, params: dict[str, Any], clues: Clues | None = None
) -> jax.Array:
    """What the primitive computes under its parameters, by jconv.

    Args:
        lhs, rhs: its operands.
        params: its parameters. `out_sharding` is left to the caller.
        clues: what the program around it says of it.

    Raises:
        ConvError: where jconv has no operation for the call.
    """
    window = Window(
        s=params["window_strides"],
        b=params["lhs_dilation"],
        d=params["rhs_dilation"],
        pads=params["padding"],
        groups=params["feature_group_count"],
        batch_groups=params["batch_group_count"],
    )
    precision = params["precision"]
    if precision is None:  # the default precision, which is the one in force here too
        precision = lax.Precision.DEFAULT
    how = {"precision": precision, "preferred_element_type": params["preferred_element_type"]}
    return convolve(lhs, rhs, params["dimension_numbers"], window, clues, **how)


def lax_params(problem: Problem) -> dict[str, Any]:
    """The parameters of the lax convolution that a leg is, channels last."""
    rank, filter_grad = problem.rank, problem.leg == "filter_grad"
    axes = problem.axes
    if problem.leg != "conv":
        axes = [axis.filter_grad() if filter_grad else axis.input_grad() for axis in axes]
    lhs, rhs = (0, rank + 1, *range(1, rank + 1)), (rank + 1, rank, *range(rank))
    return {
        "window_strides": tuple(axis.s for axis in axes),
        "padding": tuple((axis.p0, axis.p1) for axis in axes),
        "lhs_dilation": tuple(axis.b for axis in axes),
        "rhs_dilation": tuple(axis.d for axis in axes),
        "dimension_numbers": lax.ConvDimensionNumbers(lhs, rhs, lhs),
        "feature_group_count": 1 if filter_grad else problem.groups,
        "batch_group_count": problem.groups if filter_grad else 1,
        "precision": None,
        "preferred_element_type": jnp.dtype(problem.out_dtype),
        "out_sharding": None,
    }
