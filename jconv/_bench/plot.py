"""The ratios of a match as a picture; it needs matplotlib, the extra `bench`."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
from collections.abc import Sequence
from typing import Any

from jconv._bench.contestants import STEP
from jconv._core.errors import ConvError, Remedy
from jconv._support.files import write_whole


def can_plot() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def check_plotting(path: str | os.PathLike[str]) -> None:
    """Refuse a picture that cannot be drawn, before an hour of measurements.

    Raises:
        ConvError: if matplotlib is missing, or draws no pictures of the kind that `path` names.
    """
    if not can_plot():
        raise ConvError(
            'bench: a plot needs matplotlib: pip install "jconv[bench]".',
            argument="plot",
            got="no matplotlib",
            expected="matplotlib 3.8 or newer",
        )
    bases: Any = importlib.import_module("matplotlib.backend_bases")
    known, kind = sorted(bases.FigureCanvasBase.filetypes), kind_of(path)
    if kind not in known:
        raise ConvError(
            f"bench: `plot` names no kind of picture: {os.fspath(path)} ends in .{kind}.",
            argument="plot",
            got=os.fspath(path),
            expected=f"a file name that ends in {', '.join(f'.{name}' for name in known)}",
            remedies=[Remedy.use("plot", os.path.splitext(os.fspath(path))[0] + ".svg")],
        )


def plot(entries: Sequence[dict[str, Any]], path: str | os.PathLike[str], title: str) -> None:
    """Bars of jconv's step time relative to each other contestant's, one group a row.

    Args:
        entries: the records of a match, as `records` writes them.
        path: the picture; its suffix says which kind.
        title: what stands above it.
    """
    best = _best_steps(entries)
    others = list(dict.fromkeys(name for times in best.values() for name in times))
    others = [name for name in others if name != "jconv"]
    figures: Any = importlib.import_module("matplotlib.figure")
    figure = figures.Figure(figsize=(8, 1.5 + 0.25 * len(best) * max(len(others), 1)))
    axes = figure.add_subplot()
    thickness = 0.8 / max(len(others), 1)
    for n, other in enumerate(others):
        drawn = [
            (group + n * thickness, times["jconv"] / times[other])
            for group, times in enumerate(best.values())
            if "jconv" in times and other in times
        ]
        at, ratios = [y for y, _ in drawn], [ratio for _, ratio in drawn]
        bars = axes.barh(at, [r - 1 for r in ratios], thickness, left=1, label=other)
        axes.bar_label(bars, [f"{r:.2f}" for r in ratios], fontsize=7, padding=2)
    middle = 0.4 - thickness / 2
    axes.set_yticks([group + middle for group in range(len(best))], list(best), fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("time of jconv's step relative to another's: left of 1, jconv is faster")
    axes.set_title(title, fontsize=9)
    if others:
        axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind_of(path), bbox_inches="tight")
    write_whole(path, buffer.getvalue())


def kind_of(path: str | os.PathLike[str]) -> str:
    """The format that a picture's suffix names; PNG for none."""
    return os.path.splitext(path)[1][1:].lower() or "png"


def _best_steps(entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Row -> contestant -> milliseconds of the step, PyTorch's quicker format as one."""
    best: dict[str, dict[str, float]] = {}
    for entry in entries:
        if entry["leg"] == STEP and entry["median_ms"] is not None:
            times = best.setdefault(entry["row"], {})
            name = entry["contestant"].split(" ")[0]
            times[name] = min(times.get(name, entry["median_ms"]), entry["median_ms"])
    return best
