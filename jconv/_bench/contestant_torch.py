"""PyTorch as a contestant, in both of its memory formats; where it is installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jconv._bench.suites import Row

FORMATS = ("torch nchw", "torch nhwc")  # one operation, laid out in memory in two ways
_WANTED = {
    "forward": (True, (False, False)),
    "input_grad": (False, (True, False)),
    "filter_grad": (False, (False, True)),
    "step": (True, (True, True)),
}


def installed() -> bool:
    return importlib.util.find_spec("torch") is not None


def version() -> str | None:
    return _torch().__version__ if installed() else None


def _torch() -> Any:
    return importlib.import_module("torch")  # seconds, and not everybody has it


def prepare(
    name: str, threads: int, row: Row, leg: str, arrays: Sequence[np.ndarray]
) -> tuple[Callable[[], object], Callable[[], tuple[np.ndarray, ...]]] | None:
    """(run, results) of one leg; None where PyTorch cannot run it.

    It has no channels-last format on one axis, and on some processors its library has no kernel
    for some legs.
    """
    channels_last = name == "torch nhwc"
    if channels_last and row.rank == 1:
        return None
    torch = _torch()
    torch.set_num_threads(threads)
    x, w, g = arrays
    tensors = (
        to_tensor(x, channels_last),
        to_tensor(w, channels_last, is_filter=True),
        to_tensor(g, channels_last),
    )
    wants_result, mask = _WANTED[leg]

    def run() -> list[Any]:
        with torch.no_grad():
            return _legs(torch, row, *tensors, wants_result, mask)

    def results() -> tuple[np.ndarray, ...]:
        found = run()
        last_is_filter = mask[1]
        return tuple(from_tensor(t, is_filter=last_is_filter and t is found[-1]) for t in found)

    try:
        run()
    except RuntimeError as error:
        if "could not create a primitive" not in str(error):
            raise
        return None
    return run, results


def _legs(
    torch: Any, row: Row, x: Any, w: Any, g: Any, wants_result: bool, mask: tuple[bool, bool]
) -> list[Any]:
    """The operators that PyTorch's own autograd calls."""
    each = [row.rank * [value] for value in (row.stride, row.dilation, 0)]
    stride, dilation, none = each
    # PyTorch takes one pad for both sides; otherwise x is padded by a copy, as its layers do.
    alike = all(low == high for low, high in row.pads)
    pads = [low for low, _ in row.pads] if alike else none
    around = [size for pair in reversed(row.pads) for size in pair]
    source = x if alike else torch.nn.functional.pad(x, around)
    options = (stride, pads, dilation, row.transposed, none, row.groups)
    found = []
    if wants_result:
        found.append(torch.ops.aten.convolution.default(source, w, None, *options))
    if any(mask):
        x_grad, w_grad, _ = torch.ops.aten.convolution_backward.default(
            g, source, w, None, *options, [*mask, False]
        )
        if mask[0]:
            inner = [-size for size in around]
            found.append(x_grad if alike else torch.nn.functional.pad(x_grad, inner))
        if mask[1]:
            found.append(w_grad)
    return found


def to_tensor(array: np.ndarray, channels_last: bool, *, is_filter: bool = False) -> Any:
    """A channels-last array as PyTorch has it: NC... or OI..., in one of two memory formats."""
    torch = _torch()
    array = np.moveaxis(array, (-1, -2), (0, 1)) if is_filter else np.moveaxis(array, -1, 1)
    tensor = torch.tensor(np.ascontiguousarray(array))
    if not channels_last:
        return tensor
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return tensor.to(memory_format=formats[tensor.ndim])


def from_tensor(tensor: Any, *, is_filter: bool = False) -> np.ndarray:
    array = tensor.detach().contiguous().numpy()
    return np.moveaxis(array, (0, 1), (-1, -2)) if is_filter else np.moveaxis(array, 1, -1)
