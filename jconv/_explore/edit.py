"""A call after one field of the page was changed: for every field a function that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jconv._core import geometry
from jconv._core.errors import ConvError
from jconv._core.layout import LayoutError, parse_layout, spatial_names
from jconv._explore.limits import MAX_AXES, RefusedError
from jconv._explore.question import (
    DTYPES,
    OPERATIONS,
    PLATFORMS,
    RULES,
    Question,
    Size,
    read_layout,
    read_mode,
    read_number,
    read_shape,
    read_size,
)
from jconv._explore.whole import (
    numbers_of,
    plain_size,
    resized,
    resolved,
    settings_of_rank,
    size_at,
    transposed_size,
    with_shape,
)


def edit(question: Question, change: Mapping[str, Any]) -> Question:
    """The question with one field changed, and the fields that depend on it.

    Args:
        question: the call before the change.
        change: `field`, `value` (text), and `axis` for a field that each axis has.

    Raises:
        RefusedError: where the value cannot be read, or no call has such a value.
    """
    field, value = str(change.get("field")), str(change.get("value", ""))
    if field in _WHOLE:
        return _WHOLE[field](question, value.strip())
    axis = change.get("axis")
    if field not in _EACH:
        raise RefusedError("There is no field of this name.")
    if not isinstance(axis, int) or not 0 <= axis < question.rank:
        raise RefusedError(f"There is no axis {axis!s:.20} in this call.")
    return _EACH[field](question, axis, value.strip())


# --- fields of the whole call -------------------------------------------------------------


def _set_op(question: Question, value: str) -> Question:
    """Another operation on the x, w and g of this call, as far as their shapes are known.

    The x of a transposed convolution is the g of the other operations, and the reverse.
    """
    if value not in OPERATIONS:
        raise RefusedError("There is no operation of this name.")
    before, after = question.x, question.g
    try:
        if question.op == "conv":
            after = resolved(question).out_shape
        elif question.op == "conv_transpose":
            before, after = resolved(question).out_shape, question.x
    except ConvError:
        after = question.x if question.op == "conv" else after
    before, after = (tuple(plain_size(size) for size in shape) for shape in (before, after))
    plain = question.replace(op=value, output_padding=None, output_shape=None)
    if value != "conv_transpose":
        return plain.replace(x=before, g=after)
    turned = plain.replace(x=after, g=before, input_dilation=(1,) * question.rank)
    wanted = [before[at] for at in question.positions.spatial("x")] if _fits(question) else []
    try:
        made = resolved(turned)
        if [made.out_shape[at] for at in made.layout.spatial("x")] == wanted or not wanted:
            return turned
    except ConvError:
        pass
    told = turned.replace(output_shape=tuple(wanted))
    extra = _extra(told)
    return told if extra is None else turned.replace(output_padding=extra)


def _fits(question: Question) -> bool:
    return all(len(shape) == question.rank + 2 for shape in (question.x, question.w))


def _extra(question: Question) -> tuple[int, ...] | None:
    """The output_padding with which a transposed convolution makes the question's output_shape.

    None where sizes are symbols.
    """
    found = []
    for axis in range(question.rank):
        wanted = question.output_shape[axis] if question.output_shape else None
        o, k = size_at(question, "x", axis), size_at(question, "w", axis)
        if not (isinstance(wanted, int) and isinstance(o, int) and isinstance(k, int)):
            return None
        s, d = question.stride[axis], question.dilation[axis]
        found.append(wanted - geometry.smallest_size(o, k, question.padding[axis], s=s, d=d))
    return tuple(found)


def _set_rank(question: Question, value: str) -> Question:
    rank = read_number("spatial axes", value)
    if not 1 <= rank <= MAX_AXES:
        raise RefusedError(f"This page shows 1 to {MAX_AXES} spatial axes.")
    first = str(question.layout or "").startswith("NC")
    shapes = {name: _canonical(question, name) for name in "xwg"}
    question = settings_of_rank(question, rank)
    for name, shape in shapes.items():
        ends = (0, 2) if name == "w" else (1, 1)
        spatial = resized(shape[ends[0] : len(shape) - ends[1]] or (8,), rank)
        shape = (*shape[: ends[0]], *spatial, *shape[len(shape) - ends[1] :])
        slot = "y" if name == "g" else name
        layout = f"NC{spatial_names(rank)}" if first else None
        shapes[name] = parse_layout(layout, rank).caller(slot, shape)
    return question.replace(**shapes, layout=f"NC{spatial_names(rank)}" if first else None)


def _canonical(question: Question, name: str) -> tuple[Size, ...]:
    """A shape in the library's own order (channels last).

    One that does not fit the layout is left in its order; one too short for it is an example.
    """
    shape = getattr(question, name)
    if len(shape) != question.rank + 2:
        return shape if len(shape) > 2 else (1, 8, 8)
    return question.positions.canonical("y" if name == "g" else name, shape)


def _set_layout(question: Question, value: str) -> Question:
    """The same arrays in another order of dimensions."""
    wanted = read_layout("layout", value)
    try:
        triple = tuple(wanted.split(",")) if "," in wanted else wanted
        layout = parse_layout(triple, question.rank)
    except LayoutError as error:
        raise RefusedError(f"The layout {error}.") from None
    shapes = {}
    for name in "xwg":
        shape, slot = getattr(question, name), "y" if name == "g" else name
        if len(shape) == question.rank + 2:
            shapes[name] = layout.caller(slot, question.positions.canonical(slot, shape))
    usual = f"N{spatial_names(question.rank)}C"
    return question.replace(**shapes, layout=None if wanted == usual else wanted)


def _set_channels(question: Question, value: str) -> Question:
    """The channels of the operation's first array; of the filter too if they fitted before."""
    size = read_size("channels", value)
    if question.op in ("conv_transpose", "conv_input_grad"):
        array = "x" if question.op == "conv_transpose" else "g"
        along = channels_of(question, "w", -1) == channels_of(question, array, -1)
        question = _with_channels(question, array, -1, size)
        return _with_channels(question, "w", -1, size) if along else question
    along = _per_group(channels_of(question, "x", -1), question.groups)
    fitted = along is not None and along == channels_of(question, "w", -2)
    question = _with_channels(question, "x", -1, size)
    each = _per_group(size, question.groups)
    return _with_channels(question, "w", -2, each) if fitted and each is not None else question


