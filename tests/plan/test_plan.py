"""Plans: what follows from shapes alone, as values, as text and as functions."""

import json
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from plain import CONFIGURATIONS, integers

import jconv


def golden(text):
    return textwrap.dedent(text).strip("\n")


def test_a_plan_reads_as_a_table():
    plan = jconv.plan((8, 224, 224, 3), (7, 7, 3, 64), stride=2, platform="cpu")
    text = str(plan)
    assert text.startswith(
        golden("""
        conv  x (8, 224, 224, 3)  w (7, 7, 3, 64)  ->  y (8, 112, 112, 64)
        float32 on cpu, 9.4 k parameters; stride=2

        axis  input  output  kernel  stride  dilation  padding  never read  receptive field
        -----------------------------------------------------------------------------------
        H       224     112       7       2         1   (2, 3)           0                7
        W       224     112       7       2         1   (2, 3)           0                7
        """)
    )
    assert "1.9 GFLOP" in text


@pytest.mark.parametrize(
    "plan",
    [
        jconv.plan(("b", "h", "w", 3), (7, 7, 3, 64), stride=2, padding="VALID"),
        jconv.plan(("b", "2*h+1", "w*h", 3), (3, 3, 3, 64), stride=3, dilation=2),
        jconv.plan((1, 100000, 99999, 64), (11, 11, 1, 64), groups=64, padding=[(100, 7), (-3, 2)]),
        jconv.plan_transpose(("b", "h", 8), (4, 4, 8), stride=2, padding=1, output_padding=1),
    ],
)
def test_tables_fit_a_hundred_columns(plan):
    assert max(map(len, str(plan).splitlines())) <= 100


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_plan_says_what_running_gives(name):
    x_shape, w_shape, settings = CONFIGURATIONS[name]
    plan = jconv.plan(x_shape, w_shape, **settings)
    x, w = integers(x_shape, 1), integers(w_shape, 2)
    y = plan.conv(x, w)
    assert y.shape == plan.y_shape
    np.testing.assert_array_equal(y, jconv.conv(x, w, **settings))
    explicit = {**settings, "padding": plan.padding}
    np.testing.assert_array_equal(y, jconv.conv(x, w, **explicit))
    np.testing.assert_array_equal(
        plan.input_grad(y, w), jconv.conv_input_grad(y, w, input_shape=x_shape, **settings)
    )
    np.testing.assert_array_equal(
        plan.filter_grad(x, y), jconv.conv_filter_grad(x, y, filter_shape=w_shape, **settings)
    )


def test_the_remainder_counts_the_rows_that_are_never_read():
    plan = jconv.plan((1, 8, 11, 1), (3, 3, 1, 1), stride=3, padding="VALID")
    assert plan.remainder == (2, 2)
    x, w = jnp.ones(plan.x_shape), jnp.ones(plan.w_shape)
    grad = jax.grad(lambda x: plan.conv(x, w).sum())(x)[0, :, :, 0]
    unread_rows, unread_columns = (grad == 0).all(1).sum(), (grad == 0).all(0).sum()
    assert (unread_rows, unread_columns) == plan.remainder


@pytest.mark.parametrize("settings", [{}, {"stride": 2}, {"dilation": 3}, {"input_dilation": 2}])
def test_the_receptive_field_is_what_one_output_depends_on(settings):
    plan = jconv.plan((1, 15, 1), (4, 1, 1), padding="VALID", **settings)
    w = jnp.ones(plan.w_shape)
    depends = jax.jacrev(lambda x: plan.conv(x, w)[0, 1, 0])(jnp.ones(plan.x_shape))[0, :, 0]
    rows = np.flatnonzero(np.asarray(depends))
    assert rows[-1] - rows[0] + 1 in (plan.receptive_field[0], plan.receptive_field[0] - 1)
    if "input_dilation" not in settings:
        assert rows[-1] - rows[0] + 1 == plan.receptive_field[0]


def test_a_transposed_plan():
    plan = jconv.plan_transpose((1, 6, 6, 8), (3, 3, 4, 8), stride=2, padding=1, output_padding=1)
    assert plan.y_shape == (1, 12, 12, 4)
    x, w = integers(plan.x_shape, 1), integers(plan.w_shape, 2)
    expected = jconv.conv_transpose(x, w, stride=2, padding=1, output_padding=1)
    np.testing.assert_array_equal(plan(x, w), expected)
    y = plan(x, w)
    np.testing.assert_array_equal(plan.conv(y, w), jconv.conv(y, w, stride=2, padding=1))
    np.testing.assert_array_equal(plan.input_grad(x, w), expected)
    np.testing.assert_array_equal(
        plan.filter_grad(y, x),
        jconv.conv_filter_grad(y, x, filter_shape=w.shape, stride=2, padding=1),
    )


