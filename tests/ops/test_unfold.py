"""unfold reads the windows of the index equation, and fold is its exact adjoint."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jconv
from jconv.testing import reference

CASES = {
    "plain": ((2, 5, 6, 3), 3, {}),
    "strided-asymmetric": ((1, 7, 6, 2), (3, 2), {"stride": (2, 3), "padding": [(0, 2), (1, 0)]}),
    "dilated-valid": ((2, 9, 1), 3, {"dilation": 3, "padding": "VALID"}),
    "cropped": ((1, 7, 5, 2), 2, {"padding": [(-2, 1), (1, -5)], "stride": 2}),
    "input-dilation": ((1, 4, 3, 2), (2, 3), {"input_dilation": (3, 2), "stride": (2, 1)}),
    "channels-first": ((2, 3, 5, 6), (2, 3), {"layout": "NCHW", "padding": "SAME_LOWER"}),
    "odd-layout": ((6, 2, 5, 3), (2, 3), {"layout": ("WNHC", "HIOW", "CHWN")}),
    "three-dimensions": ((1, 4, 3, 5, 2), (2, 1, 3), {"stride": 2, "padding": "CAUSAL"}),
    "wider-than-x": ((1, 2, 2, 1), 4, {"padding": "VALID"}),
    "no-rows": ((1, 0, 3, 1), 2, {"padding": 2}),
    "reflect": ((1, 5, 4, 2), 3, {"padding": 2, "padding_mode": "reflect", "stride": 2}),
    "circular-channels-first": ((1, 2, 5), 3, {"padding_mode": "circular", "layout": "NCW"}),
}


def integers(shape, seed):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def each(kernel, rank):
    return (kernel,) * rank if isinstance(kernel, int) else kernel


@pytest.mark.parametrize(("shape", "kernel", "settings"), CASES.values(), ids=CASES)
def test_every_channel_is_the_convolution_with_one_tap(shape, kernel, settings):
    """The oracle's convolution with a filter that is 1 at one place picks one channel."""
    x = integers(shape, 1)
    patches = np.asarray(jax.jit(lambda x: jconv.unfold(x, kernel, **settings))(x))
    lhs, rhs, out = names(settings.get("layout"), len(shape) - 2)
    sizes = [x.shape[lhs.index("C")] if c == "I" else 0 for c in rhs.replace("O", "")]
    for n, axis in enumerate(c for c in rhs if c not in "IO"):
        sizes[rhs.replace("O", "").index(axis)] = each(kernel, len(shape) - 2)[n]
    assert patches.shape[out.index("C")] == np.prod(sizes)
    for channel, place in enumerate(itertools.product(*map(range, sizes))):
        w = np.zeros(sizes, np.float32)
        w[place] = 1
        w = np.expand_dims(w, rhs.index("O"))
        expected = reference.conv(x, w, **settings)
        got = np.take(patches, [channel], axis=out.index("C"))
        np.testing.assert_array_equal(got, expected)


def names(layout, rank):
    axes = {1: "W", 2: "HW", 3: "DHW"}[rank]
    if isinstance(layout, tuple):
        return layout
    if layout is not None:
        return f"NC{axes}", f"OI{axes}", f"NC{axes}"
    return f"N{axes}C", f"{axes}IO", f"N{axes}C"


@pytest.mark.parametrize(("shape", "kernel", "settings"), CASES.values(), ids=CASES)
def test_fold_is_the_adjoint(shape, kernel, settings):
    x = integers(shape, 1)

    @jax.jit
    def both(x):
        patches, back = jax.vjp(lambda x: jconv.unfold(x, kernel, **settings), x)
        p = jnp.arange(patches.size, dtype=jnp.float32).reshape(patches.shape) % 7 - 3
        folded = jconv.fold(p, kernel, input_shape=x.shape, **settings)
        return jnp.vdot(p, patches), jnp.vdot(x, folded), folded, back(p)[0]

    of_patches, of_x, folded, by_autodiff = both(x)
    assert of_patches == of_x
    assert folded.shape == x.shape
    np.testing.assert_array_equal(folded, by_autodiff)


