"""Random convolutions of every rank, settings that go together, and integers to run them on."""

from __future__ import annotations

import random

import numpy as np


def integers(shape, seed):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def configuration(seed):
    """A random convolution: shapes of x and w, and settings that go together."""
    rng = random.Random(seed)
    rank, groups = rng.choice([1, 2, 2, 3]), rng.choice([1, 1, 2, 3])
    n, c, f = rng.choice([1, 3, 4]), groups * rng.randint(1, 3), groups * rng.randint(1, 2)
    each = lambda low, high: [rng.randint(low, high) for _ in range(rank)]  # noqa: E731
    pads = [(rng.randint(-1, 3), rng.randint(0, 3)) for _ in range(rank)]
    i, k = each(3, 8 - rank), each(1, 3)
    settings = {
        "stride": each(1, 3),
        "dilation": each(1, 2),
        "groups": groups,
        "padding": rng.choice(["SAME", "VALID", "CAUSAL", "SAME_LOWER", pads]),
    }
    if rng.random() < 0.4:
        settings["input_dilation"] = each(1, 2)
    elif rng.random() < 0.4:
        settings |= {"padding_mode": rng.choice(["edge", "reflect", "circular"]), "padding": 1}
    if rng.random() < 0.4:
        settings["layout"] = "NC" + "DHW"[3 - rank :]
        return (n, c, *i), (f, c // groups, *k), settings
    return (n, *i, c), (*k, c // groups, f), settings
