"""Draws the pictures of the pages on algorithms; direct's is the picture of a plan.

    python docs/pictures/draw_algorithms.py

Colours are those of a plan's pictures: x is blue, a filter's tap orange, y green. Where a picture
has two groups, residues or images, the second one has the colours of `SECOND`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import jconv
from jconv._plan.picture.grid import CUT, EDGE, EXTRA, LABEL, SIDE, TAP, ZERO, X, Y, box
from jconv._support.svg import FAINT, SMALLEST, Canvas

FOLDER = Path(__file__).parent
LEFT = 150  # px; where cells begin, with their name to the left
SECOND = {X: ("#eef5fb", "#0072b2"), Y: ("#e9f8f3", "#00795a"), TAP: ("#fdf0d3", "#9a6700")}

Colour = tuple[str, str]


def cells(
    canvas: Canvas,
    x: float,
    y: float,
    labels: Sequence[object],
    colour: Colour | Sequence[Colour],
    *,
    down: bool = False,
    apart: int = 1,
) -> None:
    """A line of cells to the right, or down; `apart` cells from one to the next."""
    for at, label in enumerate(labels):
        of_cell = colour if isinstance(colour[0], str) else colour[at]
        across, below = (0, at * SIDE) if down else (at * SIDE * apart, 0)
        box(canvas, x + across, y + below, SIDE, of_cell, str(label), "jc-x")  # pyright: ignore[reportArgumentType]


def name(canvas: Canvas, y: float, text: str, second: str = "", x: float = LEFT) -> None:
    """What a line of cells is, to its left."""
    canvas.text(x - 10, y + (11 if second else 16), text, anchor="end", size=LABEL)
    if second:
        canvas.text(x - 10, y + 24, second, anchor="end", size=SMALLEST, fill=FAINT)


def sign(canvas: Canvas, x: float, y: float, text: str, size: float = 15) -> None:
    canvas.text(x, y + 17, text, anchor="middle", size=size)


def note(canvas: Canvas, y: float, *lines: str) -> None:
    """Lines of text under a picture."""
    for at, line in enumerate(lines):
        canvas.text(EDGE, y + 12 + 18 * at, line, size=LABEL, fill=FAINT)


def gemm(canvas: Canvas) -> str:
    """The windows as the lines of a matrix."""
    cells(canvas, LEFT, 20, range(6), X)
    name(canvas, 20, "x: 6 rows")
    name(canvas, 75, "4 windows,", "a line for each")
    for o in range(4):
        cells(canvas, LEFT, 75 + o * SIDE, range(o, o + 3), X)
    sign(canvas, LEFT + 92, 111, "×")
    cells(canvas, LEFT + 112, 87, ["w0", "w1", "w2"], TAP, down=True)
    sign(canvas, LEFT + 158, 111, "=")
    cells(canvas, LEFT + 180, 75, range(4), Y, down=True)
    canvas.text(LEFT + 214, 128, "y: 4 rows", size=LABEL)
    note(
        canvas,
        190,
        "With channels, a cell of x is all channels of a row, and w and y",
        "have a column for each output channel.",
    )
    return "Six rows of x; their four windows as the lines of a matrix, times w, give y"


def taps(canvas: Canvas) -> str:
    """A slice of x for each tap, times the tap, and the sum of these."""
    cells(canvas, LEFT, 20, range(6), X)
    name(canvas, 20, "x: 6 rows")
    for k in range(3):
        y = 66 + 32 * k
        name(canvas, y, f"slice for tap {k}")
        cells(canvas, LEFT, y, range(k, k + 4), X)
        sign(canvas, LEFT + 4 * SIDE + 20, y, "×")
        cells(canvas, LEFT + 4 * SIDE + 40, y, [f"w{k}"], TAP)
        sign(canvas, LEFT + 4 * SIDE + 86, y, "+" if k < 2 else "")
    canvas.line(LEFT, 166, LEFT + 4 * SIDE + 64, 166)
    cells(canvas, LEFT, 174, range(4), Y)
    name(canvas, 174, "y: their sum")
    note(canvas, 212, "One channel of many, each with taps of its own. One loop makes the sum.")
    return "Three slices of x, each shifted by a row, times one tap each, add up to y"


def grouped(canvas: Canvas) -> str:
    """Four filters of two channels as two blocks of four."""
    name(canvas, 40, "4 groups of", "2 channels in, 2 out")
    x = LEFT
    for group in range(4):
        colour = TAP if group % 2 == 0 else SECOND[TAP]
        for line in range(2):
            cells(canvas, x, 30 + line * SIDE, [f"w{group}"] * 2, colour)
        x += 3 * SIDE
    name(canvas, 130, "2 blocks of", "4 channels in, 4 out")
    for block in range(2):
        for line in range(4):
            within = line // 2
            group, colour = 2 * block + within, (TAP, SECOND[TAP])[within]
            labels = ["0"] * 2 * within + [f"w{group}"] * 2 + ["0"] * 2 * (1 - within)
            colours = [colour if label != "0" else ZERO for label in labels]
            cells(canvas, LEFT + block * 6 * SIDE, 106 + line * SIDE, labels, colours)
    note(
        canvas,
        216,
        "The channels of one tap: lines are channels in, columns are channels out.",
        "Each block is then a convolution of one group.",
    )
    return "The filters of four groups, set among zeros as two blocks of two groups each"


def phase(canvas: Canvas) -> str:
    """The input backprop at stride 2 by the even and the odd rows of x."""
    name(canvas, 20, "g: 3 rows")
    cells(canvas, LEFT, 20, range(3), Y)
    for residue, (of_taps, made) in enumerate(((["w0", "w2"], 4), (["w1"], 3))):
        y = 66 + 36 * residue
        which = ("even", "odd")[residue]
        name(canvas, y, f"{which} taps")
        tap, x_colour = (TAP, X) if residue == 0 else (SECOND[TAP], SECOND[X])
        cells(canvas, LEFT, y, of_taps, tap)
        canvas.text(LEFT + 62, y + 16, f"with g, stride 1: the {which} rows", size=LABEL)
        cells(canvas, LEFT + 300, y, range(residue, 2 * made, 2), x_colour)
    name(canvas, 148, "gradient of x:", "interleaved")
    cells(canvas, LEFT, 148, range(7), [X if row % 2 == 0 else SECOND[X] for row in range(7)])
    note(
        canvas,
        188,
        "Stride 2, three taps. Row 2 gets g1*w0 + g0*w2, and row 3 gets g1*w1:",
        "no zero is multiplied.",
    )
    return "Even taps make the even rows of x's gradient, odd taps the odd rows, interleaved"


def space_to_batch(canvas: Canvas) -> str:
    """A filter of dilation 2 on the even and the odd rows of x."""

    def colours(count: int, colour: Colour) -> list[Colour]:
        return [colour if row % 2 == 0 else SECOND[colour] for row in range(count)]

    name(canvas, 20, "x: 9 rows")
    cells(canvas, LEFT, 20, range(9), colours(9, X))
    name(canvas, 66, "even rows")
    cells(canvas, LEFT, 66, range(0, 9, 2), X)
    name(canvas, 100, "odd rows")
    cells(canvas, LEFT, 100, range(1, 9, 2), SECOND[X])
    sign(canvas, LEFT + 5 * SIDE + 20, 83, "×")
    cells(canvas, LEFT + 5 * SIDE + 40, 83, ["w0", "w1", "w2"], TAP)
    sign(canvas, LEFT + 8 * SIDE + 60, 83, "=")
    cells(canvas, LEFT + 8 * SIDE + 84, 66, range(0, 5, 2), Y)
    cells(canvas, LEFT + 8 * SIDE + 84, 100, range(1, 5, 2), SECOND[Y])
    name(canvas, 146, "y: interleaved")
    cells(canvas, LEFT, 146, range(5), colours(5, Y))
    note(canvas, 184, "Dilation 2: row 0 of y reads rows 0, 2 and 4; row 1 reads rows 1, 3 and 5.")
    return "The even and the odd rows of x as two images of a batch, convolved without dilation"


def wide(canvas: Canvas) -> str:
    """Three images side by side, and the windows across two of them."""
    name(canvas, 44, "3 images of", "3x4 pixels")
    for image in range(3):
        colour = X if image % 2 == 0 else SECOND[X]
        for line in range(3):
            cells(canvas, LEFT + image * 5 * SIDE, 20 + line * SIDE, [image] * 4, colour)
            cells(canvas, LEFT + image * 4 * SIDE, 116 + line * SIDE, [image] * 4, colour)
    name(canvas, 140, "one wide image")
    name(canvas, 208, "its result")
    kept = [(Y, SECOND[Y])[image % 2] for image in range(3)]
    for image in range(3):
        x = LEFT + image * 4 * SIDE
        cells(canvas, x, 208, [image] * 2, kept[image])
        if image < 2:
            cells(canvas, x + 2 * SIDE, 208, ["×", "×"], CUT)
    note(
        canvas,
        246,
        "A filter of 3x3 without padding: two windows of each image are kept,",
        "and the two (×) that reach into the next image are dropped.",
    )
    return "Three images side by side as one; results of windows across two images are dropped"


def winograd(canvas: Canvas) -> str:
    """Two outputs under three taps by four products."""
    middle = LEFT + 190
    for y, text, labels, colour in (
        (20, "tile of x: 4 rows", range(4), X),
        (76, "filter: 3 taps", ["w0", "w1", "w2"], TAP),
    ):
        name(canvas, y, text)
        cells(canvas, LEFT, y, labels, colour)
        canvas.arrow(LEFT + 4 * SIDE + 8, middle - 8, y + 12)
        canvas.text(LEFT + 4 * SIDE + 46, y + 6, "transform", anchor="middle", size=SMALLEST)
        cells(canvas, middle, y, ["·"] * 4, EXTRA)
    for at in range(4):
        sign(canvas, middle + (at + 0.5) * SIDE, 48, "×")
        sign(canvas, middle + (at + 0.5) * SIDE, 104, "=")
    name(canvas, 132, "4 products", x=middle)
    cells(canvas, middle, 132, ["·"] * 4, EXTRA)
    canvas.arrow(middle + 4 * SIDE + 8, middle + 4 * SIDE + 100, 144)
    canvas.text(middle + 4 * SIDE + 52, 138, "transform", anchor="middle", size=SMALLEST)
    cells(canvas, middle + 4 * SIDE + 108, 132, range(2), Y)
    canvas.text(middle + 6 * SIDE + 116, 148, "y: 2 rows", size=LABEL)
    note(
        canvas,
        174,
        "The definition takes 6 products for these two rows of y. On two axes these are 16",
        "products in place of 36. With channels, each is a product of matrices.",
    )
    return "A tile of four rows and a filter of three taps, both transformed to four points"


def fft(canvas: Canvas) -> str:
    """Both operands padded, transformed, multiplied and transformed back."""
    middle = LEFT + 8 * SIDE + 100
    padded = [*range(6)], ["w2", "w1", "w0"]
    for y, text, labels, colour in (
        (20, "x: 6 rows", padded[0], X),
        (76, "w reversed: 3 taps", padded[1], TAP),
    ):
        zeros = 8 - len(labels)
        name(canvas, y, text, "and zeros")
        cells(canvas, LEFT, y, [*labels, *["0"] * zeros], [colour] * len(labels) + [ZERO] * zeros)
        canvas.arrow(LEFT + 8 * SIDE + 8, middle - 8, y + 12)
        canvas.text(LEFT + 8 * SIDE + 50, y + 6, "FFT", anchor="middle", size=SMALLEST)
        cells(canvas, middle, y, ["·"] * 8, EXTRA)
    for at in range(8):
        sign(canvas, middle + (at + 0.5) * SIDE, 48, "×")
        sign(canvas, middle + (at + 0.5) * SIDE, 104, "=")
    cells(canvas, middle, 132, ["·"] * 8, EXTRA)
    canvas.line(LEFT + 8 * SIDE + 8, 144, middle - 8, 144)
    canvas.path(f"M{LEFT + 8 * SIDE + 8} 144l5 -3v6z", fill=FAINT)
    canvas.text(LEFT + 8 * SIDE + 50, 138, "inverse", anchor="middle", size=SMALLEST)
    name(canvas, 132, "all overlaps,", "4 rows of them y")
    labels = ["×", "×", *range(4), "×", "×"]
    cells(canvas, LEFT, 132, labels, [CUT] * 2 + [Y] * 4 + [CUT] * 2)
    note(
        canvas,
        174,
        "Overlaps in which some tap meets no row of x (×) are dropped here.",
        "With padding, some of them belong to y.",
    )
    return "x and w, padded with zeros, as spectra; their product, transformed back, holds y"


def real(canvas: Canvas) -> str:
    """One channel of complex numbers to another, as two real channels to two."""
    name(canvas, 24, "a + bi", "3 rows of x")
    cells(canvas, LEFT, 20, ["a0", "a1", "a2"], X)
    cells(canvas, LEFT, 20 + SIDE, ["b0", "b1", "b2"], SECOND[X])
    sign(canvas, LEFT + 3 * SIDE + 20, 32, "×")
    x = LEFT + 3 * SIDE + 40
    for column, labels in enumerate((["c", "-d"], ["d", "c"])):
        for line, label in enumerate(labels):
            colour = TAP if label == "c" else SECOND[TAP]
            cells(canvas, x + column * SIDE, 20 + line * SIDE, [label], colour)
    sign(canvas, x + 2 * SIDE + 20, 32, "=")
    x += 2 * SIDE + 40
    cells(canvas, x, 20, range(3), Y)
    cells(canvas, x, 20 + SIDE, range(3), SECOND[Y])
    canvas.text(x + 3 * SIDE + 12, 36, "ac - bd", size=LABEL)
    canvas.text(x + 3 * SIDE + 12, 60, "ad + bc", size=LABEL)
    name(canvas, 90, "one tap", "c + di")
    cells(canvas, LEFT, 86, ["c"], TAP)
    cells(canvas, LEFT, 86 + SIDE, ["d"], SECOND[TAP])
    note(
        canvas,
        144,
        "One channel in and one out, both complex, are two real ones in and two out.",
        "In the filter, lines are channels in and columns are channels out.",
    )
    return "Real and imaginary parts of x as two channels, and four filters between them"


DRAWN: dict[str, Callable[[Canvas], str]] = {
    function.__name__: function
    for function in (gemm, taps, grouped, phase, space_to_batch, wide, winograd, fft, real)
}


def draw(algorithm: str) -> str:
    """The picture of an algorithm's page, as SVG."""
    if algorithm == "direct":
        return jconv.plan((1, 8, 1), (3, 1, 1), stride=2, padding="VALID").to_svg()
    canvas = Canvas()
    description = DRAWN[algorithm](canvas)
    return canvas.svg(f"How {algorithm} computes a leg", description)


def main() -> None:
    for algorithm in ("direct", *DRAWN):
        path = FOLDER / f"algorithm_{algorithm}.svg"
        path.write_text(draw(algorithm), encoding="utf-8")


if __name__ == "__main__":
    main()
