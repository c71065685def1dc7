"""A trial: one configuration, how jconv is asked for it, and whether its answers are right.

Operands are small whole numbers, so that what forms the definition's products comes out exact in
any order of summation; what may form other products comes out within a derived bound.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jconv._ops import conv as ops
from jconv._planner.policy import policy
from jconv._trace.accelerate import accelerate
from jconv.testing import _reference as reference
from jconv.testing._cases import Case
from jconv.testing._questions import SLOTS, Item, Question
from jconv.testing._rounding import EXACT_BELOW, HALVES, bound
from jconv.testing.soak.by_taps import leg_by_taps

EXPLICIT = ("conv", "conv_input_grad", "conv_filter_grad")
OPS = (*EXPLICIT, "conv_transpose", "value_and_grad", "transformed", "accelerated", "split")
ALL_SLOTS = ("value_and_grad", "accelerated", "split")  # their results are y, x' and w'

FEW = 1000  # elements of an operand, for which rounding's own bound is computed

Holes = tuple[tuple[int, int, int], ...]  # for each spatial axis, lax.pad's (low, high, interior)
Spec = tuple[str | None, ...]  # for each dimension the mesh axis that splits it


@dataclasses.dataclass(frozen=True)
class Split:
    """How x and w lie over simulated devices.

    Attributes:
        mesh: devices along the mesh axes "a" and "b".
        x, w: for each dimension of x and of w the mesh axis that splits it.
        manual: by `jax.shard_map`, the batch over "a", in place of XLA's partitioner.
    """

    mesh: tuple[int, int]
    x: Spec
    w: Spec
    manual: bool


@dataclasses.dataclass(frozen=True)
class Trial:
    """One configuration and how it is run.

    Attributes:
        case: the convolution.
        dtype: of all operands.
        rule: the policy: "auto", "local", "exact" or the name of an algorithm.
        precision: the `jax.default_matmul_precision`.
        jit: compiled with other trials, or eagerly.
        holes: x and g are made by the caller's own lax.pad, which XLA folds into convolutions.
        told: how conv_transpose is told its size: "output_shape", "output_padding" or "".
        transformed: an operation under a transformation, of its own operands.
        names: the operations that are run, unless the soak is asked for certain ones.
        seed: of the operands' values.
        split: how the operands lie over devices; None on one device.
    """

    case: Case
    dtype: str
    rule: str
    precision: str | None
    jit: bool
    holes: dict[str, Holes]
    told: str
    transformed: Question
    names: tuple[str, ...]
    seed: int
    split: Split | None = None

    @property
    def exact(self) -> bool:
        """Whether no algorithm may run that forms other products than the definition.

        Under an algorithm's name too: where it has no leg, and inside of it, any may run.
        """
        return (
            self.rule in ("exact", "local", "direct")
            or self.precision == "highest"
            or self.dtype == "int8"
        )


# --- operands -----------------------------------------------------------------------------

Arrays = dict[str, Any]


def operands(trial: Trial) -> Arrays:
    """x, w and y (which is g) in small integers, zero where the caller's lax.pad puts zeros."""
    rng, case = np.random.default_rng(trial.seed), trial.case
    arrays = {}
    for slot, shape in (("x", case.x_shape), ("w", case.w_shape), ("y", case.y_shape)):
        values = rng.integers(-3, 4, shape).astype(np.float64)
        if trial.dtype.startswith("complex"):
            values = values + 1j * rng.integers(-3, 4, shape)
        if slot in trial.holes:
            kept = np.zeros_like(values)
            kept[_inside(trial, slot)] = values[_inside(trial, slot)]
            values = kept
        arrays[slot] = values
    return arrays


def _places(trial: Trial, slot: str) -> list[tuple[int, int, int]]:
    """lax.pad's amounts for every dimension of a slot, in the caller's layout."""
    order = trial.case.call.orders()[slot]
    amounts = [(0, 0, 0)] * len(order)
    for position, hole in zip(order[1:-1], trial.holes[slot], strict=True):
        amounts[position] = hole
    return amounts


def _inside(trial: Trial, slot: str) -> tuple[slice, ...]:
    return tuple(slice(lo, -hi or None, gap + 1) for lo, hi, gap in _places(trial, slot))


