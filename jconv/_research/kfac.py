"""The Kronecker factors of a convolution's curvature, which K-FAC multiplies."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jconv._algorithms import cost
from jconv._algorithms.legs import precision as precision_of
from jconv._core import jax_hooks
from jconv._core.geometry import product
from jconv._core.problem import Problem, itemsize
from jconv._ops.conv import Ints, Layout, Padding, PaddingMode, Precision
from jconv._planner.choose import choose, needs
from jconv._research.chunks import CHUNK_BYTES
from jconv._research.norms import Way
from jconv._research.operands import read_operands
from jconv._research.second_moment import (
    blocks,
    by_autocorrelation,
    by_patches,
    core_problem,
    padded,
    reach,
    strips,
)


def kfac_factors(
    x: ArrayLike,
    g: ArrayLike,
    *,
    filter_shape: Sequence[int],
    bias: bool = False,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    input_dilation: Ints = 1,
    groups: int = 1,
    layout: Layout = None,
    padding_mode: PaddingMode = "zeros",
    precision: Precision = None,
) -> tuple[Array, Array]:
    """The sums over examples and places of p p^T and g g^T, p the window that a place reads.

    They are the two Kronecker factors of a convolution's Fisher matrix before any normalisation.
    A usual one divides both by the number of examples and one of them by the number of places.
    Windows never take more memory than the policy's workspace: at stride 1 the sum of p p^T may be
    computed from the autocorrelation of x; otherwise windows are laid out a block at a time.
    `plan_operation` says which.

    Args:
        x: input of the forward convolution, (N, spatial..., C) unless `layout` says otherwise.
        g: cotangent of the forward convolution's result, (N, spatial..., O).
        filter_shape: shape of w, full or the spatial sizes alone.
        bias: whether p has a last entry of 1, for the convolution's bias.
        stride, padding, dilation, input_dilation, groups, layout, padding_mode, precision: as
            in the forward convolution.

    Returns:
        (A, G): A is square with an entry for each tap and input channel (taps first, then
        channels, in any layout, then the bias), G is square with an entry for each output
        channel. With groups > 1 both have a leading dimension of groups. Float32 or float64.

    Raises:
        ConvError: if no forward convolution with these arguments makes a cotangent of g's shape.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, g = jnp.ones((2, 5, 5, 3)), jnp.ones((2, 5, 5, 8))
        >>> a, b = jconv.kfac_factors(x, g, filter_shape=(3, 3), bias=True)
        >>> a.shape, b.shape, float(a[-1, -1])
        ((28, 28), (8, 8), 50.0)
    """
    settings = {
        "filter_shape": filter_shape,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "input_dilation": input_dilation,
        "groups": groups,
        "layout": layout,
        "padding_mode": padding_mode,
        "precision": precision,
    }
    read = read_operands("kfac_factors", x, g, settings)
    wide = read.problem.wide_dtype
    problem = read.problem.replace(x_dtype=wide, w_dtype=wide, y_dtype=wide)
    a = _inputs(problem, read.x.astype(wide), bias)
    b = _cotangents(problem, read.g.astype(wide))
    return (a, b) if problem.groups > 1 else (a[0], b[0])


def choose_way(problem: Problem, platform: str | None = None) -> Way:
    """How the windows' second moment is found."""
    limit = _windows_limit(problem)
    places = problem.n * product([axis.o for axis in problem.axes])
    images, _, _ = blocks(problem, tuple((0, axis.o) for axis in problem.axes), limit)
    rows = product([axis.s * (axis.o - 1) + reach(axis) + 1 for axis in problem.axes])
    around_x = problem.n * rows * problem.groups * problem.c * itemsize(problem.wide_dtype)
    held = around_x + 2 * min(limit, _windows_bytes(problem, places))
    patches = Way("patches", _laying(problem, places), held, images, {})
    reason = _no_core(problem)
    if reason is None:
        core = core_problem(problem)
        choice = choose(core, platform or jax_hooks.default_platform())
        around = [box for at in range(problem.rank) for box in strips(problem.axes, at)]
        near = problem.n * sum(product([size for _, size in box]) for box in around)
        seconds = choice.cost + _laying(problem, near)
        needed = needs(choice.algorithm, core, platform or jax_hooks.default_platform())
        size = around_x + max(needed, 2 * min(limit, _windows_bytes(problem, near)))
        if problem.workspace is not None and needed > problem.workspace:
            reason = f"needs {needed} bytes of workspace, over the limit of {problem.workspace}"
        elif seconds < patches.seconds:
            why = f"predicted to take {patches.seconds / seconds:.2g} times as long"
            return Way("autocorrelation", seconds, size, images, {"patches": why})
        else:
            reason = f"predicted to take {seconds / patches.seconds:.2g} times as long as patches"
    return Way("patches", patches.seconds, held, images, {"autocorrelation": reason})


