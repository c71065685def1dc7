"""Plausible bugs, each in one step of an implementation that is right without it.

Every mutant names the cause that the kit is to report. Those of values are written against the
steps of own_conv.py; those of gradients and transformations in JAX, against jconv.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from own_conv import Own, each

import jconv


@dataclasses.dataclass(frozen=True)
class Mutant:
    """An implementation with a bug, the cause to be reported, and the property that fails."""

    name: str
    implementation: Any
    cause: str
    properties: tuple[str, ...] = ("values",)
    fails: tuple[str, ...] = ()  # the operations that must be found wrong, all others right

    def __str__(self) -> str:
        return self.name


# --- values: a step of the NumPy implementation -------------------------------------------------

ALL = ("conv", "conv_input_grad", "conv_filter_grad", "conv_transpose")
BACKPROPS = ("conv_input_grad", "conv_filter_grad", "conv_transpose")
INPUT = ("conv_input_grad", "conv_transpose")


class TrueConvolution(Own):
    """Runs the filter backwards, as mathematicians do."""

    def filter_tap(self, tap, w_spatial):
        return tuple(k - 1 - t for k, t in zip(w_spatial, tap, strict=True))


class UnflippedBackprop(Own):
    """The input backprop as a convolution of g, whose filter somebody forgot to flip."""

    def input_leg(self, g, w, *rest):
        return super().input_leg(g, w[tuple(slice(None, None, -1) for _ in w.shape[:-2])], *rest)


class TransposedKernel(Own):
    """Square kernels read as (W, H)."""

    def forward(self, x, w, *rest):
        taps = range(w.ndim - 2)
        if len(set(w.shape[:-2])) == 1:
            w = w.transpose(*reversed(taps), w.ndim - 2, w.ndim - 1)
        return super().forward(x, w, *rest)


class SwappedChannels(Own):
    """The filter of the forward pass read as (..., O, I) where that has the right shape."""

    def forward(self, x, w, *rest):
        return super().forward(x, w.swapaxes(-1, -2) if w.shape[-1] == w.shape[-2] else w, *rest)


class ReshapedFilter(Own):
    """An (..., O, I) result handed out under the shape (..., I, O) without a transpose."""

    def filter_leg(self, *args):
        w = super().filter_leg(*args)
        return np.ascontiguousarray(w.swapaxes(-1, -2)).reshape(w.shape)


class StridedGroups(Own):
    """Channel c belongs to group c modulo groups."""

    def input_channels(self, group, c, groups):
        return np.arange(c * groups).reshape(c, groups)[:, group]


class StridedOutputs(Own):
    """A depthwise multiplier laid out the wrong way round."""

    def output_channels(self, group, f, groups):
        return np.arange(f * groups).reshape(f, groups)[:, group]


class FirstGroup(Own):
    """A group index that is never advanced."""

    def input_channels(self, group, c, groups):
        return np.arange(c)


class SameBefore(Own):
    """SAME with the odd row in front."""

    def same_sides(self, total):
        return -(-total // 2), total // 2


class SameLowerIsSame(Own):
    """SAME_LOWER not told apart."""

    def same_lower_sides(self, total):
        return self.same_sides(total)


class SameForStrideOne(Own):
    """SAME's padding from the kernel alone."""

    def same_total(self, rows, window, s):
        return window - 1


