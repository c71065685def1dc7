"""im2col: the windows of x as the rows of a matrix."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax

from jconv._algorithms.windows import lies_inside, masked, places
from jconv._core.geometry import Axis
from jconv._core.xla_cpu import kept_apart

LONG_RUN = 128  # elements side by side; copies of longer runs are no faster


@dataclasses.dataclass(frozen=True)
class Pass:
    """One copy, which lays out some of the axes.

    It takes (N, before, i..., done, run) to (N, before, o..., done, k..., run).
    """

    axes: tuple[Axis, ...]
    before: int  # rows of the axes that later passes lay out
    done: int  # windows of the axes that earlier passes laid out
    run: int  # elements of each of these windows

    @property
    def windows(self) -> int:
        return math.prod(axis.o for axis in self.axes) * self.done

    @property
    def elements(self) -> int:
        """Elements of an image after the pass."""
        return self.before * self.windows * math.prod(axis.k for axis in self.axes) * self.run

    @property
    def copies(self) -> bool:
        """Whether the pass moves anything: not where windows lie end to end already."""
        if any(axis.k > 1 for axis in self.axes) and (self.done > 1 or len(self.axes) > 1):
            return True
        return not all(
            axis.p0 == 0 and axis.s == axis.k and axis.d == 1 and axis.i == axis.o * axis.k
            for axis in self.axes
        )


def passes(axes: tuple[Axis, ...], channels: int) -> list[Pass]:
    """All axes in one pass; where channels are few the last axis first, for longer runs later."""
    found, done, run = [], 1, channels
    while axes:
        alone = run < LONG_RUN and axes[-1].k > 1
        axes, some = (axes[:-1], axes[-1:]) if alone else ((), axes)
        found.append(Pass(some, math.prod(axis.i for axis in axes), done, run))
        done = found[-1].windows
        run *= math.prod(axis.k for axis in some)
    return found


def im2col(x: jax.Array, axes: tuple[Axis, ...]) -> jax.Array:
    """x (N, i..., C) as a matrix with a row (k..., C) for each window (N, o...)."""
    n, run = x.shape[0], x.shape[-1]
    for each in passes(axes, run):
        # As three dimensions, none of one element if possible: XLA copies operands of other
        # shapes before it calls a computation with them.
        x = x.reshape(n * each.before, -1, each.run)
        if each.copies:
            x = kept_apart(jax.jit(functools.partial(lay_out, each)))(x)
    return x.reshape(n * math.prod(axis.o for axis in axes), -1)


def lay_out(each: Pass, x: jax.Array) -> jax.Array:
    """(N, i... * done, run) as (N, o..., done, k..., run), without dimensions of one element."""
    axes, rank = each.axes, len(each.axes)
    sizes = [*(axis.i for axis in axes[1:]), each.done]
    steps = [math.prod(sizes[at:]) for at in range(rank)]
    start = -sum(axis.p0 * step for axis, step in zip(axes, steps, strict=True))
    outputs = [(axis.o, axis.s * step) for axis, step in zip(axes, steps, strict=True)]
    taps = [(axis.k, axis.d * step) for axis, step in zip(axes, steps, strict=True)]
    x = places(x, 1, start, [*outputs, (each.done, 1), *taps])
    x = masked([*map(lies_inside, axes)], x, [(at, at + rank + 1) for at in range(1, rank + 1)])
    return x.reshape([size for size in x.shape if size > 1])
