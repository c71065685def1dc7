"""Which split of one convolution moves least: the batch, spatial axes or both, on many devices.

For each number of devices and each split the bytes that one device sends in a training step are
those of the plan on that mesh. Where one size is a symbol they are formulas, and the least of them
depends on the size: then the sizes are found from which on another split moves less.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jconv._check.settings import as_int
from jconv._core import symbols
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Size, is_static
from jconv._core.layout import spatial_names
from jconv._core.problem import OPERANDS, Slot
from jconv._devices.mesh_plan import legs_devices
from jconv._devices.roles import Spec
from jconv._plan.leg import plain
from jconv._plan.record import PlanRecord
from jconv._plan.table import amount, shape_text, table, wrap

POWERS_OF_TWO = tuple(2**n for n in range(13))  # 1 to 4096 devices
LARGEST = 2**20  # rows; where sizes are symbols, larger ones are not looked at


@dataclasses.dataclass(frozen=True)
class SplitCost:
    """What one device sends in a training step where x is split in one way.

    Attributes:
        mesh: the number of parts of each dimension that is split.
        permuted, reduced, gathered: bytes, summed over the three legs.
    """

    mesh: tuple[tuple[str, int], ...]
    permuted: Size
    reduced: Size
    gathered: Size

    @property
    def moved(self) -> Size:
        return self.permuted + self.reduced + self.gathered

    def to_dict(self) -> dict[str, Any]:
        """The record in types that JSON knows; symbolic sizes as text."""
        names = ("permuted", "reduced", "gathered", "moved")
        return {"mesh": dict(self.mesh), **{name: plain(getattr(self, name)) for name in names}}


@dataclasses.dataclass(frozen=True)
class SplitRow:
    """The splits over one number of devices.

    Attributes:
        devices: how many.
        costs: what each split moves; None where JAX cannot lay x out so, in parts of one size.
        least: (size, split) pairs: from that size on, this split moves least. The size is None
            where all sizes are numbers; there are no pairs where several sizes are symbols.
    """

    devices: int
    costs: tuple[tuple[str, SplitCost | None], ...]
    least: tuple[tuple[int | None, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """The record in types that JSON knows."""
        costs = {name: cost and cost.to_dict() for name, cost in self.costs}
        return {"devices": self.devices, "costs": costs, "least": [list(p) for p in self.least]}


@dataclasses.dataclass(frozen=True)
class Splits:
    """The splits of one convolution over several numbers of devices; print it.

    Attributes:
        x_shape, w_shape: of the convolution.
        symbol: the size that is a symbol, where there is one alone.
        rows: one record for each number of devices.
    """

    x_shape: tuple[Size, ...]
    w_shape: tuple[Size, ...]
    symbol: str | None
    rows: tuple[SplitRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything, in types that JSON knows; symbolic sizes as text."""
        return {
            "x_shape": plain(self.x_shape),
            "w_shape": plain(self.w_shape),
            "symbol": self.symbol,
            "rows": [row.to_dict() for row in self.rows],
        }

    def __str__(self) -> str:
        used = {name for row in self.rows for name, cost in row.costs if cost is not None}
        names = [name for name, _ in self.rows[0].costs if name in used]
        rows = []
        for row in self.rows:
            costs = [dict(row.costs)[name] for name in names]
            told = [_told(cost, row.devices, self.symbol) for cost in costs]
            rows.append([row.devices, *told, self._least(row)])
        header = ["devices", *names, "moves least"]
        shapes = f"x {shape_text(self.x_shape)}  w {shape_text(self.w_shape)}"
        lines = wrap(f"bytes that one device sends in a training step, by how x is split: {shapes}")
        lines += table(header, rows)
        return "\n".join([*lines, *(line for text in self._summary() for line in wrap(text))])

    def _least(self, row: SplitRow) -> str:
        if not row.least:
            return "-"
        first, *later = row.least
        told = [first[1], *(f"{name} from {self.symbol}={size}" for size, name in later)]
        return ", ".join(told)

    def _summary(self) -> list[str]:
        """In words: which split moves least, and from how many devices on."""
        runs = [
            (told, [row.devices for row in group])
            for told, group in itertools.groupby(
                (row for row in self.rows if row.devices > 1),
                key=lambda row: " then ".join(name for _, name in row.least),
            )
        ]
        said = []
        for told, devices in runs:
            where = f"{devices[0]} to {devices[-1]}" if len(devices) > 1 else str(devices[0])
            if told and " then " not in told:
                said.append(f"{where} devices: splitting {told} moves least")
        return said


def _told(cost: SplitCost | None, devices: int, symbol: str | None) -> str:
    """The bytes. Where one size is a symbol: bytes for each unit of that size, plus a constant."""
    if cost is None:
        return "-"
    if symbol is None or is_static(cost.moved):
        return amount(cost.moved, "B")
    step = LARGEST * devices  # divides among the devices, behind strides of powers of two as well
    at = [symbols.substitute(cost.moved, {symbol: n * step}) for n in range(1, 5)]
    slopes = [after - before for before, after in itertools.pairwise(at)]
    if len(set(slopes)) > 1:
        return f"{cost.moved} B"
    fixed = at[0] - slopes[0]
    each, rest = (amount(value, "").replace(" ", "") for value in (slopes[0] / step, fixed))
    return f"{each}*{symbol}" + (f" + {rest}" if fixed else "")


