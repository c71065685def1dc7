"""What the kit asks of an implementation, and what is right.

Whatever is done with an operation, under whatever transformation, its results are legs of one
trilinear form, each on known operands: the gradient of `conv` in x along g is the leg of slot x
on (g, w), the second derivative another leg, a vmap a stack of legs. So every answer is a list of
arrays, and for each of them the oracle has a leg.
"""

from __future__ import annotations

import dataclasses
import inspect
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jconv._check.operations import OPERATIONS as RECORDS
from jconv._core.problem import OUTPUT
from jconv.testing import _reference as reference
from jconv.testing._cases import Case
from jconv.testing._ways import WAYS

Array = reference.Array
Operands = Mapping[str, Array]  # by slot: "x", "w", "y"

SLOTS: dict[str, tuple[str, tuple[str, ...]]] = {
    op.name: (OUTPUT[op.leg], tuple(op.arrays.values())) for op in RECORDS.values()
}
"""For each operation the slot of its result and those of its operands."""
OPERATIONS = tuple(SLOTS)
SYMBOLS = {"x": "x", "w": "w", "y": "g"}


def leg(case: Case, out: str, operands: Operands) -> Array:
    """The oracle's answer: the trilinear form's derivative in slot `out`."""
    if out == "y":
        return reference.conv(operands["x"], operands["w"], **case.kwargs)
    if out == "x":
        g, w = operands["y"], operands["w"]
        return reference.conv_input_grad(g, w, input_shape=case.x_shape, **case.kwargs)
    x, g = operands["x"], operands["y"]
    return reference.conv_filter_grad(x, g, filter_shape=case.w_shape, **case.kwargs)


@dataclasses.dataclass(frozen=True)
class Item:
    """One array of an answer: which leg it is, on which operands.

    `stack` holds all items of the answer and `index` is this one's place among them: a wrong
    transformation mixes them up.
    """

    case: Case
    out: str
    operands: Operands
    told: str = ""
    index: int = 0
    stack: tuple[Item, ...] = dataclasses.field(default=(), repr=False)

    @property
    def expected(self) -> Array:
        return leg(self.case, self.out, self.operands)


@dataclasses.dataclass(frozen=True)
class Question:
    """One operation on one case in one way.

    Attributes:
        case: the convolution; for a transposed convolution that chooses its size, of that size.
        op: one of `OPERATIONS`.
        way: the transformation, a key of `WAYS`.
        told: how a size is told: "" (the full shape), "spatial", "output_padding" or "nothing".
        dtype: of all operands.
        eager: outside jit.
        rounded: on real numbers instead of small whole ones.
    """

    case: Case
    op: str
    way: str = "value"
    told: str = ""
    dtype: str = "float32"
    eager: bool = False
    rounded: bool = False

    @property
    def keywords(self) -> dict[str, Any]:
        """The keywords of the call."""
        case = self.case
        if self.op == "conv":
            return dict(case.kwargs)
        if self.op == "conv_filter_grad":
            whole = case.call.read("w", case.w_shape)[:-2]
            told = {"filter_shape": whole if self.told == "spatial" else case.w_shape}
            return {**case.kwargs, **told}
        spatial = case.call.read("x", case.x_shape)[1:-1]
        told = {"spatial": spatial, "": case.x_shape}.get(self.told)
        if self.op == "conv_input_grad":
            return {**case.kwargs, "input_shape": told}
        if self.told == "nothing":
            return case.transpose_kwargs
        if self.told == "output_padding":
            return {**case.transpose_kwargs, "output_padding": extra_rows(case)}
        return {**case.transpose_kwargs, "output_shape": told}

    @property
    def property(self) -> str:
        """What a report calls that which this question tests."""
        if self.rounded:
            return f"rounding in {self.dtype}"
        if self.dtype.startswith("complex"):
            return "complex values"
        if self.way == "value":
            told = {"": "values", "spatial": "values from spatial sizes"}
            name = told.get(self.told, f"values ({self.told.replace('nothing', 'no size')} told)")
            return f"{name}, eagerly" if self.eager else name
        return WAYS[self.way].property

    def items(self) -> list[Item]:
        """The arrays that the answer consists of."""
        out, slots = SLOTS[self.op]
        legs = WAYS[self.way].legs(out, *slots)
        drawn = self.drawn()
        stack = tuple(
            Item(self.case, slot, {s: drawn[s][n] for s, n in operands.items()}, self.told, index)
            for index, (slot, operands) in enumerate(legs)
        )
        return [dataclasses.replace(item, stack=stack) for item in stack]

    def operands(self) -> list[Array]:
        """What the way's function takes: both draws of the operands and of the cotangent."""
        out, slots = SLOTS[self.op]
        drawn = self.drawn()
        return [
            drawn[slot][n].astype(jnp.dtype(self.dtype)) for n in (0, 1) for slot in (*slots, out)
        ]

    def drawn(self) -> dict[str, tuple[Array, Array]]:
        return draw(self.case, self.dtype, rounded=self.rounded)

    def run(self, function: Callable[..., Any], operands: list[Any]) -> list[Any]:
        """The answer of an implementation's `function`; traceable if that is."""
        keywords = self.keywords
        a, b, c, a1, b1, c1 = operands

        def f(a: Any, b: Any) -> Any:
            return function(a, b, **keywords)

        return list(WAYS[self.way].run(f, a, b, c, a1, b1, c1))

    def untaken(self, function: Callable[..., Any]) -> str | None:
        """The first keyword of the call that the implementation's signature has no place for."""
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
    """Two arrays for each slot: whole numbers from -4 to 4 without 0, so that no term hides.

    Or, to see how they are rounded, normal ones that `dtype` holds.
    """
    rng = np.random.default_rng(zlib.crc32(repr((case.x_shape, case.w_shape)).encode()))

    def one(shape: tuple[int, ...]) -> Array:
        if rounded:
            return rng.standard_normal(shape).astype(jnp.dtype(dtype)).astype(np.float64)
        return rng.integers(1, 5, shape) * rng.choice([-1, 1], shape)

    def two(shape: tuple[int, ...]) -> tuple[Array, Array]:
        if dtype.startswith("complex"):
            return one(shape) + 1j * one(shape), one(shape) + 1j * one(shape)
        return one(shape), one(shape)

    shapes = {"x": case.x_shape, "w": case.w_shape, "y": case.y_shape}
    return {slot: two(shape) for slot, shape in shapes.items()}


def extra_rows(case: Case) -> tuple[int, ...]:
    """The output_padding that names this case's size of x."""
    call = case.call
    outputs, kernel = call.read("y", case.y_shape)[1:-1], call.read("w", case.w_shape)[:-2]
    least = reference.transposed_sizes(call, outputs, kernel, 0)
    sizes = call.read("x", case.x_shape)[1:-1]
    return tuple(size - low for size, low in zip(sizes, least, strict=True))


def natural(case: Case) -> Case | None:
    """The same transposed convolution with the size that it takes when it is told none."""
    call, shape = case.call, case.x_shape
    if not case.transposable or 0 in (*shape, *case.y_shape, *case.w_shape):
        return None  # of sizes that all give no rows none is the natural one
    outputs, kernel = call.read("y", case.y_shape)[1:-1], call.read("w", case.w_shape)[:-2]
    n, *_, channels = call.read("x", shape)
    sizes = reference.transposed_sizes(call, outputs, kernel)
    chosen = dataclasses.replace(case, x_shape=call.write("x", (n, *sizes, channels)))
    try:
        return chosen if min(sizes) > 0 and chosen.y_shape == case.y_shape else None
    except ValueError:  # fewer rows than the padding mode copies
        return None
