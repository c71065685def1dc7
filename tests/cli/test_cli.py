"""The jconv command: what a person reads, what a program reads, and the exit status."""

import json
import os
import subprocess
import sys

import pytest

import jconv
from jconv._cli.main import main

NETWORK = """
x_shape = [4, "h", "w", 3]

[[layers]]
kind = "conv"
name = "down"
features = 8
kernel = 3
stride = 2

[[layers]]
kind = "conv_transpose"
name = "up"
features = 3
kernel = 3
stride = 2
"""


def run(capsys, *arguments):
    status = main(arguments)
    return status, capsys.readouterr().out


def test_plan_prints_the_plan(capsys):
    status, out = run(capsys, "plan", "8,224,224,3", "7,7,3,64", "--stride", "2")
    assert status == 0
    assert out.strip() == str(jconv.plan((8, 224, 224, 3), (7, 7, 3, 64), stride=2))


@pytest.mark.parametrize("text", ["b,h,w,3", "(b, h, w, 3)", "b h w 3"])
def test_plan_with_symbols_for_a_program(capsys, text):
    status, out = run(
        capsys, "plan", text, "7x7x3x64", "--stride", "2,1", "--padding", "(1,2),(0,1)",
        "--at", "h=20,w=20", "--json",
    )  # fmt: skip
    assert status == 0
    expected = jconv.plan(("b", 20, 20, 3), (7, 7, 3, 64), stride=(2, 1), padding=((1, 2), (0, 1)))
    assert json.loads(out) == json.loads(json.dumps(expected.to_dict()))


def test_plan_of_a_transposed_convolution(capsys):
    status, out = run(
        capsys, "plan", "1,6,6,8", "3,3,4,8", "--transpose", "--stride", "2", "--padding", "1",
        "--output-padding", "1",
    )  # fmt: skip
    assert status == 0
    assert "(1, 12, 12, 4)" in out


def test_one_axis_takes_a_pair(capsys):
    status, out = run(capsys, "plan", "1,8,3", "3,3,4", "--padding", "(2,0)", "--json")
    assert (status, json.loads(out)["padding"]) == (0, [[2, 0]])


@pytest.mark.parametrize("pads", [["--padding", "-1,2"], ["--padding=-1,2"]])
def test_a_value_may_begin_with_a_minus(capsys, pads):
    status, out = run(capsys, "plan", "1,8,8,3", "3,3,3,4", *pads, "--json")
    assert (status, json.loads(out)["padding"]) == (0, [[-1, -1], [2, 2]])


def test_constraints_that_exclude_each_other_are_explained(capsys):
    facts = ["--constraint", "h >= 5", "--constraint", "h <= 3"]
    status, out = run(capsys, "plan", "1,h,8,3", "3,3,3,4", *facts)
    assert status == 1
    assert "argument: `constraints`" in out


def test_a_shape_problem_is_explained(capsys):
    status, out = run(capsys, "plan", "1,8,8,16", "3,3,8,3")
    assert status == 1
    assert "`w`" in out
    assert "remedy" in out
    status, out = run(capsys, "plan", "1,8,8,16", "3,3,8,3", "--json")
    assert status == 1
    assert json.loads(out)["remedies"]


def test_diagnose(capsys):
    question = ["diagnose", "--op", "conv_filter_grad", "--x", "1,5,5,3", "--g", "1,5,5,8"]
    question += ["--filter-shape", "3,3", "--stride", "2"]
    status, out = run(capsys, *question)
    assert status == 1
    assert "give g the shape (1, 3, 3, 8)" in out
    status, out = run(capsys, *question, "--json")
    found = json.loads(out)
    assert (status, found["ok"], found["argument"]) == (1, False, "g")
    assert found["remedies"][0]["value"] == [1, 3, 3, 8]
    status, out = run(capsys, "diagnose", "--x", "1,256,255,3", "--w", "5,5,3,8")
    assert status == 0
    assert "nothing is wrong" in out


def test_solve(capsys):
    status, out = run(capsys, "solve", "--input", "28", "--output", "14", "--limit", "2")
    assert status == 0
    assert 'jconv.conv(x, w, stride=2, padding="SAME")' in out
    assert "more; --limit shows them" in out
    status, out = run(
        capsys, "solve", "--input", "6,6", "--output", "12,12", "--transposed", "--json"
    )
    assert status == 0
    assert json.loads(out)[0]["call"].startswith("jconv.conv_transpose")
    status, out = run(capsys, "solve", "--input", "2", "--output", "500")
    assert status == 1
    assert "nothing takes 2 to 500" in out


def test_chain(capsys, tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(NETWORK)
    status, out = run(capsys, "chain", str(path))
    assert status == 0
    assert "down" in out
    assert "output_padding" in out
    status, out = run(capsys, "chain", str(path), "--at", "h=65,w=64", "--json")
    assert status == 0
    assert json.loads(out)
    path.write_text(NETWORK.replace("features", "featurs"))
    status, out = run(capsys, "chain", str(path))
    assert status == 1
    assert "features" in out


@pytest.mark.parametrize("command", ["plan", "chain"])
def test_pictures_are_written_whole(capsys, tmp_path, command):
    picture, network = tmp_path / "picture.svg", tmp_path / "net.toml"
    network.write_text(NETWORK)
    what = ["1,8,8,3", "3,3,3,4"] if command == "plan" else [str(network)]
    status, out = run(capsys, command, *what, "--svg", str(picture))
    assert status == 0
    assert picture.read_text().rstrip().endswith("</svg>")
    assert str(picture) in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.toml", "picture.svg"]
    assert main([command, *what, "--svg", str(tmp_path / "no" / "picture.svg")]) == 2


def test_doctor(capsys):
    status, out = run(capsys, "doctor")
    assert status == 0
    for title in ("versions", "devices", "policy", "tuning table", "known here"):
        assert title in out
    status, out = run(capsys, "doctor", "--json")
    assert (status, json.loads(out)["policy"]) == (0, "auto, workspace no limit")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["plan"],
        ["plan", "1,8,8,3"],
        ["plan", "1,8,8,3", "3,3,3,4", "--stride", "two"],
        ["plan", "1,8,8,3", "3,3,3,4", "--at", "h:3"],
        ["plan", "1,h,8,3", "3,3,3,4", "--constraint", "h > 3"],
        ["plan", "1,h,8,3", "3,3,3,4", "--constraint", "foo"],
        ["plan", "1,8,8,3", "3,3,3,4", "--output-padding", "1"],
        ["solve", "--input", "3"],
        ["chain", "missing.toml"],
        ["unknown"],
    ],
)
def test_misuse_of_the_command_line_is_status_2(arguments, capsys):
    try:
        status = main(arguments)
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    assert capsys.readouterr().err


def test_it_fits_a_hundred_columns_and_has_no_colour_off_a_terminal(capsys):
    for arguments in (
        ["plan", "b,h,w,3", "7,7,3,64", "--stride", "2", "--padding", "VALID"],
        ["solve", "--input", "6,6", "--output", "12,12", "--transposed", "--limit", "99"],
        ["doctor"],
    ):
        _, out = run(capsys, *arguments)
        assert max(map(len, out.splitlines())) <= 100
        assert "\033" not in out


def test_python_m_jconv_is_the_command():
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-m", "jconv", "plan", "1,8,8,3", "3,3,4,8"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "`w`" in done.stdout
