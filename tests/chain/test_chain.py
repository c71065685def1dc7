"""Whole networks before they run: shapes, receptive fields, what restores a size, and errors."""

import json
import math
import re
import textwrap
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jconv
from jconv import plan_chain
from jconv._chain.names import pretty

UNET = [
    ("conv", {"name": "enc1", "features": 32, "kernel": 3}),
    "relu",
    ("max_pool", {"name": "down1", "kernel": 2}),
    ("conv", {"name": "enc2", "features": 64, "kernel": 3}),
    "relu",
    ("max_pool", {"name": "down2", "kernel": 2}),
    ("conv", {"name": "mid", "features": 128, "kernel": 3}),
    {"kind": "conv_transpose", "name": "up2", "features": 64, "kernel": 2, "stride": 2}
    | {"padding": "VALID", "like": "down2"},
    {"kind": "concat", "name": "cat2", "with": "enc2"},
    ("conv", {"name": "dec2", "features": 64, "kernel": 3}),
    {"kind": "conv_transpose", "name": "up1", "features": 32, "kernel": 2, "stride": 2}
    | {"padding": "VALID", "like": "down1"},
    {"kind": "concat", "name": "cat1", "with": "enc1"},
    ("conv", {"name": "dec1", "features": 32, "kernel": 3}),
    ("conv", {"name": "out", "features": 2, "kernel": 1, "bias": True}),
]
CODER = [
    ("conv", {"name": "down1", "features": 8, "kernel": 3, "stride": 2}),
    "relu",
    ("conv", {"name": "down2", "features": 16, "kernel": 3, "stride": 2}),
    ("conv_transpose", {"name": "up2", "features": 8, "kernel": 3, "stride": 2, "like": "down2"}),
    ("conv_transpose", {"name": "up1", "features": 3, "kernel": 3, "stride": 2}),
]


def golden(text):
    return textwrap.dedent(text).strip("\n")


def test_an_encoder_and_decoder_read_as_a_table():
    assert str(plan_chain((8, 29, 30, 3), CODER, platform="cpu")) == golden("""
chain  x (8, 29, 30, 3)  ->  y (8, 30, 30, 3)
float32 on cpu

layer  kind                   output          field  step  parameters  operations  all legs  memory
---------------------------------------------------------------------------------------------------
down1  conv 3x3 /2            (8, 15, 15, 8)      3     2         216       778 k     2.3 M  57.6 k
relu1  relu                   (8, 15, 15, 8)      3     2                       0         0       0
down2  conv 3x3 /2            (8, 8, 8, 16)       7     4       1.2 k       1.2 M     3.5 M  32.8 k
up2    conv_transpose 3x3 /2  (8, 15, 15, 8)     11     2       1.2 k       1.2 M     3.5 M  57.6 k
up1    conv_transpose 3x3 /2  (8, 30, 30, 3)     11     1         216       778 k     2.3 M  86.4 k

parameters: 2.7 k
operations: 3.9 MFLOP
operations of all three legs: 11.7 MFLOP
memory of all results: 234 kB

up2: output_padding = 0 restores down2's input (15, 15)
up1: output_padding = (0, 1) restores down1's input (29, 30); as given, it makes (30, 30)
""")


def test_symbolic_sizes_get_names():
    assert str(plan_chain(("b", "h", "w", 3), CODER, platform="cpu")) == golden("""
chain  x (b, h, w, 3)  ->  y (b, 2*h1, 2*w1, 3)
float32 on cpu

layer  kind                   output              field  step  parameters
-------------------------------------------------------------------------
down1  conv 3x3 /2            (b, h1, w1, 8)          3     2         216
relu1  relu                   (b, h1, w1, 8)          3     2
down2  conv 3x3 /2            (b, h2, w2, 16)         7     4       1.2 k
up2    conv_transpose 3x3 /2  (b, h1, w1, 8)         11     2       1.2 k
up1    conv_transpose 3x3 /2  (b, 2*h1, 2*w1, 3)     11     1         216

layer    operations      all legs      memory
---------------------------------------------
down1   432*b*h1*w1  1.3k*b*h1*w1  32*b*h1*w1
relu1             0             0           0
down2  2.3k*b*h2*w2  6.9k*b*h2*w2  64*b*h2*w2
up2    2.3k*b*h2*w2  6.9k*b*h2*w2  32*b*h1*w1
up1     432*b*h1*w1  1.3k*b*h1*w1  48*b*h1*w1

parameters: 2.7 k
operations: 4608*b*h2*w2 + 864*b*h1*w1 FLOP
operations of all three legs: 13824*b*h2*w2 + 2592*b*h1*w1 FLOP
memory of all results: 64*b*h2*w2 + 112*b*h1*w1 B

h1 = ceil(h/2), w1 = ceil(w/2), h2 = ceil(h1/2), w2 = ceil(w1/2)

up2: output_padding = (mod(h1 - 1, 2), mod(w1 - 1, 2)) restores down2's input (h1, w1)
up1: output_padding = (mod(h - 1, 2), mod(w - 1, 2)) restores down1's input (h, w); as given, it
    makes (2*h1, 2*w1)
""")


