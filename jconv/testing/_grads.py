"""check_grads: derivatives against differences that are exact, or whose error is bounded.

A function that is affine in each argument alone, as every multilinear one is, has central
differences without truncation error, at any step: f(a+v) - f(a-v) = 2 f'(a) v. In small whole
numbers with a step of 1 they are exact in floating point too, and so is the comparison.

Of any other function the difference is taken in float64, at steps that shrink by half, and
extrapolated (Ridders). The error of a tableau's entry is told by its two neighbours, and that of
rounding by the values' size over the step: what no entry can bound to a millionth is refused, not
passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Arrays = tuple[Any, ...]
Function = Callable[..., Any]

MODES = ("fwd", "rev")
STEPS = 8  # of the extrapolation
JUDGED = 1e-6  # the worst relative error of a difference that is still worth comparing with


def check_grads(
    fn: Function, args: Sequence[Any], order: int = 2, modes: Sequence[str] = MODES
) -> None:
    """Derivatives of fn at args, forward and reverse, to some order.

    Args:
        fn: a function of arrays to an array (or a tree of arrays).
        args: where; of a function that is affine in each argument only shapes and dtypes count,
            and the values are whole numbers drawn here.
        order: 1 for gradients, 2 for their gradients too (in every mix of modes), and so on.
        modes: "fwd", "rev" or both.

    Raises:
        AssertionError: where a derivative is not the limit of differences, naming the mode and the
            argument; or if the differences do not settle, so that nothing could be said.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> from jconv.testing import check_grads
        >>> x, w = jnp.ones((1, 5, 2)), jnp.ones((3, 2, 4))
        >>> check_grads(lambda x, w: jconv.conv(x, w, stride=2), (x, w), order=2)
    """
    if unknown := {*modes} - {*MODES}:
        raise ValueError(f"no modes {sorted(unknown)}; there are {', '.join(MODES)}")
    given = tuple(jnp.asarray(arg) for arg in args)
    if any(not jnp.issubdtype(arg.dtype, jnp.inexact) for arg in given):
        raise TypeError("the arguments of fn must be floating: integers have no gradients")

    def flat(*arrays: Any) -> Arrays:
        return tuple(jax.tree.leaves(fn(*arrays)))

    rng = np.random.default_rng(0)
    with jax.default_matmul_precision("highest"):
        whole = tuple(_whole(rng, arg) for arg in given)
        if _affine_in_each(flat, whole, rng):
            _check(flat, whole, order, modes, "", _difference_exactly, rng)
            return
        with jax.enable_x64(True):
            wide = tuple(_as_double(arg) for arg in given)
            _check(flat, wide, order, modes, "", _difference_by_ridders, rng)


def _check(
    fn: Function,
    args: Arrays,
    order: int,
    modes: Sequence[str],
    name: str,
    difference: Callable[..., Any],
    rng: np.random.Generator,
) -> None:
    """One order, and by way of each mode's derivative the orders above it."""
    draw = _whole if difference is _difference_exactly else _normal
    tangents = tuple(draw(rng, arg) for arg in args)
    outputs = fn(*args)
    cotangents = tuple(draw(rng, out) for out in outputs)
    for at, tangent in enumerate(tangents):
        want, bound = difference(fn, args, at, tangent)
        if "fwd" in modes:
            zeros = [jnp.zeros_like(arg) for arg in args]
            zeros[at] = tangent
            got = jax.jvp(fn, args, tuple(zeros))[1]
            for have, limit, error in zip(got, want, bound, strict=True):
                _compare(have, limit, error, f"{name}fwd", at)
        if "rev" in modes:
            grad = jax.vjp(fn, *args)[1](cotangents)[at]
            if grad.shape != args[at].shape or grad.dtype != args[at].dtype:
                raise AssertionError(
                    f"{name}rev: the gradient in argument {at} is {grad.dtype}{grad.shape}, "
                    f"the argument {args[at].dtype}{args[at].shape}"
                )
            have = _pair([grad], [tangent])
            limit = _pair(want, cotangents)
            error = sum(
                float(np.sum(abs(np.asarray(c)) * e))
                for c, e in zip(cotangents, bound, strict=True)
            )
            _compare(have, limit, error, f"{name}rev", at)
    if order > 1:
        for mode, derivative, more in _derivatives(fn, args, modes, tangents, cotangents):
            _check(derivative, more, order - 1, modes, f"{mode} of {name}", difference, rng)


def _derivatives(
    fn: Function, args: Arrays, modes: Sequence[str], tangents: Arrays, cotangents: Arrays
) -> Iterator[tuple[str, Function, Arrays]]:
    """The derivative in each mode as a function again, and where it is taken."""
    count = len(args)
    if "fwd" in modes:
        yield "fwd", lambda *v: jax.jvp(fn, v[:count], v[count:])[1], (*args, *tangents)
    if "rev" in modes:
        yield "rev", lambda *v: jax.vjp(fn, *v[:count])[1](v[count:]), (*args, *cotangents)


# --- differences ----------------------------------------------------------------------------


