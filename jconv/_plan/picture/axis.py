"""One axis of a plan, drawn: rows of cells, and under them what the filter does with them."""

from __future__ import annotations

from jconv._plan.picture.grid import (
    COPY,
    CUT,
    EDGE,
    EXTRA,
    PASSED,
    PITCH,
    SIDE,
    TAP,
    UNREAD,
    ZERO,
    Grid,
    X,
    Y,
    box,
    index,
    rows,
)
from jconv._plan.picture.strip import Gap, Strip, choose_windows
from jconv._support.svg import FAINT, INK, PAPER, Canvas

WINDOWS = 7  # windows drawn before the middle ones are left out


# --- a convolution ------------------------------------------------------------------------


def draw_conv(canvas: Canvas, strip: Strip, y: float, *, narrow: bool = False) -> float:
    """The input row, the windows below it, and what they make; the y that follows."""
    grid = Grid(canvas, strip, narrow=narrow)
    second = "zeros put between them" if strip.b > 1 and strip.i > 1 else ""
    y = grid.title(y + 10, f"input x: {rows(strip.i)}", second, above=4)
    _borders(grid, y)
    _input_row(grid, y)
    windows = y + SIDE + 10
    end = _windows(grid, windows)
    if strip.remainder:
        _never_read(grid, y + SIDE, end)
        end += 20
    return end


def _input_row(grid: Grid, y: float) -> None:
    strip = grid.strip
    end = max(strip.padded, strip.p0 + strip.dilated)
    if not len(grid.slots):
        grid.canvas.text(grid.left, y + 16, "(no rows)", fill=FAINT, cls="jc-note")
    for _, u in grid.slots:
        if isinstance(u, Gap):
            grid.gap(u, y, u.hides(strip.low, end))
            continue
        if not strip.low <= u < end:
            continue
        cell = strip.cell(u)
        unread = strip.remainder > 0 and not cell.cut and u >= strip.reached
        passed = _passed(strip, u)
        kind = f"jc-{cell.kind}" + " jc-cut" * cell.cut + " jc-unread" * unread
        kind += " jc-passed" * passed
        colour = X if cell.kind == "x" else ZERO if cell.row is None else COPY
        colour = CUT if cell.cut else UNREAD if unread else PASSED if passed else colour
        label = "0" if cell.row is None else index(cell.row)
        what = {"x": f"x[{cell.row}]", "hole": "zero between rows of x"}.get(cell.kind) or (
            "padding: zero" if cell.row is None else f"padding: copy of x[{cell.row}]"
        )
        what += ", cropped" * cell.cut + ", never read" * (unread or passed)
        border = cell.kind != "x"
        grid.cell(u, y, colour, label, kind, what, struck=cell.cut, dashed=border)


def _passed(strip: Strip, u: int) -> bool:
    """Whether the windows pass over a position: between two of them, or in all their holes."""
    end = strip.padded - strip.remainder if strip.o else 0
    return 0 <= u < end and not strip.reads(u)


def _borders(grid: Grid, y: float) -> None:
    """What the positions at both ends are: padding, or cropped."""
    strip = grid.strip
    sides = {
        "low": (strip.low, min(strip.p0, strip.padded) if strip.p0 > 0 else 0, strip.p0),
        "high": (
            max(min(strip.padded, strip.p0 + strip.dilated), 0),
            max(strip.padded, strip.p0 + strip.dilated),
            strip.p1,
        ),
    }
    for side, (first, end, pad) in sides.items():
        if first < end and pad:
            mode = strip.modes[side == "high"]
            copies = "" if mode == "zeros" or grid.narrow else f" ({mode}: copies)"
            text = f"padding {pad}{copies}" if pad > 0 else f"cropped {-pad}"
            grid.bracket(first, end - 1, y - 6, text, side=side)


