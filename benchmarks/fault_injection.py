"""Break one argument of random valid calls, and count how often the error names the culprit.

    python benchmarks/fault_injection.py [--cases 20000] [--seed 0]

A case is a valid call with one argument broken so that it no longer resolves. Two things are
counted: whether the error names that argument, and whether applying its first remedy makes the
call succeed with the output shape of the unbroken call.

Some cases have no answer: x of 8 channels under a filter for 4 may be a wrong x or a wrong w.
A case is ambiguous when a change no larger than the fault itself, of another argument, or of
the same one to another output shape, makes the call valid too. That is decided by trying a
whole neighbourhood of the broken call, without the diagnosis. Faults are of two sizes:

    order   every number is still there: an array's or a told shape's dimensions in another
            order, an axis of size one too few or too many, a number in another spelling
            (2.0, '2', -2, (2,), (1, 2, 2, 1), a misspelt name), a dtype
    number  one number is another: one size of one shape (equal spatial sizes count as one),
            or one setting's value, or a value that says nothing at all (None, 0, nan)

The neighbourhood of an `order` fault is all orders and axes of size one of all shapes, and the
other layouts; that of a `number` fault has besides every single size from 0 to 120 and
all products of two sizes, a cotangent
that was given the input's spatial size set right, and every setting's values from 1 to 8
(paddings: the rules, and 0 to 8). A spelling that cannot be read is no fault of another
argument, so there only other readings of the same one could be ambiguous; none are counted for
spellings that keep the number.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import itertools
import random
import time
from collections.abc import Iterator
from typing import Any

from jconv import ConvError
from jconv._check.call import ARRAYS, Call
from jconv._check.resolve import resolve
from jconv._core.geometry import resolve_axis
from jconv._core.layout import parse_layout
from jconv._diagnosis.explain import resolve_or_explain

OPS = tuple(ARRAYS)
TOLD = {
    "conv": None,
    "conv_input_grad": "input_shape",
    "conv_filter_grad": "filter_shape",
    "conv_transpose": "output_shape",
}
RULES = ("SAME", "SAME_LOWER", "VALID", "CAUSAL")


@dataclasses.dataclass(frozen=True)
class Fault:
    kind: str
    argument: str
    value: Any
    size: str = "number"  # or "order", or "spelling": an order fault of a single argument


# Valid calls ----------------------------------------------------------------------------------


def draw_call(rng: random.Random, op: str) -> Call:
    """A valid call with a result that is not empty."""
    while True:
        call = _draw(rng, op)
        try:
            resolved = resolve(call)
        except ConvError:
            continue
        if all(resolved.problem.axes[a].o > 0 for a in range(resolved.problem.rank)):
            return call


def _draw(rng: random.Random, op: str) -> Call:
    rank = rng.choice((1, 2, 2, 2, 3))

    def sizes(low: int, high: int) -> tuple[int, ...]:
        first = rng.randint(low, high)
        if rng.random() < 0.3:
            return (first,) * rank
        return tuple(rng.randint(low, high) for _ in range(rank))

    def factors(choices: tuple[int, ...]) -> Any:
        if rng.random() < 0.7:
            return rng.choice(choices)
        return tuple(rng.choice(choices) for _ in range(rank))

    groups = rng.choice((1, 1, 1, 2, 3, 4))
    c, f = rng.randint(1, 8), rng.randint(1, 8)
    if groups > 1 and rng.random() < 0.5:
        c = 1
    n, i, k = rng.randint(1, 5), sizes(3, 20), sizes(1, 5)
    stride = factors((1, 1, 2, 2, 3, 4))
    dilation = factors((1, 1, 1, 2))
    b = factors((1, 1, 1, 1, 2)) if op != "conv_transpose" else 1
    padding: Any = rng.choice(RULES)
    draw = rng.random()
    if draw < 0.2:
        padding = rng.randint(0, 3)
    elif draw < 0.35:
        padding = tuple(rng.randint(0, 3) for _ in range(rank))
    elif draw < 0.5:
        padding = tuple((rng.randint(-1, 3), rng.randint(0, 3)) for _ in range(rank))
    last = parse_layout(None, rank).names[0]
    layout = rng.choice((None, None, None, last, "NC" + last[1:-1]))
    order = parse_layout(layout, rank)

    def each(value: Any) -> tuple[Any, ...]:
        return value if isinstance(value, tuple) else (value,) * rank

    rules = each(padding)
    rules = tuple((r, r) if isinstance(r, int) else r for r in rules)
    o = tuple(
        resolve_axis(i[a], k[a], rules[a], s=each(stride)[a], b=each(b)[a], d=each(dilation)[a])[0]
        for a in range(rank)
    )
    shapes = {
        "x": order.caller("x", (n, *i, c * groups)),
        "w": order.caller("w", (*k, c, f * groups)),
        "y": order.caller("y", (n, *o, f * groups)),
    }
    told: dict[str, Any] = {}
    full = rng.random() < 0.6
    if op == "conv_filter_grad":
        told["filter_shape"] = shapes["w"] if full else k
    elif op == "conv_input_grad":
        told["input_shape"] = shapes["x"] if full else i
    elif op == "conv_transpose" and rng.random() < 0.6:
        told["output_shape"] = shapes["x"] if full else i
    elif op == "conv_transpose" and rng.random() < 0.6:
        told["output_padding"] = rng.randint(0, 2)
    arrays = {name: shapes[slot] for name, slot in ARRAYS[op].items()}
    return Call(
        op,
        arrays,
        dict.fromkeys(arrays, "float32"),
        stride=stride,
        padding=padding,
        dilation=dilation,
        input_dilation=b,
        groups=groups,
        layout=layout,
        **told,
    )


# Faults ---------------------------------------------------------------------------------------


def draw_fault(rng: random.Random, call: Call) -> Fault | None:
    """One argument broken; None where this kind of fault does not apply to the call."""
    rank = len(next(iter(call.shapes.values()))) - 2
    arrays = tuple(ARRAYS[call.op])
    told = TOLD[call.op]
    shaped = [*arrays, *arrays]
    if told and getattr(call, told) is not None:
        shaped += [told, told]
    settings = ["stride", "dilation", "padding", "groups", "layout"]
    if call.op != "conv_transpose":
        settings += ["input_dilation"]
    elif call.output_padding is not None:
        settings += ["output_padding", "output_padding"]
    if rng.random() < 0.6:
        argument = rng.choice(shaped)
        return _shape_fault(rng, call, argument, rank)
    if rng.random() < 0.08:
        argument = rng.choice(arrays)
        narrow = [name for name in arrays if name != "g"]
        if argument in narrow or call.op == "conv":
            return Fault("dtype", argument, "bfloat16", "order")
        return Fault("dtype", argument, rng.choice(("bool", "int32", "bfloat16")), "order")
    argument = rng.choice([*settings, "padding_mode", "precision"])
    return _setting_fault(rng, call, argument, rank)


def _shape_fault(rng: random.Random, call: Call, argument: str, rank: int) -> Fault | None:
    shape = call.shapes.get(argument) or getattr(call, argument)
    is_told = argument not in call.shapes
    kind = rng.choice(("size", "size", "size", "rank", "order", "malformed" if is_told else "size"))
    if kind == "size":
        at = rng.randrange(len(shape))
        sizes = list(shape)
        change = rng.choice((-2, -1, 1, 2, 3))
        sizes[at] = rng.choice((shape[at] + change, shape[at] * 2, shape[at] * 3, shape[at] // 2))
        if not 1 <= sizes[at] <= 30:
            return None
        return Fault(f"size of {argument}", argument, tuple(sizes))
    if kind == "order":
        sizes = list(shape)
        if len(shape) == rank + 2 and rng.random() < 0.7:
            order = parse_layout(call.layout, rank)
            slot = ARRAYS[call.op].get(argument) or {"filter_shape": "w"}.get(argument, "x")
            channel = rng.choice(_conventions(order.name(slot), slot))
            value = tuple(shape[order.name(slot).index(letter)] for letter in channel)
            return Fault(f"convention of {argument}", argument, value, "order")
        a, b = rng.sample(range(len(shape)), 2) if len(shape) > 1 else (0, 0)
        sizes[a], sizes[b] = sizes[b], sizes[a]
        return Fault(f"two axes of {argument}", argument, tuple(sizes), "order")
    if kind == "rank":
        at = rng.randrange(len(shape))
        if rng.random() < 0.7:
            if len(shape) == 1:
                return None  # nothing would be left to mend
            value = shape[:at] + shape[at + 1 :]
            return Fault(f"axis lost of {argument}", argument, value, _lost(shape[at]))
        value = (*shape[:at], 1, *shape[at:])
        return Fault(f"axis too many of {argument}", argument, value, "order")
    at = rng.randrange(len(shape))
    if rng.random() < 0.5:
        entry = rng.choice((-shape[at], float(shape[at]), str(shape[at])))
        value = (*shape[:at], entry, *shape[at + 1 :])
        return Fault(f"entry of {argument} misspelt", argument, value, "spelling")
    return Fault(f"{argument} says nothing", argument, rng.choice((None, "?", ())), "number")


def _lost(size: int) -> str:
    return "order" if size == 1 else "number"


def _conventions(names: str, slot: str) -> list[str]:
    axes = "".join(c for c in names if c not in "NCIO")
    if slot == "w":
        return ["OI" + axes, axes + "IO", axes + "OI", "IO" + axes, f"O{axes}I"]
    return [f"NC{axes}", f"N{axes}C"]


def _setting_fault(rng: random.Random, call: Call, argument: str, rank: int) -> Fault | None:
    value = getattr(call, argument)
    plain = value if isinstance(value, tuple) else (value,) * rank
    nothing = rng.choice((None, 0, float("nan"), "?", {}))
    first = isinstance(call.layout, str) and call.layout.startswith("NC")

    def spelt(*values: Any) -> Fault:
        return Fault(f"{argument} misspelt", argument, rng.choice(values), "spelling")

    kind = rng.choice(("spelling", "spelling", "value", "value", "nothing"))
    if argument in ("stride", "dilation", "input_dilation"):
        if kind == "nothing":
            return Fault(f"{argument} says nothing", argument, nothing)
        if kind == "value":
            other = rng.randint(1, 5)
            if isinstance(value, tuple):
                at = rng.randrange(rank)
                other = (*value[:at], other, *value[at + 1 :])
            return Fault(f"value of {argument}", argument, other)
        if isinstance(value, tuple):
            return (
                spelt((1, *value, 1), (1, 1, *value), tuple(map(float, value)), [str(value[0])])
                if len(set(value)) == 1
                else spelt((1, *value, 1), tuple(map(float, value)))
            )
        return spelt(-value, float(value), str(value), (1, *plain, 1), (value,) * (rank + 1))
    if argument == "padding":
        if kind == "nothing":
            return Fault("padding says nothing", argument, rng.choice((None, {}, float("nan"))))
        if kind == "value" and isinstance(value, tuple):
            at, number = rng.randrange(rank), rng.randint(0, 4)
            entry = (value[at][0], number) if isinstance(value[at], tuple) else number
            return Fault("value of padding", argument, (*value[:at], entry, *value[at + 1 :]))
        if kind == "value":
            return Fault("value of padding", argument, rng.choice((*RULES, 0, 1, 2, 3)))
        if isinstance(value, str):
            at = rng.randrange(1, len(value))
            return spelt(value[:at] + value[at + 1 :], value + "D", " " + value)
        if isinstance(value, int):
            return spelt(float(value), str(value), ((0, 0), *((value, value),) * rank, (0, 0)))
        pairs = tuple((p, p) if isinstance(p, int) else p for p in value)
        return spelt(
            ((0, 0), (0, 0), *pairs) if first else ((0, 0), *pairs, (0, 0)),
            tuple((float(low), float(high)) for low, high in pairs),
        )
    if argument == "groups":
        if kind == "nothing":
            return Fault("groups says nothing", argument, nothing)
        if kind == "value":
            return Fault("value of groups", argument, rng.randint(1, 8))
        return spelt(-value, float(value), str(value), (value,))
    if argument == "output_padding":
        if kind == "spelling":
            return spelt(float(value), str(value))
        return Fault("value of output_padding", argument, rng.choice((-1, 4, 5, 7)))
    if argument == "layout":
        last = parse_layout(None, rank).names[0]
        name = value or last
        if kind == "value":
            other = last if name.startswith("NC") else "NC" + last[1:-1]
            return Fault("other layout", argument, other, "order")
        return spelt(name.lower(), "channels_first" if name.startswith("NC") else "channels_last")
    if argument == "padding_mode":
        return spelt("zero", "ZEROS", "constant", "zeross", None)
    return spelt("hi", 3, "bf16")


# The neighbourhood of a broken call -----------------------------------------------------------


def neighbours(call: Call, size: str) -> Iterator[tuple[str, Any]]:
    """Every change of one argument that is no larger than a fault of this size."""
    shaped: dict[str, tuple[Any, ...]] = dict(call.shapes)
    told = TOLD[call.op]
    if told and isinstance(getattr(call, told), tuple):
        shaped[told] = getattr(call, told)
    if "w" in shaped and len(shaped["w"]) >= 3:  # a depthwise filter, (..., C, M)
        *k, c, m = shaped["w"]
        yield "w", (*k, 1, c * m)
    ranks = {len(shape) - 2 for shape in call.shapes.values()}
    for argument, shape in shaped.items():
        yield from ((argument, value) for value in _reorderings(shape))
    for rank in ranks:
        if rank >= 1:
            last = parse_layout(None, rank).names[0]
            yield "layout", last
            yield "layout", "NC" + last[1:-1]
    if size == "order":
        return
    sizes = {entry for shape in call.shapes.values() for entry in shape}
    products = {a * b for a in sizes for b in (*sizes, *range(9))}
    for argument, shape in shaped.items():
        for at in range(len(shape)):
            for entry in sorted({*range(121), *products}):
                yield argument, (*shape[:at], entry, *shape[at + 1 :])
        for at in range(len(shape) + 1 if len(ranks) > 1 or argument == told else 0):
            for entry in range(2, 41):  # one axis lost, of any size
                yield argument, (*shape[:at], entry, *shape[at:])
        yield from ((argument, value) for value in _square_changes(shape))
    yield from _cotangent_set_right(call)
    rank = max(ranks)
    for value in range(1, 9):
        yield "groups", value
        for argument in ("stride", "dilation", "input_dilation"):
            if argument != "input_dilation" or call.op != "conv_transpose":
                yield argument, value
                yield from _one_entry(argument, getattr(call, argument), value, rank)
    for value in (*RULES, *range(9)):
        yield "padding", value
        if not isinstance(value, str):
            yield from _one_entry("padding", call.padding, value, rank)
    if call.op == "conv_transpose":
        for value in (None, *range(8)):
            yield "output_padding", value
        yield "output_shape", None


def _reorderings(shape: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for a, b in itertools.combinations(range(len(shape)), 2):
        swapped = list(shape)
        swapped[a], swapped[b] = swapped[b], swapped[a]
        yield tuple(swapped)
    for turn in range(1, len(shape)):
        yield shape[turn:] + shape[:turn]
    if len(shape) > 2:
        yield (shape[0], shape[-1], *shape[1:-1])
        yield (shape[0], *shape[2:], shape[1])
        yield (*shape[2:], shape[1], shape[0])
        yield (shape[-1], shape[-2], *shape[:-2])
        yield (*shape[1:-1], shape[-1], shape[0])
    for at in range(len(shape) + 1):
        yield (*shape[:at], 1, *shape[at:])
    for at in range(len(shape)):
        if shape[at] == 1:
            yield shape[:at] + shape[at + 1 :]


def _square_changes(shape: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Adjacent equal sizes changed together: (1, 8, 8, 3) to (1, 9, 9, 3)."""
    for start in range(len(shape)):
        for stop in range(start + 2, len(shape) + 1):
            if len(set(shape[start:stop])) == 1:
                for entry in range(1, 121):
                    yield (*shape[:start], *(entry,) * (stop - start), *shape[stop:])


