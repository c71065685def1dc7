"""Who takes part: lax by its own autodiff, jconv under a policy, and PyTorch."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

import jconv
from jconv._algorithms import REGISTRY
from jconv._bench import contestant_torch
from jconv._bench.suites import Row
from jconv._core.errors import ConvError, Remedy
from jconv._support.clock import stopwatch

LEGS = ("forward", "input_grad", "filter_grad")
STEP = "step"  # all three in one call

Arrays = tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One contestant, ready to run one leg.

    Attributes:
        run: runs it and waits for the end.
        results: what it computes, channels last: one array for each leg of it.
        compile_seconds: seconds of compilation; None for a contestant without a compiler.
    """

    run: Callable[[], object]
    results: Callable[[], Arrays]
    compile_seconds: float | None = None


Enter = Callable[[Row, str, Arrays], Entry | None]  # None: it cannot take part


def names() -> list[str]:
    """The names of all contestants whose packages are installed."""
    found = ["lax", "jconv", *(f"jconv:{name}" for name in jconv.algorithms())]
    return found + (list(contestant_torch.FORMATS) if contestant_torch.installed() else [])


def default_names(suites: Sequence[str]) -> list[str]:
    """Who takes part where nobody was named.

    What people reported is timed to see what should replace direct: nothing else is known of an
    accelerator, and on CPU jconv's own choice says it.
    """
    if list(suites) != ["reported"]:
        return [name for name in names() if ":" not in name]
    more = [] if jax.default_backend() == "cpu" else alternatives()
    return ["lax", "jconv", *more]


def enter(name: str, threads: int) -> Enter:
    """The contestant of a name."""
    if name not in names():
        raise ConvError(
            "bench: there is no such contestant here.",
            argument="contestants",
            got=name,
            expected=" or ".join(map(repr, names())),
            remedies=[Remedy.omit("contestants")],
        )
    if name in contestant_torch.FORMATS:
        prepare = functools.partial(contestant_torch.prepare, name, threads)
        return lambda row, leg, arrays: _wrap(prepare(row, leg, arrays))
    if name == "lax":
        return functools.partial(_jax_entry, _lax_operation, contextlib.nullcontext)
    rule = name.partition(":")[2]  # without one, the policy that is in force
    if not rule:
        return functools.partial(_jax_entry, _jconv_operation, contextlib.nullcontext)
    policy = functools.partial(jconv.policy, rule)
    run = functools.partial(_jax_entry, _jconv_operation, policy)

    def own(row: Row, leg: str, arrays: Arrays) -> Entry | None:
        with policy():
            taken = {each.algorithm for each in row.plan().legs.values()}
        named = rule in jconv.algorithms()  # and not a rule such as "exact"
        return None if named and rule not in taken else run(row, leg, arrays)

    return own


def alternatives() -> list[str]:
    """jconv by each exact algorithm but direct: what a GPU or a TPU could run in its place."""
    return [f"jconv:{a.name}" for a in REGISTRY if a.exact and a.name not in ("direct", "wide")]


def _wrap(prepared: tuple[Callable[[], object], Callable[[], Arrays]] | None) -> Entry | None:
    return None if prepared is None else Entry(*prepared)


def _jax_entry(
    operation: Callable[[Row], Callable[[Any, Any], Any]],
    context: Callable[[], contextlib.AbstractContextManager[Any]],
    row: Row,
    leg: str,
    arrays: Arrays,
) -> Entry:
    convolve = operation(row)
    inputs = [jax.numpy.asarray(array) for array in arrays]

    def forward(x: Any, w: Any, g: Any) -> Any:
        return (convolve(x, w),)

    def input_grad(x: Any, w: Any, g: Any) -> Any:
        return jax.vjp(lambda x: convolve(x, w), x)[1](g)

    def filter_grad(x: Any, w: Any, g: Any) -> Any:
        return jax.vjp(lambda w: convolve(x, w), w)[1](g)

    def step(x: Any, w: Any, g: Any) -> Any:
        y, pullback = jax.vjp(convolve, x, w)
        return (y, *pullback(g))

    functions: dict[str, Callable[..., Any]] = {
        "forward": forward,
        "input_grad": input_grad,
        "filter_grad": filter_grad,
        STEP: step,
    }
    with context():
        elapsed = stopwatch()
        compiled = jax.jit(functions[leg]).lower(*inputs).compile()
        seconds = elapsed()
    return Entry(
        run=lambda: jax.block_until_ready(compiled(*inputs)),
        results=lambda: tuple(np.asarray(array) for array in compiled(*inputs)),
        compile_seconds=seconds,
    )


def _jconv_operation(row: Row) -> Callable[[Any, Any], Any]:
    operation = jconv.conv_transpose if row.transposed else jconv.conv
    return functools.partial(operation, **row.settings)


def _lax_operation(row: Row) -> Callable[[Any, Any], Any]:
    letters = "DHW"[-row.rank :]
    names = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    if row.transposed:
        pads = [
            (k - 1 - low, k - 1 - high) for k, (low, high) in zip(row.w, row.pads, strict=False)
        ]
        return functools.partial(
            lax.conv_transpose,
            strides=(row.stride,) * row.rank,
            padding=pads,
            dimension_numbers=names,
            transpose_kernel=True,
        )
    return functools.partial(
        lax.conv_general_dilated,
        window_strides=(row.stride,) * row.rank,
        padding=row.pads,
        rhs_dilation=(row.dilation,) * row.rank,
        dimension_numbers=names,
        feature_group_count=row.groups,
    )
