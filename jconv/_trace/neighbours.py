"""The equations around a convolution in a jaxpr: reversals, and batches that vmap made groups.

jax's rules write the same few equations beside a convolution. The gradient in the input
reverses the filter, the gradient of that in the filter reverses the result. vmap over both
operands merges the batch into the channels of lhs and of rhs and splits it off the result's.
"""

from __future__ import annotations

import math
from typing import Any

from jconv._trace.recognise_legs import Clues

# Primitives of one operand whose result has the operand's dimensions, each where it was.
_KEEP_DIMENSIONS = {"convert_element_type", "copy", "copy_p", "pvary", "reshard", "rev"}
_KEEP_DIMENSIONS |= {"sharding_constraint", "reduce_precision"}


class Neighbours:
    """The equations of one jaxpr, found by the variables that they make and take."""

    def __init__(self, jaxpr: Any):
        self._maker: dict[Any, Any] = {}
        self._takers: dict[Any, list[Any]] = {}
        for equation in jaxpr.eqns:
            for variable in equation.outvars:
                self._maker[variable] = equation
            for variable in equation.invars:
                if not hasattr(variable, "val"):  # a literal is no variable
                    self._takers.setdefault(variable, []).append(equation)

    def clues(self, equation: Any) -> Clues:
        """What the neighbours of a convolution say about it."""
        lhs, rhs = equation.invars
        (result,) = equation.outvars
        numbers, params = equation.params["dimension_numbers"], equation.params
        slowest = self._merged(lhs, numbers.lhs_spec[params["batch_group_count"] == 1])
        if slowest is None and self._groups_merged_last(rhs, numbers.rhs_spec[0]):
            slowest = []
        return Clues(
            lhs_reversed=self._made_reversed(lhs, numbers.lhs_spec[2:]),
            rhs_reversed=self._made_reversed(rhs, numbers.rhs_spec[2:]),
            result_reversed=self._taken_reversed(result, numbers.out_spec[2:]),
            vmapped=_common(
                params["feature_group_count"] * params["batch_group_count"],
                slowest,
                self._merged(rhs, numbers.rhs_spec[0]),
                self._split(result, numbers.out_spec[1]),
            ),
        )

    def _made_reversed(self, variable: Any, dims: Any) -> bool:
        """Whether all of `dims` run backwards, by an odd number of reversals."""
        return len(dims) > 0 and all(self._reversals(variable, dim) % 2 for dim in dims)

    def _reversals(self, variable: Any, dim: int) -> int:
        count, equation = 0, self._made_by(variable)
        while equation is not None:
            count += equation.primitive.name == "rev" and dim in equation.params["dimensions"]
            sources = _sources(equation, dim)
            if len(sources) != 1:
                break
            (dim,) = sources
            equation = self._made_by(equation.invars[0])
        return count

    def _taken_reversed(self, variable: Any, dims: Any) -> bool:
        """Whether the only use of a result is to be reversed along all of `dims`."""
        dims, equation = list(dims), self._taken_by(variable)
        while equation is not None and dims:
            if equation.primitive.name == "rev":
                return set(dims) <= set(equation.params["dimensions"])
            results = {
                sources[0]: dim
                for dim in range(len(equation.outvars[0].aval.shape))
                if len(sources := _sources(equation, dim)) == 1
            }
            if not set(dims) <= set(results):
                return False
            dims = [results[dim] for dim in dims]
            equation = self._taken_by(equation.outvars[0])
        return False

    def _merged(self, variable: Any, dim: int) -> list[int] | None:
        """The sizes that were merged into a dimension before the fastest, slowest first.

        None if nothing is known: the variable comes from outside, as residuals do.
        """
        equation = self._made_by(variable)
        if equation is None:
            return [] if variable in self._maker else None
        before, sources = equation.invars[0], _sources(equation, dim)
        if len(sources) == 1:
            return self._merged(before, sources[0])
        if sources:
            *slower, fastest = sources
            merged = [size for source in slower for size in self._factors(before, source)]
            return merged + (self._merged(before, fastest) or [])
        parent = next((into for into, out in _blocks(equation) if out[0] == dim), None)
        if parent is None or len(parent) != 1:
            return []
        return _leading(self._merged(before, parent[0]) or [], variable.aval.shape[dim])

    def _groups_merged_last(self, variable: Any, dim: int) -> bool:
        """Whether the slowest of the merged sizes was split off a dimension before the merge.

        vmap over the right operand alone splits the written groups off a dimension, merges its
        batch into the rest and merges the groups back. A batch of both operands was a dimension
        of its own.
        """
        merged, equation = False, self._made_by(variable)
        while equation is not None:
            sources = _sources(equation, dim)
            if not sources:
                return merged
            dim, *others = sources
            merged = merged or bool(others)
            equation = self._made_by(equation.invars[0])
        return False

    def _factors(self, variable: Any, dim: int) -> list[int]:
        """The sizes of which a dimension is the product, as far as they can be seen."""
        return _leading(self._merged(variable, dim) or [], variable.aval.shape[dim])

    def _split(self, variable: Any, dim: int) -> list[int]:
        """The sizes that a result's only use splits off a dimension, slowest first."""
        equation = self._taken_by(variable)
        if equation is None:
            return []
        after = equation.outvars[0]
        if equation.primitive.name == "transpose":
            return self._split(after, equation.params["permutation"].index(dim))
        if equation.primitive.name != "reshape":
            return self._split(after, dim)
        results = next((out for into, out in _blocks(equation) if into == (dim,)), ())
        if not results:
            return []
        return [after.aval.shape[d] for d in results[:-1]] + self._split(after, results[-1])

    def _made_by(self, variable: Any) -> Any:
        equation = None if hasattr(variable, "val") else self._maker.get(variable)
        known = equation is not None and equation.primitive.name in _READ
        return equation if known else None

    def _taken_by(self, variable: Any) -> Any:
        """The equation that alone takes a variable, where it does no more than move elements."""
        takers = self._takers.get(variable, [])
        known = len(takers) == 1 and takers[0].primitive.name in _READ
        return takers[0] if known else None


