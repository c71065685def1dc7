"""What the page asks about: one call, as the text of an address and as arguments of jconv."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote

from jconv._check import operations
from jconv._core.layout import Layout, LayoutError, parse_layout
from jconv._explore.limits import (
    MAX_ADDRESS,
    MAX_TEXT,
    RefusedError,
    check_groups,
    check_length,
    check_phases,
    check_rank,
    check_taps,
)

OPERATIONS = ("conv", "conv_input_grad", "conv_filter_grad", "conv_transpose")  # that it shows
ARRAYS = {name: tuple(operations.OPERATIONS[name].arrays) for name in OPERATIONS}
TOLD = {"conv_input_grad": "x", "conv_filter_grad": "w"}
"""The array whose shape a backprop is given in place of the array: its result's."""

RULES = ("SAME", "SAME_LOWER", "VALID", "CAUSAL")
MODES = ("zeros", "reflect", "edge", "circular")
PER_AXIS = ("stride", "padding", "dilation", "input_dilation", "padding_mode",
            "output_padding", "output_shape")  # fmt: skip
DTYPES = ("float32", "bfloat16", "float16", "float64", "int8")
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")

Size = int | str
Pads = tuple[int, int]
Mode = str | tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Question:
    """One call of one operation, which may be wrong. Its defaults are the page's example.

    Attributes:
        op: the name of the operation.
        x, w, g: full shapes. Of arrays that an operation does not take, x is the input_shape of
            conv_input_grad and w the filter_shape of conv_filter_grad.
        stride, dilation, input_dilation, output_padding: one number for each axis.
        padding: for each axis a rule's name or a pair of numbers.
        padding_mode: for each axis the name of a mode, or a pair of names, low and high.
        groups: the number of groups of channels.
        layout: "NHWC"-like or "NCHW"-like text, or three such texts with commas between.
        output_shape: the keyword of conv_transpose, spatial sizes alone; None if not given.
        output_padding: None where it is not given.
        dtype: that of the arrays.
        platform: the one that algorithms are chosen for; None for this machine's.
    """

    op: str = "conv"
    x: tuple[Size, ...] = (32, 9, 12, 64)
    w: tuple[Size, ...] = (3, 3, 64, 128)
    g: tuple[Size, ...] = (32, 5, 5, 128)
    stride: tuple[int, ...] = (2, 2)
    padding: tuple[str | Pads, ...] = ((1, 1), (0, 0))
    dilation: tuple[int, ...] = (1, 1)
    input_dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    layout: str | None = None
    padding_mode: tuple[Mode, ...] = ("zeros", "zeros")
    output_padding: tuple[int, ...] | None = None
    output_shape: tuple[Size, ...] | None = None
    dtype: str = "float32"
    platform: str | None = None

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.stride)

    def replace(self, **changes: Any) -> Question:
        return dataclasses.replace(self, **changes)

    def shapes(self) -> dict[str, tuple[Size, ...]]:
        """The shapes that a user of this operation gives, arrays first."""
        own = {name: getattr(self, name) for name in ARRAYS[self.op]}
        if self.op in TOLD:
            own[str(operations.OPERATIONS[self.op].result)] = getattr(self, TOLD[self.op])
        return own

    def settings(self) -> dict[str, Any]:
        """The keywords whose values differ from the operation's defaults."""
        given = {
            "stride": (one_or_each(self.stride), 1),
            "padding": (self._padding(), "SAME"),
            "dilation": (one_or_each(self.dilation), 1),
            "input_dilation": (one_or_each(self.input_dilation), 1),
            "groups": (self.groups, 1),
            "layout": (self.layout_value, None),
            "padding_mode": (_name_or_each(self.padding_mode), "zeros"),
        }
        if self.op == "conv_transpose":
            del given["input_dilation"]
            extra = self.output_padding
            given["output_padding"] = (None if extra is None else one_or_each(extra), None)
            given["output_shape"] = (self.output_shape, None)
        return {name: value for name, (value, usual) in given.items() if value != usual}

    @property
    def layout_value(self) -> Any:
        """The layout as jconv takes it: text, or three texts."""
        triple = self.layout is not None and "," in self.layout
        return tuple(str(self.layout).split(",")) if triple else self.layout

    @property
    def positions(self) -> Layout:
        """Where batch, axes and channels stand; channels last where the layout cannot be read."""
        try:
            return parse_layout(self.layout_value, self.rank)
        except LayoutError:
            return parse_layout(None, self.rank)

    def _padding(self) -> Any:
        """A name where it holds for all axes, one number for equal pads, else one entry an axis."""
        return _name_or_each(
            [p if isinstance(p, str) or p[0] != p[1] else p[0] for p in self.padding]
        )

    def check(self) -> None:
        """Raise a RefusedError for what would take too long to answer."""
        check_rank(max(self.rank, *(len(shape) - 2 for shape in (self.x, self.w, self.g))))
        if len(self.w) == self.rank + 2:
            check_taps(self.w[at] for at in self.positions.spatial("w"))
        else:
            check_taps(self.w)
        check_groups(self.groups)
        for name in ("stride", "dilation", "input_dilation"):
            check_phases(name.replace("_", " "), getattr(self, name))


