"""clipped_grad against vmap of grad, on networks of every kind of layer that it has a rule for."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import AS_USERS

import jconv

DRAW = np.random.default_rng(0)


def drawn(*shape):
    return DRAW.standard_normal(shape) / 2


def tokens(*shape):
    return DRAW.integers(0, 7, shape)


def image_network(p, batch):
    """Convolutions by jconv and lax, transposed, grouped; norms, pooling, dense, biases."""
    x, label = batch
    y = jconv.conv(x, p["stem"], stride=(2, 1), padding_mode="edge", padding=1) + p["bias"]
    h = y.reshape(*y.shape[:3], 2, -1)
    h = (h - h.mean((1, 2, 4), keepdims=True)) / jnp.sqrt(h.var((1, 2, 4), keepdims=True) + 1e-3)
    y = jax.nn.relu(h.reshape(y.shape) * p["scale"] + p["shift"])
    y = jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, (1, 1, 2, 1), (1, 1, 2, 1), "SAME")
    y = jnp.moveaxis(y, -1, 1)
    y = jax.lax.conv_general_dilated(
        y, p["grouped"], (1, 1), "SAME", rhs_dilation=(2, 1), feature_group_count=2
    )
    y = jax.nn.gelu(jnp.moveaxis(y, 1, -1))
    y = jnp.tanh(jconv.conv_transpose(y, p["up"], stride=2))
    y = y + jax.lax.conv_transpose(y, p["same"], (1, 1), "SAME")
    logits = y.mean((1, 2)) @ p["dense"] + p["last"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], 1)[:, 0]


def language_network(p, words):
    """Embedding, positions, attention by einsum, norm over features, an output for each word."""
    h = p["table"][words] + p["places"]
    q, k = (jnp.einsum("btd,dhe->bthe", h, p[n]) for n in ("query", "key"))
    mixed = jax.nn.softmax(jnp.einsum("bthe,bshe->bhts", q, k))
    h = h + jnp.einsum("bhts,bshe->bthe", mixed, q).reshape(h.shape)
    h = (h - h.mean(-1, keepdims=True)) * jax.lax.rsqrt(h.var(-1, keepdims=True) + 1e-5)
    h = (h * p["scale"]).reshape(-1, 8) @ p["merged"]
    h = h.reshape(*words.shape, 7)
    return -jnp.take_along_axis(jax.nn.log_softmax(h), words[..., None], -1)[..., 0].mean(1)


def shared_network(p, x):
    """Parameters that meet the example twice, or after more than a change of shape."""
    w = (p["standard"] - p["standard"].mean((0, 1, 2))) / p["standard"].std((0, 1, 2))
    y = jax.checkpoint(lambda x, w: jnp.tanh(jconv.conv(x, w, stride=2)))(x, w)
    y = jnp.tanh(jconv.conv(y, p["twice"]) + p["bias"])
    y = jnp.tanh(jconv.conv(y, p["twice"], dilation=2) + p["bias"])
    y = jax.vmap(lambda x: x.reshape(-1) @ p["dense"])(y)
    return jnp.sum(y**2, -1) + 0.01 * jnp.sum(p["dense"] ** 2)


def tied_network(p, words):
    h = jnp.tanh(p["table"][words] @ p["dense"])
    h = jax.nn.log_softmax(h @ p["table"].T)
    return -jnp.take_along_axis(h, words[..., None], -1)[..., 0].mean(1)


NETWORKS = {
    "images": (
        image_network,
        {
            "stem": (3, 3, 3, 4),
            "bias": (4,),
            "scale": (4,),
            "shift": (4,),
            "grouped": (6, 2, 2, 3),
            "up": (2, 2, 5, 6),
            "same": (3, 2, 5, 5),
            "dense": (5, 3),
            "last": (3,),
        },
        (drawn(5, 8, 7, 3), DRAW.integers(0, 3, 5)),
        {"dense: ", "conv: ", "input_grad: ", "sums over places"},
    ),
    "language": (
        language_network,
        {
            "table": (7, 8),
            "places": (6, 8),
            "query": (8, 2, 4),
            "key": (8, 2, 4),
            "scale": (8,),
            "merged": (8, 7),
        },
        tokens(4, 6),
        {"dense: ", "embedding: ", "sums over places"},
    ),
    "shared": (
        shared_network,
        {"standard": (3, 3, 2, 3), "twice": (3, 2, 3, 3), "bias": (3,), "dense": (27, 2)},
        drawn(4, 5, 6, 2),
        {"formed", "sums over places"},
    ),
    "tied": (tied_network, {"table": (7, 5), "dense": (5, 5)}, tokens(3, 4), {"formed", "dense: "}),
}


def by_vmap(loss, params, batch, max_norm):
    def one(params, example):
        return loss(params, jax.tree.map(lambda a: a[None], example))[0]

    grads = jax.vmap(jax.grad(one), (None, 0))(params, batch)
    leaves = jax.tree.leaves(grads)
    norms = jnp.sqrt(sum(jnp.sum(g.reshape(len(g), -1) ** 2, 1) for g in leaves))
    weights = jnp.minimum(1, max_norm / norms)
    return jax.tree.map(lambda g: jnp.tensordot(weights, g, 1), grads), norms


def agree(loss, params, batch, tolerance, **how):
    """Both ways in one program, half of the examples clipped; the norms."""

    @jax.jit
    def both(params, batch):
        _, norms = by_vmap(loss, params, batch, 1.0)
        max_norm = jnp.median(norms)
        how_much = jconv.clipped_grad(loss, max_norm=max_norm, return_norms=True, **how)
        return how_much(params, batch), by_vmap(loss, params, batch, max_norm)

    got, wanted = both(params, batch)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())
    return got[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "shapes", "batch", "ways"), NETWORKS.values(), ids=NETWORKS)
def test_equal_to_vmap_of_grad(loss, shapes, batch, ways, dtype):
    with jax.enable_x64(dtype == "float64"):
        cast = lambda a: jnp.asarray(a, dtype if a.dtype.kind == "f" else None)  # noqa: E731
        params = {name: cast(drawn(*shape)) for name, shape in shapes.items()}
        batch = jax.tree.map(cast, batch)
        agree(loss, params, batch, 1e-10 if dtype == "float64" else 3e-5)
        rows = jconv.clipped_grad(loss, max_norm=1.0).plan(params, batch)
    for way in ways:
        assert any(row.way.startswith(way) for row in rows), (way, rows)
    assert sorted(name for row in rows for name in row.parameters) == sorted(
        f"['{name}']" for name in params
    )


def recurrent(p, x):
    def step(h, x):
        return jnp.tanh(h @ p["u"] + x), None

    h, _ = jax.lax.scan(step, jnp.zeros((x.shape[0], 4)), jnp.swapaxes(x, 0, 1))
    return h @ p["o"]


def test_what_has_no_rule_is_formed_and_says_so_once():
    params = {"u": jnp.asarray(drawn(4, 4), jnp.float32), "o": jnp.asarray(drawn(4), jnp.float32)}
    x = jnp.asarray(drawn(3, 5, 4), jnp.float32)
    fn = jconv.clipped_grad(recurrent, max_norm=1.0)
    with pytest.warns(UserWarning, match=r"no rule for the norm of \['u'\], used in scan"):
        fn(params, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fn(params, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agree(recurrent, params, x, 1e-5)


def two_arguments(w, x, b, scale=1.0, *, power):
    return scale * jnp.sum(jnp.abs(jconv.conv(x["image"], w["f"]) + b) ** power, (1, 2, 3))


def test_arguments_and_what_is_no_parameter():
    w = {"f": jnp.asarray(drawn(3, 3, 2, 2), jnp.float32), "name": "conv", "steps": jnp.arange(3)}
    x = {"image": jnp.asarray(drawn(3, 4, 4, 2), jnp.float32), "kind": "drawn"}
    b = jnp.ones(2)
    fn = jconv.clipped_grad(two_arguments, max_norm=1.0, argnums=(2, 0), normalize_by=4.0)
    of_b, of_w = fn(w, x, b, 2.0, power=2)
    assert of_w["name"] is None
    assert of_w["steps"] is None
    norm = jnp.sqrt(jnp.sum(of_b**2) + jnp.sum(of_w["f"] ** 2))
    assert 0 < norm <= 3 / 4
    loose = jconv.clipped_grad(two_arguments, max_norm=1e9, argnums=(2,))
    (of_b,) = loose(w, x, b, 2.0, power=2)
    plain = jax.grad(lambda b: two_arguments(w, x, b, 2.0, power=2).sum())(b)
    np.testing.assert_allclose(of_b, plain, rtol=1e-5)


def test_batches_of_none_and_of_one():
    params = {"w": jnp.ones((3, 3, 2, 2))}
    loss = lambda p, x: jnp.sum(jconv.conv(x, p["w"]) ** 2, (1, 2, 3))  # noqa: E731
    fn = jconv.clipped_grad(loss, max_norm=2.0, return_norms=True)
    grads, norms = fn(params, jnp.zeros((0, 4, 4, 2)))
    np.testing.assert_array_equal(grads["w"], np.zeros((3, 3, 2, 2)))
    assert norms.shape == (0,)
    grads, norms = fn(params, jnp.ones((1, 4, 4, 2)))
    np.testing.assert_allclose(jnp.linalg.norm(grads["w"].ravel()), 2.0, rtol=1e-6)
    grads, norms = fn(params, jnp.zeros((2, 4, 4, 2)))  # nothing to clip, and nothing is nan
    np.testing.assert_array_equal(norms, [0, 0])
    np.testing.assert_array_equal(grads["w"], np.zeros((3, 3, 2, 2)))


def test_a_flax_module_has_its_params_differentiated_alone():
    nnx = pytest.importorskip("flax.nnx", reason="flax is missing: install the extra `adoption`")

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(2, 4, (3, 3), rngs=rngs)
            self.norm = nnx.BatchNorm(4, use_running_average=True, rngs=rngs)

        def __call__(self, x):
            return jnp.tanh(self.norm(self.conv(x)))

    x = jnp.asarray(drawn(3, 5, 5, 2), jnp.float32)
    model = Network(nnx.Rngs(0))
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    loss = lambda model, x: jnp.sum(model(x) ** 2, (1, 2, 3))  # noqa: E731
    how = {"max_norm": 1.0, "return_norms": True}
    grads, norms = jconv.clipped_grad(loss, **how)(model, x)
    split, wanted = jconv.clipped_grad(lambda p, x: loss(nnx.merge(graph, p, rest), x), **how)(
        params, x
    )
    np.testing.assert_allclose(norms, wanted, rtol=1e-6)
    kernel = split["conv"]["kernel"]
    np.testing.assert_allclose(grads.conv.kernel[...], kernel[...], rtol=1e-5, atol=1e-6)


def batch_norm(p, x):
    y = jconv.conv(x, p)
    y = (y - y.mean((0, 1, 2))) / jnp.sqrt(y.var((0, 1, 2)) + 1e-3)
    return jnp.sum(jnp.tanh(y), (1, 2, 3))


def mixup(p, x):
    return jnp.sum(jconv.conv(0.7 * x + 0.3 * x[::-1], p) ** 2, (1, 2, 3))


def contrastive(p, x):
    y = jnp.sum(jconv.conv(x, p), (1, 2))
    return -jnp.diag(jax.nn.log_softmax(y @ y.T))


def batch_norm_merged(p, x):
    y = jax.jit(lambda x: jconv.conv(x, p).reshape(-1, 2))(x)
    return jnp.sum(jnp.tanh(y - y.mean(0)).reshape(x.shape[0], -1), 1)


@pytest.mark.parametrize("loss", [batch_norm, mixup, contrastive, batch_norm_merged])
def test_examples_that_depend_on_each_other_are_refused(loss):
    with pytest.raises(jconv.ConvError, match="depends on other examples") as caught:
        jconv.clipped_grad(loss, max_norm=1.0)(jnp.ones((3, 3, 2, 2)), jnp.ones((4, 5, 5, 2)))
    assert caught.value.argument == "loss"


P, X = jnp.ones((3, 3, 2, 2)), jnp.ones((4, 5, 5, 2))


@pytest.mark.parametrize(
    ("make", "call", "argument"),
    [
        ({"max_norm": 0.0}, None, "max_norm"),
        ({"max_norm": "one"}, None, "max_norm"),
        ({"argnums": 1}, None, "argnums"),
        ({"argnums": -1}, None, "argnums"),
        ({"batch_argnums": 1.5}, None, "batch_argnums"),
        ({"loss": 3}, None, "loss"),
        ({"argnums": 5}, (P, X), "argnums"),
        ({}, (P, (X, X[:2])), "batch_argnums"),
        ({}, (P, 1.0), "batch_argnums"),
        ({"loss": lambda p, x: jnp.sum(p) + jnp.sum(x)}, (P, X), "loss"),
        ({"loss": lambda p, x: jnp.zeros(4)}, (P, X), "loss"),
        ({"loss": lambda p, x: jnp.zeros(len(x))}, (P, X), "batch_argnums"),
    ],
)
def test_bad_input(make, call, argument):
    loss = make.pop("loss", lambda p, x: jnp.sum(jconv.conv(x, p), (1, 2, 3)))
    with pytest.raises(jconv.ConvError, match=r"^clipped_grad: ") as caught:
        jconv.clipped_grad(loss, **{"max_norm": 1.0, **make})(*(call or ()))
    assert caught.value.argument == argument


def test_no_gradient_of_every_example_is_held():
    shapes = [(3, 3, 3, 64), (3, 3, 64, 256), (3, 3, 256, 256)]

    def loss(params, x):
        for w in params:
            x = jax.nn.relu(jconv.conv(x, w, stride=2))
        return jnp.sum(x**2, (1, 2, 3))

    params = [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes]
    x = jax.ShapeDtypeStruct((32, 32, 32, 3), jnp.float32)

    def held(fn):
        return jax.jit(fn).lower(params, x).compile(AS_USERS).memory_analysis().temp_size_in_bytes

    plain = held(jax.grad(lambda params, x: loss(params, x).sum()))
    assert held(jconv.clipped_grad(loss, max_norm=1.0)) < 1.5 * plain
