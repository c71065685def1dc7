"""A second batch of plausible bugs, on which the table of causes was tried when it was finished.

Each names the causes that would help its author: the bug, or what the failing cases have in common.
"" says that the kit finds the bug and does not know what it is.
"""

from __future__ import annotations

import types

import jax
import jax.numpy as jnp
import numpy as np
from mutants import Mutant, Roomy
from own_conv import Own, each

import jconv
from jconv.testing import reference
from jconv.testing.oracle.legs import OPERATIONS


def with_own(**functions):
    """jconv with operations of one's own."""
    return types.SimpleNamespace(**{op: getattr(jconv, op) for op in OPERATIONS} | functions)


def orders(keywords, array):
    """The dimensions of x, w and y in the order of channels last."""
    return reference.Call(array.ndim - 2, layout=keywords.get("layout")).orders()


def cut(array, start, stop, axis):
    return jax.lax.slice_in_dim(array, start, stop, axis=axis)


# --- settings and channels ----------------------------------------------------------------------


def groups_one_off(x, w, **keywords):
    y, groups = jconv.conv_transpose(x, w, **keywords), keywords.get("groups", 1)
    axis = orders(keywords, x)["x"][-1]
    return jnp.roll(y, y.shape[axis] // groups, axis) if groups > 1 else y


def unflipped_along_one_axis(g, w, *, input_shape, **keywords):
    last = orders(keywords, g)["w"][-3]
    return jconv.conv_input_grad(g, jnp.flip(w, last), input_shape=input_shape, **keywords)


def exchanged_on_the_second_axis(padding):
    if isinstance(padding, str | int) or len(padding) < 2 or isinstance(padding[1], int):
        return padding
    return (padding[0], padding[1][::-1], *padding[2:])


def pads_of_the_second_axis(x, w, *, padding="SAME", **keywords):
    return jconv.conv(x, w, padding=exchanged_on_the_second_axis(padding), **keywords)


class PadsOfTheSecondAxis(Own):
    def filter_leg(self, x, g, taps, stride, padding, *rest):
        padding = exchanged_on_the_second_axis(padding)
        return super().filter_leg(x, g, taps, stride, padding, *rest)


class StrideFromDilation(Roomy):
    def cut(self, tap, outputs, s, d):
        return super().cut(tap, outputs, d, d)


class LastInputChannelMissing(Own):
    def product(self, a, b):
        return super().product(a[..., : max(a.shape[-1] - 1, 1)], b[: max(len(b) - 1, 1)])


def of_the_first_axis(name):
    def conv(x, w, **keywords):
        value = keywords.get(name, 1)
        return jconv.conv(x, w, **{**keywords, name: value if isinstance(value, int) else value[0]})

    return conv


def scaled_by_groups(x, g, **keywords):
    return keywords.get("groups", 1) * jconv.conv_filter_grad(x, g, **keywords)


def last_group_not_written(x, w, **keywords):
    y, groups = jconv.conv(x, w, **keywords), keywords.get("groups", 1)
    axis = orders(keywords, x)["y"][-1]
    kept = y.shape[axis] - y.shape[axis] // groups if groups > 1 else y.shape[axis]
    shape = [n if at == axis else 1 for at, n in enumerate(y.shape)]
    return y * (jnp.arange(y.shape[axis]) < kept).reshape(shape).astype(y.dtype)


def outputs_dealt(x, g, **keywords):
    w, groups = jconv.conv_filter_grad(x, g, **keywords), keywords.get("groups", 1)
    axis = orders(keywords, x)["w"][-1]
    order = np.arange(w.shape[axis]).reshape(groups, -1).T.ravel()
    return w.take(order, axis)


# --- rows ---------------------------------------------------------------------------------------


class RemainderLeftAsItWas(Own):
    """Memory that nobody writes, behind the last window."""

    def input_leg(self, g, w, sizes, stride, padding, dilation, b, *rest):
        x = super().input_leg(g, w, sizes, stride, padding, dilation, b, *rest)
        s, _, b, rows, windows, sides = self.settings(
            sizes, w.shape[:-2], stride, padding, dilation, b
        )
        for axis, (n, k, (low, high), step) in enumerate(
            zip(rows, windows, sides, s, strict=True), 1
        ):
            left = max(n + low + high - k, 0) % step - max(high, 0)
            if left > 0 and set(b) == {1} and g.shape[axis]:
                np.moveaxis(x, axis, 0)[-left:] = 77
        return x


def last_row_of_g_cropped(g, w, **keywords):
    axis = orders(keywords, g)["y"][1]
    kept = jnp.arange(g.shape[axis]) < g.shape[axis] - 1
    kept = kept.reshape([-1 if at == axis else 1 for at in range(g.ndim)])
    return jconv.conv_input_grad(g * kept.astype(g.dtype), w, **keywords)


class EvenKernelsEarly(Own):
    def sides(self, padding, rows, windows, strides):
        found = super().sides(padding, rows, windows, strides)
        return [
            (low + 1, high - 1) if window and window % 2 == 0 else (low, high)
            for (low, high), window in zip(found, windows, strict=True)
        ]


class ReflectRepeatsTheEdge(Own):
    def source_rows(self, n, low, high, mode):
        if mode != "reflect":
            return super().source_rows(n, low, high, mode)
        rows = np.arange(-low, n + high) % (2 * n)
        return np.where(rows < n, rows, 2 * n - 1 - rows)


def nothing_to_sum_not_written(x, g, **keywords):
    w = jconv.conv_filter_grad(x, g, **keywords)
    rows = [g.shape[axis] for axis in orders(keywords, g)["y"][1:-1]]
    return w + 3 if 0 in rows else w


def extra_rows_in_front(x, w, *, output_padding=None, **keywords):
    y = jconv.conv_transpose(x, w, output_padding=output_padding, **keywords)
    axes = orders(keywords, x)["x"][1:-1]
    for axis, extra in zip(axes, each(output_padding or 0, len(axes)), strict=True):
        front = jnp.zeros_like(cut(y, 0, extra, axis))
        y = cut(jnp.concatenate([front, y], axis), 0, y.shape[axis], axis)
    return y


def last_example_twice(x, g, **keywords):
    dims = orders(keywords, x)
    x, g = (
        jnp.concatenate([a, cut(a, max(a.shape[at] - 1, 0), a.shape[at], at)], at)
        for a, at in ((x, dims["x"][0]), (g, dims["y"][0]))
    )
    return jconv.conv_filter_grad(x, g, **keywords)


# --- layouts ------------------------------------------------------------------------------------


def channels_first(keywords):
    layout = keywords.get("layout")
    return isinstance(layout, str) and layout[1] == "C"


def height_and_width_exchanged(x, w, **keywords):
    y = jconv.conv(x, w, **keywords)
    return y.swapaxes(2, 3) if channels_first(keywords) and y.ndim > 3 else y


def filters_misread_where_channels_come_first(x, w, **keywords):
    if channels_first(keywords):
        w = w.reshape(w.shape[1], w.shape[0], *w.shape[2:]).swapaxes(0, 1)
    return jconv.conv(x, w, **keywords)


# --- modes and transformations ------------------------------------------------------------------


def conjugates_x(x, g, **keywords):
    return jconv.conv_filter_grad(jnp.conj(x), g, **keywords)


def flipped_outside_jit(x, w, **keywords):
    taps = orders(keywords, x)["w"][:-2]
    return jconv.conv(x, w if isinstance(x, jax.core.Tracer) else jnp.flip(w, taps), **keywords)


def without_the_filters_tangent(x, w, **keywords):
    @jax.custom_jvp
    def run(x, w):
        return jconv.conv(x, w, **keywords)

    @run.defjvp
    def push(primals, tangents):
        return run(*primals), jconv.conv(tangents[0], primals[1], **keywords)

    return run(x, w)


def without_gradient_in_x(x, w, **keywords):
    return jconv.conv(jax.lax.stop_gradient(x), w, **keywords)


def mapped(change):
    """conv whose vmap rule is given changed stacks of operands."""

    def conv(x, w, **keywords):
        @jax.custom_batching.custom_vmap
        def run(x, w):
            return jconv.conv(x, w, **keywords)

        @run.def_vmap
        def batched(axis_size, in_batched, x, w):
            x, w = (
                v if b else jnp.broadcast_to(v, (axis_size, *v.shape))
                for v, b in zip((x, w), in_batched, strict=True)
            )
            x, w = change(x, w, keywords)
            return jnp.stack(
                [jconv.conv(*pair, **keywords) for pair in zip(x, w, strict=True)]
            ), True

        return run(x, w)

    return conv


def flipped_under_vmap(x, w, keywords):
    return x, jnp.flip(w, [axis + 1 for axis in orders(keywords, x[0])["w"][:-2]])


def in_half(op, axis, parts):
    """Partial sums in float32, added up in the operands' half precision."""

    def run(a, b, **keywords):
        operation, total = getattr(jconv, op), 0
        if a.dtype not in (jnp.bfloat16, jnp.float16):
            return operation(a, b, **keywords)
        for part in range(parts):
            kept = jnp.arange(a.shape[axis]) % parts == part
            shape = [-1 if at == axis % a.ndim else 1 for at in range(a.ndim)]
            some = a.astype(jnp.float32) * kept.reshape(shape)
            one = operation(some, b.astype(jnp.float32), **keywords)
            total = total + one.astype(a.dtype)
        return total

    return run


FORWARD = ("conv",)
INPUT, FILTER, TRANSPOSED = ("conv_input_grad",), ("conv_filter_grad",), ("conv_transpose",)
HALF = "accumulation in half precision"
ANOTHER_LAYOUT = "another layout than the default"


def one(name, function, cause, fails=FORWARD, properties=("values",)):
    given = function if isinstance(function, Own) else with_own(**{fails[0]: function})
    return Mutant(name, given, cause, properties, fails)


MUTANTS = (
    one("groups-one-off", groups_one_off, "group order", TRANSPOSED),
    one("unflipped-on-one-axis", unflipped_along_one_axis, "flipped kernel", INPUT),
    one("pads-of-the-second-axis", pads_of_the_second_axis, "pads exchanged"),
    one("pads-of-the-second-axis-in-w", PadsOfTheSecondAxis(), "pads exchanged", FILTER),
    one("stride-from-dilation", StrideFromDilation(), "stride and dilation exchanged"),
    one("last-channel-missing", LastInputChannelMissing().conv, "last channel dropped"),
    one("first-stride-for-all", of_the_first_axis("stride"), "strides of the axes exchanged"),
    one("first-dilation-for-all", of_the_first_axis("dilation"),
        "dilations of the axes exchanged"),
    one("scaled-by-groups", scaled_by_groups, "groups", FILTER),
    one("last-group-not-written", last_group_not_written, "groups"),
    one("outputs-dealt", outputs_dealt, "group order", FILTER),
    one("remainder-not-written", RemainderLeftAsItWas(), "a remainder", INPUT),
    one("last-row-cropped", last_row_of_g_cropped, "last row dropped", INPUT),
    one("even-kernels-early", EvenKernelsEarly(), "an even kernel"),
    one("reflect-repeats-the-edge", ReflectRepeatsTheEdge(), "a padding mode"),
    one("nothing-to-sum-not-written", nothing_to_sum_not_written, "no rows of output", FILTER),
    one("extra-rows-in-front", extra_rows_in_front, "output_padding ignored", TRANSPOSED,
        ("sizes",)),
    one("last-example-twice", last_example_twice, "", FILTER),
    one("height-and-width-exchanged", height_and_width_exchanged, ANOTHER_LAYOUT),
    one("filters-misread", filters_misread_where_channels_come_first, "swapped channels"),
    one("conjugates-x", conjugates_x, "conjugation", FILTER, ("complex",)),
    one("flipped-outside-jit", flipped_outside_jit, "flipped kernel", FORWARD, ("eager",)),
    one("no-tangent-of-w", without_the_filters_tangent, "zeros", FORWARD, ("derivatives",)),
    one("no-gradient-in-x", without_gradient_in_x, "zeros", FORWARD, ("derivatives",)),
    one("vmap-with-one-filter", mapped(lambda x, w, keywords: (x, jnp.stack([w[0]] * len(w)))),
        "first of the mapped alone", FORWARD, ("transformations",)),
    one("vmap-mispaired", mapped(lambda x, w, keywords: (x, w[::-1])),
        "mapped results exchanged", FORWARD, ("transformations",)),
    one("vmap-flipped", mapped(flipped_under_vmap), "flipped kernel", FORWARD,
        ("transformations",)),
    *(one(f"halves-added-{op}-{parts}", in_half(op, axis, parts), HALF, (op,), ("rounding",))
      for op, axis in (("conv", -1), ("conv_input_grad", -1), ("conv_filter_grad", 0),
                       ("conv_filter_grad", 1), ("conv_transpose", -1))
      for parts in ((2,) if axis == 0 else (4,))),
)  # fmt: skip
