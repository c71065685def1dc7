"""The dtypes of results and derivatives, precision in every leg, and what a trace captures."""

import collections
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import AS_USERS
from jax import lax
from plain import integers

import jconv

SETTINGS = {"stride": 2, "padding": [(1, 0), (2, 1)]}
X_SHAPE, W_SHAPE = (2, 6, 5, 4), (3, 2, 4, 3)


def operands(dtype):
    return integers(X_SHAPE, 1, dtype), integers(W_SHAPE, 2, dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_results_and_backprops_keep_the_dtype(dtype):
    x, w = operands(dtype)
    y = jconv.conv(x, w, **SETTINGS)
    assert y.dtype == dtype
    assert jconv.conv_input_grad(y, w, input_shape=x.shape, **SETTINGS).dtype == dtype
    assert jconv.conv_filter_grad(x, y, filter_shape=w.shape, **SETTINGS).dtype == dtype
    assert jconv.conv_transpose(y, w, output_shape=x.shape, **SETTINGS).dtype == dtype


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_double_precision(dtype):
    with jax.enable_x64(True):
        x, w = operands(dtype)
        y = jconv.conv(x, w, **SETTINGS)
        assert y.dtype == dtype
        x_grad, w_grad = jax.vjp(lambda x, w: jconv.conv(x, w, **SETTINGS), x, w)[1](y)
        assert (x_grad.dtype, w_grad.dtype) == (dtype, dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_preferred_element_type_breaks_no_gradient(dtype):
    x, w = operands(dtype)

    def f(x, w):
        return jconv.conv(x, w, preferred_element_type=jnp.float32, **SETTINGS)

    y = f(x, w)
    assert y.dtype == jnp.float32
    x_grad, w_grad = jax.vjp(f, x, w)[1](y)
    assert (x_grad.dtype, w_grad.dtype) == (dtype, dtype)
    explicit = jconv.conv_input_grad(y, w, input_shape=x.shape, **SETTINGS)
    np.testing.assert_array_equal(explicit, x_grad)
    explicit = jconv.conv_filter_grad(x, y, filter_shape=w.shape, **SETTINGS)
    np.testing.assert_array_equal(explicit, w_grad)
    hessian = jax.jvp(jax.grad(lambda w: f(x, w).sum() ** 2), (w,), (w,))[1]
    assert hessian.dtype == dtype
    wide = jconv.conv_input_grad(
        y, w, input_shape=x.shape, preferred_element_type=jnp.float32, **SETTINGS
    )
    assert wide.dtype == jnp.float32


def test_integers_forward():
    x, w = operands(jnp.int8)
    x = x * 40
    wide = jconv.conv(x, w, preferred_element_type=jnp.int32, **SETTINGS)
    exact = jconv.conv(x.astype(jnp.int32), w.astype(jnp.int32), **SETTINGS)
    assert wide.dtype == jnp.int32
    np.testing.assert_array_equal(wide, exact)
    assert int(abs(exact).max()) > 127, "int8 would have overflowed"
    wrapped = jconv.conv(x, w, **SETTINGS)
    np.testing.assert_array_equal(wrapped, exact.astype(jnp.int8))


RANGES = {"int8": (-128, 128), "uint8": (0, 256), "uint16": (0, 2**8)}


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        ("uint8", "int32"),
        ("uint8", "uint32"),
        ("int8", "int32"),
        ("uint16", "int32"),
        ("int8", "float32"),
        ("uint8", "float32"),
    ],
)
@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_integers_into_wider_ones_and_into_floats(dtype, wanted, mode):
    rng = np.random.default_rng(0)
    x, w = (rng.integers(*RANGES[dtype], shape) for shape in (X_SHAPE, W_SHAPE))
    settings = {**SETTINGS, "padding_mode": mode}
    exact = jconv.conv(jnp.asarray(x, jnp.int32), jnp.asarray(w, jnp.int32), **settings)
    x, w = jnp.asarray(x, dtype), jnp.asarray(w, dtype)
    y = jconv.conv(x, w, preferred_element_type=wanted, **settings)
    assert y.dtype == wanted
    np.testing.assert_array_equal(y.astype(jnp.int32), exact)
    back = jconv.conv_transpose(
        y.astype(dtype), w, output_shape=x.shape, preferred_element_type=wanted, **settings
    )
    assert back.dtype == wanted


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [("int8", "uint32"), ("int32", "int8"), ("int32", "float16"), ("int8", "complex64"),
     ("float32", "int32"), ("float32", "complex64"), ("bfloat16", "bool")],
)  # fmt: skip
def test_element_types_that_lax_refuses_too(dtype, wanted):
    x, w = operands(dtype)
    with pytest.raises(jconv.ConvError) as caught:
        jconv.conv(x, w, preferred_element_type=wanted, **SETTINGS)
    assert caught.value.argument == "preferred_element_type"
    with pytest.raises(TypeError):
        lax.conv_general_dilated(
            x,
            w,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            preferred_element_type=jnp.dtype(wanted),
        )


