"""What XLA's CPU compiler does with convolutions, where it differs between releases."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import jax

# XLA's CPU library of jaxlib 0.10 takes up to three times as long over a convolution without
# any padding as over the same one with a row of it; that of 0.12 does not.
UNPADDED_IS_SLOW = jax.__version_info__ < (0, 11)

# That of jaxlib 0.10 divides its work by channels made and along the last axis only, so that
# convolutions of few channels run on one thread.
FEW_TASKS = jax.__version_info__ < (0, 11)


_inlining: contextvars.ContextVar[bool] = contextvars.ContextVar("inlining", default=False)


def kept_apart(fn: Any) -> Any:
    """`fn`, a jitted function whose calls XLA does not inline: equal calls are compiled once."""
    try:
        from jax.experimental.xla_metadata import set_xla_metadata
    except ImportError:
        return fn

    def call(*args: Any, **kwargs: Any) -> Any:
        if _inlining.get():
            return fn(*args, **kwargs)
        with set_xla_metadata(inlineable="false"):
            return fn(*args, **kwargs)

    return call


@contextlib.contextmanager
def inlined(on: bool) -> Iterator[None]:
    """Within this context, calls that `kept_apart` would keep apart are inlined, if `on`.

    Only XLA's CPU backend is known to take calls that are not.
    """
    token = _inlining.set(on or _inlining.get())
    try:
        yield
    finally:
        _inlining.reset(token)
