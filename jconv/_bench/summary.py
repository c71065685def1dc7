"""The results of a match: times side by side, ratios, and their geometric means."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jconv._bench.contestants import STEP
from jconv._bench.match import Timing
from jconv._plan.table import WIDTH, table, wrap

Key = tuple[str, str, str]  # suite, row, leg


def by_key(timings: Iterable[Timing]) -> dict[Key, dict[str, Timing]]:
    """For each suite, row and leg the timings to compare, by contestant."""
    found: dict[Key, dict[str, Timing]] = {}
    for timing in timings:
        key = (timing.suite, timing.row.name, timing.leg)
        found.setdefault(key, {})[timing.contestant] = timing
    return found


def best_of(entries: dict[str, Timing], family: str) -> Timing | None:
    """The timing of that contestant, or the fastest of those whose names begin with it."""
    fitting = [t for name, t in entries.items() if name.split(" ")[0] == family and t.seconds]
    return min(fitting, key=lambda timing: timing.median, default=None)


def families(timings: Iterable[Timing]) -> list[str]:
    """The contestants in order of appearance, PyTorch's two formats as one."""
    return list(dict.fromkeys(timing.contestant.split(" ")[0] for timing in timings))


def ratio(entries: dict[str, Timing], family: str, against: str) -> float | None:
    one, other = best_of(entries, family), best_of(entries, against)
    return one.median / other.median if one and other else None


def geometric_mean(values: Sequence[float]) -> float | None:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def summarise(timings: Sequence[Timing], family: str = "jconv") -> list[dict[str, Any]]:
    """Ratios of one contestant to each other one, for each suite: means and the worst."""
    groups = by_key(timings)
    lines = []
    for suite in dict.fromkeys(timing.suite for timing in timings):
        for other in families(timings):
            if other == family:
                continue

            def ratios(
                keep: Callable[[Timing, str], bool], suite: str = suite, other: str = other
            ) -> dict[Key, float]:
                found = {}
                for key, entries in groups.items():
                    value = ratio(entries, family, other)
                    first = next(iter(entries.values()))
                    if key[0] == suite and value is not None and keep(first, key[2]):
                        found[key] = value
                return found

            steps = ratios(lambda _, leg: leg == STEP)
            dense = ratios(lambda timing, leg: leg == STEP and timing.row.dense)
            legs = ratios(lambda _, leg: leg != STEP)
            worst = max(legs, key=legs.__getitem__, default=None)
            lines.append(
                {
                    "suite": suite,
                    "ratio": f"{family} / {other}",
                    "rows": len(steps),
                    "step": geometric_mean(list(steps.values())),
                    "dense_rows": len(dense),
                    "dense_step": geometric_mean(list(dense.values())),
                    "worst_leg_ratio": legs[worst] if worst else None,
                    "worst_leg": " ".join(worst[1:]) if worst else None,
                }
            )
    return lines


# --- as text ------------------------------------------------------------------------------


def times_table(timings: Sequence[Timing], family: str = "jconv") -> list[str]:
    """Medians in milliseconds with their spread, and the ratios, in a hundred columns."""
    contestants = families(timings)
    others = [name for name in contestants if name != family and family in contestants]
    header = ["leg", *(f"{name} ms" for name in contestants)]
    header += [f"{family}/{name}" for name in others]
    rows, titles = [], []
    for (suite, name, leg), entries in by_key(timings).items():
        times = [_milliseconds(entries, contestant) for contestant in contestants]
        ratios = [_ratio(ratio(entries, family, other)) for other in others]
        rows.append([f"  {leg}", *times, *ratios])
        titles.append(f"{suite}: {name}")
    lines = table(header, rows)
    if max(map(len, lines)) > WIDTH:  # many contestants: a line for each
        header, cells, titles = ["leg", "contestant", "ms", f"{family}/it"], [], []
        for (suite, name, leg), entries in by_key(timings).items():
            for other in contestants:
                against = _ratio(ratio(entries, family, other))
                cells.append([f"  {leg}", other, _milliseconds(entries, other), against])
                titles.append(f"{suite}: {name}")
        lines = table(header, cells, left=2)
    head, rule, *body = lines
    lines, before = [head, rule], None
    for title, line in zip(titles, body, strict=True):
        lines += [line] if title == before else [title, line]
        before = title
    return lines


def summary_table(timings: Sequence[Timing]) -> list[str]:
    """The geometric means of each suite, and the worst legs."""
    found = summarise(timings)
    header = ["suite", "ratio", "rows", "step", "dense rows", "dense step", "worst leg"]
    fields = ["suite", "ratio", "rows", "step", "dense_rows", "dense_step", "worst_leg_ratio"]
    rows = [
        [_ratio(value) if isinstance(value, float | None) else value for value in line]
        for line in ([entry[field] for field in fields] for entry in found)
    ]
    lines = table(header, rows, left=2)
    lines += wrap("step: geometric mean of the whole step's time; dense: rows of one group")
    for entry in found:
        if entry["worst_leg"]:
            lines += wrap(f"worst leg, {entry['suite']}, {entry['ratio']}: {entry['worst_leg']}")
    return lines


def wrong_results(timings: Iterable[Timing]) -> list[str]:
    """One line for each result that was wrong, and so not timed."""
    return [
        f"WRONG: {t.contestant}: {t.suite}: {t.row.name} {t.leg}: error {t.error:.1e}"
        for t in timings
        if t.wrong
    ]


def _milliseconds(entries: dict[str, Timing], contestant: str) -> str:
    best = best_of(entries, contestant)
    if best is None:
        there = any(name.split(" ")[0] == contestant for name in entries)
        return "WRONG" if there else "-"
    spread = "" if math.isnan(best.spread) else f" ±{best.spread * 100:.0f}%"
    digits = 3 if best.median < 1 else 4
    return f"{best.median * 1e3:.{digits}g}{spread}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


# --- as files -----------------------------------------------------------------------------


def records(timings: Iterable[Timing]) -> list[dict[str, Any]]:
    """One record for each timing, in types that JSON knows."""
    return [
        {
            "suite": t.suite,
            "row": t.row.name,
            "leg": t.leg,
            "contestant": t.contestant,
            "median_ms": _number(t.median * 1e3),
            "spread": _number(t.spread),
            "least_ms": _number(min(t.seconds, default=math.nan) * 1e3),
            "rounds": len(t.seconds),
            "error": _number(t.error),
            "compile_s": _number(t.compile_seconds),
            "gflop_per_s": _number(_flops(t) / t.median / 1e9),
        }
        for t in timings
    ]


def write_csv(entries: Sequence[dict[str, Any]]) -> str:
    """Records as comma-separated values, one a line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(entries[0]) if entries else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(entries)
    return text.getvalue()


def _flops(timing: Timing) -> float:
    one = timing.row.plan().legs["conv"].flops
    return one * (3 if timing.leg == STEP else 1)


def _number(value: float | None) -> float | None:
    """Four significant digits; an empty text for what is not a number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
