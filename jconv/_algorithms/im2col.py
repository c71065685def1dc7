"""Windows of x as the rows of a matrix (im2col)."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax

from jconv._algorithms.windows import lies_inside, only, places
from jconv._core.geometry import Axis
from jconv._core.xla_cpu import kept_apart

RUN = 128  # elements from which on a copy is as fast as of longer runs


@dataclasses.dataclass(frozen=True)
class Pass:
    """Some axes laid out: (N, before, i..., done, run) as (N, before, o..., done, k..., run)."""

    axes: tuple[Axis, ...]
    before: int  # rows of the axes that are still to come
    done: int  # windows of those that are laid out
    run: int  # elements of each

    @property
    def windows(self) -> int:
        return math.prod(axis.o for axis in self.axes) * self.done

    @property
    def elements(self) -> int:
        """Of an image, when it is done."""
        return self.before * self.windows * math.prod(axis.k for axis in self.axes) * self.run

    @property
    def copies(self) -> bool:
        """Unless windows lie end to end, and nothing is to come between the taps of one."""
        if any(axis.k > 1 for axis in self.axes) and (self.done > 1 or len(self.axes) > 1):
            return True
        return not all(
            axis.p0 == 0 and axis.s == axis.k and axis.d == 1 and axis.i == axis.o * axis.k
            for axis in self.axes
        )


def passes(axes: tuple[Axis, ...], channels: int) -> list[Pass]:
    """All axes at once, or the last alone where channels are few: others then copy longer runs."""
    found, done, run = [], 1, channels
    while axes:
        alone = run < RUN and axes[-1].k > 1
        axes, some = (axes[:-1], axes[-1:]) if alone else ((), axes)
        found.append(Pass(some, math.prod(axis.i for axis in axes), done, run))
        done = found[-1].windows
        run *= math.prod(axis.k for axis in some)
    return found


def im2col(x: jax.Array, axes: tuple[Axis, ...]) -> jax.Array:
    """x (N, i..., C) as a matrix with a row (k..., C) for each window (N, o...)."""
    n, run = x.shape[0], x.shape[-1]
    for each in passes(axes, run):
        # Three dimensions, none of one element if it can be: XLA copies others to call with them.
        x = x.reshape(n * each.before, -1, each.run)
        if each.copies:
            x = kept_apart(jax.jit(functools.partial(windows, each)))(x)
    return x.reshape(n * math.prod(axis.o for axis in axes), -1)


def windows(each: Pass, x: jax.Array) -> jax.Array:
    """(N, i... * done, run) as (N, o..., done, k..., run), without dimensions of one element."""
    axes, rank = each.axes, len(each.axes)
    sizes = [*(axis.i for axis in axes[1:]), each.done]
    steps = [math.prod(sizes[at:]) for at in range(rank)]
    start = -sum(axis.p0 * step for axis, step in zip(axes, steps, strict=True))
    outputs = [(axis.o, axis.s * step) for axis, step in zip(axes, steps, strict=True)]
    taps = [(axis.k, axis.d * step) for axis, step in zip(axes, steps, strict=True)]
    x = places(x, 1, start, [*outputs, (each.done, 1), *taps])
    x = only([*map(lies_inside, axes)], x, [(at, at + rank + 1) for at in range(1, rank + 1)])
    return x.reshape([size for size in x.shape if size > 1])
