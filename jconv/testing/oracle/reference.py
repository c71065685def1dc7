"""Convolution, its two backprops and its transpose in NumPy: loops over the index equation.

Along each spatial axis, with x the input, w the filter and y the output::

    b*i + p0 = s*o + d*k          i a row of x, o a row of y, k a tap of w

s is the stride, b the input dilation, d the filter dilation, p0 and p1 the low and high padding.
The operations are the partial derivatives of one trilinear form, the sum of x[i] * w[k] * y[o]
over all (i, o, k) that solve the equation, and each is computed as that sum, term by term. Under a
padding mode a tap that falls on a padded row meets the row of x that the mode repeats there.

It is slow, imports nothing but numpy, and shares no code with the library that it judges. Sums are
taken in int64, float64 or complex128, whatever the operands' dtype.
"""

from __future__ import annotations

import dataclasses
import itertools
import string
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Modes = str | Sequence[str | Sequence[str]]
Padding = str | int | Sequence[int | Sequence[int]]


@dataclasses.dataclass(frozen=True)
class Axis:
    """The index equation of one spatial axis, with the border rule of its padding mode."""

    i: int
    k: int
    o: int
    s: int
    b: int
    d: int
    p0: int
    p1: int
    modes: tuple[str, str] = ("zeros", "zeros")

    def source(self, o: int, k: int) -> int | None:
        """The row i of x that tap k meets for output row o; None where it meets a zero."""
        row = self.s * o + self.d * k - self.p0
        i, hole = divmod(row, self.b)
        if hole == 0 and 0 <= i < self.i:
            return i
        mode = self.modes[0 if row < 0 else 1]
        if mode == "zeros":
            return None
        if mode == "circular":
            return row % self.i
        if mode == "edge":
            return min(max(row, 0), self.i - 1)
        last = self.i - 1
        return last - abs(last - abs(row))

    def terms(self) -> list[tuple[int, int, int]]:
        """All (i, o, k) that solve the equation."""
        pairs = itertools.product(range(self.o), range(self.k))
        found = [(self.source(o, k), o, k) for o, k in pairs]
        return [(i, o, k) for i, o, k in found if i is not None]


