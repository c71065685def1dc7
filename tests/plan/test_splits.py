"""Splits on paper: bytes are those of the plan on that mesh, and the least is the least."""

from __future__ import annotations

import json

import pytest

import jconv
from jconv._cli import main as cli

KINDS = ("permuted", "reduced", "gathered")
SPECS = {
    "batch": ("batch",),
    "H": (None, "H"),
    "H+W": (None, "H", "W"),
    "batch+H": ("batch", "H"),
    "batch+H+W": ("batch", "H", "W"),
}


def step(x_shape, w_shape, parts, **settings):
    """Bytes of all legs of the plan on a mesh."""
    spec = [name if name in parts else None for name in ("batch", "H", "W")]
    plan = jconv.plan(x_shape, w_shape, mesh=parts, x_spec=spec, platform="cpu", **settings)
    return sum(getattr(leg, kind) for leg in plan.devices.values() for kind in KINDS)


@pytest.mark.parametrize(
    "settings", [{}, {"stride": 2}, {"padding_mode": "circular"}, {"padding": 3, "dilation": 2}]
)
def test_bytes_are_those_of_the_plan_on_that_mesh(settings):
    x_shape, w_shape = (4, 64, 32, 8), (5, 3, 8, 16)
    splits = jconv.plan(x_shape, w_shape, platform="cpu", **settings).splits((1, 4, 8, 32))
    seen = 0
    for row in splits.rows:
        moved = {}
        for name, cost in row.costs:
            if cost is not None:
                parts = dict(cost.mesh)
                moved[name] = cost.moved
                assert set(SPECS[name]) - {None} == set(parts)
                assert cost.moved == step(x_shape, w_shape, parts, **settings)
                seen += 1
        if row.devices > 1:
            assert moved[row.least[0][1]] == min(moved.values())
    assert seen > 8


def test_a_symbolic_size_says_from_where_on_another_split_moves_less():
    plan = jconv.plan((1, "h", "h", 16), (5, 5, 16, 32), padding=2, platform="cpu")
    (row,) = plan.splits((8,)).rows
    assert row.least == ((8, "H"), (24, "H+W"))
    for h, least in ((16, "H"), (24, "H+W"), (32, "H+W"), (1024, "H+W")):
        (number,) = plan.at(h=h).splits((8,)).rows
        assert number.least == ((None, least),)
        costs = dict(number.costs)
        formula = dict(row.costs)["H"].moved
        assert costs["H"].moved == 1024 * h + 51200
        assert str(formula) == "1024*h + 51200"
    assert "H, H+W from h=24" in str(plan.splits((8,)))


def test_the_table_of_1_to_4096_devices():
    splits = jconv.plan((8, "h", "h", 16), (3, 3, 16, 32), padding=1, platform="cpu").splits()
    assert [row.devices for row in splits.rows] == [2**n for n in range(13)]
    said = str(splits)
    assert max(map(len, said.splitlines())) <= 100
    assert "2 to 8 devices: splitting batch moves least" in said
    assert "64 to 4096 devices: splitting batch+H+W moves least" in said
    assert json.loads(json.dumps(splits.to_dict()))["symbol"] == "h"


def test_several_symbols_and_a_transposed_convolution():
    splits = jconv.plan(("b", "h", 16), (5, 16, 32), padding=2, platform="cpu").splits((1, 4))
    assert splits.rows[1].least == ()
    assert "1024*b + 10240 B" in str(splits)
    transposed = jconv.plan_transpose(
        (8, 64, 64, 16), (3, 3, 32, 16), stride=2, padding=1, platform="cpu"
    )
    assert transposed.splits((4,)).rows[0].least == ((None, "batch"),)


def test_bad_numbers_of_devices_are_said():
    plan = jconv.plan((8, 8, 8, 4), (3, 3, 4, 4))
    for devices in ((), (0,), ("a",), (1.5,)):
        with pytest.raises(jconv.ConvError, match="`devices` lists numbers of devices"):
            plan.splits(devices)


def test_the_command_line_compares_splits(capsys):
    command = ["plan", "8,h,h,16", "3,3,16,32", "--padding", "1"]
    assert cli.main([*command, "--mesh", "D"]) == 0
    of_symbol = capsys.readouterr().out
    assert cli.main([*command, "--mesh", "1..4096"]) == 0
    assert capsys.readouterr().out == of_symbol
    assert "\n4096 " in of_symbol
    assert cli.main([*command, "--mesh", "2..8", "--at", "h=64", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["devices"] for row in said["rows"]] == [2, 4, 8]
    assert said["rows"][0]["least"] == [[None, "batch"]]
    assert cli.main([*command, "--mesh", "D", "--x-spec", "D"]) == 2
    assert "leave --x-spec, --w-spec and --svg out" in capsys.readouterr().err
