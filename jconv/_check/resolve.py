"""`resolve`: from a Call to the Problem that it describes, or to a ConvError.

Only shapes, dtypes and settings are read, so these checks serve the operations, plans and the
diagnosis alike. Sizes may be symbolic: a difference must be proved before it is an error.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from jconv._check.call import Call
from jconv._check.dtypes import read_dtypes
from jconv._check.settings import LIMIT, Modes
from jconv._check.spec import Spec, read_spec
from jconv._core import geometry
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Axis, Shape, Size, is_static, max_size, proved
from jconv._core.layout import MOST_AXES, Layout
from jconv._core.problem import OUTPUT, Problem


@dataclasses.dataclass(frozen=True)
class Borders:
    """What padding modes other than zeros add around x before the convolution.

    Attributes:
        modes: for each axis the mode below x and the mode above it.
        sizes: the spatial sizes of x.
        pads: rows added to each axis, or cropped; none where both sides are zeros, which the
            convolution itself pads.
    """

    modes: Modes
    sizes: Shape
    pads: tuple[tuple[Size, Size], ...]


@dataclasses.dataclass(frozen=True)
class Resolved:
    """What a valid call means."""

    problem: Problem
    layout: Layout
    borders: Borders | None
    pads: tuple[tuple[Size, Size], ...]
    modes: Modes

    @property
    def out_shape(self) -> Shape:
        """The result's shape in the caller's layout."""
        slot = OUTPUT[self.problem.leg]
        shape = self.problem.shape(slot)
        if slot == "x" and self.borders is not None:
            shape = (shape[0], *self.borders.sizes, shape[-1])
        return self.layout.caller(slot, shape)

    def as_written(self, problem: Problem) -> Problem:
        """The problem with the caller's layout and high pads, where jconv's own differ."""
        orders = self.layout.x, self.layout.w, self.layout.y
        own = all(order == tuple(range(len(order))) for order in orders)
        high = None
        if problem.static:  # symbolic pads cannot be compared
            high = tuple(high for _, high in self.pads)
            high = None if high == tuple(axis.pads[1] for axis in problem.axes) else high
        return problem.replace(orders=None if own else orders, high=high)


def resolve(call: Call) -> Resolved:
    """Check one call and describe the leg it asks for.

    Raises:
        ConvError: naming the first thing that does not fit, and the consistent set.
    """
    rank = _rank(call)
    dtypes = read_dtypes(call)
    spec = read_spec(call, rank)
    s, b, d, padding = spec.s, spec.b, spec.d, spec.padding
    copied = [spec.copies(a) for a in range(rank)]
    if any(copied[a] and b[a] != 1 for a in range(rank)):
        raise spec.wrong(
            "padding_mode",
            call.padding_mode,
            "'zeros' where input_dilation > 1",
            f"`padding_mode` {call.padding_mode!r} pads the undilated input, so it does not go "
            "with `input_dilation`.",
        )
    n, c, f, i, k, o = call.operation.sizes(spec)
    _check_spans(spec, "input_dilation", i, b)
    _check_spans(spec, "dilation", k, d)
    pads: tuple[tuple[Size, Size], ...] = tuple(
        geometry.resolve_axis(i[a], k[a], padding[a], s=s[a], b=b[a], d=d[a])[1:]
        for a in range(rank)
    )
    _check_extent(spec, i, o, pads)
    borders, rows, lows = None, i, tuple(low for low, _ in pads)
    if any(copied):
        _check_borders(spec, i, k, pads)
        added = tuple(pads[a] if copied[a] else (0, 0) for a in range(rank))
        borders = Borders(spec.modes, i, added)
        rows = tuple(max_size(i[a] + sum(added[a]), 0) if copied[a] else i[a] for a in range(rank))
        lows = tuple(0 if copied[a] else lows[a] for a in range(rank))
    axes = tuple(
        Axis(i=rows[a], k=k[a], o=o[a], s=s[a], b=b[a], d=d[a], p0=lows[a]) for a in range(rank)
    )
    problem = Problem(
        leg=call.operation.leg,
        axes=axes,
        n=n,
        groups=spec.groups,
        c=c,
        f=f,
        x_dtype=dtypes["x"],
        w_dtype=dtypes["w"],
        y_dtype=dtypes["y"],
        precision=spec.precision,
    )
    return Resolved(problem, spec.layout, borders, pads, spec.modes)


def _rank(call: Call) -> int:
    names = tuple(call.operation.arrays)
    first, second = (len(call.shapes[name]) for name in names)
    if min(first, second) > MOST_AXES + 2:
        raise ConvError(
            f"{call.op}: `{names[0]}` has {_dimensions(first)}; layouts name {MOST_AXES} spatial "
            "axes at most.",
            argument=names[0],
            got=call.shapes[names[0]],
            expected=f"at most {MOST_AXES + 2} dimensions",
        )
    if first == second and first >= 3:
        return first - 2
    # The filter says how many spatial axes there are; between x and g the longer one does.
    lead = "w" if "w" in names else max(names, key=lambda name: len(call.shapes[name]))
    other = names[0] if lead == names[1] else names[1]
    if len(call.shapes[lead]) < 3:
        lead, other = other, lead
    rank = max(len(call.shapes[lead]), 3)
    kind = "spatial, input and output channel" if other == "w" else "batch, spatial and channel"
    raise ConvError(
        f"{call.op}: `{names[0]}` has {_dimensions(first)} and `{names[1]}` has "
        f"{_dimensions(second)}; both need two more than there are spatial axes.",
        argument=other,
        got=call.shapes[other],
        expected=f"{rank} dimensions ({kind})",
    )


def _dimensions(number: int) -> str:
    return f"{number} dimension{'' if number == 1 else 's'}"


def _check_spans(spec: Spec, argument: str, sizes: Shape, factors: tuple[int, ...]) -> None:
    for a, (size, factor) in enumerate(zip(sizes, factors, strict=True)):
        rows = geometry.span(size, factor)
        if factor > 1 and isinstance(rows, int) and rows > LIMIT:
            raise spec.wrong(
                argument,
                getattr(spec.call, argument),
                f"what spreads {size} rows over at most {LIMIT}",
                f"`{argument}` {factor} spreads {size} rows over {rows} on spatial axis {a}.",
            )


def _check_extent(spec: Spec, i: Shape, o: Shape, pads: Any) -> None:
    """Refuse sizes above XLA's limit: a slip, such as a number of bytes given as a padding."""
    for a in range(spec.rank):
        for size in (i[a], o[a], i[a] + pads[a][0] + pads[a][1]):
            if isinstance(size, int) and size > LIMIT:
                raise spec.wrong(
                    "padding",
                    spec.call.padding,
                    f"sizes of at most {LIMIT}",
                    f"the padded input or the result has {size} rows on spatial axis {a}.",
                )


