"""Rounded arithmetic against the float64 oracle, under a bound that is derived, not chosen.

A sum of n products, in any order, in arithmetic of unit roundoff u, is off by at most
gamma_n * sum |x||w| with gamma_n = n*u / (1 - n*u) (Higham, Accuracy and Stability, 3.1); one
rounding to the result's dtype adds its own unit roundoff times the result. Both n and the sum of
magnitudes are the oracle's, element by element: its answer to ones, and to absolute values.
Half-precision operands must be summed in float32, so their u is float32's, and a sum in half
precision breaks the bound.
"""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv.testing import CASES, Case, reference

# What sums must be taken in, by the operands' dtype.
ACCUMULATORS = {
    "bfloat16": "float32",
    "float16": "float32",
    "float32": "float32",
    "float64": "float64",
    "complex64": "float32",
    "complex128": "float64",
}
HALVES = ("bfloat16", "float16")

# Sums of 75 to 400 products: long enough that rounding each partial sum shows, and short enough
# that n float32 roundoffs stay far below one of half precision.
LONG = (
    Case("long", "hundreds of terms", (2, 9, 8, 16), (5, 5, 16, 3), {"stride": (1, 2)}),
    Case("long-grouped", "long sums over pixels", (2, 14, 12, 4), (3, 3, 1, 8), {"groups": 4}),
    Case("long-1d", "one long axis", (2, 150, 2), (64, 2, 3), {"padding": "CAUSAL"}),
)
SAMPLE = (*CASES[::17], *LONG)


@pytest.fixture(autouse=True)
def _strict():
    with jax.numpy_dtype_promotion("strict"):
        yield


def _roundoff(dtype):
    return float(jnp.finfo(dtype).eps) / 2


def _draw(case, dtype):
    """Operands already rounded to `dtype`, so that the oracle is given the same numbers."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    arrays = []
    for shape in (case.x_shape, case.w_shape, case.y_shape):
        array = rng.standard_normal(shape)
        if dtype.startswith("complex"):
            array = array + 1j * rng.standard_normal(shape)
        arrays.append(jnp.asarray(array, dtype))
    return arrays


def _legs(impl, case, x, w, g, **more):
    kwargs = {**case.kwargs, **more}
    return {
        "conv": impl.conv(x, w, **kwargs),
        "conv_input_grad": impl.conv_input_grad(g, w, input_shape=case.x_shape, **kwargs),
        "conv_filter_grad": impl.conv_filter_grad(x, g, filter_shape=case.w_shape, **kwargs),
    }


def _exact_and_bound(case, operands, accumulator, out):
    """For each leg, the oracle's answer and how far from it rounding alone can lead."""
    operands = [np.asarray(array) for array in operands]
    exact = _legs(reference, case, *operands)
    sizes = _legs(reference, case, *(np.abs(reference._widen(a)[0]) for a in operands))
    terms = _legs(reference, case, *(np.ones(array.shape) for array in operands))
    u, out_u = _roundoff(accumulator), _roundoff(out)
    tiny = float(jnp.finfo(out).smallest_subnormal)
    bounds = {}
    for name, n in terms.items():
        factor = 1
        if np.iscomplexobj(exact[name]):
            # Each part is two real sums; or three, with factors such as re x + im x, which cost
            # a rounding each and are up to sqrt(2) |x|. Both stay within 4 gamma_{n+3}.
            n, factor = n + 3, 4
        if accumulator == "float64":
            factor *= 2  # the oracle rounds as much
        summed = factor * n * u / (1 - n * u) * sizes[name]
        bounds[name] = summed + out_u * (np.abs(exact[name]) + summed) + tiny
    return exact, bounds


def _excess(got, exact, bound):
    """The largest error in units of the bound; an empty array has none."""
    error = np.abs(reference._widen(np.asarray(got))[0] - exact)
    return float(np.max(error / bound, initial=0.0))


def _check(got, exact, bounds, dtype, allowed=1.0):
    for name, array in got.items():
        assert array.dtype == dtype, name
        assert array.shape == exact[name].shape, name
        assert _excess(array, exact[name], bounds[name]) <= allowed, name


def _run(case, operands, **more):
    return jax.jit(lambda *arrays: _legs(jconv, case, *arrays, **more))(*operands)


@pytest.mark.parametrize("dtype", ACCUMULATORS)
@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_bound(case, dtype):
    accumulator = ACCUMULATORS[dtype]
    with jax.enable_x64(accumulator == "float64"):
        operands = _draw(case, dtype)
        exact, bounds = _exact_and_bound(case, operands, accumulator, dtype)
        _check(_run(case, operands, precision="highest"), exact, bounds, dtype)


