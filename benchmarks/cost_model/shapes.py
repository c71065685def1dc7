"""The shapes that the cost model is fitted to: (family, name, x, w, keywords).

Families are what the fit leaves out one at a time, to see how it does on shapes unlike those
that it knows.
"""

from __future__ import annotations

import math
import random
from typing import Any

Shape = tuple[str, str, tuple[int, ...], tuple[int, ...], dict[str, Any]]


def _square(
    family: str, rows: list[tuple[int, ...]], rank: int = 2, **keywords: Any
) -> list[Shape]:
    """Rows of (batch, size, channels in, channels out, kernel)."""
    shapes = []
    for n, size, c, f, k in rows:
        name = f"{family}-{n}x{size}-{c}-{f}-k{k}"
        settings = {key: value(c) if callable(value) else value for key, value in keywords.items()}
        inner = c // settings.get("groups", 1)
        shapes.append((family, name, (n, *[size] * rank, c), (*[k] * rank, inner, f), settings))
    return shapes


def drawn(count: int, seed: int = 0, family: str = "drawn") -> list[Shape]:
    """Shapes at random: uneven channels, few pixels, and whatever else nobody would think of."""
    draw = random.Random(seed)
    shapes: list[Shape] = []
    while len(shapes) < count:
        rank = draw.choice([1, 2, 2, 2, 2, 2, 2, 3])
        size = draw.choice(
            {
                1: [100, 256, 500, 1000, 4000],
                2: [7, 8, 10, 14, 16, 20, 28, 32, 40, 56, 64, 96, 112],
                3: [8, 12, 16],
            }[rank]
        )
        n = draw.choice([1, 2, 4, 8, 16, 32])
        c = draw.choice([1, 2, 3, 4, 8, 12, 16, 24, 32, 48, 64, 80, 96, 128, 192, 256, 512])
        f = draw.choice([8, 10, 16, 24, 32, 40, 48, 64, 96, 100, 128, 160, 192, 256, 384, 512])
        k = draw.choice([1, 2, 3, 3, 3, 3, 4, 5, 7])
        stride = draw.choice([1, 1, 1, 2, 2, k])
        dilation = draw.choice([1, 1, 1, 1, 2]) if k > 1 else 1
        padding = draw.choice(["SAME", "SAME", "VALID"])
        if dilation * (k - 1) >= size:
            continue
        work = 2 * n * math.ceil(size / stride) ** rank * c * f * k**rank
        if not 5e6 < work < 2e9 or n * size**rank * max(c, f) > 1e7:
            continue
        name = f"drawn-{rank}d-{n}x{size}-{c}-{f}-k{k}-s{stride}-d{dilation}-{padding.lower()}"
        keywords = {"stride": stride, "dilation": dilation, "padding": padding}
        shapes.append((family, name, (n, *[size] * rank, c), (*[k] * rank, c, f), keywords))
    return shapes


def drawn_in_groups(count: int, seed: int = 0) -> list[Shape]:
    """The same with groups: every other one depthwise, some with a multiplier."""
    draw = random.Random(f"groups {seed}")
    shapes: list[Shape] = []
    while len(shapes) < count:
        rank = draw.choice([1, 2, 2, 2, 2, 3])
        size = draw.choice(
            {
                1: [100, 256, 1000, 4000],
                2: [7, 8, 14, 20, 28, 32, 40, 56, 96, 112],
                3: [8, 12, 16],
            }[rank]
        )
        n = draw.choice([1, 2, 4, 8, 16, 32])
        if len(shapes) % 2:
            groups, c = draw.choice([16, 24, 32, 48, 96, 128, 144, 192, 384]), 1
            f = draw.choice([1, 1, 1, 2])
        else:
            groups = draw.choice([2, 2, 3, 4, 8, 16, 32])
            c, f = draw.choice([2, 4, 8, 12, 16, 32, 64]), draw.choice([2, 4, 8, 16, 24, 64])
        k = draw.choice([1, 3, 3, 3, 5, 7])
        stride = draw.choice([1, 1, 1, 2, k])
        dilation = draw.choice([1, 1, 1, 2]) if k > 1 else 1
        padding = draw.choice(["SAME", "SAME", "VALID"])
        if dilation * (k - 1) >= size:
            continue
        work = 2 * n * math.ceil(size / stride) ** rank * groups * c * f * k**rank
        if not 2e6 < work < 5e8 or n * size**rank * groups * max(c, f) > 1e7:
            continue
        sizes = f"{rank}d-{n}x{size}-{groups}x{c}-{groups}x{f}"
        name = f"grouped-{sizes}-k{k}-s{stride}-d{dilation}-{padding.lower()}"
        keywords = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
        x, w = (n, *[size] * rank, groups * c), (*[k] * rank, c, groups * f)
        shapes.append(("drawn-grouped", name, x, w, keywords))
    return shapes


