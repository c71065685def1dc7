"""Remedies for two layers that are joined and have different sizes; each remedy is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from jconv._chain.names import alike
from jconv._chain.parts import Feature, Layer, Surroundings
from jconv._check.settings import read_factors, read_padding
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Shape, is_static, smallest_size

Layers = tuple[Layer, ...]


def joining_remedies(
    error: ConvError,
    layers: Layers,
    index: int,
    before: Mapping[str, Feature],
    around: Surroundings,
    works: Callable[[Layers], bool],
) -> ConvError:
    """The error, with the changes to one layer that make the join at `index` succeed."""
    joining = layers[index]
    other = before[joining.get("with")]
    place = _enlarging(layers, index, before, around)
    tried: list[tuple[Remedy, Layers]] = []
    wanted = around.spatial(other.shape)
    have = around.spatial(_read_by(joining, layers, index, before).shape)
    if len(have) == len(wanted):
        if place is not None and layers[place].kind == "conv_transpose":
            tried += _transposed(layers, place, have, wanted, before, around)
        if joining.kind == "concat":
            changed = (*layers[:index], joining.changed(crop=True))
            text = f"give {joining.name} crop=True: it then cuts {other.name} around its centre"
            tried.append((Remedy("crop", True, text), changed))
        if is_static(*have, *wanted):
            pads = tuple((0, size - now) for now, size in zip(have, wanted, strict=True))
            layer = Layer(f"pad_{joining.name}", "pad", (("padding", pads),))
            text = f'put a layer ("pad", {{"padding": {pads}}}) before {joining.name}'
            value = ("pad", {"padding": pads})
            if joining.get("input") is None:
                tried.append((Remedy("layers", value, text), (*layers[:index], layer, joining)))
    found = [remedy for remedy, changed in tried if works(changed[: index + 2])]
    return ConvError(
        error.message,
        argument=error.argument,
        got=error.got,
        expected=error.expected,
        remedies=[*error.remedies, *found],
    )


def _transposed(
    layers: Layers,
    place: int,
    have: Shape,
    wanted: Shape,
    before: Mapping[str, Feature],
    around: Surroundings,
) -> Iterator[tuple[Remedy, Layers]]:
    layer = layers[place]

    def with_(**changes: object) -> Layers:
        changed = {"output_padding": None, "output_shape": None, "like": None, **changes}
        return (*layers[:place], layer.changed(**changed), *layers[place + 1 :])

    if is_static(*have, *wanted):
        # The layers in between leave the difference of the two sizes as it is.
        made = around.spatial(before[layer.name].shape)
        target = tuple(m + w - h for m, w, h in zip(made, wanted, have, strict=True))
        pads = read_padding(layer.kind, layer.get("padding", "SAME"), around.rank)
        s, d, k = (
            read_factors(layer.kind, key, layer.get(key, 1), around.rank)
            for key in ("stride", "dilation", "kernel")
        )
        entered = around.spatial(before[layer.name].entered)
        extra = tuple(
            target[a] - smallest_size(entered[a], k[a], pads[a], s=s[a], d=d[a])
            for a in range(around.rank)
        )
        value = extra[0] if len(set(extra)) == 1 else extra
        text = f"give {layer.name} output_padding={value}"
        yield Remedy("output_padding", value, text), with_(output_padding=value)
    for earlier in reversed(layers[:place]):
        sizes = around.spatial(before[earlier.name].entered)
        if len(sizes) == len(wanted) and all(map(alike, sizes, wanted)):
            text = f"give {layer.name} like={earlier.name!r}, whose input has that size"
            yield Remedy("like", earlier.name, text), with_(like=earlier.name)
            return


def _enlarging(
    layers: Layers, index: int, before: Mapping[str, Feature], around: Surroundings
) -> int | None:
    """The layer that last enlarged what the layer at `index` reads first."""
    places = {layer.name: place for place, layer in enumerate(layers)}
    name = layers[index].get("input", layers[index - 1].name if index else "x")
    while name != "x":
        place = places[name]
        if layers[place].kind in ("conv_transpose", "upsample"):
            return place
        name = layers[place].get("input", layers[place - 1].name if place else "x")
    return None


def _read_by(layer: Layer, layers: Layers, index: int, before: Mapping[str, Feature]) -> Feature:
    return before[layer.get("input", layers[index - 1].name if index else "x")]
