"""Drawing trials: trial number n of a seed is always the same, whatever the library does.

Nearly half of the trials are small and nasty. Half of these are near shapes over which XLA has
killed the process. XLA swaps the operands of a convolution whose kernel has more elements than its
input. The swap goes wrong beside an axis without padding and filter dilation whose input dilation
is k and whose stride is k-1. Grouped convolutions of float64 and of integers are concerned too,
since XLA rewrites them as convolutions without groups before it swaps.

The other trials are so large that the planner leaves direct in most of their legs. One batch in
`SPLIT_EVERY` lies on simulated devices.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from jconv.testing.oracle.case import (
    Case,
    axes_of,
    is_valid,
    make_case,
    rows_of,
    transposed_rows,
    with_rows,
)
from jconv.testing.soak.trial import EXPLICIT, Holes, Spec, Split, Trial
from jconv.testing.transformations.questions import Question
from jconv.testing.transformations.ways import WAYS

BATCH = 16  # trials that are compiled as one program
SPLIT_EVERY = 16  # every 16th batch of trials is split over the simulated devices
DEVICES = 4  # simulated devices in each child
SMALL = 0.45  # share of small trials, of the trials on one device
TERMS = 400  # the most pairs (o, k) of a small trial, times its groups: nasty shapes are small
LEAST, MOST = 2e6, 1.3e8  # multiplications in a leg of a large trial in float32
NARROW = 10  # times fewer in other dtypes, which XLA computes in slow scalar loops
RULES = ("auto", "local")

Row = tuple[int, int, int, int, int, tuple[int, int]]  # i, k, s, b, d, (p0, p1)


def draw(seed: int, index: int, rules: Sequence[str] = RULES) -> Trial:
    """Trial number `index` of a seed, under one of `rules`."""
    rng = random.Random(f"{seed}:{index}")
    if index // BATCH % SPLIT_EVERY == SPLIT_EVERY - 1:
        return _draw_split(rng, rules)
    return _draw_small(rng, rules) if rng.random() < SMALL else _draw_large(rng, rules)


# --- large ones ---------------------------------------------------------------------------

# What a large trial may be like: for each kind the ranks, rows of x on an axis, taps on an axis,
# input and output channels of a group, groups, strides and dilations. For each kind the planner
# chooses another algorithm in some leg.
KINDS: dict[str, tuple[Sequence[int], ...]] = {
    "usual": ((2,), range(24, 42), (3, 3, 3, 5), (32, 64), (32, 64), (1,), (1,), (1,)),
    "any": ((1, 2, 3), range(6, 24), (1, 2, 3, 4), (8, 16, 40), (8, 24), (1,), (1, 2, 3), (1, 2)),
    "line": ((1,), range(200, 1500), (3, 9, 16), (32, 64), (32, 64), (1,), (1, 2, 4), (1, 2)),
    "one tap": ((1, 2, 3), range(9, 30), (1,), (16, 32, 128), (16, 64), (1,), (1, 2), (1,)),
    "strided": ((1, 2), range(26, 48), (2, 3, 4), (32, 64), (32, 64), (1,), (2, 2, 3), (1,)),
    "dilated": ((2,), range(38, 50), (3,), (64,), (64,), (1,), (1,), (2, 3)),
    "volume": ((3,), range(4, 14), (2, 3), (8, 16, 24), (8, 16), (1,), (1, 1, 2), (1,)),
    "depthwise": ((1, 2), range(10, 50), (2, 3, 4), (1,), (1, 1, 2), (16, 32, 64), (1, 2), (1, 2)),
    "groups": ((1, 2), range(10, 40), (1, 2, 3), (4, 8, 16), (4, 8, 16), (2, 4, 8), (1, 2), (1,)),
    "broad": ((2,), range(48, 60), (19, 21), (1,), (1,), (4, 8), (1,), (1,)),
}  # fmt: skip
# Slow kinds are drawn less often: "broad" has hundreds of taps, and the oracle a loop over taps.
SELDOM = ("broad", "dilated", "line")
OFTEN = [*KINDS, *[kind for kind in KINDS if kind not in SELDOM] * 3]
# Every way, the commonest two repeated so that they are drawn more often.
LARGE_WAYS = (*["value"] * 24, *["reverse"] * 4, *WAYS)


def _draw_large(rng: random.Random, rules: Sequence[str]) -> Trial:
    dtype = "float32" if rng.random() < 0.9 else rng.choice(["bfloat16", "complex64", "float64"])
    case = _large_case(rng, 1 if dtype in ("float32", "bfloat16") else NARROW)
    op = rng.choice([*EXPLICIT, "conv_transpose"] if case.transposable else EXPLICIT)
    # Slow kinds run one leg each, and in bfloat16 a scan's gradients would be rounded sums.
    alone = dtype == "bfloat16" or case.name in ("broad", "usual", "dilated")
    way = "value" if alone else rng.choice(LARGE_WAYS)
    zeros = case.call.padding_mode == "zeros"
    names = (
        ("accelerated",)
        if zeros and dtype == "float32" and rng.random() < 0.06
        else ("transformed",)
    )
    return Trial(
        case,
        dtype,
        rule=rng.choice(list(rules)),
        transformed=Question(case, op, way, dtype=dtype),
        names=names,
        seed=rng.randrange(2**32),
    )


def _large_case(rng: random.Random, fewer: int = 1, divisor: int = 1) -> Case:
    """A large case of a random kind, with LEAST to MOST multiplications in a leg.

    With `fewer` both limits are that many times lower. Batch and rows are multiples of `divisor`.
    """
    while True:
        kind = rng.choice(OFTEN)
        ranks, rows, taps, c, f, groups, strides, dilations = KINDS[kind]
        rank = rng.choice(ranks)
        mode = "zeros" if rng.random() < 0.93 else rng.choice(["reflect", "edge", "circular"])
        padding: Any = rng.choice(["SAME", "SAME", "SAME_LOWER", "VALID", "CAUSAL", 1, None])
        if padding is None:
            padding = tuple((rng.randint(-1, 4), rng.randint(-1, 4)) for _ in range(rank))
        case = make_case(
            kind,
            "drawn at random, large",
            tuple(divisor * -(-rng.choice(rows) // divisor) for _ in range(rank)),
            tuple(rng.choice(taps) for _ in range(rank)),
            n=max(rng.choice([1, 1, 1, 2, 2, 3]), divisor),
            c=rng.choice(c),
            f=rng.choice(f),
            stride=tuple(rng.choice(strides) for _ in range(rank)),
            dilation=rng.choice(dilations),
            input_dilation=(rng.choice([1] * 14 + [2]) if mode == "zeros" else 1,) * rank,
            groups=rng.choice(groups),
            layout=_draw_layout(rng, rank),
            padding=padding,
            padding_mode=mode,
        )
        if not is_valid(case):
            continue
        per_value = np.prod(case.call.read("w", case.w_shape)[:-1])
        multiplications = np.prod(case.y_shape, dtype=float) * per_value
        # With groups direct is a slow scalar loop, so the planner leaves it for smaller legs.
        least = LEAST / (10 if case.call.groups > 1 else 1) / fewer
        # XLA's convolution of a dilated input of three axes is a scalar loop.
        slow = NARROW if rank == 3 and set(case.kwargs["input_dilation"]) != {1} else 1
        if least <= multiplications <= MOST / fewer / slow:
            return case


def _draw_split(rng: random.Random, rules: Sequence[str]) -> Trial:
    """x and w split over simulated devices along dimensions drawn at random."""
    case = _large_case(rng, divisor=DEVICES)
    mesh = rng.choice([(DEVICES, 1), (2, DEVICES // 2)])
    orders, specs = case.call.orders(), {}
    for slot, shape, most in (("x", case.x_shape, 1.0), ("w", case.w_shape, 0.4)):
        spec: list[str | None] = [None] * len(shape)
        for axis, count in zip("ab", mesh, strict=True):
            # Taps of w are never split: every device needs them all.
            fits = [at for at in orders[slot] if spec[at] is None and shape[at] % count == 0]
            if slot == "w":
                fits = [at for at in fits if at in orders["w"][-2:]]
            if fits and count > 1 and rng.random() < most:
                spec[rng.choice(fits)] = axis
        specs[slot] = tuple(spec)
    manual = rng.random() < 0.25
    if manual:  # the batch over "a", as `trial.run` splits it
        parts: list[Any] = [None] * len(case.x_shape)
        parts[orders["x"][0]] = "a"
        specs = {"x": tuple(parts), "w": ()}
    lies: dict[str, Spec] = specs
    return Trial(
        case,
        "float32",
        rule=rng.choice(list(rules)),
        transformed=Question(case, "conv"),
        names=("split",),
        seed=rng.randrange(2**32),
        split=Split(mesh, lies["x"], lies["w"], manual),
    )


# --- small ones ---------------------------------------------------------------------------


def _taken_by_lax(case: Case) -> bool:
    """Whether lax's convolution takes the call: it refuses crops of more rows than there are."""
    left = (axis.b * (axis.i - 1) + 1 + axis.p0 + axis.p1 for axis in axes_of(case))
    return case.call.padding_mode == "zeros" and all(rows >= 0 for rows in left)


