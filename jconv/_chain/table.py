"""Chains as text that fits a hundred columns."""

from __future__ import annotations

import re
from typing import Any

from jconv._chain.names import SizeNames
from jconv._chain.record import ChainRecord, ChainRow
from jconv._core.geometry import is_static
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
