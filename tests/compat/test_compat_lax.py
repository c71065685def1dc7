"""jconv.compat.lax equals jax.lax, call for call, and runs gradients as what they are."""

from __future__ import annotations

import inspect
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jconv
from jconv.compat import lax as ours

FUNCTIONS = [
    "conv",
    "conv_dimension_numbers",
    "conv_general_dilated",
    "conv_general_dilated_patches",
    "conv_transpose",
    "conv_with_general_padding",
]
LHS = ["NCHW", "NHWC", "CHWN", "CNHW", "HWNC"]
RHS = ["OIHW", "HWIO", "IHWO", "IOHW", "WHOI"]


def integers(shape, seed, dtype=np.float32):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature(name):
    theirs, mine = (inspect.signature(getattr(home, name)) for home in (lax, ours))
    assert [*mine.parameters] == [*theirs.parameters]
    for key, parameter in theirs.parameters.items():
        assert mine.parameters[key].default == parameter.default, key
        assert mine.parameters[key].kind == parameter.kind, key


def check_equal(name, arrays, settings, gradient=True):
    """The results and, where asked, the gradients of a product with whole numbers."""

    def run(home):
        function = getattr(home, name)
        y, back = jax.vjp(lambda *a: function(*a, **settings), *arrays)
        weights = (jnp.arange(y.size).reshape(y.shape) % 5 - 2).astype(y.dtype)
        return y, back(weights) if gradient else ()

    with jax.numpy_dtype_promotion("strict"):
        got, expected = jax.jit(run, static_argnums=0)(ours), jax.jit(run, static_argnums=0)(lax)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def draw(seed):
    """A call of conv_general_dilated that lax accepts."""
    source = random.Random(seed)
    pick, pair = source.choice, lambda low, high: [source.randint(low, high) for _ in range(2)]
    groups, batch_groups = pick([(1, 1), (1, 1), (2, 1), (3, 1), (1, 2), (1, 3)])
    c, f = pick([1, 2]), pick([1, 2]) * groups * batch_groups
    n = pick([1, 2]) * batch_groups
    lhs, rhs, out = pick(LHS), pick(RHS), pick(LHS)
    i, k = pair(2, 7), pair(1, 3)
    b = pick([(1, 1), (1, 1), (2, 2), (1, 3)])
    settings = {
        "window_strides": tuple(pair(1, 3)),
        "lhs_dilation": b,
        "rhs_dilation": tuple(pair(1, 2)),
        "dimension_numbers": (lhs, rhs, out),
        "feature_group_count": groups,
        "batch_group_count": batch_groups,
    }
    named = ["SAME", "VALID", "same_lower"] if b == (1, 1) else []
    settings["padding"] = pick([*named, [tuple(pair(-1, 3)) for _ in range(2)]])
    sizes = {"N": n, "C": c * groups, "I": c, "O": f}
    x = {**sizes, "H": i[0], "W": i[1]}
    w = {**sizes, "H": k[0], "W": k[1]}
    arrays = integers([x[a] for a in lhs], seed), integers([w[a] for a in rhs], seed + 1)
    return arrays, settings


@pytest.mark.parametrize("seed", range(24))
def test_conv_general_dilated(seed):
    arrays, settings = draw(seed)
    check_equal("conv_general_dilated", arrays, settings)


X, W = integers((2, 4, 6, 7), 1), integers((4, 2, 3, 2), 2)
TRANSPOSED = [
    ((2, 2), "SAME", {}),
    ((3, 1), "VALID", {"transpose_kernel": True}),
    ((1, 1), "SAME_LOWER", {}),
    ((2, 3), [(1, 2), (0, 3)], {"rhs_dilation": (2, 1)}),
    ((2, 3), [(1, 1), (0, 2)], {"use_consistent_padding": True, "rhs_dilation": (1, 2)}),
    ((5, 4), "SAME", {}),  # kernels smaller than strides
    ((5, 4), "VALID", {"rhs_dilation": (2, 2)}),
]


@pytest.mark.parametrize(("strides", "padding", "more"), TRANSPOSED)
def test_conv_transpose(strides, padding, more):
    x, w = integers((2, 4, 5, 3), 1), integers((3, 2, 3, 3), 2)
    check_equal("conv_transpose", (x, w), {"strides": strides, "padding": padding, **more})


def test_conv_transpose_of_one_and_three_axes():
    for shape, kernel in [((2, 4, 3), (3, 3, 2)), ((1, 2, 3, 2, 2), (2, 2, 3, 2, 2))]:
        strides = (2,) * (len(shape) - 2)
        arrays = integers(shape, 1), integers(kernel, 2)
        check_equal("conv_transpose", arrays, {"strides": strides, "padding": "SAME"})


