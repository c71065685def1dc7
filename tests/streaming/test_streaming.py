"""Streams: chunks' results joined are the whole's, exactly, under every transformation."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv import streaming
from jconv.testing import reference


@dataclasses.dataclass(frozen=True)
class Draw:
    """A random stream, where it is cut, and the pads of the spatial axes behind time."""

    x: Any
    w: Any
    bounds: list[int]
    padding: Any
    pads: list[tuple[int, int]]
    keywords: dict[str, Any]


def whole_numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(-3, 4, shape).astype(np.float32)


def draw(seed: int) -> Draw:
    rng = np.random.default_rng(seed)
    rank = int(rng.choice([1, 1, 2, 3]))

    def pick(high: int) -> tuple[int, ...]:
        return tuple(int(v) for v in rng.integers(1, high + 1, rank))

    k, s = (pick(5), pick(4)) if rank == 1 else (pick(3), pick(2))
    d = pick(3) if rng.random() < 0.4 else (1,) * rank
    n, groups, c, f = (int(rng.integers(1, 3)) for _ in range(4))
    spatial = tuple(int(v) for v in rng.integers(6, 9, rank - 1))
    pads = [tuple(int(v) for v in rng.integers(0, 3, 2)) for _ in spatial]
    padding: Any = pads or "SAME"
    if rank > 1 and rng.random() < 0.5:
        padding, pads = "VALID", [(0, 0)] * (rank - 1)
    steps = int(rng.integers(1, 7))
    cuts = sorted(int(v) for v in rng.integers(0, steps + 1, int(rng.integers(0, 4))))
    x = whole_numbers(rng, (n, steps * s[0], *spatial, c * groups))
    w = whole_numbers(rng, (*k, c, f * groups))
    keywords = {"stride": s, "dilation": d, "groups": groups}
    return Draw(x, w, [0, *cuts, steps], padding, pads, keywords)


def joined(operation: Any, x: Any, drawn: Draw, rows: int, channels: int, spatial: Any) -> Any:
    """The results of all chunks, `rows` of x for each step, and the state that is left."""
    state = streaming.init(
        drawn.w, batch=len(x), channels=channels, spatial=spatial, **drawn.keywords
    )
    parts = []
    for first, last in zip(drawn.bounds, drawn.bounds[1:], strict=False):
        chunk = x[:, first * rows : last * rows]
        y, state = operation(chunk, drawn.w, state, padding=drawn.padding, **drawn.keywords)
        parts.append(y)
    return np.concatenate(parts, axis=1), state


def check(drawn: Draw) -> None:
    x, w, keywords = drawn.x, drawn.w, drawn.keywords
    stride, window = keywords["stride"][0], keywords["dilation"][0] * (w.shape[0] - 1) + 1
    y, _ = joined(streaming.conv, x, drawn, stride, x.shape[-1], x.shape[2:-1])
    pads = [(window - 1, 0), *drawn.pads]
    np.testing.assert_array_equal(y, reference.conv(x, w, padding=pads, **keywords))

    g = whole_numbers(np.random.default_rng(1), y.shape)
    back, left = joined(streaming.conv_transpose, g, drawn, 1, w.shape[-1], x.shape[2:-1])
    # Everything that the windows write, and no padding: what is left in the state follows.
    everything = reference.conv_transpose(
        g,
        w,
        padding=[(0, 0), *drawn.pads],
        output_shape=(stride * (g.shape[1] - 1) + window, *x.shape[2:-1]),
        **keywords,
    )
    length = max(back.shape[1], everything.shape[1])
    wanted = np.zeros((len(x), length, *everything.shape[2:]), np.float32)
    wanted[:, : everything.shape[1]] = everything
    got = np.concatenate([back, left], axis=1)[:, :length]
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("seed", range(10))
def test_chunks_joined_are_the_whole(seed: int) -> None:
    check(draw(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 300))
def test_chunks_joined_are_the_whole_in_many_ways(seed: int) -> None:
    check(draw(seed))


RNG = np.random.default_rng(0)
X = whole_numbers(RNG, (2, 24, 3))
DOWN, UP = whole_numbers(RNG, (5, 3, 4)), whole_numbers(RNG, (4, 3, 4))


def whole(x: Any, down: Any, up: Any) -> Any:
    h = jconv.conv(x, down, stride=2, padding="CAUSAL")
    return jconv.conv_transpose(jnp.abs(h) + 1, up, stride=2, padding=[(0, 2)])


def first_state() -> Any:
    return (
        streaming.init(DOWN, batch=2, channels=3, stride=2),
        streaming.init(UP, batch=2, channels=4, stride=2),
    )


def step(state: Any, chunk: Any, down: Any, up: Any) -> Any:
    h, first = streaming.conv(chunk, down, state[0], stride=2)
    y, second = streaming.conv_transpose(jnp.abs(h) + 1, up, state[1], stride=2)
    return (first, second), y


def scanned(x: Any, down: Any, up: Any, rows: int = 4) -> Any:
    chunks = jnp.moveaxis(x.reshape(2, -1, rows, 3), 1, 0)
    _, y = jax.lax.scan(lambda s, c: step(s, c, down, up), first_state(), chunks)
    return jnp.moveaxis(y, 0, 1).reshape(2, -1, 3)


@pytest.mark.parametrize(
    "modes", ["circular", ["circular", "edge"], [("zeros", "reflect"), "edge"]]
)
def test_padding_modes_of_the_axes_behind_time(modes: Any) -> None:
    x, w = whole_numbers(RNG, (2, 6, 5, 6, 3)), whole_numbers(RNG, (2, 3, 3, 3, 4))
    pads = [(1, 2), (2, 1)]
    state = streaming.init(w, batch=2, channels=3, spatial=(5, 6))
    parts = []
    for chunk in x[:, :4], x[:, 4:]:
        y, state = streaming.conv(chunk, w, state, padding=pads, padding_mode=modes)
        parts.append(y)
    each = [modes] * 2 if isinstance(modes, str) else modes
    wanted = reference.conv(x, w, padding=[(1, 0), *pads], padding_mode=["zeros", *each])
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), wanted)


def test_under_scan_grad_and_jvp() -> None:
    np.testing.assert_array_equal(jax.jit(scanned)(X, DOWN, UP), whole(X, DOWN, UP))

    def loss(run: Any) -> Any:
        return lambda *at: (run(*at) ** 2).sum()

    at = (jnp.asarray(X), jnp.asarray(DOWN), jnp.asarray(UP))
    for transform in (
        lambda f: jax.grad(f, argnums=(0, 1, 2))(*at),
        lambda f: jax.jvp(jax.grad(f, argnums=(0, 1, 2)), at, at)[1],
    ):
        got, want = transform(loss(scanned)), transform(loss(whole))
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_under_vmap_each_stream_has_its_state() -> None:
    xs = jnp.stack([jnp.asarray(X), jnp.asarray(X[::-1])])
    state = jax.tree.map(lambda zeros: jnp.stack([zeros, zeros]), first_state())
    parts = []
    for chunk in jnp.split(xs, 3, axis=2):
        state, y = jax.vmap(step, (0, 0, None, None))(state, chunk, DOWN, UP)
        parts.append(y)
    wanted = jnp.stack([whole(x, DOWN, UP) for x in xs])
    np.testing.assert_array_equal(jnp.concatenate(parts, axis=2), wanted)


def test_layout_and_half_precision() -> None:
    x, w = (jnp.asarray(v).astype("bfloat16") for v in (X, DOWN))
    first = jnp.moveaxis(w, (0, 1, 2), (2, 1, 0))
    state = streaming.init(first, batch=2, channels=3, layout="NCW")
    assert state.dtype == "float32"
    parts = []
    for chunk in jnp.split(jnp.moveaxis(x, -1, 1), 2, axis=2):
        y, state = streaming.conv(chunk, first, state, layout="NCW")
        parts.append(y)
    wanted = jconv.conv(X, DOWN, padding="CAUSAL").astype("bfloat16")
    np.testing.assert_array_equal(jnp.moveaxis(jnp.concatenate(parts, 2), 1, -1), wanted)


STATE = streaming.init(DOWN, batch=2, channels=3)


@pytest.mark.parametrize(
    ("argument", "match", "call"),
    [
        (
            "chunk",
            "multiple of the stride",
            lambda: streaming.conv(X[:, :3], DOWN, STATE, stride=2),
        ),
        ("state", "go on from", lambda: streaming.conv(X, DOWN, STATE[:, 1:])),
        ("state", "must be an array", lambda: streaming.conv(X, DOWN, None)),
        ("w", "channels", lambda: streaming.conv(X[:, :, :2], DOWN, STATE)),
        ("channels", "not 5", lambda: streaming.init(DOWN, batch=2, channels=5)),
        (
            "spatial",
            "0 spatial axes",
            lambda: streaming.init(DOWN, batch=2, channels=3, spatial=(4,)),
        ),
        ("w", "2 dimensions", lambda: streaming.init(DOWN[0], batch=2, channels=3)),
        ("stride", "1 or more", lambda: streaming.conv(X, DOWN, STATE, stride=0)),
        (
            "padding_mode",
            "no choice 'mirror'",
            lambda: streaming.conv(X, DOWN, STATE, padding_mode="mirror"),
        ),
    ],
)
def test_bad_input(argument: str, match: str, call: Any) -> None:
    with pytest.raises(jconv.ConvError, match=match) as caught:
        call()
    assert caught.value.argument == argument
    assert str(caught.value).startswith("streaming.")