def _draw_small(rng: random.Random, rules: Sequence[str]) -> Trial:
    while True:
        case = _draw_case(rng)
        if not is_valid(case):
            continue
        terms = np.prod([a.o * a.k for a in axes_of(case)]) * case.call.groups
        if terms <= TERMS and (terms > 0 or rng.random() < 0.1):
            break
    dtype = "float32"
    if rng.random() < 0.25:
        dtype = rng.choice(["bfloat16", "float16", "complex64", "int8", "float64", "float64"])
    holes = {}
    if rng.random() < 0.3:
        holes = {slot: _draw_holes(rng, rows_of(case, slot)) for slot in "xy"}
    given = rng.choice(["output_shape", "output_padding", ""])
    if not given and not _takes_its_natural_size(case):
        given = "output_shape"
    op = rng.choice([*EXPLICIT, "conv_transpose"] if case.transposable else EXPLICIT)
    transformed = Question(case, op, rng.choice(list(WAYS)), dtype=dtype)
    names: tuple[str, ...] = rng.choice(
        # The gradients by name and by autodiff make the same program, so a trial has one of them.
        [("value_and_grad",)] * 4
        + [(name,) for name in EXPLICIT]
        + [("conv_transpose",)] * 2
        + [("transformed",)] * 2
        + [("accelerated",)]
    )
    if dtype == "int8":
        names = ("conv",)  # which has no gradients
    elif names == ("conv_transpose",) and not case.transposable:
        names = EXPLICIT
    elif names == ("transformed",) and dtype not in ("float32", "float64"):
        names = ("value_and_grad",)  # a scan's gradients would be rounded sums
    elif names == ("accelerated",) and not _taken_by_lax(case):
        names = EXPLICIT
    return Trial(
        case,
        dtype,
        rule=rng.choice(list(rules)),
        precision=rng.choice([None, None, None, "highest"]),
        jit=rng.random() < 0.98,
        transformed=transformed,
        names=names,
        seed=rng.randrange(2**32),
        holes=holes,
        given=given,
    )


