"""accelerate: the same results under every transformation, and no lax convolution left."""

from __future__ import annotations

import dataclasses
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from plain import integers, lax_conv

import jconv

X, W = integers((2, 6, 5, 2), 1), integers((3, 2, 2, 2), 2)
V = integers(W.shape, 3)


def convolve(w, x):
    return lax_conv(x, w, stride=(2, 1), padding=[(1, 2), (0, 1)])


def keeping_size(w, x):
    return lax_conv(x, w)


def plain(w, x):
    return convolve(w, keeping_size(w, x))


def scanned(w, x):
    def body(x, w):
        return keeping_size(w, x), jnp.sum(x)

    return lax.scan(body, x, jnp.stack([w, w]))


def in_a_while_loop(w, x):
    return lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, keeping_size(w, c[1])), (0, x))


def in_one_branch(w, x):
    return lax.cond(jnp.sum(x) > 1e6, lambda w, x: jnp.cos(convolve(w, x)), convolve, w, x)


def in_the_branches_of_a_switch(w, x):
    branches = [lambda x: x, lambda x: keeping_size(w, x), lambda x: -keeping_size(w, 2 * x)]
    return lax.switch(jnp.argmax(w.ravel()) % 3, branches, x) + keeping_size(w, x)


def with_rule_for_backward(w, x):
    rule = jax.custom_vjp(convolve)

    def forward(w, x):
        return convolve(w, x), (w, x)

    def backward(residuals, g):
        w_grad, x_grad = jax.vjp(convolve, *residuals)[1](g)
        return 2 * w_grad, x_grad

    rule.defvjp(forward, backward)
    return rule(w, x)


def with_a_rule_that_alone_convolves(w, x):
    rule = jax.custom_vjp(lambda w, x: x * w[0, 0, 0, 0])
    rule.defvjp(
        lambda w, x: (x * w[0, 0, 0, 0], (w, x)),
        lambda residuals, g: (residuals[0], keeping_size(residuals[0], g)),
    )
    return rule(w, x)


def with_rule_for_tangents(w, x):
    rule = jax.custom_jvp(convolve)

    @rule.defjvp
    def tangents(primals, tangents):
        w, x = primals
        w_dot, x_dot = tangents
        return convolve(w, x), convolve(2 * w_dot, x) + convolve(w, x_dot)

    return rule(w, x)


def mapped(w, x):
    return jax.vmap(convolve, (0, None))(jnp.stack([w, 2 * w]), x)


def mapped_on_both_sides(w, x):
    return jax.vmap(lambda w, x: convolve(w, x[None]))(jnp.stack([w, 2 * w]), x)


def nested(w, x):
    inner = jax.checkpoint(jax.jit(functools.partial(scanned, w)))
    return jax.jit(lambda x: inner(x)[0])(x)


BODIES = {
    "plain": plain,
    "jit": jax.jit(plain),
    "scan": scanned,
    "while": in_a_while_loop,
    "cond": in_one_branch,
    "switch": in_the_branches_of_a_switch,
    "checkpoint": jax.checkpoint(plain),
    "custom_vjp": with_rule_for_backward,
    "custom_vjp-rule": with_a_rule_that_alone_convolves,
    "custom_jvp": with_rule_for_tangents,
    "vmap": mapped,
    "vmap-both": mapped_on_both_sides,
    "nested": nested,
}


def total(fn):
    return lambda w, x: sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(fn(w, x)))


def forward(fn):
    return fn


def gradient(fn):
    return jax.grad(total(fn), (0, 1))


def second(fn):
    return jax.grad(lambda w, x: jnp.vdot(jax.grad(total(fn))(w, x), V))


def tangent(fn):
    return lambda w, x: jax.jvp(fn, (w, x), (V, 2 * x))[1]


def forward_over_reverse(fn):
    return lambda w, x: jax.jvp(lambda w: jax.grad(total(fn))(w, x), (w,), (V,))[1]


def mapped_over(fn):
    return lambda w, x: jax.vmap(fn, (None, 0))(w, jnp.stack([x, -x]))


