"""`Spec`, a call whose settings have been read, which the checks and the diagnosis both use."""

from __future__ import annotations

import dataclasses
from typing import Any

from jconv._check import settings
from jconv._check.call import Call
from jconv._core import geometry
from jconv._core.errors import ConvError, show
from jconv._core.geometry import Shape, Size
from jconv._core.layout import Layout, LayoutError, parse_layout
from jconv._core.problem import Slot


@dataclasses.dataclass(frozen=True)
class Spec:
    """A call whose settings have been read; `slots` are its arrays' canonical shapes."""

    call: Call
    rank: int
    layout: Layout
    groups: int
    s: tuple[int, ...]
    b: tuple[int, ...]
    d: tuple[int, ...]
    padding: tuple[settings.Padding, ...]
    modes: settings.Modes
    precision: tuple[str, str]
    slots: dict[str, Shape]

    def copies(self, a: int) -> bool:
        """Whether axis `a` is padded by copies of rows of x, not by zeros."""
        return self.modes[a] != ("zeros", "zeros")

    def output(self, a: int, i: Size, k: Size) -> Size:
        """The rows on axis `a` that the forward convolution makes of i rows."""
        return geometry.resolve_axis(i, k, self.padding[a], s=self.s[a], b=self.b[a], d=self.d[a])[
            0
        ]

    def outputs(self, i: Shape, k: Shape) -> Shape:
        return tuple(self.output(a, i[a], k[a]) for a in range(self.rank))

    def inputs(self, a: int, o: int, k: int) -> range:
        """The sizes of x on axis `a` that give `o` rows."""
        return geometry.input_sizes(o, k, self.padding[a], s=self.s[a], b=self.b[a], d=self.d[a])

    def filters(self, a: int, i: int, o: int) -> range:
        """The sizes of w on axis `a` with which i rows give `o`."""
        return geometry.filter_sizes(i, o, self.padding[a], s=self.s[a], b=self.b[a], d=self.d[a])

    def smallest(self, o: Shape, k: Shape) -> Shape:
        """The spatial sizes that output_padding=0 names."""
        return tuple(
            geometry.smallest_size(o[a], k[a], self.padding[a], s=self.s[a], d=self.d[a])
            for a in range(self.rank)
        )

    def wrong(self, argument: str, got: Any, expected: Any, why: str) -> ConvError:
        return ConvError(f"{self.call.op}: {why}", argument=argument, got=got, expected=expected)


def read_spec(call: Call, rank: int) -> Spec:
    """Read every setting for `rank` spatial axes; arrays of another rank have no slot."""
    op = call.op
    layout = _layout(call, rank)
    return Spec(
        call=call,
        rank=rank,
        layout=layout,
        groups=settings.read_groups(op, call.groups),
        s=settings.read_factors(op, "stride", call.stride, rank),
        d=settings.read_factors(op, "dilation", call.dilation, rank),
        b=settings.read_factors(op, "input_dilation", call.input_dilation, rank),
        modes=settings.read_modes(op, call.padding_mode, rank),
        padding=settings.read_padding(op, call.padding, rank),
        precision=settings.read_precision(op, call.precision),
        slots={
            slot: layout.canonical(slot, call.shapes[name])
            for name, slot in call.operation.arrays.items()
            if len(call.shapes[name]) == rank + 2
        },
    )


def told_shape(spec: Spec, argument: str, slot: Slot) -> tuple[Size | None, ...]:
    """The shape in `argument`, in jconv's own order; None for sizes that it leaves open."""
    value = settings.read_shape(spec.call.op, argument, getattr(spec.call, argument))
    if len(value) == spec.rank + 2:
        return spec.layout.canonical(slot, value)
    if len(value) == spec.rank:
        return (*value, None, None) if slot == "w" else (None, *value, None)
    raise spec.wrong(
        argument,
        value,
        f"{spec.rank + 2} sizes (the full shape), or the {spec.rank} spatial ones alone",
        f"`{argument}` has {len(value)} {'entry' if len(value) == 1 else 'entries'}; the full "
        f"shape has {spec.rank + 2}, and the spatial sizes alone are {spec.rank}.",
    )


def _layout(call: Call, rank: int) -> Layout:
    value = tuple(call.layout) if isinstance(call.layout, list) else call.layout
    default = parse_layout(None, rank).names
    try:
        known = value is None or isinstance(value, str)
        if not known and not (isinstance(value, tuple) and all(isinstance(v, str) for v in value)):
            raise LayoutError("must be a string such as 'NHWC', or a triple (lhs, rhs, out)")
        return parse_layout(value, rank)
    except LayoutError as error:
        raise ConvError(
            f"{call.op}: `layout` {error}; it is {show(call.layout)}.",
            argument="layout",
            got=call.layout,
            expected=f"{default[0]!r}, {'NC' + default[0][1:-1]!r}, or a triple like {default}",
        ) from None
