"""What jconv says of a call: its plan, padding in numbers, full shapes; and remedies applied."""

from __future__ import annotations

from typing import Any

from jconv._check.call import Call
from jconv._check.operations import OPERATIONS
from jconv._check.resolve import Resolved, resolve
from jconv._check.settings import read_shape
from jconv._core import geometry, symbols
from jconv._core.errors import Remedy
from jconv._core.geometry import Shape
from jconv._explore.limits import RefusedError
from jconv._explore.question import ARRAYS, DTYPES, TOLD, Question, Size
from jconv._plan.plan import Plan, plan, plan_transpose


def forward_plan(question: Question) -> Plan:
    """The plan of the convolution one of whose legs this call runs.

    Raises:
        ConvError: where the call is wrong.
    """
    settings = {**solved_padding(question).settings(), "dtype": question.dtype}
    settings["platform"] = question.platform
    make = plan_transpose if question.op == "conv_transpose" else plan
    return make(question.x, question.w, **settings)


def resolved(question: Question) -> Resolved:
    """The call as `resolve` reads it, for its problem and its shapes.

    Raises:
        ConvError: where the call is wrong; without remedies, which take long to find.
    """
    question = solved_padding(question)
    operation = OPERATIONS[question.op]
    shapes, settings = in_symbols(question, **question.shapes())
    told = {name: shapes.pop(name) for name in operation.told if name in shapes}
    read = {name: read_shape(question.op, name, shape) for name, shape in shapes.items()}
    call = Call(operation, read, dict.fromkeys(read, question.dtype), **settings)
    return resolve(call.replace(**told))


def in_symbols(question: Question, **shapes: Shape) -> tuple[dict[str, Shape], dict[str, Any]]:
    """Shapes and the call's settings with JAX's symbolic dimensions in place of text.

    Raises:
        ConvError: where the text of a symbol cannot be read.
    """
    settings = question.settings()
    told = {n: settings[n] for n in ("output_shape",) if n in settings}
    scope = symbols.find_scope((*shapes.values(), *told.values()), ())
    read = {n: symbols.read_sizes(n, s, scope) for n, s in (shapes | told).items()}
    return {n: read[n] for n in shapes}, settings | {n: read[n] for n in told}


def solved_padding(question: Question) -> Question:
    """The question with its padding in numbers, if axes differ and some have a rule's name.

    jconv takes one name for all axes, or numbers for each axis.

    Raises:
        RefusedError: where sizes are symbols, for which a name has no numbers.
    """
    names = {entry if isinstance(entry, str) else None for entry in question.padding}
    if len(names) == 1:
        return question
    padding = list(question.padding)
    for axis, entry in enumerate(padding):
        if isinstance(entry, str):
            padding[axis] = numbers_of(question, axis)
    return question.replace(padding=tuple(padding))


def numbers_of(question: Question, axis: int) -> tuple[int, int]:
    """The (low, high) pads of one axis in numbers.

    Raises:
        RefusedError: for a rule's name where sizes are symbols.
    """
    rule = question.padding[axis]
    if not isinstance(rule, str):
        return rule
    factors = {"s": question.stride[axis], "d": question.dilation[axis]}
    k = size_at(question, "w", axis)
    transposed = question.op == "conv_transpose"
    i = transposed_size(question, axis) if transposed else size_at(question, "x", axis)
    if not (isinstance(i, int) and isinstance(k, int)) or min(*factors.values(), k) < 1:
        raise RefusedError(
            f"{rule} beside numbers needs sizes that are known; here some are symbols."
        )
    b = 1 if transposed else question.input_dilation[axis]
    return geometry.resolve_axis(i, k, rule, b=b, **factors)[1:]


def transposed_size(question: Question, axis: int) -> Size | None:
    """The rows that a transposed convolution with a named padding makes on one axis."""
    if question.output_shape is not None:
        return question.output_shape[axis]
    n, s = size_at(question, "x", axis), question.stride[axis]
    if not isinstance(n, int) or question.output_padding is None:
        return s * n if isinstance(n, int) else None
    return s * (n - 1) + 1 + question.output_padding[axis]


def size_at(question: Question, name: str, axis: int) -> Size | None:
    """The size of x, w or g on a spatial axis; None where the shape has no such place."""
    shape = getattr(question, name)
    if len(shape) != question.rank + 2:
        return None
    return shape[question.positions.spatial("y" if name == "g" else name)[axis]]


