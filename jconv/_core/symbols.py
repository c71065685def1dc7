"""Sizes written as text, "b" or "2*h+1": JAX's symbolic dimensions do the algebra."""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jax import export

from jconv._core.errors import ConvError, Remedy, show
from jconv._core.geometry import Shape, Size, is_static, max_size, proved

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: lambda base, power: _power(base, power),
}


def _power(base: Size, power: Size) -> Size:
    if not is_static(power) or not 0 <= power <= 64 or (is_static(base) and abs(base) > 2**32):
        raise ValueError("an exponent must be a whole number from 0 to 64, its base at most 2**32")
    return base**power


def _largest(a: Size, b: Size) -> Size:
    return max_size(a, b) if is_static(b) else max_size(b, a) if is_static(a) else a.max(b)


def _smallest(a: Size, b: Size) -> Size:
    return -_largest(-a, -b)


_CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "max": _largest,
    "min": _smallest,
}


@functools.lru_cache(maxsize=256)
def scope_of(constraints: tuple[str, ...]) -> export.SymbolicScope:
    """The one JAX scope for sizes under these constraints, so that equal names are equal sizes."""
    return export.SymbolicScope(constraints)


@functools.lru_cache(maxsize=1024)
def symbol(name: str, scope: export.SymbolicScope) -> Size:
    return export.symbolic_shape(name, scope=scope)[0]