@pytest.mark.parametrize(("have", "wanted"), [("float16", "bfloat16"), ("bfloat16", "float16")])
def test_a_cotangent_of_the_other_half_precision(have, wanted):
    x, w = operands(have)
    y = jconv.conv(x, w, preferred_element_type=wanted, **SETTINGS)
    assert y.dtype == wanted
    x_grad = jconv.conv_input_grad(y, w, input_shape=x.shape, **SETTINGS)
    w_grad = jconv.conv_filter_grad(x, y, filter_shape=w.shape, **SETTINGS)
    assert (x_grad.dtype, w_grad.dtype) == (have, have)
    wide = [v.astype(jnp.float32) for v in (x, w, y)]
    by_lax = jax.vjp(lambda x, w: jconv.conv(x, w, **SETTINGS), *wide[:2])[1](wide[2])
    np.testing.assert_array_equal(x_grad, by_lax[0].astype(have))
    np.testing.assert_array_equal(w_grad, by_lax[1].astype(have))


def test_double_precision_arrays_outside_of_it_are_taken_as_single():
    with jax.enable_x64(True):
        x, w = operands(jnp.float64)
    for mode in ("zeros", "reflect"):

        def total(x, w, mode=mode):
            return jnp.sum(jconv.conv(x, w, padding_mode=mode), dtype=jnp.float32)

        assert jconv.conv(x, w, padding_mode=mode).dtype == jnp.float32
        for run in (jax.grad(total, (0, 1)), jax.jit(jax.grad(total, (0, 1)))):
            assert [grad.dtype for grad in run(x, w)] == [jnp.float64, jnp.float64]
    custom = jconv.custom_conv()
    grad = jax.grad(lambda x: jnp.sum(custom(x, w), dtype=jnp.float32))(x)
    assert grad.dtype == jnp.float64


def test_complex_is_bilinear_nothing_is_conjugated():
    x, w = operands(jnp.complex64)
    x, w = x + 1j * x[::-1], w * (1 + 2j)
    y = jconv.conv(x, w, **SETTINGS)
    g = y * (1 - 1j)
    form = jnp.sum(g * y)
    x_grad = jconv.conv_input_grad(g, w, input_shape=x.shape, **SETTINGS)
    w_grad = jconv.conv_filter_grad(x, g, filter_shape=w.shape, **SETTINGS)
    np.testing.assert_array_equal(jnp.sum(x * x_grad), form)
    np.testing.assert_array_equal(jnp.sum(w * w_grad), form)


def legs(x, w, **settings):
    y = jconv.conv(x, w, **SETTINGS)
    return {
        "conv": lambda: jconv.conv(x, w, **SETTINGS, **settings),
        "input_grad": lambda: jconv.conv_input_grad(
            y, w, input_shape=x.shape, **SETTINGS, **settings
        ),
        "filter_grad": lambda: jconv.conv_filter_grad(
            x, y, filter_shape=w.shape, **SETTINGS, **settings
        ),
        "conv_transpose": lambda: jconv.conv_transpose(
            y, w, output_shape=x.shape, **SETTINGS, **settings
        ),
        "grad": lambda: jax.grad(lambda x: jconv.conv(x, w, **SETTINGS, **settings).sum())(x),
    }


