"""The checks of one property: each raises where the property does not hold."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jconv.testing.cases.table import CASES
from jconv.testing.oracle.case import Case
from jconv.testing.oracle.legs import OPERATIONS
from jconv.testing.oracle.rounding import EXACT_BELOW, widened
from jconv.testing.run.ask import Crash, Implementation, Refusal
from jconv.testing.run.conformance import TRANSFORMED
from jconv.testing.run.findings import examine
from jconv.testing.run.report import Report
from jconv.testing.transformations.questions import Question, whole_numbers
from jconv.testing.transformations.ways import WAYS

Function = Callable[..., Any]


def check_trilinear(
    conv: Function,
    input_grad: Function,
    filter_grad: Function,
    *,
    cases: Sequence[Case] = CASES[::4],
    exact: bool = True,
) -> int:
    """<g, conv(x, w)> = <x, input_grad(g, w)> = <w, filter_grad(x, g)>, in small whole numbers.

    The identity says that the three are derivatives of one form, not of the right one: three
    functions that all flip the filter pass. `check_conformance` compares with an oracle.

    Args:
        conv: (x, w, **keywords) -> y, as `jconv.conv`.
        input_grad: (g, w, input_shape=, **keywords) -> x', as `jconv.conv_input_grad`.
        filter_grad: (x, g, filter_shape=, **keywords) -> w', as `jconv.conv_filter_grad`.
        cases: the configurations.
        exact: whether the three must be the same number; else they may differ by a quarter, which
            is more than rounding makes of whole numbers and less than a wrong term does.

    Returns:
        In how many cases the identity holds. A case that a function refuses, by
        NotImplementedError, is left out.

    Raises:
        AssertionError: where the three differ, with the case; or if all cases are refused.

    Examples:
        >>> import jconv
        >>> from jconv.testing import CASES, check_trilinear
        >>> legs = jconv.conv, jconv.conv_input_grad, jconv.conv_filter_grad
        >>> check_trilinear(*legs, cases=CASES[:3])
        3
    """
    legs = types.SimpleNamespace(
        conv=conv, conv_input_grad=input_grad, conv_filter_grad=filter_grad
    )
    names = OPERATIONS[:3]
    questions = [Question(case, op) for case in cases for op in names]
    with jax.default_matmul_precision("highest"):
        answers = iter(Implementation(legs).ask(questions))
    held = 0
    for case in cases:
        answered = {op: next(answers) for op in names}
        forms = {}
        for op, answer in answered.items():
            if isinstance(answer, Crash):
                raise AssertionError(f"{op} of the case {case.name} raised {answer.told}")
            if not isinstance(answer, Refusal):
                forms[op] = _form(Question(case, op), answer[0])
        if len(forms) < len(names):
            continue
        if max(forms.values()) - min(forms.values()) > (0 if exact else EXACT_BELOW):
            texts = ["<g, conv(x, w)>", "<x, input_grad(g, w)>", "<w, filter_grad(x, g)>"]
            told = ", ".join(
                f"{text} = {value:g}" for text, value in zip(texts, forms.values(), strict=True)
            )
            raise AssertionError(f"the case {case.name} ({case.nasty}): {told}; {_arguments(case)}")
        held += 1
    if not held:
        raise AssertionError("all cases are refused: nothing is known")
    return held


def _form(question: Question, got: Any) -> float:
    """The trilinear form from this leg: its result times the array drawn for the same slot."""
    mine, got = question.drawn()[question.items()[0].out][0], np.asarray(got, np.float64)
    if got.shape != mine.shape:
        raise AssertionError(
            f"{question.op} of the case {question.case.name} returned the shape {got.shape} "
            f"instead of {mine.shape}; {_arguments(question.case)}"
        )
    return float(np.sum(mine * got))


def _arguments(case: Case) -> str:
    return f"x {case.x_shape}, w {case.w_shape}, {dict(case.kwargs)}"


def check_adjoint(
    forward: Function, adjoint: Function, x: Any, y: Any, *, exact: bool = True
) -> None:
    """<y, forward(x)> = <adjoint(y), x> for two linear functions, in small whole numbers.

    Args:
        forward: a linear function of one array.
        adjoint: the function that should be its transpose.
        x: an array with the shape and dtype of forward's argument, or the shape alone.
        y: an array with the shape and dtype of forward's result, or the shape alone.
        exact: as in `check_trilinear`.

    Raises:
        AssertionError: if the two sides differ, in any of three draws, or a shape is wrong.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jconv.testing import check_adjoint
        >>> def pad(x): return jnp.pad(x, (1, 2))
        >>> check_adjoint(pad, lambda y: y[1:-2], x=(5,), y=(8,))
        >>> check_adjoint(pad, lambda y: y[2:-1], x=(5,), y=(8,))
        Traceback (most recent call last):
            ...
        AssertionError: ...
    """
    for seed in range(3):
        rng = np.random.default_rng(seed)
        given_x, given_y = _whole(rng, x), _whole(rng, y)
        pairs = []
        for name, function, argument, other in (
            ("forward", forward, given_x, given_y),
            ("adjoint", adjoint, given_y, given_x),
        ):
            with jax.default_matmul_precision("highest"):
                made = np.asarray(function(jax.device_put(argument)))
            if made.shape != other.shape:
                raise AssertionError(f"{name} returned the shape {made.shape} for {other.shape}")
            pairs.append(np.sum(widened(made) * widened(other)))
        if not abs(pairs[0] - pairs[1]) <= (0 if exact else EXACT_BELOW):
            raise AssertionError(
                f"<y, forward(x)> = {pairs[0]:g}, but <adjoint(y), x> = {pairs[1]:g}: "
                "one function is not the other's transpose"
            )


def _whole(rng: np.random.Generator, like: Any) -> Any:
    """Whole numbers from -4 to 4 without 0, of an array's shape and dtype, or of a shape."""
    is_array = hasattr(like, "dtype")
    shape, dtype = (like.shape, like.dtype) if is_array else (tuple(like), "float32")
    values = whole_numbers(rng, shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.integers(1, 5, shape)
    return np.asarray(values).astype(dtype)


def check_transforms(
    fn: Function,
    op: str = "",
    *,
    cases: Sequence[Case] = tuple(case for case in CASES if case.name in TRANSFORMED),
    ways: Sequence[str] = tuple(WAYS),
    exact: bool = False,
) -> Report:
    """An operation under every transformation of JAX's, each against the oracle.

    The grid: gradients, forward mode, linear transposition, second order in every mode, vmap over
    either operand and both, nested, of gradients and under them, scan, while, cond, checkpoint.

    Args:
        fn: the operation, of jconv's signature.
        op: which of jconv's operations it is. Left out, it is the one of fn's name, or `conv`.
        cases: the configurations.
        ways: the transformations, of the keys of `jconv.testing.WAYS`.
        exact: as in `check_conformance`.

    Returns:
        A Report. A mode of differentiation that the function does not have (a custom_vjp has no
        forward mode) is listed in its `refused`.

    Raises:
        AssertionError: with the report, if any transformation is wrong.

    Examples:
        >>> import jconv
        >>> from jconv.testing import check_transforms
        >>> check_transforms(jconv.conv, ways=["reverse", "vmap-both"]).ok
        True
    """
    called = getattr(fn, "__name__", "")
    op = op or (called if called in OPERATIONS else "conv")
    if op not in OPERATIONS:
        raise ValueError(f"no operation {op!r}; there are {', '.join(OPERATIONS)}")
    checked = Implementation(types.SimpleNamespace(**{op: fn}))
    checked.name = called or op
    fitting = [case for case in cases if op != "conv_transpose" or case.transposable]
    questions = [Question(case, op, way) for way in ways for case in fitting]
    with jax.default_matmul_precision("highest"):
        answers = checked.ask(questions)
        return examine(checked, questions, answers, exact=exact).raise_if_failed()