def operands_given(trial: Trial, names: Sequence[str]) -> Arrays:
    """The arrays that are handed over: without the rows that lax.pad is to add, and on a mesh."""
    given: Arrays = {}
    for slot, values in operands(trial).items() if set(names) != {"transformed"} else ():
        inside = _inside(trial, slot) if slot in trial.holes else ...
        given[slot] = values[inside].astype(jnp.dtype(trial.dtype))
    if "transformed" in names:
        given["transformed"] = trial.transformed.operands()
    if trial.split is not None:
        mesh = mesh_of(trial.split)
        lies = {"x": trial.split.x, "w": trial.split.w, "y": ()}
        for slot, spec in lies.items():
            given[slot] = jax.device_put(given[slot], NamedSharding(mesh, P(*spec)))
    return given


def mesh_of(split: Split) -> jax.sharding.Mesh:
    """Auto axes over the first devices."""
    count = split.mesh[0] * split.mesh[1]
    devices = np.array(jax.devices()[:count]).reshape(split.mesh)
    return jax.sharding.Mesh(devices, ("a", "b"))


# --- running ------------------------------------------------------------------------------


def _transpose_keywords(trial: Trial) -> dict[str, Any]:
    case = trial.case
    call = reference.Call(case.rank, **case.transpose_kwargs)
    sizes = call.read("x", case.x_shape)[1:-1]
    outputs, kernel = call.read("y", case.y_shape)[1:-1], call.read("w", case.w_shape)[:-2]
    keywords = dict(case.transpose_kwargs)
    if trial.told == "output_padding" and all(outputs):
        least = reference.transposed_sizes(call, outputs, kernel, 0)
        keywords["output_padding"] = tuple(np.subtract(sizes, least).tolist())
    elif trial.told or not all(outputs):
        keywords["output_shape"] = sizes
    return keywords


def _by_lax(case: Case) -> Callable[[Any, Any], Any]:
    """The case as a call of lax's, for accelerate to find."""
    call = case.call
    axes = call.axes(call.read("x", case.x_shape)[1:-1], call.read("w", case.w_shape)[:-2])
    orders = call.orders()
    specs = (
        (orders["x"][0], orders["x"][-1], *orders["x"][1:-1]),
        (orders["w"][-1], orders["w"][-2], *orders["w"][:-2]),
        (orders["y"][0], orders["y"][-1], *orders["y"][1:-1]),
    )
    return lambda x, w: lax.conv_general_dilated(
        x,
        w,
        window_strides=[axis.s for axis in axes],
        padding=[(axis.p0, axis.p1) for axis in axes],
        lhs_dilation=[axis.b for axis in axes],
        rhs_dilation=[axis.d for axis in axes],
        dimension_numbers=lax.ConvDimensionNumbers(*specs),
        feature_group_count=call.groups,
    )


def run(trial: Trial, names: Sequence[str], given: Arrays) -> dict[str, Any]:
    """Each result of jconv by name; traceable."""
    case = trial.case
    arrays = dict(given)
    for slot in trial.holes if "x" in given else ():
        zero = jnp.zeros((), arrays[slot].dtype)
        arrays[slot] = lax.pad(arrays[slot], zero, _places(trial, slot))
    x: Any = arrays.get("x")  # none of the three where only "transformed" is asked
    w: Any = arrays.get("w")
    g: Any = arrays.get("y")
    keywords = dict(case.kwargs)
    if trial.dtype == "int8":
        keywords["preferred_element_type"] = jnp.int32

    def conv(x: Any, w: Any) -> Any:
        return ops.conv(x, w, **keywords)

    def step(conv: Callable[..., Any], x: Any = x, w: Any = w, g: Any = g) -> tuple[Any, Any, Any]:
        y, pullback = jax.vjp(conv, x, w)
        return y, *pullback(g)

    by_name: dict[str, Callable[[], Any]] = {
        "conv": lambda: conv(x, w),
        "conv_input_grad": lambda: ops.conv_input_grad(g, w, input_shape=case.x_shape, **keywords),
        "conv_filter_grad": lambda: ops.conv_filter_grad(
            x, g, filter_shape=case.w_shape, **keywords
        ),
        "conv_transpose": lambda: ops.conv_transpose(g, w, **_transpose_keywords(trial)),
        "value_and_grad": lambda: step(conv),
        "accelerated": lambda: accelerate(functools.partial(step, _by_lax(case)))(x, w, g),
        "split": lambda: step(_on_each_device(trial, conv)),
        "transformed": lambda: trial.transformed.run(
            getattr(ops, trial.transformed.op), arrays["transformed"]
        ),
    }
    with policy(trial.rule), jax.default_matmul_precision(trial.precision):
        return {name: by_name[name]() for name in names}


