"""custom_conv: a convolution assembled from three legs, any of which can be one's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from jconv import _jax
from jconv._errors import ConvError
from jconv._ops import (
    Ints,
    Layout,
    Padding,
    Precision,
    conv,
    conv_filter_grad,
    conv_input_grad,
)


def custom_conv(
    *,
    forward: Callable[..., Any] | None = None,
    input_grad: Callable[..., Any] | None = None,
    filter_grad: Callable[..., Any] | None = None,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    input_dilation: Ints = 1,
    groups: int = 1,
    layout: Layout = None,
    padding_mode: str = "zeros",
    precision: Precision = None,
    preferred_element_type: DTypeLike | None = None,
) -> Callable[[ArrayLike, ArrayLike], Array]:
    """A jax.custom_vjp convolution f(x, w) made of three legs.

    A leg left out is jconv's own. A leg is called with its two operands, forward(x, w),
    input_grad(g, w), filter_grad(x, g); `input_shape=` or `filter_shape=` (the full shape) and
    the convolution's keywords are passed too where its signature accepts them. What a backprop
    returns is converted to its operand's dtype. As with any custom_vjp there is no forward mode.

    Args:
        forward: (x, w) -> y.
        input_grad: (g, w) -> x'.
        filter_grad: (x, g) -> w'.
        stride, padding, dilation, input_dilation, groups, layout, padding_mode, precision,
            preferred_element_type: as in `conv`.

    Returns:
        f(x, w), differentiable in both operands by the given legs.

    Raises:
        ConvError: when a leg returns another shape than its slot's.

    Example:
        >>> import jax, jax.numpy as jnp, jconv
        >>> feedback = jnp.ones((3, 3, 2, 4))
        >>> f = jconv.custom_conv(
        ...     input_grad=lambda g, w, *, input_shape: jconv.conv_input_grad(
        ...         g, feedback, input_shape=input_shape))
        >>> x, w = jnp.ones((1, 5, 5, 2)), jnp.zeros((3, 3, 2, 4))
        >>> float(jax.grad(lambda x: f(x, w).sum())(x)[0, 2, 2, 0])
        36.0
    """
    keywords: dict[str, Any] = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "input_dilation": input_dilation,
        "groups": groups,
        "layout": layout,
        "padding_mode": padding_mode,
        "precision": precision,
    }
    run_forward = _accepting(
        forward or conv, {**keywords, "preferred_element_type": preferred_element_type}
    )
    # preferred_element_type is the forward's; derivatives come back in their operand's dtype.
    run_input_grad = _accepting(input_grad or conv_input_grad, keywords)
    run_filter_grad = _accepting(filter_grad or conv_filter_grad, keywords)

    @jax.custom_vjp
    def host(x: Array, w: Array) -> Array:
        return run_forward(x, w)

    def fwd(x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
        return host(x, w), (x, w)

    def bwd(residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
        x, w = residuals
        x_grad = run_input_grad(g, w, input_shape=x.shape)
        w_grad = run_filter_grad(x, g, filter_shape=w.shape)
        return _like("input_grad", x_grad, x), _like("filter_grad", w_grad, w)

    host.defvjp(fwd, bwd)

    @functools.wraps(host)
    def f(x: ArrayLike, w: ArrayLike) -> Array:
        return host(*_jax.make_varying_alike(jnp.asarray(x), jnp.asarray(w)))

    return f


def _accepting(leg: Callable[..., Any], keywords: dict[str, Any]) -> Callable[..., Any]:
    """`leg` given those keywords that its signature accepts."""
    try:
        parameters = inspect.signature(leg).parameters.values()
    except (TypeError, ValueError):  # some callables, of C or of other libraries, have none
        return lambda a, b, **_: leg(a, b)
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    names = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}

    def run(a: Array, b: Array, **shape: Any) -> Any:
        given = {**keywords, **shape}
        return leg(a, b, **{k: v for k, v in given.items() if takes_all or k in names})

    return run


def _like(leg: str, value: Any, operand: Array) -> Array:
    value = jnp.asarray(value)
    if value.shape != operand.shape:
        raise ConvError(
            f"custom_conv: the leg `{leg}` returned another shape than its operand's.",
            argument=leg,
            got=value.shape,
            expected=operand.shape,
        )
    return value.astype(operand.dtype)
