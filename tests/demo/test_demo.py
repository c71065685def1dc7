"""jconv demo: it trains, checks, measures and draws, or says what it lacks."""

from __future__ import annotations

import dataclasses
import json

import pytest

from jconv._cli import demo as _cli_demo
from jconv._cli.main import main
from jconv._demo import run as demo
from jconv._demo.network import LAYERS


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    for name in demo.missing():
        pytest.skip(f"{name} is missing: install the extra `test`")
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("builtins.print", lambda *args, **_: printed.append(" ".join(args)))
        picture = folder / "demo.png"
        kept = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(kept))
        patch.setenv("LOCALAPPDATA", str(kept))
        status = main(["demo", "--steps", "30", "--rounds", "1", "--json", "-o", str(picture)])
    assert any((kept / "jconv" / "programs").iterdir())  # a second demo starts from these
    return status, json.loads("\n".join(printed)), picture


def test_it_learns_and_its_gradients_are_autodiffs(ran):
    status, found, _ = ran
    assert status == 0
    first, last = found["curve"][0], found["curve"][-1]
    assert (first[0], last[0]) == (1, 30)
    assert last[1] < first[1] / 2
    assert last[2] > 0.5
    gradients = found["gradients"]
    assert gradients["difference"] <= 1e-5 * gradients["largest"]
    assert gradients["largest"] > 0


def test_it_measures_every_layer_and_plans_it(ran):
    _, found, _ = ran
    names = [layer["name"] for layer in LAYERS]
    assert list(found["layers"]) == names
    assert set(found["step"]["seconds"]) == {"lax", "jconv", "accelerate(lax)"}
    assert [row["name"] for row in found["plan"]["layers"]] == names


def test_the_picture_is_written_whole(ran):
    _, _, picture = ran
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [path.name for path in picture.parent.iterdir()] == ["demo.png"]


def test_a_wrong_gradient_is_noticed(capsys, monkeypatch, tmp_path):
    found = demo.Found(
        curve=[(1, 2.0, 0.1), (2, 0.1, 0.9)],
        seconds=1.0,
        difference=1e-3,
        largest=1.0,
        times={name: [1.0, 1.0] for name in ("lax", "jconv", "accelerate(lax)")},
        layers={},
        images=None,
        labels=None,
        guesses=None,
    )
    monkeypatch.setattr(_cli_demo, "missing", list)
    monkeypatch.setattr(_cli_demo, "run", lambda steps, rounds: found)
    monkeypatch.setattr(_cli_demo, "draw", lambda found, path: None)
    command = ["demo", "-o", str(tmp_path / "demo.svg")]
    assert main(command) == 1
    assert "THEY DIFFER" in capsys.readouterr().out
    found = dataclasses.replace(found, difference=1e-6)
    assert main(command) == 0
    assert max(map(len, capsys.readouterr().out.splitlines()[:-1])) <= 100


def test_without_what_it_needs(capsys, monkeypatch):
    monkeypatch.setattr(_cli_demo, "missing", lambda: ["scikit-learn"])
    assert main(["demo"]) == 2
    assert "scikit-learn missing; the extra `examples`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "1"], "--steps"),
        (["--rounds", "0"], "--rounds"),
        (["-o", "demo.pdf"], "--output"),
        (["-o", "no/folder/demo.png"], "no such folder"),
    ],
)
def test_misuse(capsys, monkeypatch, arguments, said):
    monkeypatch.setattr(_cli_demo, "missing", list)
    assert main(["demo", *arguments]) == 2
    assert said in capsys.readouterr().err
