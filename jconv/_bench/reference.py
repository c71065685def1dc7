"""The results that contestants are verified against: all legs in float64, tap by tap."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from jconv._bench.suites import Row

TOLERANCE = 2e-5  # root-mean-square error relative to the result's; a wrong tap gives 1e-2 and more


def operands(row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, w and the cotangent of the result, float32."""
    random = np.random.default_rng(0)
    return tuple(random.standard_normal(s, np.float32) for s in (row.x, row.w, row.y))  # pyright: ignore[reportReturnType]


def expected(row: Row, x: np.ndarray, w: np.ndarray, g: np.ndarray) -> dict[str, np.ndarray]:
    """The result and both gradients of a row, in float64."""
    x, w, g = (a.astype(np.float64) for a in (x, w, g))
    if _suits_spectra(row):
        return _by_spectra(row, x, w, g)
    if not row.transposed:
        return {
            "forward": _forward(row, x, w, g.shape),
            "input_grad": _input_grad(row, g, w, x.shape),
            "filter_grad": _filter_grad(row, x, g),
        }
    # A transposed convolution is the adjoint of a forward one, whose inputs are its results.
    return {
        "forward": _input_grad(row, x, w, g.shape),
        "input_grad": _forward(row, g, w, x.shape),
        "filter_grad": _filter_grad(row, g, x),
    }


MANY_TAPS = 900  # from which on a product for each of them would take minutes


def _suits_spectra(row: Row) -> bool:
    """Whether a row has many taps, at stride 1, and groups of one channel."""
    alone = row.w[-2] == 1 and row.w[-1] == row.groups and not row.transposed
    taps = int(np.prod(row.w[:-2]))
    return alone and row.stride == row.dilation == 1 and taps >= MANY_TAPS


def _by_spectra(row: Row, x: np.ndarray, w: np.ndarray, g: np.ndarray) -> dict[str, np.ndarray]:
    """The same by NumPy's Fourier transforms: nothing that is kept wraps around."""
    x, axes = _padded(row, x), tuple(range(1, row.rank + 1))
    sizes = x.shape[1:-1]
    of_x, of_w, of_g = (np.fft.rfftn(a, sizes, axes) for a in (x, w[..., 0, :][None], g))

    def back(spectrum: np.ndarray, starts: tuple[int, ...], kept: tuple[int, ...]) -> np.ndarray:
        whole = np.fft.irfftn(spectrum, sizes, axes)
        rows = [slice(at, at + size) for at, size in zip(starts, kept, strict=True)]
        return whole[(slice(None), *rows)]

    origin = (0,) * row.rank
    lows = tuple(low for low, _ in row.pads)
    grads = back((of_x * of_g.conj()).sum(0, keepdims=True), origin, row.w[:-2])
    return {
        "forward": back(of_x * of_w.conj(), origin, g.shape[1:-1]),
        "input_grad": back(of_g * of_w, lows, row.x[1:-1]),
        "filter_grad": grads[0][..., None, :],
    }


def error(result: np.ndarray, reference: np.ndarray) -> float:
    """Root-mean-square error relative to the reference's root mean square."""
    if result.shape != reference.shape:
        return float("inf")
    wrong = np.sqrt(np.mean(np.square(result - reference)))
    found = float(wrong / np.sqrt(np.mean(np.square(reference))))
    return found if np.isfinite(found) else float("inf")


def _taps(row: Row, y_shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple]]:
    """Each tap, and the part of the padded input that it is multiplied with."""
    for tap in itertools.product(*map(range, row.w[:-2])):
        rows = [
            slice(k * row.dilation, k * row.dilation + row.stride * (o - 1) + 1, row.stride)
            for k, o in zip(tap, y_shape[1:-1], strict=True)
        ]
        yield tap, (slice(None), *rows)


def _padded(row: Row, x: np.ndarray) -> np.ndarray:
    return np.pad(x, [(0, 0), *row.pads, (0, 0)])


def _by_group(a: np.ndarray, groups: int) -> np.ndarray:
    """(..., G*C) as (G, rows, C)."""
    return np.moveaxis(a.reshape(-1, groups, a.shape[-1] // groups), 1, 0)


def _taps_of(w: np.ndarray, tap: tuple[int, ...], groups: int) -> np.ndarray:
    """(C, G*F) of one tap as (G, C, F)."""
    return np.moveaxis(w[tap].reshape(w.shape[-2], groups, -1), 1, 0)


def _forward(row: Row, x: np.ndarray, w: np.ndarray, y_shape: tuple[int, ...]) -> np.ndarray:
    x, total = _padded(row, x), 0.0
    for tap, rows in _taps(row, y_shape):
        total = total + _by_group(x[rows], row.groups) @ _taps_of(w, tap, row.groups)
    return np.moveaxis(np.asarray(total), 0, 1).reshape(y_shape)


def _input_grad(row: Row, g: np.ndarray, w: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    result = _padded(row, np.zeros(x_shape))
    by_group = _by_group(g, row.groups)
    for tap, rows in _taps(row, g.shape):
        part = by_group @ np.swapaxes(_taps_of(w, tap, row.groups), 1, 2)
        result[rows] += np.moveaxis(part, 0, 1).reshape(*g.shape[:-1], -1)
    inner = [slice(low, low + size) for (low, _), size in zip(row.pads, x_shape[1:-1], strict=True)]
    return result[(slice(None), *inner)]


def _filter_grad(row: Row, x: np.ndarray, g: np.ndarray) -> np.ndarray:
    x, result = _padded(row, x), np.empty(row.w)
    by_group = _by_group(g, row.groups)
    for tap, rows in _taps(row, g.shape):
        part = np.swapaxes(_by_group(x[rows], row.groups), 1, 2) @ by_group
        result[tap] = np.moveaxis(part, 0, 1).reshape(row.w[-2:])
    return result