class SameUndilated(Own):
    """SAME and CAUSAL from the size of the filter's array."""

    def settings(self, x_spatial, w_spatial, stride, padding, dilation, input_dilation):
        *most, _ = super().settings(x_spatial, w_spatial, stride, padding, dilation, input_dilation)
        s, _, _, rows, windows = most
        if isinstance(padding, str):
            outputs = [-(-n // step) for n, step in zip(rows, s, strict=True)]
            sides = self.sides(padding, rows, w_spatial, s)
            if padding.upper() != "VALID":  # enough at the end for the windows that there are
                sides = [
                    (lo, max(hi, step * (o - 1) + k - n - lo))
                    for (lo, hi), step, o, k, n in zip(
                        sides, s, outputs, windows, rows, strict=True
                    )
                ]
            return *most, sides
        return *most, self.sides(padding, rows, windows, s)


class CausalIsSame(Own):
    """CAUSAL centred."""

    def causal_sides(self, window):
        return (window - 1) // 2, window - 1 - (window - 1) // 2


class PadsExchanged(Own):
    """(low, high) unpacked as (high, low)."""

    def explicit_sides(self, entry):
        low, high = super().explicit_sides(entry)
        return high, low


class LowTwice(Own):
    """Only the first of a pair is read."""

    def explicit_sides(self, entry):
        low, _ = super().explicit_sides(entry)
        return low, low


class NoCrops(Own):
    """Negative padding taken for none."""

    def explicit_sides(self, entry):
        return tuple(max(side, 0) for side in super().explicit_sides(entry))


class PaddingPerAxisReversed(Own):
    """The last axis' padding comes first, as in torch.nn.functional.pad."""

    def sides(self, padding, rows, windows, strides):
        found = super().sides(padding, rows, windows, strides)
        return found if isinstance(padding, str) else found[::-1]


class NoDilation(Own):
    """The cut forgets the dilation, sizes do not."""

    def cut(self, tap, outputs, s, d):
        return super().cut(tap, outputs, s, (1,) * len(d))


class Roomy(Own):
    """Right, with room for windows that reach too far."""

    def gather(self, x, rows):
        return super().gather(x, [np.concatenate([r, np.full(40, -1)]) for r in rows])

    def out_size(self, rows, window, s):
        return super().out_size(rows - 40, window, s)


class StrideForDilation(Roomy):
    """s and d exchanged where the windows are cut."""

    def cut(self, tap, outputs, s, d):
        return super().cut(tap, outputs, d, s)


class StridesReversed(Roomy):
    """The strides of (H, W) used as those of (W, H)."""

    def cut(self, tap, outputs, s, d):
        return super().cut(tap, outputs, s[::-1], d)


class NoHoles(Own):
    """The input dilation counts in sizes, and is not done."""

    def all_rows(self, sizes, b, sides, mode):
        rows = []
        for n, step, (low, high) in zip(sizes, b, sides, strict=True):
            found = self.source_rows(self.spread_size(n, step), low, high, mode)
            rows.append(np.where(found < n, found, -1))
        return rows


class RemainderLost(Own):
    """The input backprop as a full convolution: what it does not reach is filled with zeros."""

    def input_leg(self, g, w, sizes, stride, padding, dilation, b, *rest):
        s, _, _, _, windows, sides = self.settings(
            sizes, w.shape[:-2], stride, padding, dilation, b
        )
        reached = [
            step * (o - 1) + k - sum(p) if o else 0
            for step, o, k, p in zip(s, g.shape[1:-1], windows, sides, strict=True)
        ]
        if each(b, len(sizes)) != (1,) * len(sizes) or min(reached) < 0:
            return super().input_leg(g, w, sizes, stride, padding, dilation, b, *rest)
        reached = [min(n, size) for n, size in zip(reached, sizes, strict=True)]
        x = super().input_leg(g, w, reached, stride, sides, dilation, b, *rest)
        more = [(0, 0), *((0, n - have) for n, have in zip(sizes, reached, strict=True)), (0, 0)]
        return np.pad(x, more)


class RemainderInFront(Own):
    """The filter backprop pads (p0-r, p1) where it should pad (p0, p1-r)."""

    def filter_leg(self, x, g, taps, stride, padding, dilation, b, *rest):
        _, _, _, rows, windows, sides = self.settings(
            x.shape[1:-1], taps, stride, padding, dilation, b
        )
        s = each(stride, len(taps))
        left = [
            max(n + sum(p) - k, 0) % step
            for n, p, k, step in zip(rows, sides, windows, s, strict=True)
        ]
        moved = [(lo - r, hi + r) for (lo, hi), r in zip(sides, left, strict=True)]
        return super().filter_leg(x, g, taps, stride, moved, dilation, b, *rest)


class ZerosForEveryMode(Own):
    """padding_mode accepted, and not read."""

    def source_rows(self, n, low, high, mode):
        return super().source_rows(n, low, high, "zeros")


class ReflectWithTheEdge(Own):
    """Circular padding done as edge padding."""

    def source_rows(self, n, low, high, mode):
        return super().source_rows(n, low, high, "edge" if mode == "circular" else mode)


class BorderGradientCropped(Own):
    """The backprop of a border cut off instead of added to the rows that it copies."""

    def input_leg(self, *args):
        return super().input_leg(*args[:-1], "zeros")


class FirstOfBatch(Own):
    """The filter backprop of one example."""

    def rows_of(self, array):
        return array[:1].reshape(-1, array.shape[-1])


class MeanOverBatch(Own):
    """A filter gradient averaged as losses are."""

    def filter_leg(self, x, *rest):
        return super().filter_leg(x, *rest) / max(x.shape[0], 1)


class LastTapMissing(Own):
    """range(k - 1)."""

    def taps(self, w_spatial):
        return super().taps([max(k - 1, 1) for k in w_spatial])


class Conjugated(Own):
    """A backprop by np.vdot's habits."""

    def input_leg(self, g, w, *rest):
        return super().input_leg(g, w.conj(), *rest)


class OutputPaddingUnread(Own):
    """conv_transpose(output_padding=) accepted, and not read."""

    def transposed_sizes(self, outputs, taps, stride, padding, dilation, output_padding):
        return super().transposed_sizes(
            outputs, taps, stride, padding, dilation, None if output_padding is None else 0
        )


class OutputShapeUnread(Own):
    """conv_transpose(output_shape=) accepted, and not read."""

    def conv_transpose(self, x, w, *, output_shape=None, output_padding=None, **keywords):
        return super().conv_transpose(x, w, output_padding=output_padding, **keywords)


class HalfSums(Own):
    """Every partial sum in the operands' half precision, or half's for float32."""

    def product(self, a, b):
        half = np.float16 if a.dtype.kind == "f" else a.dtype
        out = np.zeros((*a.shape[:-1], b.shape[-1]), half)
        for at in range(a.shape[-1]):
            out = (out + a[..., at, None].astype(half) * b[at].astype(half)).astype(half)
        return out

    def accumulator(self, dtype):
        return np.complex128 if np.dtype(dtype).kind == "c" else np.float16


class RoundedOperands(Own):
    """float32 operands multiplied as bfloat16, as some hardware does unless it is told not to."""

    def product(self, a, b):
        low = jnp.bfloat16
        if a.dtype.kind == "f":
            a, b = (v.astype(low).astype(np.float32) for v in (a, b))
        return super().product(a, b)


class ReturnsDouble(Own):
    """Forgets to come back from float64."""

    def conv(self, x, w, **keywords):
        return np.asarray(super().conv(x, w, **keywords)).astype(np.float16)


class LaxTransposePads(Own):
    """conv_transpose's SAME as lax.conv_transpose pads it."""

    def input_leg(self, g, w, sizes, stride, padding, dilation, b, *rest):
        if isinstance(padding, str) and padding.upper() == "SAME":
            s, _, _, _, windows, _ = self.settings(
                sizes, w.shape[:-2], stride, padding, dilation, b
            )
            padding = []
            for k, step, n, o in zip(windows, s, sizes, g.shape[1:-1], strict=True):
                total = k + step - 2
                before = k - 1 if step > k - 1 else -(-total // 2)
                low = k - 1 - before
                padding.append((low, max(step * (o - 1) + k - n - low, 0)))
        return super().input_leg(g, w, sizes, stride, padding, dilation, b, *rest)


# --- gradients and transformations: in JAX ------------------------------------------------------


def with_legs(**legs):
    """jconv's conv with legs of its own, as a custom_vjp."""

    class WithLegs:
        @staticmethod
        def conv(x, w, **settings):
            return jconv.custom_conv(**legs, **settings)(x, w)

    return WithLegs


def flipped_filter_grad(x, g, *, filter_shape, **settings):
    w = jconv.conv_filter_grad(x, g, filter_shape=filter_shape, **settings)
    return w[::-1]


def unscaled_input_grad(g, w, *, input_shape, **settings):
    return 2 * jconv.conv_input_grad(g, w, input_shape=input_shape, **settings)


def stopped_input_grad(g, w, *, input_shape):
    return jnp.zeros(input_shape, g.dtype)


def forgetful_filter_grad(x, g, *, filter_shape, **settings):
    return jconv.conv_filter_grad(x, jnp.ones_like(g), filter_shape=filter_shape, **settings)


def negated_filter_grad(x, g, *, filter_shape, **settings):
    return -jconv.conv_filter_grad(x, g, filter_shape=filter_shape, **settings)


def half_filter_grad(x, g, *, filter_shape, **settings):
    """Sums over the batch and the pixels in bfloat16, one example after the other."""
    low, total = jnp.bfloat16, jnp.zeros(filter_shape, jnp.bfloat16)
    for at in range(x.shape[0]):
        one = jconv.conv_filter_grad(
            x[at : at + 1].astype(low),
            g[at : at + 1].astype(low),
            filter_shape=filter_shape,
            **settings,
        )
        total = total + one
    return total.astype(x.dtype)


def once_differentiable(g, w, *, input_shape, **settings):
    """The first derivative is right, and constant as far as JAX knows."""
    g, w = jax.lax.stop_gradient((g, w))
    return jconv.conv_input_grad(g, w, input_shape=input_shape, **settings)


def mapped(rule):
    """jconv's conv with a vmap rule of its own."""

    class Mapped:
        @staticmethod
        def conv(x, w, **settings):
            @jax.custom_batching.custom_vmap
            def run(x, w):
                return jconv.conv(x, w, **settings)

            @run.def_vmap
            def batched(axis_size, in_batched, x, w):
                x, w = (
                    v if b else jnp.broadcast_to(v, (axis_size, *v.shape))
                    for v, b in zip((x, w), in_batched, strict=True)
                )
                each_one = [jconv.conv(x[n], w[n], **settings) for n in range(axis_size)]
                return rule(each_one), True

            return run(x, w)

    return Mapped


def interleaved_batch(results):
    """The mapped axis split off the batch as if it had been the faster part."""
    whole = jnp.concatenate(results, 0)
    return jnp.stack([whole[n :: len(results)] for n in range(len(results))])


class ForwardHalf:
    """Forward-mode derivatives that are twice too large in one operand."""

    @staticmethod
    def conv(x, w, **settings):
        @jax.custom_jvp
        def run(x, w):
            return jconv.conv(x, w, **settings)

        @run.defjvp
        def push(primals, tangents):
            (x, w), (dx, dw) = primals, tangents
            out = jconv.conv(dx, w, **settings) + 2 * jconv.conv(x, dw, **settings)
            return jconv.conv(x, w, **settings), out

        return run(x, w)


MUTANTS = (
    Mutant("true-convolution", TrueConvolution(), "flipped kernel", fails=ALL),
    Mutant("unflipped-backprop", UnflippedBackprop(), "flipped kernel", fails=INPUT),
    Mutant("transposed-kernel", TransposedKernel(), "kernel axes exchanged", fails=("conv",)),
    Mutant("swapped-channels", SwappedChannels(), "swapped channels", fails=("conv",)),
    Mutant("reshaped-filter", ReshapedFilter(), "swapped channels", fails=("conv_filter_grad",)),
    Mutant("strided-groups", StridedGroups(), "group order", fails=ALL),
    Mutant("strided-outputs", StridedOutputs(), "group order", fails=ALL),
    Mutant("first-group", FirstGroup(), "groups read alike", fails=ALL),
    Mutant("same-before", SameBefore(), "SAME pads the wrong side", fails=ALL),
    Mutant("same-lower-is-same", SameLowerIsSame(), "SAME_LOWER taken for SAME", fails=ALL),
    Mutant("same-for-stride-one", SameForStrideOne(), "SAME without its stride", fails=ALL),
    Mutant("same-undilated", SameUndilated(), "SAME from the undilated kernel", fails=ALL),
    Mutant("causal-is-same", CausalIsSame(), "CAUSAL taken for SAME", fails=ALL),
    Mutant("pads-exchanged", PadsExchanged(), "pads exchanged", fails=ALL),
    Mutant("low-twice", LowTwice(), "low padding on both sides"),
    Mutant("no-crops", NoCrops(), "negative padding clipped"),
    Mutant("padding-reversed", PaddingPerAxisReversed(), "pads of the axes exchanged"),
    Mutant("no-dilation", NoDilation(), "dilation ignored", fails=ALL),
    Mutant("stride-for-dilation", StrideForDilation(), "stride and dilation exchanged"),
    Mutant("strides-reversed", StridesReversed(), "strides of the axes exchanged"),
    Mutant("no-holes", NoHoles(), "input dilation ignored"),
    Mutant("remainder-lost", RemainderLost(), "remainder dropped", fails=INPUT),
    Mutant("remainder-in-front", RemainderInFront(), "remainder dropped",
           fails=("conv_filter_grad",)),
    Mutant("zeros-for-every-mode", ZerosForEveryMode(), "padding mode ignored", fails=ALL),
    Mutant("circular-is-edge", ReflectWithTheEdge(), "padding modes confused", fails=ALL),
    Mutant("border-cropped", BorderGradientCropped(), "padding mode ignored", fails=INPUT),
    Mutant("first-of-batch", FirstOfBatch(), "batch dropped", fails=("conv_filter_grad",)),
    Mutant("mean-over-batch", MeanOverBatch(), "averaged over the batch",
           fails=("conv_filter_grad",)),
    Mutant("last-tap-missing", LastTapMissing(), "last tap dropped", fails=ALL),
    Mutant("conjugated", Conjugated(), "conjugation", ("complex",), fails=INPUT),
    Mutant("output-padding-unread", OutputPaddingUnread(), "output_padding ignored",
           ("values", "sizes"), fails=("conv_transpose",)),
    Mutant("output-shape-unread", OutputShapeUnread(), "output_shape ignored",
           ("values", "sizes"), fails=("conv_transpose",)),
    Mutant("lax-transpose-pads", LaxTransposePads(), "pads of lax.conv_transpose", fails=INPUT),
    Mutant("half-sums", HalfSums(), "accumulation in half precision", ("rounding",), fails=ALL),
    Mutant("rounded-operands", RoundedOperands(), "operands rounded to half precision",
           ("rounding",), fails=ALL),
    Mutant("returns-half", ReturnsDouble(), "dtype of the result", fails=("conv",)),
    Mutant("vjp-flipped", with_legs(filter_grad=flipped_filter_grad), "flipped kernel",
           ("derivatives",), fails=("conv",)),
    Mutant("vjp-doubled", with_legs(input_grad=unscaled_input_grad), "scale", ("derivatives",),
           fails=("conv",)),
    Mutant("vjp-stopped", with_legs(input_grad=stopped_input_grad), "zeros", ("derivatives",),
           fails=("conv",)),
    Mutant("vjp-forgets-g", with_legs(filter_grad=forgetful_filter_grad), "cotangent ignored",
           ("derivatives",), fails=("conv",)),
    Mutant("vjp-negated", with_legs(filter_grad=negated_filter_grad), "sign", ("derivatives",),
           fails=("conv",)),
    Mutant("vjp-in-half", with_legs(filter_grad=half_filter_grad), "accumulation in half precision",
           ("rounding",), fails=("conv",)),
    Mutant("vjp-once", with_legs(input_grad=once_differentiable), "zeros", ("derivatives",),
           fails=("conv",)),
    Mutant("jvp-doubled", ForwardHalf, "scale", ("derivatives",), fails=("conv",)),
    Mutant("vmap-reversed", mapped(lambda results: jnp.stack(results[::-1])),
           "mapped results exchanged", ("transformations",), fails=("conv",)),
    Mutant("vmap-first", mapped(lambda results: jnp.stack([results[0]] * len(results))),
           "first of the mapped alone", ("transformations",), fails=("conv",)),
    Mutant("vmap-interleaved", mapped(interleaved_batch),
           "mapped axis folded as the faster part", ("transformations",), fails=("conv",)),
)  # fmt: skip
