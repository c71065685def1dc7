"""Reading the jconv command line: shapes, factors, pads, and a convolution's keywords."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

from jconv._check.operations import KEYWORDS
from jconv._core.errors import ConvError
from jconv._core.symbols import read_constraints


def joined(arguments: Sequence[str]) -> list[str]:
    """--padding -1,2 as --padding=-1,2: argparse takes a value that starts with - for an option."""
    result: list[str] = []
    for argument in arguments:
        if re.match(r"-\d", argument) and result and re.fullmatch(r"--[a-z-]+", result[-1]):
            result[-1] += f"={argument}"
        else:
            result.append(argument)
    return result


def shape(text: str) -> tuple[Any, ...]:
    """8,224,224,3 or b,h,w,3 or 8x224x224x3: whole numbers and sizes as text."""
    inner = text.strip().strip("()[]").strip()
    separator = "," if "," in inner or " " in inner else "x"
    parts = [part.strip() for part in inner.replace(" ", ",").split(separator) if part.strip()]
    return tuple(int(part) if part.lstrip("-").isdigit() else part for part in parts)


def factor(text: str) -> Any:
    """2 or 2,1: one whole number, or one for each axis."""
    return _literal(text, f"{_short(text)} is not a whole number, nor a list such as 2,1")


def padding(text: str) -> Any:
    """SAME, 1, 1,2 (one for each axis), or (1,2),(0,1) (a pair for each)."""
    if text.strip().lstrip("-").replace("_", "").isalpha():
        return text.strip()
    value = _literal(
        text, f"{_short(text)} is neither a rule, nor a number, nor a list of (low,high)"
    )
    return (value,) if _is_pair(text) and isinstance(value, tuple) else value


def _is_pair(text: str) -> bool:
    """Whether the text is one (low,high) pair, which is then that of the only axis."""
    return re.fullmatch(r"\s*\([^()]*\)\s*", text) is not None


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:36]} ...")


def _literal(text: str, problem: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise argparse.ArgumentTypeError(problem) from None


def count(text: str) -> int:
    """5: a whole number of 1 or more."""
    try:
        if (number := int(text)) >= 1:
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")


def modes(text: str) -> Any:
    """edge, edge,zeros (one for each axis), or (edge,zeros),circular (a pair for each)."""
    if "," not in text:
        return text
    quoted = re.sub(r"[A-Za-z]+", r"'\g<0>'", text)
    value = _literal(quoted, f"{_short(text)} is no mode, nor a list of modes or (low,high) pairs")
    return (value,) if _is_pair(text) else value


def layout(text: str) -> Any:
    """NHWC, NCHW, or three dimension strings: NCHW,OIHW,NCHW."""
    return tuple(text.split(",")) if "," in text else text


def sizes(text: str) -> dict[str, int]:
    """h=224,w=224."""
    try:
        return {name.strip(): int(size) for name, size in (p.split("=") for p in text.split(","))}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} does not read like h=224,w=224") from None


def counts_or_mesh(text: str) -> Any:
    """1..4096 or D: numbers of devices, each twice the one before; or else a mesh."""
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", text.strip())
    if ends is None and not text.strip().isidentifier():
        return mesh(text)
    first, last = map(int, ends.groups()) if ends is not None else (1, 4096)
    if not 1 <= first <= last:
        raise argparse.ArgumentTypeError(f"{text!r} does not read like 1..4096")
    return tuple(first * 2**n for n in range(last.bit_length()) if first * 2**n <= last)


def mesh(text: str) -> dict[str, Any]:
    """data=2,rows=4 or data=D: the size of every mesh axis, a number or a symbol."""
    try:
        pairs = dict(part.split("=") for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} does not read like data=2,rows=4") from None
    return {n.strip(): int(s) if s.strip().isdigit() else s.strip() for n, s in pairs.items()}


def partition(text: str) -> tuple[Any, ...]:
    """data,rows,.,.: the mesh axis of every dimension; . for none, a+b for several."""
    entries = [entry.strip() for entry in text.split(",")]
    return tuple(None if e in (".", "") else tuple(e.split("+")) for e in entries)


def constraint(text: str) -> str:
    """h >= 7."""
    try:
        return read_constraints("--constraint", (text,))[0]
    except ConvError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def add_command(commands: Any, name: str, run: Callable[..., int], text: str, example: str) -> Any:
    made = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--json", action="store_true", help="print JSON, for a program")
    made.set_defaults(run=run)
    return made


def add_settings(command: Any) -> None:
    group = command.add_argument_group("the convolution's keywords")
    group.add_argument("--stride", type=factor, metavar="S", help="2 or 2,1")
    group.add_argument("--padding", type=padding, metavar="P", help="SAME, 1, 1,2 or (1,2),(0,1)")
    group.add_argument("--dilation", type=factor, metavar="D")
    group.add_argument("--input-dilation", type=factor, metavar="B")
    group.add_argument("--groups", type=factor, metavar="G")
    group.add_argument("--layout", type=layout, help="NHWC, NCHW, or NCHW,OIHW,NCHW")
    group.add_argument(
        "--padding-mode",
        type=modes,
        metavar="MODE",
        help="zeros, reflect, edge, circular; edge,zeros (each axis); (edge,zeros),edge (sides)",
    )
    group.add_argument("--output-padding", type=factor, metavar="N", help="of a transposed one")
    group.add_argument("--output-shape", type=shape, metavar="SHAPE", help="of a transposed one")


def add_tuning(command: Any) -> None:
    command.add_argument(
        "--tuning", metavar="FILE", help="a tuning table (jconv tune -o) to be in force"
    )


def given(options: argparse.Namespace, names: Sequence[str] = KEYWORDS) -> dict[str, Any]:
    """The keywords that the command line gives; not every one has an option."""
    found = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in found.items() if value is not None}