def _windows_limit(problem: Problem) -> int:
    """Bytes of windows laid out at a time: half of what is allowed, as a product may copy them."""
    limit = CHUNK_BYTES if problem.workspace is None else min(problem.workspace, CHUNK_BYTES)
    return limit // 2


def _no_core(problem: Problem) -> str | None:
    """Why the autocorrelation has nothing to sum up, or None."""
    if any(axis.s > 1 or axis.b > 1 for axis in problem.axes):
        return "only supports stride 1 and no input dilation"
    if all(axis.k == 1 for axis in problem.axes):
        return "only supports filters of more than one tap"
    if any(axis.o <= 2 * reach(axis) for axis in problem.axes):
        return "only supports images larger than their border strips"
    return None


def _laying(problem: Problem, places: int) -> float:
    taps = product([axis.k for axis in problem.axes])
    columns = taps * problem.c
    seconds = problem.groups * cost.transposed_dot(problem, columns, places, columns)
    return seconds + 2 * cost.moved(problem, places * columns * problem.groups)


def _windows_bytes(problem: Problem, places: int) -> int:
    taps = product([axis.k for axis in problem.axes])
    return places * taps * problem.groups * problem.c * itemsize(problem.wide_dtype)


def _inputs(problem: Problem, x: jax.Array, bias: bool) -> jax.Array:
    """(G, taps*C, taps*C), with a last row and column for the bias."""
    taps, groups, c = product([a.k for a in problem.axes]), problem.groups, problem.c
    if problem.empty:
        moments = jnp.zeros((groups, taps * c, taps * c), x.dtype)
        sums = jnp.zeros((groups, taps * c), x.dtype)
    else:
        x = padded(problem, x)
        way = choose_way(problem)
        run = {"patches": by_patches, "autocorrelation": by_autocorrelation}[way.name]
        with jax.named_scope(f"jconv.kfac_factors.{way.name}"):
            moments = run(problem, x, _windows_limit(problem))
        sums = _window_sums(problem, x) if bias else None
    if not bias:
        return moments
    count = problem.n * product([axis.o for axis in problem.axes])
    last = jnp.full((groups, 1), count, x.dtype)
    moments = jnp.concatenate([moments, sums[:, None]], axis=1)  # pyright: ignore
    column = jnp.concatenate([sums, last], axis=1)  # pyright: ignore
    return jnp.concatenate([moments, column[:, :, None]], axis=2)


def _window_sums(problem: Problem, x: jax.Array) -> jax.Array:
    """(G, taps*C): the sum of all windows, from the padded x."""
    x = jnp.sum(x, axis=0)
    for at, axis in enumerate(problem.axes):
        sums = [
            lax.slice_in_dim(
                x, axis.d * k, axis.d * k + axis.s * (axis.o - 1) + 1, axis.s, axis=at
            ).sum(axis=at)
            for k in range(axis.k)
        ]
        x = jnp.stack(sums, axis=at)
    x = x.reshape(-1, problem.groups, problem.c)
    return jnp.swapaxes(x, 0, 1).reshape(problem.groups, -1)


def _cotangents(problem: Problem, g: jax.Array) -> jax.Array:
    """(G, F, F): the sum over examples and places of g g^T."""
    places, exactly = g.reshape(-1, problem.groups, problem.f), precision_of(problem)
    if problem.groups == 1:
        flat = places[:, 0]
        return lax.dot_general(flat, flat, (((0,), (0,)), ((), ())), precision=exactly)[None]
    return lax.dot_general(places, places, (((0,), (0,)), ((1,), (1,))), precision=exactly)
