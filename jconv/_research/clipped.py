"""clipped_grad: the sum of gradients that are clipped one example at a time."""

from __future__ import annotations

import dataclasses
import functools
import operator
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jconv._core.errors import ConvError, Remedy
from jconv._research.coupling import check_uncoupled
from jconv._research.parts import Part, parts_of
from jconv._research.per_example import root
from jconv._research.program import Program, take_apart
from jconv._trace.rewrite import rewrite

OP = "clipped_grad"


@dataclasses.dataclass(frozen=True)
class ClippedPart:
    """How `clipped_grad` finds the norms of some parameters.

    Attributes:
        parameters: the parameters' paths in the differentiated arguments.
        uses: names of the equations that combine a parameter with values of the example.
        way: how their norms are found.
    """

    parameters: tuple[str, ...]
    uses: tuple[str, ...]
    way: str

    def __str__(self) -> str:
        return f"{', '.join(self.parameters)}: {self.way} ({', '.join(self.uses)})"


def clipped_grad(
    loss: Callable[..., Any],
    *,
    max_norm: Any,
    argnums: int | Sequence[int] = 0,
    batch_argnums: int | Sequence[int] = 1,
    normalize_by: Any = None,
    return_norms: bool = False,
) -> Callable[..., Any]:
    """A function that returns the sum over examples of gradients clipped to `max_norm`.

    Each example's gradient g, over all differentiated arguments together, counts as
    g * min(1, max_norm / |g|). No example's gradient is held: one backward pass finds the norms,
    layer by layer, and a second one differentiates the losses weighted by what clipping leaves.

    The loss is traced for a batch of one example and mapped over the batch, so random numbers
    that it draws itself are the same for every example: pass keys as a part of the batch where
    they should differ. Convolutions by `jax.lax` run on jconv, as under `accelerate`; blocks
    under `jax.checkpoint` keep their intermediate values.

    Args:
        loss: loss(params, batch, ...) -> one loss for each example, (N,). Networks of
            convolutions, dense layers, biases, embeddings, scales and norms over features have
            rules; a parameter used otherwise has its gradients formed, a few examples at a time,
            and a warning says so once.
        max_norm: the largest Euclidean norm that an example's gradient may keep.
        argnums: positions of the arguments to differentiate: trees whose floating-point arrays
            are the parameters (of Flax NNX's variables, `nnx.Param` alone). Other leaves are
            passed on and have the gradient None.
        batch_argnums: positions of the arguments whose arrays have the examples in front.
        normalize_by: what the sum is divided by, such as the expected batch size.
        return_norms: whether to return (gradients, norms) with the norms before clipping, (N,).

    Returns:
        A function with loss's arguments. Call it inside `jax.jit`. Its method `plan(*args)` lists
        for the parameters how their norms are found.

    Raises:
        ConvError: for arguments that do not fit; when called, for a loss that does not return
            one loss for each example, or in which examples can be seen to depend on each other.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> loss = lambda w, x: 3 * (x @ w)
        >>> f = jconv.clipped_grad(loss, max_norm=5.0, return_norms=True)
        >>> f(jnp.ones(2), jnp.array([[1.0, 0.0], [0.0, 4.0]]))
        (Array([3., 5.], dtype=float32), Array([ 3., 12.], dtype=float32))
    """
    if not callable(loss):
        raise ConvError(
            f"{OP}: `loss` is the function to differentiate.",
            argument="loss",
            got=loss,
            expected="a function that returns one loss for each example",
        )
    differentiated, batched = (
        _positions(argnums, "argnums"),
        _positions(batch_argnums, "batch_argnums"),
    )
    if set(differentiated) & set(batched):
        raise ConvError(
            f"{OP}: `argnums` and `batch_argnums` name the same argument.",
            argument="argnums",
            got=argnums,
            expected=f"positions that are not in batch_argnums, {batch_argnums!r}",
        )
    _check_norm(max_norm)
    warned: set[str] = set()

    def prepare(args: Any, kwargs: Any) -> _Traced:
        return _trace(loss, args, kwargs, differentiated, batched)

    def clipped(*args: Any, **kwargs: Any) -> Any:
        traced = prepare(args, kwargs)
        _warn(traced, warned)
        sums, norms = _run(traced, max_norm)
        if normalize_by is not None:
            sums = [s if s is None else s / jnp.asarray(normalize_by, s.dtype) for s in sums]
        trees = jax.tree.unflatten(traced.structure, sums)
        grads = trees if isinstance(argnums, tuple | list) else trees[0]
        return (grads, norms) if return_norms else grads

    functools.update_wrapper(clipped, loss, updated=())
    clipped.plan = lambda *args, **kwargs: _plan(prepare(args, kwargs))  # pyright: ignore
    return clipped


