"""A trial: one configuration, how jconv is asked for it, and whether its answers are right.

Operands are small whole numbers. So an algorithm that forms the definition's products gives the
exact result in any order of summation, and one that forms other products a result within a bound.
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
from jconv.testing.oracle.case import (
    Case,
    axes_of,
    output_padding_of,
    rows_of,
    shapes_of,
    transposed_rows,
    with_rows,
)
from jconv.testing.oracle.legs import SLOTS, Item
from jconv.testing.oracle.rounding import EXACT_BELOW, HALVES, bound, widened
from jconv.testing.soak.by_taps import leg_by_taps
from jconv.testing.transformations.questions import Question

EXPLICIT = ("conv", "conv_input_grad", "conv_filter_grad")
OPS = (*EXPLICIT, "conv_transpose", "value_and_grad", "transformed", "accelerated", "split")
ALL_SLOTS = ("value_and_grad", "accelerated", "split")  # these return y and both gradients

FEW = 1000  # elements of an operand, up to which the bound on rounding is computed

Holes = tuple[tuple[int, int, int], ...]  # for each spatial axis, lax.pad's (low, high, interior)
Spec = tuple[str | None, ...]  # for each dimension the mesh axis that splits it, if any


@dataclasses.dataclass(frozen=True)
class Split:
    """How x and w lie over simulated devices.

    Attributes:
        mesh: devices along the mesh axes "a" and "b".
        x, w: for each dimension of x and of w the mesh axis that splits it.
        manual: whether `jax.shard_map` splits the batch over "a", in place of XLA's partitioner.
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
        transformed: an operation under a transformation, on its own operands.
        names: the operations that are run, unless the soak is asked for certain ones.
        seed: of the operands' values.
        precision: the `jax.default_matmul_precision`.
        jit: whether it is compiled, with other trials, or runs eagerly.
        holes: by slot, how a lax.pad makes x and g, which XLA folds into the convolution.
        given: what gives conv_transpose its result's size: "output_shape", "output_padding" or "".
        split: how the operands lie over devices; None on one device.
    """

    case: Case
    dtype: str
    rule: str
    transformed: Question
    names: tuple[str, ...]
    seed: int
    precision: str | None = None
    jit: bool = True
    holes: dict[str, Holes] = dataclasses.field(default_factory=dict)
    given: str = "output_shape"
    split: Split | None = None

    @property
    def exact(self) -> bool:
        """Whether only algorithms run that form the products of the definition.

        Under an algorithm's name others may run too, in a leg that it does not support.
        """
        return (
            self.rule in ("exact", "local", "direct")
            or self.precision == "highest"
            or self.dtype == "int8"
        )


# --- operands -----------------------------------------------------------------------------

Arrays = dict[str, Any]


def operands(trial: Trial) -> Arrays:
    """x, w and y (which is g) in whole numbers, with zeros where lax.pad is to put zeros."""
    rng, case = np.random.default_rng(trial.seed), trial.case
    arrays = {}
    for slot, shape in shapes_of(case).items():
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
    """lax.pad's (low, high, interior) for every dimension of a slot, in the case's layout."""
    order = trial.case.call.orders()[slot]
    amounts = [(0, 0, 0)] * len(order)
    for position, hole in zip(order[1:-1], trial.holes[slot], strict=True):
        amounts[position] = hole
    return amounts


def _inside(trial: Trial, slot: str) -> tuple[slice, ...]:
    return tuple(slice(lo, -hi or None, gap + 1) for lo, hi, gap in _places(trial, slot))


def operands_given(trial: Trial, names: Sequence[str]) -> Arrays:
    """The arrays that `run` is given: without the rows that lax.pad adds, and split on a mesh."""
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
    """A mesh of the first devices, whose axes XLA's partitioner splits."""
    count = split.mesh[0] * split.mesh[1]
    devices = np.array(jax.devices()[:count]).reshape(split.mesh)
    return jax.sharding.Mesh(devices, ("a", "b"))


# --- running ------------------------------------------------------------------------------


