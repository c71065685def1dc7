"""The legs that accelerate finds after jax's autodiff and vmap are those that it finds before."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import AS_USERS
from jax import lax
from plain import integers

import jconv
from jconv._core.geometry import Axis
from jconv._trace.neighbours import Neighbours
from jconv._trace.recognise_legs import (
    CONV,
    CONV_OF_THE_LATTER,
    FILTER_GRAD,
    FILTER_GRAD_OF_INPUT_GRAD,
    INPUT_GRAD,
    INPUT_GRAD_OF_FILTER_GRAD,
    in_slots,
)

NHWC, NCHW = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")
CHANNELS_LAST_FILTER, MIXED = ("NHWC", "OHWI", "NHWC"), ("NCHW", "HWIO", "NHWC")
SIZES = {"N": 2, "H": 9, "W": 8}


def problem(layout, groups=1, c=2, f=3, kernel=(3, 2), flipped=False, **settings):
    """A convolution in lax's words, its operands w and x."""
    x_sizes = {**SIZES, "C": c * groups}
    w_sizes = {"H": kernel[0], "W": kernel[1], "I": c, "O": f * groups}
    x = integers([x_sizes[a] for a in layout[0]], 1)
    w = integers([w_sizes[a] for a in layout[1]], 2)
    settings = {"window_strides": (1, 1), "padding": "SAME", **settings}

    def convolve(w, x):
        if flipped:
            w = jnp.flip(w, [layout[1].index(a) for a in "HW"])
        return lax.conv_general_dilated(
            x, w, dimension_numbers=layout, feature_group_count=groups, **settings
        )

    return convolve, w, x


def gradient(fn):
    return jax.grad(lambda w, x: jnp.sum(fn(w, x) ** 2), (0, 1))


def second(fn):
    def norm(w, x):
        return sum(jnp.sum(leaf**2) for leaf in gradient(fn)(w, x))

    return jax.grad(norm, (0, 1))


# Each a transformation, and how many leading dimensions w and x have under it.
TRANSFORMS = {
    "plain": (lambda fn: fn, 0, 0),
    "grad": (gradient, 0, 0),
    "grad-of-jit": (lambda fn: gradient(jax.jit(fn)), 0, 0),
    "second": (second, 0, 0),
    "vmap-x": (lambda fn: jax.vmap(gradient(fn), (None, 0)), 0, 1),
    "vmap-w": (lambda fn: jax.vmap(gradient(fn), (0, None)), 1, 0),
    "vmap-both": (lambda fn: jax.vmap(gradient(fn)), 1, 1),
    "vmap-second": (lambda fn: jax.vmap(second(fn), (None, 0)), 0, 1),
    "vmap-jit": (lambda fn: jax.vmap(jax.jit(gradient(fn))), 1, 1),
    "grad-of-vmap": (lambda fn: gradient(jax.vmap(fn)), 1, 1),
    "grad-of-vmap-in-jit": (lambda fn: gradient(jax.jit(jax.vmap(fn))), 1, 1),
    "vmap-vmap": (lambda fn: jax.vmap(jax.vmap(gradient(fn))), 2, 2),
    "vmap-in-and-out": (
        lambda fn: jax.vmap(gradient(jax.vmap(fn, (None, 0))), (None, 0)),
        0,
        2,
    ),
}
PROBLEMS = {
    "nhwc": problem(NHWC),
    "nchw": problem(NCHW),
    "nhwc-ohwi": problem(CHANNELS_LAST_FILTER),
    "mixed": problem(MIXED),
    "grouped": problem(NHWC, groups=2),
    "grouped-nchw": problem(NCHW, groups=2, window_strides=(2, 1)),
    "depthwise": problem(NHWC, groups=4, c=1, f=1),
    "pointwise": problem(NHWC, kernel=(1, 1)),
    "strided": problem(NHWC, window_strides=(2, 2)),
    "dilated": problem(NCHW, rhs_dilation=(2, 1)),
    "transposed": problem(NHWC, lhs_dilation=(2, 2), padding=((1, 2), (0, 1))),
    "transposed-grouped": problem(NCHW, groups=2, lhs_dilation=(2, 2), padding=((1, 2), (0, 1))),
    "strided-and-transposed": problem(
        NHWC, window_strides=(2, 2), lhs_dilation=(3, 3), padding=((1, 2), (0, 1))
    ),
    "flipped": problem(NHWC, flipped=True),
    "flipped-nchw": problem(NCHW, flipped=True),
}
# Those of every change: each reading, each form of vmap, each layout. The others are slow.
USUAL = {
    ("nhwc", "second"),
    ("nchw", "vmap-second"),
    ("nhwc-ohwi", "grad"),
    ("mixed", "vmap-in-and-out"),
    ("grouped", "vmap-x"),
    ("grouped", "vmap-w"),
    ("depthwise", "vmap-w"),
    ("grouped-nchw", "vmap-vmap"),
    ("depthwise", "vmap-both"),
    ("grouped", "grad-of-vmap"),
    ("nchw", "grad-of-vmap-in-jit"),
    ("pointwise", "vmap-jit"),
    ("strided", "grad-of-jit"),
    ("dilated", "vmap-w"),
    ("transposed", "second"),
    ("transposed-grouped", "vmap-both"),
    ("strided-and-transposed", "second"),
    ("flipped", "grad"),
    ("flipped-nchw", "second"),
}
CHECKED = {
    ("nchw", "vmap-second"),
    ("grouped-nchw", "vmap-vmap"),
    ("depthwise", "vmap-both"),
    ("transposed-grouped", "second"),
}


