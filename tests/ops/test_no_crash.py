"""XLA's operand swap kills the process over some convolutions, and never over jconv's.

What may die runs in a child: this file is also the program that the children run.
"""

import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jconv
from jconv.testing import reference
from jconv.testing.soak.soak import child_environment

# Convolutions (x has 2 channels, the filter 3 outputs) of which plain lax aborts in the leg that
# is named, on jax 0.10.2 and 0.12.0: i | k | stride | input dilation | dilation | pads.
ABORTING = """
conv        | 1,2   | 3,3   | 1,2   | 1,3   | 1,1   | 4,1 0,0
conv        | 1,3   | 2,2   | 2,1   | 3,2   | 1,1   | 0,3 0,0
conv        | 1,4   | 3,3   | 3,2   | 1,3   | 1,1   | 2,0 0,0
conv        | 1,6   | 4,2   | 1,1   | 1,2   | 1,1   | 1,4 0,0
conv        | 2,6   | 3,3   | 3,2   | 1,3   | 1,1   | 0,3 0,0
conv        | 3,3   | 2,4   | 1,2   | 2,1   | 1,1   | 0,0 0,1
conv        | 6,1   | 3,2   | 2,1   | 3,1   | 1,1   | 0,0 1,0
conv        | 1,1,6 | 1,2,3 | 2,3,2 | 1,1,3 | 2,1,1 | 4,4 3,0 0,0
conv        | 1,2,3 | 4,3,2 | 2,2,1 | 1,3,2 | 1,1,1 | 0,3 0,0 0,0
conv        | 1,2,4 | 3,2,2 | 3,3,1 | 1,3,2 | 1,1,1 | 2,2 4,2 0,0
conv        | 1,3,3 | 2,2,2 | 2,3,1 | 1,1,2 | 1,1,1 | 3,3 1,3 0,0
conv        | 2,1,6 | 3,4,3 | 1,2,2 | 2,1,3 | 2,2,1 | 1,1 2,4 0,0
conv        | 2,4,2 | 4,3,2 | 1,2,2 | 3,3,1 | 1,1,1 | 0,0 0,0 0,0
input_grad  | 8,1   | 2,3   | 2,2   | 1,1   | 1,1   | 1,2 1,3
input_grad  | 14,1  | 2,3   | 2,1   | 1,1   | 1,1   | 1,1 1,1
input_grad  | 1,4   | 2,2   | 2,2   | 2,1   | 2,1   | 0,2 1,2
input_grad  | 1,4   | 3,2   | 2,2   | 3,1   | 2,1   | 2,4 1,2
input_grad  | 1,6   | 3,3   | 3,3   | 1,2   | 1,1   | 1,1 2,4
input_grad  | 2,4   | 2,2   | 2,2   | 3,1   | 2,1   | 0,0 1,2
input_grad  | 2,4   | 4,2   | 1,2   | 1,1   | 1,1   | 4,0 1,2
input_grad  | 4,3   | 2,3   | 2,2   | 1,1   | 1,1   | 1,2 2,1
input_grad  | 4,3   | 2,4   | 2,2   | 1,1   | 1,1   | 1,1 1,4
input_grad  | 4,4   | 2,2   | 2,2   | 1,1   | 2,1   | 0,0 1,2
input_grad  | 4,5   | 2,3   | 2,3   | 1,1   | 1,1   | 1,2 0,0
input_grad  | 4,5   | 2,4   | 2,3   | 1,2   | 1,1   | 1,2 0,0
input_grad  | 6,1   | 2,2   | 2,2   | 1,1   | 1,1   | 1,2 1,0
input_grad  | 6,1   | 3,3   | 3,3   | 2,1   | 1,1   | 2,3 1,2
input_grad  | 1,1,4 | 2,3,2 | 2,3,2 | 3,1,1 | 1,1,1 | 2,2 1,1 1,1
input_grad  | 3,4,6 | 3,2,2 | 2,3,2 | 3,1,1 | 1,1,1 | 0,4 0,0 1,1
input_grad  | 3,6,2 | 3,2,2 | 2,2,3 | 3,1,1 | 1,1,2 | 2,0 1,2 1,0
input_grad  | 5,5,4 | 2,4,2 | 2,2,2 | 1,1,1 | 1,1,1 | 3,3 0,0 1,2
input_grad  | 5,6,4 | 4,2,2 | 2,2,3 | 1,1,1 | 1,1,1 | 1,3 1,1 0,0
input_grad  | 6,1,3 | 2,3,2 | 2,3,3 | 1,3,1 | 1,1,1 | 1,2 3,1 1,3
input_grad  | 6,5,6 | 2,3,4 | 2,3,3 | 1,1,1 | 1,1,1 | 1,2 0,0 0,0
filter_grad | 1,3   | 1,4   | 2,1   | 1,2   | 1,1   | 4,2 0,0
filter_grad | 1,3   | 2,4   | 2,1   | 1,2   | 1,1   | 3,4 0,0
filter_grad | 1,3   | 4,4   | 2,1   | 2,2   | 1,1   | 4,3 0,0
filter_grad | 3,3   | 3,4   | 2,1   | 1,2   | 1,1   | 3,3 0,0
filter_grad | 3,4   | 4,1   | 1,1   | 2,3   | 1,1   | 0,0 1,1
filter_grad | 6,3   | 2,4   | 1,1   | 1,2   | 2,1   | 3,3 0,0
filter_grad | 1,2,3 | 3,2,4 | 1,2,1 | 1,1,2 | 2,1,1 | 2,4 0,1 0,0
filter_grad | 1,3,1 | 2,4,4 | 2,1,2 | 1,2,1 | 1,1,1 | 3,0 0,0 4,1
filter_grad | 2,3,1 | 2,4,1 | 1,1,1 | 1,2,1 | 1,1,1 | 2,4 0,0 0,0
filter_grad | 3,1,2 | 4,3,1 | 1,3,2 | 2,1,1 | 1,1,1 | 0,0 3,3 1,1
filter_grad | 3,5,3 | 4,2,1 | 1,2,3 | 2,1,1 | 1,1,2 | 0,0 0,4 4,4
filter_grad | 5,1,3 | 3,2,4 | 2,2,1 | 2,1,2 | 1,2,1 | 1,4 2,0 0,0
"""
# The caller's own lax.pad, which XLA folds into the convolution: amounts for x, then as above.
FOLDED = """
0,0,1 0,0,0       | 7,1 | 2,3 | 1,1 | 1,1 | 1,1 | 0,0 1,1
0,0,2 0,0,0       | 5,1 | 3,2 | 2,1 | 1,1 | 1,1 | 0,0 1,1
0,0,0 1,1,0       | 7,1 | 2,3 | 1,1 | 2,1 | 1,1 | 0,0 0,0
0,0,1 1,1,0       | 4,1 | 2,3 | 1,1 | 1,1 | 1,1 | 0,0 0,0
0,0,1 0,0,0 2,0,0 | 3,2,1 | 2,2,3 | 1,1,1 | 1,1,1 | 1,1,1 | 0,0 1,0 0,0
"""


