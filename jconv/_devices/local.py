"""One leg on one device: what it receives, the local problem it runs, and what is added up.

Every way to many devices ends here: jconv.sharding inside shard_map, custom_partitioning on
automatic mesh axes, and explicit mesh axes. Arrays here are one device's parts, and collectives
may name the mesh axes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
from jax import lax

from jconv._core import jax_sharding
from jconv._core.geometry import Axis, Size
from jconv._core.problem import OPERANDS, OUTPUT, Problem, Slot
from jconv._devices.borders import Frame, pad_borders, pad_borders_adjoint
from jconv._devices.bring import Step, bring
from jconv._devices.exchange import (
    as_outputs,
    give_back,
    own_outputs,
    receive,
    without_tail,
)
from jconv._devices.halo import Border, Halo, split_axis
from jconv._devices.roles import SUMMED, Role, Split, roles_of

RunLeg = Callable[[Problem, jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class LocalLeg:
    """One leg as each device runs it.

    Attributes:
        problem: the whole leg's problem.
        split: how it is split.
        halos: for each spatial axis that is split, what is exchanged.
        local: the problem that every device runs, on an input that has its borders already.
        steps: for each operand, how it is brought from how it lies to how `split` needs it.
    """

    problem: Problem
    split: Split
    halos: tuple[Halo | None, ...]
    local: Problem
    steps: tuple[tuple[Step, ...], tuple[Step, ...]] = ((), ())

    def shape(self, slot: Slot) -> tuple[int, ...]:
        """The shape of a device's part of an array of the whole problem."""
        roles = roles_of(self.problem, slot)
        return tuple(
            -(-size // self.split.parts(role))
            for role, size in zip(roles, self.problem.shape(slot), strict=True)
        )


def localize(problem: Problem, split: Split) -> LocalLeg:
    """The local problem of every device, and the exchanges that lead to it."""
    halos: list[Halo | None] = []
    axes: list[Axis] = []
    for a, axis in enumerate(problem.axes):
        parts = split.parts(a)
        if parts == 1:
            halos.append(None)
            axes.append(axis)
            continue
        halo = _halo(problem, a, parts)
        gradient = problem.leg == "input_grad" and problem.borders is None
        halos.append(halo)
        axes.append(halo.axis.input_grad() if gradient else halo.axis)

    def share(role: Role, size: Size) -> Size:
        parts = split.parts(role)
        return size if parts == 1 else -(-size // parts)

    local = problem.unbordered.replace(
        axes=tuple(axes),
        n=share("n", problem.n),
        groups=share("g", problem.groups),
        c=share("c", problem.c),
        f=share("f", problem.f),
        vmapped=tuple(share("v", size) for size in problem.vmapped),
    )
    if any(halo is not None for halo in halos):  # a user who splits rows lacks memory
        local = local.replace(frugal=True)
    if split.reduced(problem.leg):  # the devices' sums are rounded once, after they are added
        local = local.replace(**{f"{OUTPUT[problem.leg]}_dtype": local.wide_dtype})
    return LocalLeg(problem, split, tuple(halos), local)


def _halo(problem: Problem, a: int, parts: int) -> Halo:
    """What is exchanged along spatial axis `a`: rows of x, in an input gradient rows of g.

    Where borders are made of x's rows, an input gradient uses the adjoint of conv's exchange.
    """
    if problem.borders is None:
        return split_axis(problem.window_axes[a], parts)
    (low, high), modes = problem.borders.pads[a], problem.borders.modes[a]
    if modes == ("zeros", "zeros"):  # the convolution itself pads this axis
        return split_axis(problem.axes[a], parts)
    border = Border(low, high, modes)
    unpadded = dataclasses.replace(problem.axes[a], i=problem.borders.sizes[a], p0=low)
    return split_axis(unpadded, parts, border)


def run_local(leg: LocalLeg, a: jax.Array, b: jax.Array, run: RunLeg) -> jax.Array:
    """A device's part of the result from its parts of the operands.

    Args:
        leg: what to do.
        a, b: the device's parts of the operands.
        run: runs a problem on its operands.
    """
    problem = leg.problem
    first, second = OPERANDS[problem.leg]
    sizes = dict(leg.split.sizes)
    a, b = (bring(part, steps, sizes) for part, steps in zip((a, b), leg.steps, strict=True))
    a, b = _without_tails(leg, first, a), _without_tails(leg, second, b)
    if problem.leg == "input_grad" and problem.borders is not None:
        out = _bordered_input_grad(leg, a, b, run)
    else:
        a = _read(leg, a)
        if problem.leg == "filter_grad":
            for dim, names, halo in _exchanges(leg):
                b = as_outputs(b, dim, names, halo)
        out = run(leg.local, a, b)
        if problem.leg != "filter_grad":
            for dim, names, halo in _exchanges(leg):
                out = own_outputs(out, dim, names, halo)
    names = leg.split.reduced(problem.leg)
    if names:
        out = lax.psum(jax_sharding.make_varying(out, names), names)
    return out.astype(problem.out_dtype)


def _exchanges(leg: LocalLeg) -> list[tuple[int, tuple[str, ...], Halo]]:
    """The dimension, mesh axes and halo of every spatial axis that is split."""
    first = len(leg.problem.vmapped) + 1
    return [
        (first + a, leg.split.names(a), halo)
        for a, halo in enumerate(leg.halos)
        if halo is not None
    ]


def _read(leg: LocalLeg, x: jax.Array) -> jax.Array:
    """The window operand (x, or g in an input gradient) with all that the local windows read."""
    for dim, names, halo in _exchanges(leg):
        x = receive(x, dim, names, halo)
    if leg.problem.borders is None:
        return x
    return _padded(leg, x.astype(leg.local.x_dtype), adjoint=False)


def _bordered_input_grad(leg: LocalLeg, g: jax.Array, w: jax.Array, run: RunLeg) -> jax.Array:
    """The adjoint of `_read` after the local input gradient."""
    for dim, names, halo in _exchanges(leg):
        g = as_outputs(g, dim, names, halo)
    out = _padded(leg, run(leg.local, g, w), adjoint=True)
    for dim, names, halo in reversed(_exchanges(leg)):
        out = give_back(out, dim, names, halo)
    return out


def _without_tails(leg: LocalLeg, slot: Slot, array: jax.Array) -> jax.Array:
    """A part of an operand, with zeros in what fills it up along dimensions that the leg sums over.

    A last part that is smaller than the others is filled up with numbers that may be anything, and
    a sum over the batch or over channels would add them. Spatial axes are left to the exchange,
    which knows which rows are read.
    """
    problem, split = leg.problem, leg.split
    shape = problem.shape(slot)
    for dim, role in enumerate(roles_of(problem, slot)):
        if role in SUMMED[problem.leg] and split.names(role):
            parts = split.parts(role)
            array = without_tail(array, dim, split.names(role), parts, shape[dim])
    return array


def _padded(leg: LocalLeg, x: jax.Array, *, adjoint: bool) -> jax.Array:
    """x with borders on the spatial axes that are not split; or the adjoint of that."""
    borders, first = leg.problem.borders, len(leg.problem.vmapped)
    assert borders is not None  # the callers looked
    split = [halo is not None for halo in leg.halos]
    images = x.reshape(-1, *x.shape[first + 1 :]) if first else x
    of_axes = zip(split, images.shape[1:-1], borders.sizes, borders.pads, strict=True)
    parts = [(rows, (0, 0)) if s else (size, pair) for s, rows, size, pair in of_axes]
    here = Frame(borders.modes, tuple(rows for rows, _ in parts), tuple(pair for _, pair in parts))
    images = pad_borders_adjoint(images, here) if adjoint else pad_borders(images, here)
    return images.reshape(*x.shape[: first + 1], *images.shape[1:]) if first else images
