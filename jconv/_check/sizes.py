"""What the shapes of each operation must satisfy, and the sizes that follow from them.

For every operation one function from the call's shapes to (n, c, f, i, k, o): batch, channels
of a group in and out, and the three ranges of each axis. A check says which two sizes do not
fit and which sizes would; `_diagnosis` adds the remedies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jconv._check import settings
from jconv._check.spec import Spec, told_shape
from jconv._core import geometry
from jconv._core.errors import ConvError, show
from jconv._core.geometry import Shape, Size, is_static, max_size

Sizes = tuple[Size, Size, Size, Shape, Shape, Shape]


def conv_sizes(spec: Spec) -> Sizes:
    (n, *i, channels), (*k, c, f) = spec.slots["x"], spec.slots["w"]
    _require(spec, "w", c * spec.groups, channels, lambda: _channels(spec, "x", channels, c))
    _divisible(spec, f, "output channels")
    return n, c, f // spec.groups, tuple(i), tuple(k), spec.outputs(tuple(i), tuple(k))


def input_grad_sizes(spec: Spec) -> Sizes:
    (n, *o, f_have), (*k, c, f) = spec.slots["y"], spec.slots["w"]
    g = next(iter(spec.call.operation.arrays))
    argument: str = spec.call.operation.result  # type: ignore[assignment]
    _require(spec, g, f_have, f, lambda: _outputs_differ(spec, g, f_have, f))
    _divisible(spec, f, "output channels")
    o, k = tuple(o), tuple(k)
    told_n, *i, told_c = _told_input(spec, argument, o, k)
    i = tuple(i)
    if told_n is not None:
        fail = _told_wrong(spec, argument, "batch size", told_n, n, g)
        _require(spec, argument, told_n, n, fail)
    if told_c is not None:
        fail = _told_wrong(spec, argument, "channels", told_c, c * spec.groups, "w")
        _require(spec, argument, told_c, c * spec.groups, fail)
    if getattr(spec.call, argument) is None and spec.call.output_padding is None:
        return n, c, f // spec.groups, i, k, o  # `_default_size` chooses consistent sizes
    made = spec.outputs(i, k)
    for a in range(spec.rank):
        fail = _inconsistent_input(spec, argument, g, i, o, k, made)
        _require(spec, argument, made[a], o[a], fail)
    return n, c, f // spec.groups, i, k, o


def filter_grad_sizes(spec: Spec) -> Sizes:
    (n, *i, channels), (n_g, *o, f) = spec.slots["x"], spec.slots["y"]
    if spec.call.filter_shape is None:
        raise spec.wrong(
            "filter_shape",
            None,
            "the filter's full shape, or its spatial sizes alone",
            "`filter_shape` must be given: filters of several sizes have such a cotangent.",
        )
    _divisible(spec, channels, "channels of `x`")
    _divisible(spec, f, "channels of `g`")
    c, i, o = channels // spec.groups, tuple(i), tuple(o)
    *k, told_c, told_f = told_shape(spec, "filter_shape", "w")
    k = tuple(k)
    _require(spec, "g", n_g, n, lambda: _batches_differ(spec, n, n_g))
    if told_c is not None:
        fail = _told_wrong(spec, "filter_shape", "input channels", told_c, c, "x")
        _require(spec, "filter_shape", told_c, c, fail)
    if told_f is not None:
        fail = _told_wrong(spec, "filter_shape", "output channels", told_f, f, "g")
        _require(spec, "filter_shape", told_f, f, fail)
    made = spec.outputs(i, k)
    for a in range(spec.rank):
        _require(spec, "g", o[a], made[a], lambda: _inconsistent_filter(spec, i, k, o, made))
    return n, c, f // spec.groups, i, k, o


# The told shape of x ------------------------------------------------------------------------


def _told_input(spec: Spec, argument: str, o: Shape, k: Shape) -> tuple[Size | None, ...]:
    """The shape of x that a backprop or a transposed convolution is to produce."""
    call = spec.call
    told = None
    if getattr(call, argument) is not None:
        told = told_shape(spec, argument, "x")
    elif argument == "input_shape":
        raise spec.wrong(
            argument,
            None,
            f"the full shape, or spatial sizes among {describe(input_sets(spec, o, k))}",
            "`input_shape` must be given: the forward convolution forgets how many rows it left "
            "over, so the size of x does not follow from `g`.",
        )
    if told is not None and call.output_padding is None:
        return told
    sizes = _transposed_sizes(spec, o, k)
    if told is None:
        return (None, *sizes, None)
    if any(geometry.differ(a, b) for a, b in zip(sizes, told[1:-1], strict=True)):
        raise spec.wrong(
            "output_padding",
            call.output_padding,
            f"the value that gives output_shape's spatial sizes {told[1:-1]}, or None",
            f"`output_padding`={show(call.output_padding)} makes the spatial sizes {sizes}, but "
            f"`output_shape` says {told[1:-1]}.",
        )
    return told


def _transposed_sizes(spec: Spec, o: Shape, k: Shape) -> Shape:
    """The spatial sizes that `output_padding` chooses, or the default ones where it is None."""
    value = spec.call.output_padding
    low = spec.smallest(o, k)
    if value is None:
        return tuple(_default_size(spec, a, o, k, low[a]) for a in range(spec.rank))
    extra = read_output_padding(value, spec.rank)
    if extra is not None:
        sizes = tuple(low[a] + extra[a] for a in range(spec.rank))
        if all(not is_static(size) or 0 <= size <= settings.LIMIT for size in sizes):
            made = spec.outputs(sizes, k)
            if not any(geometry.differ(made[a], o[a]) for a in range(spec.rank)):
                return sizes
    sets = input_sets(spec, o, k)
    extras = [
        range(choices.start - first, choices.stop - first) if choices else choices
        for choices, first in zip(sets, low, strict=False)
    ]
    raise spec.wrong(
        "output_padding",
        value,
        f"{describe(extras)}, for the spatial sizes {describe(sets)}",
        f"`output_padding`={show(value)} chooses no size that a forward convolution takes to "
        f"{o}, the spatial size of `x`.",
    )


def read_output_padding(value: Any, rank: int) -> tuple[int, ...] | None:
    """One whole number for each axis, or None."""
    number, entries = settings.as_int(value), settings.entries_of(value)
    if number is not None:
        return (number,) * rank
    extra = [settings.as_int(v) for v in entries] if entries is not None else []
    numbers = tuple(v for v in extra if v is not None)
    return numbers if len(numbers) == len(extra) == rank else None


def _default_size(spec: Spec, a: int, o: Shape, k: Shape, low: Size) -> Size:
    if spec.padding[a] in ("SAME", "SAME_LOWER", "CAUSAL"):
        return spec.s[a] * o[a]
    if not is_static(o[a], k[a], low):
        return max_size(low, 1 if geometry.proved(lambda: o[a] >= 1) else 0)
    sizes = spec.inputs(a, o[a], k[a])
    if not sizes:
        raise spec.wrong(
            "padding",
            spec.call.padding,
            "a padding with which some input gives that many rows",
            f"no input of any size gives the {o[a]} rows of `x` on spatial axis {a} with a filter "
            f"of {k[a]} and these settings: the padding alone makes more rows.",
        )
    return sizes[0]


def input_sets(spec: Spec, o: Shape, k: Shape) -> list[range]:
    """For each axis every size of x that gives o; empty when sizes are symbolic."""
    if not is_static(*o, *k):
        return []
    return [spec.inputs(a, o[a], k[a]) for a in range(spec.rank)]


def describe(sets: Sequence[Sequence[Any]]) -> str:
    """One set for each spatial axis, in words."""
    if not sets:
        return "sizes consistent with the symbols"
    return "(" + ", ".join(describe_one(choices) for choices in sets) + ")"


def describe_one(choices: Sequence[Any]) -> str:
    if not len(choices):
        return "none"
    if len(choices) == 1:
        return str(choices[0])
    if len(choices) <= 4:
        return "{" + ", ".join(map(str, choices)) + "}"
    if choices[-1] >= settings.LIMIT // 2:
        return f"{choices[0]} or more"
    return "{" + f"{choices[0]}, {choices[1]}, ..., {choices[-1]}" + "}"


# The checks -----------------------------------------------------------------------------------


def _require(spec: Spec, argument: str, a: Size, b: Size, fail: Callable[[], ConvError]) -> None:
    """Refuse sizes that are not known to be equal; `fail` makes the error where they differ."""
    if geometry.same(a, b):
        return
    if geometry.differ(a, b) or is_static(a, b):
        raise fail()
    raise spec.wrong(
        argument,
        a,
        b,
        f"`{argument}` leads to a size {a} that is not known to equal {b}; say so with a "
        f"constraint, such as constraints=('{a} == {b}',).",
    )


def _divisible(spec: Spec, channels: Size, what: str) -> None:
    if is_static(channels) and channels % spec.groups:
        raise spec.wrong(
            "groups",
            spec.groups,
            f"a divisor of the {channels} {what}",
            f"`groups`={spec.groups} does not divide the {channels} {what}.",
        )


def _channels(spec: Spec, name: str, have: Size, c: Size) -> ConvError:
    takes = f"{c}" if spec.groups == 1 else f"{c} x groups {spec.groups} = {c * spec.groups}"
    return spec.wrong(
        "w",
        spec.call.shapes["w"],
        f"groups * input channels = {have}, the channels of `{name}`",
        f"`{name}` has {have} channels, but `w`, read as {spec.layout.name('w')}, takes {takes}.",
    )


def _outputs_differ(spec: Spec, name: str, have: Size, f: Size) -> ConvError:
    return spec.wrong(
        name,
        spec.call.shapes[name],
        f"{f} channels",
        f"`{name}` has {have} channels, but `w`, read as {spec.layout.name('w')}, has {f} "
        "output channels.",
    )


def _told_wrong(
    spec: Spec, argument: str, what: str, told: Size, right: Size, by: str
) -> Callable[[], ConvError]:
    return lambda: spec.wrong(
        argument,
        getattr(spec.call, argument),
        f"{right} {what}",
        f"`{argument}` says {told} for its {what}, but `{by}` says {right}.",
    )


def _inconsistent_input(
    spec: Spec, argument: str, g: str, i: Shape, o: Shape, k: Shape, made: Shape
) -> Callable[[], ConvError]:
    named = argument if getattr(spec.call, argument) is not None else "output_padding"
    return lambda: spec.wrong(
        named,
        getattr(spec.call, named),
        f"spatial sizes among {describe(input_sets(spec, o, k))}",
        f"an input of spatial size {i} under a filter of {k} gives {made}, but `{g}` has {o}: no "
        "forward convolution with these arguments takes one to the other.",
    )


def _inconsistent_filter(spec: Spec, i: Shape, k: Shape, o: Shape, made: Shape) -> ConvError:
    return spec.wrong(
        "g",
        spec.call.shapes["g"],
        f"spatial sizes {made}",
        f"an input of spatial size {i} under a filter of {k} gives {made}, but `g` has {o}: no "
        "forward convolution with these arguments makes such a cotangent.",
    )


def _batches_differ(spec: Spec, n: Size, n_g: Size) -> ConvError:
    return spec.wrong(
        "g",
        spec.call.shapes["g"],
        f"a batch of {n}",
        f"`x` has a batch of {n}, but `g` one of {n_g}.",
    )
