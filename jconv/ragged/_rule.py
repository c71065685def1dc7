"""One spatial axis of a ragged convolution: what follows from the size of each example alone.

The equation b*i + p0 = s*o + d*k holds for every example with its own sizes i and o, and SAME with
a stride gives every example its own p0 as well. An example of I dilated rows leaves the remainder
(I - 1) mod s, and p0 depends on that remainder alone: there are at most s different layouts.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jconv._core.geometry import span

BY_SIZE = ("SAME", "SAME_LOWER")  # the paddings whose amount depends on the size


@dataclasses.dataclass(frozen=True)
class Rule:
    """The coefficients of one axis and its padding, a rule's name or (low, high)."""

    k: int
    s: int
    d: int
    b: int
    padding: str | tuple[int, int]
    modes: tuple[str, str] = ("zeros", "zeros")  # of the border before the rows, and behind them

    @property
    def window(self) -> int:
        """K, the rows that the filter covers."""
        return span(self.k, self.d)

    def _pads(self, remainder: int) -> tuple[int, int]:
        """(p0, p1) of an example whose (I - 1) mod s is `remainder`."""
        if self.padding in BY_SIZE:
            p = max(self.window - 1 - remainder, 0)
            half = p // 2
            return (half, p - half) if self.padding == "SAME" else (p - half, half)
        if self.padding == "CAUSAL":
            return self.window - 1, 0
        return (0, 0) if isinstance(self.padding, str) else self.padding

    @property
    def pads(self) -> tuple[tuple[int, int], ...]:
        """(p0, p1) for each remainder that makes a difference."""
        remainders = self.s if self.padding in BY_SIZE else 1
        # From a remainder of K - 1 on there is no padding, so these remainders are alike.
        return tuple(self._pads(r) for r in range(min(remainders, max(self.window, 1))))

    @property
    def low(self) -> tuple[int, int]:
        """The least and the most p0."""
        lows = [low for low, _ in self.pads]
        return min(lows), max(lows)

    @property
    def common(self) -> int:
        """The low padding that a plain convolution adds to all examples; negative for a crop.

        Copied borders are already in its input, so they are not added again.
        """
        return self.low[0] if self.modes[0] == "zeros" else min(self.low[0], 0)

    @property
    def bordered(self) -> bool:
        """Whether rows of the examples are copied into a border."""
        return self.modes != ("zeros", "zeros")

    @property
    def by_input(self) -> bool:
        """Whether the output's size depends on the input's alone, not on the filter's."""
        return self.padding in BY_SIZE or self.padding == "CAUSAL"

    @property
    def most_high(self) -> int:
        return max(high for _, high in self.pads)

    def outputs(self, sizes: jax.Array) -> jax.Array:
        """The rows of each example's result, from the rows of the example, `sizes`."""
        rows = self.dilated(sizes)
        if self.padding in BY_SIZE:
            return (rows + self.s - 1) // self.s
        low, high = self._pads(0)
        return jnp.maximum((rows + low + high - self.window) // self.s + 1, 0)

    def lows(self, sizes: Any) -> jax.Array | int:
        """p0 for each example; one number where it is the same for all."""
        if self.low[0] == self.low[1]:
            return self.low[0]
        p = self._amounts(sizes)
        return p // 2 if self.padding == "SAME" else p - p // 2

    def highs(self, sizes: Any) -> jax.Array | int:
        """p1 for each example; one number where it is the same for all."""
        if len(self.pads) == 1:
            return self.most_high
        return self._amounts(sizes) - self.lows(sizes)

    def _amounts(self, sizes: jax.Array) -> jax.Array:
        """P = p0 + p1 of SAME for each example."""
        return jnp.maximum(self.window - 1 - (self.dilated(sizes) - 1) % self.s, 0)

    def dilated(self, sizes: jax.Array) -> jax.Array:
        """The rows of each example once its input is dilated."""
        if self.b == 1:
            return sizes
        return jnp.maximum(self.b * (sizes - 1) + 1, 0)

    def consistent(self, outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The smallest and the largest size that the convolution takes to `outputs` rows."""
        least = self.smallest(outputs)
        return jnp.where(outputs > 0, jnp.maximum(least, 0), 0), least + self.s - 1

    def transposed(self, outputs: jax.Array) -> jax.Array:
        """The rows that a transposed convolution makes of `outputs` rows if no size is given."""
        if self.by_input:
            return self.s * outputs
        # A size of 0 would give outputs of padding alone, so at least one row is taken.
        return jnp.where(outputs > 0, jnp.maximum(self.smallest(outputs), 1), 0)

    def smallest(self, outputs: jax.Array) -> jax.Array:
        """The size that output_padding=0 names: the formula's value, as for a plain batch."""
        low, high = self._pads(0)
        if self.by_input:
            return self.s * (outputs - 1) + 1
        return self.s * (outputs - 1) + self.window - low - high