def _cotangent_set_right(call: Call) -> Iterator[tuple[str, Any]]:
    """What the forward convolution makes, where g was given the input's spatial size."""
    g = call.shapes.get("g", ())
    rank = len(g) - 2
    x, w = call.shapes.get("x", call.input_shape), call.shapes.get("w", call.filter_shape)
    if rank < 1 or not isinstance(x, tuple) or not isinstance(w, tuple):
        return
    try:
        order = parse_layout(call.layout, rank)
        n, *o, f = order.canonical("y", g)
        i = x if len(x) == rank else order.canonical("x", x)[1:-1]
        k = w if len(w) == rank else order.canonical("w", w)[:-2]
        forward = call.replace(
            op="conv",
            shapes={
                "x": order.caller("x", (n, *i, call.groups)),
                "w": order.caller("w", (*k, 1, f)),
            },
            dtypes={"x": "float32", "w": "float32"},
        )
        if tuple(o) == tuple(i):
            yield "g", resolve(forward).out_shape
    except Exception:  # not a call of which this can be asked
        return


def _one_entry(argument: str, given: Any, value: Any, rank: int) -> Iterator[tuple[str, Any]]:
    if isinstance(given, tuple) and len(given) == rank:
        for a in range(rank):
            yield argument, (*given[:a], value, *given[a + 1 :])
            if argument == "padding" and isinstance(given[a], tuple):
                for pair in ((value, given[a][1]), (given[a][0], value)):
                    yield argument, (*given[:a], pair, *given[a + 1 :])


