"""Whether a loss makes examples depend on each other, read from its traced program.

For each value of the program, its state says where the examples lie: along one dimension, which
may hold more numbers for each example (N merged with H*W). A value whose examples cannot be
followed is LOST, and no error comes from it. The result of an equation that combines values of
different examples is MIXED. Losses that are MIXED are an error.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from jconv._core import jax_hooks
from jconv._core.errors import ConvError
from jconv._ops.primitives import PRIMITIVES


@dataclasses.dataclass(frozen=True)
class At:
    """Examples along one dimension, each with `inner` numbers in a row."""

    dim: int
    inner: int = 1


@dataclasses.dataclass(frozen=True)
class Mixed:
    """A value that depends on several examples; `cause` is the equation that mixed them."""

    cause: str


LOST = "lost"
State = Any  # None (the same for every example), At, LOST or Mixed


def check_uncoupled(closed: Any, params: int, examples: int) -> None:
    """Refuse a loss in which examples are seen to depend on each other.

    Args:
        closed: jaxpr of the loss on the whole batch; its first `params` inputs are not batched,
            the others have the examples in front.
        params: their number.
        examples: the batch size.

    Raises:
        ConvError: that names the operation.
    """
    if examples < 2:  # then there is nothing to see
        return
    jaxpr = closed.jaxpr
    states = [None] * params + [At(0)] * (len(jaxpr.invars) - params)
    (state,) = _Follower(examples).run(jaxpr, states)
    if isinstance(state, Mixed):
        raise ConvError(
            f"clipped_grad: an example's loss depends on other examples: {state.cause} combines "
            "them, as batch normalisation in training does, so there is no gradient that is one "
            "example's own.",
            argument="loss",
            got=state.cause,
            expected="losses that depend on their own example alone: use group or layer "
            "normalisation, or batch normalisation with running averages",
        )


class _Follower:
    """The states of a program's values, for one batch size."""

    def __init__(self, examples: int):
        self.examples = examples

    def run(self, jaxpr: Any, states: Sequence[State]) -> list[State]:
        literal = jax_hooks.JAXPRS.Literal
        env: dict[Any, State] = dict(zip(jaxpr.invars, states, strict=True))

        def read(variable: Any) -> State:
            return None if isinstance(variable, literal) else env.get(variable)

        for equation in jaxpr.eqns:
            results = self.equation(equation, [read(v) for v in equation.invars])
            env.update(zip(equation.outvars, results, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def equation(self, equation: Any, states: list[State]) -> list[State]:
        count = len(equation.outvars)
        mixed = [state for state in states if isinstance(state, Mixed)]
        if all(state is None for state in states):
            return [None] * count
        body = self._body(equation, len(states), count)
        if body is not None:
            return self.run(body, states)
        if mixed:
            return mixed[:1] * count
        if equation.primitive in PRIMITIVES:
            return [_convolution(states, 0, 0, 0)]
        rule = _RULES.get(equation.primitive.name)
        result = rule(self, equation, states) if rule is not None else LOST
        return [self._sized(result, variable.aval) for variable in equation.outvars]

    def _body(self, equation: Any, operands: int, results: int) -> Any:
        """The jaxpr that a call of any kind stands for, its operands one to one."""
        if equation.primitive.name in ("scan", "while", "cond"):
            return None
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                fits = len(inner.invars) == operands and len(inner.outvars) == results
                return inner if fits else None
        return None

    def _sized(self, state: State, aval: Any) -> State:
        """The state if it fits the result's shape, and LOST if not."""
        if isinstance(state, At):
            shape = getattr(aval, "shape", ())
            if state.dim >= len(shape) or shape[state.dim] != self.examples * state.inner:
                return LOST
        return state

    def mixed(self, equation: Any) -> Mixed:
        return Mixed(f"`{equation.primitive.name}`")


def _joined(follower: _Follower, equation: Any, states: Sequence[State]) -> State:
    """The state of a result that combines its operands element by element."""
    found = {state for state in states if state is not None}
    if LOST in found:
        return LOST
    if len(found) > 1:
        plain = all(state.inner == 1 for state in found)
        return follower.mixed(equation) if plain else LOST
    return found.pop()


def _reduced(dims: Callable[[Any], Sequence[int]]) -> Any:
    """A rule for equations that combine all entries along some dimensions and remove these."""

    def rule(follower: _Follower, equation: Any, states: list[State]) -> State:
        state = _joined(follower, equation, states)
        if not isinstance(state, At):
            return state
        gone = dims(equation)
        if state.dim in gone:
            return follower.mixed(equation)
        return At(state.dim - sum(d < state.dim for d in gone), state.inner)

    return rule


def _along(dims: Callable[[Any], Sequence[int]]) -> Any:
    """A rule for equations that combine entries along some dimensions and keep these."""

    def rule(follower: _Follower, equation: Any, states: list[State]) -> State:
        state = _joined(follower, equation, states)
        if isinstance(state, At) and state.dim in dims(equation):
            return follower.mixed(equation) if state.inner == 1 else LOST
        return state

    return rule


def _broadcast(follower: _Follower, equation: Any, states: list[State]) -> State:
    state = states[0]
    if isinstance(state, At):
        return At(equation.params["broadcast_dimensions"][state.dim], state.inner)
    return state


def _transposed(follower: _Follower, equation: Any, states: list[State]) -> State:
    state = states[0]
    if isinstance(state, At):
        return At(equation.params["permutation"].index(state.dim), state.inner)
    return state


def _reshaped(follower: _Follower, equation: Any, states: list[State]) -> State:
    """The examples are still found if a dimension begins after as many numbers as before."""
    state = states[0]
    if not isinstance(state, At):
        return state
    before = math.prod(equation.invars[0].aval.shape[: state.dim])
    behind = state.inner * math.prod(equation.invars[0].aval.shape[state.dim + 1 :])
    shape = equation.outvars[0].aval.shape
    for dim, size in enumerate(shape):
        inner, rest = divmod(size, follower.examples)
        fits = math.prod(shape[:dim]) == before and inner and not rest
        if fits and inner * math.prod(shape[dim + 1 :]) == behind:
            return At(dim, inner)
    return LOST


def _squeezed(follower: _Follower, equation: Any, states: list[State]) -> State:
    state, gone = states[0], equation.params["dimensions"]
    if isinstance(state, At):
        return At(state.dim - sum(d < state.dim for d in gone), state.inner)
    return state


def _product(follower: _Follower, equation: Any, states: list[State]) -> State:
    """A dot_general: batch dimensions, then what is left of either side."""
    contracted, shared = equation.params["dimension_numbers"]
    found = []
    for side, state in enumerate(states[:2]):
        if state is None:
            continue
        if not isinstance(state, At):
            return state
        if state.dim in contracted[side]:
            return follower.mixed(equation)
        if state.dim in shared[side]:
            found.append(At(shared[side].index(state.dim), state.inner))
            continue
        used = (*contracted[side], *shared[side])
        at = len(shared[0]) + state.dim - sum(d < state.dim for d in used)
        if side:
            first = equation.invars[0].aval.ndim
            at += first - len(contracted[0]) - len(shared[0])
        found.append(At(at, state.inner))
    return _joined(follower, equation, found)


def _lax_convolution(follower: _Follower, equation: Any, states: list[State]) -> State:
    numbers = equation.params["dimension_numbers"]
    if equation.params["batch_group_count"] > 1:
        return LOST
    return _convolution(states[:2], numbers.lhs_spec[0], numbers.rhs_spec[0], numbers.out_spec[0])


def _convolution(states: Sequence[State], x: int, w: int, y: int) -> State:
    first, second = states
    if second is None and isinstance(first, At):
        return At(y, first.inner) if first.dim == x else LOST
    return LOST


def _gathered(follower: _Follower, equation: Any, states: list[State]) -> State:
    numbers = equation.params["dimension_numbers"]
    operand, indices = states
    found = []
    if isinstance(indices, At):
        rest = [d for d in range(equation.outvars[0].aval.ndim) if d not in numbers.offset_dims]
        if indices.dim >= len(rest):
            return LOST
        found.append(At(rest[indices.dim], indices.inner))
    if isinstance(operand, At):
        if operand.dim in numbers.operand_batching_dims:
            at = numbers.operand_batching_dims.index(operand.dim)
            rest = [d for d in range(equation.outvars[0].aval.ndim) if d not in numbers.offset_dims]
            found.append(At(rest[numbers.start_indices_batching_dims[at]], operand.inner))
        else:
            return LOST
    if LOST in states:
        return LOST
    return _joined(follower, equation, found) if len(set(found)) == 1 else LOST


def _windows(equation: Any) -> Sequence[int]:
    sizes = equation.params["window_dimensions"]
    return [dim for dim, size in enumerate(sizes) if size > 1]


_axes = _reduced(lambda equation: equation.params["axes"])
_PLACED = """
abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp conj
convert_element_type copy copy_p cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor
ge gt imag integer_pow is_finite le lgamma log log1p logistic lt max min mul ne neg
nextafter not or pow real reduce_precision rem round rsqrt select_n sign sin sinh sqrt square
stop_gradient sub tan tanh xor
"""
_REDUCING = """
reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or argmax argmin
"""
_CUMULATIVE = "cumsum cumprod cummax cummin cumlogsumexp"
_WINDOWED = "reduce_window reduce_window_sum reduce_window_max reduce_window_min"
_RULES: dict[str, Any] = {
    **dict.fromkeys(_PLACED.split(), _joined),
    **dict.fromkeys(_REDUCING.split(), _axes),
    **dict.fromkeys(_CUMULATIVE.split(), _along(lambda equation: [equation.params["axis"]])),
    **dict.fromkeys(_WINDOWED.split(), _along(_windows)),
    "rev": _along(lambda equation: equation.params["dimensions"]),
    "sort": _along(lambda equation: [equation.params["dimension"]]),
    "broadcast_in_dim": _broadcast,
    "transpose": _transposed,
    "reshape": _reshaped,
    "squeeze": _squeezed,
    "dot_general": _product,
    "conv_general_dilated": _lax_convolution,
    "gather": _gathered,
    "pad": lambda follower, equation, states: _joined(follower, equation, states[:1]),
    "slice": lambda follower, equation, states: states[0],
    "concatenate": _along(lambda equation: [equation.params["dimension"]]),
}