def _windows(grid: Grid, y: float) -> float:
    canvas, strip = grid.canvas, grid.strip
    right = grid.right + (26 if grid.narrow else 44)
    canvas.text(right, y - 24, "output y:", cls="jc-name")
    canvas.text(right, y - 9, rows(strip.o), cls="jc-name")
    if not strip.o:
        why = f"no window fits: the filter covers {rows(strip.window)}, the input {strip.padded}"
        canvas.text(grid.left, y + 22, why, fill=UNREAD[1], cls="jc-note")
        return y + 30
    y += 6
    head, tail = choose_windows(strip, grid.slots, WINDOWS)
    for place, o in enumerate((*head, *tail)):
        if tail and place == len(head):
            hidden = strip.o - len(head) - len(tail)
            if grid.narrow:
                canvas.text(EDGE, y + 12, f"{hidden} more windows", cls="jc-name")
            grid.name(y - 4, f"{hidden} more windows")
            style = {"anchor": "middle", "size": 14, "fill": FAINT}
            canvas.text(right + 20, y + 12, "···", cls="jc-more", data_hidden=hidden, **style)
            y += PITCH - 3
        with canvas.group("jc-window", data_o=o):
            end = _taps(grid, o, y)
            canvas.arrow(max(end, grid.left) + 4, right - 5, y + SIDE / 2, stroke_dasharray="1 3")
            box(canvas, right, y, 40, Y, index(o), "jc-y", title=f"y[{o}]")
        if o == 0:
            passed = any(isinstance(u, int) and _passed(strip, u) for _, u in grid.slots)
            second = "pale rows are never read" if passed else ""
            grid.name(y, f"a window: {rows(strip.k, 'tap')}", second)
        if o == 1:
            grid.name(y, f"next window: stride {strip.s}")
            if strip.taps(1)[:1]:
                stroke = {"stroke": INK, "cls": "jc-stride"}
                canvas.arrow(grid.x(0) + 2, grid.x(strip.s) - 1, y + SIDE / 2, both=True, **stroke)
        y += PITCH
    return y


def _taps(grid: Grid, o: int, y: float, label: str = "") -> float:
    """One window; where it ends."""
    strip, taps = grid.strip, grid.strip.taps(o)
    if not taps:
        return grid.x(strip.s * o)
    end = grid.x(taps[-1]) + grid.width
    across = {"stroke": TAP[1], "stroke_width": 2, "cls": "jc-across"}
    grid.canvas.line(
        grid.middle(taps[0]), y + SIDE / 2, grid.middle(taps[-1]), y + SIDE / 2, **across
    )
    for slot, entry in grid.slots:
        if isinstance(entry, Gap):
            hidden = len(range(*_within(taps, entry)))
            if hidden:
                x = grid.left + slot * grid.width
                grid.canvas.rect(x + 4, y, grid.width - 8, SIDE, fill=PAPER)
                grid.gap(entry, y, hidden, cls="jc-taps-gap")
        elif entry in taps:
            k = (entry - taps[0]) // strip.d
            grid.cell(entry, y, TAP, index(k), "jc-tap", f"w[{k}]{label}")
    return end


def _within(taps: range, gap: Gap) -> tuple[int, int, int]:
    """The taps that lie in a gap, as the arguments of a range."""
    start = max(taps.start, gap.first)
    start += (taps.start - start) % taps.step
    return start, min(taps.stop, gap.last + 1), taps.step


def _never_read(grid: Grid, top: float, bottom: float) -> None:
    """The columns of the rows behind the last window, down to their label."""
    strip = grid.strip
    left = grid.x(strip.reached)
    right = grid.x(strip.padded - 1) + grid.width
    frame = {"fill": UNREAD[0], "fill_opacity": 0.35, "cls": "jc-remainder"}
    grid.canvas.rect(left, top, right - left, bottom - top, **frame)
    text = f"never read: {rows(strip.remainder)}"
    grid.canvas.text(left, bottom + 14, text, fill=UNREAD[1], cls="jc-label jc-never-read")


# --- a transposed convolution -------------------------------------------------------------


def draw_transposed(canvas: Canvas, strip: Strip, y: float, *, narrow: bool = False) -> float:
    """The rows of x, what each adds, their sum, and its crop to y; the y that follows."""
    grid = Grid(canvas, strip, narrow=narrow)
    holes = f"stride {strip.s}: zeros between" if strip.s > 1 and strip.o > 1 else ""
    y = grid.title(y, f"input x: {rows(strip.o)}", holes)
    _spread_row(grid, y)
    y += SIDE + 12
    y = _footprints(grid, y) + 6
    what = f"their sum: {rows(strip.reached)}" if strip.k else "their sum"
    y = grid.title(y, what, "number of terms")
    _sum_row(grid, y)
    y += SIDE + 24
    _crops(grid, y - 18)
    y = grid.title(y, f"output y: {rows(strip.i)}", above=-12)
    _output_row(grid, y)
    y += SIDE
    extra = min(strip.output_padding, strip.i)
    if extra > 0:
        last = strip.p0 + strip.i
        text = f"output_padding {strip.output_padding}"
        grid.bracket(last - extra, last - 1, y + 8, text, side="high", fill=EXTRA[1], up=1)
        y += 22
    return y + 8