SYMBOLIC = [
    ("b", "h", "w", 3),
    ("b", "2*h+1", "w", 3),
    (4, "h", "h", 3),
]


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID", "CAUSAL", [(1, 2), (0, -1)]])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("shape", SYMBOLIC)
def test_specialised_equals_planned_with_numbers(shape, stride, padding):
    settings = {"stride": stride, "padding": padding, "dilation": 2}
    plan = jconv.plan(shape, (3, 2, 3, 4), **settings)
    sizes = {"b": 2, "h": 11, "w": 9}
    used = {name: size for name, size in sizes.items() if any(name in str(d) for d in shape)}
    numbers = [eval(str(size), {}, sizes) for size in shape]
    planned = jconv.plan(numbers, (3, 2, 3, 4), **settings)
    assert plan.at(**used) == planned
    assert hash(plan.at(**used)) == hash(planned)
    in_steps = plan
    for name, size in used.items():
        in_steps = in_steps.at(**{name: size})
    assert in_steps == planned
    assert planned != jconv.plan(numbers, (3, 2, 3, 5), **settings)


def test_symbols_are_shared_and_mix_with_jax_export():
    assert jconv.plan(("b", "h", 1), (3, 1, 1)) == jconv.plan(("b", "h", 1), (3, 1, 1))
    b, h = export.symbolic_shape("b, h")
    plan = jconv.plan((b, h, "c"), (3, "c", 4), stride=2)
    assert plan.at(b=1, h=9, c=2) == jconv.plan((1, 9, 2), (3, 2, 4), stride=2)


def test_constraints_decide_what_is_otherwise_open():
    with_fact = jconv.plan(("b", "h", 1), (7, 1, 1), padding="VALID", constraints=["h >= 7"])
    assert "max" not in str(with_fact.y_shape)
    assert "max" in str(jconv.plan(("b", "h", 1), (7, 1, 1), padding="VALID").y_shape)


def test_constraints_leave_with_their_symbols_and_are_held():
    facts = ["h >= 7", "w >= h", "b >= 2"]
    plan = jconv.plan(("b", "h", "w", 1), (7, 7, 1, 1), padding="VALID", constraints=facts)
    assert plan.at(h=9, w=9).constraints == ("b >= 2",)
    assert plan.at(h=9).constraints == ("b >= 2",)
    assert plan.at(b=2, h=7, w=7) == jconv.plan((2, 7, 7, 1), (7, 7, 1, 1), padding="VALID")
    with pytest.raises(jconv.ConvError, match="contradicts the constraint 'h >= 7'"):
        plan.at(h=6)


FACTS = [
    (["h > 3"], ("h >= 4",)),
    (["b >= 2", "h < w"], ("b >= 2", "h <= w - 1")),
    ("h >= 3", ("h >= 3",)),
    (["foo"], None),
    (["h >= "], None),
    (["h => 3"], None),
    (["h >= 9**9**9"], None),
    (["h >= 3 >= 2"], None),
    ([3], None),
    (None, None),
    (["h >= 5", "h <= 3"], None),
    (["h <= 0"], None),
    (["h == 3", "h >= 4"], None),
    (["w >= h+1", "h >= w"], None),
]


@pytest.mark.parametrize(("facts", "remedy"), FACTS, ids=str)
@pytest.mark.parametrize("make", [jconv.plan, jconv.plan_transpose])
def test_constraints_that_say_nothing_or_the_impossible(make, facts, remedy):
    with pytest.raises(jconv.ConvError) as caught:
        make(("b", "h", "w", 4), (3, 3, 4, 4), constraints=facts)
    assert caught.value.argument == "constraints"
    if remedy is not None:
        assert caught.value.remedies[0].value == remedy
        make(("b", "h", "w", 4), (3, 3, 4, 4), constraints=remedy)


@pytest.mark.parametrize("size", [-1, 2.5, None, "h", True, 10**12])
def test_what_is_filled_in_must_be_a_size(size):
    with pytest.raises(jconv.ConvError, match="`h` must be a size") as caught:
        jconv.plan(("b", "h", 1), (3, 1, 1)).at(h=size)
    assert caught.value.argument == "h"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("dtype", "foo"),
        ("dtype", bool),
        ("dtype", 3),
        ("preferred_element_type", "foo"),
        ("platform", "foo"),
        ("platform", "gpu"),
    ],
)
def test_what_is_no_dtype_or_no_platform(argument, value):
    with pytest.raises(jconv.ConvError) as caught:
        jconv.plan((1, 8, 1), (3, 1, 1), **{argument: value})
    assert caught.value.argument == argument
    remedy = caught.value.remedies[0].value
    assert remedy == ("cuda" if value == "gpu" else None)


SAME_SETTINGS = [
    ({"stride": 2}, {"stride": np.int64(2)}),
    ({"stride": 2}, {"stride": jnp.array(2)}),
    ({"stride": (2, 1)}, {"stride": np.array([2, 1])}),
    ({"padding": ((2, 1), (0, 0))}, {"padding": np.array([[2, 1], [0, 0]])}),
    ({"padding": ((2, 1), (0, 0))}, {"padding": [[2, 1], [0, 0]]}),
    ({}, {"padding": "same"}),
    ({"padding": "VALID"}, {"padding": "valid"}),
    ({}, {"groups": np.int64(1), "stride": np.int32(1)}),
]


