"""diagnose: what is wrong with a call, from its shapes alone, and what is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from jconv._check.call import ARRAYS, Call
from jconv._check.dtypes import read_dtype
from jconv._check.resolve import Resolved
from jconv._check.settings import entries_of, read_shape
from jconv._check.sizes import describe, input_sets
from jconv._check.spec import read_spec
from jconv._core.errors import ConvError, Remedy, show
from jconv._diagnosis.explain import resolve_or_explain
from jconv._diagnosis.fits import TOLD

OPS = tuple(ARRAYS)
SETTINGS = {
    "stride",
    "padding",
    "dilation",
    "groups",
    "layout",
    "padding_mode",
    "precision",
    "preferred_element_type",
}


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes:
        ok: whether the call is right.
        argument: the argument that is most likely wrong; None when nothing is.
        remedies: changes that make the call succeed, the most likely first.
        text: the finding in words.
    """

    ok: bool
    argument: str | None
    remedies: tuple[Remedy, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def diagnose(
    *,
    x_shape: Sequence[int] | None = None,
    w_shape: Sequence[int] | None = None,
    g_shape: Sequence[int] | None = None,
    input_shape: Sequence[int] | None = None,
    filter_shape: Sequence[int] | None = None,
    op: str = "conv",
    **settings: Any,
) -> Diagnosis:
    """Explain a call of one of the four operations without running it.

    Args:
        x_shape, w_shape, g_shape: shapes of the arrays that the operation takes.
        input_shape, filter_shape: as in `conv_input_grad` and `conv_filter_grad`.
        op: "conv", "conv_input_grad", "conv_filter_grad" or "conv_transpose".
        **settings: the operation's other arguments.

    Returns:
        A Diagnosis; print it.

    Raises:
        TypeError: for a setting that the operation does not have.

    Example:
        >>> import jconv
        >>> found = jconv.diagnose(x_shape=(1, 3, 32, 32), w_shape=(3, 3, 3, 8))
        >>> found.ok, found.argument, found.remedies[0].value
        (False, 'x', (1, 32, 32, 3))
    """
    try:
        call = _call(op, {"x": x_shape, "w": w_shape, "g": g_shape}, settings)
        told = {"input_shape": input_shape, "filter_shape": filter_shape}
        call = call.replace(**{name: told[name] for name in TOLD[op] if name in told})
        resolved = resolve_or_explain(call)
    except ConvError as error:
        return Diagnosis(False, error.argument, tuple(error.remedies), str(error))
    lines = [_summary(call, resolved), *(f"  {note}" for note in _notes(call, resolved))]
    return Diagnosis(True, None, (), "\n".join(lines))


def _call(op: str, shapes: dict[str, Any], settings: dict[str, Any]) -> Call:
    if not isinstance(op, str) or op not in OPS:
        raise ConvError(
            f"diagnose: `op` names no operation: {show(op)}.",
            argument="op",
            got=op,
            expected=" or ".join(map(repr, OPS)),
        )
    own = {"output_padding", "output_shape"} if op == "conv_transpose" else {"input_dilation"}
    unknown = sorted(set(settings) - SETTINGS - own)
    if unknown:
        raise TypeError(f"{op} has no argument {unknown[0]!r}")
    wanted = settings.get("preferred_element_type")
    settings["preferred_element_type"] = read_dtype(op, "preferred_element_type", wanted)
    read = {}
    for name in ARRAYS[op]:
        argument = f"{name}_shape"
        if shapes[name] is None:
            raise ConvError(
                f"diagnose: `{argument}` must be given: {op} takes {' and '.join(ARRAYS[op])}.",
                argument=argument,
                got=None,
                expected=f"the shape of `{name}`",
            )
        given = getattr(shapes[name], "shape", None)
        value = given if entries_of(given) is not None else shapes[name]
        read[name] = read_shape("diagnose", argument, value)
    return Call(op, read, dict.fromkeys(read, "float32"), **settings)


def _summary(call: Call, resolved: Resolved) -> str:
    operands = " and ".join(f"{name} {shape}" for name, shape in call.shapes.items())
    return f"{call.op} of {operands} gives {resolved.out_shape}: nothing is wrong."


def _notes(call: Call, resolved: Resolved) -> Iterator[str]:
    """What is often doubted about calls that are right."""
    axes = resolved.problem.axes
    i = resolved.borders.sizes if resolved.borders else tuple(axis.i for axis in axes)
    o, s = tuple(axis.o for axis in axes), tuple(axis.s for axis in axes)
    k = tuple(axis.k for axis in axes)
    rule = call.padding.upper() if isinstance(call.padding, str) else None
    strided = any(factor > 1 for factor in s)
    if rule in ("SAME", "SAME_LOWER"):
        pads = ", ".join(f"({low}, {high})" for low, high in resolved.pads)
        if call.op == "conv" and not strided and all(a.b == 1 for a in axes):
            yield f"{rule} with stride 1 keeps the spatial size {i}, odd or even, for any filter;"
            yield f"here it pads {pads} rows."
        elif call.op == "conv" and strided:
            yield f"{rule} with stride {_factor(s)} makes ceil(size / stride) rows: {i} to {o}."
            yield f"It keeps the size at stride 1 alone; here it pads {pads} rows."
    if call.op == "conv_input_grad":
        yield f"The result has the size that `input_shape` tells, {i}: a backprop of stride"
        yield f"{_factor(s)} does not grow, it returns to the input of the forward convolution."
    if call.op == "conv_filter_grad":
        yield f"The result has the size that `filter_shape` tells, {k}."
    if call.op == "conv_transpose":
        yield f"conv takes {i} to {o}: this is its adjoint, which is not its inverse."
    if call.op in ("conv_input_grad", "conv_transpose") and strided:
        sets = input_sets(read_spec(call, len(o)), o, k)
        if sets:
            how = "" if call.op == "conv_input_grad" else " (see output_padding, output_shape)"
            yield f"Sizes that conv takes to {o}: {describe(sets)}{how}."


def _factor(s: tuple[int, ...]) -> str:
    return str(s[0]) if len(set(s)) == 1 else str(s)
