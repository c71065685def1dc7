"""check_grads: derivatives against differences that are exact, or whose error is bounded.

For a function that is affine in each argument alone, as every multilinear one is, central
differences have no truncation error at any step: f(a+v) - f(a-v) = 2 f'(a) v. In small whole
numbers with a step of 1 they are exact in floating point too, and so is the comparison.

For any other function they are taken in float64, at steps that are halved each time, and
extrapolated to a step of zero (Ridders' method). Each extrapolated value has an error estimate:
its distance from the two values it is made of, plus the rounding of f divided by the step. Where
no estimate is below a millionth, the check fails instead of comparing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jconv.testing.oracle.rounding import widened
from jconv.testing.transformations.questions import whole_numbers

Arrays = tuple[Any, ...]
Function = Callable[..., Any]

MODES = ("fwd", "rev")
STEPS = 8  # from which differences are extrapolated
JUDGED = 1e-6  # the largest relative error of a difference that derivatives are compared with


def check_grads(
    fn: Function, args: Sequence[Any], order: int = 2, modes: Sequence[str] = MODES
) -> None:
    """Derivatives of fn at args, forward and reverse, to some order.

    Args:
        fn: a function of arrays to an array (or a tree of arrays).
        args: where the derivatives are taken. For a function that is affine in each argument only
            their shapes and dtypes are used, and the values are whole numbers drawn at random.
        order: 1 for gradients, 2 for their gradients too (in every mix of modes), and so on.
        modes: "fwd", "rev" or both.

    Raises:
        AssertionError: where a derivative is not the limit of differences, naming the mode and the
            argument; or if the differences do not settle, so that nothing can be compared.

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
            wide = tuple(jnp.asarray(widened(arg)) for arg in given)
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
    """Check the first order, and the higher ones as first orders of fn's derivatives."""
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
    """For each mode its name, fn's derivative as a function, and arguments to check that at."""
    count = len(args)
    if "fwd" in modes:
        yield "fwd", lambda *v: jax.jvp(fn, v[:count], v[count:])[1], (*args, *tangents)
    if "rev" in modes:
        yield "rev", lambda *v: jax.vjp(fn, *v[:count])[1](v[count:]), (*args, *cotangents)


def _difference_exactly(
    fn: Function, args: Arrays, at: int, tangent: Any
) -> tuple[list[Any], list[Any]]:
    """(f(a+v) - f(a-v)) / 2, and no error."""
    high, low = _moved(fn, args, at, tangent, 1), _moved(fn, args, at, tangent, -1)
    return [(h - m) / 2 for h, m in zip(high, low, strict=True)], [0.0] * len(high)


def _difference_by_ridders(
    fn: Function, args: Arrays, at: int, tangent: Any
) -> tuple[list[Any], list[Any]]:
    """The limits of central differences and, element by element, how far off they may be."""
    scale = float(np.max(abs(np.asarray(args[at])), initial=0)) + 1
    step = 0.05 * scale / (float(np.max(abs(np.asarray(tangent)), initial=0)) + 1)
    steps = [step / 2**n for n in range(STEPS)]
    high, low = ([_moved(fn, args, at, tangent, sign * h) for h in steps] for sign in (1, -1))
    limits, errors = [], []
    for above, below in zip(zip(*high, strict=True), zip(*low, strict=True), strict=True):
        limit, error = _extrapolated(steps, above, below)
        if np.max(error, initial=0) > JUDGED * np.max(abs(limit), initial=1):
            raise AssertionError(
                f"the differences in argument {at} do not settle (to {np.max(error):.1e}): fn has "
                "a kink near these arguments, or is not computed in float64; choose others"
            )
        limits.append(limit)
        errors.append(4 * error)
    return limits, errors


def _extrapolated(
    steps: Sequence[float], above: Sequence[Any], below: Sequence[Any]
) -> tuple[Any, Any]:
    """The limit of one output's differences and its error, given f(a+hv) and f(a-hv) by step h."""
    best, error = np.zeros_like(above[0]), np.full(above[0].shape, np.inf)
    coarser: list[Any] = []
    for h, high, low in zip(steps, above, below, strict=True):
        noise = 8 * np.finfo(np.float64).eps * np.maximum(abs(high), abs(low)) / h
        finer = [(high - low) / (2 * h)]
        for column, old in enumerate(coarser, 1):
            new = (4.0**column * finer[-1] - old) / (4.0**column - 1)
            told = np.maximum(abs(new - finer[-1]), abs(new - old)) + noise
            best, error = np.where(told < error, new, best), np.fmin(told, error)
            finer.append(new)
        coarser = finer
    return best, error


def _moved(fn: Function, args: Arrays, at: int, tangent: Any, by: float) -> list[Any]:
    moved = args[at] + jnp.asarray(by, args[at].dtype) * tangent
    outputs = fn(*args[:at], moved, *args[at + 1 :])
    return [widened(out) for out in outputs]


def _affine_in_each(fn: Function, args: Arrays, rng: np.random.Generator) -> bool:
    """Whether f(a+v) + f(a-v) = 2 f(a) to the last bit, in each argument."""
    middle = [widened(out) for out in fn(*args)]
    for at, arg in enumerate(args):
        tangent = _whole(rng, arg)
        high, low = _moved(fn, args, at, tangent, 1), _moved(fn, args, at, tangent, -1)
        if any(np.any(h + m != 2 * y) for h, m, y in zip(high, low, middle, strict=True)):
            return False
    return True


def _compare(have: Any, want: Any, error: Any, mode: str, at: int) -> None:
    have = widened(have)
    # The derivative is rounded to the arguments' dtype; whole numbers are not.
    off = abs(have - want)
    own = 0.0 if np.all(np.asarray(error) == 0) else 1e-9 * (abs(want) + 1)
    if have.shape != np.shape(want) or not np.all(off <= error + own):
        raise AssertionError(
            f"{mode}: the derivative in argument {at} is off by {np.max(off, initial=0):.3g} "
            f"where {np.max(abs(want), initial=0):.3g} is right"
        )


def _pair(arrays: Sequence[Any], others: Sequence[Any]) -> Any:
    return sum(np.sum(widened(a) * widened(b)) for a, b in zip(arrays, others, strict=True))


def _whole(rng: np.random.Generator, like: Any) -> Any:
    """Whole numbers from -3 to 3 without 0."""
    values = whole_numbers(rng, like.shape, 3)
    if jnp.issubdtype(like.dtype, jnp.complexfloating):
        values = values + 1j * rng.integers(1, 4, like.shape)
    return jnp.asarray(values, like.dtype)


def _normal(rng: np.random.Generator, like: Any) -> Any:
    values = rng.standard_normal(like.shape)
    if jnp.issubdtype(like.dtype, jnp.complexfloating):
        values = values + 1j * rng.standard_normal(like.shape)
    return jnp.asarray(values, like.dtype)
