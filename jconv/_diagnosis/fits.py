"""What each shape of a call may be, given all the others, and the nearest shape that fits.

Three slots constrain each other: x.n = y.n, x.c = groups * w.i, w.o = y.c, and on every axis
y = out(x, w). With two of them known, each entry of the third has a set of sizes that fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jconv._check.call import ARRAYS
from jconv._check.settings import LIMIT
from jconv._check.spec import Spec, told_shape
from jconv._core.errors import ConvError
from jconv._core.geometry import Size, is_static, same

ANY = range(LIMIT + 1)

TOLD = {
    "conv": {},
    "conv_input_grad": {"input_shape": "x"},
    "conv_filter_grad": {"filter_shape": "w"},
    "conv_transpose": {"output_shape": "x"},
}
"""For each operation, the argument that tells the result's shape, and its slot."""

Sets = tuple[Sequence[Any], ...]


def slot_of(op: str, argument: str) -> str | None:
    return ARRAYS[op].get(argument) or TOLD[op].get(argument)


def argument_of(op: str, slot: str) -> str | None:
    """The argument that gives a slot's shape; None for the slot that is the result alone."""
    return next((a for a, s in {**ARRAYS[op], **TOLD[op]}.items() if s == slot), None)


def known_shapes(spec: Spec) -> dict[str, tuple[Size | None, ...]]:
    """Each slot's canonical shape as far as the call says it, None for what it leaves open."""
    blank = (None,) * (spec.rank + 2)
    known: dict[str, tuple[Size | None, ...]] = dict.fromkeys("xwy", blank)
    known.update(spec.slots)
    for argument, slot in TOLD[spec.call.op].items():
        try:
            if getattr(spec.call, argument) is not None:
                known[slot] = told_shape(spec, argument, slot)  # type: ignore[arg-type]
        except ConvError:
            pass  # a malformed told shape says nothing about the others
    return known


def sets_of(spec: Spec, slot: str) -> Sets:
    """For each canonical entry of a slot, the sizes that fit the other two slots."""
    known, groups = known_shapes(spec), spec.groups
    x, w, y = known["x"], known["w"], known["y"]
    multiples = range(0, LIMIT, groups)
    if slot == "x":
        channels = _one(None if w[-2] is None else w[-2] * groups, multiples)
        axes = [_axis(spec, spec.inputs, a, y[a + 1], w[a]) for a in range(spec.rank)]
        return (_one(y[0]), *axes, channels)
    if slot == "w":
        axes = [_axis(spec, spec.filters, a, x[a + 1], y[a + 1]) for a in range(spec.rank)]
        return (*axes, _share(x[-1], groups), _one(y[-1], multiples))
    axes = [
        _one(None if x[a + 1] is None or w[a] is None else spec.output(a, x[a + 1], w[a]))
        for a in range(spec.rank)
    ]
    return (_one(x[0]), *axes, _one(w[-1], multiples))


def _one(size: Size | None, otherwise: Sequence[Any] = ANY) -> Sequence[Any]:
    return otherwise if size is None else (size,)


def _share(channels: Size | None, groups: int) -> Sequence[Any]:
    if channels is None:
        return ANY
    if is_static(channels) and channels % groups:
        return ()
    return (channels // groups,)


def _axis(spec: Spec, solve: Any, a: int, first: Size | None, second: Size | None) -> Sequence[Any]:
    if first is None or second is None or not is_static(first, second):
        return ANY
    return solve(a, first, second)


def allows(choices: Sequence[Any], size: Size) -> bool:
    """Whether a size is among those that fit (a symbol is where any size is)."""
    if not is_static(size):
        return choices is ANY or (len(choices) == 1 and same(choices[0], size))
    return size in choices if isinstance(choices, range) else any(same(size, c) for c in choices)


def nearest(choices: Sequence[Any], size: Size | None) -> Size | None:
    """The allowed size nearest to `size` by their ratio, or None."""
    if not len(choices):
        return None
    if size is None:
        return choices[0]
    if allows(choices, size):
        return size
    if not is_static(size):
        return choices[0] if len(choices) == 1 else None
    near = [c for c in choices if is_static(c)] if len(choices) < 64 else _around(choices, size)
    return min(near, key=lambda choice: (distance(size, choice), choice), default=choices[0])


def _around(choices: Sequence[int], size: int) -> list[int]:
    step = choices[1] - choices[0]
    at = (size - choices[0]) // step
    return [choices[min(max(n, 0), len(choices) - 1)] for n in (at, at + 1)]


def distance(old: Size, new: Size) -> float:
    """|log(new / old)|, the size of a change; 3 where there is no ratio."""
    if not is_static(old, new) or old <= 0 or new <= 0:
        return 0.0 if same(old, new) else 3.0
    return min(abs(math.log(new) - math.log(old)), 3.0)


def natural(spec: Spec, a: int, choices: Sequence[Any]) -> Size | None:
    """The size that a transposed convolution would choose: s*o for SAME, else the smallest."""
    if not len(choices):
        return None
    return choices[-1] if spec.padding[a] in ("SAME", "SAME_LOWER", "CAUSAL") else choices[0]
