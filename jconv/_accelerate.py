"""accelerate: a function as it stands, its lax convolutions run by jconv."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from jconv import _jax
from jconv._errors import ConvError
from jconv._modules import without_modules
from jconv._rewrite import rewrite

F = TypeVar("F", bound=Callable[..., Any])


def accelerate(fn: F) -> F:
    """fn with every `lax.conv_general_dilated` inside it run by jconv, gradients included.

    The result is what fn returns, to the rounding of sums, and takes the same
    transformations; convolutions inside jit, scan, while, cond, checkpoint, vmap, shard_map and
    custom derivatives count, and gradients that fn takes itself are recognised as the backprops
    that they are.

    Args:
        fn: a function of anything, such as a loss of a model and a batch, a model's apply
            function, or a whole training step. It is traced as jax.jit would trace it, its
            jax.Array arguments alone; what is no array (a number, a string, a function, an
            object) is what it is. A Flax NNX module keeps the changes that fn makes to it.

    Returns:
        A function with fn's signature. Call it inside jit, or give it a compiled function:
        called from outside it traces anew each time.

    Raises:
        ConvError: if fn cannot be called.

    Example:
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
    if _jax.JAXPRS is None:
        warnings.warn(
            "this JAX release lacks what jconv.accelerate needs to read a traced function; "
            "the function runs as it is",
            stacklevel=2,
        )
        return fn

    @functools.wraps(fn)
    def accelerated(*args: Any, **kwargs: Any) -> Any:
        pure, operands, finish = without_modules(fn, args, kwargs)
        return finish(_run(pure, operands))

    return accelerated  # pyright: ignore[reportReturnType]


def _run(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """fn(*args), its arrays traced, the convolutions in it exchanged."""
    leaves, tree = jax.tree.flatten(args)
    result: list[Any] = []

    def flat(arrays: list[jax.Array]) -> list[jax.Array]:
        found, structure = jax.tree.flatten(fn(*jax.tree.unflatten(tree, _join(leaves, arrays))))
        result.extend([found, structure])
        return _arrays(found)

    arrays = _arrays(leaves)
    closed = rewrite(jax.make_jaxpr(flat)(arrays), lambda inner: lambda *args: _run(inner, args))
    values = _jax.JAXPRS.jaxpr_as_fun(closed)(*arrays)
    found, structure = result
    return jax.tree.unflatten(structure, _join(found, values))


def _arrays(leaves: list[Any]) -> list[jax.Array]:
    return [leaf for leaf in leaves if isinstance(leaf, jax.Array)]


def _join(leaves: list[Any], arrays: list[jax.Array]) -> list[Any]:
    """The leaves with other arrays in the arrays' places."""
    rest = iter(arrays)
    return [next(rest) if isinstance(leaf, jax.Array) else leaf for leaf in leaves]
