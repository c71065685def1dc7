"""lax's arguments, each read into one form or refused under lax's own name for it."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax import lax as _lax

from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import is_static, resolve_axis
from jconv._core.layout import spatial_names
from jconv._trace.recognise_legs import Pairs


def read_arrays(op: str, *arrays: Any) -> tuple[Array, ...]:
    for name, array in zip(("lhs", "rhs"), arrays, strict=False):
        if not hasattr(array, "shape") or not hasattr(array, "dtype"):
            raise wrong(op, name, type(array).__name__, "a JAX or NumPy array")
        if len(array.shape) < 2:
            raise wrong(op, name, tuple(array.shape), "an array of 2 dimensions or more")
    first, *others = arrays
    if others and len(others[0].shape) != len(first.shape):
        raise wrong(
            op,
            "rhs",
            tuple(others[0].shape),
            f"an array of {len(first.shape)} dimensions, as `lhs` is",
        )
    return tuple(jnp.asarray(array) for array in arrays)


def read_numbers(op: str, lhs: Array, rhs: Array, value: Any) -> _lax.ConvDimensionNumbers:
    try:
        numbers = _lax.conv_dimension_numbers(lhs.shape, rhs.shape, value)
        specs_of(*numbers)
    except (TypeError, ValueError, KeyError) as error:
        expected = f"None, a ConvDimensionNumbers or three strings of {lhs.ndim} letters"
        raise wrong(op, "dimension_numbers", value, expected, f" ({error})") from None
    return numbers


def read_factors(op: str, name: str, value: Any, rank: int) -> tuple[int, ...]:
    given: Any = (1,) * rank if value is None and name.endswith("dilation") else value
    try:
        factors = tuple(operator.index(entry) for entry in given)
    except TypeError:
        factors = (0,)
    if len(factors) != rank or any(factor < 1 for factor in factors):
        raise wrong(op, name, value, f"a sequence of {rank} whole numbers of 1 or more")
    return factors


def read_count(op: str, name: str, value: Any) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise wrong(op, name, value, "a whole number of 1 or more")
    return count


def check_divides(op: str, groups: int, size: Any, what: str) -> None:
    if is_static(size) and size % groups:
        raise wrong(op, "batch_group_count", groups, f"a divisor of the {size} {what}")


def read_pads(op: str, padding: Any, i: Any, k: Any, s: Any, b: Any, d: Any) -> Pairs:
    if not isinstance(padding, str):
        return read_pairs(op, padding, len(s))
    rule = padding.upper()
    if rule not in ("SAME", "SAME_LOWER", "VALID"):
        expected = f"'SAME', 'SAME_LOWER', 'VALID' or {len(s)} (low, high) pairs"
        raise wrong(op, "padding", padding, expected)
    if any(factor > 1 for factor in b):
        raise wrong(op, "padding", padding, "(low, high) pairs where the lhs is dilated")
    return tuple(resolve_axis(i[a], k[a], rule, s=s[a], b=b[a], d=d[a])[1:] for a in range(len(s)))


def read_pairs(op: str, padding: Any, rank: int) -> Pairs:
    try:
        pairs = tuple((size(low), size(high)) for low, high in padding)
        if len(pairs) == rank:
            return pairs
    except (TypeError, ValueError):
        pass
    raise wrong(op, "padding", padding, f"a rule's name, or {rank} (low, high) pairs")


def size(value: Any) -> Any:
    return value if hasattr(value, "scope") else operator.index(value)


def wrong(op: str, argument: str, got: Any, expected: str, why: str = "") -> ConvError:
    optional = {"dimension_numbers", "lhs_dilation", "rhs_dilation"}
    counts = {"feature_group_count", "batch_group_count"}
    remedies = []
    if argument in optional:
        remedies = [Remedy.omit(argument)]
    if argument in counts:
        remedies = [Remedy.use(argument, 1)]
    return ConvError(
        f"{op}: `{argument}` must be {expected}{why}.",
        argument=argument,
        got=got,
        expected=expected,
        remedies=remedies,
    )


def specs_of(lhs: Sequence[int], rhs: Sequence[int], out: Sequence[int]) -> tuple[str, str, str]:
    """lax's ConvDimensionNumbers, each (batch, feature, spatial...), as strings of letters."""
    letters = spatial_names(len(lhs) - 2)

    def spec(first: str, positions: Sequence[int]) -> str:
        named = dict(zip(positions, first + letters, strict=True))
        return "".join(named[position] for position in range(len(positions)))

    return spec("NC", lhs), spec("OI", rhs), spec("NC", out)