def one_or_each(values: Sequence[Any]) -> Any:
    """One value where it holds for every axis, else the tuple of them."""
    first, *rest = values
    return first if all(value == first for value in rest) else tuple(values)


def _name_or_each(entries: Sequence[Any]) -> Any:
    """`one_or_each`, but pairs stay a tuple of pairs: jconv reads a bare pair as two axes."""
    return tuple(entries) if isinstance(entries[0], tuple) else one_or_each(entries)


# --- the address --------------------------------------------------------------------------


def write_address(question: Question) -> str:
    """The question as the text behind # in the page's address, without settings at defaults."""
    usual = plain_question(question.rank)
    parts = [("op", question.op)]
    shapes = {_shape_of(name) for name in question.shapes()}
    for field in dataclasses.fields(Question):
        name, value = field.name, getattr(question, field.name)
        if name == "op" or value is None:
            continue
        if name in ("x", "w", "g"):
            if name in shapes:
                parts.append((name, ",".join(map(str, value))))
        elif value != getattr(usual, name):
            parts.append((name, _text(value)))
    return "&".join(f"{name}={quote(text, safe=',:*')}" for name, text in parts)


def plain_question(rank: int) -> Question:
    """A call with `rank` spatial axes and every setting at its default."""
    ones = (1,) * rank
    return Question(
        stride=ones,
        padding=("SAME",) * rank,
        dilation=ones,
        input_dilation=ones,
        padding_mode=("zeros",) * rank,
    )


def _text(value: Any) -> str:
    if not isinstance(value, tuple):
        return str(value)
    entries = [value[0]] if value[1:] == value[:-1] else value
    return ",".join(":".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in entries)


def read_address(text: str) -> Question:
    """The question that an address holds; the page's example for an empty address.

    Raises:
        RefusedError: saying which part cannot be read.
    """
    check_length("The address", text, MAX_ADDRESS)
    given = dict(parse_qsl(text.removeprefix("#"), keep_blank_values=True))
    if not given:
        return Question()
    op = given.pop("op", "conv")
    if op not in OPERATIONS:
        raise RefusedError(f"The address names no operation: op={cut(op)}.")
    unknown = sorted(set(given) - set(_READERS))
    if unknown:
        raise RefusedError(f"The address has an unknown part: {cut(unknown[0])}.")
    shapes = {name: read_shape(name, given[name]) for name in ("x", "w", "g") if name in given}
    if not shapes:
        raise RefusedError("The address holds no shape: it needs x, w or g.")
    first = shapes.get(ARRAYS[op][0], next(iter(shapes.values())))
    rank = _rank(op, given, len(first) - 2)
    check_rank(rank)
    values = {name: _READERS[name](name, value, rank) for name, value in given.items()}
    question = plain_question(rank).replace(op=op, **{**values, **shapes})
    missing = [name for name in question.shapes() if _shape_of(name) not in shapes]
    if missing:
        raise RefusedError(f"The address lacks the shape of {_shape_of(missing[0])}, for {op}.")
    return question


def _rank(op: str, given: dict[str, str], of_shape: int) -> int:
    """The number of spatial axes.

    As many as a setting has entries, if they differ (one entry may stand for all axes); else
    as many as the operation's first array has.
    """
    unused = ("input_dilation",) if op == "conv_transpose" else ("output_padding", "output_shape")
    each = [_parts(given[name]) for name in PER_AXIS if name in given and name not in unused]
    return max(
        (len(entries) for entries in each if len(set(entries)) > 1), default=max(of_shape, 1)
    )


