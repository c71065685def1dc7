"""Trials for a soak: random small convolutions, and what is right for them.

Half of them are near a known trap of XLA's: it swaps the operands of a convolution whose kernel
has more elements than its input, and gets it wrong (the process dies) beside an axis without pads
or filter dilation whose input dilation is k and whose stride is k-1. Groups are no way out: XLA
rewrites those of float64 and of integers before that.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jconv._algorithms import algorithms
from jconv._ops import conv as ops
from jconv._planner.policy import policy
from jconv.testing import _reference as reference
from jconv.testing._cases import Case, make_case
from jconv.testing._questions import SLOTS, Item, Question
from jconv.testing._rounding import EXACT_BELOW, bound
from jconv.testing._ways import WAYS

EXPLICIT = ("conv", "conv_input_grad", "conv_filter_grad")
OPS = (*EXPLICIT, "conv_transpose", "value_and_grad", "transformed")

HALVES = ("bfloat16", "float16")
TERMS = 400  # pairs (o, k) of one trial: the oracle loops over them

Holes = tuple[tuple[int, int, int], ...]  # for each spatial axis, lax.pad's (low, high, interior)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One configuration and how it is run.

    Attributes:
        case: the convolution.
        dtype: of all operands.
        rule: the policy: "auto", "exact", "local" or the name of an algorithm.
        precision: the `jax.default_matmul_precision`.
        jit: compiled with other trials, or eagerly.
        holes: x and g are made by the caller's own lax.pad, which XLA folds into convolutions.
        told: how conv_transpose is told its size: "output_shape", "output_padding" or "".
        transformed: an operation under a transformation, of its own operands.
        names: the operations that are run, unless the soak is asked for certain ones.
        seed: of the operands' values.
    """

    case: Case
    dtype: str
    rule: str
    precision: str | None
    jit: bool
    holes: dict[str, Holes]
    told: str
    transformed: Question
    names: tuple[str, ...]
    seed: int

    @property
    def exact(self) -> bool:
        """Whether no algorithm may run that forms other products than the definition.

        Under an algorithm's name too: where it has no leg, and inside of it, any may run.
        """
        return (
            self.rule in ("exact", "local", "direct")
            or self.precision == "highest"
            or self.dtype == "int8"
        )


# --- drawing ------------------------------------------------------------------------------

Row = tuple[int, int, int, int, int, tuple[int, int]]  # i, k, s, b, d, (p0, p1)


def draw(seed: int, index: int) -> Trial:
    """Trial number `index` of a seed: always the same one."""
    rng = random.Random(f"{seed}:{index}")
    while True:
        case = _draw_case(rng)
        try:
            y_shape = case.y_shape
        except ValueError:  # a padding mode that asks for more rows than there are
            continue
        x, w, y = case.x_shape, case.w_shape, y_shape
        call = case.call
        axes = call.axes(call.read("x", x)[1:-1], call.read("w", w)[:-2])
        terms = np.prod([a.o * a.k for a in axes]) * call.groups
        if terms <= TERMS and (terms > 0 or rng.random() < 0.1):
            break
    dtype = "float32"
    if rng.random() < 0.25:
        dtype = rng.choice(["bfloat16", "float16", "complex64", "int8", "float64", "float64"])
    # What there is to choose from grows: it has dice of its own, so that the rest stays the same.
    dice = random.Random(f"{seed}:{index}:rule")
    # Half are run under "local". Of the others some are under a name, which auto never chooses for
    # sums as small as these.
    other = dice.choice(["auto", "exact", *algorithms()])
    rule = "local" if dice.random() < 0.5 else "exact" if dtype in HALVES else other
    holes = {}
    if rng.random() < 0.3:
        holes = {
            "x": _draw_holes(rng, call.read("x", x)[1:-1]),
            "y": _draw_holes(rng, call.read("y", y)[1:-1]),
        }
    told = rng.choice(["output_shape", "output_padding", ""])
    if not told and not _takes_its_natural_size(case):
        told = "output_shape"
    # Both gradients are asked for by name or by autodiff, which come to the same program.
    names = ("value_and_grad",) if rng.random() < 0.5 else EXPLICIT
    names += ("conv_transpose",) * (rng.random() < 0.3)
    op = dice.choice([*EXPLICIT, "conv_transpose"] if case.transposable else EXPLICIT)
    transformed = Question(case, op, dice.choice(list(WAYS)), dtype=dtype)
    if dtype in ("float32", "float64") and dice.random() < 0.15:
        names += ("transformed",)
    precision = dice.choice([None, None, "highest"])
    jit, values = rng.random() < 0.97, rng.randrange(2**32)
    return Trial(case, dtype, rule, precision, jit, holes, told, transformed, names, values)


