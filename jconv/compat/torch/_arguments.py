"""What PyTorch's calls have in common: the settings, and errors in PyTorch's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax import Array

from jconv._check.foreign_errors import same_value, worded
from jconv._core.geometry import Shape, is_static
from jconv.compat._arguments import CHANNELS_FIRST, read_count, read_each, wrong

NAMES = {
    "x": "input",
    "w": "weight",
    "g": "grad_output",
    "input_shape": "input_size",
    "filter_shape": "weight_size",
    "stride": "stride",
    "padding": "padding",
    "dilation": "dilation",
    "groups": "groups",
}


def settings(op: str, rank: int, stride: Any, padding: Any, dilation: Any, groups: Any):
    """jconv's keywords."""
    return {
        "stride": read_each(op, "stride", stride, rank),
        "padding": read_each(op, "padding", padding, rank, low=0),
        "dilation": read_each(op, "dilation", dilation, rank),
        "groups": read_count(op, "groups", groups),
        "layout": CHANNELS_FIRST[rank],
    }


def run(
    op: str,
    function: Callable[..., Array],
    *arrays: Array,
    given: dict[str, Any],
    batched: bool = True,
    names: dict[str, str] | None = None,
    **keywords: Any,
) -> Array:
    """One of jconv's operations, its errors in the words of `op`."""
    values: dict[str, Callable[[Any], Any]] = dict.fromkeys(NAMES, same_value)
    values["padding"] = _padding
    if not batched:
        values["x"] = _unbatched
    with worded(op, {**NAMES, **(names or {})}, given, values):
        return function(*arrays, **keywords)


def _padding(value: Any) -> Any:
    """A remedy's padding as PyTorch writes it; None unless both sides are equal and positive."""
    if isinstance(value, int):
        return value if value >= 0 else None
    if isinstance(value, tuple) and all(isinstance(v, tuple) and v[0] == v[1] >= 0 for v in value):
        return tuple(v[0] for v in value)
    return None


def _unbatched(value: Any) -> Any:
    return value[1:] if isinstance(value, tuple) and value[:1] == (1,) else None


def with_batch(array: Array, rank: int) -> tuple[Array, bool]:
    """The array with a batch axis, and whether it had one: PyTorch takes one example without."""
    return (array, True) if array.ndim == rank + 2 else (array[None], False)


def check_rows(op: str, sizes: Shape, why: str, remedy: int | None = None) -> None:
    """Refuse results without rows, as PyTorch does."""
    if is_static(*sizes) and min(sizes) < 1:
        remedies = [] if remedy is None else [("padding", remedy)]
        raise wrong(op, "input", sizes, "1 row of result or more on every axis", why, remedies)
