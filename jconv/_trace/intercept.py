"""Calls of lax's convolution handed to jconv, on the threads that ask for it.

Every call of `lax.conv_general_dilated`, however it was imported, binds one JAX primitive. While
at least one thread asks, the attribute `bind` of that primitive is replaced: it hands the calls of
asking threads to jconv and those of other threads to JAX. When the last thread stops asking, the
original `bind` is restored. jconv's own use of the primitive, when it lowers a leg, is exempt
(`is_lowering`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import lax

from jconv._core.errors import ConvError
from jconv._core.geometry import is_static
from jconv._ops.primitives import is_lowering
from jconv._trace.lax_primitive import from_lax

Takes = Callable[[Any, Any], bool]  # whether jconv runs a call of these operands

_lock = threading.Lock()
_asking = 0
_here = threading.local()


@contextlib.contextmanager
def calls_taken(takes: Takes) -> Iterator[None]:
    """A context in which this thread's calls that `takes` accepts run on jconv, where it can."""
    outer = getattr(_here, "takes", None)
    _ask(1)
    _here.takes = takes
    try:
        yield
    finally:
        _here.takes = outer
        _ask(-1)


def every_call(lhs: Any, rhs: Any) -> bool:
    del lhs, rhs
    return True


def of_symbolic_sizes(lhs: Any, rhs: Any) -> bool:
    """Whether sizes are symbolic: lax cannot differentiate these, as a gradient's pads are too."""
    return not is_static(*lhs.shape, *rhs.shape)


def _ask(change: int) -> None:
    global _asking
    primitive = lax.conv_general_dilated_p
    with _lock:
        if _asking == 0:
            primitive.bind = _Bind(primitive.bind, "bind" in vars(primitive))
        _asking += change
        if _asking == 0:
            bind = vars(primitive)["bind"]
            if bind.had_one:
                primitive.bind = bind.original
            else:
                del primitive.bind


class _Bind:
    """The primitive's `bind` while some thread asks."""

    def __init__(self, original: Callable[..., Any], had_one: bool):
        self.original, self.had_one = original, had_one

    def __call__(self, lhs: Any, rhs: Any, **params: Any) -> Any:
        takes = getattr(_here, "takes", None)
        if takes is None or is_lowering():
            return self.original(lhs, rhs, **params)
        if takes(lhs, rhs):
            with contextlib.suppress(ConvError):  # lax may support a call that jconv does not
                return _on_jconv(lhs, rhs, params)
        return self.original(lhs, rhs, **params)


def _on_jconv(lhs: Any, rhs: Any, params: dict[str, Any]) -> jax.Array:
    y = from_lax(lhs, rhs, params)
    sharding = params["out_sharding"]
    return y if sharding is None else jax.sharding.reshard(y, sharding)