def _takes_its_natural_size(case: Case) -> bool:
    """Whether conv_transpose can choose a size: one with rows, enough for the padding mode."""
    if not case.transposable:
        return False
    rows = transposed_rows(case)
    return is_valid(with_rows(case, rows)) and min(rows) > 0


def _draw_case(rng: random.Random) -> Case:
    rank = rng.choice([1, 2, 2, 2, 3, 3])
    mode = "zeros" if rng.random() < 0.85 else rng.choice(["reflect", "edge", "circular"])
    near_trap = mode == "zeros" and rng.random() < 0.6
    if near_trap:
        rows = [rng.choice([_trap, _trap, _swap, _plain])(rng) for _ in range(rank)]
    else:
        rows = [_plain(rng) for _ in range(rank)]
    i, k, s, b, d, pads = zip(*rows, strict=True)
    padding: Any = pads
    if not near_trap and rng.random() < 0.6:
        ints = tuple(rng.randint(-1, 2) for _ in range(rank))
        padding = rng.choice(["SAME", "SAME_LOWER", "VALID", "CAUSAL", rng.randint(-1, 2), ints])
    return make_case(
        "drawn",
        "drawn at random",
        i,
        k,
        n=rng.choice([1, 1, 2, 3]) if rng.random() < 0.98 else 0,
        c=rng.randint(1, 3),
        f=rng.randint(1, 3),
        stride=s,
        dilation=d,
        input_dilation=b if mode == "zeros" else 1,
        groups=rng.choice([1, 1, 1, 2, 3]),
        layout=_draw_layout(rng, rank),
        padding=padding,
        padding_mode=mode,
    )