def _takes_its_natural_size(case: Case) -> bool:
    """Whether conv_transpose can choose: a size with rows, enough of them for the padding mode."""
    if not case.transposable:
        return False
    call = reference.Call(case.rank, **case.transpose_kwargs)
    outputs, kernel = call.read("y", case.y_shape)[1:-1], call.read("w", case.w_shape)[:-2]
    sizes = reference.transposed_sizes(call, outputs, kernel)
    try:
        call.axes(sizes, kernel)
    except ValueError:
        return False
    return min(sizes) > 0


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
    """An axis with a kernel above its input, so that XLA is tempted to swap."""
    k, d = rng.randint(2, 5), rng.choice([1, 1, 2])
    i, window = rng.choice([1, 1, 2]), d * (k - 1) + 1
    low, high = rng.choice([(window - 1, window - 1), (rng.randint(0, 4), rng.randint(0, 4))])
    return i, k, rng.choice([1, 1, 2]), rng.choice([1, 1, 2]), d, (low, high)


def _trap(rng: random.Random) -> Row:
    """An axis that XLA takes for a group dimension in one of the legs, or nearly so."""
    k, i = rng.choice([2, 2, 3, 4]), rng.randint(1, 6)
    leg = rng.choice(["conv", "input_grad", "filter_grad", "caller"])
    if leg == "conv":
        return i, k, k - 1, k, 1, (0, 0)
    if leg == "caller":  # b = k is left to the caller's own lax.pad
        return k * (i - 1) + 1, k, k - 1, 1, 1, (0, 0)
    if leg == "input_grad":  # its stride is b, its input dilation s, its pads K-1-p
        return k * i, k, k, k - 1, 1, (k - 1, k - 1 + rng.randrange(k))
    # Its kernel is the o rows of g, its stride d, its filter dilation s.
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
            # The trap has holes and no edges.
            gap = rng.choice(fits)
            if (size - 1) % (gap + 1) == 0:
                low = high = 0
            holes.append((low, high, gap))
        else:
            holes.append((low, high, 0))
    return tuple(holes)


# --- running ------------------------------------------------------------------------------

Arrays = dict[str, Any]


def operands(trial: Trial) -> Arrays:
    """x, w and y (which is g) in small integers, zero where the caller's lax.pad puts zeros."""
    rng, case = np.random.default_rng(trial.seed), trial.case
    arrays = {}
    for slot, shape in (("x", case.x_shape), ("w", case.w_shape), ("y", case.y_shape)):
        values = rng.integers(-3, 4, shape).astype(np.float64)
        if trial.dtype.startswith("complex"):
            values = values + 1j * rng.integers(-3, 4, shape)
        if slot in trial.holes:
            kept = np.zeros_like(values)
            kept[_inside(trial, slot)] = values[_inside(trial, slot)]
            values = kept
        arrays[slot] = values
    return arrays


def _places(trial: Trial, slot: str) -> list[tuple[int, int, int]]:
    """lax.pad's amounts for every dimension of a slot, in the caller's layout."""
    order = trial.case.call.orders()[slot]
    amounts = [(0, 0, 0)] * len(order)
    for position, hole in zip(order[1:-1], trial.holes[slot], strict=True):
        amounts[position] = hole
    return amounts


def _inside(trial: Trial, slot: str) -> tuple[slice, ...]:
    return tuple(slice(lo, -hi or None, gap + 1) for lo, hi, gap in _places(trial, slot))


def operands_given(trial: Trial, arrays: Arrays) -> Arrays:
    """The arrays that are handed over: without the rows that lax.pad is to add."""
    given = {}
    for slot, values in arrays.items():
        inside = _inside(trial, slot) if slot in trial.holes else ...
        given[slot] = values[inside].astype(jnp.dtype(trial.dtype))
    if "transformed" in trial.names:
        given["transformed"] = trial.transformed.operands()
    return given


