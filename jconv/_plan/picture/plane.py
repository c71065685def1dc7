"""Two axes of a plan, drawn: the input plane, and the output plane with one row of it made."""

from __future__ import annotations

from collections.abc import Callable

from jconv._plan.picture.grid import CUT, TAP, UNREAD, ZERO, X, Y
from jconv._plan.picture.strip import Gap, Slots, Strip, choose_slots, strip_slots
from jconv._support.svg import FAINT, INK, Canvas, number, text_width

CELL = 18
MOST = 17  # columns and rows of a plane
SPACE = 70  # between the two planes

Kind = tuple[str, tuple[str, str]]  # class and colour
Drawn = tuple[Slots, Slots]


# Long because it sets one mark after the other: cells, then the window, then the words.
def draw_plane(canvas: Canvas, height: Strip, width: Strip, y: float, *, transposed: bool) -> float:
    """The planes of x and y with one output, or in a transposed one input; the y that follows."""
    axes = (height, width)
    if any(not (axis.o and axis.k and axis.i) for axis in axes):
        return y
    chosen = tuple(map(_chosen, axes))
    wide = (strip_slots(height, MOST, chosen[0]), strip_slots(width, MOST, chosen[1]))
    narrow = tuple(
        choose_slots(0, axis.o, MOST, iter((o, o - 1, o + 1)))
        for axis, o in zip(axes, chosen, strict=True)
    )
    small, taps = f"[{chosen[0]}, {chosen[1]}]", f"{height.k} × {width.k} taps"
    outputs = f"{height.o} × {width.o}"
    inputs = f"{height.i} × {width.i}"

    def one(top: float, left: float) -> None:
        """The plane of the o rows, with the chosen one."""
        kind = ("jc-plane-x", X) if transposed else ("jc-plane-y", Y)
        _cells(canvas, left, top, (narrow[0], narrow[1]), lambda u, v: kind)
        position = (range(chosen[0], chosen[0] + 1), range(chosen[1], chosen[1] + 1))
        _marked(canvas, left, top, (narrow[0], narrow[1]), position, "jc-plane-one")

    def many(top: float, left: float) -> None:
        """The plane of positions, with the taps of the chosen one."""
        classify = _sum_kind if transposed else _input_kind
        _cells(canvas, left, top, wide, lambda u, v: classify(height, width, u, v))
        reads = (height.taps(chosen[0]), width.taps(chosen[1]))
        _marked(canvas, left, top, wide, reads, "jc-plane-tap")

    pads = [pad for axis in axes for pad in (axis.p0, axis.p1)]
    notes = []
    if transposed:
        heading = f"both axes: what x{small} adds to y"
        above = (f"input x: {outputs}", f"output y: {inputs}, in the sum before cropping")
        below = (f"x{small}", f"x{small} times the {taps}")
        if not any(pad > 0 for pad in pads):
            above = (above[0], f"output y: {inputs}")
        if _has(height, width, wide, "jc-plane-cut", _sum_kind):
            notes.append(("cropped", FAINT))
        planes, drawings = ((narrow[0], narrow[1]), wide), (one, many)
    else:
        heading = f"both axes: what y{small} is made of"
        bordered = " in its padding" if any(pad > 0 for pad in pads) else ""
        above = (f"input x: {inputs}{bordered}", f"output y: {outputs}")
        below = (f"the {taps} of y{small}", f"y{small}")
        if _has(height, width, wide, "jc-plane-unread", _input_kind):
            notes.append(("never read", UNREAD[1]))
        if _has(height, width, wide, "jc-plane-cut", _input_kind):
            notes.append(("cropped", FAINT))
        planes, drawings = (wide, (narrow[0], narrow[1])), (many, one)

    canvas.text(16, y + 12, heading, size=13, font_weight="bold")
    top, left, bottom = y + 46, 40.0, y + 46
    for side in (0, 1):
        rows, columns = planes[side]
        canvas.text(left, top - 10, above[side], cls="jc-name")
        drawings[side](top, left)
        end = top + len(rows) * CELL
        canvas.text(left, end + 17, below[side], fill=TAP[1], cls="jc-label")
        extra = notes if (side == 1) == transposed else []
        for line, (note, colour) in enumerate(extra, start=1):
            canvas.text(left, end + 17 + 17 * line, note, fill=colour, cls="jc-label")
        bottom = max(bottom, end + 17 + 17 * len(extra))
        words = max(text_width(text, 12) for text in (above[side], below[side]))
        across = len(columns) * CELL
        if not side:
            reach = left + max(across, words)
            middle = top + min(len(slots[0]) for slots in planes) * CELL / 2
            canvas.arrow(left + across + 10, reach + SPACE - 10, middle, stroke=INK)
            left = reach + SPACE
    return bottom + 10