def _spread_row(grid: Grid, y: float) -> None:
    strip = grid.strip
    end = strip.s * (strip.o - 1) if strip.o else -1
    if not strip.o:
        grid.canvas.text(grid.left, y + 16, "(no rows)", fill=FAINT, cls="jc-note")
    for _, u in grid.slots:
        if isinstance(u, Gap):
            grid.gap(u, y, u.hides(0, end + 1))
        elif 0 <= u <= end:
            row, rest = divmod(u, strip.s)
            if rest:
                grid.cell(u, y, ZERO, "0", "jc-hole", "zero between rows of x", dashed=True)
            else:
                grid.cell(u, y, X, index(row), "jc-x", f"x[{row}]")


def _footprints(grid: Grid, y: float) -> float:
    """What each row of x adds: a filter at its stride."""
    canvas, strip = grid.canvas, grid.strip
    if not strip.o or not strip.k:
        canvas.text(
            grid.left, y + 16, "nothing is added: y is zeros", fill=UNREAD[1], cls="jc-note"
        )
        return y + SIDE
    head, tail = choose_windows(strip, grid.slots, WINDOWS)
    for place, o in enumerate((*head, *tail)):
        if tail and place == len(head):
            hidden = strip.o - len(head) - len(tail)
            more = {"cls": "jc-name jc-more", "data_hidden": hidden}
            more |= {} if grid.narrow else {"anchor": "end"}
            x = EDGE if grid.narrow else grid.left - 10
            canvas.text(x, y + 12, f"··· {hidden} more rows", **more)
            y += PITCH - 6
        with canvas.group("jc-window", data_o=o):
            end = _taps(grid, o, y, f" times x[{o}]")
            if grid.narrow:
                canvas.text(end + 6, y + 16, f"× x[{index(o)}]", cls="jc-name")
        grid.name(y, f"x[{index(o)}] times the filter")
        y += PITCH
    return y


def _sum_row(grid: Grid, y: float) -> None:
    """The sum of the footprints: how many terms meet at each position, and what is cropped."""
    strip = grid.strip
    inside = range(strip.p0, strip.p0 + strip.i)
    first, end = min(0, strip.p0), max(strip.reached, strip.p0 + strip.i)
    if first >= end:
        grid.canvas.text(grid.left, y + 16, "(no rows)", fill=FAINT, cls="jc-note")
    for _, u in grid.slots:
        if isinstance(u, Gap):
            grid.gap(u, y, u.hides(first, end))
        elif first <= u < end:
            terms = strip.reads(u)
            outside = u not in inside
            cut = outside and strip.source(u - strip.p0) is None
            kind = "jc-sum" + " jc-cut" * cut + " jc-folded" * (outside and not cut)
            colour = CUT if cut else TAP if terms > 1 else ("#fdf0d3", TAP[1]) if terms else ZERO
            what = rows(terms, "term") + ", cropped" * cut
            grid.cell(u, y, colour, str(terms), kind, what, struck=cut, dashed=not terms)


def _crops(grid: Grid, y: float) -> None:
    """What the positions are that are not rows of y, or that no filter reaches."""
    strip = grid.strip
    end = strip.p0 + strip.i
    low, high = ("cropped" if mode == "zeros" else "added back" for mode in strip.modes)
    if strip.p0 > 0 and strip.reached:
        last = min(strip.p0, strip.reached) - 1
        grid.bracket(0, last, y, f"{low} {last + 1}", side="low", up=1)
    if end < strip.reached:
        first = max(end, strip.p0, 0)
        if first < strip.reached:
            text = f"{high} {strip.reached - first}"
            grid.bracket(first, strip.reached - 1, y, text, side="high", up=1)
    if strip.p0 < 0 < strip.i and strip.reached:
        last = min(end, 0) - 1
        text = f"not reached, zeros: {last + 1 - strip.p0}"
        grid.bracket(strip.p0, last, y, text, side="low", up=1, fill=UNREAD[1])
    if strip.reached and end > strip.reached:
        first = max(strip.reached, strip.p0)
        text = f"not reached, zeros: {end - first}"
        grid.bracket(first, end - 1, y, text, side="high", up=1, fill=UNREAD[1])


def _output_row(grid: Grid, y: float) -> None:
    strip = grid.strip
    first, end = strip.p0, strip.p0 + strip.i
    extra = end - strip.output_padding
    if not strip.i:
        grid.canvas.text(grid.left, y + 16, "(no rows)", fill=FAINT, cls="jc-note")
    for _, u in grid.slots:
        if isinstance(u, Gap):
            grid.gap(u, y, u.hides(first, end))
        elif first <= u < end:
            kind = "jc-y" + " jc-extra" * (u >= extra)
            row = u - first
            grid.cell(u, y, EXTRA if u >= extra else Y, index(row), kind, f"y[{row}]")
        elif 0 <= u < strip.reached and (row := strip.source(u - first)) is not None:
            what = f"added to y[{row}]"
            grid.cell(u, y, COPY, f"+{index(row)}", "jc-back", what, dashed=True)
