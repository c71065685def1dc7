"""One frozen description of one leg of one convolution: all that an algorithm needs to know.

The convolution is a trilinear form in three slots, x, w and y, and a leg is the partial
derivative of that form in one slot: it takes arrays for two slots and returns the third.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Literal, Protocol

from jconv._core.geometry import Axis, Shape, Size, is_static, product, same

Leg = Literal["conv", "input_grad", "filter_grad"]
Slot = Literal["x", "w", "y"]

LEGS: tuple[Leg, ...] = ("conv", "input_grad", "filter_grad")
OPERANDS: dict[Leg, tuple[Slot, Slot]] = {
    "conv": ("x", "w"),
    "input_grad": ("y", "w"),
    "filter_grad": ("x", "y"),
}
OUTPUT: dict[Leg, Slot] = {"conv": "y", "input_grad": "x", "filter_grad": "w"}
LEG_OF: dict[Slot, Leg] = {"y": "conv", "x": "input_grad", "w": "filter_grad"}

ONE_WINDOW = "window"  # the policy of a problem that the policy "local" has cut to one example


@functools.lru_cache(maxsize=256)
def compute_dtype(*dtypes: str) -> str:
    """The dtype of products and sums: float32 or wider; for integers the last dtype given.

    Half precision is widened because XLA's CPU backend accumulates in the operands' precision,
    whatever element type is preferred; the products are then exact.
    """
    kinds = {"complex" if "complex" in d else "float" if "float" in d else "int" for d in dtypes}
    double = bool({"float64", "complex128"} & set(dtypes))
    if "complex" in kinds:
        return "complex128" if double else "complex64"
    if "float" in kinds:
        return "float64" if double else "float32"
    return dtypes[-1]


@functools.lru_cache(maxsize=64)
def itemsize(dtype: str) -> int:
    """Bytes of one element; less than a byte counts as one."""
    bits = re.search(r"\d+", dtype)
    return max(int(bits.group()) // 8, 1) if bits else 1


class Tuning(Protocol):
    """Measured seconds, used instead of predicted ones; hashable, as a field of a problem."""

    def times(self, problem: Problem, platform: str) -> Mapping[str, float]:
        """Seconds by algorithm; empty where this problem was not measured on this platform."""
        ...


class Borders(Protocol):
    """What a padding mode other than zeros adds around x before a convolution without pads."""

    @property
    def modes(self) -> tuple[tuple[str, str], ...]: ...  # of each axis, below and above it

    @property
    def sizes(self) -> Shape: ...  # x's own spatial sizes

    @property
    def pads(self) -> tuple[tuple[Size, Size], ...]: ...


@dataclasses.dataclass(frozen=True)
class Problem:
    """One leg, in jconv's own layout: x (N, i..., G*C), w (k..., C, G*F), y (N, o..., G*F).

    Attributes:
        vmapped: () or one leading dimension that x, w and y all have, from a vmap over both
            operands: no single convolution computes that.
        borders: padding other than zeros, added to x before the leg runs (a backprop adds it
            to x's cotangent after). Algorithms only see problems without borders.
        orders: for x, w and y, where each dimension of jconv's own layout stands in the
            caller's arrays, which are then the leg's operands and result. None: jconv's own.
        high: the high pads that the caller wrote; None: as few as give o windows. `orders` and
            `high` only matter where a leg is lowered to the attributes that lax would write.
        frugal: whether, of algorithms that are about as fast, the one with the least workspace
            is to run.
    """

    leg: Leg
    axes: tuple[Axis, ...]
    n: Size
    groups: int
    c: Size  # input channels of one group
    f: Size  # output channels of one group
    x_dtype: str
    w_dtype: str
    y_dtype: str
    vmapped: Shape = ()
    precision: tuple[str, str] = ("DEFAULT", "DEFAULT")
    policy: str = "auto"
    workspace: int | None = None
    runs: int | None = None  # of the program; None: compiling does not count
    tuning: Tuning | None = None
    borders: Borders | None = None  # `axes` are then those of the padded x
    orders: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None = None
    high: tuple[int, ...] | None = None
    frugal: bool = False

    def shape(self, slot: Slot) -> Shape:
        if slot == "w":
            return (*self.vmapped, *(a.k for a in self.axes), self.c, self.groups * self.f)
        if slot == "x":
            rows = self.borders.sizes if self.borders else tuple(a.i for a in self.axes)
            return (*self.vmapped, self.n, *rows, self.groups * self.c)
        return (*self.vmapped, self.n, *(a.o for a in self.axes), self.groups * self.f)

    def order(self, slot: Slot) -> tuple[int, ...]:
        """Where each dimension of `shape` stands in the caller's array."""
        lead = len(self.vmapped)
        own = range(self.rank + 2) if self.orders is None else self.orders["xwy".index(slot)]
        return (*range(lead), *(lead + at for at in own))

    def laid_out(self, slot: Slot) -> Shape:
        """The shape of the caller's array."""
        sizes = dict(zip(self.order(slot), self.shape(slot), strict=True))
        return tuple(sizes[at] for at in range(len(sizes)))

    def dtype(self, slot: Slot) -> str:
        return {"x": self.x_dtype, "w": self.w_dtype, "y": self.y_dtype}[slot]

    @functools.cached_property
    def window_axes(self) -> tuple[Axis, ...]:
        """The axes of the forward convolution whose windows the leg reads.

        An input backprop is a forward convolution of g. A filter backprop reads conv's windows.
        """
        if self.leg == "input_grad":
            return tuple(axis.input_grad() for axis in self.axes)
        return self.axes

    @property
    def out_shape(self) -> Shape:
        return self.shape(OUTPUT[self.leg])

    @property
    def out_dtype(self) -> str:
        return self.dtype(OUTPUT[self.leg])

    @functools.cached_property
    def wide_dtype(self) -> str:
        """The dtype that the leg computes in."""
        return compute_dtype(*(self.dtype(slot) for slot in OPERANDS[self.leg]), self.out_dtype)

    @property
    def sums_bytes(self) -> bool:
        """Whether int8 operands give int32 sums: exact without being widened first."""
        given = {self.dtype(slot) for slot in OPERANDS[self.leg]}
        return given == {"int8"} and self.out_dtype == "int32"

    @property
    def rank(self) -> int:
        return len(self.axes)

    @functools.cached_property
    def static(self) -> bool:
        sizes = (self.n, self.c, self.f, *self.vmapped)
        return is_static(*sizes) and all(axis.static for axis in self.axes)

    @functools.cached_property
    def empty(self) -> bool:
        """Whether the sum has no terms, so that the leg is zeros of its shape."""
        sizes = (self.n, self.c, self.f, self.groups, *self.vmapped)
        return any(same(size, 0) for size in sizes) or any(axis.empty for axis in self.axes)

    @property
    def multiplications(self) -> Size:
        """Products in the sum, padding and dilation holes included: n * G*C*F * prod(o*k)."""
        windows = product([axis.o * axis.k for axis in self.axes])
        return product(self.vmapped) * self.n * self.groups * self.c * self.f * windows

    @property
    def bare(self) -> Problem:
        """The problem without its policy, its limits, tuning table and the caller's layout."""
        return self.unordered.replace(
            policy="auto", workspace=None, runs=None, tuning=None, frugal=False
        )

    @property
    def unordered(self) -> Problem:
        """The problem in jconv's own layout, the caller's `orders` and `high` left out."""
        return self.replace(orders=None, high=None)

    @property
    def unbordered(self) -> Problem:
        """The problem whose x has its borders added already.

        Its x is float32 or wider: a row copied into a border sums several cotangents.
        """
        if self.borders is None:
            return self
        return self.replace(borders=None, x_dtype=compute_dtype(self.x_dtype))

    def replace(self, **changes: object) -> Problem:
        return dataclasses.replace(self, **changes)  # pyright: ignore[reportArgumentType]
