"""Few sizes for many examples: what to compile for, so that little of the work is padding.

A bucket is a size that the network is compiled for. An example is padded to a bucket at least as
large on every axis, and costs what the network costs at the bucket's size.

With one axis, the sorted sizes are cut into runs, each run is padded to its largest size, and the
best cuts are found by dynamic programming. With several axes, a bucket's size on each axis is the
largest of its examples. For up to MOST_EXACT different sizes the best partition is found by
dynamic programming over all subsets. For more, the sizes are sorted in several ways, each order is
cut into runs, and one bucket at a time is exchanged for another until no exchange saves work.
Where there are too many sizes to plan the network at each, its work is interpolated.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from jconv._chain.parts import wrong
from jconv._check import settings
from jconv._core.errors import ConvError

# Different sizes for which all partitions are compared: 3**9 pairs of subsets take about 0.1 s.
MOST_EXACT = 9
# Sizes at which the network is planned, at about 10 ms each; between them it is interpolated.
MOST_PLANNED = 128
# Sizes on one axis that may end a run; of more, evenly spaced ones and the largest are tried.
MOST_CANDIDATES = 512
# Sizes of several axes that may become a bucket: memory and time grow with their number.
MOST_CORNERS = 600

Size = tuple[int, ...]
Work = Callable[[Size], float]


class Buckets(NamedTuple):
    """What to compile a network for.

    Attributes:
        largest: the spatial sizes of each bucket, the cheapest first.
        padding: the share of all operations that is spent on padding, from 0 to 1.
    """

    largest: tuple[Size, ...]
    padding: float

    def place(self, size: Any) -> int:
        """The index of the bucket for an example of this size: the cheapest that holds it.

        Examples:
            >>> import jconv
            >>> chain = jconv.plan_chain((1, "t", 1), [("conv", {"features": 8, "kernel": 3})])
            >>> chain.buckets([90, 100, 390, 400], most=2).place(95)
            0
        """
        rows = (size,) if settings.as_int(size) is not None else tuple(size)
        for at, largest in enumerate(self.largest):
            if len(rows) == len(largest) and all(
                i <= m for i, m in zip(rows, largest, strict=True)
            ):
                return at
        raise ConvError(
            "Buckets.place: no bucket holds this size.",
            argument="size",
            got=size,
            expected=f"at most one of {self.largest} on every axis",
        )


def choose_buckets(sizes: Any, most: Any, rank: int, work: Work) -> Buckets:
    """At most `most` buckets, for which all examples together take the least work."""
    known, counts = _read(sizes, rank)
    number = settings.as_int(most)
    if number is None or number < 1:
        why = "ChainPlan.buckets: `most` must be a whole number of 1 or more"
        raise wrong("most", most, "1 or more", why)
    if len(known) > (MOST_PLANNED if rank == 1 else MOST_EXACT):
        work = _interpolated(work, known)
    costs: dict[Size, float] = {}

    def cost(size: Iterable[int]) -> float:
        at = tuple(int(rows) for rows in size)
        if at not in costs:
            costs[at] = work(at)
        return costs[at]

    if rank == 1:
        found = _runs(_thinned(known), known, counts, number, cost)
    elif len(known) <= MOST_EXACT:
        found = _partition(known, counts, number, cost)
    else:
        found = _exchanged(known, counts, number, cost)
    chosen = np.array(sorted(found, key=lambda size: (cost(size), size)))
    best = _cheapest(chosen, known, np.array([float(cost(size)) for size in chosen]))
    used = sorted(set(best.argmin(axis=0).tolist()))
    spent = float(best.min(axis=0) @ counts)
    own = float(sum(cost(size) * count for size, count in zip(known, counts, strict=True)))
    largest = tuple(tuple(int(rows) for rows in chosen[at]) for at in used)
    return Buckets(largest, 1 - own / spent if spent else 0.0)


def _read(sizes: Any, rank: int) -> tuple[Any, Any]:
    """The different sizes in order, (n, axes), and how many examples have each."""
    given = np.asarray(sizes)
    if given.ndim == 1 and rank == 1:
        given = given[:, None]
    if given.dtype.kind not in "iu" or given.ndim != 2 or given.shape[1] != rank or not len(given):
        why = "ChainPlan.buckets: `sizes` must hold the rows of every example on each spatial axis"
        raise wrong("sizes", tuple(given.shape), f"whole numbers of shape (examples, {rank})", why)
    if given.min() < 1:
        why = "ChainPlan.buckets: every example needs a row on each axis"
        raise wrong("sizes", int(given.min()), "sizes of 1 or more", why)
    return np.unique(given, axis=0, return_counts=True)


def _interpolated(work: Work, known: Any) -> Work:
    """`work`, computed on a grid of sizes and interpolated linearly between them.

    A network's work is linear along each axis, except that strides round its sizes.
    """
    rank = known.shape[1]
    points = max(int(MOST_PLANNED ** (1 / rank)), 2)
    axes = [_thinned(np.unique(known[:, a]), points) for a in range(rank)]
    corners = itertools.product(*axes)
    grid = np.array([float(work(tuple(map(int, at)))) for at in corners])
    grid = grid.reshape([len(axis) for axis in axes])

    def between(size: Size) -> float:
        values = grid
        for rows, axis in zip(size, axes, strict=True):
            low = min(max(int(np.searchsorted(axis, rows)) - 1, 0), max(len(axis) - 2, 0))
            high = min(low + 1, len(axis) - 1)
            share = (rows - axis[low]) / (axis[high] - axis[low]) if high > low else 0.0
            values = values[low] * (1 - share) + values[high] * share
        return float(values)

    return between


def _thinned(known: Any, most: int = MOST_CANDIDATES) -> Any:
    """At most `most` of the sizes, evenly spaced, with the largest among them."""
    return known[_spread(len(known), most)]


def _spread(count: int, most: int) -> Any:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _runs(ends: Any, known: Any, counts: Any, most: int, cost: Any) -> list[Size]:
    """The best cut of an order into runs, each filled up to its largest size on every axis.

    `ends` are the sizes, in the order of `known`, at which a run may end.
    """
    places = [int(np.flatnonzero((known == end).all(axis=1))[0]) for end in ends]
    before = np.concatenate([[0], np.cumsum(counts)])[[0, *(place + 1 for place in places)]]
    n = len(places)
    starts = [0, *(place + 1 for place in places)]
    best = np.full((most + 1, n + 1), np.inf)
    came = np.zeros((most + 1, n + 1), int)
    best[:, 0] = 0
    for j in range(1, n + 1):
        # hull[i]: the largest size on each axis in the run that starts after end i and ends at j.
        hull = np.maximum.accumulate(known[: places[j - 1] + 1][::-1])[::-1][starts[:j]]
        each = np.array([float(cost(size)) for size in hull]) * (before[j] - before[:j])
        for b in range(1, most + 1):
            total = best[b - 1, :j] + each
            came[b, j] = total.argmin()
            best[b, j] = total.min()
    found, j = [], n
    for b in range(int(best[:, n].argmin()), 0, -1):
        if j == 0:
            break
        i = came[b, j]
        found.append(tuple(known[starts[i] : places[j - 1] + 1].max(axis=0).tolist()))
        j = i
    return found


def _partition(known: Any, counts: Any, most: int, cost: Any) -> list[Size]:
    """The best partition of a few sizes, over all subsets of them as bit masks."""
    n = len(known)
    full = (1 << n) - 1
    members = [[at for at in range(n) if subset >> at & 1] for subset in range(full + 1)]
    hulls = [tuple(known[m].max(axis=0).tolist()) if m else () for m in members]
    each = [cost(h) * int(counts[m].sum()) if m else 0 for h, m in zip(hulls, members, strict=True)]
    best: list[tuple[float, tuple[int, ...]]] = [
        (each[subset], (subset,)) for subset in range(full + 1)
    ]
    one = list(best)
    for _ in range(most - 1):
        step = list(best)
        for subset in range(1, full + 1):
            # Only the part with the lowest member, so that no partition is tried twice.
            lowest, part = subset & -subset, subset
            while part:
                if part & lowest:
                    rest, chosen = best[subset ^ part]
                    total = one[part][0] + (rest if subset != part else 0)
                    if total < step[subset][0]:
                        step[subset] = total, (part, *(chosen if subset != part else ()))
                part = (part - 1) & subset
        best = step
    return [hulls[part] for part in best[full][1]]


def _exchanged(known: Any, counts: Any, most: int, cost: Any) -> list[Size]:
    """Buckets of several axes for many sizes: runs of sorted sizes, improved by exchanges."""
    rank = known.shape[1]
    each = max(int(MOST_CORNERS ** (1 / rank)), 2)
    axes = [_thinned(np.unique(known[:, a])[:, None], each)[:, 0].tolist() for a in range(rank)]
    corners = np.array(list(itertools.product(*axes)))
    orders = [np.argsort(known[:, a], kind="stable") for a in range(rank)]
    orders.append(np.argsort(known.prod(axis=1), kind="stable"))
    orders.append(np.argsort(known[:, 0] / known[:, -1], kind="stable"))
    starts = []
    for order in orders:
        starts.append(_runs(_thinned(known[order], 64), known[order], counts[order], most, cost))
    corners = np.unique(np.concatenate([corners, *map(np.array, starts)]), axis=0)
    table = _cheapest(corners, known, np.array([float(cost(size)) for size in corners]))
    place = {tuple(size): at for at, size in enumerate(corners.tolist())}
    results = [_improved([place[size] for size in start], table, counts, most) for start in starts]
    chosen = min(results, key=lambda found: float(table[found].min(axis=0) @ counts))
    return [tuple(corners[at].tolist()) for at in chosen]


def _improved(chosen: list[int], table: Any, counts: Any, most: int) -> list[int]:
    """The buckets after adding or exchanging one at a time while that saves work."""
    finite = np.where(np.isinf(table), 1e300, table)
    best = float(finite[chosen].min(axis=0) @ counts)
    while True:
        kept = [chosen] if len(chosen) < most else []
        kept += [[c for c in chosen if c != out] for out in chosen]
        tries = []
        for rest in kept:
            floor = finite[rest].min(axis=0) if rest else np.full(len(counts), 1e300)
            totals = np.minimum(finite, floor) @ counts
            tries.append((float(totals.min()), [*rest, int(totals.argmin())]))
        total, better = min(tries)
        if total >= best * (1 - 1e-12):
            return chosen
        best, chosen = total, better


def _cheapest(buckets: Any, known: Any, costs: Any) -> Any:
    """What each size costs in each bucket, infinite where it does not fit: (buckets, sizes)."""
    fits = (buckets[:, None, :] >= known[None, :, :]).all(axis=-1)
    return np.where(fits, costs[:, None], np.inf)
