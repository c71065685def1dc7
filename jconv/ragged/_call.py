"""The arguments of the ragged operations, read and checked before anything runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jconv._check import settings
from jconv._check.arrays import make_call
from jconv._check.call import Call
from jconv._check.foreign_errors import same_value, worded
from jconv._check.resolve import Resolved
from jconv._core.errors import ConvError, Remedy, show
from jconv._core.geometry import is_static
from jconv._core.layout import Layout, LayoutError, parse_layout
from jconv._diagnosis.diagnose import resolve_or_explain
from jconv.ragged._rule import Rule


@dataclasses.dataclass(frozen=True)
class Setup:
    """The settings of one ragged convolution; hashable, as a key of compiled programs."""

    rules: tuple[Rule, ...]
    groups: int
    out_dtype: str
    precision: Any

    @property
    def bordered(self) -> bool:
        """Whether borders are copied from each example's own rows."""
        return any(rule.bordered for rule in self.rules)

    @property
    def laid_out(self) -> bool:
        """Whether each example is moved by its own padding before the convolution."""
        return self.bordered or any(rule.low[0] != rule.low[1] for rule in self.rules)


def read_call(op: str, arrays: dict[str, Any], keywords: dict[str, Any]) -> tuple[Call, Resolved]:
    """The call of the plain operation on the padded batch, with that operation's checks."""
    plain = op.partition(".")[2]
    given = {**arrays, **keywords}
    names = {name: name for name in given}
    with worded(op, names, given, dict.fromkeys(names, same_value)):
        call = make_call(plain, arrays, **keywords)
        return call, resolve_or_explain(call)


def read_setup(op: str, call: Call, resolved: Resolved) -> Setup:
    axes = resolved.problem.axes
    padding = settings.read_padding(op, call.padding, len(axes))
    if not all(isinstance(pads, str) or is_static(*pads) for pads in padding):
        raise ConvError(
            f"{op}: `padding` must be whole numbers: symbols cannot be compared with sizes.",
            argument="padding",
            got=call.padding,
            expected="a rule's name, or whole numbers",
        )
    d = settings.read_factors(op, "dilation", call.dilation, len(axes))
    s = settings.read_factors(op, "stride", call.stride, len(axes))
    b = settings.read_factors(op, "input_dilation", call.input_dilation, len(axes))
    if not is_static(*(axis.k for axis in axes)):
        raise ConvError(
            f"{op}: the spatial sizes of `w` must be whole numbers.",
            argument="w",
            got=call.shapes["w"],
            expected="a filter whose spatial sizes are whole numbers",
        )
    modes = settings.read_modes(op, call.padding_mode, len(axes))
    rules = tuple(
        Rule(axis.k, s[a], d[a], b[a], padding[a], modes[a]) for a, axis in enumerate(axes)
    )
    return Setup(rules, resolved.problem.groups, resolved.problem.out_dtype, call.precision)


def read_layout(op: str, layout: Any, ndim: int) -> Layout:
    """The layout of a single array of at least one spatial axis."""
    try:
        return parse_layout(tuple(layout) if isinstance(layout, list) else layout, ndim - 2)
    except (LayoutError, TypeError) as error:
        raise ConvError(
            f"{op}: `layout` {error}; it is {show(layout)}.",
            argument="layout",
            got=layout,
            expected=repr(parse_layout(None, ndim - 2).names[0]),
        ) from None


def read_array(op: str, x: Any, layout: Any) -> tuple[jax.Array, Layout]:
    """x as (N, spatial..., C), and the layout that it came in."""
    if not hasattr(x, "shape") or not hasattr(x, "dtype") or len(x.shape) < 3:
        raise ConvError(
            f"{op}: `x` must be an array with a batch, one spatial axis or more, and channels.",
            argument="x",
            got=tuple(x.shape) if hasattr(x, "shape") else type(x).__name__,
            expected="3 dimensions or more",
        )
    order = read_layout(op, layout, len(x.shape))
    return jnp.transpose(jnp.asarray(x), order.x), order


def read_sizes(
    op: str, sizes: Any, shape: tuple[Any, ...], argument: str = "sizes", whole: str = "x"
) -> Any:
    """Sizes as int32 (N, axes), which count rows of an array (N, spatial..., C).

    Known numbers are checked and returned as a NumPy array; traced ones are clamped to the
    array's sizes.
    """
    batch, *largest, _ = shape
    rank = len(largest)
    wanted = (batch, rank)
    if not hasattr(sizes, "shape") or not hasattr(sizes, "dtype"):
        try:
            sizes = np.asarray(sizes)
        except ValueError:  # rows of different lengths
            sizes = np.asarray(sizes, dtype=object)
    got, dtype = tuple(sizes.shape), str(sizes.dtype)
    if "int" not in dtype:
        raise ConvError(
            f"{op}: `{argument}` counts rows, so it must be of an integer dtype, not {dtype}.",
            argument=argument,
            got=dtype,
            expected="int32",
            remedies=[Remedy(argument, "int32", f"convert it: {argument}.astype('int32')")],
        )
    if got != wanted and not (rank == 1 and got == (batch,)):
        also = " (or one number for each example)" if rank == 1 else ""
        raise ConvError(
            f"{op}: `{argument}` must say for each of the {batch} examples its rows on each of "
            f"the {rank} spatial axes; its shape is {got}.",
            argument=argument,
            got=got,
            expected=f"shape {wanted}{also}",
            remedies=[Remedy(argument, wanted, f"give {argument} the shape {wanted}")],
        )
    if isinstance(sizes, Tracer) or not is_static(*largest):
        sizes = jnp.asarray(sizes).astype(jnp.int32).reshape(wanted)
        return jnp.clip(sizes, 0, jnp.asarray(largest, jnp.int32)[None])
    known = np.asarray(sizes).reshape(wanted)
    for n, a in np.argwhere((known < 0) | (known > np.asarray(largest)))[:1]:
        raise ConvError(
            f"{op}: `{argument}` says {known[n, a]} rows for example {n} on spatial axis {a}, "
            f"where `{whole}` has {largest[a]}.",
            argument=argument,
            got=int(known[n, a]),
            expected=f"0 to {largest[a]} rows on spatial axis {a}",
            remedies=[Remedy(whole, None, f"give `{whole}` the rows of the largest example")],
        )
    return known.astype(np.int32)
