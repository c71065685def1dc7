"""The kinds of layers in a chain: for each kind its keys, and a function that plans the layer."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from jconv._chain.field import (
    Reads,
    conv_reads,
    linear_reads,
    nearest_reads,
    shift_reads,
    transpose_reads,
)
from jconv._chain.names import alike
from jconv._chain.parts import (
    Feature,
    Kind,
    Layer,
    Made,
    Surroundings,
    carried,
    earlier,
    joined,
    per_axis,
    readable,
    require_equal,
    stride_text,
    times,
    unequal,
    wrong,
)
from jconv._check import settings
from jconv._check.call import Call
from jconv._check.operations import OPERATIONS
from jconv._check.sizes import describe
from jconv._core.errors import Remedy, show
from jconv._core.geometry import (
    Shape,
    Size,
    input_sizes,
    is_static,
    max_size,
    product,
    proved,
    resolve_axis,
)
from jconv._diagnosis.diagnose import resolve_or_explain
from jconv._plan.plan import Plan, plan, plan_transpose

# Convolutions ---------------------------------------------------------------------------------


def _keys(op: str) -> tuple[str, ...]:
    """An operation's keywords without `layout`, which a chain has once for all its layers."""
    return tuple(name for name in OPERATIONS[op].keywords if name != "layout")


_PASSED = {*_keys("conv"), *_keys("conv_transpose")} - {"output_shape"}


def _conv(layer: Layer, source: Feature, around: Surroundings) -> Made:
    channels = around.canonical(source.shape)[-1]
    features = layer.get("features")
    if features is None:
        if not _depthwise(layer):
            raise wrong("features", None, "a number of channels", "it needs `features`")
        features = channels
    kernel = per_axis(layer, "kernel", around.rank)
    groups = _groups(layer, channels, features)
    w_shape = around.layout.caller("w", (*kernel, _share(channels, groups), features))
    made = plan(source.shape, w_shape, **_keywords(layer, around, groups))
    return _convolved(layer, source, made, conv_reads, features)


def _conv_transpose(layer: Layer, source: Feature, around: Surroundings) -> Made:
    channels = around.canonical(source.shape)[-1]
    features = layer.get("features")
    kernel = per_axis(layer, "kernel", around.rank)
    groups = _groups(layer, channels, features)
    # Groups count on the convolution that this layer transposes: from `features` to x's channels.
    w_shape = around.layout.caller("w", (*kernel, _share(features, groups), channels))
    keywords = _keywords(layer, around, groups)
    like, told, shape = layer.get("like"), layer.get("output_shape"), source.shape
    if like is not None:
        if told is not None or layer.get("output_padding") is not None:
            raise wrong(
                "like",
                like,
                "`like` alone, or `output_shape` and `output_padding` without it",
                "`like` gives the output's size, so `output_shape` and `output_padding` cannot be "
                "given as well",
                [Remedy("output_padding", None, "leave output_shape and output_padding out")],
            )
        shape, told = _entered(layer, like, source.shape, w_shape, keywords, around)
    if told is not None:
        keywords["output_shape"] = told
    made = plan_transpose(shape, w_shape, **keywords)
    return _convolved(layer, source, made, transpose_reads, features)


def _entered(
    layer: Layer,
    like: str,
    shape: Shape,
    w_shape: Shape,
    keywords: dict[str, Any],
    around: Surroundings,
) -> tuple[Shape, Shape]:
    """The size that entered the layer `like`, if this layer can make it from `shape`.

    With it comes `shape` as the transposed convolution's forward formula writes it: symbolic sizes
    can be equal and still be written in different ways.
    """
    told = around.spatial(earlier(around.before, "like", like).entered)
    n, *o, channels = around.canonical(shape)
    smallest = plan_transpose(shape, w_shape, **keywords)
    pads = settings.read_padding(layer.kind, layer.get("padding", "SAME"), around.rank)
    axes = smallest.problem.axes
    sets: list[Any] = [()] * around.rank
    if is_static(*o):
        sets = [
            input_sizes(o[a], axis.k, pads[a], s=axis.s, b=1, d=axis.d)
            for a, axis in enumerate(axes)
        ]
    if len(told) == around.rank:
        made = [
            resolve_axis(size, axis.k, pads[a], s=axis.s, b=1, d=axis.d)[0]
            for a, (size, axis) in enumerate(zip(told, axes, strict=True))
        ]
        if all(map(alike, made, o)):
            return around.caller((n, *made, channels)), told

    def fits(name: str) -> bool:
        sizes = around.spatial(around.before[name].entered)
        return len(sizes) == around.rank and all(map(operator.contains, sets, sizes))

    close = [name for name in reversed(list(around.before)) if name != "x" and fits(name)]
    can = describe(sets) if is_static(*o) else readable(around.spatial(smallest.y_shape))
    raise wrong(
        "like",
        like,
        f"a layer whose input has spatial sizes among {can}",
        f"{readable(told)} entered {like!r}, but from {readable(o)} this layer can make {can}"
        + ("" if is_static(*o) else "; the first is not known to be possible for every size"),
        [Remedy.use("like", name) for name in close[:2]],
    )