def with_shape(question: Question, name: str, shape: tuple[Any, ...]) -> Question:
    """The question with another shape of x, w or g; its settings follow the number of axes."""
    question = question.replace(**{name: shape})
    rank = len(shape) - 2
    if name == "w" or rank < 1 or rank == question.rank:
        return question
    return settings_of_rank(question, rank)


def in_full(question: Question) -> Question:
    """The question with a full input_shape or filter_shape, where it has spatial sizes alone.

    Channels and batch are taken from the arrays.
    """
    told = TOLD.get(question.op)
    arrays = [getattr(question, name) for name in ARRAYS[question.op]]
    whole = all(len(shape) == question.rank + 2 for shape in arrays)
    if told is None or not whole or len(getattr(question, told)) != question.rank:
        return question
    place, g = question.positions, question.positions.canonical("y", question.g)
    sizes, groups = getattr(question, told), question.groups
    if told == "x":
        c = place.canonical("w", question.w)[-2]
        c = c * groups if isinstance(c, int) else c
        return question.replace(x=place.caller("x", (g[0], *sizes, c)))
    c = place.canonical("x", question.x)[-1]
    c = c // groups if isinstance(c, int) and groups > 0 else c
    return question.replace(w=place.caller("w", (*sizes, c, g[-1])))


def resized(values: tuple[Any, ...], rank: int) -> tuple[Any, ...]:
    return (*values[:rank], *values[-1:] * (rank - len(values)))


def settings_of_rank(question: Question, rank: int) -> Question:
    names = ("stride", "padding", "dilation", "input_dilation", "padding_mode")
    return question.replace(
        **{name: resized(getattr(question, name), rank) for name in names},
        output_padding=question.output_padding and resized(question.output_padding, rank),
        output_shape=None,
    )


def plain_size(size: Any) -> Size:
    return size if isinstance(size, int) else str(size)


def apply(question: Question, remedy: Remedy) -> Question | None:
    """The question after a remedy of a ConvError; None for an argument that the page lacks."""
    name, value = remedy.argument.removesuffix("_shape"), remedy.value
    if isinstance(value, str) and name in ("x", "w", "g"):
        return question.replace(dtype=value) if value in DTYPES else None
    if name in ("input", "filter", "x", "w", "g") and value is not None:
        target = {"input": "x", "filter": "w"}.get(name, name)
        return _told(question, target, tuple(value))
    if remedy.argument in ("stride", "dilation", "input_dilation", "padding", "padding_mode"):
        usual = {"padding": "SAME", "padding_mode": "zeros"}.get(remedy.argument, 1)
        return question.replace(**{remedy.argument: entries(question, name, value, usual)})
    if remedy.argument in ("output_padding", "output_shape"):
        each = value if value is None else entries(question, name, value, None)
        if name == "output" and each is not None and len(each) == question.rank + 2:
            each = tuple(each[at] for at in question.positions.spatial("x"))
        return question.replace(**{remedy.argument: each})
    if remedy.argument == "layout":
        return question.replace(layout=",".join(value) if isinstance(value, tuple) else value)
    if remedy.argument == "groups":
        return question.replace(groups=1 if value is None else value)
    return None


def _told(question: Question, name: str, value: tuple[Any, ...]) -> Question | None:
    """The question with another shape of x, w or g, from a full shape or spatial sizes alone.

    None where spatial sizes have no full shape to go into.
    """
    now = getattr(question, name)
    told = TOLD.get(question.op) == name
    if told and len(value) == question.rank and len(now) != question.rank + 2:
        made = in_full(question.replace(**{name: value}))
        return made if len(getattr(made, name)) == question.rank + 2 else None
    if told and len(value) == question.rank:
        full = list(now)
        for at, size in zip(question.positions.spatial(name), value, strict=True):
            full[at] = size
        value = tuple(full)
    return with_shape(question, name, tuple(plain_size(size) for size in value))


def entries(question: Question, name: str, value: Any, usual: Any) -> tuple[Any, ...]:
    """A keyword's value as one entry for each axis; None stands for `usual`."""
    if value is None:
        value = usual
    if isinstance(value, str | int):
        pad = (value, value) if name == "padding" and isinstance(value, int) else value
        return (pad,) * question.rank
    each = tuple(tuple(v) if isinstance(v, list | tuple) else v for v in value)
    if name == "padding":
        each = tuple((v, v) if isinstance(v, int) else v for v in each)
    if name == "padding_mode":
        each = tuple(v[0] if isinstance(v, tuple) and v[0] == v[-1] else v for v in each)
    return each
