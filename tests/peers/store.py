"""Calls of other frameworks with their results, in one compressed file a framework.

Operands are small integers made anew from a seed, so that every result is exact, and only the
results are kept; ONNX's test data come with operands of their own, which are kept too.
NumPy alone is needed to read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Call:
    """One call as its framework writes it.

    Attributes:
        name: short, unique in its file, fit for a pytest id.
        op: the framework's own name of the operation.
        shapes: the shape of each operand, by the framework's own name of it.
        arguments: everything else, by the framework's own names.
        seed: what the operands are made from; None where the file holds them.
    """

    name: str
    op: str
    shapes: Mapping[str, Sequence[int]]
    arguments: Mapping[str, Any]
    seed: int | None

    def operands(self) -> dict[str, Array]:
        if self.seed is None:
            raise ValueError(f"the operands of {self.name} are stored, not made from a seed")
        return {
            operand: integers(shape, 8 * self.seed + position)
            for position, (operand, shape) in enumerate(self.shapes.items())
        }


def integers(shape: Sequence[int], seed: int) -> Array:
    """Integers from -4 to 4: SplitMix64 of a counter, the same in every release of NumPy."""
    count = int(np.prod(shape, dtype=np.int64))
    state = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed) * np.uint64(1 << 32)
    state = state * np.uint64(0x9E3779B97F4A7C15)  # of arrays, so that it wraps without a warning
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state = state ^ (state >> np.uint64(31))
    return ((state % np.uint64(9)).astype(np.int64) - 4).reshape(tuple(shape))


def whole(array: npt.ArrayLike) -> Array:
    """A result as integers, refused where it is not whole."""
    floats = np.asarray(array)
    rounded = np.rint(floats)
    if not np.array_equal(rounded, floats):
        raise ValueError(f"a result is off by up to {np.abs(rounded - floats).max()}")
    return rounded.astype(np.int64)


def name_of(op: str, arguments: Mapping[str, Any], number: int) -> str:
    """The operation, those of its arguments that say what is special about it, a number."""
    parts = [op]
    for argument, value in arguments.items():
        entries = value if isinstance(value, list) else [value]
        entries = ["pairs"] if isinstance(entries[0], list) else entries
        plain = len(set(entries)) < 2 and set(entries) <= {0, 1, "NWC", "NHWC", "NDHWC"}
        if plain or argument not in _SHORT:
            continue
        text = "x".join(map(str, entries))
        parts.append(text if isinstance(value, str) else _SHORT[argument] + text)
    return "-".join([*parts, str(number)])


# The others are sizes, which the shapes tell, or lists that are too long for a name.
_SHORT = {
    "stride": "s",
    "strides": "s",
    "padding": "p",
    "mode": "",
    "data_format": "",
    "dilation": "d",
    "dilations": "d",
    "groups": "g",
    "output_padding": "op",
    "transposed": "transposed",
}


@dataclasses.dataclass(frozen=True)
class Results:
    """What one file holds: what made it, and each call with its arrays by name."""

    made_by: Mapping[str, Any]
    calls: Sequence[tuple[Call, Mapping[str, Array]]]


def path(framework: str) -> Path:
    return FOLDER / f"results_{framework}.npz"


def write(
    framework: str,
    made_by: Mapping[str, Any],
    calls: Iterable[tuple[Call, Mapping[str, Array]]],
) -> Path:
    """Write one file, or leave the old one as it was."""
    entries, flat = [], []
    for call, arrays in calls:
        shapes = {name: array.shape for name, array in arrays.items()}
        entries.append({**dataclasses.asdict(call), "arrays": shapes})
        flat += [array.reshape(-1) for array in arrays.values()]
    values = np.concatenate(flat)
    floats = values.dtype.kind == "f"
    narrow = np.float32 if floats else np.min_scalar_type(-int(np.abs(values).max()) - 1)
    text = json.dumps({"made_by": made_by, "calls": entries}, separators=(",", ":"))
    target = path(framework)
    handle, temporary = tempfile.mkstemp(dir=FOLDER, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            about = np.frombuffer(text.encode(), np.uint8)
            np.savez_compressed(file, about=about, values=values.astype(narrow))
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def read(framework: str) -> Results:
    with np.load(path(framework)) as file:
        about, values = json.loads(file["about"].tobytes()), file["values"]
    calls, start = [], 0
    for entry in about["calls"]:
        arrays = {}
        for name, shape in entry.pop("arrays").items():
            stop = start + int(np.prod(shape, dtype=np.int64))
            arrays[name] = values[start:stop].reshape(shape)
            start = stop
        calls.append((Call(**entry), arrays))
    if start != values.size:
        raise ValueError(f"{path(framework)} holds {values.size} values and names {start}")
    return Results(about["made_by"], calls)
