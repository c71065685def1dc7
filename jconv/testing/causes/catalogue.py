"""The causes that a report can name, each with the wrong arrays that it may lead to.

A cause is believed when one of its mistakes gives the implementation's own wrong array in most of
the failing cases that were looked at, and the right array wherever the implementation was right.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np

from jconv.testing.causes import bugs as bug
from jconv.testing.causes import wrong_legs as wrong
from jconv.testing.causes.wrong_legs import Mistake
from jconv.testing.oracle.case import remainder

MODES = ("reflect", "edge", "circular")


@dataclasses.dataclass(frozen=True)
class Cause:
    """A bug by name, what is wrong in words, and the mistakes that it may be."""

    name: str
    text: str
    mistakes: tuple[Mistake, ...]


CAUSES: tuple[Cause, ...] = (
    Cause("zeros", "the result is zero: a gradient that is stopped, or an output never written",
          (wrong.result(lambda a, item: np.zeros_like(a)),)),
    Cause("sign", "the result has the wrong sign", (wrong.result(lambda a, item: -a),)),
    Cause("scale", "the result is doubled or halved: something is counted twice, or averaged",
          tuple(wrong.result(lambda a, item, by=by: a * by) for by in (2, 0.5))),
    Cause("flipped kernel",
          "the filter runs backwards: conv takes it as it is, both backprops flip it",
          (wrong.summed(terms=bug.flip), bug.flip_one(0), bug.flip_one(-1))),
    Cause("kernel axes exchanged", "the filter's spatial axes stand in the wrong order",
          bug.on_filter(bug.transposed_axes)),
    Cause("swapped channels", "the filter's input and output channels are exchanged",
          (*bug.on_filter(bug.transposed_matrices), *bug.on_filter(bug.reread_matrices))),
    Cause("group order", "channels are dealt to the groups in the wrong order: the channels of "
          "one group are adjacent, in x and in y",
          (wrong.summed(inputs=wrong.interleaved), wrong.summed(outputs=wrong.interleaved),
           wrong.summed(inputs=wrong.interleaved, outputs=wrong.interleaved),
           wrong.summed(inputs=wrong.rotated), wrong.summed(outputs=wrong.rotated),
           *bug.on_filter(bug.dealt_outputs), *bug.on_filter(bug.gathered_outputs))),
    Cause("groups read alike", "every group reads, or is given, the first group's channels",
          (wrong.summed(inputs=wrong.first_group), wrong.summed(outputs=wrong.first_group))),
    Cause("SAME pads the wrong side", "SAME puts an odd row of padding at the end",
          (bug.only_same(wrong.each_axis(lambda a: replace(a, p0=a.p1))),
           *bug.taken_for("SAME", "SAME_LOWER"))),
    Cause("SAME_LOWER taken for SAME", "SAME_LOWER puts an odd row of padding at the start",
          bug.taken_for("SAME_LOWER", "SAME")),
    Cause("CAUSAL taken for SAME", "CAUSAL puts all K-1 rows of padding at the start",
          bug.taken_for("CAUSAL", "SAME")),
    Cause("CAUSAL taken for VALID", "CAUSAL puts all K-1 rows of padding at the start",
          bug.taken_for("CAUSAL", "VALID")),
    Cause("pads exchanged", "low and high padding are exchanged",
          (*wrong.any_axis(lambda a: replace(a, p0=a.p1)),
           *bug.repadded(lambda pairs: [pair[::-1] for pair in pairs]))),
    Cause("pads of the axes exchanged", "the axes' paddings stand in the wrong order",
          bug.repadded(lambda pairs: pairs[::-1])),
    Cause("low padding on both sides", "the low padding is used for the high one, or the reverse",
          (*bug.repadded(lambda pairs: [(p, p) for p, _ in pairs]),
           *bug.repadded(lambda pairs: [(p, p) for _, p in pairs]))),
    Cause("negative padding clipped", "a negative padding crops; it is not zero",
          (*bug.repadded(lambda pairs: [(max(p, 0), max(q, 0)) for p, q in pairs]),
           *bug.repadded(lambda pairs: [(max(p, 0), q) for p, q in pairs]),
           *bug.repadded(lambda pairs: [(p, max(q, 0)) for p, q in pairs]),
           *bug.repadded(lambda pairs: [(abs(p), abs(q)) for p, q in pairs]))),
    Cause("padding ignored", "explicit padding is not applied", bug.repadded(lambda pairs: 0)),
    Cause("SAME from the undilated kernel", "SAME and CAUSAL count K = d*(k-1)+1 rows, not k",
          (bug.same_without("dilation"),)),
    Cause("SAME from the undilated input", "SAME counts I = b*(i-1)+1 rows, not i",
          (bug.same_without("input_dilation"),)),
    Cause("SAME without its stride", "SAME's padding is max((o-1)*s + K - I, 0), which depends on "
          "the stride; (K-1)//2 is right for stride 1 alone",
          (bug.same_without("stride"), bug.only_same(wrong.each_axis(bug.half_kernel)))),
    Cause("pads of lax.conv_transpose", "the padding is that of the forward convolution, not that "
          "of the dilated input as in lax.conv_transpose",
          (wrong.each_axis(bug.lax_transpose_pads),
           bug.only_same(wrong.each_axis(bug.lax_transpose_pads)))),
    Cause("stride and dilation exchanged", "stride and dilation change places in the "
          "filter backprop alone, and neither is used for the other",
          tuple(wrong.each_axis(change) for change in (
              lambda a: replace(a, s=a.d, d=a.s), lambda a: replace(a, s=a.d),
              lambda a: replace(a, d=a.s)))),
    Cause("stride and input dilation exchanged", "stride and input dilation change places in "
          "the input backprop alone",
          (wrong.each_axis(lambda a: replace(a, s=a.b, b=a.s)),)),
    Cause("dilations exchanged", "the filter's and the input's dilation are exchanged",
          (wrong.each_axis(lambda a: replace(a, b=a.d, d=a.b)),)),
    Cause("dilation ignored", "the filter's taps are not `dilation` apart",
          (*wrong.any_axis(lambda a: replace(a, d=1)), *bug.without("dilation"))),
    Cause("input dilation ignored", "the input's rows are not `input_dilation` apart",
          (*wrong.any_axis(lambda a: replace(a, b=1)), *bug.without("input_dilation"))),
    Cause("stride ignored", "windows are not `stride` apart",
          (*wrong.any_axis(lambda a: replace(a, s=1)), *bug.without("stride"))),
    Cause("strides of the axes exchanged", "the axes' strides stand in the wrong order",
          (*bug.axes_reversed("stride"), *bug.first_axis_alone("stride"))),
    Cause("dilations of the axes exchanged", "the axes' dilations stand in the wrong order",
          (*bug.axes_reversed("dilation"), *bug.first_axis_alone("dilation"))),
    Cause("remainder dropped", "rows that the windows leave over, r = (I+P-K) mod s, are not "
          "counted: the input backprop pads g by (K-1-p0, K-1-p1+r), the filter's pads x by "
          "(p0, p1-r)",
          (wrong.refilled(bug.without_remainder, at_start=False),
           wrong.refilled(bug.without_remainder, at_start=True),
           wrong.resized(bug.without_remainder),
           *(wrong.each_axis(lambda a, by=by: replace(a, p0=a.p0 + by * remainder(a)))
             for by in (1, -1)),
           *(wrong.each_axis(lambda a, by=by: replace(a, p0=a.p0 + by * bug.whole_taps(a)))
             for by in (1, -1)))),
    Cause("padding mode ignored", "zeros are padded whatever `padding_mode` says, or the gradient "
          "of the rows that the mode repeats is dropped",
          (wrong.each_axis(lambda a: replace(a, modes=("zeros", "zeros"))),
           *(mistake for mode in MODES for mistake in bug.mode(mode, "zeros")))),
    Cause("padding modes confused", "one padding mode is taken for another",
          tuple(mistake for a in MODES for b in MODES if a != b for mistake in bug.mode(a, b))),
    Cause("one row off", "windows start one row early or late",
          tuple(mistake for by in (1, -1)
                for mistake in wrong.any_axis(lambda a, by=by: replace(a, p0=a.p0 + by)))),
    Cause("last tap dropped", "a loop over the filter's taps ends one short, or begins one late",
          (bug.dropping(lambda a, i, o, k: k < a.k - 1), bug.dropping(lambda a, i, o, k: k > 0))),
    Cause("last row dropped", "a loop over rows ends one short",
          (bug.dropping(lambda a, i, o, k: o < a.o - 1),
           bug.dropping(lambda a, i, o, k: i < a.i - 1),
           bug.dropping(lambda a, i, o, k: o > 0), bug.dropping(lambda a, i, o, k: i > 0))),
    Cause("last channel dropped", "a loop over channels ends one short",
          (*bug.on_filter(bug.without_last(-2)), *bug.on_filter(bug.without_last(-1)))),
    Cause("conjugation", "the pairing is bilinear: nothing is conjugated",
          (*map(bug.conjugated, ("x", "w", "y", "xwy")), wrong.result(lambda a, item: a.conj()))),
    Cause("imaginary part dropped", "complex values lose their imaginary part",
          (wrong.result(lambda a, item: np.real(a) + 0j),
           wrong.operands(lambda s, a, item: np.real(a) + 0j))),
    Cause("batch dropped", "only the first of the batch is used",
          (wrong.operands(bug.first_of_batch), wrong.result(bug.first_for_all))),
    Cause("averaged over the batch", "the filter's gradient is a sum over the batch, not a mean",
          (wrong.result(bug.batch_mean),)),
    Cause("output_padding ignored", "the rows that `output_padding` adds to the smallest size are "
          "gradients like the others, at the end",
          (bug.by_output_padding(wrong.resized(bug.smallest)),
           bug.by_output_padding(wrong.refilled(bug.smallest, at_start=False)),
           bug.by_output_padding(wrong.refilled(bug.smallest, at_start=True)),
           bug.by_output_padding(wrong.resized(bug.natural_rows)),
           bug.by_output_padding(bug.extra_in_front))),
    Cause("output_shape ignored", "the result has another size than the one that was asked for",
          (wrong.resized(bug.natural_rows), wrong.resized(bug.smallest),
           wrong.resized(bug.strides_times_rows))),
    Cause("cotangent ignored", "an operand is taken for ones: a gradient that forgets its "
          "cotangent or its chain rule", tuple(map(bug.ones, ("y", "x", "w")))),
    Cause("mapped results exchanged", "vmap's results stand in the wrong order",
          (wrong.mixed(lambda stack, at: stack[-1 - at]),
           wrong.mispaired(lambda at, count: count - 1 - at))),
    Cause("first of the mapped alone", "vmap returns the first result for all",
          (wrong.mixed(lambda stack, at: stack[0]),
           wrong.mixed(lambda stack, at: stack[-1]),
           wrong.mispaired(lambda at, count: 0))),
    Cause("mapped axis folded as the faster part", "an axis that vmap merges with another must be "
          "split from it in the same order", tuple(bug.faster_in(axis) for axis in range(-4, 4))),
    Cause("mapped results summed", "vmap's results are added up",
          (wrong.mixed(lambda stack, at: np.sum(stack, axis=0)),)),
)  # fmt: skip
"""The simplest first: of two causes that explain as much, a report names the first."""