@dataclasses.dataclass(frozen=True, eq=False)
class _Traced:
    """One call: its program, and the values that it runs on."""

    program: Program
    parts: list[Part]
    params: list[jax.Array]
    examples: list[jax.Array]
    number: int
    places: list[int]  # of the parameters among the leaves of the differentiated arguments
    leaves: list[Any]
    structure: Any
    names: list[str]


def _trace(
    loss: Any, args: tuple[Any, ...], kwargs: Any, differentiated: Any, batched: Any
) -> _Traced:
    for name, positions in (("argnums", differentiated), ("batch_argnums", batched)):
        if max(positions) >= len(args):
            raise ConvError(
                f"{OP}: `{name}` names positional argument {max(positions)}, and there are "
                f"{len(args)}.",
                argument=name,
                got=positions,
                expected=f"positions below {len(args)}; keywords are neither differentiated nor "
                "batched",
            )
    trees = tuple(args[n] for n in differentiated)
    paths, structure = jax.tree_util.tree_flatten_with_path(trees)
    leaves = [leaf for _, leaf in paths]
    own = _are_parameters(trees)
    places = [n for n, leaf in enumerate(leaves) if own[n] and _is_parameter(leaf)]
    batch, batch_structure = jax.tree.flatten(tuple(args[n] for n in batched))
    arrays = [n for n, leaf in enumerate(batch) if hasattr(leaf, "dtype")]
    number = _count([batch[n] for n in arrays])
    params = [jnp.asarray(leaves[n]) for n in places]
    examples = [jnp.asarray(batch[n]) for n in arrays]

    def of(params: Sequence[Any], examples: Sequence[Any]) -> Any:
        filled, rest, given = list(leaves), list(batch), list(args)
        for n, value in zip(places, params, strict=True):
            filled[n] = value
        for n, value in zip(arrays, examples, strict=True):
            rest[n] = value
        _place(given, differentiated, jax.tree.unflatten(structure, filled))
        _place(given, batched, jax.tree.unflatten(batch_structure, rest))
        return loss(*given, **kwargs)

    whole = jax.make_jaxpr(of)(params, examples)
    _check_losses(list(whole.out_avals), number)
    check_uncoupled(whole, len(params), number)
    ones = [jax.ShapeDtypeStruct((1, *a.shape[1:]), a.dtype) for a in examples]
    _check_losses(jax.eval_shape(of, params, ones), 1)
    single = jax.make_jaxpr(lambda p, e: jnp.reshape(of(p, e), ()))(params, ones)
    single = rewrite(single, lambda fn: fn)
    try:
        program = take_apart(single, len(params))
    except ValueError:
        raise ConvError(
            f"{OP}: the losses do not depend on the batch.",
            argument="batch_argnums",
            got=batched,
            expected="the positions of the arguments that the losses depend on",
        ) from None
    names = [_name(paths[n][0], differentiated) for n in places]
    parts = parts_of(program, [jax.typeof(p) for p in params], number) if number else []
    return _Traced(program, parts, params, examples, number, places, leaves, structure, names)


def _run(traced: _Traced, max_norm: Any) -> tuple[list[Any], jax.Array]:
    """The sums of clipped gradients, leaf by leaf, and the norms."""
    program, number = traced.program, traced.number
    wide = (
        jnp.promote_types(jnp.float32, jnp.result_type(*traced.params))
        if traced.params
        else jnp.float32
    )
    real = jnp.finfo(wide).dtype
    sums: list[Any] = [None] * len(traced.leaves)
    if number == 0:
        for n, value in zip(traced.places, traced.params, strict=True):
            sums[n] = jnp.zeros_like(value)
        return sums, jnp.zeros((0,), real)
    results = [[use.equation.outvars[n].aval for n in use.results] for use in program.uses]
    zeros = [[jnp.zeros((number, *a.shape), a.dtype) for a in avals] for avals in results]
    frontier, pull_params = jax.vjp(program.prepared, traced.params)
    examples = [e[:, None] for e in traced.examples]

    def batched(frontier: Any, zeros: Any) -> Any:
        return jax.vmap(program.run, in_axes=(None, 0, 0))(frontier, examples, zeros)

    losses, pull, saved = jax.vjp(batched, frontier, zeros, has_aux=True)
    _, cotangents = pull(jnp.ones_like(losses))
    squares = jnp.zeros((number,), real)
    for part in traced.parts:
        of_part = [saved[n] for n in part.uses], [cotangents[n] for n in part.uses]
        squares = squares + part.squares(traced.params, *of_part).astype(real)
    norms = root(squares)
    limit = jnp.asarray(max_norm, real)
    weights = jnp.where(norms > limit, limit / jnp.where(norms > limit, norms, 1), 1)
    weights = jnp.where(jnp.isnan(norms), norms, weights)
    (of_frontier, _) = pull(weights.astype(losses.dtype))
    (grads,) = pull_params(of_frontier)
    for n, grad in zip(traced.places, grads, strict=True):
        sums[n] = grad
    return sums, norms