# What tells implementations apart: each body forward or by its gradient, the rest where a body
# has a rule of its own for it.
CASES = {
    forward: ["plain", "while", "switch", "vmap-both", "nested"],
    gradient: [name for name in BODIES if name not in ("while", "switch")],
    second: ["plain", "scan", "checkpoint", "custom_vjp", "custom_jvp"],
    tangent: ["plain", "while", "cond", "custom_jvp"],
    forward_over_reverse: ["checkpoint", "custom_jvp"],
    mapped_over: ["plain", "scan", "while", "custom_vjp"],
}


def names(jaxpr):
    """The primitives in a jaxpr and in those inside it."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for value in equation.params.values():
            for entry in value if isinstance(value, tuple | list) else [value]:
                if hasattr(entry, "eqns"):
                    yield from names(getattr(entry, "jaxpr", entry))


def check(fn, reference, *args):
    """The same values, by jconv alone."""
    found = set(names(jax.make_jaxpr(fn)(*args).jaxpr))
    assert "conv_general_dilated" not in found
    assert any(name.startswith("jconv_") for name in found)
    got, want = fn(*args), reference(*args)
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert (a.dtype, a.weak_type) == (b.dtype, b.weak_type)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("name", "transform"),
    [pytest.param(n, t, id=f"{n}-{t.__name__}") for t, bodies in CASES.items() for n in bodies],
)
def test_before_and_after(name, transform):
    fn = BODIES[name]
    reference = jax.jit(transform(fn))
    check(jax.jit(transform(jconv.accelerate(fn))), reference, W, X)
    check(jconv.accelerate(reference), reference, W, X)


def test_every_body_is_transformed():
    assert {name for bodies in CASES.values() for name in bodies} == set(BODIES)


@pytest.mark.parametrize("name", ["plain", "scan", "cond", "checkpoint", "custom_vjp"])
def test_outside_of_jit(name):
    fn = jconv.accelerate(BODIES[name])
    for a, b in zip(jax.tree.leaves(fn(W, X)), jax.tree.leaves(BODIES[name](W, X)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("layout", [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")])
@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_taken_first_are_backprops(layout, groups):
    sizes = {"N": 2, "C": 4, "H": 7, "W": 6}
    taps = {"H": 3, "W": 2, "I": 4 // groups, "O": 6}
    x = integers([sizes[a] for a in layout[0]], 1)
    w = integers([taps[a] for a in layout[1]], 2)

    def loss(x, w):
        settings = {"dimension_numbers": layout, "feature_group_count": groups}
        return jnp.sum(lax.conv_general_dilated(x, w, (2, 1), "SAME", **settings) ** 2)

    step = jax.grad(loss, (0, 1))
    plans = jconv.explain(jconv.accelerate(step), x, w)
    assert sorted(plan.leg for plan in plans) == ["conv", "filter_grad", "input_grad"]
    check(jconv.accelerate(step), step, x, w)


# Rematerialisation ------------------------------------------------------------------------------


def a_convolution_of_two_groups(primitive, *avals, **params):
    return primitive.name == "conv_general_dilated" and params["feature_group_count"] == 2


def of_height_6(primitive, *avals, **params):
    return primitive is lax.conv_general_dilated_p and avals[0].shape[1] == 6


POLICIES = {
    "dots": jax.checkpoint_policies.checkpoint_dots,
    "both": jax.checkpoint_policies.save_from_both_policies(
        jax.checkpoint_policies.checkpoint_dots, jax.checkpoint_policies.save_only_these_names("a")
    ),
    "everything": jax.checkpoint_policies.everything_saveable,
    "nothing": jax.checkpoint_policies.nothing_saveable,
    "names": jax.checkpoint_policies.save_only_these_names("a"),
    "own-groups": a_convolution_of_two_groups,
    "own-shapes": of_height_6,
    "jconv's": jconv.convs_saveable,
}


@pytest.mark.parametrize("name", POLICIES)
def test_rematerialisation_policies_keep_their_meaning(name):
    """As many convolutions are computed again as with lax."""

    def body(w, x):
        y = jnp.sin(lax_conv(x, w, groups=2))
        return jnp.sin(lax_conv(y, w, groups=2, stride=2))

    w = integers((3, 3, 1, 2), 1)

    def count(fn):
        found = list(names(jax.make_jaxpr(jax.grad(lambda w, x: jnp.sum(fn(w, x))))(w, X).jaxpr))
        return sum(name == "conv_general_dilated" or name.startswith("jconv_") for name in found)

    checkpointed = jax.checkpoint(body, policy=POLICIES[name])
    assert count(jconv.accelerate(checkpointed)) == count(checkpointed)


def test_the_policies_tell_programs_apart():
    """Or the test above compared nothing."""
    fn = plain
    lengths = {
        sum(
            name == "conv_general_dilated"
            for name in names(
                jax.make_jaxpr(jax.grad(total(jax.checkpoint(fn, policy=POLICIES[policy]))))(
                    W, X
                ).jaxpr
            )
        )
        for policy in ("dots", "nothing")
    }
    assert len(lengths) == 2


# Arguments and results --------------------------------------------------------------------------


def test_what_is_no_array_is_what_it_is():
    sentinel = object()

    def fn(w, *, x, times, name, act, other):
        assert isinstance(times, int)
        assert other is sentinel
        for _ in range(times):
            x = keeping_size(w, x)
        return {"y": act(x), "name": name, "nothing": None, "act": act, "host": np.ones(2)}

    keywords = {"times": 2, "name": "deep", "act": jax.nn.relu, "other": sentinel}
    got, want = (f(W, x=X, **keywords) for f in (jconv.accelerate(fn), fn))
    assert (got["name"], got["nothing"], got["act"]) == ("deep", None, jax.nn.relu)
    assert type(got["host"]) is np.ndarray
    np.testing.assert_array_equal(got["y"], want["y"])


def test_numbers_known_while_tracing_come_as_arrays():
    def fn(x):
        return jnp.zeros((), "uint32"), jnp.asarray(3.0), jnp.float32(3), jnp.asarray([1, 2]), x

    for got, want in zip(jconv.accelerate(fn)(X), fn(X), strict=True):
        assert isinstance(got, jax.Array)
        assert (got.dtype, got.weak_type) == (want.dtype, want.weak_type)
        np.testing.assert_array_equal(got, want)


def test_no_tracer_is_kept():
    with jax.checking_leaks():
        jconv.accelerate(plain)(W, X)
        jax.jit(jax.grad(jconv.accelerate(total(plain))))(W, X)


def test_arrays_from_outside():
    def loss(w):
        inner = jconv.accelerate(lambda x: jnp.sum(convolve(w, x) ** 2))
        return inner(X)

    want = jax.grad(lambda w: jnp.sum(convolve(w, X) ** 2))(W)
    np.testing.assert_array_equal(jax.grad(loss)(W), want)
    np.testing.assert_array_equal(jax.jit(jax.grad(loss))(W), want)


def test_numpy_arguments():
    x, w = np.asarray(X), np.asarray(W)
    np.testing.assert_array_equal(jconv.accelerate(convolve)(w, x), convolve(W, X))
    check(jax.jit(jconv.accelerate(convolve)), convolve, w, x)


def test_without_a_convolution():
    assert float(jconv.accelerate(jnp.vdot)(V, V)) == float(jnp.vdot(V, V))
    assert jconv.accelerate(lambda: 3)() == 3


def test_the_name_and_signature_stay():
    fn = jconv.accelerate(convolve)
    assert fn.__name__ == "convolve"
    assert inspect.signature(fn) == inspect.signature(convolve)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    """A callable that is a tree, as Equinox's models and transformed functions are."""

    w: jax.Array | str

    def __call__(self, x):
        return convolve(W if isinstance(self.w, str) else self.w, x)