@pytest.mark.parametrize("dtype", ["float32", *HALVES])
@pytest.mark.parametrize("case", LONG, ids=str)
def test_default_precision(case, dtype):
    """Fast algorithms may form other products, but none may come near a half-precision sum.

    Roundoffs of float16 and float32 are 2**13 apart; an algorithm may lose six of those bits.
    """
    operands = _draw(case, dtype)
    exact, bounds = _exact_and_bound(case, operands, "float32", dtype)
    _check(_run(case, operands), exact, bounds, dtype, allowed=64)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("case", SAMPLE[::3], ids=str)
def test_preferred_element_type_is_not_rounded(case, dtype):
    operands = _draw(case, dtype)
    exact, bounds = _exact_and_bound(case, operands, "float32", "float32")
    got = _run(case, operands, preferred_element_type=jnp.float32, precision="highest")
    _check(got, exact, bounds, jnp.float32)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("case", SAMPLE[1::3], ids=str)
def test_gradients_of_a_preferred_element_type(case, dtype):
    """The cotangent comes in float32, is used unrounded, and returns in the operands' dtype."""
    x, w, _ = _draw(case, dtype)
    g = _draw(case, "float32")[2]
    exact, bounds = _exact_and_bound(case, (x, w, g), "float32", dtype)

    def forward(x, w):
        kwargs = {**case.kwargs, "preferred_element_type": jnp.float32, "precision": "highest"}
        return jconv.conv(x, w, **kwargs)

    @jax.jit
    def gradients(x, w, g):
        gx, gw = jax.vjp(forward, x, w)[1](g)
        return {"conv_input_grad": gx, "conv_filter_grad": gw}

    _check(gradients(x, w, g), exact, bounds, dtype)


@pytest.mark.parametrize("dtype", HALVES)
def test_explicit_backprops_accept_a_wider_cotangent(dtype):
    case = LONG[0]
    (x, w, _), g = _draw(case, dtype), _draw(case, "float32")[2]
    exact, bounds = _exact_and_bound(case, (x, w, g), "float32", dtype)
    kwargs = {**case.kwargs, "precision": "highest"}
    got = {
        "conv_input_grad": jconv.conv_input_grad(g, w, input_shape=case.x_shape, **kwargs),
        "conv_filter_grad": jconv.conv_filter_grad(x, g, filter_shape=case.w_shape, **kwargs),
    }
    _check(got, exact, bounds, dtype)


# --- the bound refuses what it is there to refuse -------------------------------------------


def _summed_in_half(case, x, w, g):
    """The three legs with every partial sum over the taps rounded to the operands' dtype."""
    x, w, g = (np.asarray(array) for array in (x, w, g))
    half, wide = x.dtype, np.float32
    legs = {"conv": (x, w, None), "conv_input_grad": (None, w, g), "conv_filter_grad": (x, None, g)}
    results = {}
    for name, operands in legs.items():
        shapes = (case.x_shape, case.w_shape, case.y_shape)
        arrays = [
            np.zeros(shape, half) if array is None else array
            for array, shape in zip(operands, shapes, strict=True)
        ]
        for xi, wk, go in case.call.terms(*arrays):
            a, b, c = (view.astype(wide) for view in (xi, wk, go))
            if name == "conv":
                go[...] = (c + a @ b).astype(half)
            elif name == "conv_input_grad":
                xi[...] = (a + c @ b.T).astype(half)
            else:
                wk[...] = (b + a.T @ c).astype(half)
        results[name] = next(
            array for array, given in zip(arrays, operands, strict=True) if given is None
        )
    return results


@pytest.mark.parametrize("out", ["operands", "float32"])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("case", LONG, ids=str)
def test_a_half_precision_sum_breaks_the_bound(case, dtype, out):
    operands = _draw(case, dtype)
    exact, bounds = _exact_and_bound(
        case, operands, "float32", dtype if out == "operands" else "float32"
    )
    for name, array in _summed_in_half(case, *operands).items():
        assert _excess(array, exact[name], bounds[name]) > 2, name


@pytest.mark.parametrize("case", LONG, ids=str)
def test_half_precision_products_break_the_float32_bound(case):
    """What an accelerator's default precision does to float32 operands."""
    operands = _draw(case, "float32")
    exact, bounds = _exact_and_bound(case, operands, "float32", "float32")
    rounded = [np.asarray(a.astype(jnp.bfloat16).astype(jnp.float32)) for a in operands]
    for name, array in _legs(reference, case, *rounded).items():
        assert _excess(array, exact[name], bounds[name]) > 8, name


def test_a_dropped_term_breaks_the_bound():
    case = LONG[0]
    x, w, g = _draw(case, "bfloat16")
    exact, bounds = _exact_and_bound(case, (x, w, g), "float32", "bfloat16")
    got = _legs(reference, case, x, w.at[0, 0].set(0), g)
    assert _excess(got["conv"], exact["conv"], bounds["conv"]) > 64
