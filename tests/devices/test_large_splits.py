"""Training steps split over eight devices at sizes where the planner leaves direct.

Under "exact" whole numbers come out bit by bit; under "auto" the error is within the stated bound,
a multiple of what one device's direct convolution rounds. Collectives are read from the program.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import AS_USERS
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from random_splits import collectives

import jconv
from jconv._planner.choose import LARGEST_ERROR

pytestmark = pytest.mark.devices

MESH = {"a": 2, "b": 4}

# x, w, settings, how x and w lie.
CASES = {
    "batch": ((8, 16, 16, 64), (3, 3, 64, 64), {}, ["a"], []),
    "batch over both": ((16, 16, 16, 64), (3, 3, 64, 64), {"stride": 2}, [("a", "b")], []),
    "rows": ((2, 64, 16, 64), (3, 3, 64, 64), {"stride": 2}, [None, "b"], []),
    "rows over both": ((2, 128, 32, 64), (5, 3, 64, 64), {}, [None, ("a", "b")], []),
    "rows and columns": ((4, 32, 64, 64), (5, 3, 64, 64), {"padding": "CAUSAL"}, [None, "a", "b"]),
    "batch and rows": ((4, 64, 16, 64), (3, 3, 64, 64), {"padding": "SAME_LOWER"}, ["a", "b"]),
    "input channels": (
        (4, 16, 16, 128),
        (3, 3, 128, 64),
        {},
        [None, None, None, "a"],
        [None, None, "a"],
    ),
    "output channels": ((4, 16, 16, 64), (3, 3, 64, 256), {}, ["a"], [None, None, None, "b"]),
    "groups": (
        (4, 32, 32, 64),
        (3, 3, 1, 64),
        {"groups": 64},
        ["a", None, None, "b"],
        [None, None, None, "b"],
    ),
    "circular": ((2, 64, 16, 64), (3, 3, 64, 64), {"padding_mode": "circular"}, [None, "b"]),
    "reflect": ((2, 64, 16, 64), (5, 3, 64, 64), {"padding_mode": "reflect"}, ["a", "b"]),
    "a mode for each side": (
        (2, 64, 16, 64),
        (3, 3, 64, 64),
        {"padding_mode": (("edge", "zeros"), "edge"), "padding": [(2, 0), (1, 1)]},
        [None, "b"],
    ),
    "odd results": ((4, 64, 17, 64), (3, 3, 64, 64), {"padding": "VALID"}, ["a", "b"]),
    "input dilation": (
        (2, 64, 32, 64),
        (3, 3, 64, 64),
        {"input_dilation": 2, "padding": [(1, 2), (1, 2)]},
        [None, "b"],
    ),
    "volume": ((1, 16, 16, 16, 32), (3, 3, 3, 32, 32), {}, [None, "a", "b"]),
    "a halo wider than a part": (
        (4, 1024, 64),
        (9, 1, 64),
        {"groups": 64, "dilation": 40},
        [None, ("a", "b")],
    ),
}
IN_SUITE = (
    *("batch", "rows over both", "rows and columns", "input channels", "output channels"),
    *("groups", "circular", "a mode for each side", "odd results"),
)


def step(settings):
    def run(x, w, g):
        y, pull = jax.vjp(lambda x, w: jconv.conv(x, w, **settings), x, w)
        return y, *pull(g)

    return run


@functools.cache
def operands(name, whole_numbers):
    x, w, settings, *_ = CASES[name]
    draw = np.random.default_rng(0)
    y = jconv.plan(x, w, **settings).y_shape
    if whole_numbers:
        return [draw.integers(-3, 4, shape).astype(np.float32) for shape in (x, w, y)]
    return [draw.standard_normal(shape, np.float32) for shape in (x, w, y)]


@functools.cache
def alone(name, dtype, whole_numbers):
    """One device's results by the direct convolution."""
    with jax.enable_x64(dtype == "float64"), jconv.policy("direct"):
        arrays = [jnp.asarray(array, dtype) for array in operands(name, whole_numbers)]
        return [np.asarray(v) for v in jax.jit(step(CASES[name][2]))(*arrays)]


def as_result(shape, x_spec, w_spec):
    """How a result lies: as x along the batch and rows that divide, as w along the channels."""
    entries = []
    for size, names in zip(shape[:-1], [*x_spec, *[None] * len(shape)], strict=False):
        parts = np.prod([MESH[axis] for axis in names or ()])
        entries.append(None if size % parts else names)
    return [*entries, w_spec[-1] if len(w_spec) == len(shape) else None]


def on_devices(name, kind, policy):
    """The results on eight devices, and the program's collectives."""
    x_shape, w_shape, settings, x_spec, *rest = CASES[name]
    w_spec = rest[0] if rest else []
    kinds = (getattr(AxisType, kind),) * len(MESH)
    mesh = jax.make_mesh(tuple(MESH.values()), tuple(MESH), axis_types=kinds)
    arrays = operands(name, policy == "exact")
    specs = x_spec, w_spec, as_result(arrays[2].shape, x_spec, w_spec)
    with jconv.policy(policy):
        plan = jconv.plan(
            x_shape, w_shape, mesh=MESH, x_spec=x_spec, w_spec=w_spec, platform="cpu", **settings
        )
        # Under "exact" an input dilation of this size is left to direct.
        algorithms = {leg.algorithm for leg in plan.devices.values()}
        assert policy == "exact" or algorithms != {"direct"}
        x, w, g = (
            jax.device_put(array, NamedSharding(mesh, P(*spec)))
            for array, spec in zip(arrays, specs, strict=True)
        )
        compiled = jax.jit(step(settings)).lower(x, w, g).compile(AS_USERS)
        return compiled(x, w, g), collectives(compiled.as_text())


def check(name, kind, policy):
    if len(jax.devices()) < 8:
        pytest.skip("needs eight devices (jax_num_cpu_devices came too late)")
    got, counted = on_devices(name, kind, policy)
    if policy == "exact":
        for have, want in zip(got, alone(name, "float32", True), strict=True):
            np.testing.assert_array_equal(have, want)
    else:
        direct, wide = alone(name, "float32", False), alone(name, "float64", False)
        for have, rounded, want in zip(got, direct, wide, strict=True):
            off, usual = (np.sqrt(np.mean((a - want) ** 2)) for a in (have, rounded))
            assert off <= LARGEST_ERROR * usual
    # A program's results lie in parts of one size: odd ones are brought together for that.
    assert counted.pop("all-gather") <= (2 if name == "odd results" else 0)
    assert counted.pop("all-reduce") <= 2
    rows = [names for names in CASES[name][3][1:-1] or CASES[name][3][1:2] if names]
    assert (counted.pop("collective-permute") > 0) == bool(rows)
    assert not any(counted.values())


@pytest.mark.parametrize("name", IN_SUITE)
def test_a_step_is_right_and_gathers_nothing(name):
    kinds = ["Auto", "Explicit"]
    if IN_SUITE.index(name) % 2:
        kinds.reverse()
    check(name, kinds[0], "exact")
    if name in ("batch", "rows over both", "rows and columns", "output channels", "circular"):
        check(name, kinds[1], "auto")


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["exact", "auto"])
@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
@pytest.mark.parametrize("name", CASES)
def test_every_split_on_both_kinds_of_axes(name, kind, policy):
    check(name, kind, policy)