def is_ambiguous(call: Call, fault: Fault, wanted: tuple[int, ...]) -> bool:
    """Whether a change no larger than the fault, other than undoing it, mends the broken call."""
    if fault.size == "spelling":
        return False
    broken = apply(call, fault)
    changes = neighbours(broken, fault.size)
    if fault.argument == TOLD[call.op]:  # what is told wrongly may have been any size that fits
        told = getattr(call, fault.argument)
        others = ((*told[:at], n, *told[at + 1 :]) for at in range(len(told)) for n in range(121))
        changes = itertools.chain(changes, ((fault.argument, value) for value in others))
    if fault.size != "number":
        changes = neighbours(broken, fault.size)
    for argument, value in changes:
        if argument == fault.argument and value == getattr(call, argument, None):
            continue
        try:
            made = resolve(broken.with_argument(argument, value)).out_shape
        except ConvError:
            continue
        if argument != fault.argument or made != wanted:
            return True
    return False


# The count ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Count:
    cases: int = 0
    named: int = 0
    mended: int = 0


def broken_cases(seed: int, number: int) -> Iterator[tuple[Call, Fault]]:
    rng = random.Random(seed)
    found = 0
    while found < number:
        call = draw_call(rng, rng.choice(OPS))
        fault = draw_fault(rng, call)
        if fault is None:
            continue
        try:
            resolve(apply(call, fault))
        except ConvError:
            found += 1
            yield call, fault