def _convolved(
    layer: Layer, source: Feature, made: Plan, reads: Callable[..., Reads], features: Size
) -> Made:
    axes = made.problem.axes
    legs = made.legs
    own = "conv" if made.op == "conv" else "input_grad"
    strides = tuple(axis.s for axis in axes)
    detail = f"{times([axis.k for axis in axes])}{stride_text(strides)}"
    if made.problem.groups != 1:
        detail += " dw" if layer.get("groups") == "depthwise" else f" g{made.problem.groups}"
    return Made(
        shape=made.y_shape,
        fields=carried(source, [reads(axis) for axis in axes]),
        parameters=made.parameters + (features if layer.get("bias") else 0),
        forward=legs[own].flops,
        backward=sum(leg.flops for name, leg in legs.items() if name != own),
        strides=strides,
        detail=detail,
        plan=made,
    )


def _keywords(layer: Layer, around: Surroundings, groups: int) -> dict[str, Any]:
    given = {key: value for key, value in layer.settings if key in _PASSED}
    shared = {name: getattr(around, name) for name in ("dtype", "platform", "constraints")}
    return {**given, **shared, "groups": groups, "layout": around.layout_name}


def _depthwise(layer: Layer) -> bool:
    groups = layer.get("groups")
    return isinstance(groups, str) and groups == "depthwise"


def _groups(layer: Layer, channels: Size, features: Size) -> int:
    given = layer.get("groups", 1)
    if _depthwise(layer):
        if not is_static(channels):
            raise wrong(
                "groups", given, "a number", f"its input's channels, {channels}, are a symbol"
            )
        given = channels
    groups = settings.read_groups(layer.kind, given)
    sizes = [size for size in (channels, features) if is_static(size)]
    if any(size % groups for size in sizes):
        common = math.gcd(*sizes)
        fits = [n for n in range(1, common + 1) if common % n == 0]
        best = min(fits, key=lambda n: abs(n - groups))
        raise wrong(
            "groups",
            layer.get("groups"),
            f"a divisor of both channel counts: {', '.join(map(str, fits))}",
            f"`groups` = {groups} does not divide its {channels} input channels and its {features} "
            "output channels",
            [Remedy.use("groups", best)],
        )
    return groups


def _share(channels: Size, groups: int) -> Size:
    return channels if groups == 1 else channels // groups


# Layers without a filter ----------------------------------------------------------------------


def _pool(layer: Layer, source: Feature, around: Surroundings) -> Made:
    n, *sizes, channels = around.canonical(source.shape)
    kernel = per_axis(layer, "kernel", around.rank)
    call = Call(
        OPERATIONS["conv"],
        {"x": (1, *sizes, 1), "w": (*kernel, 1, 1)},
        {"x": "float32", "w": "float32"},
        stride=layer.get("stride", kernel),
        padding=layer.get("padding", "VALID"),
        dilation=layer.get("dilation", 1),
    )
    axes = resolve_or_explain(call).problem.axes
    shape = around.caller((n, *(axis.o for axis in axes), channels))
    work = product(shape) * product(kernel)
    strides = tuple(axis.s for axis in axes)
    return Made(
        shape=shape,
        fields=carried(source, [conv_reads(axis) for axis in axes]),
        forward=work,
        backward=work,
        strides=strides,
        detail=f"{times(kernel)}{stride_text(strides)}",
    )


def _global_pool(layer: Layer, source: Feature, around: Surroundings) -> Made:
    n, *_, channels = around.canonical(source.shape)
    work = product(source.shape)
    return Made(shape=(n, channels), fields=None, forward=work, backward=work)


def _upsample(layer: Layer, source: Feature, around: Surroundings) -> Made:
    n, *sizes, channels = around.canonical(source.shape)
    factors = per_axis(layer, "factor", around.rank)
    method = settings.read_choice(
        "upsample", "method", layer.get("method", "nearest"), ("nearest", "linear")
    )
    shape = around.caller((n, *(i * f for i, f in zip(sizes, factors, strict=True)), channels))
    work = product(shape) * 2 ** (around.rank + 1) if method == "linear" else 0
    reads = linear_reads if method == "linear" else nearest_reads
    return Made(
        shape=shape,
        fields=carried(source, [reads(factor) for factor in factors]),
        forward=work,
        backward=work,
        strides=factors,
        detail=f"x{times(factors)}",
    )


