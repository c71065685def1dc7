"""Reading a mesh and partition specs that a plan is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jconv._check.operations import OPERATIONS
from jconv._core import symbols
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Shape, Size, is_static
from jconv._core.layout import Layout
from jconv._core.problem import Slot
from jconv._devices.roles import Spec


def read_split(
    op: str,
    mesh: Any,
    specs: Mapping[str, Any],
    shapes: Mapping[str, Shape],
    layout: Layout,
    scope: Any,
) -> tuple[dict[str, Size], dict[Slot, Spec]] | None:
    """A mesh's sizes, and the Spec of every array in the library's own layout; None for no mesh.

    Args:
        op: the operation that is planned.
        mesh: the plan's keyword, as the user gave it.
        specs: the partition spec of each array argument, as the user gave it.
        shapes: of the array arguments, in the caller's layout.
        layout: the caller's.
        scope: the scope of the symbols in sizes.
    """
    if mesh is None:
        for name in [name for name, spec in specs.items() if spec is not None]:
            raise ConvError(
                f"plan: `{name}_spec` names mesh axes, and there is no `mesh`.",
                argument="mesh",
                got=None,
                expected="the sizes of the mesh axes, such as {'data': 8}",
                remedies=[Remedy(f"{name}_spec", None, f"leave {name}_spec out")],
            )
        return None
    sizes = read_mesh("plan", mesh)
    values = symbols.read_sizes("mesh", tuple(sizes.values()), scope)
    sizes = dict(zip(sizes, values, strict=True))
    lies: dict[Slot, Spec] = {}
    for name, shape in shapes.items():
        spec = read_spec("plan", f"{name}_spec", specs[name], len(shape), sizes)
        check_divided("plan", f"{name}_spec", shape, spec, sizes)
        slot: Any = OPERATIONS[op].arrays[name]
        lies[slot] = tuple(spec[at] for at in getattr(layout, slot))
    return sizes, lies


def read_mesh(op: str, value: Any) -> dict[str, Any]:
    """The size of every mesh axis, from a mapping or a jax.sharding.Mesh; text is a symbol."""
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
    """The mesh axes of each dimension, in the caller's layout; a spec of None splits none."""
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
    """Refuse a spec that JAX cannot use: all parts of a dimension must be of one size."""
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
