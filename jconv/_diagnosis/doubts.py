"""Doubts about a call that can run: a filter whose shape fits, but was likely meant otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jconv._check.call import Call
from jconv._check.resolve import resolve
from jconv._core.errors import ConvError
from jconv._core.geometry import is_static
from jconv._diagnosis.changes import plausibility, square
from jconv._diagnosis.reading import Reading
from jconv._diagnosis.shapes import CONVENTION, orders

MOST_TAPS = 11  # taps of a 1-D filter; a higher number there may be another framework's channels


def looks_like_another_order(call: Call) -> Iterator[str]:
    """A sentence, if the filter's shape fits but would be more usual in another order.

    PyTorch's (16, 3, 3, 3), 16 filters of 3x3 taps on three channels, is a filter of 16x3 taps in
    HWIO, from three channels to three.
    """
    shape = call.shapes.get("w")
    if shape is None or not is_static(*shape):
        return
    spec = Reading(call, len(shape) - 2).spec
    if spec is None:
        return
    names = spec.layout.name("w")
    old: Any = spec.layout.canonical("w", shape)
    if square(old[:-2]) and not (len(old) == 3 and old[0] > MOST_TAPS):
        return
    for order, cost in orders(spec.layout, "w"):
        permutation = tuple(order.index(letter) for letter in names)
        value = tuple(shape[p] for p in permutation)
        new = spec.layout.canonical("w", value)
        likelier = plausibility("w", old, new) < 0 if len(old) > 3 else new[0] <= MOST_TAPS
        if cost == CONVENTION and likelier and square(new[:-2]) and _resolves(call, value):
            *taps, c, f = old
            taps = "x".join(map(str, taps))
            how = f"jnp.transpose(w, {permutation})"
            yield (
                f"`w` is read as {names}: {taps} taps, from {c} channels to {f}. "
                f"Its shape looks like {order}; if it is that, pass {how}, of shape {value}."
            )
            return


def _resolves(call: Call, w_shape: tuple[int, ...]) -> bool:
    try:
        resolve(call.with_argument("w", w_shape))
    except ConvError:
        return False
    return True
