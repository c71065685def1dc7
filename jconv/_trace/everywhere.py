"""everywhere: convolutions that somebody else's code calls, run by jconv without a call site."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jconv._trace.intercept import calls_taken, every_call


@contextlib.contextmanager
def everywhere() -> Iterator[None]:
    """Run every lax convolution that this thread calls inside the context on jconv.

    Whoever calls `jax.lax.conv_general_dilated` is served, through whatever reference: Keras's
    `fit`, a library's training loop, `jax.scipy.signal.convolve`. Gradients taken inside are
    jconv's backprops. Other threads are not concerned, and leaving the context, by an exception
    too, restores what was there before. Contexts nest, and it serves as a decorator.

    A jitted function is what it was when it was traced: one first traced inside stays on jconv
    afterwards, one traced before stays on lax inside. No cache is cleared or split.

    Returns:
        A context manager.

    Example:
        >>> import jax, jax.numpy as jnp, jconv
        >>> from jax.scipy import signal
        >>> with jconv.everywhere():
        ...     plans = jax.make_jaxpr(lambda x, k: signal.convolve(x, k))(jnp.ones(9), jnp.ones(3))
        >>> "jconv_conv" in str(plans)
        True
    """
    with calls_taken(every_call):
        yield
