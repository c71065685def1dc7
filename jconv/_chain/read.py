"""Descriptions of layers, from Python or from a file, read into records; and their errors."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jax import export

from jconv._chain.file import Lines
from jconv._chain.layers import KINDS, SHARED_KEYS
from jconv._chain.parts import Layer, nearest, wrong
from jconv._check.settings import entries_of, read_shape
from jconv._core import symbols
from jconv._core.errors import ConvError, Remedy, show
from jconv._core.geometry import Shape, Size
from jconv._core.layout import LayoutError, parse_layout
from jconv._devices.roles import Spec
from jconv._plan.leg import read_number_dtype, read_platform


@dataclasses.dataclass(frozen=True)
class Options:
    """The settings that all layers share."""

    dtype: str
    platform: str
    constraints: tuple[str, ...]
    layout: str | None
    mesh: tuple[tuple[str, Size], ...] = ()
    x_spec: Spec = ()  # in the library's own layout


def read_input(x_shape: Any, facts: tuple[str, ...]) -> tuple[Shape, Any]:
    if entries_of(x_shape) is None:
        expected = '(batch, height, width, channels), such as ("b", 224, 224, 3)'
        raise wrong("x_shape", x_shape, expected, "plan_chain: `x_shape` must be a shape.")
    given = tuple(x_shape)
    scope = symbols.find_scope([given], symbols.read_constraints("plan_chain", facts))
    x = read_shape("plan_chain", "x_shape", symbols.read_sizes("x_shape", given, scope))
    if len(x) < 3:
        why = f"plan_chain: `x_shape` has {len(x)} dimensions; there are no spatial axes in it."
        raise wrong(
            "x_shape", given, "batch, one size or more for each spatial axis, channels", why
        )
    return x, scope


def read_options(
    rank: int, dtype: Any, platform: str | None, facts: tuple[str, ...], layout: Any
) -> Options:
    if layout is not None:
        try:
            if not isinstance(layout, str):
                raise LayoutError("must be a string: every layer reads what the one before makes")
            parse_layout(layout, rank)
        except LayoutError as error:
            names = parse_layout(None, rank).names[0]
            expected = f"{names!r} or {'NC' + names[1:-1]!r}"
            raise wrong("layout", layout, expected, f"plan_chain: `layout` {error}.") from None
    name = read_number_dtype("plan_chain", dtype)
    return Options(name, read_platform("plan_chain", platform), facts, layout)


DEEPEST = 3  # levels of nested lists in a value; the limit is for lists that contain themselves
_SIZES = ("features", "output_shape")


def read_layers(
    described: Any, scope: export.SymbolicScope, lines: Lines | None
) -> tuple[Layer, ...]:
    """The layers, each with a known kind, known keys and a name of its own.

    Raises:
        ConvError: naming the layer by its index and name, and the nearest valid word.
    """
    if isinstance(described, str | Mapping) or not isinstance(described, Sequence):
        why = f"plan_chain: `layers` must be a sequence of layers, not {show(described)}."
        raise wrong("layers", described, "dicts, pairs (kind, keys), or a path to a TOML file", why)
    if not described:
        raise wrong("layers", described, "one layer or more", "plan_chain: `layers` is empty.")
    entries = [_entry(index, item, lines) for index, item in enumerate(described)]
    given = [keys.get("name") for _, keys in entries]
    taken = {"x", *(name for name in given if isinstance(name, str))}
    counts: collections.Counter[str] = collections.Counter()
    read: list[Layer] = []
    for index, (kind, keys) in enumerate(entries):
        name = keys.get("name")
        label = Layer(
            name if isinstance(name, str) else "", kind if isinstance(kind, str) else show(kind)
        )
        try:
            _check(kind, keys, {layer.name: place for place, layer in enumerate(read)})
        except ConvError as error:
            raise failed_layer(error, index, label, lines) from None
        while name is None or (name in taken and keys.get("name") is None):
            counts[kind] += 1
            name = f"{kind}{counts[kind]}"
        settings = {key: value for key, value in keys.items() if key not in ("kind", "name")}
        try:
            values = tuple((key, _value(key, value, scope)) for key, value in settings.items())
        except ConvError as error:
            raise failed_layer(error, index, label, lines) from None
        read.append(Layer(name, kind, values))
    return tuple(read)


def _entry(index: int, item: Any, lines: Lines | None) -> tuple[Any, dict[str, Any]]:
    if isinstance(item, Layer):
        return item.kind, {"name": item.name, **dict(item.settings)}
    if isinstance(item, str):
        return item, {}
    if isinstance(item, Mapping) and "kind" in item:
        return item["kind"], dict(item)
    if isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[1], Mapping):
        return item[0], dict(item[1])
    where = "plan_chain: " + ("" if lines is None else lines.of_layer(index) + ": ")
    why = f"{where}layers[{index}] is not a layer: it does not say its `kind`."
    expected = '{"kind": "conv", ...}, ("conv", {...}) or "relu"'
    raise wrong(f"layers[{index}]", item, expected, why)


def _check(kind: Any, keys: dict[str, Any], earlier: dict[str, int]) -> None:
    if not isinstance(kind, str) or kind not in KINDS:
        close = _nearest_kind(kind)
        remedies = [Remedy("kind", close, f"write {close!r}")] if close else []
        meant = f"; did you mean {close!r}?" if close else ""
        why = f"there is no kind of layer {show(kind)}{meant}"
        raise wrong("kind", kind, ", ".join(KINDS), why, remedies)
    record = KINDS[kind]
    valid = (*record.required, *record.optional)
    for key, value in keys.items():
        if key not in (*valid, *SHARED_KEYS, "kind"):
            close = _nearest_key(
                key, [name for name in (*valid, "name", "input") if name not in keys]
            )
            meant = f"; did you mean `{close}`?" if close else ""
            remedies = [Remedy.rename(key, close, value)] if close else []
            expected = ", ".join((*valid, *SHARED_KEYS))
            raise wrong(key, value, expected, f"{kind} has no key `{key}`{meant}", remedies)
    for key in record.required:
        if keys.get(key) is None:
            raise wrong(key, None, f"a value for `{key}`", f"it needs `{key}`")
    for key in ("bias", "scale", "crop"):
        if not isinstance(keys.get(key), bool | int | None):
            raise wrong(key, keys[key], "True or False", f"`{key}` must be True or False")
    for key in ("input", "like", "with"):
        value = keys.get(key)
        names = value if isinstance(value, list | tuple) else (value,)
        if value is not None and not all(isinstance(name, str) for name in names):
            raise wrong(key, value, "the name of a layer", f"`{key}` cannot be {show(value)}")
    name = keys.get("name")
    if name is not None and (not isinstance(name, str) or not name or name == "x"):
        expected = 'text that no other layer has; "x" is the network\'s input'
        raise wrong("name", name, expected, f"`name` cannot be {show(name)}")
    if name in earlier:
        why = f"layers[{earlier[name]}] has the name {name!r} too"
        raise wrong("name", name, "a name that no other layer has", why)


_OTHER_WORDS = {
    "conv2d": "conv",
    "convolution": "conv",
    "convtranspose": "conv_transpose",
    "deconv": "conv_transpose",
    "transposed_conv": "conv_transpose",
    "maxpool": "max_pool",
    "pool": "max_pool",
    "avgpool": "avg_pool",
    "linear": "dense",
    "concatenate": "concat",
    "cat": "concat",
    "resize": "upsample",
    "out_channels": "features",
    "filters": "features",
    "channels": "features",
    "kernel_size": "kernel",
    "pool_size": "kernel",
    "window_shape": "kernel",
    "strides": "stride",
    "kernel_dilation": "dilation",
    "rate": "dilation",
    "feature_group_count": "groups",
    "scale_factor": "factor",
    "size": "factor",
    "use_bias": "bias",
}
"""Other frameworks' names of kinds and keys."""