def evaluate(text: str, value_of: Callable[[str], Size]) -> Size:
    """The size that an expression stands for, each name by its value.

    Raises:
        ValueError: for anything but sums, products and the functions that JAX prints.
    """

    def visit(node: ast.expr) -> Size:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.Name):
            return value_of(node.id)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return _BINARY[type(node.op)](visit(node.left), visit(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -visit(node.operand)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            call = _CALLS.get(node.func.id)
            if call is not None and len(node.args) == 2:
                return call(visit(node.args[0]), visit(node.args[1]))
        raise ValueError(f"{text!r} is not a size: write names, whole numbers, + - * // % and max")

    try:
        return visit(ast.parse(text.replace("^", "**").strip(), mode="eval").body)
    except ZeroDivisionError:
        raise ValueError(f"{text!r} divides by zero") from None
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{show(text)} is not a size") from None


def symbols_in(sizes: Iterable[Size]) -> set[str]:
    """The names that sizes depend on."""
    return {name for size in sizes if not is_static(size) for name in _names(str(size))}


def _names(text: str) -> set[str]:
    tree = ast.parse(text.replace("^", "**"), mode="eval")
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - set(_CALLS)


def read_sizes(argument: str, shape: Any, scope: export.SymbolicScope) -> Any:
    """The shape with its strings turned into sizes; other entries are returned as they are."""
    if isinstance(shape, str) or not isinstance(shape, Sequence):
        return shape
    try:
        return tuple(
            evaluate(size, lambda name: symbol(name, scope)) if isinstance(size, str) else size
            for size in shape
        )
    except ValueError as error:
        raise ConvError(
            f"plan: `{argument}` cannot be read: {error}.",
            argument=argument,
            got=shape,
            expected='whole numbers, or text such as "b", "h" or "2*h+1"',
        ) from None


def find_scope(shapes: Iterable[Any], constraints: tuple[str, ...]) -> export.SymbolicScope:
    """The scope of the first symbolic size in the shapes, or else `scope_of(constraints)`."""
    for shape in shapes:
        for size in shape if isinstance(shape, Sequence) else ():
            if hasattr(size, "scope"):
                return size.scope
    return scope_of(constraints)


def substitute(sizes: Any, values: Mapping[str, Size]) -> Any:
    """Sizes with some of their symbols given values; the others stay symbols."""
    if not isinstance(sizes, tuple):
        return sizes if is_static(sizes) or sizes is None else _substitute(sizes, values)
    return tuple(substitute(size, values) for size in sizes)


def _substitute(size: Size, values: Mapping[str, Size]) -> Size:
    if not hasattr(size, "scope"):
        return size
    scope = size.scope
    return evaluate(str(size), lambda n: values[n] if n in values else symbol(n, scope))


_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


_KNOWN = ("==", ">=", "<=")  # the relations that a constraint of jax.export may have


def read_constraints(op: str, facts: Any) -> tuple[str, ...]:
    """The facts as a tuple, each of them readable and none contradicting another.

    Raises:
        ConvError: naming the fact that cannot be read, or that the others contradict.
    """
    listed = not isinstance(facts, str) and hasattr(facts, "__iter__")
    if not listed or getattr(facts, "ndim", 1) == 0:
        whole = (facts,) if isinstance(facts, str) else ()
        raise _bad_facts(op, facts, "must be a sequence of text", [whole] if whole else [])
    facts = tuple(facts)
    for n, fact in enumerate(facts):
        relation = isinstance(fact, str) and next((r for r in _RELATIONS if r in fact), None)
        if not relation:
            raise _bad_facts(op, facts, f"holds {show(fact)}, which relates no two sizes")
        left, right = _sides(fact)
        try:
            _, limit = (evaluate(s, lambda n: symbol(n, scope_of(()))) for s in (left, right))
        except ValueError as error:
            raise _bad_facts(op, facts, f"holds {show(fact)}: {error}") from None
        if relation not in _KNOWN:
            same = f"{left} >= {limit + 1}" if relation == ">" else f"{left} <= {limit - 1}"
            fixed = (*facts[:n], same, *facts[n + 1 :])
            raise _bad_facts(op, facts, f"holds {fact!r}; say {same!r}", [fixed])
    for n, fact in enumerate(facts):
        try:  # JAX only notices a contradiction when two sizes of the scope are compared
            value_of = functools.partial(symbol, scope=scope_of(facts[: n + 1]))
            left, right = (evaluate(side, value_of) for side in _sides(fact))
            proved(lambda a=left, b=right: a >= b)
        except ValueError as error:
            raise _bad_facts(op, facts, f"holds {fact!r}: {error}") from None
    return facts


def _sides(fact: str) -> list[str]:
    relation = next(r for r in _RELATIONS if r in fact)
    return [side.strip() for side in fact.split(relation, 1)]


def _bad_facts(op: str, facts: Any, why: str, remedies: Sequence[Any] = ()) -> ConvError:
    return ConvError(
        f"{op}: `constraints` {why}.",
        argument="constraints",
        got=facts,
        expected='a sequence of facts about sizes with >=, <= or ==, such as ("h >= 7",)',
        remedies=[Remedy.use("constraints", value) for value in remedies],
    )


def constrain(op: str, constraints: tuple[str, ...], values: Mapping[str, Size]) -> tuple[str, ...]:
    """The constraints that are left once some symbols have values.

    Raises:
        ConvError: if the values contradict one.
    """
    left = []
    for text in constraints:
        relation = next(r for r in _KNOWN if r in text)
        sides = [side.strip() for side in text.split(relation)]
        names = {name for side in sides for name in _names(side)}
        if not names & set(values):
            left.append(text)
        elif names <= set(values):
            first, second = (evaluate(side, lambda name: values[name]) for side in sides)
            if is_static(first, second) and not _RELATIONS[relation](first, second):
                name = sorted(names)[0]
                raise ConvError(
                    f"{op}: {first} {relation} {second} contradicts the constraint {text!r}.",
                    argument=name,
                    got=values[name],
                    expected=text,
                )
    return tuple(left)


def match(symbolic: Shape, concrete: Shape) -> dict[str, int] | None:
    """The values of the symbols that make a symbolic shape a concrete one, or None.

    A size in one unknown is solved for it where it is linear; sizes whose symbols are all known
    are checked. Symbols that no size determines are left out.
    """
    if len(symbolic) != len(concrete):
        return None
    values: dict[str, int] = {}
    pairs = list(zip(symbolic, concrete, strict=True))
    for size, number in pairs:
        unknown = symbols_in([size]) - set(values)
        if len(unknown) == 1:
            (name,) = unknown
            at_0, at_1 = (substitute(size, {**values, name: v}) for v in (0, 1))
            slope = at_1 - at_0
            if slope and (number - at_0) % slope == 0:
                guess = (number - at_0) // slope
                if guess >= 0 and substitute(size, {**values, name: guess}) == number:
                    values[name] = guess
    for size, number in pairs:
        if symbols_in([size]) <= set(values) and substitute(size, values) != number:
            return None
    return values