def _plan(traced: _Traced) -> list[ClippedPart]:
    program = traced.program
    return [
        ClippedPart(
            tuple(traced.names[n] for n in part.params),
            tuple(dict.fromkeys(program.uses[n].equation.primitive.name for n in part.uses)),
            part.way,
        )
        for part in traced.parts
    ]


def _warn(traced: _Traced, warned: set[str]) -> None:
    for part in traced.parts:
        names = ", ".join(traced.names[n] for n in part.params)
        if part.unruled and names not in warned:
            warned.add(names)
            warnings.warn(
                f"{OP}: there is no rule for the norm of {names}, used in "
                f"{', '.join(part.unruled)}: the gradients are formed by vmap, a few examples at a "
                "time",
                stacklevel=3,
            )


# Checks ----------------------------------------------------------------------------------------


def _positions(value: Any, name: str) -> tuple[int, ...]:
    entries = value if isinstance(value, tuple | list) else (value,)
    try:
        positions = tuple(operator.index(entry) for entry in entries)
    except TypeError:
        positions = ()
    if not positions or min(positions) < 0 or len(set(positions)) < len(positions):
        raise ConvError(
            f"{OP}: `{name}` must be positions of arguments.",
            argument=name,
            got=value,
            expected="a whole number of 0 or more, or several that differ",
        )
    return positions


def _check_norm(max_norm: Any) -> None:
    try:
        fine = np.ndim(max_norm) == 0 and bool(max_norm > 0)
    except jax.errors.ConcretizationTypeError:  # traced, so that only its shape is known
        return
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise ConvError(
            f"{OP}: `max_norm` must be a number above 0.",
            argument="max_norm",
            got=max_norm,
            expected="the largest norm that an example's gradient may keep",
            remedies=[Remedy("max_norm", 1.0, "pass max_norm=1.0")],
        )


def _is_parameter(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    if dtype is None or not hasattr(leaf, "shape"):
        return False
    return bool(jnp.issubdtype(dtype, jnp.inexact))


def _are_parameters(trees: Any) -> list[bool]:
    """For each leaf, whether it may be a parameter: of Flax NNX's variables only nnx.Param are.

    Flax is never imported: whoever passes a variable has imported it already.
    """
    nnx = sys.modules.get("flax.nnx")
    if nnx is None:
        return [True] * len(jax.tree.leaves(trees))
    values = jax.tree.leaves(trees, is_leaf=lambda value: isinstance(value, nnx.Variable))
    other = [isinstance(v, nnx.Variable) and not isinstance(v, nnx.Param) for v in values]
    return [not o for v, o in zip(values, other, strict=True) for _ in jax.tree.leaves(v)]


def _count(arrays: list[Any]) -> int:
    shapes = [tuple(array.shape) for array in arrays]
    sizes = {shape[0] for shape in shapes if shape}
    if len(sizes) == 1 and all(shapes):
        return sizes.pop()
    raise ConvError(
        f"{OP}: all arrays of the arguments in `batch_argnums` need the same number of examples "
        "in front.",
        argument="batch_argnums",
        got=shapes,
        expected="arrays (N, ...) with one N",
    )


def _check_losses(losses: Any, number: int) -> None:
    avals = jax.tree.leaves(losses)
    shapes = [tuple(aval.shape) for aval in avals]
    real = all(jnp.issubdtype(aval.dtype, jnp.floating) for aval in avals)
    if shapes == [(number,)] and real:
        return
    got = shapes[0] if len(shapes) == 1 else shapes
    raise ConvError(
        f"{OP}: `loss` must return one loss for each example, from a batch of {number} an array "
        f"({number},) of floating-point numbers.",
        argument="loss",
        got=got if real else [str(aval.dtype) for aval in avals],
        expected=f"({number},): take means and sums over all dimensions but the first",
    )


def _place(given: list[Any], positions: tuple[int, ...], values: Any) -> None:
    for n, value in zip(positions, values, strict=True):
        given[n] = value


def _name(path: Any, differentiated: tuple[int, ...]) -> str:
    first, rest = path[0], path[1:]
    where = jax.tree_util.keystr(rest)
    if len(differentiated) == 1:
        return where or f"argument {differentiated[0]}"
    return f"argument {differentiated[first.idx]}{where}"
