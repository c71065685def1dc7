"""Which dtypes go together, and the dtype of each slot."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from jconv._check.call import Call
from jconv._core.errors import ConvError, Remedy, show

INTEGERS = (
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int4",
    "uint4",
)


def kind_of(dtype: str) -> str:
    if dtype in ("complex64", "complex128"):
        return "complex"
    if dtype.startswith(("bfloat16", "float")) and dtype != "float0":
        return "float"
    return "int" if dtype in INTEGERS else "other"


def is_number_dtype(name: str) -> bool:
    """Whether there is a dtype of this name, and it holds numbers."""
    try:
        return np.dtype(name).name == name and kind_of(name) != "other"
    except Exception:  # whatever NumPy raises for text that names no dtype
        return False


_WIDTH = {"bfloat16": 16, "complex64": 32, "complex128": 64}


def width_of(dtype: str) -> int:
    """Bits of a number; of a complex number, the bits of its real part."""
    digits = re.match(r"[a-z]+(\d+)", dtype)
    return _WIDTH.get(dtype) or (int(digits.group(1)) if digits else 8)


def read_dtype(op: str, argument: str, value: Any) -> str | None:
    """The name of the dtype that the user gave; None where the user gave None."""
    if value is None:
        return None
    try:
        return np.dtype(value).name
    except Exception:  # whatever an object that is no dtype raises when it is asked
        raise ConvError(
            f"{op}: `{argument}` must be a dtype; it is {show(value)}.",
            argument=argument,
            got=value,
            expected="a dtype, such as jnp.float32 or 'bfloat16'",
            remedies=[Remedy.omit(argument)],
        ) from None


def read_dtypes(call: Call) -> dict[str, str]:
    """The dtype of each slot: two from the arrays, and the output's."""
    names = tuple(call.operation.arrays)
    for name in names:
        if kind_of(call.dtypes[name]) == "other":
            raise _bad_dtype(call, name, "float32", "must hold numbers")
    first, second = names
    have = {name: call.dtypes[name] for name in names}
    other = first if second == "g" else second
    grads = call.operation.is_backprop
    if grads and kind_of(have["g"]) == "int":
        wanted = have[other] if kind_of(have[other]) != "int" else "float32"
        raise _bad_dtype(call, "g", wanted, "is a cotangent and must hold floating-point numbers")
    if have[first] != have[second]:
        # A cotangent has the forward output's dtype: any that `preferred_element_type` allows.
        kinds = {kind_of(have[first]), kind_of(have[second])}
        if not (grads and len(kinds) == 1 and _may_hold(have["g"], have[other])):
            order = ["int", "float", "complex"]
            rank = {n: (order.index(kind_of(have[n])), width_of(have[n])) for n in names}
            narrow = second if rank[second] <= rank[first] else first
            wide = first if narrow == second else second
            raise _bad_dtype(
                call, narrow, have[wide], f"must have the dtype of `{wide}`, {have[wide]}"
            )
    out = _out_dtype(call, have)
    slots = {slot: have[name] for name, slot in call.operation.arrays.items()}
    (missing,) = {"x", "w", "y"} - set(slots)
    return {**slots, missing: out}


def _bad_dtype(call: Call, name: str, wanted: str, what: str) -> ConvError:
    return ConvError(
        f"{call.op}: `{name}` {what}; it is {call.dtypes[name]}.",
        argument=name,
        got=call.dtypes[name],
        expected=wanted,
    )


def _out_dtype(call: Call, have: dict[str, str]) -> str:
    """`preferred_element_type`, or else the operands' common dtype.

    A cotangent may have the wider dtype of a forward output; the other operand's then counts.
    """
    natural = next(dtype for name, dtype in have.items() if name != "g")
    wanted = call.preferred_element_type
    if wanted is None:
        return natural
    if not _may_hold(wanted, natural):
        integers = kind_of(natural) == "int"
        raise ConvError(
            f"{call.op}: `preferred_element_type` must be of the operands' kind and no narrower "
            f"than they are: {wanted} for {natural}.",
            argument="preferred_element_type",
            got=wanted,
            expected=f"{natural}, a wider dtype of the same kind"
            + (", or a floating one that is no narrower" if integers else ""),
        )
    return wanted


def _may_hold(wanted: str, natural: str) -> bool:
    """Whether sums of products of `natural` may come out as `wanted`, as in lax."""
    if width_of(wanted) < width_of(natural):
        return False
    if kind_of(natural) == "int" and kind_of(wanted) == "int":
        return natural.startswith("u") or not wanted.startswith("u")
    return kind_of(wanted) in {kind_of(natural), "float" if kind_of(natural) == "int" else None}