def test_spatial_sizes_alone_are_enough():
    p = integers((1, 4, 3, 18), 1)
    fold = functools.partial(jconv.fold, p, 3, stride=2, padding=1)
    full, spatial = fold(input_shape=(1, 8, 5, 2)), fold(input_shape=(8, 5))
    np.testing.assert_array_equal(full, spatial)


def test_second_order_forward_mode_and_vmap():
    x, t = integers((3, 5, 5, 2), 1), integers((3, 5, 5, 2), 2)

    def energy(x):
        return jnp.sum(jconv.unfold(x, 3, stride=2) ** 2)

    twice = jconv.fold(2 * jconv.unfold(t, 3, stride=2), 3, input_shape=t.shape, stride=2)
    np.testing.assert_array_equal(jax.jvp(jax.grad(energy), (x,), (t,))[1], twice)
    mapped = jax.vmap(lambda x: jconv.unfold(x[None], 3, stride=2)[0])(x)
    np.testing.assert_array_equal(mapped, jconv.unfold(x, 3, stride=2))


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "int32", "complex64"])
def test_dtypes_are_kept(dtype):
    x = jnp.asarray(integers((1, 5, 5, 1), 1), dtype)
    patches = jconv.unfold(x, 3)
    folded = jconv.fold(patches, 3, input_shape=x.shape)
    assert patches.dtype == folded.dtype == x.dtype
    np.testing.assert_array_equal(np.asarray(folded[0, 2, 2, 0]), np.asarray(9 * x[0, 2, 2, 0]))


@pytest.mark.export
@pytest.mark.parametrize(("stride", "padding"), [(1, [(1, 2), (0, 1)]), (2, "SAME"), (3, "VALID")])
def test_symbolic_sizes(padding, stride):
    settings = {"stride": stride, "padding": padding}

    def there_and_back(x):
        p = jconv.unfold(x, 3, **settings)
        return p, jconv.fold(p, 3, input_shape=x.shape, **settings)

    shape = export.symbolic_shape("b,h,w,2", constraints=["h>=3", "w>=3"])
    program = export.export(jax.jit(there_and_back))(jax.ShapeDtypeStruct(shape, jnp.float32))
    for sizes in [(1, 4, 5), (2, 7, 6)]:
        x = integers((*sizes, 2), 1)
        for got, expected in zip(program.call(x), there_and_back(x), strict=True):
            np.testing.assert_array_equal(got, expected)


X, P = np.ones((1, 4, 4, 2), np.float32), np.ones((1, 4, 4, 18), np.float32)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: jconv.unfold([1], 3), "x"),
        (lambda: jconv.unfold(X[0, 0], 3), "x"),
        (lambda: jconv.unfold(X.astype(bool), 3), "x"),
        (lambda: jconv.unfold(X, (3,)), "kernel"),
        (lambda: jconv.unfold(X, 0), "kernel"),
        (lambda: jconv.unfold(X, 3, stride=(1, 2, 3)), "stride"),
        (lambda: jconv.unfold(X, 3, padding="SOME"), "padding"),
        (lambda: jconv.unfold(X, 3, layout="HWNC"), "layout"),
        (lambda: jconv.unfold(X, 3, padding_mode="mirror"), "padding_mode"),
        (lambda: jconv.fold(P[..., :10], 3, input_shape=(4, 4)), "patches"),
        (lambda: jconv.fold(P, 3, input_shape=(4,)), "input_shape"),
        (lambda: jconv.fold(P, 3, input_shape=(5, 4)), "input_shape"),
        (lambda: jconv.fold(P, 3, input_shape=(1, 4, 4, 3)), "input_shape"),
    ],
)
def test_bad_input(call, argument):
    with pytest.raises(jconv.ConvError, match=r"^(un)?fold: ") as caught:
        call()
    assert caught.value.argument == argument
    assert not {remedy.argument for remedy in caught.value.remedies} & {"w", "g", "groups"}


def test_the_first_remedy_mends_the_call():
    with pytest.raises(jconv.ConvError) as caught:
        jconv.fold(P, 3, input_shape=(5, 4))
    remedy = caught.value.remedies[0]
    assert jconv.fold(P, 3, **{remedy.argument: remedy.value}).shape[0] == 1
