"""From a failing case to a smaller one that fails in the same way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jconv.testing.oracle.case import Case, is_valid, make_case, per_axis

ROUNDS = 10  # at most; each tries every step

FACTORS = ("stride", "dilation", "input_dilation")

Place = tuple[Any, ...]  # a setting's name, then the axis, then the side of that axis


@dataclasses.dataclass(frozen=True)
class _Config:
    """A case as numbers that steps can lower: by place, so ("stride", 1) or ("padding", 0, 1)."""

    numbers: dict[Place, int]
    padding: str  # its name; "" where `numbers` has pads
    rest: dict[str, Any]  # layout and padding_mode

    def entries(self, name: str) -> tuple[int, ...]:
        return tuple(value for place, value in self.numbers.items() if place[0] == name)

    def case(self, name: str) -> Case:
        kwargs: dict[str, Any] = dict(self.rest)
        for factor in FACTORS:
            values = self.entries(factor)
            if max(values) > 1:
                kwargs[factor] = values[0] if len(set(values)) == 1 else values
        if self.numbers[("groups",)] > 1:
            kwargs["groups"] = self.numbers[("groups",)]
        if self.padding != "SAME":
            pads = self.entries("padding")
            kwargs["padding"] = self.padding or tuple(zip(pads[::2], pads[1::2], strict=True))
        sizes = {size: self.numbers[(size,)] for size in ("n", "c", "f")}
        return make_case(name, "shrunk", self.entries("i"), self.entries("k"), **sizes, **kwargs)

    @property
    def weight(self) -> tuple[int, int]:
        """What configurations are ordered by: the axes, then all numbers and settings together."""
        weigh: dict[str, Callable[[int], int]] = {
            "padding": lambda pad: 2 * abs(pad) + (pad < 0),
            "groups": lambda groups: 2 * groups,
            **{factor: lambda value: value - 1 for factor in FACTORS},
        }
        total = sum(weigh.get(place[0], int)(value) for place, value in self.numbers.items())
        return len(self.entries("i")), 4 * len(self.rest) + total + (not self.padding)


Step = Callable[[_Config], _Config]


def _config(case: Case) -> _Config:
    call, kwargs = case.call, case.kwargs
    n, *i, _ = call.read("x", case.x_shape)
    *k, c, features = call.read("w", case.w_shape)
    numbers: dict[Place, int] = {("n",): n, ("c",): c, ("f",): features // call.groups}
    numbers[("groups",)] = call.groups
    for name, values in (*((name, per_axis(case, name)) for name in FACTORS), ("i", i), ("k", k)):
        numbers |= {(name, axis): value for axis, value in enumerate(values)}
    for axis, pads in enumerate(call.paddings()):
        if not isinstance(pads, str):
            numbers |= {("padding", axis, side): pad for side, pad in enumerate(pads)}
    padding = kwargs.get("padding", "SAME")
    rest = {name: kwargs[name] for name in ("layout", "padding_mode") if kwargs.get(name)}
    return _Config(numbers, padding.upper() if isinstance(padding, str) else "", rest)


def _steps(config: _Config) -> Iterator[tuple[Place, Step]]:
    """Steps to a smaller configuration, each with the place that it changes."""
    for name in config.rest:
        yield ("rest", name), lambda c, name=name: _without_setting(c, name)
    rank = len(config.entries("i"))
    if rank > 1 and "layout" not in config.rest:
        for axis in range(rank):
            yield ("axis",), lambda c, axis=axis: _without_axis(c, axis)
    if config.padding not in ("SAME", "VALID"):
        name = "SAME" if config.padding else "VALID"
        yield ("padding",), lambda c, name=name: _with_padding(c, name)
    for place, value in config.numbers.items():
        for less in _less(value, 0 if place[0] == "padding" else 1):
            yield place, lambda c, place=place, less=less: _with_number(c, place, less)


def _less(value: int, least: int) -> list[int]:
    """Some values from `least` to `value`, those nearest to `least` first."""
    if value == least:
        return []
    step = 1 if value > least else -1
    steps = (step * n for n in range(1, min(abs(value - least), 3) + 1))
    between = {least, least + (value - least) // 2, *(value - n for n in steps)}
    return sorted(between - {value}, key=lambda v: abs(v - least))


def _with_number(config: _Config, place: Place, value: int) -> _Config:
    if place not in config.numbers:  # a pad, where another step has named the padding
        return config
    return dataclasses.replace(config, numbers={**config.numbers, place: value})


def _with_padding(config: _Config, name: str) -> _Config:
    numbers = {place: value for place, value in config.numbers.items() if place[0] != "padding"}
    return dataclasses.replace(config, numbers=numbers, padding=name)


def _without_setting(config: _Config, name: str) -> _Config:
    rest = {other: value for other, value in config.rest.items() if other != name}
    return dataclasses.replace(config, rest=rest)


def _without_axis(config: _Config, axis: int) -> _Config:
    numbers = {
        (place[0], place[1] - (place[1] > axis), *place[2:]) if len(place) > 1 else place: value
        for place, value in config.numbers.items()
        if len(place) == 1 or place[1] != axis
    }
    return dataclasses.replace(config, numbers=numbers)


def size_of(case: Case) -> tuple[int, ...]:
    """What the smallest of several cases is found by."""
    return _config(case).weight


def shrink(case: Case, fail: Callable[[Sequence[Case]], Sequence[bool]]) -> Case:
    """The smallest failing case that steps lead to; `fail` says which of some cases fail.

    In a round all steps are tried, each alone. Then the steps that kept the failure, one for each
    place, are taken together; if that loses the failure, the one to the smallest case is taken.
    """
    config = _config(case)
    for _ in range(ROUNDS):
        steps = list(_steps(config))
        failing = _failing([step(config) for _, step in steps], case.name, fail)
        kept: dict[Place, Step] = {}
        for (place, step), smaller in zip(steps, failing, strict=True):
            if smaller is not None:
                kept.setdefault(place, step)
        if not kept:
            break
        together = config
        # An axis is taken away by itself: other steps would then change a wrong axis.
        for place, step in kept.items():
            if ("axis",) not in kept or place == ("axis",):
                together = step(together)
        found = _failing([together], case.name, fail)[0]
        config = found or min(filter(None, failing), key=lambda other: other.weight)
    return config.case(case.name)


def _failing(
    configs: Sequence[_Config], name: str, fail: Callable[[Sequence[Case]], Sequence[bool]]
) -> list[_Config | None]:
    """The configurations that fail, with None in the place of the others."""
    cases = [config.case(name) for config in configs]
    valid = [_comparable(case) for case in cases]
    asked = [case for case, stands in zip(cases, valid, strict=True) if stands]
    answers = iter(fail(asked) if asked else [])
    return [
        config if stands and next(answers) else None
        for config, stands in zip(configs, valid, strict=True)
    ]


def _comparable(case: Case) -> bool:
    """Whether the case is valid and no array of it is empty."""
    return is_valid(case) and 0 not in (*case.x_shape, *case.w_shape, *case.y_shape)
