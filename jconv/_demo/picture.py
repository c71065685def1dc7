"""The demo as a picture: digits with guesses, the training curve, and times."""

from __future__ import annotations

import importlib
import io
import statistics
from pathlib import Path
from typing import Any

from jconv._demo.run import Found
from jconv._support.files import write_whole

COLOURS = {"lax": "#9aa5b1", "jconv": "#1f77b4", "accelerate(lax)": "#17a589"}


def draw(found: Found, path: Path) -> None:
    """Write the picture, a PNG or an SVG as the suffix says."""
    figure = importlib.import_module("matplotlib.figure").Figure((11, 6.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[2, 3])
    _digits(found, upper)
    left, right = lower.subplots(1, 2)
    _curve(found, left)
    _times(found, right)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=120)
    write_whole(path, buffer.getvalue())


def _digits(found: Found, figure: Any) -> None:
    right = int((found.labels == found.guesses).sum())
    figure.suptitle(f"digits it has never seen: {right} of {len(found.labels)} read right")
    axes = figure.subplots(2, len(found.images) // 2)
    for axis, image, label, guess in zip(
        axes.flat, found.images, found.labels, found.guesses, strict=True
    ):
        axis.imshow(image, cmap="gray_r")
        axis.set_title(f"{guess}", color="black" if label == guess else "red", fontsize=10)
        axis.axis("off")


def _curve(found: Found, axis: Any) -> None:
    steps, losses, accuracies = zip(*found.curve, strict=True)
    axis.plot(steps, losses, "o-", color="#c0392b")
    axis.set(xlabel="training step", yscale="log")
    axis.set_ylabel("loss", color="#c0392b")
    other = axis.twinx()
    other.plot(steps, [100 * a for a in accuracies], "s-", color="#1f77b4")
    other.set_ylim(0, 104)
    other.set_yticks(range(0, 101, 20))
    for side in (axis, other):
        side.spines["top"].set_visible(False)
    other.set_ylabel("accuracy on unseen digits, %", color="#1f77b4")
    axis.set_title("learning")


def _times(found: Found, axis: Any) -> None:
    rows = {"training step": found.times, **found.layers}
    for place, times in enumerate(rows.values()):
        for number, (name, seconds) in enumerate(times.items()):
            bars = axis.barh(
                place + 0.27 * (number - (len(times) - 1) / 2),
                1e3 * statistics.median(seconds),
                0.25,
                color=COLOURS[name],
                label=name if place == 0 else None,
            )
            axis.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
    axis.set_yticks(range(len(rows)), list(rows))
    axis.invert_yaxis()
    axis.set_xlabel("milliseconds, forward and backward")
    axis.margins(x=0.12)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="lower right", frameon=False)
    axis.set_title("time of the step and of each layer alone, median")