def _shape_of(argument: str) -> str:
    return {"input_shape": "x", "filter_shape": "w"}.get(argument, argument)


def cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


# --- reading what people write ------------------------------------------------------------


def read_size(name: str, text: Any) -> Size:
    """A whole number, or the text of a symbolic size such as h or 2*h+1."""
    text = str(text).strip()
    check_length(f"`{name}`", text, MAX_TEXT)
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if re.fullmatch(r"[\w\s*+(),^-]+", text) and re.search(r"(?<!\d)[A-Za-z_]", text):
        return text
    raise RefusedError(
        f"`{name}` is a whole number, or a symbol such as h; not {cut(text) or 'empty'}."
    )


def read_number(name: str, text: Any) -> int:
    size = read_size(name, text)
    if isinstance(size, str):
        raise RefusedError(f"`{name}` must be a whole number; it is {cut(size)}.")
    return size


def read_shape(name: str, text: str) -> tuple[Size, ...]:
    """The shape in text such as "1,8,8,3", "(1, 8, 8, 3)", "1 8 8 3" or "1x8x8x3"."""
    check_length(f"The shape of {name}", text, MAX_TEXT)
    inner = text.strip().strip("[]").strip()
    if inner.startswith("(") and inner.endswith(")") and len(_parts(inner)) == 1:
        inner = inner[1:-1].strip()
    parts = _parts(inner)
    if len(parts) == 1:
        parts = re.split(r"\s+" if re.search(r"\s", inner) else r"(?<=\d)[x×](?=\d)", inner)
    parts = [part for part in parts if part]
    check_rank(len(parts) - 2)
    return tuple(read_size(f"the shape of {name}", part) for part in parts)


def _parts(text: str) -> list[str]:
    """The text between commas, those inside of parentheses aside: floordiv(h, 2) is one part."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _each(name: str, text: str, rank: int, read: Callable[[str, Any], Any]) -> tuple[Any, ...]:
    values = tuple(read(name, part) for part in _parts(text))
    values = values * rank if len(values) == 1 else values
    if len(values) != rank:
        raise RefusedError(f"`{name}` has {len(values)} entries for {rank} spatial axes.")
    return values


def _choice(*choices: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if text not in choices:
            raise RefusedError(f"`{name}` is one of {', '.join(choices)}; not {cut(text)}.")
        return text

    return read


def read_pad(name: str, text: str) -> str | Pads:
    """The padding of one axis, from a rule's name, one number, or low:high."""
    if text.upper() in RULES:
        return text.upper()
    low, _, high = text.partition(":")
    return read_number(name, low), read_number(name, high or low)


def read_mode(name: str, text: str) -> Mode:
    """The padding mode of one axis, from a mode's name, or low:high where the sides differ."""
    low, _, high = text.partition(":")
    for side in (low, high or low):
        if side not in MODES:
            raise RefusedError(
                f"`{name}` is one of {', '.join(MODES)}, or low:high of two of them; "
                f"not {cut(text) or 'empty'}."
            )
    return low if high in ("", low) else (low, high)


def read_layout(name: str, text: str) -> str:
    if not re.fullmatch(r"[A-Z]{3,8}(,[A-Z]{3,8},[A-Z]{3,8})?", text):
        raise RefusedError(f"`{name}` is text such as NHWC or NCHW; not {cut(text) or 'empty'}.")
    return text


def _numbers(name: str, text: str, rank: int) -> tuple[int, ...]:
    return _each(name, text, rank, read_number)


_READERS: dict[str, Callable[[str, str, int], Any]] = {
    "x": lambda name, text, rank: read_shape(name, text),
    "w": lambda name, text, rank: read_shape(name, text),
    "g": lambda name, text, rank: read_shape(name, text),
    "stride": _numbers,
    "padding": lambda name, text, rank: _each(name, text, rank, read_pad),
    "dilation": _numbers,
    "input_dilation": _numbers,
    "groups": lambda name, text, rank: read_number(name, text),
    "layout": lambda name, text, rank: read_layout(name, text),
    "padding_mode": lambda name, text, rank: _each(name, text, rank, read_mode),
    "output_padding": _numbers,
    "output_shape": lambda name, text, rank: _each(name, text, rank, read_size),
    "dtype": lambda name, text, rank: _choice(*DTYPES)(name, text),
    "platform": lambda name, text, rank: _choice(*PLATFORMS)(name, text),
}