def test_a_unet_of_odd_sizes_reads_as_a_table():
    assert str(plan_chain((8, 253, 255, 3), UNET, platform="cpu")) == golden("""
chain  x (8, 253, 255, 3)  ->  y (8, 253, 255, 2)
float32 on cpu

layer  kind                   output              field  parameters  operations  all legs  memory
-------------------------------------------------------------------------------------------------
enc1   conv 3x3               (8, 253, 255, 32)       3         864       892 M     2.7 G  66.1 M
relu1  relu                   (8, 253, 255, 32)       3                       0         0       0
down1  max_pool 2x2 /2        (8, 126, 127, 32)       4                  16.4 M    32.8 M  16.4 M
enc2   conv 3x3               (8, 126, 127, 64)       8      18.4 k       4.7 G    14.2 G  32.8 M
relu2  relu                   (8, 126, 127, 64)       8                       0         0       0
down2  max_pool 2x2 /2        (8, 63, 63, 64)        10                   8.1 M    16.3 M   8.1 M
mid    conv 3x3               (8, 63, 63, 128)       18      73.7 k       4.7 G    14.0 G  16.3 M
up2    conv_transpose 2x2 /2  (8, 126, 127, 64)      18      32.8 k       2.1 G     6.2 G  32.8 M
cat2   concat with enc2       (8, 126, 127, 128)     18                       0         0  65.5 M
dec2   conv 3x3               (8, 126, 127, 64)      22      73.7 k      18.9 G    56.6 G  32.8 M
up1    conv_transpose 2x2 /2  (8, 253, 255, 32)      22       8.2 k       2.1 G     6.3 G  66.1 M
cat1   concat with enc1       (8, 253, 255, 64)      22                       0         0   132 M
dec1   conv 3x3               (8, 253, 255, 32)      26      18.4 k      19.0 G    57.1 G  66.1 M
out    conv 1x1               (8, 253, 255, 2)       26          66      66.1 M     198 M   4.1 M

parameters: 226 k
operations: 52.5 GFLOP
operations of all three legs: 157 GFLOP
memory of all results: 539 MB

up2: output_padding = (0, 1) restores down2's input (126, 127)
up1: output_padding = 1 restores down1's input (253, 255)
""")


@pytest.mark.parametrize("layers", [UNET, CODER], ids=["unet", "coder"])
@pytest.mark.parametrize("x_shape", [("b", "h", "w", 3), ("b", "4*h", "3*w*h + 1", 3)])
def test_tables_fit_a_hundred_columns(layers, x_shape):
    assert max(map(len, str(plan_chain(x_shape, layers)).splitlines())) <= 100


# ResNet-50 ------------------------------------------------------------------------------------


