"""A convolution as somebody else would write one, in NumPy, with places for bugs to sit in.

Pads, windows and matrix products, not the index equation: it shares nothing with the library or
its oracle. Each step is a method, so that a mutant is the class with one step done wrong.
"""

from __future__ import annotations

import itertools

import numpy as np


def each(value, rank):
    return (value,) * rank if isinstance(value, int) else tuple(value)


class Own:
    """conv, conv_input_grad, conv_filter_grad and conv_transpose with jconv's signatures."""

    # --- reading the call ---------------------------------------------------------------------

    def orders(self, layout, rank):
        """Axis orders that bring x, w and y to channels last."""
        axes = "ABDEF"[:rank]
        if layout is None:
            layout = f"N{axes}C"
        if isinstance(layout, str):
            axes = layout.replace("N", "").replace("C", "")
            rhs = f"OI{axes}" if layout[1] == "C" else f"{axes}IO"
            layout = (layout, rhs, layout)
        lhs, rhs, out = layout
        axes = [letter for letter in rhs if letter not in "IO"]
        return (
            [lhs.index(a) for a in ("N", *axes, "C")],
            [rhs.index(a) for a in (*axes, "I", "O")],
            [out.index(a) for a in ("N", *axes, "C")],
        )

    def same_total(self, rows, window, s):
        return max((-(-rows // s) - 1) * s + window - rows, 0)

    def same_sides(self, total):
        return total // 2, total - total // 2

    def same_lower_sides(self, total):
        return total - total // 2, total // 2

    def causal_sides(self, window):
        return window - 1, 0

    def explicit_sides(self, entry):
        return (entry, entry) if isinstance(entry, int) else (entry[0], entry[1])

    def sides(self, padding, rows, windows, strides):
        """(low, high) for each axis."""
        rank = len(rows)
        if isinstance(padding, str):
            name = padding.upper()
            if name == "VALID":
                return [(0, 0)] * rank
            if name == "CAUSAL":
                return [self.causal_sides(window) for window in windows]
            totals = [self.same_total(*axis) for axis in zip(rows, windows, strides, strict=True)]
            split = self.same_sides if name == "SAME" else self.same_lower_sides
            return [split(total) for total in totals]
        entries = each(padding, rank)
        return [self.explicit_sides(entry) for entry in entries]

    def window(self, k, d):
        return d * (k - 1) + 1 if k else 0

    def spread_size(self, i, b):
        return b * (i - 1) + 1 if i else 0

    def settings(self, x_spatial, w_spatial, stride, padding, dilation, input_dilation):
        rank = len(x_spatial)
        s, d, b = each(stride, rank), each(dilation, rank), each(input_dilation, rank)
        rows = [self.spread_size(i, n) for i, n in zip(x_spatial, b, strict=True)]
        windows = [self.window(k, n) for k, n in zip(w_spatial, d, strict=True)]
        return s, d, b, rows, windows, self.sides(padding, rows, windows, s)

    # --- the padded input -----------------------------------------------------------------------

    def source_rows(self, n, low, high, mode):
        """For each padded row, the row that it is, or -1 for a zero: only modes copy."""
        rows = np.arange(-low, n + high)
        if mode == "zeros":
            return np.where((rows >= 0) & (rows < n), rows, -1)
        if mode == "circular":
            return rows % n
        if mode == "edge":
            return np.clip(rows, 0, n - 1)
        folded = np.abs(rows)
        return (n - 1) - np.abs((n - 1) - folded)

    def all_rows(self, sizes, b, sides, mode):
        """source_rows of every axis, holes of the input dilation included."""
        rows = []
        for n, step, (low, high) in zip(sizes, b, sides, strict=True):
            dilated = self.spread_size(n, step)
            found = self.source_rows(dilated, low, high, mode)
            rows.append(np.where((found >= 0) & (found % step == 0), found // step, -1))
        return rows

    def gather(self, x, rows):
        for axis, found in enumerate(rows, 1):
            zero = np.zeros((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.dtype)
            x = np.concatenate([x, zero], axis).take(found, axis)  # row -1 is the zero
        return x

    def scatter(self, padded, rows, sizes):
        """The adjoint of gather."""
        for axis, (found, n) in enumerate(zip(rows, sizes, strict=True), 1):
            moved = np.moveaxis(padded, axis, 0)
            out = np.zeros((n, *moved.shape[1:]), padded.dtype)
            np.add.at(out, found[found >= 0], moved[found >= 0])
            padded = np.moveaxis(out, 0, axis)
        return padded

    # --- the windows ----------------------------------------------------------------------------

    def out_size(self, rows, window, s):
        return (rows - window) // s + 1 if rows >= window else 0

    def taps(self, w_spatial):
        return itertools.product(*(range(k) for k in w_spatial))

    def filter_tap(self, tap, w_spatial):
        """Where in the filter the tap stands."""
        return tap

    def cut(self, tap, outputs, s, d):
        """The rows of the padded input that a tap meets, as an index of the array."""
        rows = [d[a] * t + s[a] * np.arange(outputs[a]) for a, t in enumerate(tap)]
        return slice(None), *np.ix_(*rows)

    def input_channels(self, group, c, groups):
        return np.arange(group * c, (group + 1) * c)

    def output_channels(self, group, f, groups):
        return np.arange(group * f, (group + 1) * f)

    # --- the operations -------------------------------------------------------------------------

    def conv(
        self,
        x,
        w,
        *,
        stride=1,
        padding="SAME",
        dilation=1,
        input_dilation=1,
        groups=1,
        layout=None,
        padding_mode="zeros",
    ):
        x, w = np.asarray(x), np.asarray(w)
        px, pw, py = self.orders(layout, x.ndim - 2)
        y = self.forward(
            x.transpose(px),
            w.transpose(pw),
            stride,
            padding,
            dilation,
            input_dilation,
            groups,
            padding_mode,
        )
        return y.transpose(np.argsort(py)).astype(x.dtype)

    def forward(self, x, w, stride, padding, dilation, input_dilation, groups, mode):
        sizes, taps = x.shape[1:-1], w.shape[:-2]
        s, d, b, rows, windows, sides = self.settings(
            sizes, taps, stride, padding, dilation, input_dilation
        )
        padded = self.gather(x, self.all_rows(sizes, b, sides, mode))
        outputs = [
            self.out_size(n, k, step)
            for n, k, step in zip(padded.shape[1:-1], windows, s, strict=True)
        ]
        if isinstance(padding, str) and padding.upper() in ("SAME", "SAME_LOWER"):
            outputs = [-(-n // step) for n, step in zip(rows, s, strict=True)]
        c, f = w.shape[-2], w.shape[-1] // groups
        y = np.zeros((x.shape[0], *outputs, w.shape[-1]), self.accumulator(x.dtype))
        for tap in self.taps(taps):
            for group in range(groups):
                seen = padded[self.cut(tap, outputs, s, d)]
                seen = seen[..., self.input_channels(group, c, groups)]
                outs = self.output_channels(group, f, groups)
                own = w[self.filter_tap(tap, taps)][:, group * f : (group + 1) * f]
                y[..., outs] += self.product(seen, own)
        return y

    def accumulator(self, dtype):
        return np.complex128 if np.dtype(dtype).kind == "c" else np.float64

    def product(self, a, b):
        kind = self.accumulator(np.result_type(a, b) if a.dtype.kind in "cf" else np.float32)
        return a.astype(kind) @ b.astype(kind)

    def conv_input_grad(
        self,
        g,
        w,
        *,
        input_shape,
        stride=1,
        padding="SAME",
        dilation=1,
        input_dilation=1,
        groups=1,
        layout=None,
        padding_mode="zeros",
    ):
        g, w = np.asarray(g), np.asarray(w)
        px, pw, py = self.orders(layout, g.ndim - 2)
        whole = len(input_shape) == g.ndim
        sizes = [input_shape[p] for p in px[1:-1]] if whole else list(input_shape)
        x = self.input_leg(
            g.transpose(py),
            w.transpose(pw),
            sizes,
            stride,
            padding,
            dilation,
            input_dilation,
            groups,
            padding_mode,
        )
        return x.transpose(np.argsort(px)).astype(g.dtype)

    def input_leg(self, g, w, sizes, stride, padding, dilation, input_dilation, groups, mode):
        taps = w.shape[:-2]
        s, d, b, _, _, sides = self.settings(sizes, taps, stride, padding, dilation, input_dilation)
        rows = self.all_rows(sizes, b, sides, mode)
        outputs = g.shape[1:-1]
        c, f = w.shape[-2], w.shape[-1] // groups
        # Room enough for the windows of a mutant as well.
        room = max(s) * max(outputs) + max(self.window(k, n) for k, n in zip(taps, d, strict=True))
        reach = [max(len(found), room) for found in rows]
        padded = np.zeros((g.shape[0], *reach, c * groups), self.accumulator(g.dtype))
        for tap in self.taps(taps):
            for group in range(groups):
                cut = self.cut(tap, outputs, s, d)
                outs = self.output_channels(group, f, groups)
                own = w[self.filter_tap(tap, taps)][:, group * f : (group + 1) * f]
                part = padded[cut]
                part[..., self.input_channels(group, c, groups)] += self.product(
                    g[..., outs], own.T
                )
                padded[cut] = part
        kept = padded[(slice(None), *(slice(len(found)) for found in rows))]
        return self.scatter(kept, rows, sizes)

    def conv_filter_grad(
        self,
        x,
        g,
        *,
        filter_shape,
        stride=1,
        padding="SAME",
        dilation=1,
        input_dilation=1,
        groups=1,
        layout=None,
        padding_mode="zeros",
    ):
        x, g = np.asarray(x), np.asarray(g)
        px, pw, py = self.orders(layout, x.ndim - 2)
        whole = len(filter_shape) == x.ndim
        taps = [filter_shape[p] for p in pw[:-2]] if whole else list(filter_shape)
        w = self.filter_leg(
            x.transpose(px),
            g.transpose(py),
            taps,
            stride,
            padding,
            dilation,
            input_dilation,
            groups,
            padding_mode,
        )
        return w.transpose(np.argsort(pw)).astype(x.dtype)

    def filter_leg(self, x, g, taps, stride, padding, dilation, input_dilation, groups, mode):
        sizes, outputs = x.shape[1:-1], g.shape[1:-1]
        s, d, b, _, _, sides = self.settings(sizes, taps, stride, padding, dilation, input_dilation)
        padded = self.gather(x, self.all_rows(sizes, b, sides, mode))
        c, f = x.shape[-1] // groups, g.shape[-1] // groups
        w = np.zeros((*taps, c, g.shape[-1]), self.accumulator(x.dtype))
        for tap in self.taps(taps):
            for group in range(groups):
                seen = padded[self.cut(tap, outputs, s, d)]
                seen = seen[..., self.input_channels(group, c, groups)]
                part = g[..., self.output_channels(group, f, groups)]
                term = self.product(self.rows_of(seen).T, self.rows_of(part))
                w[self.filter_tap(tap, taps)][:, group * f : (group + 1) * f] += term
        return w

    def rows_of(self, array):
        return array.reshape(-1, array.shape[-1])

    def conv_transpose(
        self,
        x,
        w,
        *,
        stride=1,
        padding="SAME",
        output_padding=None,
        output_shape=None,
        dilation=1,
        groups=1,
        layout=None,
        padding_mode="zeros",
    ):
        x, w = np.asarray(x), np.asarray(w)
        rank = x.ndim - 2
        px, pw, py = self.orders(layout, rank)
        outputs = [x.shape[p] for p in py[1:-1]]
        if output_shape is not None:
            whole = len(output_shape) == x.ndim
            sizes = [output_shape[p] for p in px[1:-1]] if whole else list(output_shape)
        else:
            taps = [w.shape[p] for p in pw[:-2]]
            sizes = self.transposed_sizes(outputs, taps, stride, padding, dilation, output_padding)
        return self.conv_input_grad(
            x,
            w,
            input_shape=sizes,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            layout=layout,
            padding_mode=padding_mode,
        )

    def transposed_sizes(self, outputs, taps, stride, padding, dilation, output_padding):
        rank = len(outputs)
        s, d = each(stride, rank), each(dilation, rank)
        named = isinstance(padding, str) and padding.upper() != "VALID"
        if named:
            least = [n * (o - 1) + 1 for n, o in zip(s, outputs, strict=True)]
        else:
            windows = [self.window(k, n) for k, n in zip(taps, d, strict=True)]
            pairs = self.sides(padding, outputs, windows, s)
            least = [
                n * (o - 1) + k - sum(p)
                for n, o, k, p in zip(s, outputs, windows, pairs, strict=True)
            ]
        if output_padding is not None:
            return [low + e for low, e in zip(least, each(output_padding, rank), strict=True)]
        if named:
            return [n * o for n, o in zip(s, outputs, strict=True)]
        return [max(low, 1) for low in least]
