"""accelerate: an existing function, its lax convolutions run by jconv."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from jconv._core import jax_hooks
from jconv._core.errors import ConvError
from jconv._trace.intercept import calls_taken, of_symbolic_sizes
from jconv._trace.lax_call import refusal
from jconv._trace.nnx import without_modules
from jconv._trace.rewrite import rewrite

F = TypeVar("F", bound=Callable[..., Any])


def accelerate(fn: F) -> F:
    """fn with every `lax.conv_general_dilated` inside it run by jconv, gradients included.

    The result is fn's result up to rounding: the root mean square of a convolution's error is at
    most eight times that of lax's. The bound holds for a result as a whole, not for each number: a
    NaN may reach its neighbours, zeros beside other values may come out as 1e-7 (which a relu
    without a bias lets through), and an example's last bits depend on its batch. Under
    `jconv.policy("local")` none of these three happens.

    The function can be transformed as fn can. Convolutions inside jit, scan, while, cond,
    checkpoint, vmap, shard_map and custom derivatives run on jconv too, and gradients that fn takes
    itself are recognised as backprops.

    Args:
        fn: a function of anything, such as a loss of a model and a batch, a model's apply
            function, or a whole training step. It is traced as jax.jit would trace it, its
            jax.Array arguments alone; numbers, strings, functions and other objects are passed
            through unchanged. A Flax NNX module keeps the changes that fn makes to it.

    Returns:
        A function with fn's signature. Call it inside jit, or give it a compiled function:
        called from outside it traces anew each time.

    Raises:
        ConvError: if fn cannot be called; and where lax refuses a convolution in fn.

    Examples:
        >>> import jax, jax.numpy as jnp, jconv
        >>> def loss(w, x):
        ...     return jax.lax.conv(x, w, (2, 2), "SAME").sum()
        >>> w, x = jnp.ones((4, 3, 5, 5)), jnp.ones((1, 3, 8, 8))
        >>> step = jax.jit(jax.grad(jconv.accelerate(loss)))
        >>> [plan.leg for plan in jconv.explain(step, w, x)]
        ['conv', 'filter_grad']
    """
    if not callable(fn):
        raise ConvError(
            "accelerate: `fn` is the function whose convolutions jconv is to run.",
            argument="fn",
            got=fn,
            expected="a function",
        )
    if jax_hooks.JAXPRS is None:
        warnings.warn(
            "this JAX release lacks what jconv.accelerate needs to read a traced function; "
            "the function runs as it is",
            stacklevel=2,
        )
        return fn

    @functools.wraps(fn, updated=())
    def accelerated(*args: Any, **kwargs: Any) -> Any:
        pure, operands, finish = without_modules(fn, args, kwargs)
        return finish(_run(pure, operands))

    if not jax.tree_util.all_leaves([fn]) and not _apart(fn)[0][0]:
        # Equinox's transformed functions are trees. It warns of one inside a function, for the
        # parameters that may be in it; here there are none.
        accelerated.__signature__ = inspect.signature(fn)  # pyright: ignore
        del accelerated.__wrapped__
    return accelerated  # pyright: ignore[reportReturnType]


def _run(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """fn(*args): traced on its arrays, its convolutions replaced, then run."""
    (arrays, others), tree = _apart(args)
    result: list[Any] = []

    def flat(arrays: list[jax.Array]) -> list[jax.Array]:
        try:
            value = fn(*_together(arrays, others, tree))
        except (TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, ConvError) or (refused := refusal(error)) is None:
                raise
            raise refused from error
        (found, rest), structure = _apart(value)
        result.extend([rest, structure])
        return found

    with calls_taken(of_symbolic_sizes):
        traced = jax.make_jaxpr(flat)(arrays)
    closed = rewrite(traced, lambda inner: lambda *args: _run(inner, args))
    # Scalars known while tracing are literals in the jaxpr, in a JAX type: make them arrays.
    values = [jnp.asarray(value) for value in jax_hooks.JAXPRS.jaxpr_as_fun(closed)(*arrays)]
    return _together(values, *result)


_ARRAY = object()  # stands in an array's place among the leaves of a tree


def _apart(tree: Any) -> tuple[tuple[list[jax.Array], list[Any]], Any]:
    """The arrays of a tree, its leaves without them, and its structure."""
    leaves, structure = jax.tree.flatten(tree)
    arrays = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
    return (arrays, [_ARRAY if isinstance(v, jax.Array) else v for v in leaves]), structure


def _together(arrays: list[jax.Array], others: list[Any], structure: Any) -> Any:
    rest = iter(arrays)
    leaves = [next(rest) if leaf is _ARRAY else leaf for leaf in others]
    return jax.tree.unflatten(structure, leaves)