def _ints(text):
    return tuple(int(number) for number in text.split(","))


def _rows(table, groups=1):
    for line in table.strip().splitlines():
        head, i, k, s, b, d, pads = (field.strip() for field in line.split("|"))
        settings = {"stride": _ints(s), "input_dilation": _ints(b), "dilation": _ints(d)}
        settings["padding"] = tuple(_ints(pair) for pair in pads.split())
        settings["groups"] = groups
        yield head, (1, *_ints(i), 2 * groups), (*_ints(k), 2, 3 * groups), settings


def _draw(*shapes, dtype=np.float32):
    rng = np.random.default_rng(0)
    return [rng.integers(-3, 4, shape).astype(dtype) for shape in shapes]


def _explicit(impl, x, w, g, settings):
    return (
        impl.conv(x, w, **settings),
        impl.conv_input_grad(g, w, input_shape=x.shape, **settings),
        impl.conv_filter_grad(x, g, filter_shape=w.shape, **settings),
    )


def _by_autodiff(x, w, g, settings):
    grads = jax.grad(lambda x, w: jnp.sum(g * jconv.conv(x, w, **settings)), (0, 1))
    return jconv.conv(x, w, **settings), *grads(x, w)


def _all_legs(x, w, g, settings):
    """Every leg by name and by autodiff, and as the transposed convolution."""
    results = _explicit(jconv, x, w, g, settings), _by_autodiff(x, w, g, settings)
    if set(settings["input_dilation"]) != {1}:
        return *results, ()
    options = {name: settings[name] for name in ("stride", "dilation", "padding", "groups")}
    return *results, (jconv.conv_transpose(g, w, output_shape=x.shape, **options),)