def _transpose_keywords(trial: Trial) -> dict[str, Any]:
    case = trial.case
    call = reference.Call(case.rank, **case.transpose_kwargs)
    sizes = call.read("x", case.x_shape)[1:-1]
    outputs, kernel = call.read("y", case.y_shape)[1:-1], call.read("w", case.w_shape)[:-2]
    keywords = dict(case.transpose_kwargs)
    if trial.told == "output_padding" and all(outputs):
        least = reference.transposed_sizes(call, outputs, kernel, 0)
        keywords["output_padding"] = tuple(np.subtract(sizes, least).tolist())
    elif trial.told or not all(outputs):
        keywords["output_shape"] = sizes
    return keywords


def run(trial: Trial, names: Sequence[str], given: Arrays) -> dict[str, Any]:
    """Each result of jconv by name; traceable."""
    case = trial.case
    arrays = dict(given)
    for slot in trial.holes:
        zero = jnp.zeros((), arrays[slot].dtype)
        arrays[slot] = lax.pad(arrays[slot], zero, _places(trial, slot))
    x, w, g = arrays["x"], arrays["w"], arrays["y"]
    keywords = dict(case.kwargs)
    if trial.dtype == "int8":
        keywords["preferred_element_type"] = jnp.int32

    def conv(x: Any, w: Any) -> Any:
        return ops.conv(x, w, **keywords)

    def value_and_grad() -> tuple[Any, Any, Any]:
        y, pullback = jax.vjp(conv, x, w)
        return y, *pullback(g)

    by_name: dict[str, Callable[[], Any]] = {
        "conv": lambda: conv(x, w),
        "conv_input_grad": lambda: ops.conv_input_grad(g, w, input_shape=case.x_shape, **keywords),
        "conv_filter_grad": lambda: ops.conv_filter_grad(
            x, g, filter_shape=case.w_shape, **keywords
        ),
        "conv_transpose": lambda: ops.conv_transpose(g, w, **_transpose_keywords(trial)),
        "value_and_grad": value_and_grad,
        "transformed": lambda: trial.transformed.run(
            getattr(ops, trial.transformed.op), arrays["transformed"]
        ),
    }
    with policy(trial.rule), jax.default_matmul_precision(trial.precision):
        return {name: by_name[name]() for name in names}


def askable(trial: Trial, names: Sequence[str]) -> list[str]:
    """The operations that this trial is to run when a soak is asked for `names`."""
    if trial.dtype == "int8":
        return [name for name in names if name == "conv"]
    if set(names) == set(OPS):
        names = trial.names
    if "transformed" not in trial.names:
        names = [name for name in names if name != "transformed"]
    return [name for name in names if name != "conv_transpose" or trial.case.transposable]


def _items(trial: Trial, name: str, arrays: Arrays) -> list[Item]:
    """The arrays that an operation returns, each as a leg on known operands."""
    if name == "transformed":
        return trial.transformed.items()
    case, outs = trial.case, {"value_and_grad": "yxw"}.get(name) or SLOTS[name][0]
    if name == "conv_transpose":
        size = reference.conv_transpose(arrays["y"], arrays["w"], **_transpose_keywords(trial))
        case = dataclasses.replace(case, x_shape=size.shape)
    return [Item(case, out, {s: arrays[s] for s in "xwy" if s != out}) for out in outs]


def check(trial: Trial, names: Sequence[str], got: dict[str, Any]) -> tuple[int, list[list[str]]]:
    """How many values were compared, and [operation, what is wrong with it].

    All are sums of small whole numbers: what is exact comes out exact, and what may form other
    products within the bound for those, and not as far as to another whole number.
    """
    count, wrong, arrays = 0, [], operands(trial)
    dtype = jnp.dtype("int32" if trial.dtype == "int8" else trial.dtype)
    wide = np.complex128 if trial.dtype.startswith("complex") else np.float64
    for name in askable(trial, names):
        for have, item in zip(jax.tree.leaves(got[name]), _items(trial, name, arrays), strict=True):
            have, want = np.asarray(have), item.expected
            if have.shape != want.shape or have.dtype != dtype:
                told = f"{have.dtype}{have.shape} instead of {dtype}{want.shape}"
                wrong.append([name, told])
                continue
            off = abs(have.astype(wide) - want.astype(dtype).astype(wide))
            limit = 0.0
            if not trial.exact:
                limit = np.minimum(bound(item, trial.dtype, False), EXACT_BELOW)
            bad = ~(off <= limit)
            count += have.size
            if bad.any():
                worst = f"{int(bad.sum())} of {bad.size} values, by up to {off.max():g}"
                wrong.append([name, worst])
    return count, wrong
