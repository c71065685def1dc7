"""ChainPlan: a whole network before it runs, layer by layer, from shapes alone."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jax.typing import DTypeLike

from jconv._chain.buckets import Buckets, choose_buckets
from jconv._chain.devices import LayerDevices, on_devices, read_mesh_of_chain
from jconv._chain.field import Field
from jconv._chain.file import Lines, is_file, read_file
from jconv._chain.layers import KINDS
from jconv._chain.parts import Feature, Layer, Made, Surroundings, earlier, substituted, wrong
from jconv._chain.picture import chain_picture
from jconv._chain.read import Options, failed_layer, read_input, read_layers, read_options
from jconv._chain.record import ChainRecord, ChainRow
from jconv._chain.repairs import joining_remedies
from jconv._chain.restores import Resizing, find_restores
from jconv._chain.stream import StreamPlan, plan_stream
from jconv._chain.table import chain_table
from jconv._check.settings import read_symbols
from jconv._core import symbols
from jconv._core.errors import ConvError, Remedy
from jconv._core.geometry import Shape, Size, is_static, product, same
from jconv._core.layout import parse_layout
from jconv._core.problem import itemsize
from jconv._plan.plan import Plan


class ChainPlan(ChainRecord):
    """A planned network; a value: hashable and comparable.

    Attributes:
        x_shape, y_shape: of the input and of the last layer.
        rows: one record for each layer.
        restores: for each layer that enlarges, how it restores an earlier layer's size.
        layers: the layers as they were read.
        mesh, x_spec: the mesh axes' sizes, and those that split each dimension of x.
    """

    def __str__(self) -> str:
        return chain_table(self)

    def at(self, **sizes: Size) -> ChainPlan:
        """This chain with some of its symbols given sizes.

        Examples:
            >>> import jconv
            >>> layers = [("conv", {"features": 8, "kernel": 3, "stride": 2})]
            >>> jconv.plan_chain(("b", "h", 3), layers).at(b=1, h=9).y_shape
            (1, 5, 8)
        """
        told = (
            size for layer in self.layers for _, value in layer.settings for size in _flat(value)
        )
        mesh = dict(self.mesh)
        known = symbols.symbols_in([*self.x_shape, *told, *mesh.values()])
        sizes = read_symbols("plan_chain.at", sizes, known)
        return _build(
            symbols.substitute(self.x_shape, sizes),
            tuple(substituted(layer, sizes) for layer in self.layers),
            Options(
                self.dtype,
                self.platform,
                symbols.constrain("plan_chain.at", self.constraints, sizes),
                self.layout,
                tuple((name, symbols.substitute(n, sizes)) for name, n in mesh.items()),
                self.x_spec,
            ),
        )

    def buckets(self, sizes: Any, *, most: int = 4) -> Buckets:
        """The largest sizes to compile this network for, so that little work is padding.

        Args:
            sizes: spatial sizes of every example, (examples, axes); with one axis also
                (examples,). The spatial sizes that the chain was planned for are not used.
            most: the largest number of buckets.

        Returns:
            Buckets(largest, padding): spatial sizes for `ragged.stack(..., largest=)`, the
            cheapest first, and the share of all operations, gradients included, that is padding.
            For up to 128 different sizes of one axis, or nine of several, it is the best choice.

        Raises:
            ConvError: if the sizes do not fit the chain, or it cannot be planned at one of them.

        Examples:
            >>> import jconv
            >>> chain = jconv.plan_chain((1, "t", 1), [("conv", {"features": 8, "kernel": 3})])
            >>> largest, padding = chain.buckets([90, 100, 100, 390, 400], most=2)
            >>> largest, round(padding, 3)
            (((100,), (400,)), 0.018)
        """
        return choose_buckets(sizes, most, len(self.x_shape) - 2, _work(self))

    def stream(self) -> StreamPlan:
        """How this network runs on a stream: states, latency and offsets, layer by layer.

        The first spatial axis is time; chunks come in multiples of `StreamPlan.multiple` rows.

        Raises:
            ConvError: naming the layer that cannot run on a stream.

        Examples:
            >>> import jconv
            >>> layer = ("conv", {"features": 8, "kernel": 5, "stride": 2, "padding": "CAUSAL"})
            >>> stream = jconv.plan_chain((1, "t", 3), [layer]).stream()
            >>> stream.multiple, stream.latency, stream.rows[0].state
            (2, 0, (1, 4, 3))
        """
        return plan_stream(self)

    def to_svg(self) -> str:
        """A picture as SVG: the layers' sizes and channels, and their receptive fields."""
        return chain_picture(self)

    def _repr_html_(self) -> str:
        return f"<div style='max-width: 900px'>{self.to_svg()}</div>"