def _run_jconv():
    _run_all_legs(list(_rows(ABORTING)), np.float32)


def _run_all_legs(rows, dtype):
    """Every row in all legs: under jit eight to a program, and some of them eagerly."""
    for start in range(0, len(rows), 8):
        settings = [row[-1] for row in rows[start : start + 8]]
        print("rows", start, "to", start + 7, flush=True)
        arrays, expected = [], []
        for _, x_shape, w_shape, kwargs in rows[start : start + 8]:
            x, w = _draw(x_shape, w_shape, dtype=dtype)
            (g,) = _draw(reference.conv(x, w, **kwargs).shape, dtype=dtype)
            arrays.append((x, w, g))
            expected.append(_explicit(reference, x, w, g, kwargs))

        def every(arrays, settings=settings):
            return [_all_legs(*a, kwargs) for a, kwargs in zip(arrays, settings, strict=True)]

        # Eagerly each leg is a program of its own: a fourth of the rows will do.
        jitted, eager = jax.jit(every)(arrays), every(arrays[::4], settings[::4])
        pairs = [*zip(jitted, expected, strict=True), *zip(eager, expected[::4], strict=True)]
        for (by_name, by_autodiff, transposed), want in pairs:
            jax.tree.map(np.testing.assert_array_equal, by_name, want)
            jax.tree.map(np.testing.assert_array_equal, by_autodiff, want)
            jax.tree.map(np.testing.assert_array_equal, transposed, want[1 : 1 + len(transposed)])


def _run_grouped():
    """With groups plain lax aborts in float64 and in integers, whose groups XLA rewrites."""
    jax.config.update("jax_enable_x64", True)
    _run_all_legs(list(_rows(ABORTING, groups=2))[::3], np.float64)
    for head, x_shape, w_shape, settings in _rows(ABORTING, groups=3):
        if head == "conv":
            print(x_shape, w_shape, settings, flush=True)
            x, w = _draw(x_shape, w_shape, dtype=np.int32)
            expected = reference.conv(x, w, **settings)
            np.testing.assert_array_equal(jconv.conv(x, w, **settings), expected)


def _run_folded():
    """Every row of FOLDED: x is padded, then convolved, in one program."""
    for amounts, x_shape, w_shape, settings in _rows(FOLDED):
        print(amounts, x_shape, w_shape, settings, flush=True)
        amounts = [(0, 0, 0), *(_ints(one) for one in amounts.split()), (0, 0, 0)]
        x, w = _draw(x_shape, w_shape)

        def padded(x, amounts=amounts):
            return lax.pad(x, jnp.float32(0), amounts)

        def run(x, w, settings=settings, padded=padded):
            return jconv.conv(padded(x), w, **settings)

        expected = reference.conv(padded(x), w, **settings)
        np.testing.assert_array_equal(jax.jit(run)(x, w), expected)


def _run_lax():
    """The smallest known: the gradient in x of a strided convolution."""
    x, w = _draw((1, 8, 1, 3), (2, 3, 3, 3))
    settings = {"stride": (2, 2), "padding": ((1, 2), (1, 3))}
    (g,) = _draw(reference.conv(x, w, **settings).shape)
    names = ("NHWC", "HWIO", "NHWC")

    def loss(x):
        y = lax.conv_general_dilated(x, w, *settings.values(), dimension_numbers=names)
        return jnp.sum(g * y)

    expected = reference.conv_input_grad(g, w, input_shape=x.shape, **settings)
    np.testing.assert_array_equal(jax.grad(loss)(x), expected)


def _child(what):
    return subprocess.run(
        [sys.executable, __file__, what],
        capture_output=True,
        text=True,
        timeout=500,
        env={**child_environment(), "JAX_ENABLE_X64": "0"},
        check=False,
    )


def test_plain_lax_dies_or_is_right():
    """Why all this is here. A JAX that has mended it makes the child right, not this test wrong."""
    done = _child("lax")
    assert done.returncode in (0, -signal.SIGABRT), done.stderr
    if done.returncode:
        assert "Window dimensions do not match RHS shape" in done.stderr


@pytest.mark.parametrize("what", ["jconv", "grouped", "folded"])
def test_jconv_survives(what):
    done = _child(what)
    assert done.returncode == 0, f"{done.stdout.splitlines()[-1:]}\n{done.stderr[:2000]}"


if __name__ == "__main__":
    globals()[f"_run_{sys.argv[1]}"]()