# Under grad of jit the filter is a residual in which the groups of vmap and those that were
# written are one: the input gradient then has all of them as groups.
GROUPS_MERGED = {
    (name, "grad-of-vmap-in-jit") for name in PROBLEMS if "grouped" in name or name == "depthwise"
}


def cases(usual):
    return [
        pytest.param(n, t, id=f"{n}-{t}", marks=() if (n, t) in usual else pytest.mark.slow)
        for n in PROBLEMS
        for t in TRANSFORMS
        if (n, t) not in GROUPS_MERGED
    ]


def legs(fn, *args):
    """The legs, without the precision: lax's gradients have that of the trace, ours the call's."""
    return sorted(repr(plan.problem) for plan in jconv.explain(fn, *args))


def stacked(value, times):
    """`times` leading dimensions of 3, 2, ...: whole numbers that differ from one to the next."""
    for size in (3, 2)[:times]:
        value = jnp.stack([value * (n + 1) for n in range(size)])
    return value


@pytest.mark.parametrize(("name", "transform"), cases(USUAL))
def test_legs_are_the_same_before_and_after(name, transform):
    fn, w, x = PROBLEMS[name]
    transformed, w_times, x_times = TRANSFORMS[transform]
    args = (stacked(w, w_times), stacked(x, x_times))
    after = legs(jconv.accelerate(transformed(fn)), *args)
    assert after == legs(transformed(jconv.accelerate(fn)), *args)
    assert after == legs(transformed(fn), *args)


@pytest.mark.parametrize(("name", "transform"), cases(CHECKED))
def test_values_are_lax_s(name, transform):
    fn, w, x = PROBLEMS[name]
    transformed, w_times, x_times = TRANSFORMS[transform]
    args = (stacked(w, w_times), stacked(x, x_times))
    got = jax.jit(jconv.accelerate(transformed(fn)))(*args)
    want = jax.jit(transformed(fn))(*args)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=0)  # above 2^24 sums of integers round


def test_the_transformations_make_every_reading():
    """Or the tests above would not have told them apart."""
    found = set()
    for fn, w, x in (PROBLEMS["nhwc"], PROBLEMS["transposed"]):
        jaxpr = jax.make_jaxpr(second(fn))(w, x).jaxpr
        around = Neighbours(jaxpr)
        for equation in jaxpr.eqns:
            if equation.primitive is lax.conv_general_dilated_p:
                clues = around.clues(equation)
                found.add((clues.rhs_reversed, clues.result_reversed))
    assert found == {(False, False), (True, False), (False, True)}  # rhs, result


