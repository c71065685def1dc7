"""unfold and fold: the windows that a convolution reads as an array, and the exact adjoint.

Both go one axis at a time, so that a filter of 3x3 taps costs 3 + 3 slices and not 9. They are
slices, pads and sums and nothing else: JAX differentiates those itself, to any order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jconv._algorithms.windows import resize
from jconv._check import settings
from jconv._check.arrays import make_call
from jconv._check.call import Call
from jconv._check.dtypes import kind_of
from jconv._check.foreign_errors import same_value, worded
from jconv._check.operations import OPERATIONS
from jconv._check.resolve import Resolved
from jconv._check.spec import read_spec
from jconv._check.words import in_jconvs_words
from jconv._core import jax_sharding
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Axis, Shape, Size, is_static, span
from jconv._core.layout import Layout, parse_layout
from jconv._core.problem import OPERANDS, Problem, compute_dtype
from jconv._devices.local import RunLeg
from jconv._devices.partition import alone, out_spec, over_explicit_axes
from jconv._devices.roles import decide
from jconv._diagnosis.diagnose import resolve_or_explain
from jconv._ops.conv import Ints, Padding, PaddingMode
from jconv._ops.conv import Layout as LayoutLike

Run = Callable[[Problem, Array], Array]


@in_jconvs_words
def unfold(
    x: ArrayLike,
    kernel: Ints,
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    input_dilation: Ints = 1,
    layout: LayoutLike = None,
    padding_mode: PaddingMode = "zeros",
) -> Array:
    """The windows of x that a convolution reads, flattened into the channels (im2col).

    Per spatial axis `patches[o, k] = x[i]` where `b*i + p0 = s*o + d*k`, and 0 where there is no
    such row. The channels hold the taps and the input channels in the order in which the layout's
    filter has them, so that conv(x, w) is unfold(x, kernel) times w, reshaped to (-1, O).

    Args:
        x: input, (N, spatial..., C) unless `layout` says otherwise.
        kernel: taps of the filter, one int or one for each spatial axis.
        stride, padding, dilation, input_dilation, layout, padding_mode: as in `conv`.

    Returns:
        An array (N, spatial..., taps * C); channels first, (N, C * taps, spatial...).

    Raises:
        ConvError: if the arguments do not fit together.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 6, 6, 3)), jnp.ones((3, 3, 3, 8))
        >>> patches = jconv.unfold(x, 3, stride=2)
        >>> patches.shape
        (1, 3, 3, 27)
        >>> bool(jnp.allclose(patches @ w.reshape(27, 8), jconv.conv(x, w, stride=2)))
        True
    """
    given = {
        "x": x,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "input_dilation": input_dilation,
        "layout": layout,
        "padding_mode": padding_mode,
    }
    shape, dtype = _described("unfold", "x", x)
    resolved, taps = _resolve("unfold", shape, dtype, kernel, given)
    order = resolved.layout
    x = jnp.transpose(jnp.asarray(x), order.x)
    patches = _on_parts(_windows_problem(resolved, x), x, _all_windows)
    patches = _reordered(patches, _taps_of(taps, resolved), _filter_order(order))
    return jnp.transpose(patches, order.inverse("y"))


@in_jconvs_words
def fold(
    patches: ArrayLike,
    kernel: Ints,
    *,
    input_shape: Sequence[int],
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    input_dilation: Ints = 1,
    layout: LayoutLike = None,
    padding_mode: PaddingMode = "zeros",
) -> Array:
    """The adjoint of `unfold` (col2im): <p, unfold(x, kernel)> = <x, fold(p, kernel)>.

    Every value is added to the row of x that it would have been read from. It is not an inverse:
    a row comes back as often as windows have read it.

    Args:
        patches: (N, spatial..., taps * C), as `unfold` orders them.
        kernel: taps of the filter, one int or one for each spatial axis.
        input_shape: shape of x, full or the spatial sizes alone. It does not follow from the
            patches: a stride may leave rows of x unread, and the patches do not say how many.
        stride, padding, dilation, input_dilation, layout, padding_mode: those of that `unfold`.

    Returns:
        An array of shape `input_shape`.

    Raises:
        ConvError: if unfold with these arguments takes input_shape to other patches.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> patches = jconv.unfold(jnp.ones((1, 4, 1)), 3)
        >>> jconv.fold(patches, 3, input_shape=(4,))[0, :, 0]
        Array([2., 3., 3., 2.], dtype=float32)
    """
    given = {
        "patches": patches,
        "input_shape": input_shape,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "input_dilation": input_dilation,
        "layout": layout,
        "padding_mode": padding_mode,
    }
    shape, dtype = _described("fold", "patches", patches)
    resolved, taps = _resolve("fold", shape, dtype, kernel, given)
    order, merged = resolved.layout, _filter_order(resolved.layout)
    x = jnp.asarray(patches)
    dtype = x.dtype
    x = jnp.transpose(x.astype(compute_dtype(str(dtype))), order.y)
    sizes, back = _taps_of(taps, resolved), [merged.index(at) for at in range(len(merged))]
    x = _reordered(x, [sizes[at] for at in merged], back)
    x = _on_parts(_windows_problem(resolved, x), x, _all_overlaid)
    return jnp.transpose(x.astype(dtype), order.inverse("x"))


def _taps_of(taps: Sequence[int], resolved: Resolved) -> list[Size]:
    """(k..., C), the dimensions that are one in the patches."""
    return [*taps, resolved.problem.c]


def _reordered(patches: Array, sizes: Sequence[Size], order: Sequence[int]) -> Array:
    """The patches (N, o..., the product of `sizes`), with these dimensions in another order."""
    lead = patches.shape[:-1]
    apart = patches.reshape(*lead, *sizes)
    apart = jnp.transpose(apart, (*range(len(lead)), *(len(lead) + at for at in order)))
    return apart.reshape(*lead, patches.shape[-1])


def _windows_problem(resolved: Resolved, array: Array) -> Problem:
    """The convolution to one output channel for each tap and channel, or its input backprop."""
    problem, dtype = resolved.problem, str(array.dtype)
    channels = math.prod(axis.k for axis in problem.axes) * problem.c
    dtypes = {f"{slot}_dtype": dtype for slot in "xwy"}
    return problem.replace(f=channels, borders=resolved.borders, **dtypes)


def _on_parts(problem: Problem, array: Array, run: Run) -> Array:
    """`run` on whole rows, or on each device's rows and their neighbours' (explicit mesh axes).

    The array lies over the devices as the operand of the convolution that the problem describes,
    and so does the result; there is no filter, and the channels are brought together.
    """
    mesh = jax_sharding.mesh_of(jax.typeof(array))
    if mesh is None or not problem.static:
        return alone(problem, array, array, _without_filter(run))
    return _over_explicit_axes(array, problem, run)


def _without_filter(run: Run) -> RunLeg:
    return lambda problem, array, _: run(problem, array)


@functools.partial(jax.jit, static_argnames=("problem", "run"))
def _over_explicit_axes(array: Array, problem: Problem, run: Run) -> Array:
    mesh = jax_sharding.mesh_of(jax.typeof(array))
    assert mesh is not None
    first = OPERANDS[problem.leg][0]
    entries = jax_sharding.spec_of(jax.typeof(array))
    names = [jax_sharding.names_of(entry) for entry in entries[:-1]]
    spec = tuple(tuple(n for n in axes if n in mesh.explicit_axes) for axes in names)
    split = decide(problem, {first: (*spec, ())}, {n: mesh.shape[n] for n in mesh.explicit_axes})
    spec = out_spec(problem, split)
    run_split = over_explicit_axes(problem, split, mesh, spec, _without_filter(run))
    return run_split(array, jnp.zeros(problem.shape("w"), array.dtype))  # which is not read


def _all_windows(problem: Problem, x: Array) -> Array:
    """x (N, i..., C) to its windows (N, o..., taps * C)."""
    rank = problem.rank
    for dim in range(rank, 0, -1):
        x = jnp.stack(_windows(x, dim, problem.axes[dim - 1]), axis=rank + 1)
    return x.reshape(*x.shape[: rank + 1], problem.f)


def _all_overlaid(problem: Problem, patches: Array) -> Array:
    """The adjoint of `_all_windows`."""
    rank, taps = problem.rank, [axis.k for axis in problem.axes]
    x = patches.reshape(*patches.shape[: rank + 1], *taps, problem.c)
    for dim in range(1, rank + 1):
        x = _overlaid(x, dim, rank + 1, problem.axes[dim - 1])
    return x


def _windows(x: Array, dim: int, axis: Axis) -> list[Array]:
    """For each tap the rows of x that it meets, one for each output."""
    rows = axis.s * axis.o
    x = resize(x, dim, axis.p0, rows + span(axis.k, axis.d) - 1, interior=axis.b - 1)
    return [
        lax.slice_in_dim(x, axis.d * k, axis.d * k + rows, axis.s, axis=dim) for k in range(axis.k)
    ]


def _overlaid(patches: Array, dim: int, taps: int, axis: Axis) -> Array:
    """The adjoint of `_windows`: each tap's rows put where they were read from, and summed."""
    rows, reach = span(axis.i, axis.b), axis.s * axis.o
    parts = []
    for k in range(axis.k):
        part = lax.index_in_dim(patches, k, taps, keepdims=False)
        # XLA's partitioner ends the process over a pad that both dilates and crops split rows.
        part = resize(part, dim, 0, reach, interior=axis.s - 1)
        parts.append(resize(part, dim, axis.d * k - axis.p0, rows))
    return lax.slice_in_dim(sum(parts[1:], parts[0]), 0, rows, axis.b, axis=dim)


