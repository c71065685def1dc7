"""The oracle's legs as one matrix product for each tap, for arrays that its loops are too slow for.

The terms of every axis are the oracle's own (`Axis.terms`, i.e. the index equation and the padding
modes tried place by place), so what is added here is only that whole numbers may be summed in any
order. Tested against the loops on every case of the kit's table.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jconv.testing._cases import Case
from jconv.testing._questions import Array, Operands
from jconv.testing._reference import Axis

EXACT_IN_FLOAT32 = 2.0**24  # whole numbers up to it are float32s, and so are sums up to it

Rows = Any  # of one axis: a slice where they are evenly spaced, else an array of indices


def leg_by_taps(case: Case, out: str, operands: Operands) -> Array:
    """The trilinear form's derivative in slot `out`, exact for operands of whole numbers."""
    call, groups = case.call, case.call.groups
    shapes = {"x": case.x_shape, "w": case.w_shape, "y": case.y_shape}
    dtype = _wide_enough(case, operands)
    arrays = {**operands, out: np.zeros(shapes[out], dtype)}
    orders = call.orders()
    read = {slot: np.transpose(array, orders[slot]) for slot, array in arrays.items()}
    # Groups in front: x (G, N, i..., C), w (G, k..., C, F), y (G, N, o..., F).
    x, w, y = (
        np.moveaxis(read[slot].reshape(_grouped(read[slot], groups)), -2, 0).astype(dtype)
        for slot in "xwy"
    )
    axes = call.axes(read["x"].shape[1:-1], read["w"].shape[:-2])
    # Where a mode repeats a row of x, additions into x meet the same row twice.
    repeats = any(mode != "zeros" for axis in axes for mode in axis.modes)
    for taps in itertools.product(*(_taps(axis) for axis in axes)):
        k, i, o = zip(*taps, strict=True)
        xi: Any = (slice(None), slice(None), *_index(i))
        yo: Any = (slice(None), slice(None), *_index(o))
        wk = w[(slice(None), *k)]
        if out == "y":
            y[yo] += _product(x[xi], wk)
        elif out == "x" and repeats:
            np.add.at(x, xi, _product(y[yo], np.swapaxes(wk, -1, -2)))
        elif out == "x":
            x[xi] += _product(y[yo], np.swapaxes(wk, -1, -2))
        else:
            a, b = (_flat(v) for v in (x[xi], y[yo]))
            wk += np.swapaxes(a, -1, -2) @ b
    made = np.moveaxis({"x": x, "w": w, "y": y}[out], 0, -2)
    made = made.reshape(read[out].shape)
    return np.transpose(made, np.argsort(orders[out]))


def _grouped(array: Array, groups: int) -> tuple[int, ...]:
    return (*array.shape[:-1], groups, array.shape[-1] // groups)


def _flat(rows: Array) -> Array:
    """(G, N, ..., C) as (G, places, C)."""
    return rows.reshape(rows.shape[0], int(np.prod(rows.shape[1:-1])), rows.shape[-1])


def _product(rows: Array, matrix: Array) -> Array:
    """rows (G, N, ..., C) times matrix (G, C, F)."""
    if rows.shape[-1] == 1:
        shape = (matrix.shape[0], *(1,) * (rows.ndim - 2), matrix.shape[-1])
        return rows * matrix.reshape(shape)
    return (_flat(rows) @ matrix).reshape(*rows.shape[:-1], matrix.shape[-1])


def _taps(axis: Axis) -> list[tuple[int, Rows, Rows]]:
    """For each tap that meets anything: its number, the rows of x and the rows of y it joins."""
    met: dict[int, tuple[list[int], list[int]]] = {}
    for i, o, k in axis.terms():
        rows = met.setdefault(k, ([], []))
        rows[0].append(i)
        rows[1].append(o)
    return [(k, np.array(i), np.array(o)) for k, (i, o) in met.items()]


def _index(rows: Sequence[Array]) -> Sequence[Rows]:
    spaced = [_evenly(indices) for indices in rows]
    return np.ix_(*rows) if any(part is None for part in spaced) else spaced


def _evenly(indices: Array) -> slice | None:
    steps = np.unique(np.diff(indices))
    if len(steps) > 1 or (len(steps) and steps[0] <= 0):
        return None
    return slice(int(indices[0]), int(indices[-1]) + 1, int(steps[0]) if len(steps) else 1)


def _wide_enough(case: Case, operands: Operands) -> Any:
    """float32 where no sum of products can pass what it holds exactly; else float64."""
    if any(array.dtype.kind == "c" for array in operands.values()):
        return np.complex128
    largest = np.prod([float(np.max(np.abs(array), initial=0)) for array in operands.values()])
    sizes = [np.prod(shape) for shape in (case.x_shape, case.w_shape, case.y_shape)]
    # A sum runs over places of one slot at most, whichever the leg.
    return np.float32 if largest * float(max(sizes)) < EXACT_IN_FLOAT32 else np.float64