def plan_chain(
    x_shape: Iterable[Any] | None,
    layers: Sequence[Any] | str | os.PathLike[str],
    *,
    dtype: DTypeLike | None = None,
    platform: str | None = None,
    constraints: Iterable[str] = (),
    layout: str | None = None,
    mesh: Any = None,
    x_spec: Any = None,
) -> ChainPlan:
    """Plan a network from shapes: sizes, receptive field, parameters, cost, layer by layer.

    A layer is a dict with its `kind` and its keys, a pair (kind, keys), or the kind alone::

        conv              features, kernel, stride, padding, dilation, groups (or "depthwise"),
                          padding_mode, input_dilation, bias, precision, preferred_element_type
        conv_transpose    features, kernel, stride, padding, dilation, groups, padding_mode, bias,
                          precision, and one of output_padding, output_shape, like
        max_pool, avg_pool    kernel, stride (the kernel), padding ("VALID"), dilation
        upsample          factor, method ("nearest" or "linear")
        pad               padding; negative ones crop
        concat, add       with: the earlier layer to join; concat also crop=True, which cuts that
                          layer's sizes to this one's around the centre
        global_pool, flatten, dense (features, bias)
        norm, batch_norm, layer_norm, group_norm, instance_norm    scale, bias
        activation, relu, gelu, silu, sigmoid, tanh, softmax, dropout

    Every layer may have a `name`, and an `input`: the earlier layer that it reads in place of the
    one before it; "x" is the network's input. `like="down1"` gives a conv_transpose the spatial
    size that *entered* the layer down1. In receptive fields, a norm counts as reading only the
    cell that it writes.

    Args:
        x_shape: the input's shape, as in `plan`; None for the one in the file.
        layers: the layers, or the path of a TOML file: its keys are these arguments' names, with
            a [[layers]] table for each layer. Arguments given here override the file's.
        dtype: the dtype of all arrays; float32 by default.
        platform: as in `plan`.
        constraints: facts about symbols, such as "h >= 16"; added to the file's.
        layout: "NHWC"- or "NCHW"-style string, for `x_shape` and all layers.
        mesh, x_spec: the devices, and the mesh axis that splits each dimension of x, as in `plan`.
            A convolution's key `w_spec` says which split its filter, which is whole otherwise.
            `ChainPlan.devices` is then what one device holds of each layer and sends in a training
            step, and `ChainPlan.step` the sum of what it sends.

    Returns:
        A ChainPlan: print it, compare it, read its rows.

    Raises:
        ConvError: naming the layer, its key, and what would do; for a file, the line.

    Examples:
        >>> import jconv
        >>> chain = jconv.plan_chain((1, 15, 15, 3), [
        ...     ("conv", {"name": "down", "features": 8, "kernel": 3, "stride": 2}),
        ...     ("conv_transpose", {"name": "up", "features": 3, "kernel": 3, "stride": 2}),
        ... ])
        >>> print(chain.restores[0].text)
        up: output_padding = 0 restores down's input (15, 15); as given, it makes (16, 16)
    """
    lines, facts = None, symbols.read_constraints("plan_chain", constraints)
    if is_file(layers):
        file = read_file(layers)  # type: ignore[arg-type]
        layers, lines = file.layers, file.lines
        x_shape = file.arguments.get("x_shape") if x_shape is None else x_shape
        dtype = file.arguments.get("dtype") if dtype is None else dtype
        platform = file.arguments.get("platform") if platform is None else platform
        layout = file.arguments.get("layout") if layout is None else layout
        mesh = file.arguments.get("mesh") if mesh is None else mesh
        x_spec = file.arguments.get("x_spec") if x_spec is None else x_spec
        facts = (*file.arguments.get("constraints", ()), *facts)
    try:
        x, scope = read_input(x_shape, facts)
        options = read_options(len(x) - 2, dtype, platform, facts, layout)
        parsed = parse_layout(options.layout, len(x) - 2)
        sizes, spec = read_mesh_of_chain(mesh, x_spec, x, parsed, scope)
        options = dataclasses.replace(options, mesh=sizes, x_spec=spec)
    except ConvError as error:
        if lines is not None and error.argument in dict(lines.top):
            why = f"{lines.of_key(error.argument)}: {error.message}"
            error = wrong(error.argument, error.got, error.expected, why)
        raise error from None
    return _build(x, read_layers(layers, scope, lines), options, lines)


