"""The picture of a plan with two spatial axes: a window that the page moves, and what it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jconv._plan.picture.picture import example_strips
from jconv._plan.picture.plane import draw_plane, lay_out
from jconv._plan.picture.strip import Gap, Slots, Strip
from jconv._plan.plan import Plan
from jconv._support.svg import Canvas

MOST_SLOTS = 24  # rows of one axis that are drawn; the picture leaves others out in a gap
NARROW_SLOTS = 11  # rows of one axis that are drawn on a page of the width of a phone


def plane_answer(
    plan: Plan, at: Sequence[int] | None, *, narrow: bool = False
) -> dict[str, Any] | None:
    """The picture, and what each window in it reads; None unless there are two spatial axes.

    Args:
        plan: the plan to draw.
        at: the window that is marked, by its row on both axes of the output (in a transposed
            convolution, of the input). None: one in the middle.
        narrow: whether to draw fewer rows, for a phone.
    """
    strips, _ = example_strips(plan)
    if len(strips) != 2 or any(not (axis.o and axis.k and axis.i) for axis in strips):
        return None
    chosen = None
    if at is not None:
        chosen = tuple(min(max(o, 0), axis.o - 1) for o, axis in zip(at, strips, strict=True))
    planes = lay_out(strips[0], strips[1], chosen, NARROW_SLOTS if narrow else MOST_SLOTS)
    canvas = Canvas()
    transposed = plan.op != "conv"
    _, places = draw_plane(canvas, planes, 0, transposed=transposed)
    rows, columns = (
        _axis(strip, planes.wide[n], planes.narrow[n]) for n, strip in enumerate(strips)
    )
    title = "What one window reads" if not transposed else "What one row of x adds"
    return {
        "svg": canvas.svg(title, "Move the window with the pointer or the arrow keys."),
        "chosen": list(planes.chosen),
        "counts": [strip.o for strip in strips],
        "one": list(places["one"]),
        "many": list(places["many"]),
        "axes": [rows, columns],
    }


def _axis(strip: Strip, wide: Slots, narrow: Slots) -> dict[str, Any]:
    """What the page has to know of one axis to move the window.

    `outputs` are the windows in the order in which they are drawn, None for a gap. `windows` has
    for each of them where its taps are drawn, whether all are, and in words what it reads.
    """
    outputs = [None if isinstance(entry, Gap) else entry for _, entry in narrow]
    windows = {}
    for o in outputs:
        if o is not None:
            taps = strip.taps(o)
            shown = [place for place, u in wide if isinstance(u, int) and u in taps]
            words = _adds(strip, o) if strip.transposed else _reads(strip, o)
            windows[o] = {"taps": shown, "whole": len(shown) == len(taps), "words": words}
    return {"name": strip.name, "outputs": outputs, "windows": windows}


def _reads(strip: Strip, o: int) -> str:
    """What one window reads on an axis, in words: rows of x, and how many rows around it."""
    rows, others = [], 0
    for u in strip.taps(o)[:MOST_SLOTS]:
        cell = strip.cell(u)
        if cell.kind == "x" and cell.row is not None:
            rows.append(cell.row)
        else:
            others += 1
    text = _spoken(rows)
    if others and strip.modes == ("zeros", "zeros"):
        text += f" and {others} in the padding"
    elif others:
        text += f" and {others} in the border"
    return text + (" and more" if strip.k > MOST_SLOTS else "")


def _adds(strip: Strip, o: int) -> str:
    """The rows of y that one row of x is added to on an axis."""
    at = [u - strip.p0 for u in strip.taps(o)[:MOST_SLOTS]]
    inside = [row for row in at if 0 <= row < strip.i]
    cropped = len(at) - len(inside)
    text = _spoken(inside) + (f", {cropped} cropped" if cropped else "")
    return text + (" and more" if strip.k > MOST_SLOTS else "")


def _spoken(rows: list[int]) -> str:
    """The rows in words: "3", "3 to 5", or "3, 5, 7"."""
    if not rows:
        return "none"
    if len(rows) > 2 and rows == list(range(rows[0], rows[-1] + 1)):
        return f"{rows[0]} to {rows[-1]}"
    return ", ".join(map(str, rows))