def resnet50():
    yield ("conv", {"features": 64, "kernel": 7, "stride": 2, "padding": 3})
    yield ("max_pool", {"name": "stage0", "kernel": 3, "stride": 2, "padding": 1})
    before = "stage0"
    for stage, (blocks, features) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], 1):
        for block in range(blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            name = f"stage{stage}_{block}"
            yield ("conv", {"features": features, "kernel": 1, "input": before})
            yield "relu"
            yield ("conv", {"features": features, "kernel": 3, "stride": stride, "padding": 1})
            yield ("conv", {"name": f"{name}_main", "features": 4 * features, "kernel": 1})
            shortcut = before
            if block == 0:
                shortcut = f"{name}_short"
                yield {"kind": "conv", "name": shortcut, "features": 4 * features, "kernel": 1} | {
                    "stride": stride,
                    "input": before,
                }
            yield {"kind": "add", "name": name, "input": f"{name}_main", "with": shortcut}
            before = name
    yield "global_pool"


def test_resnet_50():
    chain = plan_chain((1, 224, 224, 3), list(resnet50()))
    assert chain.y_shape == (1, 2048)
    # Each block's 1x1, 3x3 and 1x1 on c channels, and the first one's shortcut.
    expected = 7 * 7 * 3 * 64
    channels = 64
    for blocks, c in [(3, 64), (4, 128), (6, 256), (3, 512)]:
        expected += channels * 4 * c
        for _ in range(blocks):
            expected += channels * c + 9 * c * c + c * 4 * c
            channels = 4 * c
    assert chain.parameters == expected == 23_454_912
    assert len(chain.plans) == 53
    products = sum(plan.problem.multiplications for plan in chain.plans.values())
    assert products == pytest.approx(4.09e9, rel=0.01)  # "4.1 billion multiply-adds"
    last = chain.rows[-2]
    assert (last.out_shape, last.step) == ((1, 7, 7, 2048), (32, 32))
    assert last.receptive_field == (427, 427)
    assert chain.receptive_field == (224, 224)
    assert max(map(len, str(chain).splitlines())) <= 100


def test_resnet_50_of_any_size():
    # The shortcut's SAME and the block's padding of 1 say the same size in two ways.
    chain = plan_chain(("b", "h", "w", 3), list(resnet50()))
    assert chain.y_shape[1] == 2048
    assert chain.at(b=1, h=224, w=224) == plan_chain((1, 224, 224, 3), list(resnet50()))
    assert max(map(len, str(chain).splitlines())) <= 100
    assert list(chain.size_names.legend)[::2] == ["h1", "h2", "h3", "h4", "h5"]
    assert chain.size_names.legend["h5"] == "ceil(h4/2)"


@pytest.mark.parametrize("s", [2, 3, 4])
@pytest.mark.parametrize("shift", range(-5, 6))
def test_sizes_as_a_reader_writes_them(s, shift):
    (n,) = export.symbolic_shape("n")
    forms = [(n + shift) // s, -(-(n + shift) // s), 2 - (n + shift) // s, -(-n // s) // s]
    for form in forms:
        text = pretty(form)
        known = {"floor": math.floor, "ceil": math.ceil}
        for value in range(1, 40):
            got = eval(text, known, {"n": Fraction(value)})
            assert got == jconv._core.symbols.substitute(form, {"n": value})
    # floor((a - 1)/s) + 1 and ceil(a/s) are one size, and are written in one way.
    assert pretty((n + shift - 1) // s + 1) == pretty(-(-(n + shift) // s))


def test_a_transposed_layer_finds_a_size_that_is_written_in_another_way():
    down = {"name": "down", "features": 4, "kernel": 3, "stride": 2, "padding": 1}
    back = {"name": "up", "features": 4, "kernel": 4, "stride": 2, "like": "down"}
    chain = plan_chain((1, "n", 4), [("conv", down), ("conv_transpose", back)])
    assert str(chain.y_shape) == "(1, n, 4)"
    assert chain.at(n=7) == plan_chain((1, 7, 4), [("conv", down), ("conv_transpose", back)])
    assert chain.restores[0].text == "up: output_padding = mod(n - 1, 2) restores down's input (n,)"


def test_the_first_unet_takes_572_to_388():
    layers, features = [], 64
    for level in range(1, 5):
        layers += [("conv", {"features": features, "kernel": 3, "padding": "VALID"})] * 2
        layers[-1] = ("conv", {**layers[-1][1], "name": f"enc{level}"})
        layers += [("max_pool", {"kernel": 2})]
        features *= 2
    layers += [("conv", {"features": features, "kernel": 3, "padding": "VALID"})] * 2
    for level in range(4, 0, -1):
        features //= 2
        up = {"features": features, "kernel": 2, "stride": 2, "padding": "VALID"}
        layers += [("conv_transpose", up), ("concat", {"with": f"enc{level}", "crop": True})]
        layers += [("conv", {"features": features, "kernel": 3, "padding": "VALID"})] * 2
    chain = plan_chain((1, 572, 572, 1), [*layers, ("conv", {"features": 2, "kernel": 1})])
    assert chain.y_shape == (1, 388, 388, 2)
    assert [row.out_shape[1] for row in chain.rows if row.kind == "concat"] == [56, 104, 200, 392]
    text = "no output_padding restores max_pool4's input (64, 64): from (28, 28) it can make"
    assert text in chain.restores[0].text


# Receptive fields -----------------------------------------------------------------------------

ROWS = 96


def run(layers, x):
    """The chain on one axis with ones for filters: what depends on what."""
    made, before = {"x": x}, "x"
    entered = {}
    for n, (kind, keys) in enumerate(layers):
        keys = dict(keys)
        name = keys.pop("name", f"layer{n}")
        value = made[keys.pop("input", before)]
        entered[name] = value.shape
        if kind in ("conv", "conv_transpose", "max_pool"):
            keys.pop("features", None)
            w = jnp.ones((keys.pop("kernel"), 1, 1))
            if kind == "max_pool":
                keys = {"stride": w.shape[0], "padding": "VALID", **keys}
            if "like" in keys:
                keys["output_shape"] = entered[keys.pop("like")]
            result = (jconv.conv_transpose if kind == "conv_transpose" else jconv.conv)(
                value, w, **keys
            )
        elif kind == "upsample" and keys.get("method") == "linear":
            size = value.shape[1] * keys["factor"]
            result = jax.image.resize(value, (1, size, 1), "linear")
        elif kind == "upsample":
            result = jnp.repeat(value, keys["factor"], axis=1)
        elif kind == "pad":
            result = jax.lax.pad(value, 0.0, [(0, 0, 0), (*keys["padding"][0], 0), (0, 0, 0)])
        else:
            other = made[keys["with"]]
            start = (other.shape[1] - value.shape[1]) // 2
            result = value + other[:, start : start + value.shape[1]]
        made[name], before = result, name
    return made[before]


def conv(kernel, **keys):
    return ("conv", {"features": 1, "kernel": kernel, **keys})


def up(kernel, **keys):
    return ("conv_transpose", {"features": 1, "kernel": kernel, **keys})


FIELDS = {
    "stride-1": [conv(3), conv(5)],
    "strided": [conv(3, stride=2), conv(4, stride=3), conv(3)],
    "dilated": [conv(3, dilation=2), conv(3, stride=2, dilation=3)],
    "input-dilated": [conv(5, stride=2), conv(4, input_dilation=3, stride=2, padding=2), conv(2)],
    "pooled": [conv(3), ("max_pool", {"kernel": 3, "stride": 2}), conv(3)],
    "transposed": [conv(3, stride=2), up(3, stride=2), conv(3)],
    "transposed-wide": [conv(3, stride=2), up(7, stride=2, padding=2), conv(2)],
    "transposed-holes": [conv(3, stride=4), up(2, stride=4, padding="VALID"), conv(2)],
    "transposed-dilated": [up(3, stride=2, dilation=3, padding="VALID"), conv(2)],
    "up-and-down": [up(3, stride=2), conv(3, stride=3), up(4, stride=3), conv(5, stride=2)],
    "nearest": [conv(3, stride=2), ("upsample", {"factor": 2}), conv(3), conv(2, stride=2)],
    "linear": [conv(3, stride=2), ("upsample", {"factor": 3, "method": "linear"}), conv(2)],
    "linear-even": [("upsample", {"factor": 2, "method": "linear"}), conv(3, stride=3)],
    "skip": [
        conv(9, name="a"),
        conv(2, stride=2, name="down"),
        up(2, stride=2, like="down"),
        ("concat", {"with": "a"}),
        conv(3),
    ],
    "one-sided": [
        conv(5, padding="CAUSAL", name="a"),
        conv(5, padding=[(0, 4)], input="x"),
        ("add", {"with": "a"}),
    ],
    "cropped": [
        conv(1, name="a"),
        conv(5, padding="VALID"),
        ("concat", {"with": "a", "crop": True}),
    ],
    "moved": [("pad", {"padding": [(-3, 3)]}), conv(2), ("add", {"with": "x"})],
}


@pytest.mark.parametrize("name", FIELDS)
def test_receptive_fields_against_dependency(name):
    layers = FIELDS[name]
    chain = plan_chain((1, ROWS, 1), layers)
    x = jnp.zeros((1, ROWS, 1))
    y = run(layers, x)
    assert y.shape[1] == chain.y_shape[1]
    depends = np.asarray(jax.jacrev(lambda x: run(layers, x)[0, :, 0])(x))[:, 0, :, 0] != 0
    cells = [np.flatnonzero(rows) for rows in depends]
    inner = [c for c in cells if len(c) and c[0] > 0 and c[-1] < ROWS - 1]
    assert chain.receptive_field == (max(c[-1] - c[0] + 1 for c in inner),)
    firsts = [c[0] for c in inner]
    assert abs((firsts[-1] - firsts[0]) / (len(firsts) - 1) - chain.rows[-1].step[0]) < 0.25 or (
        "holes" in name
    )


def test_convolutions_follow_the_familiar_rule():
    layers = [conv(7, stride=2), conv(3, stride=2, dilation=2), conv(3), conv(5, stride=3)]
    chain = plan_chain((1, "n", 1), layers)
    field, step = 1, 1
    for row, (_, keys) in zip(chain.rows, layers, strict=True):
        field += keys.get("dilation", 1) * (keys["kernel"] - 1) * step
        step *= keys.get("stride", 1)
        assert (row.receptive_field, row.step) == ((field,), (step,))


def test_steps_below_one():
    chain = plan_chain((1, 9, 1), [("upsample", {"factor": 2})])
    assert chain.rows[0].step == (Fraction(1, 2),)
    assert chain.rows[0].to_dict()["step"] == ["1/2"]


# Restoring a size -----------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID", "CAUSAL", 1, [(2, 0)]])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (4, 2), (3, 3), (5, 3), (2, 4)])
def test_the_output_padding_restores_the_size_when_run(kernel, stride, padding):
    keys = {"features": 1, "kernel": kernel, "stride": stride, "padding": padding}
    layers = [("conv", {**keys, "name": "down"}), ("conv_transpose", {**keys, "name": "up"})]
    symbolic = None
    if padding not in (1,) and kernel >= stride:
        symbolic = plan_chain((1, "n", 1), layers, constraints=["n >= 8"]).restores[0]
    w = jnp.ones((kernel, 1, 1))
    settings = {"stride": stride, "padding": padding}
    for size in range(8, 8 + 2 * stride):
        (restore,) = plan_chain((1, size, 1), layers).restores
        assert (restore.layer, restore.like) == ("up", "down")
        (extra,) = restore.output_padding
        y = jconv.conv(jnp.ones((1, size, 1)), w, **settings)
        back = jconv.conv_transpose(y, w, output_padding=extra, **settings)
        assert back.shape[1] == size
        plain = jconv.conv_transpose(y, w, **settings)
        assert restore.restored == (plain.shape[1] == size)
        if symbolic is not None:
            found = jconv._core.symbols.substitute(symbolic.output_padding[0], {"n": size})
            assert found == extra


def test_symbolic_output_padding_in_words():
    chain = plan_chain(("b", "h", 3), CODER)
    assert [restore.text for restore in chain.restores] == [
        "up2: output_padding = mod(h1 - 1, 2) restores down2's input (h1,)",
        "up1: output_padding = mod(h - 1, 2) restores down1's input (h,); "
        "as given, it makes (2*h1,)",
    ]
    assert chain.size_names.legend == {"h1": "ceil(h/2)", "h2": "ceil(h1/2)"}


def test_layers_are_matched_from_the_deepest():
    layers = [
        ("conv", {"name": "a", "features": 4, "kernel": 3, "stride": 2}),
        ("conv", {"name": "b", "features": 4, "kernel": 3, "stride": 2}),
        ("max_pool", {"name": "c", "kernel": 4}),
        ("upsample", {"name": "up_c1", "factor": 2}),
        ("upsample", {"name": "up_c", "factor": 2}),
        ("conv_transpose", {"name": "up_ab", "features": 4, "kernel": 4, "stride": 4}),
    ]
    chain = plan_chain((1, 65, 1), layers)
    pairs = [(restore.layer, restore.like) for restore in chain.restores]
    assert pairs == [("up_c", "c"), ("up_ab", "a")]
    assert chain.restores[0].output_padding is None


# As a value -----------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [UNET, CODER], ids=["unet", "coder"])
def test_specialised_equals_planned_with_numbers(layers):
    symbolic = plan_chain(("b", "h", "w", 3), layers)
    numbers = plan_chain((2, 37, 42, 3), layers)
    assert symbolic.at(b=2, h=37, w=42) == numbers
    assert symbolic.at(b=2).at(w=42).at(h=37) == numbers
    assert hash(symbolic.at(b=2, h=37, w=42)) == hash(numbers)
    assert symbolic == plan_chain(("b", "h", "w", 3), layers)
    assert symbolic != numbers
    assert [r.receptive_field for r in symbolic.rows] == [r.receptive_field for r in numbers.rows]
    with pytest.raises(jconv.ConvError, match="symbol named `q`"):
        symbolic.at(q=1)


def test_symbolic_features():
    layers = [("conv", {"features": "c", "kernel": 3}), ("conv", {"features": "2*c", "kernel": 1})]
    chain = plan_chain((1, "n", 3), layers)
    assert chain.at(n=8, c=5) == plan_chain(
        (1, 8, 3),
        [
            ("conv", {"features": 5, "kernel": 3}),
            ("conv", {"features": 10, "kernel": 1}),
        ],
    )


def test_channels_first_and_depthwise():
    layers = [
        ("conv", {"kernel": 3, "groups": "depthwise"}),
        ("conv", {"features": 32, "kernel": 1}),
        ("flatten", {}),
        ("dense", {"features": 10}),
    ]
    chain = plan_chain((2, 16, 8, 9), layers, layout="NCHW", dtype="bfloat16")
    assert [row.out_shape for row in chain.rows[:2]] == [(2, 16, 8, 9), (2, 32, 8, 9)]
    assert [row.parameters for row in chain.rows] == [144, 512, 0, 32 * 72 * 10 + 10]
    assert chain.rows[0].memory == 2 * 16 * 8 * 9 * 2


def test_to_dict_is_json_and_planning_allocates_nothing():
    before = jax.live_arrays()  # holding them keeps them from being collected meanwhile
    chain = plan_chain(("b", "h", "w", 3), UNET)
    read = json.loads(json.dumps(chain.to_dict()))
    assert read["sizes"]["h1"] == "floor(h/2)"
    assert read["rows"][2]["out_shape"] == [
        "b",
        "floordiv(h - 2, 2) + 1",
        "floordiv(w - 2, 2) + 1",
        32,
    ]
    assert len(jax.live_arrays()) == len(before)


@pytest.mark.parametrize("x_shape", [(8, 253, 255, 3), ("b", "h", "w", 3)])
def test_the_picture_names_every_layer(x_shape):
    from xml.etree import ElementTree

    chain = plan_chain(x_shape, UNET)
    text = "".join(ElementTree.fromstring(chain.to_svg()).itertext())
    assert all(row.name in text for row in chain.rows if row.kind != "relu")
    assert "<svg" in chain._repr_html_()


# Errors ---------------------------------------------------------------------------------------

BAD = {
    "kind": (["conv2d"], "layers\\[0\\].*'conv2d'; did you mean 'conv'", "kind", "conv"),
    "key": ([("conv", {"features": 1, "kernal": 3})], "no key `kernal`", "kernal", 3),
    "word": ([("conv", {"filters": 3, "kernel": 3})], "mean `features`", "filters", 3),
    "missing": ([("conv_transpose", {"kernel": 3})], "needs `features`", "features", None),
    "name": ([conv(3, name="a"), conv(3, name="a")], "name 'a' too", "name", None),
    "padding": ([conv(3, padding="SAM")], "layers\\[0\\] 'conv1'", "padding", "SAME"),
    "groups": ([("conv", {"features": 4, "kernel": 3, "groups": 2})], "divide", "groups", 1),
    "earlier": ([conv(3, name="abc"), ("add", {"with": "abd"})], "no earlier", "with", "abc"),
    "flat": (["global_pool", conv(3)], "needs spatial axes", "input", None),
    "small": ([conv(99, padding="VALID")], "makes the empty", "input", "SAME"),
    "output_padding": ([up(3, stride=2, output_padding=3)], "chooses no", "output_padding", 1),
    "like": (
        [conv(3, stride=2, name="a"), conv(3, stride=2, name="b"), up(3, stride=2, like="a")],
        "layers\\[2\\].*entered 'a'",
        "like",
        "b",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_name_the_layer_and_the_remedy(name):
    layers, match, argument, remedy = BAD[name]
    with pytest.raises(jconv.ConvError) as caught:
        plan_chain((1, 9, 1), layers)
    assert re.search(match, " ".join(str(caught.value).split()))
    assert caught.value.argument == argument
    if remedy is not None:
        assert caught.value.remedies[0].value == remedy


def test_a_concat_of_other_sizes_says_what_would_do():
    bad = [
        {k: v for k, v in layer.items() if k != "like"} if isinstance(layer, dict) else layer
        for layer in UNET
    ]
    with pytest.raises(jconv.ConvError, match="'up2' makes") as caught:
        plan_chain((8, 253, 255, 3), bad)
    remedies = caught.value.remedies
    assert remedies[0].text == "give up2 output_padding=(0, 1)"
    assert [remedy.argument for remedy in remedies] == [
        "output_padding",
        "like",
        "crop",
        "layers",
    ]
    bad[7]["output_padding"] = (0, 1)
    bad[10]["output_padding"] = 1
    assert plan_chain((8, 253, 255, 3), bad).y_shape == (8, 253, 255, 2)
    del bad[7]["output_padding"]
    with pytest.raises(jconv.ConvError, match=r"not\sknown to be equal") as caught:
        plan_chain(("b", "h", "w", 3), bad)
    assert caught.value.remedies[0].text.startswith("give up2 like='down2'")


# Files ----------------------------------------------------------------------------------------

FILE = """
x_shape = ["b", "h", "w", 3]
constraints = ["h >= 8"]
layout = "NHWC"

[[layers]]
kind = "conv"
name = "down"
features = 8
kernel = [3, 3]
stride = 2

[[layers]]
kind = "relu"

[[layers]]
kind = "conv_transpose"
name = "up"
features = 3
kernel = 3
stride = 2
like = "down"
"""


def test_a_file_says_the_same(tmp_path):
    place = tmp_path / "net.toml"
    place.write_text(FILE)
    layers = [
        ("conv", {"name": "down", "features": 8, "kernel": (3, 3), "stride": 2}),
        "relu",
        {"kind": "conv_transpose", "name": "up", "features": 3, "kernel": 3, "stride": 2}
        | {"like": "down"},
    ]
    keywords = {"constraints": ["h >= 8"], "layout": "NHWC"}
    expected = plan_chain(("b", "h", "w", 3), layers, **keywords)
    assert plan_chain(None, place) == expected
    assert plan_chain(None, str(place)) == expected
    assert plan_chain((1, 9, 9, 3), place).y_shape == (1, 9, 9, 3)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("stride = 2", "strid = 2", "net.toml, line 11: layers\\[0\\] 'down'.*`strid`"),
        ('kind = "relu"', 'kind = "rely"', "net.toml, line 14: layers\\[1\\].*mean 'relu'"),
        ('like = "down"', 'like = "dawn"', "net.toml, line 22: layers\\[2\\] 'up'"),
        ("features = 3", "features = 3 4", "not TOML: .*line 19"),
        ("layout =", "layuot =", "line 4.*mean `layout`"),
        ('"NHWC"', '"NWHCD"', "line 4.*`layout`"),
        ('["b", "h", "w", 3]', '"b"', "line 2: `x_shape` must be a list"),
        ('"h >= 8"', '"h >> 8"', "line 3.*`constraints`"),
        ("kernel = [3, 3]", "kernel = [3, 3, 3]", "line 10.*3 entries"),
    ],
)
def test_errors_name_the_line(tmp_path, old, new, match):
    place = tmp_path / "net.toml"
    place.write_text(FILE.replace(old, new, 1))
    with pytest.raises(jconv.ConvError) as caught:
        plan_chain(None, place)
    assert re.search(match, " ".join(str(caught.value).split()))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(jconv.ConvError, match=r"cannot be\sread"):
        plan_chain(None, tmp_path / "no.toml")


def test_symbols_of_a_chain_are_given_sizes_that_can_be():
    layers = [("conv", {"features": 8, "kernel": 3})]
    chain = plan_chain((1, "h", "w", 3), layers, constraints=["h >= 7", "b >= 2", "w >= h"])
    for size in (-1, 2.5, None):
        with pytest.raises(jconv.ConvError, match="`h` must be a size") as caught:
            chain.at(h=size)
        assert caught.value.argument == "h"
    with pytest.raises(jconv.ConvError, match="contradicts"):
        chain.at(h=6)
    assert chain.at(h=8).at(w=9).x_shape == (1, 8, 9, 3)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("constraints", "h >= 7"), ("constraints", ["h > 3"]), ("dtype", "foo"), ("platform", "foo")],
)
def test_what_is_said_of_a_whole_chain_is_named(argument, value):
    with pytest.raises(jconv.ConvError) as caught:
        plan_chain((1, "h", 3), [("conv", {"features": 8, "kernel": 3})], **{argument: value})
    assert caught.value.argument == argument
