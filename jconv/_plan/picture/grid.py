"""The cells of one axis on the canvas, and what they look like in every picture."""

from __future__ import annotations

from typing import Any

from jconv._plan.picture.strip import Gap, Slots, Strip, strip_slots
from jconv._support.svg import FAINT, INK, SMALLEST, Canvas, text_width

LEFT = 192  # where cells begin; what stands in a row is said to the left of them
ROOM = 640  # px for the cells of one axis
NARROW_LEFT, NARROW_ROOM = 56, 286  # the same where rows have their names above them
SIDE = 24  # height of a cell
EDGE = 16  # px; where lines of text begin
LABEL = 12  # px; the size of text beside cells
PITCH = 27  # from one window to the next

# Fill and stroke, told apart by the colour-blind (the hues are those of Okabe and Ito).
X = ("#cfe4f5", "#0072b2")
ZERO = ("#f4f5f7", "#9aa5b1")
COPY = ("#e8f2fa", "#9aa5b1")
UNREAD = ("#fbd9c6", "#c24a00")
PASSED = ("#fdf1ea", "#d98a5f")
CUT = ("#e4e7eb", "#9aa5b1")
TAP = ("#f7c25c", "#9a6700")
Y = ("#bfe8d9", "#00795a")
EXTRA = ("#f3d3e5", "#a8457d")


def rows(count: Any, what: str = "row") -> str:
    """1 row, 2 rows."""
    return f"{count} {what}" if isinstance(count, int) and count == 1 else f"{count} {what}s"


def index(row: int) -> str:
    """A row's number as it fits into a cell."""
    return str(row) if row < 10_000 else f"…{row % 1000:03d}"


class Grid:
    """The columns of one axis: where each position stands on the canvas."""

    def __init__(self, canvas: Canvas, strip: Strip, *, narrow: bool = False) -> None:
        self.canvas = canvas
        self.strip = strip
        self.narrow = narrow
        self.taken = -1.0, 0.0  # a bracket's y, and where the words of its low side end
        self.left = NARROW_LEFT if narrow else LEFT
        room = NARROW_ROOM if narrow else ROOM
        longest = max(strip.i, strip.o, strip.high - strip.p0)
        self.width = 26 if longest <= 1000 else 34
        self.slots: Slots = strip_slots(strip, room // self.width)
        self.right = self.left + max(len(self.slots) * self.width, 60)

    def x(self, u: int) -> float:
        """The left side of position u."""
        return self.left + self.slots.at(u) * self.width

    def middle(self, u: int) -> float:
        return self.x(u) + self.width / 2

    def cell(
        self,
        u: int,
        y: float,
        colour: tuple[str, str],
        label: str,
        cls: str,
        title: str,
        **more: Any,
    ) -> None:
        """A square with its label; hovering shows the title."""
        box(self.canvas, self.x(u), y, self.width, colour, label, cls, title=title, **more)

    def gap(self, gap: Gap, y: float, hidden: int, *, cls: str = "jc-gap") -> None:
        """Dots where positions are left out; nothing where none are."""
        if hidden:
            style = {"anchor": "middle", "size": 14.0, "fill": FAINT}
            self.canvas.text(
                self.middle(gap.first), y + 16, "···", cls=cls, data_hidden=hidden, **style
            )

    def title(self, y: float, first: str, second: str = "", *, above: float = -6) -> float:
        """The row's own y, with what stands in the row to its left; if narrow, above it.

        A narrow picture has the words `above` the y that was asked for, and the row below that y.
        """
        if not self.narrow:
            self.name(y, first, second)
            return y
        text = f"{first} ({second})" if second else first
        self.canvas.text(EDGE, y - above, text, cls="jc-name")
        return y + 20

    def name(self, y: float, first: str, second: str = "") -> None:
        """What stands in the row of cells at y; a narrow picture has no room for it."""
        if self.narrow:
            return
        x = self.left - 10
        if not second:
            self.canvas.text(x, y + 16, first, anchor="end", cls="jc-name")
            return
        self.canvas.text(x, y + 9, first, anchor="end", cls="jc-name")
        self.canvas.text(x, y + 23, second, size=SMALLEST, anchor="end", fill=FAINT, cls="jc-name")

    def bracket(
        self,
        first: int,
        last: int,
        y: float,
        text: str,
        *,
        side: str,
        fill: str = INK,
        up: int = -1,
    ) -> None:
        """A bracket over (up=-1) or under the positions first..last, and what they are.

        The text of the low side ends where the bracket ends, that of the high side begins where
        it begins, so that two never meet. In a narrow picture a long one begins at the edge, and
        the other behind it.
        """
        left, right = self.x(first) + 2, self.x(last) + self.width - 2
        self.canvas.path(
            f"M{left:g} {y - 4 * up:g}v{4 * up}H{right:g}v{-4 * up}",
            fill="none",
            stroke=fill,
            cls="jc-bracket",
        )
        x, anchor = (right, "end") if side == "low" else (left, "start")
        if self.narrow and side == "low":
            if right < text_width(text, LABEL):
                x, anchor = EDGE, "start"
            self.taken = y, right if anchor == "end" else x + text_width(text, LABEL)
        elif self.narrow and self.taken[0] == y:
            x = max(x, self.taken[1])
        baseline = y - 5 if up < 0 else y + 14
        self.canvas.text(x, baseline, text, anchor=anchor, fill=fill, cls="jc-label")


def box(
    canvas: Canvas,
    x: float,
    y: float,
    width: float,
    colour: tuple[str, str],
    label: str,
    cls: str,
    *,
    title: str = "",
    struck: bool = False,
    dashed: bool = False,
    **more: Any,
) -> None:
    fill, stroke = colour
    dash = {"stroke_dasharray": "3 2"} if dashed else {}
    frame = {"rx": 2, "fill": fill, "stroke": stroke, "cls": cls, "title": title}
    canvas.rect(x + 1, y, width - 2, SIDE, **frame, **dash, **more)
    if label:
        ink = FAINT if struck or dashed else INK
        style = {"size": SMALLEST, "anchor": "middle", "fill": ink}
        canvas.text(x + width / 2, y + 16, label, cls="jc-digit", **style)
    if struck:
        canvas.line(x + 3, y + SIDE - 2, x + width - 3, y + 2, stroke="#52606d", cls="jc-strike")
