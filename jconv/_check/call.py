"""One call of an operation, by shapes and settings alone: what can be checked before it runs."""

from __future__ import annotations

import dataclasses
from typing import Any

ARRAYS = {
    "conv": {"x": "x", "w": "w"},
    "conv_input_grad": {"g": "y", "w": "w"},
    "conv_filter_grad": {"x": "x", "g": "y"},
    "conv_transpose": {"x": "y", "w": "w"},
}
"""For each operation, its array arguments and the slot of the trilinear form each stands in."""

LEG = {
    "conv": "conv",
    "conv_input_grad": "input_grad",
    "conv_filter_grad": "filter_grad",
    "conv_transpose": "input_grad",
}


@dataclasses.dataclass(frozen=True)
class Call:
    """The arguments of one call as the user wrote them, arrays by shape and dtype."""

    op: str
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

    def replace(self, **changes: Any) -> Call:
        return dataclasses.replace(self, **changes)

    def with_argument(self, argument: str, value: Any) -> Call:
        """This call with one argument changed, as a Remedy says it.

        None leaves the argument out; an array takes a shape (a tuple) or a dtype.
        """
        if argument in ARRAYS[self.op]:
            if isinstance(value, tuple):
                return self.replace(shapes={**self.shapes, argument: value})
            return self.replace(dtypes={**self.dtypes, argument: str(value)})
        if value is None:
            defaults = {f.name: f.default for f in dataclasses.fields(self)}
            value = defaults[argument]
        return self.replace(**{argument: value})
