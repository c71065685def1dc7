"""Every operation equals the oracle to the last bit: on every case under jit, on some eagerly.

Small integers in float32: all products and sums are whole numbers far below 2**24, so whatever
the order of summation, the only right answer is the exact one.
"""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv.testing import CASES, reference

# Compiling is what this file spends its time on: under jit the four are one program.
every_case = pytest.mark.parametrize("case", CASES, ids=str)
some_cases = pytest.mark.parametrize("case", CASES[::3], ids=str)


@pytest.fixture(autouse=True)
def _strict_and_exact():
    with jax.numpy_dtype_promotion("strict"), jconv.policy("exact"):
        yield


def _draw(case, dtype=np.int64):
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    shapes = (case.x_shape, case.w_shape, case.y_shape)
    return [rng.integers(-4, 5, shape).astype(dtype) for shape in shapes]


def _operations(impl, case, x, w, g):
    """All four operations of `impl` on one case, by name."""
    kwargs = case.kwargs
    results = {
        "conv": impl.conv(x, w, **kwargs),
        "conv_input_grad": impl.conv_input_grad(g, w, input_shape=case.x_shape, **kwargs),
        "conv_filter_grad": impl.conv_filter_grad(x, g, filter_shape=case.w_shape, **kwargs),
    }
    if case.transposable:
        results["conv_transpose"] = impl.conv_transpose(
            g, w, output_shape=case.x_shape, **case.transpose_kwargs
        )
    return results


def _check(case, got, expected, dtype=jnp.float32):
    assert got.keys() == expected.keys()
    for name, array in got.items():
        assert array.dtype == dtype, name
        np.testing.assert_array_equal(np.asarray(array), expected[name], f"{name} of {case}")


@every_case
def test_jitted(case):
    x, w, g = _draw(case)
    run = jax.jit(lambda *arrays: _operations(jconv, case, *arrays))
    got = run(*(jnp.asarray(array, jnp.float32) for array in (x, w, g)))
    _check(case, got, _operations(reference, case, x, w, g))


@some_cases
def test_eager(case):
    x, w, g = _draw(case)
    got = _operations(jconv, case, *(jnp.asarray(array, jnp.float32) for array in (x, w, g)))
    _check(case, got, _operations(reference, case, x, w, g))


@pytest.mark.parametrize("case", CASES[::12], ids=str)
def test_complex_jitted(case):
    x, w, g = _draw(case)
    arrays = [(1 + 2j) * x, (2 - 1j) * w, 1j * g]
    run = jax.jit(lambda *arrays: _operations(jconv, case, *arrays))
    got = run(*(jnp.asarray(array, jnp.complex64) for array in arrays))
    _check(case, got, _operations(reference, case, *arrays), jnp.complex64)


@pytest.mark.parametrize("case", CASES[5::12], ids=str)
def test_int8_forward_sums_in_int32(case):
    x, w, _ = _draw(case)
    x, w = 30 * x, 31 * w  # products leave int8 at once
    run = jax.jit(
        lambda x, w: jconv.conv(x, w, **{**case.kwargs, "preferred_element_type": jnp.int32})
    )
    got = run(jnp.asarray(x, jnp.int8), jnp.asarray(w, jnp.int8))
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(np.asarray(got), reference.conv(x, w, **case.kwargs))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
def test_integers_wrap_as_integers_do(dtype):
    case = next(case for case in CASES if case.name == "pad-asymmetric-2d")
    x, w, _ = (30 * np.abs(array) for array in _draw(case))
    got = jconv.conv(jnp.asarray(x, dtype), jnp.asarray(w, dtype), **case.kwargs)
    assert got.dtype == dtype
    expected = reference.conv(x, w, **case.kwargs).astype(dtype)
    np.testing.assert_array_equal(np.asarray(got), expected)


# Of sizes that all give no rows none is the natural one, and rows that padding alone makes are
# those of no size, so empty cases stay out.
TRANSPOSABLE = [c for c in CASES if c.transposable and 0 not in c.x_shape + c.y_shape + c.w_shape]


def test_rows_that_padding_alone_makes_are_of_no_size():
    g, w = jnp.ones((2, 2, 3)), jnp.ones((2, 2, 3))
    with pytest.raises(jconv.ConvError, match="no input of any size"):
        jconv.conv_transpose(g, w, padding=((1, 4),), stride=2)
    told = jconv.conv_transpose(g, w, padding=((1, 4),), stride=2, output_shape=(0,))
    assert told.shape == (2, 0, 2)


@pytest.mark.parametrize("case", TRANSPOSABLE[::7], ids=str)
def test_transpose_sizes_without_a_shape(case):
    """The size that conv_transpose chooses by itself is the oracle's choice."""
    _, w, g = _draw(case)
    kwargs = case.transpose_kwargs
    expected = reference.conv_transpose(g, w, **kwargs)
    got = jconv.conv_transpose(jnp.asarray(g, jnp.float32), jnp.asarray(w, jnp.float32), **kwargs)
    np.testing.assert_array_equal(np.asarray(got), expected)


@pytest.mark.parametrize("output_padding", [0, 1, (1, 0)])
@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID", "CAUSAL", 1, ((0, 2), (1, 0))])
def test_output_padding(padding, output_padding):
    rng = np.random.default_rng(0)
    x, w = rng.integers(-4, 5, (2, 3, 4, 3)), rng.integers(-4, 5, (3, 2, 2, 3))
    kwargs = {"stride": (2, 3), "padding": padding, "output_padding": output_padding}
    expected = reference.conv_transpose(x, w, **kwargs)
    x, w = (jnp.asarray(array, jnp.float32) for array in (x, w))
    np.testing.assert_array_equal(np.asarray(jconv.conv_transpose(x, w, **kwargs)), expected)
    both = jconv.conv_transpose(x, w, output_shape=expected.shape, **kwargs)
    np.testing.assert_array_equal(np.asarray(both), expected)


def test_the_comparison_refuses_a_wrong_leg():
    case = next(case for case in CASES if case.name == "remainder-under-pads")
    arrays = [jnp.asarray(array, jnp.float32) for array in _draw(case)]
    expected = _operations(reference, case, *arrays)
    got = _operations(jconv, case, *arrays)
    _check(case, got, expected)
    for name in got:
        with pytest.raises(AssertionError, match=f"{name} of"):
            _check(case, {**got, name: got[name][::-1]}, expected)
        with pytest.raises(AssertionError):
            _check(case, {**got, name: got[name].astype(jnp.bfloat16)}, expected)