def _difference_exactly(
    fn: Function, args: Arrays, at: int, tangent: Any
) -> tuple[list[Any], list[Any]]:
    """(f(a+v) - f(a-v)) / 2, and no error."""
    high, low = _moved(fn, args, at, tangent, 1), _moved(fn, args, at, tangent, -1)
    return [(h - m) / 2 for h, m in zip(high, low, strict=True)], [0.0] * len(high)


def _difference_by_ridders(
    fn: Function, args: Arrays, at: int, tangent: Any
) -> tuple[list[Any], list[Any]]:
    """The limit of central differences and, element by element, how far off it may be."""
    scale = float(np.max(abs(np.asarray(args[at])), initial=0)) + 1
    step = 0.05 * scale / (float(np.max(abs(np.asarray(tangent)), initial=0)) + 1)
    table: list[list[list[Any]]] = []
    best: list[Any] = []
    errors: list[Any] = []
    for row in range(STEPS):
        h = step / 2**row
        high, low = _moved(fn, args, at, tangent, h), _moved(fn, args, at, tangent, -h)
        first = [(a - b) / (2 * h) for a, b in zip(high, low, strict=True)]
        eps = [float(np.finfo(a.real.dtype).eps) for a in high]
        noise = [
            8 * e * np.maximum(abs(a), abs(b)) / h for e, a, b in zip(eps, high, low, strict=True)
        ]
        entries = [first]
        for column in range(1, row + 1):
            factor = 4.0**column
            finer, coarser = entries[-1], table[row - 1][column - 1]
            entries.append(
                [(factor * f - c) / (factor - 1) for f, c in zip(finer, coarser, strict=True)]
            )
            told = [
                np.maximum(abs(new - f), abs(new - c)) + n
                for new, f, c, n in zip(entries[-1], finer, coarser, noise, strict=True)
            ]
            if not best:
                best, errors = entries[-1], told
            else:
                better = [t < e for t, e in zip(told, errors, strict=True)]
                best = [
                    np.where(y, n, b) for y, n, b in zip(better, entries[-1], best, strict=True)
                ]
                errors = [np.where(y, t, e) for y, t, e in zip(better, told, errors, strict=True)]
        table.append(entries)
    for limit, error in zip(best, errors, strict=True):
        size = np.max(abs(limit), initial=1)
        if np.max(error, initial=0) > JUDGED * size:
            raise AssertionError(
                f"the differences in argument {at} do not settle (to {np.max(error):.1e}): fn has "
                "a kink near these arguments, or is not computed in float64; choose others"
            )
    return best, [4 * error for error in errors]


def _moved(fn: Function, args: Arrays, at: int, tangent: Any, by: float) -> list[Any]:
    moved = args[at] + jnp.asarray(by, args[at].dtype) * tangent
    outputs = fn(*args[:at], moved, *args[at + 1 :])
    return [_wide(out) for out in outputs]


def _affine_in_each(fn: Function, args: Arrays, rng: np.random.Generator) -> bool:
    """Whether f(a+v) + f(a-v) = 2 f(a) to the last bit, in each argument."""
    middle = [_wide(out) for out in fn(*args)]
    for at, arg in enumerate(args):
        tangent = _whole(rng, arg)
        high, low = _moved(fn, args, at, tangent, 1), _moved(fn, args, at, tangent, -1)
        if any(np.any(h + m != 2 * y) for h, m, y in zip(high, low, middle, strict=True)):
            return False
    return True


def _compare(have: Any, want: Any, error: Any, mode: str, at: int) -> None:
    have = _wide(have)
    # What is computed in a narrow dtype is off by its own rounding; whole numbers are not.
    off = abs(have - want)
    own = 0.0 if np.all(np.asarray(error) == 0) else 1e-9 * (abs(want) + 1)
    if have.shape != np.shape(want) or not np.all(off <= error + own):
        raise AssertionError(
            f"{mode}: the derivative in argument {at} is off by {np.max(off, initial=0):.3g} "
            f"where {np.max(abs(want), initial=0):.3g} is right"
        )


def _pair(arrays: Sequence[Any], others: Sequence[Any]) -> Any:
    return sum(np.sum(_wide(a) * _wide(b)) for a, b in zip(arrays, others, strict=True))


def _wide(array: Any) -> Any:
    array = np.asarray(array)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _whole(rng: np.random.Generator, like: Any) -> Any:
    """Whole numbers from -3 to 3 without 0."""
    values = rng.integers(1, 4, like.shape) * rng.choice([-1, 1], like.shape)
    if jnp.issubdtype(like.dtype, jnp.complexfloating):
        values = values + 1j * rng.integers(1, 4, like.shape)
    return jnp.asarray(values, like.dtype)


def _normal(rng: np.random.Generator, like: Any) -> Any:
    values = rng.standard_normal(like.shape)
    if jnp.issubdtype(like.dtype, jnp.complexfloating):
        values = values + 1j * rng.standard_normal(like.shape)
    return jnp.asarray(values, like.dtype)


def _as_double(array: Any) -> Any:
    wide = jnp.complex128 if jnp.issubdtype(array.dtype, jnp.complexfloating) else jnp.float64
    return jnp.asarray(np.asarray(array).astype(wide))