def _transpose_keywords(trial: Trial) -> dict[str, Any]:
    case = trial.case
    has_rows = all(rows_of(case, "y"))
    keywords = dict(case.transpose_kwargs)
    if trial.given == "output_padding" and has_rows:
        keywords["output_padding"] = output_padding_of(case)
    elif trial.given or not has_rows:
        keywords["output_shape"] = rows_of(case, "x")
    return keywords


def _by_lax(case: Case) -> Callable[[Any, Any], Any]:
    """The case as a call of lax's, for accelerate to find."""
    axes, orders = axes_of(case), case.call.orders()
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
        feature_group_count=case.call.groups,
    )


def run(trial: Trial, names: Sequence[str], given: Arrays) -> dict[str, Any]:
    """jconv's results by name; traceable by JAX."""
    case = trial.case
    arrays = dict(given)
    for slot in trial.holes if "x" in given else ():
        zero = jnp.zeros((), arrays[slot].dtype)
        arrays[slot] = lax.pad(arrays[slot], zero, _places(trial, slot))
    x: Any = arrays.get("x")  # None, like w and g, where only "transformed" is run
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
    """conv itself, which XLA splits, or under shard_map with the batch split over "a"."""
    split = trial.split
    if split is None or not split.manual:
        return conv
    order = trial.case.call.orders()
    x = P(*("a" if at == order["x"][0] else None for at in range(trial.case.rank + 2)))
    y = P(*("a" if at == order["y"][0] else None for at in range(trial.case.rank + 2)))
    return jax.shard_map(conv, mesh=mesh_of(split), in_specs=(x, P()), out_specs=y)


def askable(trial: Trial, names: Sequence[str]) -> list[str]:
    """The operations that this trial runs when a soak is asked for `names`."""
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
    """The arrays that an operation returns, each as a leg of known operands."""
    if name == "transformed":
        return trial.transformed.items()
    case, outs = trial.case, "yxw" if name in ALL_SLOTS else SLOTS[name][0]
    if name == "conv_transpose" and not (
        _transpose_keywords(trial).keys() & {"output_shape", "output_padding"}
    ):
        case = with_rows(case, transposed_rows(case))
    return [Item(case, out, {s: arrays[s] for s in "xwy" if s != out}) for out in outs]


def _limit(trial: Trial, item: Item) -> Any:
    """The largest error of an algorithm that forms other products, element by element."""
    sizes = [array.size for array in item.operands.values()]
    if max(sizes) > FEW and trial.dtype not in HALVES:
        return EXACT_BELOW  # for sums as long as these the bound is rarely smaller
    limit = bound(item, trial.dtype, False, leg_by_taps)
    return limit if trial.dtype in HALVES else np.minimum(limit, EXACT_BELOW)


def check(trial: Trial, names: Sequence[str], got: dict[str, Any]) -> tuple[int, list[list[str]]]:
    """How many values were compared, and a list of [operation, what is wrong with it].

    The results of an exact trial must be equal to the oracle's. Others must be right to the nearest
    whole number, if the dtype holds it, and on small operands within the bound on rounding.
    """
    count, wrong, arrays = 0, [], operands(trial)
    dtype = jnp.dtype("int32" if trial.dtype == "int8" else trial.dtype)
    for name in askable(trial, names):
        for have, item in zip(jax.tree.leaves(got[name]), items(trial, name, arrays), strict=True):
            have, want = np.asarray(have), leg_by_taps(item.case, item.out, item.operands)
            if have.shape != want.shape or have.dtype != dtype:
                told = f"{have.dtype}{have.shape} instead of {dtype}{want.shape}"
                wrong.append([name, told])
                continue
            off = abs(widened(have) - widened(want.astype(dtype)))
            limit: Any = 0.0
            if not trial.exact and np.any(off):
                # From the sum before rounding: a tie in bfloat16 may be rounded either way.
                off, limit = abs(widened(have) - widened(want)), _limit(trial, item)
            bad = ~(off <= limit)
            count += have.size
            if bad.any():
                worst = f"{int(bad.sum())} of {bad.size} values, by up to {off.max():g}"
                wrong.append([name, worst])
    return count, wrong
