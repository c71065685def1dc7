"""Stacking, pooling, sums and means of ragged batches, and what is refused."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv import ragged

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(-5, 6, (*size, 2)).astype(np.float32) for size in [(5, 8), (7, 3), (1, 6)]]


@pytest.mark.parametrize("layout", [None, "NCHW"])
def test_stack_and_unstack(layout: str | None) -> None:
    given = IMAGES if layout is None else [np.moveaxis(image, -1, 0) for image in IMAGES]
    x, sizes = ragged.stack(given, multiple_of=(4, 3), layout=layout)
    assert x.shape == ((3, 8, 9, 2) if layout is None else (3, 2, 8, 9))
    assert sizes.dtype == jnp.int32
    np.testing.assert_array_equal(sizes, [(5, 8), (7, 3), (1, 6)])
    for one, image in zip(ragged.unstack(x, sizes, layout=layout), given, strict=True):
        np.testing.assert_array_equal(one, image)
    spoiled = jnp.where(ragged.mask(jnp.ones_like(x), sizes, layout=layout) == 0, jnp.nan, x)
    np.testing.assert_array_equal(ragged.mask(spoiled, sizes, layout=layout), x)
    total = ragged.sum(spoiled, sizes, layout=layout)
    np.testing.assert_array_equal(total, [image.sum((0, 1)) for image in IMAGES])
    means = ragged.mean(spoiled, sizes, layout=layout)
    np.testing.assert_allclose(means, [image.mean((0, 1)) for image in IMAGES], rtol=1e-6)


def test_stack_inside_jit_and_to_a_given_size() -> None:
    x, sizes = jax.jit(lambda *images: ragged.stack(images, largest=(7, 9)))(*IMAGES)
    wanted, same = ragged.stack(IMAGES, largest=(7, 9))
    np.testing.assert_array_equal(x, wanted)
    np.testing.assert_array_equal(sizes, same)


def windows(image: Any, k: Any, s: Any, d: Any, padding: str, outputs: Any) -> Any:
    """Every window's own places, by loops over the equation d*k + s*o - p0 = i."""
    pads = []
    for i, kernel, stride, dilation, o in zip(image.shape, k, s, d, outputs, strict=False):
        span = dilation * (kernel - 1) + 1
        p = max((o - 1) * stride + span - i, 0) if padding.startswith("SAME") else 0
        low = {"SAME": p // 2, "SAME_LOWER": p - p // 2, "CAUSAL": span - 1}.get(padding, 0)
        pads.append(low)
    for at in np.ndindex(*outputs):
        rows = []
        for axis, o in enumerate(at):
            found = [s[axis] * o + d[axis] * t - pads[axis] for t in range(k[axis])]
            rows.append([i for i in found if 0 <= i < image.shape[axis]])
        yield at, image[np.ix_(*rows)].reshape(-1, image.shape[-1])


@pytest.mark.parametrize("kind", ["max", "mean"])
@pytest.mark.parametrize(
    ("k", "s", "d", "padding"),
    [
        ((2, 2), (2, 2), (1, 1), "VALID"),
        ((3, 4), (2, 3), (1, 1), "SAME"),
        ((3, 2), (2, 1), (1, 2), "SAME_LOWER"),
        ((2, 3), (1, 2), (1, 1), "CAUSAL"),
    ],
)
def test_pool_sees_an_examples_own_places(kind: str, k: Any, s: Any, d: Any, padding: str) -> None:
    x, sizes = ragged.stack(IMAGES)
    spoiled = jnp.where(ragged.mask(jnp.ones_like(x), sizes) == 0, jnp.nan, x)

    def pooled(x: Any) -> Any:
        return ragged.pool(x, sizes, k, kind=kind, stride=s, padding=padding, dilation=d)

    y, y_sizes = pooled(spoiled)
    for n, image in enumerate(IMAGES):
        outputs = tuple(int(v) for v in y_sizes[n])
        shapes = jconv.plan((1, *image.shape), (*k, 2, 1), stride=s, padding=padding, dilation=d)
        assert outputs == shapes.y_shape[1:-1]
        wanted = np.zeros(y.shape[1:], np.float32)
        for at, values in windows(image, k, s, d, padding, outputs):
            wanted[at] = values.max(0) if kind == "max" else values.sum(0) / len(values)
        np.testing.assert_allclose(y[n], wanted, rtol=0 if kind == "max" else 1e-6)
    gradient = jax.grad(lambda x: pooled(x)[0].sum())(spoiled)
    np.testing.assert_array_equal(gradient, ragged.mask(gradient, sizes))
    np.testing.assert_allclose(gradient.sum(), y_sizes.prod(-1).sum() * 2, rtol=1e-6)


def test_a_mean_may_count_the_padding() -> None:
    x, sizes = ragged.stack(IMAGES)
    y, _ = ragged.pool(x, sizes, 3, kind="mean", stride=1, padding="SAME", count_padding=True)
    w = jnp.ones((3, 3, 1, 2))
    for n, image in enumerate(IMAGES):
        wanted = jconv.conv(image[None], w, groups=2)[0] / 9
        own = y[n, : image.shape[0], : image.shape[1]]
        np.testing.assert_allclose(own, wanted, rtol=1e-6)


X, Z, W = jnp.ones((2, 6, 5, 3)), np.array([[6, 5], [4, 2]]), jnp.ones((3, 3, 3, 4))


@pytest.mark.parametrize(
    ("argument", "match", "call"),
    [
        ("sizes", "7 rows for example 1", lambda: ragged.conv(X, W, Z - [[0, 0], [-3, 0]])),
        ("sizes", "-1 rows", lambda: ragged.mask(X, Z - [[0, 6], [0, 0]])),
        ("sizes", "shape is", lambda: ragged.conv(X, W, Z[:, :1])),
        ("sizes", "dtype", lambda: ragged.mean(X, Z.astype(float))),
        ("x", "channels", lambda: ragged.conv(X, W[:, :, :2], Z)),
        ("stride", "1 or more", lambda: ragged.conv(X, W, Z, stride=0)),
        ("padding", "example 1", lambda: ragged.conv(X, W, Z // 3, padding_mode="reflect")),
        (
            "output_sizes",
            "9 rows for example 0",
            lambda: ragged.conv_transpose(
                X, jnp.ones((3, 3, 4, 3)), Z, stride=2, output_sizes=2 * Z - [[3, 0], [0, 0]]
            ),
        ),
        ("kind", "choice", lambda: ragged.pool(X, Z, 2, kind="median")),
        ("window", "1 or more", lambda: ragged.pool(X, Z, 0)),
        ("arrays", "channels", lambda: ragged.stack([X[0], X[0, :, :, :1]])),
        ("arrays", "one array or more", lambda: ragged.stack([])),
        ("largest", "largest", lambda: ragged.stack([X[0]], largest=(5, 5))),
        ("layout", "names 3", lambda: ragged.mask(X, Z, layout="NWC")),
        ("sizes", "known", lambda: jax.jit(lambda z: ragged.unstack(X, z))(Z)),
    ],
)
def test_bad_input(argument: str, match: str, call: Any) -> None:
    with pytest.raises(jconv.ConvError, match=match) as caught:
        call()
    assert caught.value.argument == argument
    assert str(caught.value).startswith("ragged.")


def test_traced_sizes_out_of_range_are_clamped() -> None:
    run = jax.jit(lambda z: ragged.conv(X, W, z))
    y, y_sizes = run(Z - [[-9, 0], [0, 9]])
    np.testing.assert_array_equal(y_sizes, [[6, 5], [4, 0]])
    assert not y[1].any()
