"""Chains as text that fits a hundred columns."""

from __future__ import annotations

import re
from typing import Any

from jconv._chain.devices import MOVED
from jconv._chain.names import SizeNames
from jconv._chain.record import ChainRecord, ChainRow
from jconv._core.geometry import is_static, same
from jconv._core.layout import parse_layout
from jconv._plan.table import WIDTH, amount, table, wrap

NAME = 24  # characters; longer names of layers are cut, so that a row fits a hundred columns


def chain_table(chain: ChainRecord) -> str:
    """One row for each layer, the totals, what the names stand for, and the output_paddings."""
    names = chain.size_names
    head = f"chain  x {names.shape(chain.x_shape)}  ->  y {names.shape(chain.y_shape)}"
    details = f"{chain.dtype} on {chain.platform}"
    if chain.layout is not None:
        details += f", {chain.layout}"
    if chain.constraints:
        details += "; " + ", ".join(chain.constraints)
    lines = [*wrap(head), *wrap(details), "", *_rows(chain, names), ""]
    for title, total, unit in (
        ("parameters", chain.parameters, ""),
        ("operations", chain.forward, "FLOP"),
        ("operations of all three legs", chain.operations, "FLOP"),
        ("memory of all results", chain.memory, "B"),
    ):
        lines += wrap(f"{title}: {count(total, names, unit)}")
    if chain.mesh:
        lines += ["", *_on_devices(chain, names)]
    if names.legend:
        # A line may break between two definitions, not inside one.
        known = [f"{n} = {text}".replace(" ", "\0") for n, text in names.legend.items()]
        lines += ["", *(line.replace("\0", " ") for line in wrap(", ".join(known)))]
    if chain.restores:
        lines += ["", *(line for restore in chain.restores for line in wrap(restore.text))]
    return "\n".join(lines)


def count(value: Any, names: SizeNames, unit: str = "") -> str:
    """An amount as text: a number with an SI prefix, or a symbolic amount with the names."""
    if is_static(value):
        return amount(value, unit)
    text = names.show(value)
    product = re.fullmatch(r"(\d+)\*([^ ]+)", text)
    if product:
        number = amount(int(product.group(1)), "").replace(" ", "")
        text = f"{number}*{product.group(2)}"
    return f"{text} {unit}".strip()


def each_axis(values: Any) -> str:
    """One number where all axes agree, 3x5 where they do not."""
    shown = [str(value) for value in values]
    return shown[0] if len(set(shown)) == 1 else "x".join(shown)


def shortened(name: str) -> str:
    return name if len(name) <= NAME else name[: NAME - 3] + "..."


def _rows(chain: ChainRecord, names: SizeNames) -> list[str]:
    titles = ("layer", "kind", "output", "field", "step", "parameters")
    costs = ("operations", "all legs", "memory")
    facts = [_facts(row, names) for row in chain.rows]
    prices = [
        [count(v, names) or "0" for v in (row.forward, row.operations, row.memory)]
        for row in chain.rows
    ]
    whole = [[*fact, *price] for fact, price in zip(facts, prices, strict=True)]
    for left_out in ((), ("step",), ("step", "all legs")):
        header = [*titles, *costs]
        kept = [n for n, title in enumerate(header) if title not in left_out]
        if not all(is_static(row.forward, row.memory) for row in chain.rows) and left_out:
            break
        lines = _aligned([header[n] for n in kept], [[row[n] for n in kept] for row in whole])
        if max(map(len, lines)) <= WIDTH:
            return lines
    first = _aligned(list(titles), facts)
    second = _aligned(
        ["layer", *costs], [[f[0], *p] for f, p in zip(facts, prices, strict=True)], left=1
    )
    return [*_fitted(first), "", *_fitted(second)]


def _on_devices(chain: ChainRecord, names: SizeNames) -> list[str]:
    """What one device holds of each layer, and what it sends in each leg of a training step."""
    axes = ", ".join(f"{name}={size}" for name, size in chain.mesh)
    header = ["layer", "leg", "on one device", "halo", *MOVED]
    rows: list[list[str]] = []
    for (name, layer), row in zip(chain.device_records, chain.rows, strict=True):
        if not layer.leg_records and same(layer.parameters, 0) and same(row.memory, 0):
            continue  # computed with the layer before it
        first = [shortened(name), "", names.shape(layer.shape)]
        for leg, record in layer.leg_records:
            halo = " ".join(f"{names.show(low)}+{names.show(high)}" for low, high in record.halo)
            moved = [count(getattr(record, kind), names, "B") for kind in MOVED]
            rows.append([first[0], leg, first[2], halo, *moved])
            first = ["", "", ""] if is_static(*layer.shape) else [first[0], "", ""]
        if not layer.leg_records or not same(layer.parameters, 0):
            sent = ["0 B", count(layer.parameters, names, "B"), "0 B"]
            leg = "parameters" if not same(layer.parameters, 0) else ""
            rows.append([first[0], leg, first[2], "", *sent])
    total = [count(size, names, "B") for size in chain.step.values()]
    rows.append(["a training step", "", "", "", *total])
    order = parse_layout(chain.layout, len(chain.x_shape) - 2)
    split = ["+".join(each) or "." for each in order.caller("x", chain.x_spec)]
    laid = _aligned(header, rows, left=2)
    if max(map(len, laid)) > WIDTH:  # symbolic sizes can be long: then a line for each leg
        laid = [line for row in rows for line in wrap(_in_a_line(header, row))]
    lines = [*wrap(f"mesh {axes}; x is split ({', '.join(split)})"), *laid]
    whys = dict.fromkeys(
        f"{name}: {leg}: {why}"
        for name, layer in chain.device_records
        for leg, record in layer.leg_records
        for why in record.reasons
    )
    lines += [line for why in whys for line in wrap(why)]
    return [*lines, *wrap(_NOT_COUNTED)]


_NOT_COUNTED = (
    "Not counted: what the compiler sends for other layers, such as pooling over rows of two "
    "devices, batch statistics, and joining parts."
)


def _in_a_line(header: list[str], row: list[str]) -> str:
    facts = [f"{title} {cell}" for title, cell in zip(header[2:], row[2:], strict=True) if cell]
    return f"{' '.join(filter(None, row[:2]))}: {'; '.join(facts)}"


def _aligned(header: list[str], rows: list[list[str]], left: int = 3) -> list[str]:
    return table(header, rows, left=left)


def _fitted(lines: list[str]) -> list[str]:
    return [line for long in lines for line in (wrap(long) if len(long) > WIDTH else [long])]


def _facts(row: ChainRow, names: SizeNames) -> list[str]:
    field = "all" if row.step is None else each_axis(map(names.show, row.receptive_field))
    return [
        shortened(row.name),
        f"{row.kind} {row.detail}".strip(),
        names.shape(row.out_shape),
        field,
        "" if row.step is None else each_axis(row.step),
        count(row.parameters, names) if not is_static(row.parameters) or row.parameters else "",
    ]
