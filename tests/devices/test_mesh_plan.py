"""Plans on a mesh: the bytes they name are those of the compiled program's collectives."""

from __future__ import annotations

import collections
import dataclasses
import random

import jax
import pytest
from jax.sharding import PartitionSpec as P
from mesh_bytes import mesh_of, planned_legs, unequal
from random_splits import draw

import jconv
from jconv._cli import main as cli

pytestmark = pytest.mark.devices

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


def compared(cases):
    """How many legs of the calls were compared; the bytes of every one are the program's."""
    if len(jax.devices()) < 8:
        pytest.skip("needs eight devices (jax_num_cpu_devices came too late)")
    by_mesh = collections.defaultdict(list)
    for case in cases:
        by_mesh[case["mesh"]].append(case)
    count = 0
    for shape, of_mesh in by_mesh.items():
        mesh = mesh_of(shape, "Auto")
        legs = [leg for case in of_mesh for leg in planned_legs(case, mesh)]
        assert unequal(legs) == []
        count += len(legs)
    return count


def drawn(numbers):
    cases = (draw(random.Random(number)) for number in numbers)
    return [case for case in cases if _makes_something(case)]


def _makes_something(case):
    try:
        return 0 not in jconv.plan(case["x"], case["w"], **case["settings"]).y_shape
    except jconv.ConvError:
        return False


def test_bytes_are_those_of_the_program():
    fields = ("x", "w", "mesh", "specs", "settings")
    cases = [dict(zip(fields, case, strict=True)) for case in CASES.values()]
    assert compared(cases) == 3 * len(CASES)


MESHES = [(8,), (2, 4), (2, 2, 2), (3, 2)]


@pytest.mark.parametrize("mesh", MESHES)
def test_bytes_of_random_splits(mesh):
    """More than a hundred legs: batch, rows, channels and groups over one to three mesh axes."""
    cases = [case for case in drawn(range(100)) if case["mesh"] == mesh]
    assert compared(cases) >= 24


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_bytes_of_many_random_splits(block):
    assert compared(drawn(range(1000 + 15 * block, 1015 + 15 * block))) >= 12


def test_wrong_bytes_are_noticed():
    (case,) = drawn([3])
    legs = planned_legs(case, mesh_of(case["mesh"], "Auto"))
    wrong = dataclasses.replace(legs[0].record, permuted=legs[0].record.permuted + 4)
    assert unequal([dataclasses.replace(legs[0], record=wrong)])


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
