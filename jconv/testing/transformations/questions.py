"""A question: one operation on one case in one way, what it is asked with, and what is right."""

from __future__ import annotations

import dataclasses
import inspect
import zlib
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jconv.testing.oracle.case import (
    Case,
    is_valid,
    output_padding_of,
    rows_of,
    shapes_of,
    transposed_rows,
    with_rows,
)
from jconv.testing.oracle.legs import SLOTS, Array, Item
from jconv.testing.transformations.ways import WAYS


@dataclasses.dataclass(frozen=True)
class Question:
    """One operation on one case in one way.

    Attributes:
        case: the convolution. Where conv_transpose is to choose its result's size, x has that size.
        op: one of `OPERATIONS`.
        way: the transformation, a key of `WAYS`.
        given: what gives a backprop or conv_transpose its result's size: "" (the full shape),
            "spatial" (the spatial sizes), "output_padding" or "nothing".
        dtype: of all operands.
        eager: run outside jit.
        rounded: on real numbers instead of small whole ones.
    """

    case: Case
    op: str
    way: str = "value"
    given: str = ""
    dtype: str = "float32"
    eager: bool = False
    rounded: bool = False

    @property
    def keywords(self) -> dict[str, Any]:
        """The keywords of the call."""
        case, spatial = self.case, self.given == "spatial"
        if self.op == "conv":
            return dict(case.kwargs)
        if self.op == "conv_filter_grad":
            return {**case.kwargs, "filter_shape": rows_of(case, "w") if spatial else case.w_shape}
        x_shape = rows_of(case, "x") if spatial else case.x_shape
        if self.op == "conv_input_grad":
            return {**case.kwargs, "input_shape": x_shape}
        if self.given == "nothing":
            return case.transpose_kwargs
        if self.given == "output_padding":
            return {**case.transpose_kwargs, "output_padding": output_padding_of(case)}
        return {**case.transpose_kwargs, "output_shape": x_shape}

    @property
    def property(self) -> str:
        """What a report calls the property that this question tests."""
        if self.rounded:
            return f"rounding in {self.dtype}"
        if self.dtype.startswith("complex"):
            return "complex values"
        if self.way == "value":
            named = {"spatial": "spatial sizes", "nothing": "no size"}
            by = f" ({named.get(self.given, self.given)} given)" if self.given else ""
            return f"values{by}, eagerly" if self.eager else f"values{by}"
        return WAYS[self.way].property

    def items(self) -> list[Item]:
        """The arrays that the answer consists of."""
        out, slots = SLOTS[self.op]
        legs = WAYS[self.way].legs(out, *slots)
        drawn = self.drawn()
        stack = tuple(
            Item(self.case, slot, {s: drawn[s][n] for s, n in operands.items()}, self.given, index)
            for index, (slot, operands) in enumerate(legs)
        )
        return [dataclasses.replace(item, stack=stack) for item in stack]

    def operands(self) -> list[Array]:
        """What the way's function takes: both draws of the two operands and of the cotangent."""
        out, slots = SLOTS[self.op]
        drawn = self.drawn()
        return [
            drawn[slot][n].astype(jnp.dtype(self.dtype)) for n in (0, 1) for slot in (*slots, out)
        ]

    def drawn(self) -> dict[str, tuple[Array, Array]]:
        return draw(self.case, self.dtype, rounded=self.rounded)

    def run(self, function: Callable[..., Any], operands: list[Any]) -> list[Any]:
        """The answer of an implementation's `function`; traceable by JAX if the function is."""
        keywords = self.keywords
        a, b, c, a1, b1, c1 = operands

        def f(a: Any, b: Any) -> Any:
            return function(a, b, **keywords)

        return list(WAYS[self.way].run(f, a, b, c, a1, b1, c1))

    def untaken(self, function: Callable[..., Any]) -> str | None:
        """The first keyword of the call that the function's signature lacks; None if it has all."""
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # some callables have none
            return None
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            return None
        names = {p.name for p in parameters}
        return next((name for name in self.keywords if name not in names), None)


def draw(
    case: Case, dtype: str = "float32", *, rounded: bool = False
) -> dict[str, tuple[Array, Array]]:
    """Two arrays for each slot: whole numbers from -4 to 4 without 0, which would hide a term.

    `rounded` draws normal ones that `dtype` holds instead, to see how sums of them are rounded.
    """
    rng = np.random.default_rng(zlib.crc32(repr((case.x_shape, case.w_shape)).encode()))

    def one(shape: tuple[int, ...]) -> Array:
        if rounded:
            return rng.standard_normal(shape).astype(jnp.dtype(dtype)).astype(np.float64)
        return whole_numbers(rng, shape)

    def two(shape: tuple[int, ...]) -> tuple[Array, Array]:
        if dtype.startswith("complex"):
            return one(shape) + 1j * one(shape), one(shape) + 1j * one(shape)
        return one(shape), one(shape)

    return {slot: two(shape) for slot, shape in shapes_of(case).items()}


def whole_numbers(rng: np.random.Generator, shape: tuple[int, ...], most: int = 4) -> Array:
    """Whole numbers from -most to most without 0."""
    return rng.integers(1, most + 1, shape) * rng.choice([-1, 1], shape)


def natural(case: Case) -> Case | None:
    """The case with the size of x that conv_transpose chooses when it is given none.

    None where there is no such case: all its arrays must have elements, and its y must be `case`'s.
    """
    if not case.transposable or 0 in (*case.x_shape, *case.y_shape, *case.w_shape):
        return None
    rows = transposed_rows(case)
    chosen = with_rows(case, rows)
    return chosen if min(rows) > 0 and is_valid(chosen) and chosen.y_shape == case.y_shape else None