@pytest.mark.parametrize(("one", "other"), SAME_SETTINGS, ids=str)
def test_equal_settings_make_equal_plans(one, other):
    plans = [jconv.plan((1, 8, 8, 4), (3, 3, 4, 6), **settings) for settings in (one, other)]
    assert plans[0] == plans[1]
    assert hash(plans[0]) == hash(plans[1])
    assert plans[0] != jconv.plan((1, 8, 8, 4), (3, 3, 4, 6), stride=3)
    assert json.dumps(plans[0].to_dict()) == json.dumps(plans[1].to_dict())


def test_a_symbolic_plan_checks_arrays_and_runs():
    plan = jconv.plan(("b", "h", 3), (3, 3, 4), stride=2)
    x, w = integers((2, 9, 3), 1), integers((3, 3, 4), 2)
    y = plan.conv(x, w)
    assert plan.filter_grad(x, y).shape == w.shape
    with pytest.raises(jconv.ConvError, match="`x` is not what was planned") as caught:
        plan.conv(x[..., :2], w)
    assert caught.value.argument == "x"
    with pytest.raises(jconv.ConvError, match="dtype"):
        plan.conv(x.astype(jnp.bfloat16), w)
    with pytest.raises(jconv.ConvError, match="does not say what h is"):
        plan.input_grad(y, w)
    assert plan.at(h=9).input_grad(y, w).shape == x.shape
    with pytest.raises(jconv.ConvError, match="a symbol named"):
        plan.at(q=3)


@pytest.mark.parametrize(
    "value", [None, 3, [[1.0]], "x", jax.ShapeDtypeStruct((1, 8, 3), "float32")]
)
def test_a_plan_is_called_with_arrays(value):
    plan = jconv.plan(("b", "h", 3), (3, 3, 4))
    for call in (plan, plan.conv, plan.filter_grad):
        with pytest.raises(jconv.ConvError, match="must be an array") as caught:
            call(value, jnp.ones((3, 3, 4)))
        assert caught.value.argument == "x"


def test_to_dict_is_json():
    plan = jconv.plan(("b", "h", 3), (3, 3, 4), stride=2)
    read = json.loads(json.dumps(plan.to_dict()))
    assert read["y_shape"][2] == 4
    assert read["legs"]["filter_grad"]["algorithm"] == plan.legs["filter_grad"].algorithm


@pytest.mark.parametrize(
    "bad",
    ["h/2", "h+", "f(h)", "1.5", "h h", "max(h)", "h//0", "h%0", "9**9**9", "h**h", "h**-1",
     "2**99", "(" * 999, "-" * 9999 + "h", "9" * 9999, "\0"],
    ids=lambda text: text[:9],
)  # fmt: skip
def test_text_that_is_no_size(bad):
    with pytest.raises(jconv.ConvError, match="x_shape"):
        jconv.plan((1, bad, 1), (3, 1, 1))


def test_a_plan_fails_as_the_operation_would():
    with pytest.raises(jconv.ConvError) as caught:
        jconv.plan((1, 8, 8, 3), (3, 3, 4, 8))
    assert caught.value.argument == "w"
    with pytest.raises(TypeError, match="no keyword"):
        jconv.plan((1, 8, 1), (3, 1, 1), strides=2)


def test_planning_allocates_nothing():
    before = jax.live_arrays()  # holding them keeps them from being collected meanwhile
    jconv.plan((10**6, 10**5, 10**5, 3), (7, 7, 3, 64), stride=2)
    assert len(jax.live_arrays()) == len(before)


def test_a_reason_of_several_algorithms_is_told_once():
    plan = jconv.plan((2, 9, 9, 4), (3, 3, 4, 4), stride=2, platform="cuda")
    lines = str(plan).splitlines()
    assert "conv: not wide, winograd, fft, real: each only supports CPU" in lines
    for name, leg in plan.legs.items():
        told = [line for line in lines if line.startswith(f"{name}: not ")]
        assert len(told) == len(set(leg.rejected.values()))


def test_a_symbolic_plan_tells_why_in_one_line_for_each_leg():
    for platform in ("cpu", "cuda"):
        lines = str(jconv.plan(("b", "h", 9, 3), (3, 3, 3, 4), platform=platform)).splitlines()
        why = [line for line in lines if ": not " in line]
        reason = "not the others: each only supports sizes that are numbers"
        assert why == [f"{leg}: {reason}" for leg in ("conv", "input_grad", "filter_grad")]


def test_rejections_have_reasons():
    for leg in jconv.plan((1, 8, 8, 3), (3, 3, 3, 8)).legs.values():
        assert leg.algorithm in jconv.algorithms()
        assert set(leg.rejected) == set(jconv.algorithms()) - {leg.algorithm}
        assert all(leg.rejected.values())