def test_a_tree_that_is_called():
    """What looks for parameters in a function finds those, and nothing where there are none."""
    for w in (W, "fixed"):
        layer = Layer(w)
        fn = jconv.accelerate(layer)
        check(fn, layer, X)
        assert inspect.signature(fn) == inspect.signature(layer)
        assert hasattr(fn, "__wrapped__") == (w is W)
        assert not hasattr(fn, "w")


def test_twice_is_once():
    check(jconv.accelerate(jconv.accelerate(jax.grad(total(plain)))), jax.grad(total(plain)), W, X)


def test_the_policy_in_force_counts():
    def algorithms(fn):
        return {plan.problem.policy for plan in jconv.explain(fn, W, X)}

    fn = jax.jit(plain)
    assert algorithms(jconv.accelerate(fn)) == {"auto"}
    with jconv.policy("exact"):
        assert algorithms(jconv.accelerate(fn)) == {"exact"}
    assert algorithms(jconv.accelerate(fn)) == {"auto"}


def test_precision_is_the_one_it_was_written_with():
    def fn(w, x):
        with jax.default_matmul_precision("highest"):
            return convolve(w, x)

    (plan,) = jconv.explain(jconv.accelerate(fn), W, X)
    assert plan.problem.precision == ("HIGHEST", "HIGHEST")
    with jax.default_matmul_precision("highest"):
        (plan,) = jconv.explain(jconv.accelerate(convolve), W, X)
    assert plan.problem.precision == ("HIGHEST", "HIGHEST")


