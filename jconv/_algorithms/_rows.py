"""Windows of x, where they lie and as the rows of a matrix (im2col)."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jconv._core.geometry import Axis
from jconv._core.xla_cpu import kept_apart

TERMS = 16  # that one loop adds up, each of its own windows: of more, XLA copies what they read
RUN = 128  # elements from which on a copy is as fast as of longer runs


def tap_of(x: jax.Array, dim: int, tap: int, axis: Axis) -> jax.Array:
    """What one tap reads along one axis, for every window."""
    start = tap * axis.d
    return lax.slice_in_dim(x, start, start + axis.s * (axis.o - 1) + 1, axis.s, axis=dim)


def places(x: jax.Array, dim: int, start: int, steps: Sequence[tuple[int, int]]) -> jax.Array:
    """One dimension of x as several, of (count, step) each, read where they lie.

    Place start + n*step + m*step' + ... goes round at the ends. Among copies of x laid end to end
    it is also found at n*(step + c*size) for any whole c, so that places that overlap lie side by
    side there, and a cut is a slice and a reshape. A loop that all of this is fused into copies
    nothing for it.
    """
    for at, (count, step) in enumerate(steps, dim):
        size = x.shape[at]
        reach = 1 + sum((count - 1) * step for count, step in steps[at - dim + 1 :])
        step += size * max(0, -(-(reach - step) // size))
        first, start = start % size, 0
        copies = -(-(first + count * step) // size)
        lead, rest = x.shape[:at], x.shape[at + 1 :]
        x = jnp.broadcast_to(lax.expand_dims(x, [at]), (*lead, copies, size, *rest))
        x = lax.slice_in_dim(x.reshape(*lead, -1, *rest), first, first + count * step, axis=at)
        x = lax.slice_in_dim(x.reshape(*lead, count, step, *rest), 0, reach, axis=at + 1)
    return lax.squeeze(x, [dim + len(steps)])


def around(x: jax.Array, dim: int, axis: Axis) -> jax.Array:
    """One axis of x as its windows (o, k), read where they lie: places outside go round."""
    return places(x, dim, -axis.p0, [(axis.o, axis.s), (axis.k, axis.d)])


def lies_inside(axis: Axis) -> np.ndarray:
    """Whether output o finds tap k inside of x."""
    at = axis.s * np.arange(axis.o)[:, None] + axis.d * np.arange(axis.k) - axis.p0
    return (at >= 0) & (at < axis.i)


def shifts_of(axis: Axis) -> dict[int, dict[int, int]]:
    """For each row r that any residue reads at u = 0, the tap that each of these meets there.

    b*i = s*(b*u + c) + d*k - p0, so i = s*u + (s*c + d*k - p0)/b where that is whole.
    """
    shifts: dict[int, dict[int, int]] = {}
    for k, c in itertools.product(range(axis.k), range(axis.b)):
        row = axis.s * c + axis.d * k - axis.p0
        if row % axis.b == 0:
            shifts.setdefault(row // axis.b, {})[c] = k
    return shifts


def padded_rows(axes: Sequence[Axis]) -> int:
    """Places of the padded operand's copy; 0 where the operand is read as it is."""
    sizes = []
    for axis in axes:
        rows = shifts_of(axis)
        low = max(0, -min(rows, default=0))
        last = max(rows, default=0) + axis.s * (-(-axis.o // axis.b) - 1)
        sizes.append(low + last + 1)
    return 0 if sizes == [axis.i for axis in axes] else math.prod(sizes)


MOST_PLACES = 1 << 25  # bytes of an axis' mask (o, k): it is a constant of the program


def too_many_places(axes: Sequence[Axis]) -> str | None:
    """The reason why windows of these axes are not to be told from what lies outside of x."""
    if any(axis.o * axis.k > MOST_PLACES for axis in axes):
        return f"needs a mask of over {MOST_PLACES} bytes for its windows"
    return None


def only(inside: Sequence[np.ndarray], x: jax.Array, pairs: Sequence[tuple[int, int]]) -> jax.Array:
    """x with zeros but where each pair of its dimensions says so.

    A select of lax: `jnp.where` is a call, which would not fuse. One array for all of them would
    be of the size of an image.
    """
    held = None
    for each, dims in zip(inside, pairs, strict=True):
        if not each.all():
            each = lax.broadcast_in_dim(each, x.shape, dims)
            held = each if held is None else held & each
    return x if held is None else lax.select(held, x, lax.full_like(x, 0))


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


def gather(x: jax.Array, axes: tuple[Axis, ...]) -> jax.Array:
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