def apply(call: Call, fault: Fault) -> Call:
    if fault.value is None and fault.argument not in call.shapes:
        return call.replace(**{fault.argument: None})  # written out, not left out
    return call.with_argument(fault.argument, fault.value)


def judge(call: Call, fault: Fault) -> tuple[bool, bool, ConvError]:
    """Whether the culprit is named, and whether the first remedy restores the call."""
    wanted = resolve(call).out_shape
    broken = apply(call, fault)
    try:
        resolve_or_explain(broken)
    except ConvError as error:
        named = error.argument == fault.argument
        if not error.remedies:
            return named, False, error
        remedy = error.remedies[0]
        mended = resolve(broken.with_argument(remedy.argument, remedy.value))
        return named, mended.out_shape == wanted, error
    raise AssertionError("a broken call resolved")


def measure(seed: int, number: int, show: int = 0) -> tuple[dict[str, Count], dict[str, Count]]:
    """Counts by kind of fault, for the cases that have an answer and for those that do not."""
    clear: dict[str, Count] = collections.defaultdict(Count)
    ambiguous: dict[str, Count] = collections.defaultdict(Count)
    for call, fault in broken_cases(seed, number):
        named, mended, error = judge(call, fault)
        unclear = is_ambiguous(call, fault, resolve(call).out_shape)
        count = (ambiguous if unclear else clear)[fault.kind]
        count.cases += 1
        count.named += named
        count.mended += mended
        if show and not unclear and not (named and mended):
            show -= 1
            print(f"{fault}\n  of {call}\n  {error}\n")
    return clear, ambiguous


