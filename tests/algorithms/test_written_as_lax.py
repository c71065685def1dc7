"""On GPUs and TPUs every leg is lowered to the convolution that lax and its autodiff write."""

from __future__ import annotations

import functools
import random
import re

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import jconv

PLATFORMS = ("cuda", "rocm", "tpu")
LAYOUTS = {
    1: [("NWC", "WIO", "NWC"), ("NCW", "OIW", "NCW"), ("WNC", "IOW", "NCW")],
    2: [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW"), ("CHWN", "HIWO", "NWHC")],
    3: [("NDHWC", "DHWIO", "NDHWC"), ("NCDHW", "OIDHW", "NCDHW")],
}


def _case(seed: int):
    """A random convolution: shapes, jconv's settings, and the same by lax."""
    rng = random.Random(seed)
    rank = rng.choice([1, 2, 2, 2, 3])
    layout = rng.choice(LAYOUTS[rank])
    groups = rng.choice([1, 1, 2, 4])
    c, f, n = (rng.choice([1, 2, 3]) for _ in range(3))
    sizes, taps, strides, dilations, holes, pads = [], [], [], [], [], []
    for _ in range(rank):
        k, s, d = rng.choice([1, 2, 3, 5]), rng.choice([1, 1, 2, 3]), rng.choice([1, 1, 2])
        b = rng.choice([1, 1, 1, 2])
        low, high = (rng.choice([0, 0, 1, 2, 3, -1]) for _ in range(2))
        size = rng.randint(4, 11) + d * (k - 1)
        sizes, taps, strides = [*sizes, size], [*taps, k], [*strides, s]
        dilations, holes, pads = [*dilations, d], [*holes, b], [*pads, (low, high)]
    sizes_x = dict(zip([a for a in layout[1] if a not in "IO"], sizes, strict=True))
    sizes_w = dict(zip([a for a in layout[1] if a not in "IO"], taps, strict=True))
    x = [{**sizes_x, "N": n, "C": groups * c}[letter] for letter in layout[0]]
    w = [{**sizes_w, "I": c, "O": groups * f}[letter] for letter in layout[1]]
    dtype = rng.choice([jnp.float32, jnp.float32, jnp.bfloat16, jnp.float16, jnp.float64])
    ours = functools.partial(
        jconv.conv,
        stride=strides,
        padding=pads,
        dilation=dilations,
        input_dilation=holes,
        groups=groups,
        layout=layout,
    )
    plain = functools.partial(
        lax.conv_general_dilated,
        window_strides=strides,
        padding=pads,
        lhs_dilation=holes,
        rhs_dilation=dilations,
        dimension_numbers=layout,
        feature_group_count=groups,
    )
    mapped = rng.choice([None, None, (0, None), (None, 0), (0, 0)])
    if mapped is not None:
        x, w = ([3, *shape] if at == 0 else shape for shape, at in zip((x, w), mapped, strict=True))
        ours, plain = jax.vmap(ours, mapped), jax.vmap(plain, mapped)
    return ours, plain, jax.ShapeDtypeStruct(x, dtype), jax.ShapeDtypeStruct(w, dtype)


def _legs(f, x, w):
    """The three legs as functions of their two operands."""
    y = jax.eval_shape(f, x, w)
    return {
        "conv": (f, (x, w)),
        "input_grad": (lambda g, w: jax.linear_transpose(lambda x: f(x, w), x)(g)[0], (y, w)),
        "filter_grad": (lambda x, g: jax.linear_transpose(lambda w: f(x, w), w)(g)[0], (x, y)),
    }


def _lowered(f, operands, platform):
    """Each convolution of the lowered program, its attributes and types; and the transposes."""
    text = jax.jit(f).trace(*operands).lower(lowering_platforms=(platform,)).as_text()
    found = re.findall(r"stablehlo\.convolution\([^)]*\) (.*)", text)
    return found, text.count("stablehlo.transpose")


def _with_symmetric_pads(convolution: str) -> str:
    """The text without pads that only differ in rows that no window reads: judged by types."""
    return re.sub(r"pad = (\[\[.*?\]\])", "pad = ...", convolution)


def _symmetric_where_they_differ(ours: str, plain: str) -> bool:
    pads = [re.search(r"pad = \[\[(.*?)\]\]", text) for text in (ours, plain)]
    a, b = ([p.split(", ") for p in found.group(1).split("], [")] for found in pads if found)
    return all(p == q or (p[0] == p[1] == q[0]) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_legs_are_lowered_to_what_lax_writes(platform):
    with jax.enable_x64(True):
        for seed in range(PLATFORMS.index(platform), 105, len(PLATFORMS)):
            ours, plain, x, w = _case(seed)
            legs = _legs(plain, x, w)
            for leg, (f, operands) in _legs(ours, x, w).items():
                (written,), transposes = _lowered(f, operands, platform)
                (expected,), most = _lowered(*legs[leg], platform)
                if written != expected:
                    assert leg == "conv", (seed, leg, written, expected)
                    assert _with_symmetric_pads(written) == _with_symmetric_pads(expected)
                    assert _symmetric_where_they_differ(written, expected)
                assert transposes <= most, (seed, leg)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_derivatives_of_conv_transpose_are_the_canonical_forms(platform, layout):
    """A forward convolution in x and a filter backprop in w, as lax writes those of its conv."""
    shape = {"N": 2, "C": 8, "H": 7, "W": 9}
    x = jax.ShapeDtypeStruct([shape[letter] for letter in layout], jnp.float32)
    w = jax.ShapeDtypeStruct((4, 4, 3, 8) if layout == "NHWC" else (8, 3, 4, 4), jnp.float32)
    dims = (layout, "HWIO" if layout == "NHWC" else "OIHW", layout)
    shape = {"N": 2, "C": 3, "H": 14, "W": 18}
    target = jax.ShapeDtypeStruct([shape[letter] for letter in layout], jnp.float32)

    def up(x, w):
        return jconv.conv_transpose(x, w, stride=2, padding=1, layout=layout)

    def down(target, w):
        return lax.conv_general_dilated(target, w, (2, 2), [(1, 1)] * 2, dimension_numbers=dims)

    back_x = lambda g, w: jax.linear_transpose(lambda x: up(x, w), x)(g)[0]  # noqa: E731
    back_w = lambda x, g: jax.linear_transpose(lambda w: up(x, w), w)(g)[0]  # noqa: E731
    plain = _legs(down, target, w)
    pairs = [
        ((up, (x, w)), plain["input_grad"]),
        ((back_x, (target, w)), plain["conv"]),
        ((back_w, (x, target)), (lambda g, x: plain["filter_grad"][0](x, g), (x, target))),
    ]
    for ours, expected in pairs:
        assert _lowered(*ours, platform) == _lowered(*expected, platform)
