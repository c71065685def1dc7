"""Rules for squared norms of each example's gradient at one use of a parameter.

Convolutions and dense layers are filter backprops, a dense layer one of a single tap, and go by
norms.py; an embedding's gradient has one row for each token, equal tokens added up. Other
equations have no rule here: their gradients are formed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jconv._core.geometry import Axis
from jconv._core.problem import OPERANDS, OUTPUT, Problem, Slot
from jconv._devices.borders import pad_borders
from jconv._ops.primitives import PRIMITIVES
from jconv._planner.policy import capture
from jconv._research.chunks import CHUNK_BYTES, map_chunks
from jconv._research.norms import choose_way, squared_norms
from jconv._research.program import Use

Squares = Callable[[jax.Array, jax.Array], jax.Array]
Rule = tuple[str, Squares]  # (the way's name, a function of the other operand and the cotangent)

# Equations that combine entries place by place, or put them elsewhere: gradients of their
# operands are no larger than their results.
_PLACED = """
abs add add_any atan2 broadcast_in_dim concatenate div dynamic_update_slice exp integer_pow log
logistic max min mul neg pad pow rem rsqrt select_n sqrt square sub tanh
"""
PLACED = frozenset(_PLACED.split())


def rule_of(use: Use, examples: int) -> Rule | None:
    """How squared norms follow from the use's other operand and its result's cotangent.

    Both come with examples in front. None where there is no rule.
    """
    if len(use.params) != 1 or len(use.examples) != 1 or len(use.results) != 1:
        return None
    equation = use.equation
    if equation.primitive in PRIMITIVES:
        return _convolution(use, examples)
    if equation.primitive.name == "dot_general":
        return _dense(use, examples)
    if equation.primitive.name == "gather" and use.params == (0,):
        return _embedding(use)
    return None


def _convolution(use: Use, examples: int) -> Rule | None:
    problem: Problem = use.equation.params["problem"]
    operands = OPERANDS[problem.leg]
    if operands[use.params[0]] != "w":
        return None
    other = operands[use.examples[0]]
    shared = math.prod(problem.vmapped)
    one = problem.unordered.unbordered.replace(leg="filter_grad", vmapped=())

    def squares(operand: jax.Array, cotangent: jax.Array) -> jax.Array:
        given: dict[Slot, jax.Array] = {other: operand, OUTPUT[problem.leg]: cotangent}
        slots = {slot: _in_own_layout(problem, slot, array) for slot, array in given.items()}
        if problem.vmapped:
            slots = {s: v.reshape(-1, *v.shape[2:]) for s, v in slots.items()}
        found = squared_norms(one, slots["x"], slots["y"])
        return found.reshape(-1, shared).sum(1) if problem.vmapped else found

    way = choose_way(_wide(one), examples * shared)
    return f"{problem.leg}: {way.name}", squares


def _in_own_layout(problem: Problem, slot: Slot, array: jax.Array) -> jax.Array:
    """An operand, examples in front, in jconv's own layout and with its borders."""
    array = jnp.transpose(array, (0, *(1 + at for at in problem.order(slot))))
    if slot != "x" or problem.borders is None:
        return array
    images = array.reshape(-1, *array.shape[-problem.rank - 1 :])
    padded = pad_borders(images.astype(problem.unbordered.x_dtype), problem.borders)
    return padded.reshape(*array.shape[: -problem.rank - 1], *padded.shape[1:])


def _wide(problem: Problem) -> Problem:
    wide = problem.wide_dtype
    return problem.replace(x_dtype=wide, w_dtype=wide, y_dtype=wide)


def _dense(use: Use, examples: int) -> Rule:
    """x (T, K) times w (K, F) for each entry of a batch of products: w' is the sum of x g^T."""
    equation, side = use.equation, use.examples[0]
    contracted, shared = equation.params["dimension_numbers"]
    x_aval, w_aval = (equation.invars[n].aval for n in (side, 1 - side))
    kept = [n for n in range(x_aval.ndim) if n not in (*contracted[side], *shared[side])]
    order = (*kept, *shared[side], *contracted[side])
    sizes = [[x_aval.shape[n] for n in dims] for dims in (kept, shared[side], contracted[side])]
    t, b, k = (math.prod(dims) for dims in sizes)
    f = w_aval.size // (b * k) if b * k else 0
    precision = equation.params["precision"]
    names = [p.name for p in precision] if isinstance(precision, tuple) else ["DEFAULT"] * 2
    problem = capture(
        Problem(
            leg="filter_grad",
            axes=(Axis(i=t, k=1, o=t),),
            n=1,
            groups=b,
            c=k,
            f=f,
            x_dtype=str(x_aval.dtype),
            w_dtype=str(w_aval.dtype),
            y_dtype=str(equation.outvars[0].aval.dtype),
            precision=(names[0], names[1]),
        ),
        precision,  # None reads the default that is in force
    )

    def squares(operand: jax.Array, cotangent: jax.Array) -> jax.Array:
        m = operand.shape[0]
        x = jnp.transpose(operand, (0, *(1 + n for n in order))).reshape(m, 1, t, b * k)
        first, second = (t, f) if side == 0 else (f, t)
        g = cotangent.reshape(m, b, first, second)
        g = jnp.transpose(g, (0, 2, 1, 3) if side == 0 else (0, 3, 1, 2)).reshape(m, 1, t, b * f)
        return squared_norms(problem, x, g)

    return f"dense: {choose_way(_wide(problem), examples).name}", squares


def _embedding(use: Use) -> Rule | None:
    """Rows of a table by number: the gradient of row v is the sum over the tokens that are v."""
    equation = use.equation
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    table, tokens = (variable.aval for variable in equation.invars)
    if len(numbers.start_index_map) != 1 or numbers.operand_batching_dims:
        return None
    (axis,) = numbers.start_index_map
    whole = tuple(1 if n == axis else size for n, size in enumerate(table.shape))
    if numbers.collapsed_slice_dims != (axis,) or tuple(sizes) != whole:
        return None
    rows, count = table.shape[axis], math.prod(tokens.shape[:-1])
    result = equation.outvars[0].aval
    order = [n for n in range(result.ndim) if n not in numbers.offset_dims]
    order += list(numbers.offset_dims)
    mode = equation.params["mode"]
    name = getattr(mode, "name", str(mode))

    def one(tokens: jax.Array, cotangent: jax.Array) -> jax.Array:
        tokens = tokens.reshape(count)
        g = jnp.transpose(cotangent, order).reshape(count, -1)
        g = g.astype(jnp.promote_types(g.dtype, jnp.float32))
        if name == "CLIP":
            tokens = jnp.clip(tokens, 0, rows - 1)
        elif name != "PROMISE_IN_BOUNDS":  # others read a fill value, whose gradient is nobody's
            inside = (tokens >= 0) & (tokens < rows)
            g = jnp.where(inside[:, None], g, 0)
        order_of = jnp.argsort(tokens)
        tokens = tokens[order_of]
        new = jnp.concatenate([jnp.zeros(1, bool), tokens[1:] != tokens[:-1]])
        sums = jnp.zeros_like(g).at[jnp.cumsum(new)].add(g[order_of])
        return jnp.sum(jnp.abs(sums) ** 2)

    def squares(tokens: jax.Array, cotangent: jax.Array) -> jax.Array:
        if not count:
            return jnp.zeros(tokens.shape[0], jnp.float32)
        chunk = max(1, CHUNK_BYTES // (3 * max(result.size, 1) * result.dtype.itemsize))
        return map_chunks(jax.vmap(one), (tokens, cotangent), chunk)

    return "embedding: rows of equal tokens", squares