def _check_borders(spec: Spec, i: Shape, k: Shape, pads: Any) -> None:
    """Refuse borders that copy more rows than x is known to have."""
    limits = {
        "reflect": ("at most n - 1 rows", 1),
        "circular": ("at most n rows", 0),
        "edge": ("any number of rows, if n is 1 or more,", 0),
    }
    for a, (size, pair) in enumerate(zip(i, pads, strict=True)):
        if not spec.copies(a):
            continue
        for mode, amount in zip(spec.modes[a], pair, strict=True):
            if mode == "zeros":
                continue
            words, less = limits[mode]
            needed = 1 if mode == "edge" else amount + less
            if proved(lambda v=amount: v > 0) and proved(lambda n=size, m=needed: n < m):
                raise spec.wrong(
                    "padding",
                    spec.call.padding,
                    f"{words} on each side of spatial axis {a}, whose size is n = {size}",
                    f"{mode} padding copies rows of x, and {amount} rows cannot be copied from "
                    f"{size} on spatial axis {a}.",
                )
            if proved(lambda v=amount: v <= 0) or proved(lambda n=size, m=needed: n >= m):
                continue
            if not is_static(needed) and is_static(k[a]):
                # Only SAME pads by a symbolic amount: at most K - 1 rows, half on each side.
                needed = geometry.span(k[a], spec.d[a]) // 2 + less
            _require_rows(spec, mode, a, size, needed)
        if any(proved(lambda v=amount: v < 0) for amount in pair):
            left = size + sum(pair)  # for symbols, cropping all rows must be ruled out
            if not is_static(left):
                mode = next(mode for mode in spec.modes[a] if mode != "zeros")
                _require_rows(spec, mode, a, size, -sum(pair))


def _require_rows(spec: Spec, mode: str, a: int, size: Size, needed: Size) -> None:
    if proved(lambda: size >= needed):
        return
    fact = f"{size} >= {needed}"
    raise ConvError(
        f"{spec.call.op}: {mode} padding needs {needed} rows of x on spatial axis {a}, and the "
        f"size {size} is not known to be as large.",
        argument="constraints",
        got=size,
        expected=f"{fact}, among the constraints of the scope that the symbols are made in",
        remedies=[Remedy.fact(fact)],
    )