_READ = _KEEP_DIMENSIONS | {"reshape", "transpose"}


def _sources(equation: Any, dim: int) -> tuple[int, ...]:
    """The operand's whole dimensions, slowest first, that one dimension of the result merges."""
    if equation.primitive.name == "transpose":
        return (equation.params["permutation"][dim],)
    if equation.primitive.name == "reshape":
        return next((into for into, out in _blocks(equation) if out == (dim,)), ())
    return (dim,)


def _blocks(equation: Any) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """A reshape as pairs: dimensions of the operand, and the dimensions that they become.

    A dimension of size 1 that both sides have at one place is a pair of its own; one that only one
    side has belongs to the pair before it.
    """
    before, after = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    if not all(isinstance(size, int) and size > 0 for size in (*before, *after)):
        return []
    order = equation.params["dimensions"] or range(len(before))
    left, right = [(d, before[d]) for d in order], list(enumerate(after))
    left_ones, right_ones = _ones(left), _ones(right)
    left, right = ([d for d in dims if d[1] > 1] for dims in (left, right))
    blocks, place = [], 1
    while True:
        ones, others = left_ones.get(place, []), right_ones.get(place, [])
        more, fewer = len(ones) - len(others), min(len(ones), len(others))
        if blocks:
            into, out = blocks.pop()
            blocks.append((into + ones[: max(more, 0)], out + others[: max(-more, 0)]))
        pairs = zip(ones[len(ones) - fewer :], others[len(others) - fewer :], strict=True)
        blocks += [([one], [other]) for one, other in pairs]
        if not left:
            return [(tuple(into), tuple(out)) for into, out in blocks]
        into, out = [left.pop(0)], [right.pop(0)]
        while (a := _size(into)) != (b := _size(out)):
            (into if a < b else out).append((left if a < b else right).pop(0))
        blocks.append(([d for d, _ in into], [d for d, _ in out]))
        place *= a


def _ones(dims: list[tuple[int, int]]) -> dict[int, list[int]]:
    """The dimensions of size 1, by the product of the sizes of the dimensions before them."""
    found: dict[int, list[int]] = {}
    count = 1
    for dim, size in dims:
        if size == 1:
            found.setdefault(count, []).append(dim)
        count *= size
    return found


def _size(dims: list[tuple[int, int]]) -> int:
    return math.prod(size for _, size in dims)


def _leading(sizes: list[int], whole: int) -> list[int]:
    """`whole` as a product that begins with as many of `sizes` as divide it."""
    found = []
    for size in sizes:
        if whole % size or whole == 1:
            break
        found.append(size)
        whole //= size
    return [*found, whole] if whole > 1 or not found else found


def _common(groups: int, lhs: Any, *factors: list[int] | None) -> int:
    """The largest product of leading factors that all operands share and that divides `groups`.

    lhs may be a residual, whose factors are unknown; the other operands' factors then decide.
    """
    product = 1
    known = [sizes or [] for sizes in (factors if lhs is None else (lhs, *factors))]
    for sizes in zip(*known, strict=False):
        if len(set(sizes)) > 1 or groups % (product * sizes[0]):
            break
        product *= sizes[0]
    return product
