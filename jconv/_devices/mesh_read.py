"""Reading a mesh and partition specs that a plan is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jconv._devices.roles import Spec
from jconv._errors import ConvError, Remedy
from jconv._geometry import Size, is_static


def read_mesh(op: str, value: Any) -> dict[str, Any]:
    """The mesh axes and their sizes, of a mapping or a jax.sharding.Mesh; text is a symbol."""
    shape = getattr(value, "shape", value)
    if isinstance(shape, Mapping) and all(isinstance(name, str) for name in shape):
        sizes = dict(shape)
        if all(isinstance(n, str) or (type(n) is int and n > 0) for n in sizes.values()):
            return sizes
    raise ConvError(
        f"{op}: `mesh` gives the size of every mesh axis, such as {{'data': 2, 'rows': 4}}.",
        argument="mesh",
        got=value,
        expected="a dict of whole numbers or symbols, or a jax.sharding.Mesh",
        remedies=[Remedy("mesh", None, "leave mesh out: the plan is then of one device")],
    )


def read_spec(op: str, argument: str, value: Any, ndim: int, mesh: Mapping[str, Size]) -> Spec:
    """The mesh axes of each dimension, in the caller's layout; none for None."""
    given = () if value is None else value
    entries = tuple(given) if hasattr(given, "__iter__") and not isinstance(given, str) else (0,)
    read = [_names(entry) for entry in entries]
    flat = [name for names in read for name in names]
    if len(read) <= ndim and set(flat) <= set(mesh) and len(set(flat)) == len(flat):
        return (*read, *((),) * (ndim - len(read)))
    raise ConvError(
        f"{op}: `{argument}` takes at most {ndim} entries, each a mesh axis, several or None, and "
        f"each mesh axis once. The mesh has {', '.join(map(repr, mesh)) or 'none'}.",
        argument=argument,
        got=value,
        expected=f"a jax.sharding.PartitionSpec of at most {ndim} entries",
        remedies=[Remedy(argument, None, f"leave {argument} out: the array is whole then")],
    )


def _names(entry: Any) -> tuple[str, ...]:
    if entry is None:
        return ()
    return (entry,) if not isinstance(entry, tuple | list) else tuple(entry)


def check_divided(
    op: str, argument: str, shape: tuple[Size, ...], spec: Spec, mesh: Mapping[str, Size]
) -> None:
    """Refuse an array that JAX cannot lay out: parts of its dimensions have to be of one size."""
    for at, (size, names) in enumerate(zip(shape, spec, strict=True)):
        parts = 1
        for name in names:
            parts = parts * mesh[name]
        if is_static(size, parts) and size % parts:
            raise ConvError(
                f"{op}: `{argument}` splits {size} entries of dimension {at} into {parts} parts, "
                "which JAX does not hold in parts of one size.",
                argument=argument,
                got=spec,
                expected=f"a number of devices that divides {size}",
                remedies=[Remedy(argument, None, f"leave {argument} out: the array is whole")],
            )
