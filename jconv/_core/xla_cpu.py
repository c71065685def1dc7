"""What XLA's CPU compiler does with convolutions, where it differs between releases."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import jax

# XLA's CPU backend in jaxlib 0.10 takes up to three times as long for a convolution without
# padding as for one padded by a single row. In jaxlib 0.12 it does not.
UNPADDED_IS_SLOW = jax.__version_info__ < (0, 11)

# XLA's CPU backend in jaxlib 0.10 splits a convolution into tasks by output channels and along
# the last spatial axis only, so a convolution with few output channels runs on one thread.
FEW_TASKS = jax.__version_info__ < (0, 11)


_inlining: contextvars.ContextVar[bool] = contextvars.ContextVar("inlining", default=False)


def kept_apart(fn: Any) -> Any:
    """The jitted function `fn`, marked so that XLA compiles equal calls once, without inlining."""
    return _marked(fn, "false")


def traced_once(fn: Any) -> Any:
    """The jitted function `fn`, whose equal calls JAX traces and lowers once and XLA inlines.

    Without a mark of its own, a call inside of one that is kept apart would be kept apart as well.
    """
    return _marked(fn, "true")


def _marked(fn: Any, inlineable: str) -> Any:
    try:
        from jax.experimental.xla_metadata import set_xla_metadata
    except ImportError:
        return fn

    def call(*args: Any, **kwargs: Any) -> Any:
        if _inlining.get():
            return fn(*args, **kwargs)
        with set_xla_metadata(inlineable=inlineable):
            return fn(*args, **kwargs)

    return call


@contextlib.contextmanager
def inlined(on: bool) -> Iterator[None]:
    """A context in which, if `on`, functions made by `kept_apart` are inlined after all.

    Only XLA's CPU backend is known to accept calls marked as not to be inlined.
    """
    token = _inlining.set(on or _inlining.get())
    try:
        yield
    finally:
        _inlining.reset(token)
