"""A planned network on a stream: each layer's state, its delay, and the stream's latency.

On a stream, a layer's window ends at the newest row. Let "the whole" be the layer's result on the
whole input at once. D is the number of rows by which the stream's result comes later:
streamed[j + D] = whole[j]. A stream pads K-1 rows at the start, the whole p0. If the layer's input
comes e rows late::

    convolution, pooling      s*(j + D) = s*j + K-1 - p0 + e      D = (K-1 - p0 + e) / s
    transposed convolution    i + D = i + p0 + s*e                D = p0 + s*e
    nearest up-sampling       D = f*e

Where s does not divide, the input is delayed by a few rows more. CAUSAL layers have D = 0.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax.numpy as jnp

from jconv._chain.parts import Layer, wrong
from jconv._chain.record import ChainRecord, ChainRow
from jconv._check import settings
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Shape, Size, is_static, product, resolve_axis, span
from jconv._core.layout import parse_layout
from jconv._core.problem import itemsize


@dataclasses.dataclass(frozen=True)
class StreamRow:
    """One layer on a stream; rows are those of the time axis.

    Attributes:
        name, kind: of the layer.
        state: shape of the rows that it keeps from chunk to chunk, channels last; () for none.
        wait: rows by which its input is delayed in addition to the delay that it arrives with.
        offset: rows at the start of its streamed result that come before the whole's first row.
        step: rows of the network's input for each row of its result.
        latency: rows of the network's input by which its result comes late.
    """

    name: str
    kind: str
    state: Shape
    wait: int
    offset: int
    step: Fraction
    latency: Fraction


@dataclasses.dataclass(frozen=True)
class StreamPlan:
    """A network on a stream.

    Attributes:
        rows: one record for each layer.
        multiple: the number of rows in a chunk is a multiple of this.
        dtype: of all states.
    """

    rows: tuple[StreamRow, ...]
    multiple: int
    dtype: str

    @property
    def latency(self) -> int:
        """Rows of the input, samples in audio, by which the last layer's result comes late."""
        return math.ceil(self.rows[-1].latency)

    @property
    def offset(self) -> int:
        """Rows at the start of the streamed result that come before the whole's first row."""
        return self.rows[-1].offset

    @property
    def memory(self) -> Size:
        """Bytes of all states."""
        return sum(product(row.state) for row in self.rows if row.state) * itemsize(self.dtype)

    def init(self) -> dict[str, Any]:
        """The state of each convolution before the first chunk, by the layer's name: zeros.

        Examples:
            >>> import jconv
            >>> layer = ("conv", {"features": 8, "kernel": 5, "padding": "CAUSAL"})
            >>> states = jconv.plan_chain((1, "t", 3), [layer]).stream().init()
            >>> {name: state.shape for name, state in states.items()}
            {'conv1': (1, 4, 3)}
        """
        states = {}
        for row in self.rows:
            if row.kind in ("conv", "conv_transpose"):
                if not is_static(*row.state):
                    why = "StreamPlan.init: batch and further sizes must be numbers; fill them in"
                    raise wrong("x_shape", row.state, "numbers: ChainPlan.at(b=1).stream()", why)
                states[row.name] = jnp.zeros(row.state, self.dtype)
        return states

    def __str__(self) -> str:
        head = ["layer", "kind", "state", "wait", "offset", "step", "latency"]
        body = [
            [r.name, r.kind, str(r.state or ""), *map(str, (r.wait, r.offset, r.step, r.latency))]
            for r in self.rows
        ]
        facts = (
            f"chunks: multiples of {self.multiple} rows",
            f"latency: {self.latency} rows of the input",
            f"offset: the first {self.offset} rows of the streamed result are to be dropped",
        )
        return "\n".join([*_columns([head, *body]), "", *facts])


def _columns(lines: list[list[str]]) -> list[str]:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


@dataclasses.dataclass(frozen=True)
class _Place:
    """A layer's position in time: rows by which it is late, and input rows for each row."""

    late: int
    step: Fraction


def plan_stream(chain: ChainRecord) -> StreamPlan:
    """The states, latencies and offsets of a planned network.

    Raises:
        ConvError: naming the layer that cannot run on a stream, and why.
    """
    places = {"x": _Place(0, Fraction(1))}
    rows: list[StreamRow] = []
    for index, (layer, row) in enumerate(zip(chain.layers, chain.rows, strict=True)):
        try:
            held, place, state = _on_stream(chain, layer, row, places)
        except ConvError as error:
            raise ConvError(
                f"ChainPlan.stream: layers[{index}] {layer.name!r} ({layer.kind}): "
                f"{error.message}.",
                argument=error.argument,
                got=error.got,
                expected=error.expected,
                remedies=error.remedies,
            ) from None
        places[layer.name] = place
        latency = place.late * place.step
        rows.append(StreamRow(layer.name, layer.kind, state, held, place.late, place.step, latency))
    multiple = math.lcm(*(row.step.numerator for row in rows))
    return StreamPlan(tuple(rows), multiple, chain.dtype)


_POINTWISE = ("activation", "relu", "gelu", "silu", "sigmoid", "tanh", "dropout")
_WITHIN_A_ROW = ("batch_norm", "layer_norm")


