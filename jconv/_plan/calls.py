"""A plan as functions: the planned legs on arrays that are checked against it."""

from __future__ import annotations

from typing import Any

import jax

from jconv._core import symbols
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Shape
from jconv._core.problem import Slot
from jconv._ops.conv import (
    check_array,
    conv,
    conv_filter_grad,
    conv_input_grad,
    conv_transpose,
    dtype_name,
)
from jconv._plan.record import PlanRecord


class PlanCalls(PlanRecord):
    """A plan's record with the planned legs as methods."""

    def __call__(self, x: Any, w: Any) -> jax.Array:
        """The planned operation on arrays of the planned shapes."""
        operation = conv if self.op == "conv" else conv_transpose
        self._check(x=(x, self.x_shape), w=(w, self.w_shape))
        return operation(x, w, **self.keywords)

    def conv(self, x: Any, w: Any) -> jax.Array:
        """The forward convolution: from x to y, or from y to x where the plan is a transposed."""
        source = self._shape("x")
        self._check(x=(x, source), w=(w, self.w_shape))
        return conv(x, w, **self._forward_keywords())

    def input_grad(self, g: Any, w: Any) -> jax.Array:
        """The gradient of that convolution in its input."""
        values = self._check(g=(g, self._shape("y")), w=(w, self.w_shape))
        shape = symbols.substitute(self._shape("x"), values)
        free = symbols.symbols_in(shape)
        if free:
            raise ConvError(
                f"plan.input_grad: g does not say what {', '.join(sorted(free))} is.",
                argument="g",
                got=tuple(g.shape),
                expected="a plan whose sizes are known: fill them in with plan.at(...)",
            )
        return conv_input_grad(g, w, input_shape=shape, **self._forward_keywords())

    def filter_grad(self, x: Any, g: Any) -> jax.Array:
        """The gradient of that convolution in its filter."""
        values = self._check(x=(x, self._shape("x")), g=(g, self._shape("y")))
        shape = symbols.substitute(self.w_shape, values)
        return conv_filter_grad(x, g, filter_shape=shape, **self._forward_keywords())

    def _shape(self, slot: Slot) -> Shape:
        """The forward convolution's x or y, which a transposed one has the other way round."""
        forward = self.op == "conv"
        return self.x_shape if (slot == "x") == forward else self.y_shape

    def _forward_keywords(self) -> dict[str, Any]:
        chosen = ("output_padding", "output_shape")
        return {name: value for name, value in self.settings if name not in chosen}

    def _check(self, **operands: tuple[Any, Shape]) -> dict[str, int]:
        """The values of the symbols; a ConvError where an array is not what was planned."""
        for name, (array, shape) in operands.items():
            check_array("plan", name, array)
            if symbols.match(shape, tuple(array.shape)) is None:
                raise _unplanned(name, tuple(array.shape), shape, "shape")
            if dtype_name(array.dtype) != self.dtype:
                raise _unplanned(name, dtype_name(array.dtype), self.dtype, "dtype")
        planned = tuple(size for _, shape in operands.values() for size in shape)
        values = symbols.match(planned, tuple(n for a, _ in operands.values() for n in a.shape))
        if values is None:
            name, (array, shape) = list(operands.items())[-1]
            raise _unplanned(name, tuple(array.shape), shape, "shape beside the other operand's")
        return values


def _unplanned(name: str, got: Any, expected: Any, what: str) -> ConvError:
    fixed = expected if what == "dtype" or not symbols.symbols_in(expected) else None
    return ConvError(
        f"plan: `{name}` is not what was planned: its {what} is {got}.",
        argument=name,
        got=got,
        expected=expected,
        remedies=[Remedy(name, fixed, f"give {name} the {what} {expected}")] if fixed else [],
    )
