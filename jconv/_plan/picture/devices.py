"""A plan on a mesh, drawn: for each leg the parts of every split dimension, and what crosses.

A dimension is a row of boxes, one for each part. Between two of them arrows carry the rows that one
device sends to the other; where devices add up their results, a bracket below joins the parts.
"""

from __future__ import annotations

import math
import re

from jconv._core.geometry import Size, is_static
from jconv._core.problem import LEGS, OPERANDS, OUTPUT, Leg, Slot
from jconv._devices.mesh_plan import LegDevices
from jconv._devices.roles import SUMMED, told
from jconv._plan.picture.grid import LEFT, SIDE, UNREAD, Y, rows
from jconv._plan.picture.grid import X as PART
from jconv._plan.record import PlanRecord
from jconv._plan.table import amount, shape_text
from jconv._support.svg import FAINT, INK, SMALLEST, Canvas, text_width

SHOWN = 5  # parts drawn before the middle ones are left out
GAP = 64  # px between two parts, for the arrows and their rows
ROOM = 760  # px for the parts of one dimension
COLUMNS = 150  # letters in a line of small text
LINE = 18  # px from one line of text to the next


def draw_devices(canvas: Canvas, plan: PlanRecord, y: float) -> float:
    """Every leg on the devices of the mesh; the y that follows."""
    axes = ", ".join(f"{name}={size}" for name, size in plan.mesh)
    canvas.text(16, y, f"on the mesh {axes}", size=14, font_weight="bold")
    for name, record in plan.device_records:
        with canvas.group("jc-leg", data_leg=name):
            y = _leg(canvas, plan, name, record, y + LINE + 8)
    return y


def _leg(canvas: Canvas, plan: PlanRecord, name: str, record: LegDevices, y: float) -> float:
    leg: Leg = next(filter(name.__eq__, LEGS))
    shapes = dict(record.shapes)
    held = ", ".join(f"{slot} {shape_text(shapes[slot])}" for slot in (*OPERANDS[leg], OUTPUT[leg]))
    canvas.text(16, y, f"{name}: {record.algorithm} on each device", size=13, font_weight="bold")
    y += LINE
    for text in _cut(f"one device holds {_readable(held)}"):
        canvas.text(16, y, text, fill=FAINT, cls="jc-note")
        y += LINE
    parts = {role: _parts(plan, axes) for role, axes in record.split}
    modes = plan.borders.modes if plan.borders is not None else ()
    rings = [told(axis) for axis, pair in enumerate(modes) if "circular" in pair]
    for role, axes in record.split:
        ring = role in rings
        y = _dimension(canvas, leg, record, role, axes, parts[role], y + 4, ring=ring)
    if not record.split:
        canvas.text(16, y, "nothing is split: every device does all of it", cls="jc-note")
        y += LINE
    moved = [
        what.format(amount(size, "B"))
        for what, size in (
            ("sends {} to other devices", record.permuted),
            ("adds {} up with them", record.reduced),
            ("gives {} to be brought together", record.gathered),
        )
        if not (is_static(size) and size == 0)
    ]
    for text in _cut(_readable("one device " + (", ".join(moved) or "sends nothing"))):
        canvas.text(16, y, text, cls="jc-moved")
        y += LINE
    for why in record.reasons:
        for text in _cut(why):
            canvas.text(16, y, text, fill=UNREAD[1], cls="jc-why")
            y += LINE
    return y - LINE


