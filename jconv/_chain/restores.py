"""The output_padding with which each layer of a decoder restores a size of its encoder.

o = ceil(i/s), or o = (i+P-K)//s + 1, is one number for s different sizes i. output_padding says
which of them is meant (`output_padding = size - smallest`)::

    SAME, SAME_LOWER, CAUSAL    i - (s*(o-1) + 1)     = (i - 1) mod s
    VALID, explicit pads        i - (s*(o-1) + K - P) = (i + P - K) mod s
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jconv._chain.names import SizeNames, alike, pretty
from jconv._check import settings
from jconv._check.sizes import describe
from jconv._core import geometry
from jconv._core.geometry import Shape, Size, is_static, span
from jconv._plan.plan import Plan


@dataclasses.dataclass(frozen=True, eq=False)
class Restore:
    """How one layer of a decoder restores a size of the encoder.

    Attributes:
        layer: the layer that enlarges.
        like: the earlier layer whose input's size is meant.
        output_padding: one number for each spatial axis, symbolic where it depends on the size;
            None for an axis where none restores it. None altogether where the layer has no
            output_padding (up-sampling).
        restored: whether the layer makes that size with the settings that it has.
        text: the finding in words.
    """

    layer: str
    like: str
    output_padding: tuple[Size | None, ...] | None
    restored: bool
    text: str

    def to_dict(self) -> dict[str, Any]:
        extra = self.output_padding
        return {
            "layer": self.layer,
            "like": self.like,
            "output_padding": None
            if extra is None
            else [v if v is None or is_static(v) else str(v) for v in extra],
            "restored": self.restored,
            "text": self.text,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Restore) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))


@dataclasses.dataclass(frozen=True)
class Resizing:
    """How a layer changes the spatial sizes."""

    name: str
    kind: str
    before: Shape
    after: Shape
    strides: tuple[int, ...]
    like: str | None
    plan: Plan | None


@dataclasses.dataclass
class _Shrunk:
    """A layer of the encoder that no layer of the decoder has undone yet."""

    place: int
    name: str
    before: Shape
    after: Shape
    strides: tuple[int, ...]


def find_restores(layers: Sequence[Resizing], names: SizeNames) -> tuple[Restore, ...]:
    """For each layer that enlarges, how it restores the input size of an earlier layer.

    That layer is `like`, or else the last layer that made sizes smaller and is not undone yet.
    """
    places = {layer.name: place for place, layer in enumerate(layers)}
    stack: list[_Shrunk] = []
    found = []
    for place, layer in enumerate(layers):
        if layer.kind in ("conv", "max_pool", "avg_pool") and max(layer.strides, default=1) > 1:
            shrunk = _Shrunk(place, layer.name, layer.before, layer.after, layer.strides)
            # A strided shortcut beside a strided layer counts as one with that layer.
            if not (stack and _alike(stack[-1], shrunk)):
                stack.append(shrunk)
        elif layer.kind in ("conv_transpose", "upsample"):
            if layer.like in places:
                undone = layers[places[layer.like]]
                while stack and stack[-1].place >= places[undone.name]:
                    stack.pop()
                found.append(_restore(layer, undone.name, undone.before, names))
            elif max(layer.strides) > 1:
                match = _undo(stack, layer.strides)
                if match is not None:
                    found.append(_restore(layer, match.name, match.before, names))
    return tuple(found)


def _alike(a: _Shrunk, b: _Shrunk) -> bool:
    pairs = zip((*a.before, *a.after), (*b.before, *b.after), strict=True)
    return all(alike(x, y) for x, y in pairs)


def _undo(stack: list[_Shrunk], strides: tuple[int, ...]) -> _Shrunk | None:
    """Pop the layers that `strides` undo; None if only a part of a layer's stride is undone."""
    left, match = strides, None
    while stack and max(left) > 1:
        match = stack.pop()
        more = tuple(-(-s // u) for s, u in zip(match.strides, left, strict=True))
        left = tuple(-(-u // s) for s, u in zip(match.strides, left, strict=True))
        if max(more) > 1:
            stack.append(dataclasses.replace(match, strides=more))
            return None
    return match


def _restore(layer: Resizing, like: str, target: Shape, names: SizeNames) -> Restore:
    restored = all(alike(a, b) for a, b in zip(layer.after, target, strict=True))
    made, wanted = names.shape(layer.after), names.shape(target)
    if layer.plan is None:
        text = f"{layer.name} restores {like}'s input {wanted}"
        if not restored:
            text = f"{layer.name} makes {made}, but {like}'s input is {wanted}: use a "
            text += f"conv_transpose with like={like!r}, or write the input's size as a multiple"
        return Restore(layer.name, like, None, restored, text)
    pads = _paddings(layer.plan)
    extra = tuple(
        output_padding(layer.plan, a, o, target[a], pads[a]) for a, o in enumerate(layer.before)
    )
    if None in extra:
        text = f"{layer.name}: no output_padding restores {like}'s input {wanted}: "
        text += f"from {names.shape(layer.before)} it can make {_choices(layer, pads, names)}"
    else:
        shown = [
            _formula(layer.plan, a, target[a], pads[a], value, names)
            for a, value in enumerate(extra)
        ]
        value = shown[0] if len(set(shown)) == 1 else "(" + ", ".join(shown) + ")"
        text = f"{layer.name}: output_padding = {value} restores {like}'s input {wanted}"
        if not restored:
            text += f"; as given, it makes {made}"
    return Restore(layer.name, like, extra, restored, text)


def output_padding(
    plan: Plan, axis: int, o: Size, target: Size, padding: settings.Padding
) -> Size | None:
    """The output_padding with which `plan`, of a transposed convolution, makes `target`."""
    along = plan.problem.axes[axis]
    k, s, d = along.k, along.s, along.d
    if is_static(o, target):
        sizes = geometry.input_sizes(o, k, padding, s=s, b=1, d=d)
        low = geometry.smallest_size(o, k, padding, s=s, d=d)
        return target - low if target in sizes else None
    if not alike(geometry.resolve_axis(target, k, padding, s=s, b=1, d=d)[0], o):
        return None
    return _forgotten(target, k, s, d, padding)


def _forgotten(i: Size, k: int, s: int, d: int, padding: settings.Padding) -> Size:
    if s == 1:
        return 0
    if isinstance(padding, str):
        missing = span(k, d) if padding == "VALID" else 1
    else:
        missing = span(k, d) - padding[0] - padding[1]
    return (i - missing % s) % s


def _formula(
    plan: Plan, axis: int, target: Size, padding: settings.Padding, value: Any, names: SizeNames
) -> str:
    if is_static(value):
        return str(value)
    along = plan.problem.axes[axis]
    return pretty(_forgotten(names.symbol(target), along.k, along.s, along.d, padding))


def _paddings(plan: Plan) -> tuple[settings.Padding, ...]:
    given = plan.keywords.get("padding", "SAME")
    return settings.read_padding(plan.op, given, plan.problem.rank)


def _choices(layer: Resizing, pads: tuple[settings.Padding, ...], names: SizeNames) -> str:
    assert layer.plan is not None
    if not is_static(*layer.before):
        return f"{names.shape(layer.after)}, which is not known to be that"
    return describe(
        [
            geometry.input_sizes(o, axis.k, pads[a], s=axis.s, b=1, d=axis.d)
            for a, (o, axis) in enumerate(zip(layer.before, layer.plan.problem.axes, strict=True))
        ]
    )
