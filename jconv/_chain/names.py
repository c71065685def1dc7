"""Names for the symbolic sizes of a chain: h1 = ceil(h/2) once, and h1 from there on."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jconv._core import symbols
from jconv._core.geometry import Shape, Size, is_static, same

SHORT = 7  # characters; sizes up to this length, such as 2*h, get no name and are shown as they are


class SizeNames:
    """The names that a chain's text uses; `legend` says what each stands for, in order."""

    def __init__(
        self, given: Shape, shapes: Iterable[tuple[Sequence[str], Shape]], facts: tuple[str, ...]
    ):
        """Name every size in `shapes` that is not short; each shape comes with its axes' words."""
        self.legend: dict[str, str] = {}
        self._scope = symbols.scope_of(facts)
        self._known: dict[str, str] = {}
        self._atoms: dict[str, str] = {}
        self._taken = symbols.symbols_in(given)
        for letters, shape in shapes:
            for letter, size in zip(letters, shape, strict=True):
                self._name(letter, size)

    def show(self, size: Size) -> str:
        """A size, or a count computed from sizes, written with the names."""
        if is_static(size):
            return str(size)
        return self._known.get(str(size)) or pretty(self._rewritten(size))

    def shape(self, shape: Iterable[Size]) -> str:
        entries = [self.show(size) for size in shape]
        return "(" + ", ".join(entries) + ("," if len(entries) == 1 else "") + ")"

    def symbol(self, size: Size) -> Size:
        """The size as a symbol of its own, for formulas that contain it."""
        return self._rewritten(size) if str(size) not in self._known else self._of(self.show(size))

    def _of(self, text: str) -> Size:
        return symbols.evaluate(text, lambda name: symbols.symbol(name, self._scope))

    def _rewritten(self, size: Size) -> Size:
        text = str(size)
        for atom in sorted(self._atoms, key=len, reverse=True):
            text = text.replace(atom, self._atoms[atom])
        return self._of(text)

    def _name(self, letter: str, size: Size) -> None:
        if is_static(size) or str(size) in self._known:
            return
        shown = pretty(self._rewritten(size))
        if len(shown) <= SHORT and "(" not in shown:
            return
        # Sizes with equal text are equal, even where JAX's algebra cannot prove it.
        name = next((n for n, text in self.legend.items() if text == shown), None)
        if name is None:
            numbers = itertools.count(1)
            name = next(n for i in numbers if (n := f"{letter}{i}") not in self._taken)
            self._taken.add(name)
            self.legend[name] = shown
        self._known[str(size)] = name
        self._solve(str(size), name)

    def _solve(self, text: str, name: str) -> None:
        """For a size that is one floordiv, mod or max up to sign and constant, solve for that.

        Products of such sizes are then written with the names in place of the functions.
        """
        calls = outer_calls(text)
        if len(calls) != 1:
            return
        zero, one = (self._of(text.replace(calls[0], str(value))) for value in (0, 1))
        sign = one - zero
        if sign == 1:
            self._atoms[calls[0]] = f"({name} - ({zero}))"
        elif sign == -1:
            self._atoms[calls[0]] = f"(({zero}) - {name})"


def outer_calls(text: str) -> list[str]:
    """The function calls in a size's text that are in no other call, each once."""
    found: list[str] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            segment = ast.get_source_segment(text, node)
            if segment is not None and segment not in found:
                found.append(segment)
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    # JAX writes powers as ^, which Python parses as xor, without moving any column.
    visit(ast.parse(text, mode="eval"))
    return found


def pretty(size: Any) -> str:
    """A size as a reader writes it: ceil(h/2) for - floordiv(- h, 2)."""
    if is_static(size):
        return str(size)
    text = str(size)
    calls = outer_calls(text)
    if not calls:
        return text
    scope = symbols.scope_of(())
    held: dict[str, str] = {}

    def of(source: str) -> Any:
        return symbols.evaluate(source, lambda name: symbols.symbol(name, scope))

    for call in sorted(calls, key=len, reverse=True):
        node = ast.parse(call, mode="eval").body
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        first, second = (ast.get_source_segment(call, argument) or "" for argument in node.args)
        holder = f"held{len(held)}_"
        if node.func.id == "floordiv":
            held[holder], outside = _floor_text(first, second, of)
            text = text.replace(call, f"({outside.format(holder)})")
        else:
            held[holder] = f"{node.func.id}({pretty(of(first))}, {pretty(of(second))})"
            text = text.replace(call, holder)
    return re.sub(r"held\d+_", lambda match: held[match.group()], str(of(text)))


def _floor_text(above: str, below: str, of: Callable[[str], Any]) -> tuple[str, str]:
    """floor(above/below) as a reader writes it, and a pattern that puts it in its place.

    Whole multiples in the constant are taken out: floor((h - 2)/2) = floor(h/2) - 1.
    """
    negated = pretty(of(above)).startswith("-")
    if negated:  # floor(-a/n) = -ceil(a/n)
        above = str(of(f"-({above})"))
    whole = 0
    ends = re.fullmatch(r"(.+) ([+-]) (\d+)", above)
    if re.fullmatch(r"\d+", below):
        number = int(below)
        constant = int(ends.group(2) + ends.group(3)) if ends else 0
        variable = ends.group(1) if ends else above
        # As a floor, with a constant from 1 - n to 0: ceil(a/n) = floor((a + n - 1)/n).
        constant += number - 1 if negated else 0
        whole = -(-constant // number)
        rest = constant - whole * number
        ceiling = number > 1 and rest == -1
        whole -= ceiling  # floor((a - 1)/n) = ceil(a/n) - 1
        above = variable if ceiling else str(of(f"{variable} + {rest}"))
    else:
        ceiling = negated
    text = f"{'ceil' if ceiling else 'floor'}({_divided(pretty(of(above)), pretty(of(below)))})"
    return text, f"{'-' if negated else ''}({{}} + {whole})"


def alike(a: Size, b: Size) -> bool:
    """Whether two sizes are certainly equal: proved by JAX, or of equal text in `pretty`.

    JAX's algebra does not see that floor((h - 1)/2) + 1 is ceil(h/2); `pretty` writes both so.
    """
    return same(a, b) or (not is_static(a, b) and pretty(a) == pretty(b))


def _divided(above: str, below: str) -> str:
    above = f"({above})" if " " in above else above
    below = below if re.fullmatch(r"\w+", below) else f"({below})"
    return f"{above}/{below}"
