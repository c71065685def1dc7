"""A chain's plan for streams, followed by hand: what comes out is the whole's, so much later."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv import streaming

SAME_NET = [
    ("conv", {"name": "a", "features": 4, "kernel": 3}),
    "relu",
    ("conv", {"name": "b", "features": 4, "kernel": 5, "stride": 2, "padding": [(2, 2)]}),
    ("conv", {"name": "c", "features": 4, "kernel": 3, "dilation": 2}),
    ("add", {"name": "sum", "with": "b"}),
    ("conv_transpose", {"name": "d", "features": 2, "kernel": 4, "stride": 2, "padding": 1}),
]
CAUSAL_NET = [
    ("conv", {"name": "a", "features": 4, "kernel": 5, "stride": 3, "padding": "CAUSAL"}),
    "relu",
    ("conv", {"name": "b", "features": 4, "kernel": 2, "stride": 2, "padding": "CAUSAL"}),
    ("conv", {"name": "c", "features": 4, "kernel": 3, "dilation": 4, "padding": "CAUSAL"}),
    ("conv_transpose", {"name": "d", "features": 2, "kernel": 4, "stride": 2, "padding": [(0, 2)]}),
]
STRIDED_NET = [
    ("conv", {"name": "a", "features": 3, "kernel": 4, "stride": 2, "padding": [(1, 1)]}),
    ("conv", {"name": "b", "features": 3, "kernel": 3, "stride": 3, "padding": "VALID"}),
    ("conv", {"name": "c", "features": 3, "kernel": 3, "stride": 1, "padding": [(0, 1)]}),
]


def filters(chain: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(-2, 3, plan.w_shape).astype(np.float32)
        for name, plan in chain.plans.items()
    }


def settings_of(layer: Any) -> dict[str, Any]:
    return {k: v for k, v in layer.settings if k in ("stride", "padding", "dilation")}


def run_whole(chain: Any, x: Any, ws: Any) -> Any:
    made = {"x": x}
    for layer in chain.layers:
        if layer.kind in ("conv", "conv_transpose"):
            x = getattr(jconv, layer.kind)(x, ws[layer.name], **settings_of(layer))
        elif layer.kind == "add":
            x = x + made[layer.get("with")]
        else:
            x = jnp.maximum(x, 0)
        made[layer.name] = x
    return x


def run_stream(chain: Any, stream: Any, x: Any, ws: Any, rows: int) -> Any:
    """Each layer on chunks of its own, held back by `wait`, its first `offset` rows zeroed."""
    made = {"x": x}
    states = stream.init()
    for layer, row in zip(chain.layers, stream.rows, strict=True):
        if layer.kind == "add":
            other = made[layer.get("with")]
            late = next(r.offset for r in stream.rows if r.name == layer.get("with"))
            held = jnp.pad(other, [(0, 0), (row.offset - late, 0), (0, 0)])
            x = x + held[:, : x.shape[1]]
        elif layer.kind in ("conv", "conv_transpose"):
            x = jnp.pad(x, [(0, 0), (row.wait, 0), (0, 0)])
            stride = layer.get("stride", 1)
            size = rows * (stride if layer.kind == "conv" else 1)
            state, parts = states[row.name], []
            for at in range(0, x.shape[1] - size + 1, size):
                operation = getattr(streaming, layer.kind)
                taken = {k: v for k, v in settings_of(layer).items() if k != "padding"}
                y, state = operation(x[:, at : at + size], ws[row.name], state, **taken)
                assert state.shape == row.state
                parts.append(y)
            x = jnp.concatenate(parts, axis=1)
        else:
            x = jnp.maximum(x, 0)
        begun = jnp.arange(x.shape[1])[:, None] >= row.offset
        x = jnp.where(begun, x, 0)
        made[layer.name] = x
    return x


@pytest.mark.parametrize(
    "layers", [SAME_NET, CAUSAL_NET, STRIDED_NET], ids=["same", "causal", "strided"]
)
def test_the_streamed_network_is_the_whole_one(layers: Any) -> None:
    chain = jconv.plan_chain((2, 60, 3), layers)
    stream = chain.stream()
    x = np.random.default_rng(1).integers(-2, 3, (2, 60, 3)).astype(np.float32)
    ws = filters(chain)
    whole = np.asarray(run_whole(chain, x, ws))
    streamed = np.asarray(run_stream(chain, stream, x, ws, rows=1))[:, stream.offset :]
    assert streamed.shape[1] >= 5
    np.testing.assert_array_equal(streamed, whole[:, : streamed.shape[1]])
    if layers is CAUSAL_NET:
        assert (stream.offset, stream.latency, stream.multiple) == (0, 0, 6)
        assert streamed.shape == whole.shape
    # A row of the input changes no result that was due before it came.
    changed = x.copy()
    changed[:, 30:] += 1
    after = np.asarray(run_whole(chain, changed, ws))
    first = int(np.flatnonzero((after != whole).any(axis=(0, 2)))[0])
    assert first * chain.rows[-1].step[0] + stream.latency >= 30


def test_what_a_stream_plan_says() -> None:
    stream = jconv.plan_chain((1, 60, 3), SAME_NET).stream()
    assert [(row.name, row.wait, row.offset, row.latency) for row in stream.rows] == [
        ("a", 0, 1, 1),
        ("relu1", 0, 1, 1),
        ("b", 1, 2, 4),
        ("c", 0, 4, 8),
        ("sum", 2, 4, 8),
        ("d", 0, 9, 9),
    ]
    assert (stream.multiple, stream.latency, stream.offset) == (2, 9, 9)
    assert stream.memory == 4 * (2 * 3 + 4 * 4 + 4 * 4 + 2 * 4 + 3 * 2)
    assert "latency: 9 rows" in str(stream)


@pytest.mark.parametrize(
    ("argument", "layer"),
    [
        ("kind", "global_pool"),
        ("kind", "group_norm"),
        ("padding_mode", ("conv", {"features": 1, "kernel": 3, "padding_mode": "circular"})),
        ("method", ("upsample", {"factor": 2, "method": "linear"})),
        ("padding", ("conv", {"features": 1, "kernel": 3, "stride": 2})),
    ],
)
def test_layers_that_cannot_run_on_a_stream(argument: str, layer: Any) -> None:
    layers = [("conv", {"features": 1, "kernel": 3, "padding": "CAUSAL"}), layer]
    with pytest.raises(jconv.ConvError, match=r"ChainPlan.stream: layers\[1\]") as caught:
        jconv.plan_chain((1, "t", 3), layers, constraints=["t >= 9"]).stream()
    assert caught.value.argument == argument