def _dimension(
    canvas: Canvas,
    leg: Leg,
    record: LegDevices,
    role: str,
    axes: tuple[str, ...],
    parts: Size,
    y: float,
    *,
    ring: bool,
) -> float:
    """The parts of one dimension, the rows between them, and the sum below them."""
    count, axis = _held(leg, record, role)
    low, high = record.halo[axis] if axis is not None else (0, 0)
    label = _counted(count, axis, role)
    width = max(64.0, text_width(label, SMALLEST) + 16)
    places = _places(parts, int((ROOM + GAP) // (width + GAP)))
    canvas.text(LEFT - 10, y + 9, role, anchor="end", cls="jc-name")
    over = f"over {' and '.join(axes)}: {parts} parts"
    canvas.text(LEFT - 10, y + 23, over, size=SMALLEST, anchor="end", fill=FAINT, cls="jc-name")
    for n, place in enumerate(places):
        x = LEFT + n * (width + GAP)
        if place is None:
            style = {"anchor": "middle", "size": 14.0, "fill": FAINT}
            canvas.text(x + width / 2, y + 16, "···", cls="jc-gap", **style)
        else:
            fill, stroke = PART
            title = f"{role}, part {place}: {count}"
            frame = {"rx": 2, "fill": fill, "stroke": stroke, "cls": "jc-part", "title": title}
            canvas.rect(x, y, width, SIDE, **frame)
            middle = {"size": SMALLEST, "anchor": "middle"}
            canvas.text(x + width / 2, y + 16, label, cls="jc-digit", **middle)
        if n + 1 < len(places):
            _arrow(canvas, x + width, y + 6, low, forth=True)
            _arrow(canvas, x + width, y + 19, high, forth=False)
    end = y + SIDE
    if _is_summed(leg, role):
        last = LEFT + len(places) * (width + GAP) - GAP
        end += 10  # below the rows that the arrows carry
        canvas.path(f"M{LEFT:g} {end:g}v5H{last:g}v-5", fill="none", stroke=Y[1], cls="jc-sum")
        end += 19
        canvas.text(LEFT, end, "their results are added up", fill=Y[1], cls="jc-label")
    if ring:
        end += LINE
        note = "circular border: the last part and the first are neighbours"
        canvas.text(LEFT, end, note, fill=FAINT, cls="jc-note")
    return end + LINE


def _arrow(canvas: Canvas, x: float, y: float, count: Size, *, forth: bool) -> None:
    """An arrow to the next part, or back from it, with the rows that it carries."""
    if is_static(count) and count == 0:
        return
    start, end = (x + 4, x + GAP - 4) if forth else (x + GAP - 4, x + 4)
    label = str(count) if is_static(count) else "halo"
    canvas.line(start, y, end, y, stroke=INK, cls="jc-sent", data_rows=str(count))
    way = -1 if forth else 1
    canvas.path(f"M{end:g} {y:g}l{5 * way} -3v6z", fill=INK, cls="jc-head")
    at = y - 4 if forth else y + 12
    canvas.text(x + GAP / 2, at, label, size=SMALLEST, anchor="middle", cls="jc-rows")


def _held(leg: Leg, record: LegDevices, role: str) -> tuple[Size, int | None]:
    """How much of a dimension one device holds, and which spatial axis it is, if it is one."""
    shapes, rank = dict(record.shapes), len(record.halo)
    read: Slot = "y" if leg == "input_grad" else "x"
    lead = len(shapes["x"]) - rank - 2
    for axis in range(rank):
        if role == told(axis):
            return shapes[read][lead + 1 + axis], axis
    places = {"v": ("x", 0), "n": ("x", lead), "c": ("x", -1), "f": ("y", -1), "g": ("x", -1)}
    slot, at = next(place for name, place in places.items() if told(name) == role)
    return shapes[slot][at], None  # pyright: ignore[reportArgumentType]


def _readable(text: str) -> str:
    """A rounded-up division as one writes it: JAX spells it -floordiv(-h, D)."""
    return re.sub(r"- floordiv\(- (\w+), (\w+)\)", r"ceil(\1/\2)", text)


def _counted(count: Size, axis: int | None, role: str) -> str:
    if not is_static(count):
        count = _readable(str(count))
    if axis is not None:
        return rows(count)
    return rows(count, "image" if role == told("n") else "channel")


def _parts(plan: PlanRecord, axes: tuple[str, ...]) -> Size:
    sizes = dict(plan.mesh)
    return math.prod((sizes[name] for name in axes), start=1)


def _places(parts: Size, room: int) -> list[int | str | None]:
    """The parts to draw, in their order; None where some are left out."""
    shown = max(min(SHOWN, room), 3)
    if not is_static(parts):
        return [0, None, "last"]
    if parts <= shown:
        return list(range(parts))
    return [*range(shown - 2), None, parts - 1]


def _is_summed(leg: Leg, role: str) -> bool:
    spatial = role.startswith("spatial axis")
    return role in map(told, SUMMED[leg]) or (leg == "filter_grad" and spatial)


def _cut(text: str) -> list[str]:
    """Text in lines that fit the picture."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) > COLUMNS - 25 and lines[-1]:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines
