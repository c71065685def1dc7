"""`Reading`: what a call's shapes and settings say, and the sizes that fit all the others.

Three slots constrain each other: x.n = y.n, x.c = groups * w.i, w.o = y.c, and on every axis
y = out(x, w). With two of them known, each entry of the third has a set of sizes that fit.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from jconv._check.call import Call
from jconv._check.settings import LIMIT
from jconv._check.spec import Spec, read_spec, told_shape
from jconv._core.errors import ConvError
from jconv._core.geometry import Size, is_static, same
from jconv._core.layout import MOST_AXES

ANY = range(LIMIT + 1)
Sets = tuple[Sequence[Any], ...]
Sizes = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Reading:
    """A call read for `rank` spatial axes."""

    call: Call
    rank: int

    @functools.cached_property
    def spec(self) -> Spec | None:
        """The settings, or None where one of them cannot be read."""
        try:
            return read_spec(self.call, self.rank)
        except ConvError:
            return None

    def without(self, argument: str) -> Reading:
        """The call with this argument left out."""
        return Reading(self.call.with_argument(argument, None), self.rank)

    def malformed(self, argument: str) -> bool:
        """Whether this argument cannot be read, whatever the others are."""
        if self.spec is not None:
            return False
        call = self.call
        alone = Call(call.operation, call.shapes, call.dtypes)
        alone = alone.replace(**{argument: getattr(call, argument)})
        return Reading(alone, self.rank).spec is None

    def shaped(self) -> Iterator[tuple[str, str]]:
        """Arguments whose shape could be the one that is wrong, and their slots."""
        if self.spec is None:
            return
        for argument, slot in self.call.operation.slots.items():
            others = [len(s) for name, s in self.call.shapes.items() if name != argument]
            if all(length == self.rank + 2 for length in others):
                yield argument, slot

    @functools.cached_property
    def known(self) -> dict[str, tuple[Size | None, ...]]:
        """Each slot's canonical shape as far as the call says it, None for what it leaves open."""
        assert self.spec is not None
        blank = (None,) * (self.rank + 2)
        known: dict[str, tuple[Size | None, ...]] = dict.fromkeys("xwy", blank)
        known.update(self.spec.slots)
        for argument, slot in self.call.operation.told.items():
            try:
                if getattr(self.call, argument) is not None:
                    known[slot] = told_shape(self.spec, argument, slot)
            except ConvError:
                pass  # a malformed told shape says nothing about the others
        return known

    @functools.cached_property
    def axes(self) -> list[tuple[int, int, int]] | None:
        """(i, k, o) of every axis where the call says all of them in numbers."""
        known = self.known
        axes = list(zip(known["x"][1:-1], known["w"][:-2], known["y"][1:-1], strict=True))
        if any(size is None or not is_static(size) for axis in axes for size in axis):
            return None
        return axes  # type: ignore[return-value]

    @functools.cached_property
    def sets(self) -> dict[str, Sets]:
        """For each slot and canonical entry, the sizes that fit the other two slots."""
        spec = self.spec
        assert spec is not None
        x, w, y, groups = self.known["x"], self.known["w"], self.known["y"], spec.groups
        axes, multiples = range(self.rank), range(0, LIMIT, groups)
        channels = _one(None if w[-2] is None else w[-2] * groups, multiples)
        made = [
            _one(None if x[a + 1] is None or w[a] is None else spec.output(a, x[a + 1], w[a]))
            for a in axes
        ]
        return {
            "x": (_one(y[0]), *(_axis(spec.inputs, a, y[a + 1], w[a]) for a in axes), channels),
            "w": (
                *(_axis(spec.filters, a, x[a + 1], y[a + 1]) for a in axes),
                _share(x[-1], groups),
                _one(y[-1], multiples),
            ),
            "y": (_one(x[0]), *made, _one(w[-1], multiples)),
        }


def readings(call: Call) -> list[Reading]:
    """The call for each number of spatial axes that its arrays may mean."""
    lengths = {len(shape) for shape in call.shapes.values()}
    return [Reading(call, n - 2) for n in sorted(lengths) if 3 <= n <= MOST_AXES + 2]


def _one(size: Size | None, otherwise: Sequence[Any] = ANY) -> Sequence[Any]:
    return otherwise if size is None else (size,)


def _share(channels: Size | None, groups: int) -> Sequence[Any]:
    if channels is None:
        return ANY
    if is_static(channels) and channels % groups:
        return ()
    return (channels // groups,)


def _axis(solve: Any, a: int, first: Size | None, second: Size | None) -> Sequence[Any]:
    if first is None or second is None or not is_static(first, second):
        return ANY
    return solve(a, first, second)


# Sets and sizes -------------------------------------------------------------------------------


def allows(choices: Sequence[Any], size: Size) -> bool:
    """Whether a size is among the choices; a symbol is where any size fits."""
    if not is_static(size):
        return choices is ANY or (len(choices) == 1 and same(choices[0], size))
    return size in choices if isinstance(choices, range) else any(same(size, c) for c in choices)


def nearest(choices: Sequence[Any], size: Size | None) -> Size | None:
    """The choice nearest to `size` by ratio, or None."""
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
