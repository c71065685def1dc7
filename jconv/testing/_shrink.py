"""From a failing configuration to the smallest that still fails in the same way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jconv.testing._cases import Case, make_case

ROUNDS = 10

_FACTORS = ("stride", "dilation", "input_dilation")


@dataclasses.dataclass(frozen=True)
class _Config:
    """A case by its sizes and settings, one entry for each axis."""

    i: tuple[int, ...]
    k: tuple[int, ...]
    n: int
    c: int
    f: int
    groups: int
    factors: dict[str, tuple[int, ...]]
    padding: str | tuple[tuple[int, int], ...]
    rest: dict[str, Any]  # layout and padding_mode

    def case(self, name: str) -> Case:
        kwargs: dict[str, Any] = dict(self.rest)
        for factor, values in self.factors.items():
            if max(values) > 1:
                kwargs[factor] = values[0] if len(set(values)) == 1 else values
        if self.groups > 1:
            kwargs["groups"] = self.groups
        if self.padding != "SAME":
            kwargs["padding"] = self.padding
        sizes = {"n": self.n, "c": self.c, "f": self.f}
        return make_case(name, "shrunk", self.i, self.k, **sizes, **kwargs)

    @property
    def weight(self) -> tuple[int, ...]:
        """What makes one configuration smaller than another."""
        settings = sum(value - 1 for values in self.factors.values() for value in values)
        named = isinstance(self.padding, str)
        sides = () if isinstance(self.padding, str) else sum(self.padding, ())
        pads = sum(2 * abs(p) + (p < 0) for p in sides)
        sizes = sum(self.i) + sum(self.k) + self.n + self.c + self.f + 2 * self.groups
        return len(self.i), 4 * len(self.rest) + settings + pads + sizes + (not named)


Step = Callable[[_Config], _Config]


def _config(case: Case) -> _Config:
    call, kwargs = case.call, case.kwargs
    n, *i, _ = call.read("x", case.x_shape)
    *k, c, features = call.read("w", case.w_shape)

    def each(name: str) -> tuple[int, ...]:
        value = kwargs.get(name, 1)
        return (value,) * case.rank if isinstance(value, int) else tuple(value)

    padding = kwargs.get("padding", "SAME")
    pads: Any = padding.upper() if isinstance(padding, str) else tuple(call.paddings())
    rest = {name: kwargs[name] for name in ("layout", "padding_mode") if kwargs.get(name)}
    factors = {name: each(name) for name in _FACTORS}
    groups = call.groups
    return _Config(tuple(i), tuple(k), n, c, features // groups, groups, factors, pads, rest)


def _steps(config: _Config) -> Iterator[tuple[tuple[Any, ...], Step]]:
    """Small steps to a smaller configuration, each with the place where it changes something."""
    rank = len(config.i)
    for name in config.rest:
        yield ("rest", name), lambda c, name=name: _without_setting(c, name)
    if rank > 1 and "layout" not in config.rest:
        for axis in range(rank):
            yield ("axis",), lambda c, axis=axis: _without_axis(c, axis)
    for name in ("n", "c", "f", "groups"):
        for less in _less(getattr(config, name), 1):
            yield (name,), lambda c, name=name, less=less: _change(c, **{name: less})
    for name, values in config.factors.items():
        for axis, value in enumerate(values):
            for less in _less(value, 1):
                yield (name, axis), lambda c, p=(name, axis, less): _with_factor(c, *p)
    for name in ("i", "k"):
        for axis, value in enumerate(getattr(config, name)):
            for less in _less(value, 1):
                yield (name, axis), lambda c, p=(name, axis, less): _with_size(c, *p)
    if isinstance(config.padding, str):
        if config.padding not in ("SAME", "VALID"):
            yield ("padding",), lambda c: _change(c, padding="SAME")
        return
    yield ("padding",), lambda c: _change(c, padding="VALID")
    for axis, pair in enumerate(config.padding):
        for side, amount in enumerate(pair):
            for less in _less(amount, 0):
                yield (
                    ("padding", axis, side),
                    lambda c, p=(axis, side, less): _with_pad(c, *p),
                )


def _less(value: int, least: int) -> list[int]:
    """Values between, the smallest first."""
    if value == least:
        return []
    step = 1 if value > least else -1
    steps = (step * n for n in range(1, min(abs(value - least), 3) + 1))
    between = {least, least + (value - least) // 2, *(value - n for n in steps)}
    return sorted(between - {value}, key=lambda v: abs(v - least))


def _change(config: _Config, **changes: Any) -> _Config:
    return dataclasses.replace(config, **changes)


def _without_setting(config: _Config, name: str) -> _Config:
    return _change(config, rest={n: v for n, v in config.rest.items() if n != name})


def _with_factor(config: _Config, name: str, axis: int, value: int) -> _Config:
    values = _at(config.factors[name], axis, value)
    return _change(config, factors={**config.factors, name: values})


def _with_size(config: _Config, name: str, axis: int, value: int) -> _Config:
    return _change(config, **{name: _at(getattr(config, name), axis, value)})


def _with_pad(config: _Config, axis: int, side: int, amount: int) -> _Config:
    if isinstance(config.padding, str):
        return config
    return _change(
        config, padding=_at(config.padding, axis, _at(config.padding[axis], side, amount))
    )


def _at(values: tuple[Any, ...], at: int, value: Any) -> tuple[Any, ...]:
    return (*values[:at], value, *values[at + 1 :])


def _without_axis(config: _Config, axis: int) -> _Config:
    def less(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return values[:axis] + values[axis + 1 :]

    return dataclasses.replace(
        config,
        i=less(config.i),
        k=less(config.k),
        factors={name: less(values) for name, values in config.factors.items()},
        padding=config.padding if isinstance(config.padding, str) else less(config.padding),
    )


def size_of(case: Case) -> tuple[int, ...]:
    """By what the smallest of several cases is told."""
    return _config(case).weight


def shrink(case: Case, fail: Callable[[Sequence[Case]], Sequence[bool]]) -> Case:
    """The smallest failing case that small steps lead to; `fail` asks about many at once.

    In a round all steps are tried, each alone; then all those that keep the failure together,
    one for each place, and if that loses it, the one that makes the case smallest.
    """
    config = _config(case)
    for _ in range(ROUNDS):
        steps = list(_steps(config))
        failing = _failing([step(config) for _, step in steps], case.name, fail)
        kept: dict[tuple[Any, ...], Step] = {}
        for (place, step), smaller in zip(steps, failing, strict=True):
            if smaller is not None:
                kept.setdefault(place, step)
        if not kept:
            break
        together = config
        # An axis is taken away by itself: whatever names an axis would name another one.
        for place, step in kept.items():
            if ("axis",) not in kept or place == ("axis",):
                together = step(together)
        found = _failing([together], case.name, fail)[0]
        config = found or min(filter(None, failing), key=lambda other: other.weight)
    return config.case(case.name)


def _failing(
    configs: Sequence[_Config], name: str, fail: Callable[[Sequence[Case]], Sequence[bool]]
) -> list[_Config | None]:
    """Those that fail, None in the place of the others."""
    cases = [config.case(name) for config in configs]
    valid = [_stands(case) for case in cases]
    asked = [case for case, stands in zip(cases, valid, strict=True) if stands]
    answers = iter(fail(asked) if asked else [])
    return [
        config if stands and next(answers) else None
        for config, stands in zip(configs, valid, strict=True)
    ]


def _stands(case: Case) -> bool:
    """Whether the padding mode has rows enough, and there is something left to compare."""
    try:
        return 0 not in (*case.x_shape, *case.w_shape, *case.y_shape)
    except ValueError:
        return False