def total(counts: dict[str, Count]) -> Count:
    return Count(
        *(
            sum(getattr(count, field.name) for count in counts.values())
            for field in dataclasses.fields(Count)
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Count how often the error names the culprit.")
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="print so many failures in full")
    options = parser.parse_args()
    start = time.perf_counter()
    clear, ambiguous = measure(options.seed, options.cases, options.show)
    print(f"{'fault':<34}{'clear':>7}{'named':>8}{'mended':>8}{'ambiguous':>11}{'named':>8}")
    for kind in sorted({*clear, *ambiguous}):
        _row(kind, clear.get(kind, Count()), ambiguous.get(kind, Count()))
    print("-" * 76)
    _row("all", total(clear), total(ambiguous))
    print(f"{options.cases} cases, seed {options.seed}, {time.perf_counter() - start:.0f} s")


def _row(kind: str, clear: Count, ambiguous: Count) -> None:
    def share(part: int, whole: int) -> str:
        return f"{100 * part / whole:.1f}%" if whole else "-"

    print(
        f"{kind:<34}{clear.cases:>7}{share(clear.named, clear.cases):>8}"
        f"{share(clear.mended, clear.cases):>8}{ambiguous.cases:>11}"
        f"{share(ambiguous.named, ambiguous.cases):>8}"
    )


if __name__ == "__main__":
    main()
