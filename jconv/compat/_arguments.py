"""Arguments of other libraries' calls, read into one form or refused by their own names.

In all of `compat` a public function hands its arguments on as `**locals()`, by the other library's
names, to a function that reads them and knows from these names how to word an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from jconv._check.settings import as_int, entries_of
from jconv._core.errors import ConvError, Remedy

CHANNELS_FIRST = {1: "NCW", 2: "NCHW", 3: "NCDHW"}
CHANNELS_LAST = {1: "NWC", 2: "NHWC", 3: "NDHWC"}


def wrong(
    op: str,
    argument: str,
    got: Any,
    expected: str,
    why: str = "",
    remedies: Iterable[tuple[str, Any]] = (),
) -> ConvError:
    """The error for a wrong argument; a remedy is (argument, its new value; None to omit it)."""
    return ConvError(
        f"{op}: {why or f'`{argument}` must be {expected}.'}",
        argument=argument,
        got=tuple(got.shape) if hasattr(got, "shape") else got,
        expected=expected,
        remedies=[
            Remedy.omit(name) if value is None else Remedy.use(name, value)
            for name, value in remedies
        ],
    )


def read_array(op: str, name: str, value: Any, ranks: Sequence[int]) -> Array:
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        raise wrong(op, name, type(value).__name__, "a JAX or NumPy array")
    array = jnp.asarray(value)
    if array.ndim not in ranks:
        raise wrong(op, name, array, f"an array of {' or '.join(map(str, ranks))} dimensions")
    return array


def read_count(op: str, name: str, value: Any) -> int:
    count = as_int(value)
    if count is None or count < 1:
        raise wrong(op, name, value, "a whole number of 1 or more", remedies=[(name, 1)])
    return count


def read_each(op: str, name: str, value: Any, rank: int, low: int = 1) -> tuple[int, ...]:
    """One whole number, or one for each spatial axis."""
    number, entries = as_int(value), entries_of(value)
    numbers = [number] * rank if number is not None else [as_int(v) for v in entries or ()]
    if len(numbers) != rank or any(v is None or v < low for v in numbers):
        many = f"a sequence of {rank}, one for each spatial axis" if rank > 1 else "a list of one"
        raise wrong(op, name, value, f"a whole number of {low} or more, or {many}")
    return tuple(v for v in numbers if v is not None)


def read_choice(op: str, name: str, value: Any, choices: Sequence[str]) -> str:
    if isinstance(value, str) and value in choices:
        return value
    expected = " or ".join(repr(choice) for choice in choices)
    raise wrong(op, name, value, expected, remedies=[(name, choices[0])])


def add_bias(op: str, name: str, y: Array, bias: Any, channel: int) -> Array:
    """y plus a bias of one value for each channel; y itself where the bias is None."""
    if bias is None:
        return y
    bias = read_array(op, name, bias, (1,))
    if bias.shape[0] != y.shape[channel]:
        raise wrong(op, name, bias, f"({y.shape[channel]},), one value for each output channel")
    if bias.dtype != y.dtype:
        raise wrong(op, name, str(bias.dtype), f"of the result's dtype, {y.dtype}")
    shape = [1] * y.ndim
    shape[channel] = bias.shape[0]
    return y + bias.reshape(shape)
