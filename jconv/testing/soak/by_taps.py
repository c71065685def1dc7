"""The oracle's legs as one matrix product for each tap, for arrays that its loops are too slow for.

The terms of every axis are the oracle's own (`Axis.terms`), so this module only adds the terms of a
tap in another order, which whole numbers allow. A test compares it with the loops on every case of
the kit's table.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jconv.testing.oracle.case import Case, shapes_of
from jconv.testing.oracle.legs import Array, Operands
from jconv.testing.oracle.reference import Axis

EXACT_IN_FLOAT32 = 2.0**24  # float32 holds all whole numbers up to this

Rows = Any  # of one axis: a slice if they are evenly spaced, else an array of indices


def leg_by_taps(case: Case, out: str, operands: Operands) -> Array:
    """The trilinear form's derivative in slot `out`, exact for operands of whole numbers."""
    call, groups = case.call, case.call.groups
    dtype = _wide_enough(case, operands)
    arrays = {**operands, out: np.zeros(shapes_of(case)[out], dtype)}
    orders = call.orders()
    read = {slot: np.transpose(array, orders[slot]) for slot, array in arrays.items()}
    # Groups in front: x (G, N, i..., C), w (G, k..., C, F), y (G, N, o..., F).
    x, w, y = (
        np.moveaxis(read[slot].reshape(_grouped(read[slot], groups)), -2, 0).astype(dtype)
        for slot in "xwy"
    )
    axes = call.axes(read["x"].shape[1:-1], read["w"].shape[:-2])
    # Where a padding mode repeats a row of x, one tap adds to that row twice.
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
    """An array (G, N, ..., C) reshaped to (G, N * ..., C)."""
    return rows.reshape(rows.shape[0], int(np.prod(rows.shape[1:-1])), rows.shape[-1])


def _product(rows: Array, matrix: Array) -> Array:
    """The product of rows (G, N, ..., C) and matrix (G, C, F)."""
    if rows.shape[-1] == 1:
        shape = (matrix.shape[0], *(1,) * (rows.ndim - 2), matrix.shape[-1])
        return rows * matrix.reshape(shape)
    return (_flat(rows) @ matrix).reshape(*rows.shape[:-1], matrix.shape[-1])


def _taps(axis: Axis) -> list[tuple[int, Rows, Rows]]:
    """For each tap that is in any term: its number, its rows of x and its rows of y."""
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
    """The indices as a slice; None if they are not evenly spaced."""
    steps = np.unique(np.diff(indices))
    if len(steps) > 1 or (len(steps) and steps[0] <= 0):
        return None
    return slice(int(indices[0]), int(indices[-1]) + 1, int(steps[0]) if len(steps) else 1)


def _wide_enough(case: Case, operands: Operands) -> Any:
    """complex128, float32 if it holds every sum of products exactly, or else float64."""
    if any(array.dtype.kind == "c" for array in operands.values()):
        return np.complex128
    largest = np.prod([float(np.max(np.abs(array), initial=0)) for array in operands.values()])
    sizes = [np.prod(shape) for shape in shapes_of(case).values()]
    # A sum has at most as many terms as one of the arrays has elements.
    return np.float32 if largest * float(max(sizes)) < EXACT_IN_FLOAT32 else np.float64
