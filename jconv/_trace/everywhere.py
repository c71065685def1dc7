"""everywhere: lax's convolutions in code that cannot be edited, run by jconv."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jconv._trace.intercept import calls_taken, every_call


@contextlib.contextmanager
def everywhere() -> Iterator[None]:
    """Run every lax convolution that this thread calls inside the context on jconv.

    It covers every call of `jax.lax.conv_general_dilated`, however the caller imported it: in
    Keras's `fit`, in a library's training loop, in `jax.scipy.signal.convolve`. Gradients taken
    inside are jconv's backprops. Other threads are not affected. Leaving the context, by an
    exception as well, restores the state before it. Contexts nest, and it works as a decorator.

    A jitted function keeps what it was traced with: one first traced inside the context stays on
    jconv afterwards, one traced before stays on lax inside. No cache is cleared or split.

    Returns:
        A context manager.

    Examples:
        >>> import jax, jax.numpy as jnp, jconv
        >>> from jax.scipy import signal
        >>> with jconv.everywhere():
        ...     plans = jax.make_jaxpr(lambda x, k: signal.convolve(x, k))(jnp.ones(9), jnp.ones(3))
        >>> "jconv_conv" in str(plans)
        True
    """
    with calls_taken(every_call):
        yield