def _axis(
    i: int, k: int, s: int, b: int, d: int, padding: str | tuple[int, int], modes: tuple[str, str]
) -> Axis:
    rows = b * (i - 1) + 1 if i > 0 else 0
    window = d * (k - 1) + 1 if k > 0 else 0
    if padding in ("SAME", "SAME_LOWER"):
        o = -(-rows // s)
        total = max((o - 1) * s + window - rows, 0)
        less, more = total // 2, total - total // 2
        p0, p1 = (less, more) if padding == "SAME" else (more, less)
    else:
        named = {"VALID": (0, 0), "CAUSAL": (window - 1, 0)}
        p0, p1 = named[padding] if isinstance(padding, str) else padding
        inside = rows + p0 + p1
        o = (inside - window) // s + 1 if inside >= window else 0
    for mode, pad in zip(modes, (p0, p1), strict=True):
        limits = {"reflect": max(i - 1, 0), "circular": i, "edge": max(pad, 0) if i else 0}
        if mode != "zeros" and (b > 1 or pad > limits[mode]):
            raise ValueError(f"{mode} cannot pad {i} rows (input dilation {b}) by {pad}")
    return Axis(i, k, o, s, b, d, p0, p1, modes)


@dataclasses.dataclass(frozen=True)
class Call:
    """The settings of one convolution of `rank` spatial axes, as the caller wrote them."""

    rank: int
    stride: int | Sequence[int] = 1
    padding: Padding = "SAME"
    dilation: int | Sequence[int] = 1
    input_dilation: int | Sequence[int] = 1
    groups: int = 1
    layout: Any = None
    padding_mode: Modes = "zeros"
    precision: Any = None  # like the next, ignored: sums are taken in the widest dtype
    preferred_element_type: Any = None

    def orders(self) -> dict[str, tuple[int, ...]]:
        """Where the caller keeps each dimension of x (N, i..., C), w (k..., I, O), y (N, o..., C).

        The filter's layout orders the spatial axes, and so the entries of stride and padding.
        """
        axes = string.ascii_lowercase[: self.rank]
        lhs, rhs, out = f"N{axes}C", f"{axes}IO", f"N{axes}C"
        if isinstance(self.layout, str):
            lhs = out = self.layout
            axes = self.layout.replace("N", "").replace("C", "")
            rhs = f"OI{axes}" if self.layout[1] == "C" else f"{axes}IO"
        elif self.layout is not None:
            lhs, rhs, out = self.layout
            axes = rhs.replace("I", "").replace("O", "")
        return {
            "x": tuple(lhs.index(letter) for letter in f"N{axes}C"),
            "w": tuple(rhs.index(letter) for letter in f"{axes}IO"),
            "y": tuple(out.index(letter) for letter in f"N{axes}C"),
        }

    def read(self, slot: str, shape: Sequence[int]) -> tuple[int, ...]:
        """A caller's shape with its dimensions in the order that `orders` lists."""
        if len(shape) != self.rank + 2:
            raise ValueError(f"{slot} of shape {tuple(shape)} has not {self.rank} spatial axes")
        return tuple(shape[position] for position in self.orders()[slot])

    def write(self, slot: str, shape: Sequence[int]) -> tuple[int, ...]:
        """A caller's shape, from one in the order that `orders` lists."""
        return tuple(shape[position] for position in np.argsort(self.orders()[slot]))

    def paddings(self) -> list[str | tuple[int, int]]:
        if isinstance(self.padding, str):
            return [self.padding.upper()] * self.rank
        if isinstance(self.padding, int):
            return [(self.padding, self.padding)] * self.rank
        pairs = [(p, p) if isinstance(p, int) else (p[0], p[1]) for p in self.padding]
        return [*pairs]

    def axes(self, x_spatial: Sequence[int], w_spatial: Sequence[int]) -> list[Axis]:
        per_axis = zip(
            x_spatial,
            w_spatial,
            _each(self.stride, self.rank),
            _each(self.input_dilation, self.rank),
            _each(self.dilation, self.rank),
            self.paddings(),
            strict=True,
        )
        modes = [self.padding_mode] * self.rank
        if not isinstance(self.padding_mode, str):
            modes = list(self.padding_mode)
        sides: list[Any] = [(m, m) if isinstance(m, str) else tuple(m) for m in modes]
        return [
            _axis(i, k, s, b, d, padding, pair)
            for (i, k, s, b, d, padding), pair in zip(per_axis, sides, strict=True)
        ]

    def y_shape(self, x_shape: Sequence[int], w_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of conv(x, w) in the caller's layout."""
        n, *x_spatial, channels = self.read("x", x_shape)
        *w_spatial, c, features = self.read("w", w_shape)
        if c * self.groups != channels or features % self.groups:
            raise ValueError(f"x {x_shape} and w {w_shape} do not form {self.groups} groups")
        return self.write("y", (n, *(a.o for a in self.axes(x_spatial, w_spatial)), features))

    def terms(self, x: Array, w: Array, y: Array) -> Iterator[tuple[Array, Array, Array]]:
        """For each term of the sum, the views x[:, i] (N, C), w[k] (C, F) and y[:, o] (N, F)."""
        views = {"x": x, "w": w, "y": y}
        x, w, y = (np.transpose(views[slot], order) for slot, order in self.orders().items())
        per_axis = [axis.terms() for axis in self.axes(x.shape[1:-1], w.shape[:-2])]
        c, f = w.shape[-2], w.shape[-1] // self.groups
        for group in range(self.groups):
            inputs = slice(group * c, (group + 1) * c)
            outputs = slice(group * f, (group + 1) * f)
            for triples in itertools.product(*per_axis):
                i, o, k = zip(*triples, strict=True)
                yield x[:, *i, inputs], w[*k, :, outputs], y[:, *o, outputs]

    def fit(self, given: str, shape: Sequence[int], spatial: Sequence[int]) -> tuple[int, ...]:
        """`spatial` itself if it is a whole shape, else `shape` with these spatial sizes."""
        sizes = tuple(int(size) for size in spatial)
        if len(sizes) != self.rank:
            return self.write(given, self.read(given, sizes))
        read = list(self.read(given, shape))
        start = 0 if given == "w" else 1
        read[start : start + self.rank] = sizes
        return self.write(given, read)


class TransposeSettings(TypedDict, total=False):
    """The keywords of every operation; `Call` has their defaults."""

    stride: int | Sequence[int]
    padding: Padding
    dilation: int | Sequence[int]
    groups: int
    layout: Any
    padding_mode: Modes
    precision: Any
    preferred_element_type: Any


class Settings(TransposeSettings, total=False):
    """The keywords of every operation but conv_transpose."""

    input_dilation: int | Sequence[int]


def conv(x: npt.ArrayLike, w: npt.ArrayLike, **settings: Unpack[Settings]) -> Array:
    """y[o] = the sum of x[i] * w[k] over b*i + p0 = s*o + d*k."""
    x, w = _widen(x, w)
    call = Call(x.ndim - 2, **settings)
    y = np.zeros(call.y_shape(x.shape, w.shape), np.result_type(x, w))
    for xi, wk, yo in call.terms(x, w, y):
        yo += xi @ wk
    return y


def conv_input_grad(
    g: npt.ArrayLike,
    w: npt.ArrayLike,
    *,
    input_shape: Sequence[int],
    **settings: Unpack[Settings],
) -> Array:
    """x'[i] = the sum of g[o] * w[k] over b*i + p0 = s*o + d*k."""
    g, w = _widen(g, w)
    call = Call(g.ndim - 2, **settings)
    *_, c, _ = call.read("w", w.shape)
    n, *spatial, _ = call.read("y", g.shape)
    x_shape = call.fit("x", call.write("x", (n, *spatial, c * call.groups)), input_shape)
    x = np.zeros(x_shape, np.result_type(g, w))
    _check_y(call.y_shape(x.shape, w.shape), g)
    for xi, wk, go in call.terms(x, w, g):
        xi += go @ wk.T
    return x


def conv_filter_grad(
    x: npt.ArrayLike,
    g: npt.ArrayLike,
    *,
    filter_shape: Sequence[int],
    **settings: Unpack[Settings],
) -> Array:
    """w'[k] = the sum of x[i] * g[o] over b*i + p0 = s*o + d*k."""
    x, g = _widen(x, g)
    call = Call(x.ndim - 2, **settings)
    *spatial, channels = call.read("x", x.shape)[1:]
    features = call.read("y", g.shape)[-1]
    guess = call.write("w", (*spatial, channels // call.groups, features))
    w_shape = call.fit("w", guess, filter_shape)
    w = np.zeros(w_shape, np.result_type(x, g))
    _check_y(call.y_shape(x.shape, w.shape), g)
    for xi, wk, go in call.terms(x, w, g):
        wk += xi.T @ go
    return w


def conv_transpose(
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    *,
    output_padding: int | Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    **settings: Unpack[TransposeSettings],
) -> Array:
    """The adjoint of conv: x takes the place of y, and the result the place of conv's x."""
    x, w = _widen(x, w)
    call = Call(x.ndim - 2, input_dilation=1, **settings)
    (n, *outputs, _), (*kernel, c, _) = call.read("y", x.shape), call.read("w", w.shape)
    sizes = transposed_sizes(call, outputs, kernel, output_padding)
    shape = call.write("x", (n, *sizes, c * call.groups))
    if output_shape is not None:
        told = call.fit("x", shape, output_shape)
        if output_padding is not None and told != shape:
            raise ValueError(f"output_shape {told} and output_padding, {shape}, disagree")
        shape = told
    return conv_input_grad(x, w, input_shape=shape, **settings)


def transposed_sizes(
    call: Call,
    outputs: Sequence[int],
    kernel: Sequence[int],
    output_padding: int | Sequence[int] | None = None,
) -> list[int]:
    """The spatial sizes of a transposed convolution that is given no output_shape."""
    extra = _each(output_padding, call.rank) if output_padding is not None else None
    sizes = []
    strides, dilations = _each(call.stride, call.rank), _each(call.dilation, call.rank)
    for at, (o, k, s, d, p) in enumerate(
        zip(outputs, kernel, strides, dilations, call.paddings(), strict=True)
    ):
        window = d * (k - 1) + 1 if k > 0 else 0
        same = p in ("SAME", "SAME_LOWER", "CAUSAL")
        total = sum(p) if isinstance(p, tuple) else 0
        smallest = s * (o - 1) + (1 if same else window - total)
        if extra is not None:
            sizes.append(smallest + extra[at])
        elif same:
            sizes.append(s * o)
        else:
            # The smallest size that a forward convolution takes to o rows, found by trying: the
            # formula's value may be below every such size. An output with rows needs rows of x.
            least = 1 if o > 0 else 0
            tries = range(least, max(smallest + s, least + 1))
            fits = [i for i in tries if _axis(i, k, s, 1, d, p, ("zeros", "zeros")).o == o]
            sizes.append(fits[0] if fits else max(smallest, 0))
    return sizes


def _each(value: int | Sequence[int], rank: int) -> list[int]:
    return [value] * rank if isinstance(value, int) else list(value)


def _check_y(expected: tuple[int, ...], g: Array) -> None:
    if g.shape != expected:
        raise ValueError(f"the forward convolution gives {expected}, but g is {g.shape}")


def _widen(*operands: npt.ArrayLike) -> list[Array]:
    """Each operand in the widest dtype of its kind; bfloat16, unknown to NumPy, is a float."""
    wide = {"c": np.complex128, "i": np.int64, "u": np.int64, "b": np.int64}
    arrays = [np.asarray(operand) for operand in operands]
    return [array.astype(wide.get(array.dtype.kind, np.float64)) for array in arrays]
