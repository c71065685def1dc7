"""Pictures of plans: what each window reads and makes, as SVG that needs no legend.

A convolution is drawn axis by axis: the input with its border above, below it each window at its
stride, and to the right the row of y that the window makes. A transposed convolution is drawn as
what each row of x adds to the sum, and how the sum is cropped to y. The pictures in the
documentation are made by::

    pathlib.Path("docs/pictures/conv_stride2.svg").write_text(
        jconv.plan((1, 8, 1), (3, 1, 1), stride=2, padding="VALID").to_svg())
    pathlib.Path("docs/pictures/conv_transpose.svg").write_text(
        jconv.plan_transpose((1, 6, 1), (3, 1, 1), stride=2, padding=1, output_padding=1).to_svg())

The pages on algorithms have drawings of their own, by docs/pictures/draw_algorithms.py.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from jconv._check.settings import Modes, read_modes
from jconv._core import symbols
from jconv._core.geometry import Size, is_static, smallest_size
from jconv._core.layout import spatial_names
from jconv._plan.picture.axis import draw_conv, draw_transposed
from jconv._plan.picture.devices import draw_devices
from jconv._plan.picture.grid import rows
from jconv._plan.picture.plane import draw_plane, lay_out
from jconv._plan.picture.strip import Strip
from jconv._plan.record import PlanRecord
from jconv._plan.table import plan_table, shape_text
from jconv._support.svg import INK, PAPER, Canvas

NARROW = 3.0  # a narrow picture's lines hold so much less text than those of 1000 px


def plan_svg(plan: PlanRecord, *, plane: bool = True, narrow: bool = False) -> str:
    """The picture of a plan, at most 1000 px wide; without the `plane` of two axes if told so.

    A narrow picture is about 400 px wide: it draws fewer rows, with their names above them.
    """
    canvas = Canvas()
    less = NARROW if narrow else 1.0
    y = _lines(canvas, 16, 30, _headline(plan), int(108 / less), size=14, font_weight="bold")
    strips, note = example_strips(plan)
    if note:
        y = _lines(canvas, 16, y, note, int(128 / less))
    draw = draw_conv if plan.op == "conv" else draw_transposed
    facts = [_facts(plan, axis) for axis in range(plan.problem.rank)]
    for axis, name in enumerate(spatial_names(plan.problem.rank)):
        with canvas.group("jc-axis", data_axis=name):
            width = int(118 / less)
            y = _lines(canvas, 16, y + 20, facts[axis], width, size=13, font_weight="bold")
            if strips:
                y = draw(canvas, strips[axis], y, narrow=narrow)
    if plane and strips and len(strips) == 2:
        with canvas.group("jc-plane"):
            planes = lay_out(strips[0], strips[1])
            draw_plane(canvas, planes, y + 16, transposed=plan.op != "conv")
    if plan.mesh:
        with canvas.group("jc-devices"):
            draw_devices(canvas, plan, canvas.bottom + 30)
    return canvas.svg(_headline(plan), "; ".join(facts))


def plan_html(plan: PlanRecord) -> str:
    """The picture and the table, for a notebook."""
    pre = f"margin:8px 0;padding:8px;background:{PAPER};color:{INK};overflow-x:auto"
    return (
        f'<div class="jc-plan">\n{plan_svg(plan)}\n'
        f'<pre style="{pre}">{escape(plan_table(plan))}</pre>\n</div>'
    )


# --- words --------------------------------------------------------------------------------


def _headline(plan: PlanRecord) -> str:
    shapes = (plan.x_shape, plan.w_shape, plan.y_shape)
    return "{}: x {} with filter {} gives y {}".format(plan.op, *map(shape_text, shapes))


def _facts(plan: PlanRecord, axis: int) -> str:
    """One line on an axis; symbolic sizes as they were written."""
    numbers = plan.problem.axes[axis]
    slots = ("x", "y") if plan.op == "conv" else ("y", "x")
    before, after = (
        shape[plan.layout.spatial(slot)[axis]]
        for shape, slot in zip((plan.x_shape, plan.y_shape), slots, strict=True)
    )
    facts = [f"filter {rows(numbers.k, 'tap')}", f"stride {numbers.s}"]
    if numbers.d != 1:
        facts.append(f"dilation {numbers.d} (covers {rows(plan.effective_kernel[axis])})")
    if numbers.b != 1:
        facts.append(f"input dilation {numbers.b}")
    padding = plan.keywords.get("padding", "SAME")
    low, high = plan.padding[axis]
    name = f"{padding} " if isinstance(padding, str) else ""
    if not name or is_static(low, high):  # the formula of symbolic pads says less than their name
        name += f"({low}, {high})"
    facts.append(f"padding {name.strip()}")
    modes = _modes(plan)[axis]
    if modes != ("zeros", "zeros"):
        facts.append(f"{' and '.join(dict.fromkeys(modes))} border")
    return f"axis {spatial_names(plan.problem.rank)[axis]}: {rows(before)} → {rows(after)} · " + (
        " · ".join(facts)
    )


def _modes(plan: PlanRecord) -> Modes:
    return read_modes("plan", plan.keywords.get("padding_mode", "zeros"), plan.problem.rank)


def _lines(canvas: Canvas, x: float, y: float, text: str, width: int, **style: Any) -> float:
    """Text in lines of at most `width` letters; where the next line would stand."""
    for line in textwrap.wrap(text, width, break_on_hyphens=False) or [""]:
        canvas.text(x, y, line, **style)
        y += 19
    return y


# --- numbers ------------------------------------------------------------------------------

CONSTRAINT = re.compile(r"(.+?)(>=|<=|==)(.+)")


def example_strips(plan: PlanRecord) -> tuple[list[Strip], str]:
    """The axes in numbers, and where there are symbols, a note of the sizes drawn for them.

    No axes where no small sizes were found that the constraints admit.
    """
    names = sorted(symbols.symbols_in(_spatial_sizes(plan)))
    if not names:
        return _strips(plan, {}), ""
    best: tuple[int, dict[str, int], list[Strip]] | None = None
    for values in _candidates(names, plan.constraints):
        try:
            if not all(_admits(constraint, values) for constraint in plan.constraints):
                continue
            strips = _strips(plan, values)
        except (ValueError, ZeroDivisionError):
            continue
        if any(min(strip.i, strip.k, strip.o) < 0 for strip in strips):
            continue
        # Three windows show a stride, and an input of a window's size its padding; where there
        # are never as many, fewer must do.
        shown = min(min(strip.o, 3) + (strip.i >= strip.window) for strip in strips)
        if best is None or shown > best[0]:
            best = (shown, values, strips)
        if shown == 4:
            break
    if best is None:
        return [], f"Not drawn: no small sizes of {', '.join(names)} satisfy the constraints."
    sizes = ", ".join(f"{name} = {value}" for name, value in best[1].items())
    return best[2], f"Drawn with {sizes} as an example."


def _spatial_sizes(plan: PlanRecord) -> list[Size]:
    inputs = (plan.x_shape[at] for at in plan.layout.spatial("x" if plan.op == "conv" else "y"))
    axes = (size for axis in plan.problem.axes for size in (axis.i, axis.k, axis.o, axis.p0))
    return [*inputs, *axes, *(pad for pair in plan.padding for pad in pair)]


def _candidates(names: list[str], constraints: Iterable[str]) -> Iterator[dict[str, int]]:
    """Sizes to try: all alike, smallest first; then, for few symbols, all small combinations.

    The numbers that constraints speak of are among them.
    """
    limits = {int(text) for constraint in constraints for text in re.findall(r"\d+", constraint)}
    for size in sorted({*range(1, 41), *(2**n for n in range(6, 13)), *(limits - {0})}):
        yield dict.fromkeys(names, size)
    if 1 < len(names) <= 3:
        for sizes in sorted(itertools.product(range(1, 13), repeat=len(names)), key=sum):
            yield dict(zip(names, sizes, strict=True))


def _admits(constraint: str, values: dict[str, int]) -> bool:
    """Whether the sizes satisfy a constraint; one that speaks of other symbols says nothing."""
    parts = CONSTRAINT.fullmatch(constraint)
    if parts is None:
        return True
    try:
        left, right = (symbols.evaluate(parts[n].strip(), values.__getitem__) for n in (1, 3))
    except KeyError:
        return True
    return {">=": left >= right, "<=": left <= right, "==": left == right}[parts[2]]


def _strips(plan: PlanRecord, values: dict[str, int]) -> list[Strip]:
    def known(size: Size) -> int:
        size = size if is_static(size) else symbols.substitute(size, values)
        return int(size)

    forward = plan.op == "conv"
    inputs = plan.x_shape if forward else plan.y_shape
    padding = plan.keywords.get("padding", "SAME")
    strips = []
    for at, axis in enumerate(plan.problem.axes):
        low, high = map(known, plan.padding[at])
        i, k, o = known(inputs[plan.layout.spatial("x")[at]]), known(axis.k), known(axis.o)
        rule = padding if isinstance(padding, str) else (low, high)
        extra = 0 if forward else i - smallest_size(o, k, rule, s=axis.s, d=axis.d)
        strip = Strip(
            name=spatial_names(plan.problem.rank)[at],
            i=i,
            k=k,
            o=o,
            s=axis.s,
            b=axis.b,
            d=axis.d,
            p0=low,
            p1=high,
            modes=_modes(plan)[at],
            transposed=not forward,
            output_padding=extra if 0 < extra < axis.s else 0,
        )
        strips.append(strip)
    return strips