def _chosen(axis: Strip) -> int:
    """A window in the middle of a short axis; near the start of a long one."""
    return (axis.o - 1) // 2 if axis.high - axis.low <= MOST else min(1, axis.o - 1)


def _input_kind(height: Strip, width: Strip, u: int, v: int) -> Kind:
    cells = (height.cell(u), width.cell(v))
    if cells[0].cut or cells[1].cut:
        return "jc-plane-cut", CUT
    if u >= height.reached or v >= width.reached:
        return "jc-plane-unread", UNREAD
    inside = cells[0].kind == cells[1].kind == "x"
    return ("jc-plane-x", X) if inside else ("jc-plane-pad", ZERO)


def _sum_kind(height: Strip, width: Strip, u: int, v: int) -> Kind:
    inside = all(0 <= at - axis.p0 < axis.i for axis, at in ((height, u), (width, v)))
    return ("jc-plane-y", Y) if inside else ("jc-plane-cut", CUT)


def _has(
    height: Strip, width: Strip, drawn: Drawn, cls: str, classify: Callable[..., Kind]
) -> bool:
    return any(
        classify(height, width, u, v)[0] == cls
        for _, u in drawn[0]
        for _, v in drawn[1]
        if isinstance(u, int) and isinstance(v, int)
    )


def _cells(
    canvas: Canvas, left: float, top: float, drawn: Drawn, classify: Callable[[int, int], Kind]
) -> None:
    """The cells of a plane, all those of a kind as one path; dots where rows are left out."""
    squares: dict[Kind, list[str]] = {}
    for row, u in drawn[0]:
        for column, v in drawn[1]:
            if isinstance(u, int) and isinstance(v, int):
                corner = f"M{number(left + column * CELL)} {number(top + row * CELL)}"
                squares.setdefault(classify(u, v), []).append(corner + f"h{CELL}v{CELL}h-{CELL}z")
    canvas.rect(left, top, len(drawn[1]) * CELL, len(drawn[0]) * CELL, fill="none")
    for (cls, (fill, stroke)), parts in squares.items():
        canvas.path("".join(parts), cls=cls, fill=fill, stroke=stroke, data_count=len(parts))
    dots = {"size": 14, "fill": FAINT, "anchor": "middle", "cls": "jc-gap"}
    # The first row and the first column are never left out, so the dots do not meet.
    for row, u in drawn[0]:
        if isinstance(u, Gap):
            canvas.text(left + CELL / 2, top + row * CELL + 13, "···", **dots)
    for column, v in drawn[1]:
        if isinstance(v, Gap):
            canvas.text(left + column * CELL + CELL / 2, top + 13, "···", **dots)


def _marked(
    canvas: Canvas, left: float, top: float, drawn: Drawn, at: tuple[range, range], cls: str
) -> None:
    for row, u in drawn[0]:
        for column, v in drawn[1]:
            if u in at[0] and v in at[1]:
                x, y = left + column * CELL, top + row * CELL
                frame = {"fill": TAP[0], "stroke": TAP[1], "stroke_width": 1.5, "cls": cls}
                canvas.rect(x + 4, y + 4, CELL - 8, CELL - 8, **frame)
