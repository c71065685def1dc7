"""The public operations, one record each: everything else that lists them reads it from here.

A new operation is one record here, a function in `sizes` unless another operation's serves, and the
public function in `_ops/conv.py`. docs/architecture.md adds one as an example.
"""

from __future__ import annotations

from jconv._check.call import Operation as Operation
from jconv._check.sizes import conv_sizes, filter_grad_sizes, input_grad_sizes

_SHARED = (
    "stride",
    "padding",
    "dilation",
    "groups",
    "layout",
    "padding_mode",
    "precision",
    "preferred_element_type",
)

_RECORDS = (
    Operation(
        name="conv",
        arrays={"x": "x", "w": "w"},
        leg="conv",
        result=None,
        settings=(*_SHARED, "input_dilation"),
        sizes=conv_sizes,
    ),
    Operation(
        name="conv_input_grad",
        arrays={"g": "y", "w": "w"},
        leg="input_grad",
        result="input_shape",
        settings=(*_SHARED, "input_dilation"),
        sizes=input_grad_sizes,
    ),
    Operation(
        name="conv_filter_grad",
        arrays={"x": "x", "g": "y"},
        leg="filter_grad",
        result="filter_shape",
        settings=(*_SHARED, "input_dilation"),
        sizes=filter_grad_sizes,
    ),
    Operation(
        name="conv_transpose",
        arrays={"x": "y", "w": "w"},
        leg="input_grad",
        result="output_shape",
        settings=(*_SHARED, "output_padding"),
        sizes=input_grad_sizes,
    ),
)

OPERATIONS = {operation.name: operation for operation in _RECORDS}

ARRAY_NAMES = tuple(dict.fromkeys(n for op in _RECORDS for n in op.arrays))
"""Every array argument: x, w and g."""

KEYWORDS = tuple(dict.fromkeys(name for op in _RECORDS for name in op.keywords))
"""Every keyword that some operation takes."""