def _filter_order(layout: Layout) -> list[int]:
    """Where (k..., C) stand in the layout's filter, its outputs left out."""
    rank = len(layout.w) - 2
    return sorted(range(rank + 1), key=lambda at: layout.w[at])


def _described(op: str, name: str, array: Any) -> tuple[Shape, str]:
    with worded(op, {name: name}, {name: array}, {}):
        call = make_call("conv", {name: array})
    shape, dtype = call.shapes[name], call.dtypes[name]
    if kind_of(dtype) == "other":
        raise ConvError(
            f"{op}: `{name}` must hold numbers; it is {dtype}.",
            argument=name,
            got=dtype,
            expected="float32, or another dtype of numbers",
            remedies=[Remedy.convert(name, "float32")],
        )
    if len(shape) < 3:
        raise ConvError(
            f"{op}: `{name}` has {len(shape)} dimensions: batch, channels and at least one spatial "
            "one are needed.",
            argument=name,
            got=shape,
            expected="3 dimensions or more",
        )
    return shape, dtype


def _resolve(
    op: str, shape: Shape, dtype: str, kernel: Any, given: dict[str, Any]
) -> tuple[Resolved, tuple[int, ...]]:
    """The geometry, as that of a convolution to one output channel or of its input backprop."""
    rank = len(shape) - 2
    taps = settings.read_factors(op, "kernel", kernel, rank)
    array = "x" if op == "unfold" else "patches"
    keywords = {name: value for name, value in given.items() if name != array}
    names = {name: name for name in (*given, "kernel")}
    values = dict.fromkeys(names, same_value)
    if op == "unfold":
        call = Call(OPERATIONS["conv"], {"x": shape, "w": ()}, {"x": dtype, "w": dtype}, **keywords)
    else:
        # fold takes integers as well; only the check below wants a floating-point cotangent.
        dtype = "float32" if "int" in dtype else dtype
        names["g"] = "patches"
        call = Call(
            OPERATIONS["conv_input_grad"],
            {"g": shape, "w": ()},
            {"g": dtype, "w": dtype},
            **keywords,
        )
    with worded(op, names, given, values):
        try:
            layout = read_spec(call, rank).layout
        except ConvError:  # resolve_or_explain below raises it again, with remedies
            layout = parse_layout(None, rank)
        if op == "unfold":
            channels = layout.canonical("x", shape)[-1]
        else:
            *outer, merged = layout.canonical("y", shape)
            channels = _split(merged, taps, shape)
            call = call.replace(shapes={"g": layout.caller("y", (*outer, 1))})
        w = layout.caller("w", (*taps, channels, 1))
        return resolve_or_explain(call.replace(shapes={**call.shapes, "w": w})), taps


def _split(merged: Any, taps: tuple[int, ...], shape: Shape) -> Any:
    count = math.prod(taps)
    if is_static(merged) and merged % count:
        near = max(merged // count, 1) * count
        raise ConvError(
            f"fold: `patches` has {merged} channels, which are not {count} taps of anything.",
            argument="patches",
            got=shape,
            expected=f"a multiple of {count} channels, such as {near}",
            remedies=[Remedy.use("kernel", 1)],
        )
    return merged // count
