"""A padding mode for each axis and side: every leg against the oracle's loops, and the faces."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jconv
from jconv._cli.main import main
from jconv.testing import reference

# x, w, keywords
CASES = {
    "longitude alone": (
        (2, 4, 6, 2),
        (3, 3, 2, 3),
        {"padding_mode": ("edge", "circular"), "stride": (1, 2)},
    ),
    "each side": (
        (1, 5, 4, 2),
        (3, 2, 2, 2),
        {
            "padding_mode": (("reflect", "zeros"), ("circular", "edge")),
            "padding": ((2, 1), (1, 2)),
            "dilation": (1, 2),
        },
    ),
    "cropped, and zeros with input dilation": (
        (1, 6, 3, 2),
        (2, 3, 2, 2),
        {
            "padding_mode": (("circular", "reflect"), "zeros"),
            "padding": ((3, -2), (2, -1)),
            "input_dilation": (1, 2),
            "stride": 2,
        },
    ),
    "one axis": ((2, 5, 4), (3, 2, 4), {"padding_mode": (("zeros", "edge"),), "groups": 2}),
}


def drawn(shape, seed):
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def legs(ops, x, w, g, keywords):
    found = [
        ops.conv(x, w, **keywords),
        ops.conv_input_grad(g, w, input_shape=x.shape, **keywords),
        ops.conv_filter_grad(x, g, filter_shape=w.shape, **keywords),
    ]
    if "input_dilation" not in keywords:
        found.append(ops.conv_transpose(g, w, output_shape=x.shape, **keywords))
    return found


def arrays(name):
    x_shape, w_shape, keywords = CASES[name]
    x, w = drawn(x_shape, 1), drawn(w_shape, 2)
    return x, w, drawn(reference.conv(x, w, **keywords).shape, 3), keywords


@pytest.mark.parametrize("name", CASES)
def test_every_leg_is_the_oracles(name):
    x, w, g, keywords = arrays(name)

    @jax.jit
    def run(x, w, g):
        _, pullback = jax.vjp(lambda x, w: jconv.conv(x, w, **keywords), x, w)
        patches = jconv.unfold(
            x, w.shape[:-2], **{k: v for k, v in keywords.items() if k != "groups"}
        )
        return legs(jconv, x, w, g, keywords), pullback(g), patches

    found, gradients, patches = run(x, w, g)
    expected = legs(reference, x, w, g, keywords)
    for ours, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, right)
    for ours, right in zip(gradients, expected[1:3], strict=True):
        np.testing.assert_array_equal(ours, right)
    if "groups" not in keywords:
        flat = patches.reshape(-1, patches.shape[-1]) @ w.reshape(-1, w.shape[-1])
        np.testing.assert_array_equal(flat.reshape(found[0].shape), expected[0])
    plan = jconv.plan(x.shape, w.shape, **keywords)
    assert plan.y_shape == found[0].shape
    assert "border" in plan.to_svg()
    assert hash(plan) == hash(jconv.plan(x.shape, w.shape, **keywords))


@pytest.mark.parametrize("name", CASES)
def test_sides_that_changed_places_are_noticed(name, monkeypatch):
    x, w, g, keywords = arrays(name)
    right = legs(reference, x, w, g, keywords)
    modes = [(m, m) if isinstance(m, str) else m for m in keywords["padding_mode"]]
    swapped = [pair[::-1] for pair in modes]
    if swapped == modes:
        swapped = modes[::-1]
    try:
        wrong = legs(reference, x, w, g, {**keywords, "padding_mode": swapped})
    except ValueError:  # rows that cannot be copied
        return
    assert any((a != b).any() for a, b in zip(right[:2], wrong[:2], strict=True))


def test_fold_is_the_adjoint_of_unfold():
    x = drawn((1, 5, 4, 2), 1)
    keywords = {"padding_mode": (("edge", "circular"), "reflect"), "padding": 2, "stride": (2, 1)}
    patches = jconv.unfold(x, 3, **keywords)
    p = drawn(patches.shape, 2)
    back = jconv.fold(p, 3, input_shape=x.shape, **keywords)
    assert float((patches * p).sum()) == float((back * x).sum())


@pytest.mark.parametrize(
    ("mode", "value"),
    [
        (("edge", "circular", "zeros"), ("edge", "circular")),
        (("wrap", "replicate"), ("circular", "edge")),
        (("edge",), ("edge", "edge")),
        ((("edge", "edge", "edge"), "zeros"), None),
        ("mirror", "reflect"),
    ],
)
def test_what_is_no_mode_is_mended(mode, value):
    with pytest.raises(jconv.ConvError) as caught:
        jconv.conv(jnp.ones((1, 6, 6, 1)), jnp.ones((3, 3, 1, 1)), padding_mode=mode)
    assert caught.value.argument == "padding_mode"
    if value is not None:
        assert caught.value.remedies[0].value == value
    jconv.plan((1, 6, 6, 1), (3, 3, 1, 1), padding_mode=caught.value.remedies[0].value or "zeros")


def test_two_sides_of_one_axis_are_a_pair():
    with pytest.raises(jconv.ConvError) as caught:
        jconv.conv(jnp.ones((1, 6, 1)), jnp.ones((3, 1, 1)), padding_mode=("edge", "circular"))
    assert caught.value.remedies[0].value == (("edge", "circular"),)


def test_rows_that_cannot_be_copied_are_said_for_their_side():
    found = jconv.diagnose(
        x_shape=(1, 3, 9, 1),
        w_shape=(3, 3, 1, 1),
        padding=((0, 4), 1),
        padding_mode=(("circular", "reflect"), "zeros"),
    )
    assert not found.ok
    assert "reflect padding copies rows of x" in " ".join(found.text.split())
    assert jconv.diagnose(
        x_shape=(1, 3, 9, 1),
        w_shape=(3, 3, 1, 1),
        padding=((0, 4), 1),
        padding_mode=(("reflect", "edge"), "zeros"),
    ).ok


def test_symbolic_sizes():
    w = jnp.ones((3, 3, 1, 1))
    keywords = {"padding_mode": (("zeros", "edge"), "circular"), "padding": 1}
    (h,) = export.symbolic_shape("h", constraints=("h >= 3",))
    exported = export.export(jax.jit(lambda x: jconv.conv(x, w, **keywords)))(
        jax.ShapeDtypeStruct((1, h, 8, 1), jnp.float32)
    )
    value = drawn((1, 5, 8, 1), 1)
    np.testing.assert_array_equal(exported.call(value), reference.conv(value, w, **keywords))


def test_the_command(capsys):
    arguments = ["plan", "1,8,9,3", "3,3,3,4", "--padding-mode"]
    assert main([*arguments, "edge,circular"]) == 0
    assert "padding_mode=('edge', 'circular')" in capsys.readouterr().out
    assert main([*arguments, "(zeros,edge),circular"]) == 0
    assert "padding_mode=(('zeros', 'edge'), 'circular')" in " ".join(
        capsys.readouterr().out.split()
    )
    assert main([*arguments, "edge,wrap"]) == 1
