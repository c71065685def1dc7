"""Plans as text that fits a hundred columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from jconv._core.layout import spatial_names
from jconv._plan.record import PlanRecord

WIDTH = 100


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], left: int = 1) -> list[str]:
    """Aligned columns: the first `left` to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[c]) for row in cells) for c in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return [lines[0], "-" * min(max(map(len, lines)), WIDTH), *lines[1:]]


def amount(value: Any, unit: str) -> str:
    """A count with a prefix of a thousand: 12.3 G; symbols as they are."""
    if not isinstance(value, int | float):
        return f"{value} {unit}".strip()
    size = float(value)
    for prefix in ("", "k", "M", "G", "T", "P"):
        if abs(size) < 999.5 or prefix == "P":
            break
        size /= 1000
    digits = f"{size:.0f}" if not prefix or size >= 99.5 else f"{size:.1f}"
    return f"{digits} {prefix}{unit}".strip()


def shape_text(shape: Sequence[Any]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


def pads_text(pads: Sequence[Any]) -> str:
    return f"({pads[0]}, {pads[1]})"


def wrap(text: str, indent: str = "    ") -> list[str]:
    """Lines of at most WIDTH columns; the second and later ones are indented."""
    return textwrap.wrap(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [""]


def rejections(reasons: Sequence[tuple[str, str]]) -> list[str]:
    """Which algorithms do not run and why, in a sentence for each reason.

    Examples:
        >>> rejections([("gemm", "is slow"), ("fft", "only supports CPU"), ("wide", "is slow")])
        ['not gemm, wide: each is slow', 'not fft: only supports CPU']
    """
    names: dict[str, list[str]] = {}
    for name, reason in reasons:
        names.setdefault(reason, []).append(name)
    if len(names) == 1 and len(reasons) > 1:
        return [f"not the others: each {reason}" for reason in names]
    return [
        f"not {', '.join(group)}: {'each ' if len(group) > 1 else ''}{reason}"
        for reason, group in names.items()
    ]


def plan_table(plan: PlanRecord) -> str:
    """A plan: the shapes, one row for each axis, one for each leg, and the reasons."""
    shapes = (
        f"{plan.op}  x {shape_text(plan.x_shape)}  w {shape_text(plan.w_shape)}  ->  "
        f"y {shape_text(plan.y_shape)}"
    )
    details = f"{plan.dtype} on {plan.platform}, {amount(plan.parameters, '')} parameters"
    if plan.settings:
        details += "; " + ", ".join(f"{name}={value!r}" for name, value in plan.settings)
    lines = [*wrap(shapes), *wrap(details), ""]
    lines += _axes(plan)
    lines += [""]
    lines += _legs(plan)
    if plan.mesh:
        lines += ["", *_devices(plan)]
    for name, leg in plan.leg_records:
        lines += [line for text in rejections(leg.rejections) for line in wrap(f"{name}: {text}")]
    runs = "" if plan.problem.runs is None else f", {plan.problem.runs} runs"
    lines += wrap(f"policy {plan.problem.policy!r}{runs}: {plan.promise}")
    for note in plan.notes:
        lines += ["", *wrap(note)]
    return "\n".join(lines)


def _axes(plan: PlanRecord) -> list[str]:
    forward = plan.op == "conv"
    source, target = (plan.x_shape, plan.y_shape)
    here, there = ("x", "y") if forward else ("y", "x")
    header = ["axis", "input", "output", "kernel", "stride", "dilation", "padding"]
    header += ["never read", "receptive field"]
    rows = []
    names = spatial_names(plan.problem.rank)
    for a, axis in enumerate(plan.problem.axes):
        sizes = source[plan.layout.spatial(here)[a]], target[plan.layout.spatial(there)[a]]
        read = pads_text(plan.padding[a]), plan.remainder[a], plan.receptive_field[a]
        rows.append([names[a], *sizes, axis.k, axis.s, axis.d, *read])
    lines = table(header, rows)
    if max(map(len, lines)) <= WIDTH:
        return lines
    # Symbolic sizes can be long. Each fact then has a line.
    return [
        line
        for row in rows
        for title, cell in zip(header[1:], row[1:], strict=True)
        for line in wrap(f"{row[0]}  {title}: {cell}", "     ")
    ]


def _devices(plan: PlanRecord) -> list[str]:
    """What one device of the mesh holds, receives and sends in each leg."""
    axes = ", ".join(f"{name}={size}" for name, size in plan.mesh)
    header = ["on one device", "algorithm", "x", "y", "halo", "permuted", "reduced", "gathered"]
    rows = []
    for name, leg in plan.device_records:
        shapes = dict(leg.shapes)
        halo = " ".join(f"{low}+{high}" for low, high in leg.halo)
        moved = [amount(n, "B") for n in (leg.permuted, leg.reduced, leg.gathered)]
        rows.append(
            [name, leg.algorithm, shape_text(shapes["x"]), shape_text(shapes["y"]), halo, *moved]
        )
    lines = _table_or_facts(header, rows, " on one device: ")
    said = [f"{name} is split: {split_text(leg.split)}" for name, leg in plan.device_records]
    said += [f"{name}: {why}" for name, leg in plan.device_records for why in leg.reasons]
    return [*wrap(f"mesh {axes}"), *lines, *(line for text in said for line in wrap(text))]


def split_text(split: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Which mesh axes split which dimensions: "the batch over data, spatial axis 0 over rows"."""
    parts = [f"{role} over {' and '.join(axes)}" for role, axes in split]
    return ", ".join(parts) or "not at all"


def _legs(plan: PlanRecord) -> list[str]:
    header = ["leg", "algorithm", "operations", "moved", "workspace"]
    rows = []
    for name, leg in plan.leg_records:
        sizes = [amount(leg.bytes, "B"), amount(leg.workspace_bytes, "B")]
        rows.append([name, leg.algorithm, amount(leg.flops, "FLOP"), *sizes])
    if plan.problem.runs is not None:
        header.append("compiles in")
        for row, (_, leg) in zip(rows, plan.leg_records, strict=True):
            row.append("-" if leg.compile_seconds is None else f"{leg.compile_seconds:.2f} s")
    return _table_or_facts(header, rows, ": ")


def _table_or_facts(header: Sequence[str], rows: list[list[str]], joint: str) -> list[str]:
    """A table of legs; where symbols make it too wide, for each leg a line for every fact."""
    lines = table(header, rows, left=2)
    if max(map(len, lines)) <= WIDTH:
        return lines
    lines = []
    for name, algorithm, *cells in rows:
        lines.append(f"{name}{joint}{algorithm}")
        for title, cell in zip(header[2:], cells, strict=True):
            lines += wrap(f"  {title} {cell}", "      ")
    return lines