def _plain(rng: random.Random) -> Row:
    def side() -> int:
        return rng.choice([0, 0, 1, 2, 3, 4, -1, -2])

    i = rng.choice([1, 1, 2, 2, 3, 3, 4, 5, 6, 7]) if rng.random() < 0.99 else 0
    d, b = rng.choice([1, 1, 1, 2, 3]), rng.choice([1, 1, 1, 2, 3])
    return i, rng.randint(1, 4), rng.choice([1, 1, 2, 2, 3, 4]), b, d, (side(), side())


def _swap(rng: random.Random) -> Row:
    """An axis with a kernel larger than its input, so that XLA swaps the operands."""
    k, d = rng.randint(2, 5), rng.choice([1, 1, 2])
    i, window = rng.choice([1, 1, 2]), d * (k - 1) + 1
    low, high = rng.choice([(window - 1, window - 1), (rng.randint(0, 4), rng.randint(0, 4))])
    return i, k, rng.choice([1, 1, 2]), rng.choice([1, 1, 2]), d, (low, high)


def _trap(rng: random.Random) -> Row:
    """An axis over which the swapped convolution goes wrong in one of the legs, or nearly so."""
    k, i = rng.choice([2, 2, 3, 4]), rng.randint(1, 6)
    leg = rng.choice(["conv", "input_grad", "filter_grad", "caller"])
    if leg == "conv":
        return i, k, k - 1, k, 1, (0, 0)
    if leg == "caller":  # input dilation k is left to the caller's own lax.pad
        return k * (i - 1) + 1, k, k - 1, 1, 1, (0, 0)
    if leg == "input_grad":  # a convolution with stride b, input dilation s and pads K-1-p
        return k * i, k, k, k - 1, 1, (k - 1, k - 1 + rng.randrange(k))
    # The filter backprop: a convolution with the o rows of g as kernel, stride d and dilation s.
    b = k
    d, rows = b - 1, b * (i - 1) + 1
    window = d * (rng.randint(1, 3) - 1) + 1
    return i, (window - 1) // d + 1, 1, b, d, (0, b - 1 + window - rows)


def _draw_layout(rng: random.Random, rank: int) -> Any:
    axes = "ABD"[:rank]
    orders = ["".join(rng.sample(ends + axes, rank + 2)) for ends in ("NC", "IO", "NC")]
    return rng.choice([None, None, None, f"N{axes}C", f"NC{axes}", tuple(orders)])


def _draw_holes(rng: random.Random, sizes: Sequence[int]) -> Holes:
    holes = []
    for size in sizes:
        low, high = (rng.randint(0, (size - 1) // 2) if size > 1 else 0 for _ in range(2))
        rows = size - low - high
        fits = [gap for gap in (1, 2, 3) if rows > 1 and (rows - 1) % (gap + 1) == 0]
        if fits and rng.random() < 0.7:
            # XLA goes wrong over holes without padding at the edges.
            gap = rng.choice(fits)
            if (size - 1) % (gap + 1) == 0:
                low = high = 0
            holes.append((low, high, gap))
        else:
            holes.append((low, high, 0))
    return tuple(holes)