@pytest.mark.parametrize(
    "reading",
    [
        CONV,
        FILTER_GRAD,
        INPUT_GRAD,
        INPUT_GRAD_OF_FILTER_GRAD,
        FILTER_GRAD_OF_INPUT_GRAD,
        CONV_OF_THE_LATTER,
    ],
    ids=lambda reading: f"{reading.leg}-of-{reading.lhs}-and-{reading.rhs}",
)
def test_a_reading_keeps_the_solutions_of_the_equation(reading):
    axis = Axis(i=5, k=3, o=4, s=2, b=3, d=2, p0=1)
    roles = in_slots(axis, reading)
    sizes = {reading.lhs: axis.i, reading.rhs: axis.k, reading.result: axis.o}
    found = set()
    for left in range(axis.i):
        for right in range(axis.k):
            for out in range(axis.o):
                if axis.b * left + axis.p0 == axis.s * out + axis.d * right:
                    at = {reading.lhs: left, reading.rhs: right, reading.result: out}
                    for slot in reading.reversed:
                        at[slot] = sizes[slot] - 1 - at[slot]
                    found.add((at["x"], at["w"], at["y"]))
    assert (roles.i, roles.k, roles.o) == (sizes["x"], sizes["w"], sizes["y"])
    assert found == {
        (i, k, o)
        for i in range(roles.i)
        for k in range(roles.k)
        for o in range(roles.o)
        if roles.b * i + roles.p0 == roles.s * o + roles.d * k
    }
    assert found


def test_a_gradient_for_each_example_takes_no_more_memory_after_than_before():
    """At a size where the planner leaves direct; lax's own form holds all groups at once."""
    x, w = jnp.ones((4, 2, 28, 28, 64)), jnp.ones((3, 3, 64, 64))

    def loss(w, x):
        settings = {"dimension_numbers": NHWC}
        return jnp.sum(lax.conv_general_dilated(x, w, (1, 1), "SAME", **settings) ** 2)

    def temporaries(fn):
        return jax.jit(fn).lower(w, x).compile(AS_USERS).memory_analysis().temp_size_in_bytes

    before = jax.vmap(jax.grad(jconv.accelerate(loss)), (None, 0))
    after = jconv.accelerate(jax.vmap(jax.grad(loss), (None, 0)))
    algorithms = [plan.legs[plan.leg].algorithm for plan in jconv.explain(after, w, x)]
    assert algorithms != ["direct"] * len(algorithms)
    assert temporaries(after) <= 1.05 * temporaries(before)


# Symbolic sizes, and calls that are wrong ---------------------------------------------------------


@pytest.mark.export
@pytest.mark.parametrize(
    ("stride", "padding"), [(1, "SAME"), (2, "SAME"), (3, "VALID"), (2, ((1, 2), (0, 1)))]
)
def test_gradients_with_symbolic_sizes(stride, padding):
    """lax's own gradients of strided convolutions cannot be traced with symbolic sizes."""
    fn, w, _ = problem(NHWC, window_strides=(stride, stride), padding=padding)
    step = gradient(jax.jit(fn))
    b, h = jax.export.symbolic_shape("b, h")
    shapes = [jax.ShapeDtypeStruct(s, "float32") for s in (w.shape, (b, h, h, 2))]
    exported = jax.export.export(jax.jit(jconv.accelerate(step)))(*shapes)
    x = integers((3, 8, 8, 2), 5)
    for got, want in zip(exported.call(w, x), step(w, x), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("wrapped", [lambda fn: fn, jax.jit, jax.checkpoint])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "argument"),
    [((2, 9, 8, 3), (3, 2, 5, 4), "rhs"), ((2, 9, 8, 3), (3, 3, 4), "rhs")],
    ids=["channels", "rank"],
)
def test_a_model_that_is_wrong_gets_jconv_s_error(wrapped, x_shape, w_shape, argument):
    fn = wrapped(problem(NHWC)[0])
    x, w = jnp.ones(x_shape), jnp.ones(w_shape)
    for step in (jconv.accelerate(fn), jax.jit(jconv.accelerate(fn))):
        with pytest.raises(jconv.ConvError, match=r"conv_general_dilated: .*`rhs`") as caught:
            step(w, x)
        assert caught.value.argument == argument
        assert isinstance(caught.value.__cause__, TypeError | ValueError)


def test_an_error_of_the_model_s_own_stays_what_it_is():
    def fn(x):
        raise TypeError("the model's own")

    with pytest.raises(TypeError, match="the model's own"):
        jconv.accelerate(fn)(jnp.ones(3))
