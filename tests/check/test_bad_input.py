"""Wrong arguments: each is named, explained, and mended by the first remedy."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jconv
from jconv._diagnosis.diagnose import diagnose

X, W, G = (1, 8, 8, 4), (3, 3, 4, 6), (1, 8, 8, 6)
DEFAULTS: dict[str, dict[str, Any]] = {
    "conv": {"x": X, "w": W},
    "conv_input_grad": {"g": G, "w": W, "input_shape": X},
    "conv_filter_grad": {"x": X, "g": G, "filter_shape": W},
    "conv_transpose": {"x": G, "w": W},
}
ARRAYS = {
    "conv": ("x", "w"),
    "conv_input_grad": ("g", "w"),
    "conv_filter_grad": ("x", "g"),
    "conv_transpose": ("x", "w"),
}


@dataclasses.dataclass(frozen=True)
class Bad:
    name: str
    op: str
    changes: dict[str, Any]
    argument: str
    match: str
    remedy: Any
    dtypes: dict[str, str] = dataclasses.field(default_factory=dict)


def conv(name: str, argument: str, match: str, remedy: Any, **changes: Any) -> Bad:
    return Bad(name, "conv", changes, argument, match, remedy)


def input_grad(name: str, argument: str, match: str, remedy: Any, **changes: Any) -> Bad:
    return Bad(name, "conv_input_grad", changes, argument, match, remedy)


def filter_grad(name: str, argument: str, match: str, remedy: Any, **changes: Any) -> Bad:
    return Bad(name, "conv_filter_grad", changes, argument, match, remedy)


def transpose(name: str, argument: str, match: str, remedy: Any, **changes: Any) -> Bad:
    return Bad(name, "conv_transpose", changes, argument, match, remedy)


HALF = (1, 4, 4, 6)  # the cotangent at stride 2
BAD = (
    # the filter
    conv("w_channels", "w", "`x` has 4 channels", (3, 3, 4, 6), w=(3, 3, 5, 6)),
    conv("w_oihw", "w", "looks like OIHW", (3, 3, 4, 6), w=(6, 4, 3, 3)),
    conv("w_io_swapped", "w", "looks like HWOI", (3, 3, 4, 6), w=(3, 3, 6, 4)),
    conv("w_ohwi", "w", "looks like OHWI", (3, 3, 4, 7), w=(7, 3, 3, 4)),
    conv("w_depthwise", "w", "depthwise", (3, 3, 1, 8), w=(3, 3, 4, 2), groups=4),
    conv("w_hwio_in_nchw", "w", "looks like HWIO", (6, 4, 3, 3), x=(1, 4, 8, 8), layout="NCHW"),
    conv("w_without_outputs", "w", "`w` has 3 dimensions", (3, 3, 4, 1), x=(2, 8, 8, 4),
         w=(3, 3, 4)),
    conv("x_rank_5", "x", "`x` has 5 dimensions", (2, 8, 8, 4), x=(1, 2, 8, 8, 4)),
    # the input
    conv("x_channels_first", "x", "looks like NCHW", (1, 8, 8, 4), x=(1, 4, 8, 8)),
    conv("x_channels_last", "x", "looks like NHWC", (1, 4, 8, 8), w=(6, 4, 3, 3), layout="NCHW"),
    conv("x_no_batch", "x", "batch axis is missing", (1, 8, 8, 4), x=(8, 8, 4)),
    conv("x_image_only", "x", "`x` has 2 dimensions", (1, 8, 8, 1), x=(8, 8), w=(3, 3, 1, 6)),
    conv("x_1d_no_batch", "x", "batch axis is missing", (1, 8, 4), x=(8, 4), w=(3, 4, 6)),
    conv("x_not_divisible", "x", "takes 2 x groups 2 = 4", (1, 8, 8, 4), x=(1, 8, 8, 5),
         w=(3, 3, 2, 6), groups=2),
    # the whole call in another layout
    conv("layout_torch", "layout", "read as NCHW", "NCHW", x=(8, 3, 32, 32), w=(16, 3, 5, 5)),
    conv("layout_lower", "layout", "'nhwc'", None, layout="nhwc"),
    conv("layout_keras", "layout", "channels_last", None, layout="channels_last"),
    conv("layout_rank", "layout", "names 3 dimensions", None, layout="NWC"),
    conv("layout_number", "layout", "must be a string", None, layout=3),
    conv("layout_triple", "layout", "different spatial axes", ("NHWC", "HWIO", "NHWC"),
         layout=("NHWC", "HWIO", "NXYC")),
    # groups
    conv("groups_left_out", "groups", "left out", 4, w=(3, 3, 1, 8)),
    conv("groups_wrong", "groups", "takes 2 x groups 4", 2, w=(3, 3, 2, 8), groups=4),
    conv("groups_zero", "groups", "1 or more", 1, groups=0),
    conv("groups_none", "groups", "whole number", None, groups=None),
    conv("groups_float", "groups", "2.0", 2, w=(3, 3, 2, 6), groups=2.0),
    # strides and dilations
    conv("stride_zero", "stride", "1 or more on every axis", 1, stride=0),
    conv("stride_negative", "stride", "1 or more", 2, stride=-2),
    conv("stride_float", "stride", "whole number", 2, stride=2.0),
    conv("stride_text", "stride", "whole number", 2, stride="2"),
    conv("stride_none", "stride", "whole number", None, stride=None),
    conv("stride_four_nhwc", "stride", "4 entries", (2, 2), stride=(1, 2, 2, 1)),
    conv("stride_four_nchw", "stride", "4 entries", (2, 2), stride=(1, 1, 2, 2)),
    conv("padding_all_dims_nchw", "padding", "4 entries", (1, 0), x=(1, 4, 8, 8), w=(6, 4, 3, 3),
         layout="NCHW", padding=((0, 0), (0, 0), (1, 1), (0, 0))),
    conv("padding_huge", "padding", "rows on spatial axis 0", None, padding=2**31 - 1),
    conv("dilation_huge", "dilation", "spreads 3 rows", None, dilation=2**31 - 1),
    conv("dilation_too_large", "dilation", "is too large", None, dilation=(2**31, 1)),
    conv("input_dilation_huge", "input_dilation", "spreads 8 rows", None,
         input_dilation=2**31 - 1),
    conv("stride_three", "stride", "3 entries", (2, 2), stride=(2, 2, 2)),
    conv("stride_one_entry", "stride", "1 entries|1 entry", 2, stride=(2,)),
    conv("stride_one_axis", "stride", "1 or more", (2, 1), stride=(2, 0)),
    conv("dilation_zero", "dilation", "`dilation` must be 1", 1, dilation=0),
    conv("dilation_nested", "dilation", "whole number", (2, 2), dilation=[[2, 2]]),
    conv("input_dilation_zero", "input_dilation", "`input_dilation`", 1, input_dilation=0),
    # padding
    conv("padding_typo", "padding", "no rule named 'SMAE'", "SAME", padding="SMAE"),
    conv("padding_synonym", "padding", "no rule named", "SAME", padding="same_upper"),
    conv("padding_float", "padding", "it is 1.0", 1, padding=1.0),
    conv("padding_none", "padding", "it is None", None, padding=None),
    conv("padding_all_dims", "padding", "4 entries", (1, 1),
         padding=((0, 0), (1, 1), (1, 1), (0, 0))),
    conv("padding_all_dims_first", "padding", "4 entries", (1, 1),
         padding=((0, 0), (0, 0), (1, 1), (1, 1))),
    conv("padding_flat", "padding", "4 entries", ((1, 2), (1, 2)), padding=(1, 2, 1, 2)),
    conv("padding_short", "padding", "1 entry", (1, 1), padding=((1, 1),)),
    conv("padding_1d_pair", "padding", "2 entries", ((1, 2),), x=(1, 8, 4), w=(3, 4, 6),
         padding=(1, 2)),
    conv("padding_triple", "padding", "neither an int nor", (1, 1), padding=((1, 1, 1), (1, 1))),
    conv("padding_reflect_too_far", "padding", "cannot be copied", 7, padding=9,
         padding_mode="reflect"),
    conv("mode_typo", "padding_mode", "no choice 'reflct'", "reflect", padding_mode="reflct"),
    conv("mode_torch", "padding_mode", "no choice 'replicate'", "edge", padding_mode="replicate"),
    conv("mode_and_dilation", "padding_mode", "input_dilation", "zeros", padding_mode="edge",
         input_dilation=2),
    conv("precision", "precision", "no choice 'hi'", None, precision="hi"),
    # dtypes
    Bad("w_bfloat16", "conv", {}, "w", "dtype of `x`", "float32", {"w": "bfloat16"}),
    Bad("x_bfloat16", "conv", {}, "x", "dtype of `w`", "float32", {"x": "bfloat16"}),
    Bad("x_int", "conv", {}, "x", "dtype of `w`", "float32", {"x": "int32"}),
    Bad("w_bool", "conv", {}, "w", "must hold numbers", "float32", {"w": "bool"}),
    Bad("g_int", "conv_input_grad", {}, "g", "floating-point numbers", "float32", {"g": "int32"}),
    Bad("g_bool", "conv_filter_grad", {}, "g", "must hold numbers", "float32", {"g": "bool"}),
    Bad("g_narrow", "conv_filter_grad", {}, "g", "dtype of `x`", "float32", {"g": "bfloat16"}),
    conv("preferred_narrow", "preferred_element_type", "no narrower", None,
         preferred_element_type="bfloat16"),
    conv("preferred_unknown", "preferred_element_type", "it is 'float33'", None,
         preferred_element_type="float33"),
    Bad("g_float_for_integers", "conv_filter_grad", {}, "x", "dtype of `g`", "float32",
        {"x": "int8"}),
    # the input backprop
    input_grad("size_not_consistent", "input_shape", "no forward convolution", (1, 8, 8, 4),
               g=HALF, input_shape=(1, 9, 8, 4), stride=2),
    input_grad("g_of_inputs_size", "g", "spatial size of the input", HALF, stride=2),
    input_grad("input_batch", "input_shape", "batch size", X, input_shape=(2, 8, 8, 4)),
    input_grad("input_channels", "input_shape", "channels", X, input_shape=(1, 8, 8, 3)),
    input_grad("input_no_batch", "input_shape", "3 entries", X, input_shape=(8, 8, 4)),
    input_grad("input_channels_first", "input_shape", "looks like NCHW", X,
               input_shape=(1, 4, 8, 8)),
    input_grad("input_missing", "input_shape", "must be given", (8, 8), input_shape=None),
    input_grad("input_negative", "input_shape", "0 or more", (8, 8), input_shape=(-8, 8)),
    input_grad("input_float", "input_shape", "whole number", (8, 8), input_shape=(8.0, 8)),
    input_grad("input_int", "input_shape", "sequence of sizes", (8, 8), input_shape=8),
    input_grad("g_channels_first", "g", "looks like NCHW", (1, 8, 7, 6), g=(1, 6, 8, 7),
               input_shape=(8, 7)),
    input_grad("g_channels", "g", "output channels", G, g=(1, 8, 8, 5)),
    input_grad("g_no_batch", "g", "batch axis is missing", G, g=(8, 8, 6)),
    input_grad("stride_forgotten", "stride", "gives", 2, g=(1, 4, 5, 6),
               input_shape=(1, 8, 10, 4)),
    input_grad("stride_zero_told", "stride", "1 or more", 2, g=HALF, stride=0),
    input_grad("padding_typo_told", "padding", "no rule", "VALID", g=(1, 6, 6, 6), padding="SAM"),
    # the filter backprop
    filter_grad("g_size", "g", "no forward convolution", HALF, g=(1, 5, 4, 6), stride=2),
    filter_grad("g_batch", "g", "batch of 1", G, g=(2, 8, 8, 6)),
    filter_grad("filter_inputs", "filter_shape", "input channels", W, filter_shape=(3, 3, 5, 6)),
    filter_grad("filter_outputs", "filter_shape", "output channels", W,
                filter_shape=(3, 3, 4, 5)),
    filter_grad("filter_oihw", "filter_shape", "looks like OIHW", W, filter_shape=(6, 4, 3, 3)),
    filter_grad("filter_missing", "filter_shape", "must be given", (3, 3), filter_shape=None),
    filter_grad("filter_huge", "filter_shape", "at most 2147483647", (3, 6),
                filter_shape=(10**15, 6)),
    filter_grad("filter_array", "filter_shape", "sequence of sizes", W,
                filter_shape=jnp.zeros(W)),
    filter_grad("groups_not_dividing", "groups", "does not divide", 2, filter_shape=(3, 3),
                groups=3),
    # the transposed convolution
    transpose("output_padding_large", "output_padding", r"chooses no size", 1, stride=2,
              padding=1, output_padding=2),
    transpose("output_padding_negative", "output_padding", "chooses no size", 0, stride=2,
              padding=1, output_padding=-1),
    transpose("output_padding_text", "output_padding", "chooses no size", 1, stride=2,
              padding=1, output_padding="1"),
    transpose("output_shape_wrong", "output_shape", "no forward convolution", (16, 16), stride=2,
              padding=1, output_shape=(18, 18)),
    transpose("output_both", "output_padding", "but `output_shape` says", 1, stride=2, padding=1,
              output_padding=0, output_shape=(16, 16)),
    transpose("w_in_lax_order", "w", "looks like HWOI", (3, 3, 4, 6), w=(3, 3, 6, 4)),
    transpose("too_much_padding", "padding", "no input of any size", 1, x=(1, 1, 1, 6),
              padding=5),
)  # fmt: skip


def run(bad: Bad, changed: dict[str, Any]) -> Any:
    """Call the public operation, arrays made of their shapes."""
    keywords = {**DEFAULTS[bad.op], **bad.changes}
    dtypes = dict(bad.dtypes)
    for argument, value in changed.items():
        if argument in ARRAYS[bad.op] and not isinstance(value, tuple):
            dtypes[argument] = value
        elif value is None:
            del keywords[argument]
        else:
            keywords[argument] = value
    arrays = [jnp.zeros(keywords.pop(name), dtypes.get(name, "float32")) for name in ARRAYS[bad.op]]
    return getattr(jconv, bad.op)(*arrays, **keywords)


def test_the_table_has_no_name_twice():
    names = [(bad.op, bad.name) for bad in BAD]
    assert len(names) == len(set(names)) >= 60


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.op}-{bad.name}")
def test_named_explained_and_mended(bad: Bad):
    with pytest.raises(jconv.ConvError) as caught:
        run(bad, {})
    error = caught.value
    assert error.argument == bad.argument, str(error)
    caught.match(r"(?s)" + bad.match.replace(" ", r"\s+"))
    assert error.remedies, str(error)
    assert error.remedies[0].value == bad.remedy, str(error)
    for remedy in error.remedies:
        run(bad, {remedy.argument: remedy.value})


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.op}-{bad.name}")
def test_a_message_has_all_parts_and_fits_100_columns(bad: Bad):
    with pytest.raises(jconv.ConvError) as caught:
        run(bad, {})
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{bad.op}: ")
    for part in ("  argument: ", "  got:      ", "  expected: ", "  remedy:   "):
        assert any(line.startswith(part) for line in lines), str(caught.value)
    assert all(len(line) <= 100 for line in lines), str(caught.value)


def test_the_consistent_set_is_said_whole():
    with pytest.raises(jconv.ConvError, match=r"\(1, \{7, 8\}, \{7, 8\}, 4\)"):
        jconv.conv_input_grad(jnp.zeros(HALF), jnp.zeros(W), input_shape=(1, 9, 8, 4), stride=2)
    with pytest.raises(jconv.ConvError, match=r"\(\{0, 1\}, \{0, 1\}\)"):
        jconv.conv_transpose(jnp.zeros(HALF), jnp.zeros(W), stride=2, padding=1, output_padding=5)


def test_two_faults_are_said_to_be_two():
    with pytest.raises(jconv.ConvError, match="Two changes") as caught:
        jconv.conv(jnp.zeros(X), jnp.zeros((3, 3, 5, 6)), stride=0)
    assert caught.value.argument == "stride"
    assert caught.value.together  # neither of the two is enough, both are
    stride, w = caught.value.remedies
    assert (stride.argument, w.argument) == ("stride", "w")
    jconv.conv(jnp.zeros(X), jnp.zeros(w.value), stride=stride.value)


GARBAGE = (
    None, {}, {0: 1}, set(), float("nan"), float("inf"), 10**30, -(10**30), "", "?", "2", (), [],
    (1,), (1, 2), (1, 2, 2, 1), ((1,), (1,)), ((None, None), 1), [None, None], ["a", "b"],
    jnp.array(2), jnp.array([2, 2]), jnp.zeros(X), True, False, b"SAME", 1 + 2j, object(), int,
    range(2), range(10**12), iter([1]), "S" * 1000, (10**30, 1), (-1, -1), -3, 0, 1.5, slice(1),
)  # fmt: skip


@pytest.mark.parametrize("op", DEFAULTS)
def test_garbage_is_a_conv_error_or_works(op: str):
    names = ["stride", "padding", "dilation", "groups", "layout", "padding_mode", "precision"]
    names += ["output_padding", "output_shape"] if op == "conv_transpose" else ["input_dilation"]
    names += [name for name in DEFAULTS[op] if name.endswith("_shape")]
    for name in names:
        for value in GARBAGE:
            with contextlib.suppress(jconv.ConvError):
                run(Bad("", op, {name: value}, "", "", None), {})


def test_diagnose_says_when_nothing_is_wrong():
    found = diagnose(x_shape=(1, 256, 255, 3), w_shape=(5, 5, 3, 8))
    assert found.ok
    assert found.argument is None
    assert "keeps the spatial size (256, 255)" in found.text
    halved = diagnose(x_shape=(1, 9, 9, 3), w_shape=(3, 3, 3, 8), stride=2)
    assert "ceil(size / stride)" in halved.text
    told = diagnose(op="conv_input_grad", g_shape=HALF, w_shape=W, input_shape=(8, 7), stride=2)
    assert "does not grow" in told.text


def test_diagnose_finds_what_the_error_says():
    found = diagnose(x_shape=(1, 4, 8, 8), w_shape=W)
    assert (found.ok, found.argument, found.remedies[0].value) == (False, "x", X)
    assert diagnose(x_shape=X).argument == "w_shape"
    for name in ("preferred_element_type", "precision", "padding_mode"):
        assert diagnose(x_shape=X, w_shape=W, **{name: "foo"}).argument == name
    assert diagnose(x_shape=X, w_shape=W, preferred_element_type=jnp.float32).ok
    assert diagnose(x_shape=X, w_shape=W, op="con").argument == "op"
    with pytest.raises(TypeError, match="strides"):
        diagnose(x_shape=X, w_shape=W, strides=2)


def test_symbolic_sizes_pass_and_are_explained():
    b, h = export.symbolic_shape("b, h")
    assert diagnose(x_shape=(b, h, h + 1, 4), w_shape=W, stride=2).ok
    found = diagnose(x_shape=(b, h, h, 5), w_shape=W)
    assert found.argument == "w"
    assert "(b, h, h, 4)" in found.text
    first = diagnose(x_shape=(b, 4, h, h), w_shape=W)
    assert (first.argument, first.remedies[0].value) == ("x", (b, h, h, 4))


PADDINGS = (1, "SAME", "SAME_LOWER", "CAUSAL", [(2, -1)], [(-2, -2)])
ROWS = {"reflect": (2, 3, 3, 5, 3, 4), "circular": (1, 2, 2, 4, 2, 4), "edge": (1, 1, 1, 1, 1, 4)}


@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("mode", ROWS)
@pytest.mark.parametrize("stride", [1, 2])
def test_borders_of_symbolic_sizes_name_the_constraint_that_is_missing(mode, padding, stride):
    settings = {"padding": padding, "padding_mode": mode, "stride": stride}

    def trace(*facts):
        (h,) = export.symbolic_shape("h", constraints=facts)
        x = jax.ShapeDtypeStruct((1, h, 1), jnp.float32)
        w = jax.ShapeDtypeStruct((5, 1, 1), jnp.float32)
        jax.eval_shape(jax.grad(lambda x, w: jconv.conv(x, w, **settings).sum(), (0, 1)), x, w)

    def plan(*facts):
        jconv.plan((1, "h", 1), (5, 1, 1), constraints=facts, **settings)

    needed = ROWS[mode][PADDINGS.index(padding)]
    for run in (trace, plan):
        if needed > 1:
            with pytest.raises(jconv.ConvError, match=r"not\s+known\s+to\s+be\s+as") as caught:
                run()
            assert caught.value.argument == "constraints"
            assert caught.value.remedies[0].value == (f"h >= {needed}",)
        run(f"h >= {needed}")


def test_arrays_that_hold_no_numbers_are_named():
    keys = jax.random.split(jax.random.key(0), X)
    with pytest.raises(jconv.ConvError, match="`x` must hold numbers"):
        jconv.conv(keys, jnp.zeros(W))
    with pytest.raises(jconv.ConvError, match="`w` must be an array") as caught:
        jconv.conv(jnp.zeros(X), jax.ShapeDtypeStruct(W, jnp.float32))
    assert caught.value.argument == "w"


@pytest.mark.parametrize("rank", [22, 23, 50])
def test_many_dimensions(rank):
    x, w = np.ones((1,) * rank, np.float32), np.ones((1,) * rank, np.float32)
    if rank <= 24:
        assert jconv.conv(x, w).shape == x.shape
        with pytest.raises(jconv.ConvError) as caught:
            jconv.conv(x, w[..., None])
        assert caught.value.argument in ("x", "w")
    else:
        with pytest.raises(jconv.ConvError, match="22 spatial axes at most"):
            jconv.conv(x, w)
