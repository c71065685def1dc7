"""custom_conv: a convolution assembled from three legs, any of which the user can supply."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from jconv._check.arrays import as_operand, given_dtype
from jconv._check.call import Call
from jconv._check.operations import OPERATIONS
from jconv._check.resolve import resolve
from jconv._check.settings import as_int, entries_of
from jconv._check.words import in_jconvs_words
from jconv._core import jax_sharding
from jconv._core.errors import ConvError, Remedy
from jconv._core.layout import LayoutError, parse_layout
from jconv._diagnosis.diagnose import resolve_or_explain
from jconv._ops.conv import (
    Ints,
    Layout,
    Padding,
    PaddingMode,
    Precision,
    conv,
    conv_filter_grad,
    conv_input_grad,
)


@in_jconvs_words
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
    padding_mode: PaddingMode = "zeros",
    precision: Precision = None,
    preferred_element_type: DTypeLike | None = None,
) -> Callable[[ArrayLike, ArrayLike], Array]:
    """A jax.custom_vjp convolution f(x, w) made of three legs.

    A leg left out is jconv's own. A leg is called with its two operands, forward(x, w),
    input_grad(g, w), filter_grad(x, g); `input_shape=` or `filter_shape=` (the full shape) and
    the convolution's keywords are passed too where its signature accepts them and no
    functools.partial has fixed them. What a backprop returns is converted to its operand's
    dtype. As with any custom_vjp there is no forward mode.

    Args:
        forward: (x, w) -> y.
        input_grad: (g, w) -> x'.
        filter_grad: (x, g) -> w'.
        stride, padding, dilation, input_dilation, groups, layout, padding_mode, precision,
            preferred_element_type: as in `conv`.

    Returns:
        f(x, w), differentiable in both operands by the given legs.

    Raises:
        ConvError: when a setting or a leg cannot be used, or, once called, when a backprop
            returns another shape than its operand's.

    Examples:
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
    _check_legs(forward=forward, input_grad=input_grad, filter_grad=filter_grad)
    _check_settings(keywords)
    preferred = given_dtype("custom_conv", "preferred_element_type", preferred_element_type)
    run_forward = _accepting(forward or conv, {**keywords, "preferred_element_type": preferred})
    # preferred_element_type is the forward's; derivatives come back in their operand's dtype.
    run_input_grad = _accepting(input_grad or conv_input_grad, keywords)
    run_filter_grad = _accepting(filter_grad or conv_filter_grad, keywords)

    @jax.custom_vjp
    def host(x: Array, w: Array) -> Array:
        return _array("forward", run_forward(x, w))

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
        return host(*jax_sharding.make_varying_alike(as_operand(x), as_operand(w)))

    return f


def _accepting(leg: Callable[..., Any], keywords: dict[str, Any]) -> Callable[..., Any]:
    """`leg`, called with the keywords that its signature accepts and without the others."""
    accepts = _accepts(leg)

    def run(a: Array, b: Array, **shape: Any) -> Any:
        given = {**keywords, **shape}
        return leg(a, b, **{name: value for name, value in given.items() if accepts(name)})

    return run


def _accepts(leg: Callable[..., Any]) -> Callable[[str], bool]:
    """A function that says whether a keyword of some name can be passed to a leg.

    What a functools.partial has fixed stays fixed. A wrapper made with functools.wraps takes
    what its own signature says; if that has **keywords, they go on to the wrapped function.
    """
    bound = leg.keywords if isinstance(leg, functools.partial) else {}
    inner = leg.func if isinstance(leg, functools.partial) else leg
    wrapped = getattr(inner, "__wrapped__", None)
    passed_on = _accepts(wrapped) if callable(wrapped) else lambda name: True
    try:
        parameters = inspect.signature(leg, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):  # some callables, of C or of other libraries, have none
        return passed_on if callable(wrapped) else lambda name: False
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    names = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    return lambda name: name not in bound and (name in names or (takes_all and passed_on(name)))


def _check_legs(**legs: Any) -> None:
    for name, leg in legs.items():
        if leg is not None and not callable(leg):
            raise ConvError(
                f"custom_conv: `{name}` must be a function of two arrays.",
                argument=name,
                got=leg,
                expected="a function, or None for jconv's own leg",
                remedies=[Remedy.omit(name, "the leg is jconv's own")],
            )


def _check_settings(settings: dict[str, Any]) -> None:
    """Refuse settings with which no convolution of any rank can be called."""
    given = [entries_of(settings[name]) for name in ("stride", "padding", "dilation")]
    ranks = [len(entries) for entries in given if entries]
    if isinstance(settings["layout"], str):
        ranks.append(len(settings["layout"]) - 2)
    calls = [_some_call(settings, rank) for rank in (*ranks, 2, 1, 3) if rank > 0]
    for call in calls:
        with contextlib.suppress(ConvError):
            resolve(call)
            return
    resolve_or_explain(calls[0])


def _some_call(settings: dict[str, Any], rank: int) -> Call:
    """A convolution by one tap of an input that is large enough for any border."""
    groups = max(as_int(settings["groups"]) or 1, 1)
    x, w = (1, *(2**20,) * rank, groups), (*(1,) * rank, 1, groups)
    with contextlib.suppress(LayoutError, TypeError):  # which the checks will name
        layout = settings["layout"]
        layout = parse_layout(tuple(layout) if isinstance(layout, list) else layout, rank)
        x, w = layout.caller("x", x), layout.caller("w", w)
    return Call(OPERATIONS["conv"], {"x": x, "w": w}, {"x": "float32", "w": "float32"}, **settings)


def _array(leg: str, value: Any) -> Array:
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        raise ConvError(
            f"custom_conv: the leg `{leg}` must return an array.",
            argument=leg,
            got=value,
            expected="an array",
        )
    return jnp.asarray(value)


def _like(leg: str, value: Any, operand: Array) -> Array:
    value = _array(leg, value)
    if value.shape != operand.shape:
        raise ConvError(
            f"custom_conv: the leg `{leg}` returned another shape than its operand's.",
            argument=leg,
            got=value.shape,
            expected=operand.shape,
        )
    if jnp.iscomplexobj(value) and not jnp.iscomplexobj(operand):
        raise ConvError(
            f"custom_conv: the leg `{leg}` returned complex numbers for a real operand.",
            argument=leg,
            got=str(value.dtype),
            expected=f"{operand.dtype}: take the real part in the leg, if that is meant",
        )
    return value.astype(operand.dtype)