def test_the_short_forms():
    w = integers((6, 4, 3, 2), 2)
    check_equal("conv", (X, w), {"window_strides": (2, 1), "padding": "SAME"})
    more = {"padding": [(1, 0), (2, 2)], "lhs_dilation": (1, 2), "rhs_dilation": None}
    check_equal("conv_with_general_padding", (X, w), {"window_strides": (2, 1), **more})


@pytest.mark.parametrize(
    "settings",
    [
        {"window_strides": (2, 1), "padding": "SAME"},
        {"window_strides": (1, 2), "padding": [(2, 0), (-1, 3)], "rhs_dilation": (2, 1)},
        {"window_strides": (2, 1), "padding": [(1, 1), (1, 1)], "lhs_dilation": (2, 3)},
        {
            "window_strides": (1, 1),
            "padding": "VALID",
            "dimension_numbers": ("NHWC", "WIOH", "CWHN"),
        },
    ],
)
def test_patches(settings):
    shape = {"filter_shape": (3, 2)}
    check_equal("conv_general_dilated_patches", (X,), {**shape, **settings})


@pytest.mark.parametrize("dtypes", [("int8", None), ("int8", "int32"), ("uint8", "int32"),
                                    ("int8", "float32"), ("bfloat16", "float32"),
                                    ("complex64", None)])  # fmt: skip
@pytest.mark.parametrize("more", [{}, {"lhs_dilation": (2, 2)}, {"batch_group_count": 2}])
def test_dtypes(dtypes, more):
    dtype, wanted = dtypes
    x, w = (jnp.asarray(np.abs(a), dtype) for a in (X, integers((4, 4, 3, 2), 2)))
    settings = {"window_strides": (1, 1), "padding": [(1, 1), (1, 0)], **more}
    settings["preferred_element_type"] = wanted
    check_equal("conv_general_dilated", (x, w), settings, gradient=False)


def test_a_product_of_matrices():
    settings = {"window_strides": (), "padding": []}
    arrays = integers((3, 4), 1), integers((5, 4), 2)
    check_equal("conv_general_dilated", arrays, settings)