@pytest.mark.parametrize("dtype", ["int8", "bfloat16", "complex64", "float16"])
def test_dtypes(dtype):
    x, w = X.astype(dtype), W.astype(dtype)
    check(jconv.accelerate(convolve), convolve, w, x)


def test_a_compiled_function_is_compiled_once():
    traces = []

    @jax.jit
    def step(w, x):
        traces.append(1)
        return convolve(w, x)

    fn = jconv.accelerate(step)
    fn(W, X)
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        compiled = []
        patch.setattr("logging.Logger.handle", lambda self, record: compiled.append(record))
        for _ in range(3):
            fn(W, X)
    assert len(traces) == 1
    assert [r.getMessage() for r in compiled if "Compiling" in r.getMessage()] == []


def test_a_wrong_argument():
    with pytest.raises(jconv.ConvError, match="`fn`") as caught:
        jconv.accelerate(3)
    assert caught.value.argument == "fn"


@pytest.mark.export
def test_symbolic_sizes():
    b, h = jax.export.symbolic_shape("b, h")
    arguments = [jax.ShapeDtypeStruct(s, "float32") for s in (W.shape, (b, h, h, 2))]
    exported = jax.export.export(jax.jit(jconv.accelerate(convolve)))(*arguments)
    x = integers((3, 7, 7, 2), 5)
    np.testing.assert_array_equal(exported.call(W, x), convolve(W, x))


# Devices ----------------------------------------------------------------------------------------


@pytest.fixture(params=["Auto", "Explicit"])
def mesh(request):
    if len(jax.devices()) < 4:
        pytest.skip("needs four devices (jax_num_cpu_devices came too late)")
    kind = getattr(jax.sharding.AxisType, request.param)
    made = jax.make_mesh((4,), ("data",), axis_types=(kind,))
    with jax.set_mesh(made):
        yield made


P = jax.sharding.PartitionSpec


def put(mesh, value, *spec):
    return jax.device_put(value, jax.sharding.NamedSharding(mesh, P(*spec)))


@pytest.mark.devices
@pytest.mark.parametrize("checked", [True, False])
def test_shard_map(mesh, checked):
    x, w = put(mesh, jnp.concatenate([X, X + 1]), "data"), put(mesh, W)
    specs = {"mesh": mesh, "in_specs": (P(), P("data")), "out_specs": P(), "check_vma": checked}

    def local(w, x):
        return lax.psum(total(plain)(w, x), "data")

    whole = jax.grad(total(plain))(W, np.asarray(x))
    loss = jax.shard_map(local, **specs)
    for step in (
        jax.grad(jconv.accelerate(loss)),
        jconv.accelerate(jax.grad(loss)),
        jax.grad(jax.shard_map(jconv.accelerate(local), **specs)),
    ):
        check(jax.jit(step), lambda w, x: whole, w, x)


@pytest.mark.devices
def test_sharded_arguments(mesh):
    x, w = put(mesh, jnp.concatenate([X, X + 1]), "data"), put(mesh, W)
    step = jax.grad(total(plain), (0, 1))
    want = step(W, np.asarray(x))
    for fn in (jax.jit(jconv.accelerate(step)), jconv.accelerate(jax.jit(step))):
        got = fn(w, x)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)
        assert jax.typeof(got[1]).sharding == jax.typeof(x).sharding