def _build(
    x: Shape, layers: tuple[Layer, ...], options: Options, lines: Lines | None = None
) -> ChainPlan:
    before = {"x": Feature("x", x, x, (Field(),) * (len(x) - 2), options.x_spec)}
    around = _around(before, options)
    rows: list[ChainRow] = []
    resized: list[Resizing] = []
    plans: list[tuple[str, Plan]] = []
    devices: list[tuple[str, LayerDevices]] = []
    source = before["x"]
    for index, layer in enumerate(layers):
        try:
            source = earlier(before, "input", layer.get("input", source.name))
            made = _make(layer, source, around)
            read = (source.name, layer.get("with"))
            trained = any(before[name].trained for name in read if name is not None)
            if options.mesh:
                made, held = on_devices(layer, source, made, around, trained=trained)
                devices.append((layer.name, held))
        except ConvError as error:
            if error.argument == "with" and layer.get("with") in before:
                error = joining_remedies(
                    error, layers, index, before, around, lambda changed: _try(x, changed, options)
                )
            raise failed_layer(error, index, layer, lines) from None
        rows.append(_row(layer, source, made, x, around))
        if made.plan is not None:
            plans.append((layer.name, made.plan))
        resized.append(
            Resizing(
                layer.name,
                layer.kind,
                around.spatial(source.shape),
                around.spatial(made.shape),
                made.strides,
                layer.get("like"),
                made.plan,
            )
        )
        trained = trained or not same(made.parameters, 0)
        spec = around.own_order(devices[-1][1].spec) if options.mesh else ()
        source = Feature(layer.name, made.shape, source.shape, made.fields, spec, trained)
        before[layer.name] = source
    chain = ChainPlan(
        x_shape=x,
        y_shape=source.shape,
        rows=tuple(rows),
        restores=(),
        plan_records=tuple(plans),
        layers=layers,
        dtype=options.dtype,
        platform=options.platform,
        constraints=options.constraints,
        layout=options.layout,
        mesh=options.mesh,
        x_spec=options.x_spec,
        device_records=tuple(devices),
    )
    return dataclasses.replace(chain, restores=find_restores(resized, chain.size_names))


def _around(before: dict[str, Feature], options: Options) -> Surroundings:
    """What every layer knows besides its keys; `before` grows with the layers."""
    rank = len(before["x"].shape) - 2
    return Surroundings(
        rank=rank,
        layout=parse_layout(options.layout, rank),
        layout_name=options.layout,
        dtype=options.dtype,
        platform=options.platform,
        constraints=options.constraints,
        before=before,
        mesh=options.mesh,
    )


def _work(chain: ChainPlan) -> Callable[[tuple[int, ...]], Size]:
    """Operations of all legs for one example, as a function of its spatial sizes."""
    rank = len(chain.x_shape) - 2
    parsed = parse_layout(chain.layout, rank)
    channels = parsed.canonical("x", chain.x_shape)[-1]
    options = Options(chain.dtype, chain.platform, (), chain.layout)

    def planned(size: tuple[int, ...]) -> Size:
        return _build(parsed.caller("x", (1, *size, channels)), chain.layers, options).operations

    return planned


def _make(layer: Layer, source: Feature, around: Surroundings) -> Made:
    kind = KINDS[layer.kind]
    if source.flat() and not kind.flat:
        why = f"it needs spatial axes, and the result of {source.name!r} has none"
        raise wrong("input", source.shape, f"a shape of {around.rank + 2} sizes", why)
    made, keys = kind.make(layer, source, around), kind.optional
    sizes = zip(around.spatial(source.shape), around.spatial(made.shape), strict=False)
    if any(is_static(i, o) and i > 0 and o == 0 for i, o in sizes):
        why = f"from {source.shape} it makes the empty {made.shape}"
        same = [Remedy.use("padding", "SAME")] if "padding" in keys else []
        raise wrong("input", source.shape, "an input as large as the kernel", why, same)
    return made


def _row(layer: Layer, source: Feature, made: Made, x: Shape, around: Surroundings) -> ChainRow:
    joined = (layer.get("with"),) if layer.get("with") is not None else ()
    seen = made.fields
    return ChainRow(
        name=layer.name,
        kind=layer.kind,
        detail=made.detail,
        inputs=(source.name, *joined),
        in_shape=source.shape,
        out_shape=made.shape,
        receptive_field=around.spatial(x) if seen is None else tuple(f.size for f in seen),
        step=None if seen is None else tuple(f.step for f in seen),
        parameters=made.parameters,
        forward=made.forward,
        operations=made.forward + made.backward,
        memory=product(made.shape) * itemsize(around.dtype) if made.stored else 0,
    )


def _try(x: Shape, layers: tuple[Layer, ...], options: Options) -> bool:
    """Whether these layers can be planned."""
    try:
        _build(x, layers, options)
    except ConvError:
        return False
    return True


def _flat(value: Any) -> Iterable[Any]:
    if not isinstance(value, tuple):
        return [value] if hasattr(value, "scope") else []
    return [size for entry in value for size in _flat(entry)]