def compare_splits(plan: PlanRecord, devices: Iterable[int] | None) -> Splits:
    """The splits of a plan's convolution over each number of devices."""
    counts = _read_devices(devices)
    slot: Slot = OPERANDS[plan.problem.leg][0]
    free = sorted(symbols.symbols_in((*plan.x_shape, *plan.w_shape)))
    symbol = free[0] if len(free) == 1 else None
    rows = []
    for count in counts:
        costs: dict[str, SplitCost | None] = {}
        for name, parts in _candidates(plan, slot, count).items():
            costs[name] = None if parts is None else _cost(plan, slot, parts)
        rows.append(SplitRow(count, tuple(costs.items()), _least(costs, count, free)))
    return Splits(plan.x_shape, plan.w_shape, symbol, tuple(rows))


def _read_devices(devices: Any) -> tuple[int, ...]:
    if devices is None:
        return POWERS_OF_TWO
    given = tuple(devices) if isinstance(devices, Iterable) else (devices,)
    counts = tuple(as_int(count) for count in given)
    if counts and all(count is not None and count > 0 for count in counts):
        return tuple(count for count in counts if count is not None)
    raise ConvError(
        "plan.splits: `devices` lists numbers of devices, each of 1 or more.",
        argument="devices",
        got=devices,
        expected="a sequence of whole numbers, such as (1, 4, 16)",
        remedies=[Remedy("devices", None, "leave devices out: it is then 1, 2, 4 to 4096")],
    )


def _candidates(plan: PlanRecord, slot: Slot, count: int) -> dict[str, dict[str, int] | None]:
    """For each split the parts of each dimension; None where the devices cannot be used so."""
    problem = plan.problem.replace(borders=plan.borders)
    n, *rows, _ = problem.shape(slot)
    axes = spatial_names(problem.rank)
    images = math.gcd(n, count) if is_static(n) else None
    found: dict[str, dict[str, int] | None] = {
        "batch": {"batch": count} if images in (None, count) else None,
        axes[0]: _over(axes[:1], rows, count),
    }
    if problem.rank > 1:
        found[f"{axes[0]}+{axes[1]}"] = _over(axes[:2], rows, count)
    if images is not None:
        for name in [name for name in found if name != "batch"]:
            rest = _over(name.split("+"), rows, count // images)
            apart = images > 1 and images < count
            found[f"batch+{name}"] = {"batch": images, **rest} if rest and apart else None
    return found


def _over(names: Sequence[str], rows: Sequence[Size], count: int) -> dict[str, int] | None:
    """Devices over spatial axes, as near to equally many for each as divides the sizes."""
    ways = [(count,)]
    if len(names) == 2:
        ways = [(count // n, n) for n in range(2, count) if count % n == 0]
        ways.sort(key=lambda way: (max(way) / min(way), way[1]))
    for way in ways:
        sizes = list(zip(rows, way, strict=False))
        if all(not is_static(size) or size % parts == 0 for size, parts in sizes):
            return dict(zip(names, way, strict=True))
    return None


def _cost(plan: PlanRecord, slot: Slot, parts: Mapping[str, int]) -> SplitCost:
    problem = plan.problem.replace(borders=plan.borders)
    order = ("batch", *spatial_names(problem.rank), "channels")
    spec: Spec = tuple((name,) if name in parts else () for name in order)
    lies: dict[Slot, Spec] = {slot: spec, "w": ((),) * len(spec)}
    records = [record for _, record in legs_devices(problem, lies, parts, plan.platform)]
    sums = (sum(getattr(r, kind) for r in records) for kind in ("permuted", "reduced", "gathered"))
    return SplitCost(tuple(parts.items()), *sums)


def _least(
    costs: Mapping[str, SplitCost | None], count: int, free: Sequence[str]
) -> tuple[tuple[int | None, str], ...]:
    """The split that moves least, from each size on; equal ones are taken in their order."""
    moved = {name: cost.moved for name, cost in costs.items() if cost is not None}
    if not moved or count == 1 or len(free) > 1:
        return ()
    if not free:
        return ((None, min(moved, key=moved.__getitem__)),)

    def best(size: int) -> str:
        values = {n: int(symbols.substitute(m, {free[0]: size})) for n, m in moved.items()}
        return min(values, key=values.__getitem__)

    sizes = [count * times for times in (*range(1, 17), *(2**n for n in range(5, 21)))]
    sizes = [size for size in sizes if size <= max(LARGEST, 16 * count)]
    found: list[tuple[int | None, str]] = [(sizes[0], best(sizes[0]))]
    for below, size in itertools.pairwise(sizes):
        while best(size) != found[-1][1]:
            low, high = below // count, size // count  # the change lies behind low, up to high
            while high - low > 1:
                middle = (low + high) // 2
                changed = best(middle * count) != found[-1][1]
                low, high = (low, middle) if changed else (middle, high)
            found.append((high * count, best(high * count)))
            below = high * count
    return tuple(found)
