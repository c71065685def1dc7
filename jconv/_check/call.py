"""An operation, and one call of it: shapes, dtypes and settings, checked before anything runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jconv._core.problem import OUTPUT, Leg, Slot


@dataclasses.dataclass(frozen=True)
class Operation:
    """What the library has to know of one public operation.

    Attributes:
        name: the public function's.
        arrays: its array arguments in order, and the slot of the trilinear form each stands in.
        leg: the leg of the trilinear form that it runs.
        result: the argument that tells the result's shape; None where the shape follows from the
            arrays and settings.
        settings: its other keywords, each a field of `Call`. A field that is not among them keeps
            its default in every call.
        sizes: a function of a `Spec` (a call whose settings have been read) that returns
            (n, c, f, i, k, o), or raises a ConvError where shapes do not fit together.
    """

    name: str
    arrays: Mapping[str, Slot]
    leg: Leg
    result: str | None
    settings: tuple[str, ...]
    sizes: Callable[[Any], Any]

    @property
    def keywords(self) -> tuple[str, ...]:
        return (*self.settings, *self.told)

    @property
    def told(self) -> dict[str, Slot]:
        """The argument that tells the result's shape, if there is one, and the result's slot."""
        return {} if self.result is None else {self.result: OUTPUT[self.leg]}

    @property
    def slots(self) -> dict[str, Slot]:
        """The slot of every argument that has a shape."""
        return {**self.arrays, **self.told}

    @property
    def is_backprop(self) -> bool:
        """Whether it takes a cotangent, g."""
        return "g" in self.arrays


@dataclasses.dataclass(frozen=True)
class Call:
    """The arguments of one call as the user wrote them, arrays by shape and dtype."""

    operation: Operation
    shapes: dict[str, tuple[Any, ...]]
    dtypes: dict[str, str]
    stride: Any = 1
    padding: Any = "SAME"
    dilation: Any = 1
    input_dilation: Any = 1
    groups: Any = 1
    layout: Any = None
    padding_mode: Any = "zeros"
    precision: Any = None
    preferred_element_type: Any = None
    input_shape: Any = None
    filter_shape: Any = None
    output_padding: Any = None
    output_shape: Any = None

    @property
    def op(self) -> str:
        return self.operation.name

    def replace(self, **changes: Any) -> Call:
        return dataclasses.replace(self, **changes)

    def with_argument(self, argument: str, value: Any) -> Call:
        """This call with one argument changed to a Remedy's value.

        None leaves the argument out. For an array the value is a shape (a tuple) or a dtype.
        """
        if argument in self.shapes:
            if isinstance(value, tuple):
                return self.replace(shapes={**self.shapes, argument: value})
            return self.replace(dtypes={**self.dtypes, argument: str(value)})
        if value is None:
            defaults = {f.name: f.default for f in dataclasses.fields(self)}
            value = defaults[argument]
        return self.replace(**{argument: value})
