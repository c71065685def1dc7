"""Records and helpers for every kind of layer: its keys, what it reads and makes, its errors."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from typing import Any

from jconv._chain.field import Field, Reads, merged, through
from jconv._chain.names import alike, pretty
from jconv._check import settings
from jconv._core import symbols
from jconv._core.errors import ConvError, Remedy, show
from jconv._core.geometry import Shape, Size, differ
from jconv._core.layout import Layout
from jconv._devices.roles import Spec
from jconv._plan.plan import Plan
from jconv._plan.table import shape_text


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer as it was described, its keys checked against its kind's."""

    name: str
    kind: str
    settings: tuple[tuple[str, Any], ...] = ()

    def get(self, key: str, default: Any = None) -> Any:
        return dict(self.settings).get(key, default)

    def changed(self, **changes: Any) -> Layer:
        """This layer with some keys changed; None leaves a key out."""
        merged = {**dict(self.settings), **changes}
        kept = tuple((key, value) for key, value in merged.items() if value is not None)
        return dataclasses.replace(self, settings=kept)


@dataclasses.dataclass(frozen=True)
class Feature:
    """A layer's result: its shape, and its field on each axis (None: the whole input).

    `entered` is the shape of the layer's own input. On a mesh `spec` is the mesh axes of each
    dimension, in jconv's own layout; `trained` is whether a parameter stands in this layer or
    before it.
    """

    name: str
    shape: Shape
    entered: Shape
    fields: tuple[Field, ...] | None
    spec: Spec = ()
    trained: bool = False

    def flat(self) -> bool:
        return len(self.shape) == 2


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a layer knows besides its own keys: the chain's settings, and the layers before it."""

    rank: int
    layout: Layout
    layout_name: str | None
    dtype: str
    platform: str
    constraints: tuple[str, ...]
    before: Mapping[str, Feature]
    mesh: tuple[tuple[str, Size], ...] = ()

    def canonical(self, shape: Shape) -> Shape:
        return self.layout.canonical("x", shape)

    def caller(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return self.layout.caller("y", shape)

    def own_order(self, spec: Spec) -> Spec:
        """How a result lies, in the library's own layout; what is flat has no other."""
        return spec if len(spec) == 2 else self.layout.canonical("y", spec)

    def spatial(self, shape: Shape) -> Shape:
        return self.canonical(shape)[1:-1] if len(shape) == self.rank + 2 else ()


@dataclasses.dataclass(frozen=True)
class Made:
    """What follows from one layer.

    `forward` and `backward` count operations. `stored` is whether the result takes memory of its
    own (an activation is fused into its neighbours). `detail` is text for the table.
    """

    shape: Shape
    fields: tuple[Field, ...] | None
    parameters: Size = 0
    forward: Size = 0
    backward: Size = 0
    stored: bool = True
    strides: tuple[int, ...] = ()
    detail: str = ""
    plan: Plan | None = None


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of layer: the keys that it must and may have, and what it makes of its input."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    make: Callable[[Layer, Feature, Surroundings], Made]
    flat: bool = False  # whether it takes an input without spatial axes


def wrong(
    argument: str, got: Any, expected: Any, why: str, remedies: list[Remedy] | None = None
) -> ConvError:
    return ConvError(why, argument=argument, got=got, expected=expected, remedies=remedies)


def nearest(word: Any, words: Any) -> str | None:
    """The valid name that was probably meant."""
    close = difflib.get_close_matches(str(word).lower().replace("-", "_"), list(words), 1, 0.5)
    return close[0] if close else None


# What the kinds share ---------------------------------------------------------------------


def carried(source: Feature, reads: list[Reads]) -> tuple[Field, ...] | None:
    if source.fields is None:
        return None
    return tuple(through(field, read) for field, read in zip(source.fields, reads, strict=True))


def joined(a: tuple[Field, ...] | None, b: tuple[Field, ...] | None) -> tuple[Field, ...] | None:
    if a is None or b is None:
        return None
    return tuple(merged(first, second) for first, second in zip(a, b, strict=True))


def per_axis(layer: Layer, key: str, rank: int) -> tuple[int, ...]:
    return settings.read_factors(layer.kind, key, layer.get(key), rank)


def earlier(before: Mapping[str, Feature], key: str, name: Any) -> Feature:
    """The layer of that name, which must come before this one."""
    if name in before:
        return before[name]
    close = nearest(name, before)
    remedies = [Remedy.use(key, close)] if close else []
    known = ", ".join(map(repr, before))
    raise wrong(key, name, known, f"`{key}` names no earlier layer: {show(name)}", remedies)


def require_equal(source: Feature, other: Feature, sizes: Any, others: Any) -> None:
    if len(sizes) != len(others):
        raise unequal(source, other, sizes, others, "")
    if all(alike(a, b) for a, b in zip(sizes, others, strict=True)):
        return
    open_ = not any(differ(a, b) for a, b in zip(sizes, others, strict=True))
    doubt = "the two are not known to be equal for every size" if open_ else ""
    raise unequal(source, other, sizes, others, doubt)


def unequal(source: Feature, other: Feature, sizes: Any, others: Any, why: str) -> ConvError:
    mine, theirs = readable(sizes), readable(others)
    return wrong(
        "with",
        other.name,
        f"an earlier layer whose sizes are {mine}",
        f"{source.name!r} makes {mine}, but {other.name!r}, which it is to be joined with, makes "
        f"{theirs}" + (f": {why}" if why else ""),
    )


def readable(shape: Any) -> str:
    """A shape for a message, its symbolic sizes as a reader writes them."""
    return shape_text([pretty(size) for size in shape])


def times(numbers: Any) -> str:
    return "x".join(map(str, numbers))


def stride_text(strides: tuple[int, ...]) -> str:
    if set(strides) == {1}:
        return ""
    return f" /{strides[0]}" if len(set(strides)) == 1 else f" /{times(strides)}"


def substituted(layer: Layer, values: Mapping[str, Size]) -> Layer:
    """This layer with some symbols given sizes."""
    changed = ((key, symbols.substitute(value, values)) for key, value in layer.settings)
    return dataclasses.replace(layer, settings=tuple(changed))
