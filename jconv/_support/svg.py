"""A small writer of SVG: shapes and text in order, each with its own attributes.

It writes no style sheets, patterns or ids, which in a notebook would also apply to the page and
to other pictures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from html import escape
from typing import Any

INK = "#1f2933"
FAINT = "#667380"
PAPER = "#ffffff"
FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"
WIDTH = 1000  # px; a notebook's output is about as wide, so text is kept within it
SMALLEST = 11  # px; the smallest size of text that is still readable


def text_width(text: str, size: float) -> float:
    """The width of a text in px, estimated high because fonts differ."""
    return 0.62 * size * len(text)


def number(value: float) -> str:
    """A coordinate with at most one digit behind the point."""
    return f"{value:.1f}".removesuffix(".0")


class Canvas:
    """Collects the elements of one picture; `right` and `bottom` are how far they reach."""

    def __init__(self, margin: int = 16) -> None:
        self.margin = margin
        self.right = 0.0
        self.bottom = 0.0
        self._lines: list[str] = []
        self._depth = 1

    def add(self, tag: str, content: str = "", *, title: str = "", **attributes: Any) -> None:
        """Add one element; `cls` is its class, and other names have _ where SVG has a hyphen."""
        inner = f"<title>{escape(title)}</title>" if title else ""
        inner += escape(content)
        self._write(f"<{tag}{_attributes(attributes)}" + (f">{inner}</{tag}>" if inner else "/>"))

    @contextlib.contextmanager
    def group(self, cls: str, **attributes: Any) -> Iterator[None]:
        self._write(f"<g{_attributes({'cls': cls, **attributes})}>")
        self._depth += 1
        yield
        self._depth -= 1
        self._write("</g>")

    def rect(self, x: float, y: float, width: float, height: float, **attributes: Any) -> None:
        self._reach(x + width, y + height)
        self.add("rect", x=x, y=y, width=width, height=height, **attributes)

    def line(self, x1: float, y1: float, x2: float, y2: float, **attributes: Any) -> None:
        self._reach(max(x1, x2), max(y1, y2))
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, **{"stroke": FAINT, **attributes})

    def path(self, d: str, **attributes: Any) -> None:
        """Add a path; it does not grow the picture, so other shapes must reach as far."""
        self.add("path", d=d, **attributes)

    def arrow(
        self, x1: float, x2: float, y: float, *, both: bool = False, **attributes: Any
    ) -> None:
        """Add a horizontal arrow from x1 to x2, with a head at x2 or at both ends."""
        colour = attributes.pop("stroke", FAINT)
        self.line(x1, y, x2, y, stroke=colour, **attributes)
        for tip, way in [(x2, -1), (x1, 1)] if both else [(x2, -1)]:
            self.path(f"M{number(tip)} {number(y)}l{5 * way} -3v6z", fill=colour, cls="jc-head")

    def text(
        self,
        x: float,
        y: float,
        content: str,
        *,
        size: float = 12,
        anchor: str = "start",
        fill: str = INK,
        **attributes: Any,
    ) -> None:
        """Add text on the baseline y, moved left where it would pass the right edge."""
        width = text_width(content, size)
        if anchor == "start":
            x = max(self.margin, min(x, WIDTH - self.margin - width))
        self._reach(x + {"start": width, "middle": width / 2, "end": 0}[anchor], y + 0.3 * size)
        if anchor != "start":
            attributes["text_anchor"] = anchor
        self.add("text", content, x=x, y=y, font_size=size, fill=fill, **attributes)

    def svg(self, title: str, description: str) -> str:
        """The whole picture as SVG, on a white background."""
        width, height = (round(end) + self.margin for end in (self.right, self.bottom))
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" '
            f'font-family="{FONT}" style="max-width:100%;height:auto">'
        )
        return "\n".join(
            [
                head,
                f" <title>{escape(title)}</title>",
                f" <desc>{escape(description)}</desc>",
                f' <rect class="jc-paper" width="{width}" height="{height}" fill="{PAPER}"/>',
                *self._lines,
                "</svg>",
            ]
        )

    def _write(self, line: str) -> None:
        self._lines.append(" " * self._depth + line)

    def _reach(self, right: float, bottom: float) -> None:
        self.right = max(self.right, right)
        self.bottom = max(self.bottom, bottom)


def _attributes(attributes: dict[str, Any]) -> str:
    return "".join(
        f' {"class" if name == "cls" else name.replace("_", "-")}="'
        + (number(value) if isinstance(value, float) else escape(str(value)))
        + '"'
        for name, value in attributes.items()
    )
