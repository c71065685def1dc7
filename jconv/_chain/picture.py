"""A chain drawn from top to bottom: sizes, channels and receptive fields of its layers.

On the left one box for each result, its width showing the size and its height the channels;
beside it the words of the table; on the right the rows of the input that one cell depends on.
"""

from __future__ import annotations

import math
from html import escape

from jconv._chain.record import ChainRecord, ChainRow
from jconv._chain.table import each_axis, shortened
from jconv._core import symbols
from jconv._core.geometry import Shape, Size, is_static
from jconv._core.layout import parse_layout

WIDTH = 980
_BOX_LEFT, _BOX_WIDTH = 70, 300
_NAME_LEFT = 400
_FIELD_LEFT, _FIELD_WIDTH = 700, 240
_ROW, _TOP = 40, 84
_COLOURS = {
    "conv": "#4878b0",
    "conv_transpose": "#c9643b",
    "upsample": "#dd9a5c",
    "max_pool": "#6ba36f",
    "avg_pool": "#6ba36f",
    "global_pool": "#6ba36f",
    "concat": "#8d72b3",
    "add": "#8d72b3",
}
_PLAIN = "#8a939c"
_TYPICAL = 720  # the size drawn for a symbol; only proportions show, and many strides divide 720


# Long because it sets one mark after the other, from the top of the page to its bottom.
def chain_picture(chain: ChainRecord) -> str:
    """The chain as an SVG picture."""
    rows = [row for row in chain.rows if _is_drawn(row)]
    names = chain.size_names
    layout = parse_layout(chain.layout, len(chain.x_shape) - 2)
    rank = len(chain.x_shape) - 2

    def parts(shape: Shape) -> tuple[Shape, Size]:
        if len(shape) == 2:
            return (), shape[-1]
        order = layout.canonical("x", shape)
        return order[1:-1], order[-1]

    shapes = [chain.x_shape, *(row.out_shape for row in rows)]
    widest = max(_number(max(parts(s)[0], key=_number)) for s in shapes if len(s) == rank + 2)
    deepest = max(_number(parts(s)[1]) for s in shapes)
    sizes, _ = parts(chain.x_shape)
    extent = max(map(_number, sizes))
    fields = [row.receptive_field for row in rows if row.step is not None]
    most = max([1, *(max(field) for field in fields)])
    # Receptive fields far smaller than the input would be too thin to see at its scale.
    to_scale = is_static(*sizes) and extent <= 6 * most
    scale = max(most, extent) if to_scale else most
    known = [f"{name} = {text}" for name, text in names.legend.items()]
    height = _TOP + _ROW * len(shapes) + 30 + 18 * len(known)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="Helvetica, Arial, sans-serif" '
        'font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(_BOX_LEFT + _BOX_WIDTH / 2, 30, "what each layer makes", size=15, weight="bold"),
        _text(_BOX_LEFT + _BOX_WIDTH / 2, 48, "width: size, height: channels", colour="#667"),
        _text(_NAME_LEFT, 30, "layer", anchor="start", size=15, weight="bold"),
        _text(_FIELD_LEFT, 30, "what one cell of it sees", anchor="start", size=15, weight="bold"),
        _text(_FIELD_LEFT, 48, "rows of the input", anchor="start", colour="#667"),
    ]
    middles = {"x": _TOP + _ROW / 2}
    for n, row in enumerate(rows, 1):
        middles[row.name] = _TOP + _ROW * (n + 0.5)
    out += _joins(chain, rows, middles)
    for n, shape in enumerate(shapes):
        row = rows[n - 1] if n else None
        middle = _TOP + _ROW * (n + 0.5)
        spatial, channels = parts(shape)
        wide = _number(max(spatial, key=_number)) / widest if spatial else 0
        width = max(_BOX_WIDTH * wide, 3)
        tall = 6 + 24 * math.log2(1 + _number(channels)) / math.log2(1 + deepest)
        colour = _COLOURS.get(row.kind, _PLAIN) if row else "#3b4048"
        left = _BOX_LEFT + (_BOX_WIDTH - width) / 2
        out.append(_box(left, middle - tall / 2, width, tall, colour))
        label = " x ".join(map(names.show, (*spatial, channels)))
        title = "x, the input" if row is None else shortened(row.name)
        under = label if row is None else f"{row.kind} {row.detail}".strip()
        out.append(_text(_NAME_LEFT, middle - 3, title, anchor="start", weight="bold"))
        if row is not None:
            out.append(_text(_NAME_LEFT, middle + 13, under, anchor="start", colour="#667"))
        out.append(_text(_FIELD_LEFT - 20, middle - 3, label, anchor="end"))
        out += _seen(row, sizes, middle, scale, extent if to_scale else 0)
    for n, text in enumerate(known):
        y = _TOP + _ROW * len(shapes) + 20 + 18 * n
        out.append(_text(_NAME_LEFT, y, text, anchor="start", colour="#667"))
    out.append("</svg>")
    return "\n".join(out)