def _on_each_device(trial: Trial, conv: Callable[..., Any]) -> Callable[..., Any]:
    """conv as XLA is to split it, or under shard_map with the batch split over "a"."""
    split = trial.split
    if split is None or not split.manual:
        return conv
    order = trial.case.call.orders()
    x = P(*("a" if at == order["x"][0] else None for at in range(trial.case.rank + 2)))
    y = P(*("a" if at == order["y"][0] else None for at in range(trial.case.rank + 2)))
    return jax.shard_map(conv, mesh=mesh_of(split), in_specs=(x, P()), out_specs=y)


def askable(trial: Trial, names: Sequence[str]) -> list[str]:
    """The operations that this trial is to run when a soak is asked for `names`."""
    if trial.dtype == "int8":
        return [name for name in names if name == "conv"]
    if set(names) == set(OPS):
        return list(trial.names)
    once = ("transformed", "accelerated", "split")  # not of every trial
    names = [name for name in names if name not in once or name in trial.names]
    if trial.split is not None:
        names = [name for name in names if name == "split"]
    return [name for name in names if name != "conv_transpose" or trial.case.transposable]


# --- judging ------------------------------------------------------------------------------


def items(trial: Trial, name: str, arrays: Arrays) -> list[Item]:
    """The arrays that an operation returns, each as a leg on known operands."""
    if name == "transformed":
        return trial.transformed.items()
    case, outs = trial.case, "yxw" if name in ALL_SLOTS else SLOTS[name][0]
    if name == "conv_transpose":
        call = reference.Call(case.rank, **case.transpose_kwargs)
        n, *_, channels = call.read("x", case.x_shape)
        sizes = _sizes_of_result(trial, call)
        case = dataclasses.replace(case, x_shape=call.write("x", (n, *sizes, channels)))
    return [Item(case, out, {s: arrays[s] for s in "xwy" if s != out}) for out in outs]


def _sizes_of_result(trial: Trial, call: reference.Call) -> Sequence[int]:
    """The spatial sizes that conv_transpose must give: those that it was told, or its own."""
    case, keywords = trial.case, _transpose_keywords(trial)
    if keywords.keys() & {"output_shape", "output_padding"}:
        return call.read("x", case.x_shape)[1:-1]
    outputs, kernel = call.read("y", case.y_shape)[1:-1], call.read("w", case.w_shape)[:-2]
    return reference.transposed_sizes(call, outputs, kernel)


def _limit(trial: Trial, item: Item) -> Any:
    """How far from a whole number an algorithm that forms other products may come."""
    sizes = [array.size for array in item.operands.values()]
    if max(sizes) > FEW and trial.dtype not in HALVES:
        return EXACT_BELOW  # the bound for sums as long as these is rarely below it
    limit = bound(item, trial.dtype, False, leg_by_taps)
    return limit if trial.dtype in HALVES else np.minimum(limit, EXACT_BELOW)


def check(trial: Trial, names: Sequence[str], got: dict[str, Any]) -> tuple[int, list[list[str]]]:
    """How many values were compared, and [operation, what is wrong with it].

    What is exact must be equal, and what may form other products must be right to the nearest
    whole number, where the dtype holds them, and of small operands within the bound too.
    """
    count, wrong, arrays = 0, [], operands(trial)
    dtype = jnp.dtype("int32" if trial.dtype == "int8" else trial.dtype)
    wide = np.complex128 if trial.dtype.startswith("complex") else np.float64
    for name in askable(trial, names):
        for have, item in zip(jax.tree.leaves(got[name]), items(trial, name, arrays), strict=True):
            have, want = np.asarray(have), leg_by_taps(item.case, item.out, item.operands)
            if have.shape != want.shape or have.dtype != dtype:
                told = f"{have.dtype}{have.shape} instead of {dtype}{want.shape}"
                wrong.append([name, told])
                continue
            off = abs(have.astype(wide) - want.astype(dtype).astype(wide))
            limit: Any = 0.0
            if not trial.exact and np.any(off):
                # From the sum before rounding: a tie in bfloat16 may be rounded either way.
                off, limit = abs(have.astype(wide) - want.astype(wide)), _limit(trial, item)
            bad = ~(off <= limit)
            count += have.size
            if bad.any():
                worst = f"{int(bad.sum())} of {bad.size} values, by up to {off.max():g}"
                wrong.append([name, worst])
    return count, wrong