@pytest.mark.parametrize("precision", ["highest", lax.Precision.HIGHEST, ("highest", "highest")])
@pytest.mark.parametrize("leg", ["conv", "input_grad", "filter_grad", "conv_transpose", "grad"])
def test_precision_reaches_every_leg(leg, precision):
    x, w = operands(jnp.float32)
    text = jax.jit(legs(x, w, precision=precision)[leg]).lower().as_text()
    assert "precision HIGHEST" in text
    assert "precision DEFAULT" not in text
    assert "precision HIGHEST" not in jax.jit(legs(x, w)[leg]).lower().as_text()


def test_gradients_inherit_the_default_precision_of_the_forward():
    x, w = operands(jnp.float32)
    with jax.default_matmul_precision("highest"):
        _, pullback = jax.vjp(lambda x: jconv.conv(x, w, **SETTINGS), x)
    text = jax.jit(pullback).lower(jconv.conv(x, w, **SETTINGS)).as_text()
    assert "precision HIGHEST" in text


def test_policy_is_part_of_jits_key():
    x, w = operands(jnp.float32)
    traces = []

    @jax.jit
    def f(x):
        traces.append(1)
        return jconv.conv(x, w, **SETTINGS)

    f(x)
    with jconv.policy("exact"):
        f(x)
        f(x)
    f(x)
    assert len(traces) == 2


def test_numpy_operands_are_taken_as_jax_takes_them():
    x, w = np.ones(X_SHAPE), np.ones(W_SHAPE)
    assert jconv.conv(x, w).dtype == jnp.float32


def test_strict_promotion_raises_nothing():
    with jax.numpy_dtype_promotion("strict"):
        x, w = operands(jnp.bfloat16)
        for padding_mode in ("zeros", "circular"):
            jax.grad(lambda x, m=padding_mode: jconv.conv(x, w, padding_mode=m, stride=2).sum())(x)


@pytest.mark.parametrize(
    ("x", "w", "settings"),
    [
        ((2, 24, 24, 16), (3, 3, 16, 32), {}),
        ((2, 24, 24, 16), (1, 1, 16, 32), {}),
        ((2, 24, 24, 16), (3, 3, 16, 32), {"stride": 2, "padding": 1}),
    ],
)
def test_int8_into_int32_is_the_convolution_that_lax_writes(x, w, settings):
    """XLA has a fast library for int8 operands, and only a loop nest for int32 ones."""
    padding, stride = settings.get("padding", "SAME"), settings.get("stride", 1)
    pads = [(1, 1)] * 2 if padding == 1 else padding
    names = ("NHWC", "HWIO", "NHWC")
    operands = integers(x, 1, "int8"), integers(w, 2, "int8")
    programs = [
        jax.jit(lambda x, w: jconv.conv(x, w, preferred_element_type=jnp.int32, **settings)),
        jax.jit(
            lambda x, w: lax.conv_general_dilated(
                x, w, (stride,) * 2, pads, dimension_numbers=names, preferred_element_type=jnp.int32
            )
        ),
    ]
    ours, theirs = (program.lower(*operands).compile(AS_USERS) for program in programs)
    np.testing.assert_array_equal(ours(*operands), theirs(*operands))
    assert _operations(ours) == _operations(theirs)


def _operations(compiled):
    return collections.Counter(re.findall(r"= (\S+ [a-z-]+)\(", compiled.as_text()))


@pytest.mark.parametrize("policy", ["auto", "grouped", "exact"])
def test_groups_of_int8_sum_in_int32(policy):
    x, w = 30 * integers((4, 20, 20, 16), 1, "int8"), 31 * integers((3, 3, 8, 32), 2, "int8")
    with jconv.policy(policy):
        y = jconv.conv(x, w, groups=2, preferred_element_type=jnp.int32)
        back = jconv.conv_transpose(
            x, integers((3, 3, 8, 16), 3, "int8"), groups=2, preferred_element_type=jnp.int32
        )
    wide = jconv.conv(x.astype(jnp.int32), w.astype(jnp.int32), groups=2)
    np.testing.assert_array_equal(y, wide)
    w = integers((3, 3, 8, 16), 3, "int32")
    np.testing.assert_array_equal(back, jconv.conv_transpose(x.astype(jnp.int32), w, groups=2))