def _set_features(question: Question, value: str) -> Question:
    """The channels of the result."""
    size = read_size("features", value)
    if question.op == "conv_transpose":
        each = _per_group(size, question.groups)
        if each is None:
            raise RefusedError(f"{size} channels do not make {question.groups} equal groups.")
        return _with_channels(question, "w", -2, each)
    if question.op == "conv_input_grad":
        each = _per_group(size, question.groups)
        question = _with_channels(question, "x", -1, size)
        return question if each is None else _with_channels(question, "w", -2, each)
    question = _with_channels(question, "w", -1, size)
    return _with_channels(question, "g", -1, size)


def _set_groups(question: Question, value: str) -> Question:
    """The groups; the filter's input channels per group follow where the groups divide them."""
    groups = read_number("groups", value)
    whole = channels_of(question, "w", -2)
    if isinstance(whole, int) and whole * question.groups >= 1 and groups >= 1:
        each = _per_group(whole * question.groups, groups)
        if each is not None:
            question = _with_channels(question, "w", -2, each)
    return question.replace(groups=groups)


def _per_group(channels: Any, groups: int) -> Size | None:
    if groups == 1:
        return channels
    fits = isinstance(channels, int) and groups > 0 and channels % groups == 0
    return channels // groups if fits else None


def channels_of(question: Question, name: str, place: int) -> Size | None:
    """The entry at a place of a shape in the library's own order: -1 or -2 are channels."""
    shape = getattr(question, name)
    return _canonical(question, name)[place] if len(shape) == question.rank + 2 else None


def features_of(question: Question) -> Size | None:
    """The channels of the operation's result; those of g for a filter backprop."""
    if question.op == "conv_input_grad":
        return channels_of(question, "x", -1)
    if question.op != "conv_transpose":
        return channels_of(question, "w", -1)
    each = channels_of(question, "w", -2)
    if question.groups == 1:
        return each
    return each * question.groups if isinstance(each, int) else None


def _with_channels(question: Question, name: str, place: int, size: Size) -> Question:
    shape, slot = getattr(question, name), "y" if name == "g" else name
    if len(shape) != question.rank + 2:
        return question
    ordered = list(question.positions.canonical(slot, shape))
    ordered[place] = size
    return question.replace(**{name: question.positions.caller(slot, ordered)})


def _set_batch(question: Question, value: str) -> Question:
    size = read_size("batch", value)
    return _with_channels(_with_channels(question, "x", 0, size), "g", 0, size)


def _set_named(name: str, choices: tuple[str, ...]) -> Callable[[Question, str], Question]:
    def change(question: Question, value: str) -> Question:
        if value not in choices:
            raise RefusedError(f"`{name}` is one of {', '.join(filter(None, choices))}.")
        return question.replace(**{name: value or None})

    return change


def _set_shape(name: str) -> Callable[[Question, str], Question]:
    return lambda question, value: with_shape(question, name, read_shape(name, value))


_WHOLE: dict[Any, Callable[[Question, str], Question]] = {
    "op": _set_op,
    "rank": _set_rank,
    "layout": _set_layout,
    "batch": _set_batch,
    "channels": _set_channels,
    "features": _set_features,
    "groups": _set_groups,
    "dtype": _set_named("dtype", DTYPES),
    "platform": _set_named("platform", ("", *PLATFORMS)),
    "x": _set_shape("x"),
    "w": _set_shape("w"),
    "g": _set_shape("g"),
}