def _nearest_kind(kind: Any) -> str | None:
    if not isinstance(kind, str):
        return None
    return _OTHER_WORDS.get(kind.lower()) or nearest(kind, KINDS)


def _nearest_key(key: str, names: list[str]) -> str | None:
    known = _OTHER_WORDS.get(key.lower())
    return known if known in names else nearest(key, names)


def _value(key: str, value: Any, scope: export.SymbolicScope, depth: int = 0) -> Any:
    """A key's value, lists as tuples, the text of sizes as sizes."""
    if depth > DEEPEST:
        raise wrong(key, value, "fewer lists within lists", f"`{key}` is nested too deeply")
    if isinstance(value, list | tuple):
        if key in _SIZES:
            return symbols.read_sizes(key, tuple(value), scope)
        return tuple(_value(key, entry, scope, depth + 1) for entry in value)
    if key == "features":
        size = symbols.read_sizes(key, (value,), scope)[0]
        if isinstance(size, bool) or not (isinstance(size, int) or hasattr(size, "scope")):
            raise wrong(key, value, "a number of channels", "`features` must be a whole number")
        if isinstance(size, int) and size < 1:
            raise wrong(key, value, "1 or more", "`features` must be 1 or more")
        return size
    return value


def failed_layer(error: ConvError, index: int, layer: Layer, lines: Lines | None) -> ConvError:
    """The error of one layer, with the layer's index, name and, in a file, its line."""
    record = KINDS.get(layer.kind)
    own = (*record.required, *record.optional, *SHARED_KEYS) if record else SHARED_KEYS
    argument = {"w": "kernel", "output_shape": "like"}.get(error.argument, error.argument)
    if argument not in own or (argument == "like" and layer.get("like") is None):
        argument = error.argument
    message = error.message
    for word in ("conv_transpose: ", "conv: ", "plan: ", f"{layer.kind}: "):
        message = message.removeprefix(word)
    name = f" {layer.name!r}" if layer.name else ""
    where = "" if lines is None else lines.of_layer(index, argument) + ": "
    kept = [
        remedy
        for remedy in error.remedies
        if argument == "with" or record is None or remedy.argument in (*own, "kind")
    ]
    return ConvError(
        f"plan_chain: {where}layers[{index}]{name} ({layer.kind}): {message}"
        + ("" if message.endswith((".", "?")) else "."),
        argument=argument,
        got=error.got,
        expected=error.expected,
        remedies=kept,
    )