def _pad(layer: Layer, source: Feature, around: Surroundings) -> Made:
    n, *sizes, channels = around.canonical(source.shape)
    given = layer.get("padding")
    pairs = None if isinstance(given, str) else settings.read_padding("pad", given, around.rank)
    if pairs is None:
        raise wrong(
            "padding",
            given,
            "an int, or a (low, high) pair for each axis",
            f"`padding` cannot be {show(given)}",
        )
    grown = tuple(max_size(i + sum(pair), 0) for i, pair in zip(sizes, pairs, strict=True))  # type: ignore[arg-type]
    fields = carried(source, [shift_reads(-pair[0]) for pair in pairs])  # type: ignore[operator]
    return Made(shape=around.caller((n, *grown, channels)), fields=fields)


def _concat(layer: Layer, source: Feature, around: Surroundings) -> Made:
    n, *sizes, channels = around.canonical(source.shape)
    other = earlier(around.before, "with", layer.get("with"))
    m, *others, more = around.canonical(other.shape)
    fields = other.fields
    if layer.get("crop"):
        starts = []
        for a, (have, size) in enumerate(zip(sizes, others, strict=True)):
            if proved(lambda have=have, size=size: size < have):
                raise unequal(source, other, sizes, others, f"`crop` cannot enlarge axis {a}")
            starts.append((size - have) // 2)
        fields = carried(other, [shift_reads(start) for start in starts])
    else:
        require_equal(source, other, sizes, others)
    require_equal(source, other, [n], [m])
    return Made(
        shape=around.caller((n, *sizes, channels + more)),
        fields=joined(source.fields, fields),
        detail=f"with {other.name}" + (", cropped" if layer.get("crop") else ""),
    )


def _add(layer: Layer, source: Feature, around: Surroundings) -> Made:
    other = earlier(around.before, "with", layer.get("with"))
    require_equal(source, other, around.spatial(source.shape), around.spatial(other.shape))
    require_equal(source, other, source.shape, other.shape)
    work = product(source.shape)
    return Made(
        shape=source.shape,
        fields=joined(source.fields, other.fields),
        forward=work,
        detail=f"with {other.name}",
    )


def _flatten(layer: Layer, source: Feature, around: Surroundings) -> Made:
    n, *rest = source.shape if source.flat() else around.canonical(source.shape)
    return Made(shape=(n, product(rest)), fields=None, stored=False)


def _dense(layer: Layer, source: Feature, around: Surroundings) -> Made:
    if not source.flat():
        raise wrong(
            "input",
            source.shape,
            "a shape (batch, channels)",
            "a dense layer takes no spatial axes: put a global_pool or a flatten before it",
        )
    (n, channels), features = source.shape, layer.get("features")
    work = 2 * n * channels * features
    weights = channels * features + (features if layer.get("bias", True) else 0)
    return Made((n, features), None, parameters=weights, forward=work, backward=2 * work)


def _pointwise(layer: Layer, source: Feature, around: Surroundings) -> Made:
    return Made(source.shape, source.fields, stored=False)


def _norm(layer: Layer, source: Feature, around: Surroundings) -> Made:
    channels = source.shape[-1] if source.flat() else around.canonical(source.shape)[-1]
    each = bool(layer.get("scale", True)) + bool(layer.get("bias", True))
    return Made(source.shape, source.fields, parameters=channels * each, stored=False)


_POOLED = ("stride", "padding", "dilation")
_ACTIVATIONS = ("activation", "relu", "gelu", "silu", "sigmoid", "tanh", "softmax", "dropout")
_NORMS = ("norm", "batch_norm", "layer_norm", "group_norm", "instance_norm")
_REGISTRY = (
    Kind(
        "conv",
        ("kernel",),
        ("features", *_keys("conv"), "bias", "w_spec"),
        _conv,
    ),
    Kind(
        "conv_transpose",
        ("features", "kernel"),
        (*_keys("conv_transpose"), "like", "bias", "w_spec"),
        _conv_transpose,
    ),
    Kind("max_pool", ("kernel",), _POOLED, _pool),
    Kind("avg_pool", ("kernel",), _POOLED, _pool),
    Kind("global_pool", (), (), _global_pool),
    Kind("upsample", ("factor",), ("method",), _upsample),
    Kind("pad", ("padding",), (), _pad),
    Kind("concat", ("with",), ("crop",), _concat),
    Kind("add", ("with",), (), _add, flat=True),
    Kind("flatten", (), (), _flatten, flat=True),
    Kind("dense", ("features",), ("bias",), _dense, flat=True),
    *(Kind(name, (), ("rate",), _pointwise, flat=True) for name in _ACTIVATIONS),
    *(Kind(name, (), ("scale", "bias", "groups"), _norm, flat=True) for name in _NORMS),
)
KINDS = {kind.name: kind for kind in _REGISTRY}
SHARED_KEYS = ("name", "input")