# --- fields that each axis has ------------------------------------------------------------


def _set_size(name: str) -> Callable[[Question, int, str], Question]:
    def change(question: Question, axis: int, value: str) -> Question:
        shape = list(getattr(question, name))
        if len(shape) != question.rank + 2:
            raise RefusedError(f"The shape of {name} has no place for this axis: edit it as text.")
        slot = "y" if name == "g" else name
        at = question.positions.spatial(slot)[axis]
        shape[at] = read_size("size" if name != "w" else "kernel", value)
        return question.replace(**{name: tuple(shape)})

    return change


def _set_output(question: Question, axis: int, value: str) -> Question:
    """The call that makes `value` rows on an axis, by another size of its input.

    Raises:
        RefusedError: where no input gives that many rows.
    """
    wanted = read_number("output", value)
    k, s, d = size_at(question, "w", axis), question.stride[axis], question.dilation[axis]
    rule = question.padding[axis]
    if not isinstance(k, int) or min(s, d, question.input_dilation[axis]) < 1:
        raise RefusedError("An output can be asked for where the kernel is known.")
    if question.op == "conv_transpose":
        o = geometry.resolve_axis(wanted, k, rule, s=s, b=1, d=d)[0]
        question = _set_size("x")(question, axis, str(o))
        sizes = _output_sizes_now(question)
        sizes[axis] = wanted
        told = question.replace(output_shape=tuple(sizes), output_padding=None)
        extra = _extra(told)
        return told if extra is None else told.replace(output_shape=None, output_padding=extra)
    sizes = geometry.input_sizes(wanted, k, rule, s=s, b=question.input_dilation[axis], d=d)
    if not sizes:
        raise RefusedError(
            f"No size of x gives {wanted} rows with kernel {k}, stride {s} and padding {rule}."
        )
    now = size_at(question, "x", axis)
    # The smallest size leaves no row unread. Under SAME, s*o rows are what users mean by o rows.
    usual = sizes[-1] if rule in ("SAME", "SAME_LOWER", "CAUSAL") else sizes[0]
    return _set_size("x")(question, axis, str(now if now in sizes else usual))


def _output_sizes_now(question: Question) -> list[Size]:
    """The rows that a transposed convolution makes on each axis, or would make."""
    try:
        made = resolved(question)
        return [plain_size(made.out_shape[at]) for at in made.layout.spatial("x")]
    except ConvError:
        return [transposed_size(question, axis) or 1 for axis in range(question.rank)]


def _set_number(name: str) -> Callable[[Question, int, str], Question]:
    def change(question: Question, axis: int, value: str) -> Question:
        return _with_entry(question, name, axis, read_number(name.replace("_", " "), value))

    return change


def _with_entry(question: Question, name: str, axis: int, value: Any) -> Question:
    values = list(getattr(question, name))
    values[axis] = value
    return question.replace(**{name: tuple(values)})


def _set_padding(question: Question, axis: int, value: str) -> Question:
    if value == "numbers":
        return _with_entry(question, "padding", axis, numbers_of(question, axis))
    if value not in RULES:
        raise RefusedError(f"`padding` is {', '.join(RULES)}, or numbers.")
    return _with_entry(question, "padding", axis, value)


def _set_pad(side: int) -> Callable[[Question, int, str], Question]:
    def change(question: Question, axis: int, value: str) -> Question:
        pads = list(numbers_of(question, axis))
        pads[side] = read_number("padding", value)
        return _with_entry(question, "padding", axis, tuple(pads))

    return change


def _set_mode(question: Question, axis: int, value: str) -> Question:
    return _with_entry(question, "padding_mode", axis, read_mode("padding_mode", value))


def _set_output_padding(question: Question, axis: int, value: str) -> Question:
    if not value:
        return question.replace(output_padding=None, output_shape=None)
    now = question.output_padding
    if now is None:
        sizes = tuple(_output_sizes_now(question))
        now = _extra(question.replace(output_shape=sizes)) or (0,) * question.rank
    question = question.replace(output_padding=now, output_shape=None)
    return _with_entry(question, "output_padding", axis, read_number("output padding", value))


_EACH: dict[Any, Callable[[Question, int, str], Question]] = {
    "x_size": _set_size("x"),
    "g_size": _set_size("g"),
    "output": _set_output,
    "kernel": _set_size("w"),
    "stride": _set_number("stride"),
    "dilation": _set_number("dilation"),
    "input_dilation": _set_number("input_dilation"),
    "padding": _set_padding,
    "low": _set_pad(0),
    "high": _set_pad(1),
    "padding_mode": _set_mode,
    "output_padding": _set_output_padding,
}

FIELDS = (*_WHOLE, *_EACH)
