"""Plans on a mesh: the bytes they name are those of the compiled program's collectives."""

from __future__ import annotations

import random
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from random_splits import draw

import jconv
from jconv._cli import main as cli

pytestmark = pytest.mark.devices

KINDS = ("all-gather", "all-reduce", "collective-permute", "all-to-all", "reduce-scatter")


def operand_bytes(text):
    """Bytes of the operands of each kind of collective in a compiled float32 program."""
    found = {}
    for kind in KINDS:
        total = 0
        for call in re.finditer(rf"= .*? {kind}(?:-start)?\((.*?)\)", text):
            for operand in call.group(1).split(","):
                name = operand.split()[-1].lstrip("%")
                made = re.search(rf"%?{re.escape(name)} = f32\[([\d,]*)\]", text)
                assert made, f"{name} of {kind} is not in the program"
                total += 4 * int(np.prod([int(n) for n in made.group(1).split(",") if n] or [1]))
        found[kind] = total
    return found


def legs_of(plan, settings):
    x, w = plan.x_shape, plan.w_shape
    return {
        "conv": (lambda x, w: jconv.conv(x, w, **settings), "xw"),
        "input_grad": (lambda g, w: jconv.conv_input_grad(g, w, input_shape=x, **settings), "yw"),
        "filter_grad": (
            lambda x, g: jconv.conv_filter_grad(x, g, filter_shape=w, **settings),
            "xy",
        ),
    }


def compare(x_shape, w_shape, shape, specs, settings, kind="Auto"):
    """How many legs of a call were compared: those whose result divides among the devices."""
    if len(jax.devices()) < 8:
        pytest.skip("needs eight devices (jax_num_cpu_devices came too late)")
    names = ("a", "b", "c")[: len(shape)]
    sizes = dict(zip(names, shape, strict=True))
    mesh = jax.make_mesh(shape, names, axis_types=(getattr(AxisType, kind),) * len(names))
    plan = jconv.plan(
        x_shape,
        w_shape,
        mesh=sizes,
        x_spec=specs["x"],
        w_spec=specs["w"],
        platform="cpu",
        **settings,
    )
    shapes = {"x": plan.x_shape, "w": plan.w_shape, "y": plan.y_shape}
    seen = 0
    for leg, (fn, slots) in legs_of(plan, settings).items():
        record = plan.devices[leg]
        parts = dict(record.shapes)
        lies = {s: specs.get(s) for s in "xw"} | {"y": ()}
        split = dict(plan.devices["conv"].split)
        lies["y"] = [split.get(role, ()) for role in _roles(len(x_shape) - 2, settings)]
        out = ({"x", "w", "y"} - set(slots)).pop()
        uneven = [
            size % int(np.prod([sizes[axis] for axis in axes]))
            for size, axes in zip(shapes["y"], lies["y"], strict=True)
        ]
        # A program's results are always in parts of one size, at the price of a gather.
        part = zip(shapes[out], parts[out], strict=True)
        if any(uneven) or any(size % rows for size, rows in part):
            continue
        avals = [
            jax.ShapeDtypeStruct(
                shapes[s],
                jnp.float32,
                sharding=NamedSharding(mesh, P(*(tuple(axes) or None for axes in lies[s] or ()))),
            )
            for s in slots
        ]
        text = jax.jit(fn).lower(*avals).compile().as_text()
        found = operand_bytes(text)
        planned = record.permuted, record.reduced, record.gathered
        moved = found["all-gather"] + found["all-to-all"]
        read = found["collective-permute"], found["all-reduce"], moved
        assert planned == read, (leg, x_shape, w_shape, sizes, specs, settings, record.reasons)
        seen += 1
    return seen


def _roles(rank, settings):
    outputs = "the groups" if settings.get("groups", 1) > 1 else "the output channels"
    return ["the batch", *(f"spatial axis {a}" for a in range(rank)), outputs]


