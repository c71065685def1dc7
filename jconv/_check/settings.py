"""The keywords of a call, each read into one form or refused: no shapes are compared here."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence, Set
from typing import Any

from jconv._core.errors import ConvError, show
from jconv._core.geometry import LARGEST as LIMIT
from jconv._core.geometry import STRING_PADDINGS as STRING_PADDINGS
from jconv._core.geometry import Shape, Size

MODES = ("zeros", "reflect", "edge", "circular")
PRECISIONS = ("DEFAULT", "HIGH", "HIGHEST")

Padding = str | tuple[Size, Size]
Modes = tuple[tuple[str, str], ...]  # for each spatial axis what lies below x and what above it


def as_int(value: Any) -> int | None:
    """A whole number (bools and floats are not), or None."""
    if isinstance(value, bool) or str(getattr(value, "dtype", "")) == "bool":
        return None
    try:
        return operator.index(value)
    except Exception:
        return None


def as_size(value: Any) -> Size | None:
    """A size: a whole number or a symbolic dimension, or None."""
    number = as_int(value)
    if number is not None:
        return number
    return value if hasattr(value, "scope") and hasattr(value, "max") else None


def entries_of(value: Any) -> list[Any] | None:
    """The entries of a sequence (a list, a tuple, an array), or None for anything else."""
    if isinstance(value, str | bytes | Mapping | Set) or not hasattr(value, "__getitem__"):
        return None
    try:
        return list(value) if len(value) <= 64 else None
    except Exception:  # an array without dimensions, or an object that only looks like a sequence
        return None


def read_shape(op: str, argument: str, value: Any) -> Shape:
    """A shape given as an argument: a sequence of sizes that are not negative."""
    entries = entries_of(value)
    sizes = [as_size(v) for v in entries] if entries is not None else [None]
    if any(size is None or (isinstance(size, int) and not 0 <= size <= LIMIT) for size in sizes):
        large = any(isinstance(size, int) and size > LIMIT for size in sizes)
        most = f", at most {LIMIT}" if large else ""
        raise ConvError(
            f"{op}: `{argument}` must be a sequence of sizes, each a whole number of 0 or "
            f"more{most}.",
            argument=argument,
            got=value,
            expected="a tuple of non-negative integers (or symbolic dimensions)",
        )
    return tuple(sizes)


def read_symbols(op: str, sizes: Mapping[str, Any], known: Set[str]) -> dict[str, Size]:
    """The size given to each symbol; a ConvError for an unknown symbol or an invalid size."""
    for name, value in sizes.items():
        size = as_size(value)
        if name not in known:
            expected = ", ".join(sorted(known)) or "no symbols at all"
            why = f"no size depends on a symbol named `{name}`"
        elif size is None or (isinstance(size, int) and not 0 <= size <= LIMIT):
            expected = "a whole number of 0 or more, or a symbolic dimension"
            why = f"`{name}` must be a size; it is {show(value)}"
        else:
            continue
        raise ConvError(f"{op}: {why}.", argument=name, got=value, expected=expected)
    return {name: as_size(value) for name, value in sizes.items()}


def read_factors(op: str, argument: str, value: Any, rank: int) -> tuple[int, ...]:
    """stride, dilation or input_dilation: one int of at least 1, or one for each axis."""
    number, entries = as_int(value), entries_of(value)
    values = [number] * rank if number is not None else None
    if values is None and entries is not None:
        values = [as_int(v) for v in entries]
    if values is None or None in values:
        reason = "must be a whole number, or one for each spatial axis"
    elif len(values) != rank:
        reason = f"has {_count(values)}, but {_axes(rank)}"
    elif not all(v is not None and 1 <= v <= LIMIT for v in values):
        low = any(v is not None and v < 1 for v in values)
        reason = "must be 1 or more on every axis" if low else "is too large"
    else:
        return tuple(v for v in values if v is not None)
    raise ConvError(
        f"{op}: `{argument}` {reason}; it is {show(value)}.",
        argument=argument,
        got=value,
        expected=f"a whole number of 1 or more, or {_many(rank)}",
    )


def _count(entries: Sequence[Any]) -> str:
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"


def _axes(rank: int) -> str:
    return "there is 1 spatial axis" if rank == 1 else f"there are {rank} spatial axes"


def _many(rank: int) -> str:
    if rank == 1:
        return "a sequence of one, for the one spatial axis"
    return f"a sequence of {rank}, one for each spatial axis"


def read_groups(op: str, value: Any) -> int:
    number = as_int(value)
    if number is None or not 1 <= number <= LIMIT:
        raise ConvError(
            f"{op}: `groups` must be a whole number of 1 or more; it is {show(value)}.",
            argument="groups",
            got=value,
            expected="a whole number of 1 or more that divides both channel counts",
        )
    return number


def read_padding(op: str, value: Any, rank: int) -> tuple[Padding, ...]:
    """One entry for each spatial axis: the name of a rule, or a (low, high) pair."""
    if isinstance(value, str) and value.upper() in STRING_PADDINGS:
        return (value.upper(),) * rank
    number = as_size(value)
    if number is not None and _fits(number):
        return ((number, number),) * rank
    entries = entries_of(value)
    pairs = [read_pair(entry) for entry in entries] if entries is not None else [None]
    if len(pairs) == rank and None not in pairs:
        return tuple(pair for pair in pairs if pair is not None)
    if isinstance(value, str):
        reason = f"has no rule named {show(value)}"
    elif number is not None:
        reason = f"is too large: {show(value)}"
    elif entries is None:
        reason = f"must be a rule's name, an int, or a sequence; it is {show(value)}"
    elif len(pairs) != rank:
        reason = f"has {_count(pairs)}, but {_axes(rank)}"
    else:
        reason = "has an entry that is neither an int nor a (low, high) pair of ints"
    raise ConvError(
        f"{op}: `padding` {reason}.",
        argument="padding",
        got=value,
        expected="'SAME', 'SAME_LOWER', 'VALID', 'CAUSAL', an int for every side, or a sequence "
        f"of {rank} with an int or a (low, high) pair for each spatial axis",
    )


def _fits(amount: Size) -> bool:
    return not isinstance(amount, int) or -LIMIT <= amount <= LIMIT


def read_pair(entry: Any) -> tuple[Size, Size] | None:
    """An entry of a padding as (low, high), or None."""
    number = as_size(entry)
    low, high = number, number
    if number is None:
        entries = entries_of(entry)
        if entries is None or len(entries) != 2:
            return None
        low, high = as_size(entries[0]), as_size(entries[1])
    if low is None or high is None or not _fits(low) or not _fits(high):
        return None
    return low, high


def read_modes(op: str, value: Any, rank: int) -> Modes:
    """One mode for all sides, or for each spatial axis a mode or a (low, high) pair of them."""
    if isinstance(value, str) and value in MODES:
        return ((value, value),) * rank
    entries = entries_of(value)
    pairs = [_mode_pair(entry) for entry in entries] if entries is not None else [None]
    if len(pairs) == rank and None not in pairs:
        return tuple(pair for pair in pairs if pair is not None)
    names = " or ".join(map(repr, MODES))
    if entries is not None and None not in pairs:
        reason = f"has {_count(pairs)}, but {_axes(rank)}"
    else:
        reason = f"has no choice {show(value)}"
    raise ConvError(
        f"{op}: `padding_mode` {reason}.",
        argument="padding_mode",
        got=value,
        expected=f"{names}, or a sequence of {rank} with a mode or a (low, high) pair of modes for "
        "each spatial axis",
    )


def _mode_pair(entry: Any) -> tuple[str, str] | None:
    pair = (entry, entry) if isinstance(entry, str) else tuple(entries_of(entry) or ())
    if len(pair) == 2 and all(isinstance(mode, str) and mode in MODES for mode in pair):
        return pair
    return None


def read_choice(op: str, argument: str, value: Any, names: Sequence[str]) -> str:
    if isinstance(value, str) and value in names:
        return value
    raise ConvError(
        f"{op}: `{argument}` has no choice {show(value)}.",
        argument=argument,
        got=value,
        expected=" or ".join(repr(name) for name in names),
    )


def read_precision(op: str, value: Any) -> tuple[str, str]:
    """A pair of names, one for each operand."""
    entries = entries_of(value)
    pair = tuple(entries) if entries is not None and len(entries) == 2 else (value, value)
    names = tuple(_precision_name(v) for v in pair)
    if names[0] is None or names[1] is None:
        raise ConvError(
            f"{op}: `precision` has no choice {show(value)}.",
            argument="precision",
            got=value,
            expected="None, 'default', 'high', 'highest', a jax.lax.Precision, or two of them",
        )
    return names[0], names[1]


def default_precision(value: Any) -> tuple[str, str]:
    """What `jax_default_matmul_precision` asks for; DEFAULT for presets of jnp.dot alone."""
    name = _precision_name(value) or "DEFAULT"
    return name, name


def _precision_name(value: Any) -> str | None:
    aliases = {
        "fastest": "DEFAULT",
        "bfloat16": "DEFAULT",
        "bfloat16_3x": "HIGH",
        "tensorfloat32": "HIGH",
        "float32": "HIGHEST",
    }
    if value is None:
        return "DEFAULT"
    name = value if isinstance(value, str) else getattr(value, "name", None)
    if not isinstance(name, str):
        return None
    name = aliases.get(name) or name.upper()
    return name if name in PRECISIONS else None