def _is_drawn(row: ChainRow) -> bool:
    """Activations and norms change nothing that is drawn."""
    return bool(row.detail) or row.in_shape != row.out_shape


def _number(size: Size) -> float:
    """A size as a number; a symbol counts as one that is easily divided."""
    if is_static(size):
        return float(size)
    names = symbols.symbols_in([size])
    return float(symbols.substitute(size, dict.fromkeys(names, _TYPICAL)))


def _seen(
    row: ChainRow | None, sizes: Shape, middle: float, scale: float, extent: float
) -> list[str]:
    """The bar of the receptive field; behind it the input, of `extent` rows where it is drawn."""
    everything = row is not None and row.step is None
    centre = _FIELD_LEFT + _FIELD_WIDTH / 2
    out = []
    if extent:
        back = _FIELD_WIDTH * extent / scale
        out.append(_box(centre - back / 2, middle + 3, back, 8, "#e4e7eb"))
    if everything:
        out.append(_box(_FIELD_LEFT, middle + 3, _FIELD_WIDTH, 8, "#3f8f8a"))
        out.append(_text(centre, middle - 3, "all of the input"))
        return out
    field = (1,) * len(sizes) if row is None else row.receptive_field
    width = max(_FIELD_WIDTH * max(field) / scale, 2)
    out.append(_box(centre - width / 2, middle + 3, width, 8, "#3f8f8a"))
    label = each_axis(field)
    if is_static(*sizes):
        beyond = any(f > i for f, i in zip(field, sizes, strict=True))
        label += f"{', more than' if beyond else ' of'} {each_axis(sizes)}"
    out.append(_text(centre, middle - 3, label))
    return out


def _joins(chain: ChainRecord, rows: list[ChainRow], middles: dict[str, float]) -> list[str]:
    """Arcs from a layer to one further down that reads it."""
    stands_for = {"x": "x"}
    for row in chain.rows:
        stands_for[row.name] = row.name if row.name in middles else stands_for[row.inputs[0]]
    out = []
    above = "x"
    for row in rows:
        for name in row.inputs:
            source = stands_for[name]
            if source == above:
                continue
            start, end = middles[source], middles[row.name]
            bend = _BOX_LEFT - 12 - min(46, (end - start) / 14)
            out.append(
                f'<path d="M {_BOX_LEFT - 6} {start:.1f} C {bend:.1f} {start:.1f} {bend:.1f} '
                f'{end:.1f} {_BOX_LEFT - 6} {end:.1f}" fill="none" stroke="#8d72b3" '
                'stroke-width="1.6"/>'
                f'<path d="M {_BOX_LEFT} {end:.1f} l -8 -4 l 0 8 z" fill="#8d72b3"/>'
            )
            for y in (start, end):
                out.append(
                    f'<path d="M {_BOX_LEFT} {y:.1f} H {_BOX_LEFT + _BOX_WIDTH / 2:.1f}" '
                    'stroke="#8d72b3" stroke-width="0.8" stroke-dasharray="2 3"/>'
                )
        above = row.name
    return out


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" '
        f'fill="{colour}"/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "middle",
    size: int = 13,
    weight: str = "normal",
    colour: str = "#23272e",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
    )