CASES = {
    "batch": ((64, 32, 32, 128), (3, 3, 128, 128), (8,), {"x": [["a"]], "w": []}, {}),
    "batch and rows": ((8, 32, 32, 16), (3, 3, 16, 32), (2, 4), {"x": [["a"], ["b"]], "w": []}, {}),
    "two axes": (
        (1, 16, 16, 4),
        (5, 3, 4, 8),
        (2, 4),
        {"x": [[], ["a"], ["b"]], "w": []},
        {"stride": 2},
    ),
    "channels": (
        (2, 8, 8, 8),
        (3, 3, 8, 16),
        (2, 4),
        {"x": [[], [], [], ["a"]], "w": [[], [], ["a"], ["b"]]},
        {},
    ),
    "ring": (
        (1, 16, 8, 2),
        (5, 3, 2, 4),
        (4, 2),
        {"x": [[], ["a"], ["b"]], "w": []},
        {"padding_mode": "circular"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_those_of_the_program(name):
    assert compare(*CASES[name]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_bytes_of_many_random_splits(block):
    seen = 0
    for number in range(1000 + 15 * block, 1015 + 15 * block):
        case = draw(random.Random(number))
        try:
            plan = jconv.plan(case["x"], case["w"], **case["settings"])
        except jconv.ConvError:
            continue
        if 0 in plan.y_shape:
            continue
        seen += compare(case["x"], case["w"], case["mesh"], case["specs"], case["settings"])
    assert seen >= 12


def test_the_planner_plans_the_local_problem():
    plan = jconv.plan(
        (64, 32, 32, 128), (3, 3, 128, 128), mesh={"data": 8}, x_spec=("data",), platform="cpu"
    )
    local = jconv.plan((8, 32, 32, 128), (3, 3, 128, 128), platform="cpu")
    for leg, record in plan.devices.items():
        assert record.algorithm == local.legs[leg].algorithm
    assert dict(plan.devices["conv"].shapes)["x"] == (8, 32, 32, 128)
    assert plan.devices["filter_grad"].reduced == 4 * 3 * 3 * 128 * 128
    assert plan.devices["conv"].permuted == plan.devices["conv"].gathered == 0


def test_what_cannot_stay_split_is_said():
    plan = jconv.plan(
        (8, 8, 8, 4), (3, 3, 4, 8), mesh={"a": 2}, x_spec=("a",), w_spec=P(None, None, None, "a")
    )
    (reason,) = plan.devices["conv"].reasons
    assert reason.startswith("w is brought together over 'a': the mesh axis splits the batch")
    assert reason in " ".join(str(plan).split())
    assert plan.to_dict()["devices"]["conv"]["gathered"] == 4 * 3 * 3 * 4 * 4


def test_symbols_answer_on_paper_and_numbers_agree():
    plan = jconv.plan(
        ("b", "h", "w", 16), (5, 3, 16, 32), mesh={"rows": "D"}, x_spec=(None, "rows"), padding=2
    )
    record = plan.devices["conv"]
    assert record.halo == ((2, 2), (0, 0))
    assert str(record.permuted) == "256*b*w"
    assert plan.devices["filter_grad"].reduced == 4 * 5 * 3 * 16 * 32
    at = plan.at(b=2, h=64, w=30, D=8).devices["conv"]
    assert at.permuted == 256 * 2 * 30
    assert dict(at.shapes)["x"] == (2, 8, 30, 16)


@pytest.mark.parametrize("leg", ["conv", "input_grad", "filter_grad"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_symbolic_halos_are_the_numeric_ones_where_parts_line_up(leg, stride):
    settings = {"stride": (stride, 1), "padding": [(3, 2), (1, 1)], "mesh": {"rows": "D"}}
    plan = jconv.plan((2, "h", 8, 4), (6, 3, 4, 4), x_spec=(None, "rows"), **settings)
    numbers = plan.at(h=16 * 6 * stride, D=4)
    if numbers.y_shape[1] * stride == 16 * 6 * stride:
        assert numbers.devices[leg].halo == plan.devices[leg].halo


def test_faults_of_a_mesh_are_said():
    shapes = (8, 8, 8, 4), (3, 3, 4, 8)
    with pytest.raises(jconv.ConvError, match="there is no `mesh`"):
        jconv.plan(*shapes, x_spec=("a",))
    with pytest.raises(jconv.ConvError, match="each mesh axis once"):
        jconv.plan(*shapes, mesh={"a": 2}, x_spec=("b",))
    with pytest.raises(jconv.ConvError, match="gives the size of every mesh axis"):
        jconv.plan(*shapes, mesh=8, x_spec=("a",))
    with pytest.raises(jconv.ConvError, match="8 entries of dimension 0 into 3 parts"):
        jconv.plan(*shapes, mesh={"a": 3}, x_spec=("a",))


def test_the_command_line_plans_on_a_mesh(capsys):
    command = ["plan", "b,h,224,16", "3,3,16,32", "--padding", "1"]
    assert cli.main([*command, "--mesh", "data=D", "--x-spec", ".,data"]) == 0
    said = capsys.readouterr().out
    assert "mesh data=D" in said
    assert "permuted 28672*b B" in said