def primitives(function, *arrays):
    jaxpr = jax.make_jaxpr(function)(*arrays).jaxpr
    return [eqn.primitive.name for eqn in jaxpr.eqns if eqn.primitive.name.startswith("jconv")]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "layout",
    [("NHWC", "HWIO", "NHWC"), ("NHWC", "OIHW", "NHWC"), ("NCHW", "OIHW", "NCHW"),
     ("NCHW", "HWIO", "NCHW"), ("HWNC", "HWIO", "HWNC")],
    ids="-".join,
)  # fmt: skip
def test_gradients_are_recognised(layout, groups):
    """What lax's own gradient holds, handed back as it stands, is a backprop here."""
    sizes = {"N": 2, "C": 4, "H": 7, "W": 6, "I": 4 // groups, "O": 6}
    x = integers([sizes[a] for a in layout[0]], 1)
    w = integers([{**sizes, "H": 3, "W": 2}[a] for a in layout[1]], 2)

    def loss(x, w):
        y = lax.conv_general_dilated(
            x, w, (2, 1), "SAME", dimension_numbers=layout, feature_group_count=groups
        )
        return jnp.sum(y**2)

    closed = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(x, w)
    convs = [eqn for eqn in closed.jaxpr.eqns if eqn.primitive is lax.conv_general_dilated_p]
    legs = []
    for eqn in convs:
        arrays = [integers(v.aval.shape, n) for n, v in enumerate(eqn.invars)]
        run = lambda *a, p=eqn.params: ours.conv_general_dilated(*a, **p)  # noqa: E731
        legs += primitives(run, *arrays)
        np.testing.assert_array_equal(run(*arrays), eqn.primitive.bind(*arrays, **eqn.params))
    assert sorted(legs) == ["jconv_conv", "jconv_filter_grad", "jconv_input_grad"]


@pytest.mark.parametrize("layout", [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")])
def test_gradients_of_a_transposed_convolution_are_recognised(layout):
    """None of them is left with the dilated input that lax writes it with."""
    sizes = {"N": 2, "C": 4, "H": 5, "W": 4, "I": 4, "O": 6}
    x = integers([sizes[a] for a in layout[0]], 1)
    w = integers([{**sizes, "H": 3, "W": 2}[a] for a in layout[1]], 2)
    settings = {
        "window_strides": (1, 1),
        "padding": [(2, 1), (0, 1)],
        "lhs_dilation": (2, 3),
        "rhs_dilation": (1, 2),
        "dimension_numbers": layout,
    }

    def loss(x, w):
        return jnp.sum(lax.conv_general_dilated(x, w, **settings) ** 2)

    step = jax.grad(loss, (0, 1))
    plans = jconv.explain(jconv.accelerate(step), x, w)
    assert sorted(plan.leg for plan in plans) == ["conv", "filter_grad", "input_grad"]
    for plan in plans:
        assert [(axis.s, axis.b) for axis in plan.problem.axes] == [(2, 1), (3, 1)]
    for got, want in zip(jconv.accelerate(step)(x, w), step(x, w), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("layout", [("CHWN", "IHWO", "CHWN"), ("HWCN", "HWIO", "HWCN")])
def test_a_layout_with_channels_first_is_no_filter_backprop(layout):
    sizes = {"N": 2, "C": 4, "H": 7, "W": 6, "I": 4, "O": 6}
    x = integers([sizes[a] for a in layout[0]], 1)
    w = integers([{**sizes, "H": 3, "W": 2}[a] for a in layout[1]], 2)
    settings = {"window_strides": (2, 1), "padding": "SAME", "dimension_numbers": layout}
    run = lambda x, w: ours.conv_general_dilated(x, w, **settings)  # noqa: E731
    assert primitives(run, x, w) == ["jconv_conv"]
    check_equal("conv_general_dilated", (x, w), settings)


def bad(**changes):
    settings = {"window_strides": (1, 1), "padding": "SAME", **changes}
    x, w = settings.pop("lhs", X), settings.pop("rhs", integers((6, 4, 3, 3), 2))
    return lambda: ours.conv_general_dilated(x, w, **settings)


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"lhs": [1]}, "lhs"),
        ({"lhs": X[0]}, "rhs"),
        ({"rhs": integers((6, 3, 3, 3), 2)}, "rhs"),
        ({"rhs": integers((6, 4, 3, 3), 2, np.int32)}, "rhs"),
        ({"window_strides": 2}, "window_strides"),
        ({"window_strides": (1, 0)}, "window_strides"),
        ({"padding": "CAUSAL"}, "padding"),
        ({"padding": [(1, 1)]}, "padding"),
        ({"padding": [1, 1]}, "padding"),
        ({"lhs_dilation": (2, 1)}, "padding"),
        ({"lhs_dilation": (2,), "padding": [(0, 0), (0, 0)]}, "lhs_dilation"),
        ({"rhs_dilation": (1, 2.5)}, "rhs_dilation"),
        ({"dimension_numbers": ("NCHW", "OIHW")}, "dimension_numbers"),
        ({"dimension_numbers": ("NCHW", "OIHW", "NCHH")}, "dimension_numbers"),
        ({"feature_group_count": 3}, "feature_group_count"),
        ({"feature_group_count": 0}, "feature_group_count"),
        ({"batch_group_count": 4}, "batch_group_count"),
        ({"batch_group_count": 2, "rhs": integers((6, 3, 3, 3), 2)}, "rhs"),
        ({"batch_group_count": 2, "feature_group_count": 2}, "batch_group_count"),
        ({"precision": "utmost"}, "precision"),
        ({"preferred_element_type": "int8"}, "preferred_element_type"),
    ],
)
def test_bad_input(changes, argument):
    with pytest.raises(jconv.ConvError, match=r"^conv_general_dilated: ") as caught:
        bad(**changes)()
    assert caught.value.argument == argument
    known = inspect.signature(lax.conv_general_dilated).parameters
    assert {remedy.argument for remedy in caught.value.remedies} <= set(known)


def test_a_remedy_is_followed_as_it_is_said():
    with pytest.raises(jconv.ConvError) as caught:
        bad(feature_group_count=3)()
    remedy = caught.value.remedies[0]
    assert (remedy.argument, remedy.value) == ("feature_group_count", 1)
    assert bad(**{remedy.argument: remedy.value})().shape == (2, 6, 6, 7)


def test_flax_takes_it():
    nnx = pytest.importorskip("flax.nnx", reason="flax is missing: install the extra `peers`")
    for settings in [{}, {"strides": 2, "feature_group_count": 2}, {"padding": "CIRCULAR"}]:
        layers = [
            nnx.Conv(4, 6, (3, 3), rngs=nnx.Rngs(0), **settings, **more)
            for more in ({}, {"conv_general_dilated": ours.conv_general_dilated})
        ]
        x = jnp.moveaxis(jnp.asarray(X), 1, -1)
        theirs, mine = (layer(x) for layer in layers)
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
        assert "jconv_conv" in primitives(layers[1].__call__, x)


def test_out_sharding():
    mesh = jax.make_mesh((2,), ("x",))
    with jax.set_mesh(mesh):
        sharded = jax.sharding.PartitionSpec("x", None, None, None)
        y = ours.conv_general_dilated(
            X, integers((6, 4, 3, 3), 2), (1, 1), "SAME", out_sharding=sharded
        )
        assert jax.typeof(y).sharding.spec == sharded
    expected = lax.conv_general_dilated(X, integers((6, 4, 3, 3), 2), (1, 1), "SAME")
    np.testing.assert_array_equal(y, expected)
