"""Ragged convolutions against loops over every example alone, values and gradients, exactly."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv.testing import reference


@dataclasses.dataclass(frozen=True)
class Draw:
    """A random ragged convolution."""

    x: Any
    w: Any
    sizes: Any
    keywords: dict[str, Any]


def whole_numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(-3, 4, shape).astype(np.float32)


def draw(seed: int) -> Draw:
    rng = np.random.default_rng(seed)
    rank = int(rng.choice([1, 1, 2, 2, 2, 3]))
    most = 4 if rank < 3 else 2

    def pick(high: int) -> tuple[int, ...]:
        return tuple(int(v) for v in rng.integers(1, high + 1, rank))

    ones = (1,) * rank
    groups, c, f = (int(rng.integers(1, 3)) for _ in range(3))
    pairs = [tuple(int(v) for v in rng.integers(-2, 4, 2)) for _ in range(rank)]
    rules = ["SAME", "SAME", "SAME_LOWER", "VALID", "CAUSAL", int(rng.integers(0, 3)), pairs]
    padding = rules[rng.integers(0, len(rules))]
    dilation = pick(2) if rng.random() < 0.4 else ones
    mode, holes = "zeros", ones
    if rng.random() < 0.35:
        mode = str(rng.choice(["reflect", "edge", "circular", "of each side"]))
        if mode == "of each side":
            names = ["zeros", "reflect", "edge", "circular"]
            mode = [tuple(str(m) for m in rng.choice(names, 2)) for _ in range(rank)]
    elif rng.random() < 0.3:
        holes = pick(3)
    largest = tuple(int(v) for v in rng.integers(4, 12 if rank < 3 else 6, rank))
    n = int(rng.integers(1, 5))
    keywords = {
        "stride": pick(most),
        "padding": padding,
        "dilation": dilation,
        "input_dilation": holes,
        "groups": groups,
        "padding_mode": mode,
    }
    x = whole_numbers(rng, (n, *largest, c * groups))
    w = whole_numbers(rng, (*pick(most), c, f * groups))
    sizes = np.stack([rng.integers(0 if mode == "zeros" else 3, m + 1, n) for m in largest], 1)
    try:
        for size in sizes:
            reference.conv(own(x[0], size), w, **keywords)
    except ValueError:  # a border longer than the rows that it would copy
        keywords["padding_mode"] = "zeros"
    return Draw(x, w, sizes, keywords)


def own(array: Any, size: Any) -> Any:
    """One example within its own size, as a batch of one."""
    return np.asarray(array)[tuple(slice(int(rows)) for rows in size)][None]


def spoiled(array: Any, sizes: Any) -> Any:
    """The batch with NaN wherever no example is."""
    out = np.full_like(array, np.nan)
    for n, size in enumerate(sizes):
        at = tuple(slice(int(rows)) for rows in size)
        out[n][at] = array[n][at]
    return out


def filled(parts: list[Any], shape: tuple[int, ...]) -> Any:
    """Examples of their own sizes in a batch of zeros."""
    out = np.zeros(shape, np.float32)
    for n, part in enumerate(parts):
        out[n][tuple(slice(rows) for rows in part.shape[:-1])] = part
    return out


def check(drawn: Draw) -> None:
    x, w, sizes, keywords = drawn.x, drawn.w, drawn.sizes, drawn.keywords

    @jax.jit
    def run(x: Any, w: Any, sizes: Any, g: Any) -> Any:
        y, pull, y_sizes = jax.vjp(
            lambda x, w: jconv.ragged.conv(x, w, sizes, **keywords), x, w, has_aux=True
        )
        return y, y_sizes, pull(g)

    alone = [reference.conv(own(x[n], size), w, **keywords)[0] for n, size in enumerate(sizes)]
    shape = jax.eval_shape(lambda: jconv.ragged.conv(x, w, sizes, **keywords)[0]).shape
    g = whole_numbers(np.random.default_rng(1), shape)
    made = [part.shape[:-1] for part in alone]
    y, y_sizes, (dx, dw) = run(spoiled(x, sizes), w, sizes, spoiled(g, made))
    assert y_sizes.dtype == jnp.int32
    np.testing.assert_array_equal(y_sizes, np.array(made))
    np.testing.assert_array_equal(y, filled(alone, shape))

    grads = [
        reference.conv_input_grad(own(g[n], made[n]), w, input_shape=tuple(size), **keywords)[0]
        for n, size in enumerate(sizes)
    ]
    np.testing.assert_array_equal(dx, filled(grads, x.shape))
    filters = [
        reference.conv_filter_grad(
            own(x[n], size), own(g[n], made[n]), filter_shape=w.shape, **keywords
        )
        for n, size in enumerate(sizes)
    ]
    np.testing.assert_array_equal(dw, sum(filters))

    if max(keywords["input_dilation"]) == 1:
        settings = {k: v for k, v in keywords.items() if k != "input_dilation"}
        back, back_sizes = jconv.ragged.conv_transpose(
            spoiled(g, made),
            w,
            np.array(made),
            output_sizes=sizes,
            output_shape=x.shape[1:-1],
            **settings,
        )
        np.testing.assert_array_equal(back_sizes, sizes)
        np.testing.assert_array_equal(back, dx)


@pytest.mark.parametrize("seed", range(8))
def test_every_example_is_as_if_it_were_alone(seed: int) -> None:
    check(draw(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 300))
def test_every_example_is_as_if_it_were_alone_in_many_ways(seed: int) -> None:
    check(draw(seed))


@pytest.mark.parametrize(
    "keywords",
    [
        {"stride": 3, "padding": "SAME_LOWER"},
        {"stride": 2, "padding": [(2, 1)]},
        {"stride": 2, "padding": "VALID", "output_padding": 1},
        {"stride": 2, "padding": "CAUSAL", "layout": "NCW"},
        {"stride": 2, "padding": "SAME", "padding_mode": "circular"},
    ],
    ids=str,
)
def test_transposed_sizes_are_those_of_each_example_alone(keywords: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, w = whole_numbers(rng, (3, 6, 2)), whole_numbers(rng, (4, 1, 2))
    sizes = np.array([6, 3, 5], np.int32)
    first = keywords.get("layout") == "NCW"
    given = np.moveaxis(w, 0, -1).swapaxes(0, 1) if first else w
    y, y_sizes = jconv.ragged.conv_transpose(
        np.moveaxis(x, -1, 1) if first else x, given, sizes, **keywords
    )
    y = jnp.moveaxis(y, 1, -1) if first else y
    plain = {k: v for k, v in keywords.items() if k != "layout"}
    alone = [reference.conv_transpose(own(x[n], sizes[n : n + 1]), w, **plain)[0] for n in range(3)]
    np.testing.assert_array_equal(y_sizes, [len(part) for part in alone])
    np.testing.assert_array_equal(y, filled(alone, y.shape))


def test_second_derivatives_are_those_of_each_example_alone() -> None:
    rng = np.random.default_rng(0)
    x, w = whole_numbers(rng, (2, 7, 6, 2)), whole_numbers(rng, (3, 3, 2, 2))
    sizes = np.array([[7, 4], [4, 5]], np.int32)
    settings = {"stride": 2, "padding_mode": "edge"}

    def product(f: Any, *at: Any) -> Any:
        """The Hessian of the sum of f cubed, times one."""
        loss = lambda *at: (f(*at) ** 3).sum()  # noqa: E731
        return jax.jvp(jax.grad(loss, argnums=(0, 1)), at, tuple(jnp.ones_like(v) for v in at))[1]

    masked = jconv.ragged.mask(x, sizes)
    hx, hw = product(lambda x, w: jconv.ragged.conv(x, w, sizes, **settings)[0], masked, w)
    alone = [
        product(lambda x, w: jconv.conv(x, w, **settings), jnp.asarray(own(x[n], sizes[n])), w)
        for n in range(2)
    ]
    np.testing.assert_array_equal(hx, filled([np.asarray(a[0][0]) for a in alone], x.shape))
    np.testing.assert_array_equal(hw, sum(np.asarray(a[1]) for a in alone))


@pytest.mark.parametrize("stride", [1, 2])
def test_at_the_size_where_the_planner_leaves_direct(stride: int) -> None:
    rng = np.random.default_rng(0)
    x, w = whole_numbers(rng, (4, 40, 40, 64)), whole_numbers(rng, (3, 3, 64, 64))
    sizes = np.array([[40, 31], [22, 40], [9, 17], [39, 40]], np.int32)
    if stride == 1:
        assert jconv.plan(x.shape, w.shape, platform="cpu").legs["conv"].algorithm != "direct"
    run = jax.jit(lambda x, w, sizes: jconv.ragged.conv(x, w, sizes, stride=stride)[0])
    bound = 1e-3 * float(np.abs(x).max() * np.abs(w).max())
    for policy, most in (("exact", 0.0), ("direct", 0.0), ("auto", bound)):
        with jconv.policy(policy):
            y = run(spoiled(x, sizes), w, sizes)
        with jconv.policy("direct"):
            alone = [
                np.asarray(jconv.conv(own(x[n], sizes[n]), w, stride=stride))[0] for n in (1, 3)
            ]
        wanted = filled(alone, (2, *y.shape[1:]))
        assert np.abs(np.asarray(y)[[1, 3]] - wanted).max() <= most, policy
        np.testing.assert_array_equal(jconv.ragged.mask(y, -(-sizes // stride)), y)


def test_a_stride_with_many_paddings() -> None:
    """SAME with a stride of 9 has more starts of an example's rows than are slices."""
    rng = np.random.default_rng(3)
    x, w = whole_numbers(rng, (6, 47, 2)), whole_numbers(rng, (11, 2, 3))
    keywords = {"stride": (9,), "padding": "SAME", "dilation": (1,), "input_dilation": (1,)}
    sizes = np.array([[47], [46], [40], [31], [12], [5]], np.int32)
    check(Draw(x, w, sizes, {**keywords, "groups": 1, "padding_mode": "zeros"}))


def test_half_precision_and_whole_numbers() -> None:
    rng = np.random.default_rng(0)
    x, w = whole_numbers(rng, (2, 9, 2)), whole_numbers(rng, (3, 2, 2))
    sizes = np.array([9, 6], np.int32)
    wanted, _ = jconv.ragged.conv(x, w, sizes, stride=2, padding_mode="reflect")
    for dtype in ("bfloat16", "int32"):
        operands = (jnp.asarray(v).astype(dtype) for v in (x, w))
        y, _ = jconv.ragged.conv(*operands, sizes, stride=2, padding_mode="reflect")
        assert y.dtype == dtype
        np.testing.assert_array_equal(y.astype("float32"), wanted)