def _on_stream(
    chain: ChainRecord, layer: Layer, row: ChainRow, places: dict[str, _Place]
) -> tuple[int, _Place, Shape]:
    """(rows of additional delay, the layer's place, the shape of its state)."""
    at = places[row.inputs[0]]
    kind = layer.kind
    if kind in _POINTWISE or kind in _WITHIN_A_ROW:
        return 0, at, ()
    make = _KINDS.get(kind)
    if make is None:
        why = "it reads all of time, or later rows than the stream has delivered"
        raise wrong("kind", kind, ", ".join((*_KINDS, *_POINTWISE, *_WITHIN_A_ROW)), why)
    return make(chain, layer, row, at, places)


def _windowed(
    chain: ChainRecord, layer: Layer, row: ChainRow, at: _Place, places: Any
) -> tuple[int, _Place, Shape]:
    k, s, d, p0 = _time(chain, layer, row)
    late = span(k, d) - 1 - p0 + at.late
    held = -late % s if late >= 0 else -late
    state = _state(chain, row.in_shape, span(k, d) - 1)
    return held, _Place((late + held) // s, at.step * s), state


def _transposed(
    chain: ChainRecord, layer: Layer, row: ChainRow, at: _Place, places: Any
) -> tuple[int, _Place, Shape]:
    k, s, d, p0 = _time(chain, layer, row)
    late = p0 + s * at.late
    held = max(-(late // s), 0)
    state = _state(chain, row.out_shape, span(k, d) - 1)
    return held, _Place(late + s * held, at.step / s), state


def _joined(
    chain: ChainRecord, layer: Layer, row: ChainRow, at: _Place, places: dict[str, _Place]
) -> tuple[int, _Place, Shape]:
    """For two layers that are joined: the earlier one waits for the later one."""
    other = places[row.inputs[1]]
    if other.step != at.step:
        raise wrong("with", layer.get("with"), "a layer as fast", "the two differ in their steps")
    if layer.get("crop"):
        why = "what `crop` cuts off depends on the length, and a stream has none"
        raise wrong("crop", True, "crop=False", why, [Remedy("crop", None, "leave crop out")])
    held = abs(at.late - other.late)
    shape = (
        next(r.out_shape for r in chain.rows if r.name == row.inputs[1])
        if (at.late > other.late and row.inputs[1] != "x")
        else row.in_shape
    )
    late = max(at.late, other.late)
    return held, _Place(late, at.step), _state(chain, shape, held) if held else ()


def _upsampled(
    chain: ChainRecord, layer: Layer, row: ChainRow, at: _Place, places: Any
) -> tuple[int, _Place, Shape]:
    rank = len(chain.x_shape) - 2
    factor = settings.read_factors("upsample", "factor", layer.get("factor"), rank)[0]
    if factor > 1 and layer.get("method", "nearest") != "nearest":
        why = "interpolation in time reads a row that the stream has not delivered yet"
        raise wrong("method", layer.get("method"), "nearest", why)
    return 0, _Place(factor * at.late, at.step / factor), ()


_KINDS: dict[str, Callable[..., tuple[int, _Place, Shape]]] = {
    "conv": _windowed,
    "conv_transpose": _transposed,
    "max_pool": _windowed,
    "avg_pool": _windowed,
    "upsample": _upsampled,
    "concat": _joined,
    "add": _joined,
}


def _state(chain: ChainRecord, shape: Shape, rows: int) -> Shape:
    """(batch, rows, further axes, channels): the state that keeps `rows` rows of such arrays."""
    n, _, *further, channels = parse_layout(chain.layout, len(shape) - 2).canonical("x", shape)
    return (n, rows, *further, channels)


def _time(chain: ChainRecord, layer: Layer, row: ChainRow) -> tuple[int, int, int, int]:
    """(k, s, d, p0) on the time axis of a layer with windows."""
    plans = dict(chain.plan_records)
    if layer.name in plans:
        plan = plans[layer.name]
        axis, p0 = plan.problem.axes[0], plan.padding[0][0]
        k, s, d = axis.k, axis.s, axis.d
        if axis.b != 1:
            why = "`input_dilation` in time is not supported on a stream"
            raise wrong("input_dilation", axis.b, "1 in time", why)
    else:
        rank = len(chain.x_shape) - 2
        kernel = settings.read_factors(layer.kind, "kernel", layer.get("kernel"), rank)
        k = kernel[0]
        s = settings.read_factors(layer.kind, "stride", layer.get("stride", kernel), rank)[0]
        d = settings.read_factors(layer.kind, "dilation", layer.get("dilation", 1), rank)[0]
        entry = settings.read_padding(layer.kind, layer.get("padding", "VALID"), rank)[0]
        size = parse_layout(chain.layout, rank).canonical("x", row.in_shape)[1]
        p0 = resolve_axis(size, k, entry, s=s, b=1, d=d)[1]
    causal = [Remedy("padding", "CAUSAL", "pass padding='CAUSAL'")]
    if not is_static(p0):
        why = "its padding depends on the length, and a stream has none"
        raise wrong("padding", layer.get("padding", "SAME"), "'CAUSAL' or numbers", why, causal)
    if layer.get("padding_mode", "zeros") != "zeros" and p0 > 0:
        why = "a border copied from rows cannot be made before the stream delivers these rows"
        zeros = [Remedy("padding_mode", "zeros", "pass padding_mode='zeros'")]
        raise wrong("padding_mode", layer.get("padding_mode"), "'zeros'", why, zeros)
    return k, s, d, p0