SHAPES: list[Shape] = [
    *_square(
        "dense",
        [
            (8, 56, 64, 64, 3),
            (8, 28, 128, 128, 3),
            (8, 14, 256, 256, 3),
            (8, 7, 512, 512, 3),
            (2, 56, 32, 32, 3),
            (1, 28, 64, 96, 3),
            (32, 14, 48, 48, 3),
            (4, 112, 24, 32, 3),
            (1, 14, 512, 512, 3),
            (64, 8, 64, 64, 3),
            (8, 20, 8, 8, 3),
            (32, 28, 64, 64, 3),
            (1, 56, 128, 128, 3),
            (16, 7, 192, 256, 3),
        ],
    ),
    *_square(
        "large",
        [
            (8, 28, 32, 64, 5),
            (4, 14, 96, 96, 5),
            (64, 28, 1, 32, 5),
            (4, 20, 64, 64, 7),
            (4, 24, 16, 32, 4),
            (8, 16, 128, 128, 5),
            (8, 64, 16, 16, 5),
        ],
    ),
    *_square(
        "strided",
        [
            (8, 56, 128, 128, 3),
            (8, 28, 256, 256, 3),
            (4, 32, 64, 128, 4),
            (8, 64, 16, 32, 3),
            (8, 32, 32, 32, 5),
        ],
        stride=2,
    ),
    *_square(
        "stem",
        [
            (8, 224, 3, 64, 7),
            (4, 128, 3, 32, 3),
            (16, 64, 3, 32, 5),
        ],
        stride=2,
    ),
    *_square(
        "pointwise",
        [
            (8, 56, 64, 256, 1),
            (8, 28, 256, 64, 1),
            (4, 14, 1024, 256, 1),
            (16, 7, 320, 1280, 1),
            (2, 112, 16, 96, 1),
            (8, 20, 24, 24, 1),
        ],
    ),
    *_square(
        "pointwise-strided",
        [
            (8, 56, 256, 512, 1),
            (4, 28, 128, 256, 1),
            (8, 14, 512, 64, 1),
        ],
        stride=2,
    ),
    *_square(
        "patches",
        [
            (8, 224, 3, 384, 16),
        ],
        stride=16,
    ),
    *_square(
        "patches",
        [
            (8, 56, 96, 192, 2),
            (4, 32, 64, 64, 2),
            (8, 14, 256, 256, 2),
        ],
        stride=2,
    ),
    *_square(
        "depthwise",
        [
            (8, 56, 128, 128, 3),
            (8, 28, 192, 192, 7),
            (2, 112, 32, 32, 3),
            (16, 14, 384, 384, 5),
            (1, 28, 96, 192, 3),
            (32, 28, 96, 96, 3),
        ],
        groups=lambda c: c,
    ),
    *_square(
        "depthwise-strided",
        [
            (8, 56, 128, 128, 3),
            (4, 112, 96, 96, 3),
            (8, 28, 144, 144, 5),
        ],
        groups=lambda c: c,
        stride=2,
    ),
    *_square(
        "grouped",
        [
            (8, 28, 256, 256, 3),
            (4, 14, 512, 512, 3),
            (8, 28, 64, 128, 3),
        ],
        groups=lambda c: c // 8,
    ),
    *_square(
        "grouped",
        [
            (2, 56, 64, 64, 5),
        ],
        groups=2,
    ),
    *_square("grouped", [(8, 56, 128, 128, 3)], groups=16, stride=2),
    *_square(
        "dilated",
        [
            (8, 28, 256, 256, 3),
            (2, 56, 64, 64, 3),
            (4, 32, 32, 32, 5),
        ],
        dilation=2,
    ),
    *_square("dilated", [], dilation=4),
    *_square(
        "line",
        [
            (8, 1024, 64, 64, 3),
            (16, 256, 128, 128, 5),
            (8, 512, 96, 96, 1),
        ],
        rank=1,
    ),
    *_square("line", [(8, 1024, 32, 64, 4)], rank=1, stride=2),
    *_square("line", [(4, 2048, 32, 32, 2)], rank=1, dilation=16, padding="CAUSAL"),
    *_square(
        "volume",
        [
            (2, 16, 32, 32, 3),
        ],
        rank=3,
    ),
    *_square("volume", [(2, 16, 32, 64, 3), (2, 16, 32, 32, 2)], rank=3, stride=2),
    *_square(
        "wide", [(4, 56, 16, 16, 31), (8, 32, 32, 32, 15), (8, 28, 64, 64, 9), (8, 56, 16, 16, 11)]
    ),
    *_square("wide", [(8, 56, 64, 64, 31), (8, 28, 192, 192, 13)], groups=lambda c: c),
    *_square("wide", [(4, 4096, 16, 16, 255), (4, 4096, 64, 64, 64)], rank=1),
    *_square("wide", [(2, 16, 8, 8, 9)], rank=3),
    *drawn(90),
    *drawn_in_groups(30),
    *(shape for seed in (5, 6) for shape in drawn(40, seed, "drawn-again")),
]
