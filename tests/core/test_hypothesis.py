"""Random valid configurations: all four operations equal the oracle exactly, in small integers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import jconv
from jconv.testing import reference, strategies

# Each example compiles a program, which is slow by hypothesis' standards and so not unhealthy.
drawn = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def _integers(case, dtype=np.int64):
    rng = np.random.default_rng(sum(case.x_shape) + 31 * sum(case.w_shape))
    shapes = (case.x_shape, case.w_shape, case.y_shape)
    return [rng.integers(-4, 5, shape).astype(dtype) for shape in shapes]


def _operations(impl, case, x, w, g):
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


def _compare(impl, case):
    expected = _operations(reference, case, *_integers(case))
    arrays = [jnp.asarray(array, jnp.float32) for array in _integers(case)]
    with jax.numpy_dtype_promotion("strict"), jconv.policy("exact"):
        got = jax.jit(lambda *arrays: _operations(impl, case, *arrays))(*arrays)
    for name, array in got.items():
        assert array.dtype == jnp.float32, name
        np.testing.assert_array_equal(np.asarray(array), expected[name], name)


@settings(drawn, max_examples=40)
@given(strategies.configurations(max_rank=1))
def test_one_axis(case):
    _compare(jconv, case)


@settings(drawn, max_examples=40)
@given(strategies.configurations(min_rank=2, max_rank=2))
def test_two_axes(case):
    _compare(jconv, case)


@settings(drawn, max_examples=25)
@given(strategies.configurations(min_rank=3))
def test_three_axes(case):
    _compare(jconv, case)


@settings(drawn, max_examples=50)
@given(strategies.configurations(modes=["zeros"], empty=False))
def test_zeros_without_empty_axes(case):
    _compare(jconv, case)


@settings(drawn, max_examples=300)
@given(strategies.configurations())
def test_the_oracle_keeps_the_trilinear_identity(case):
    x, w, g = _integers(case)
    legs = _operations(reference, case, x, w, g)
    forms = {
        np.sum(g * legs["conv"]),
        np.sum(x * legs["conv_input_grad"]),
        np.sum(w * legs["conv_filter_grad"]),
    }
    assert len(forms) == 1


def test_a_wrong_leg_is_found():
    """With its pads exchanged, some drawn convolution must differ."""

    class Exchanged:
        conv_input_grad = staticmethod(jconv.conv_input_grad)
        conv_filter_grad = staticmethod(jconv.conv_filter_grad)
        conv_transpose = staticmethod(jconv.conv_transpose)

        @staticmethod
        def conv(x, w, *, padding="SAME", **kwargs):
            twin = {"SAME": "SAME_LOWER", "SAME_LOWER": "SAME"}
            if isinstance(padding, str):
                padding = twin.get(padding, padding)
            elif not isinstance(padding, int):
                padding = [p if isinstance(p, int) else p[::-1] for p in padding]
            return jconv.conv(x, w, padding=padding, **kwargs)

    @settings(drawn, max_examples=60, phases=[Phase.generate])
    @given(strategies.configurations(max_rank=1, modes=["zeros"]))
    def search(case):
        _compare(Exchanged, case)

    with pytest.raises(AssertionError):
        search()
