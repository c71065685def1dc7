"""Tuning tables as files: whole, for one device and JAX, and never fatal."""

import dataclasses
import json
import sys

import jax.numpy as jnp
import pytest

import jconv
from jconv._algorithms import BY_NAME
from jconv._cli.main import main
from jconv._planner.policy import current_tuning
from jconv._support import files as _files
from jconv._tuning import autotune
from jconv._tuning.device import Environment, processor_in, this_environment
from jconv._tuning.table import TuningTable

ARGUMENTS = jnp.ones((1, 6, 5, 4)), jnp.ones((3, 2, 2, 4))


@pytest.fixture(scope="module")
def table():
    def fn(x, w):
        y = jconv.conv(x, w, groups=2, padding="CAUSAL", precision="highest")
        return jconv.conv_transpose(y.astype(jnp.bfloat16), w.astype(jnp.bfloat16), groups=2)

    made = jconv.autotune(fn, *ARGUMENTS, rounds=1)
    assert len(made) == 6
    return made


def test_what_is_saved_is_loaded(table, tmp_path):
    path = tmp_path / "table.json"
    table.save(path)
    loaded = TuningTable.load(str(path))
    assert loaded == table
    assert hash(loaded) == hash(table)
    assert str(loaded) == str(table)
    assert [p.name for p in tmp_path.iterdir()] == ["table.json"]
    read = json.loads(path.read_text())
    assert read["tables"] == [json.loads(json.dumps(table.to_dict()))]


def test_a_file_keeps_what_other_devices_and_releases_measured(table, tmp_path):
    path = tmp_path / "table.json"
    here = this_environment()
    others = [
        TuningTable(dataclasses.replace(here, **change), table.measurements[:2])
        for change in ({"jax": "0.1"}, {"device": "an abacus"}, {"platform": "tpu"})
    ]
    for entry in (*others, table, others[1]):
        entry.save(path)
    assert len(json.loads(path.read_text())["tables"]) == 4
    assert TuningTable.load(path) == table


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["cpu family\t: 25\n", "model\t\t: 1\n", "model name\t: AMD EPYC\n"],
         "AMD EPYC (family 25, model 1)"),
        (["CPU implementer\t: 0x41\n", "CPU part\t: 0xd0c\n"],
         "aarch64 (implementer 0x41, part 0xd0c)"),
        (["hart : 0\n"], "aarch64"),
        ([], "aarch64"),
    ],
)  # fmt: skip
def test_processors_of_one_name_are_told_apart(lines, named):
    second_core = ["\n", "model\t\t: 9\n", "model name\t: another\n"]
    assert processor_in([*lines, *second_core], "aarch64") == named


def test_a_foreign_file_is_reported_and_ignored(table, tmp_path):
    path = tmp_path / "table.json"
    TuningTable(Environment("tpu", "TPU v9", "0.1"), table.measurements).save(path)
    with pytest.warns(UserWarning, match=r"no measurements of .* made on TPU v9, jax 0\.1"):
        loaded = TuningTable.load(path)
    assert loaded == TuningTable(this_environment())
    with loaded:
        jconv.conv(jnp.ones((1, 3, 1)), jnp.ones((1, 1, 1)))


def corruptions(text):
    good = json.loads(text)
    yield "nothing", ""
    yield "half a file", text[: len(text) // 2]
    yield "no JSON", "hello"
    yield "a list", "[1, 2]"
    yield "a number", "3"
    yield "deep", "[" * 100_000
    yield "another format", json.dumps({**good, "format": "another"})
    yield "no tables", json.dumps({"format": good["format"]})
    yield "tables of text", json.dumps({**good, "tables": ["a"]})
    measurement = good["tables"][0]["measurements"][0]
    problem = measurement["problem"]
    changes = [
        ("seconds", {"direct": float("nan")}),
        ("seconds", {"direct": -1}),
        ("seconds", {"direct": "fast"}),
        ("seconds", {}),
        ("seconds", []),
        ("chosen", 3),
        ("problem", {**problem, "n": [1]}),
        ("problem", {**problem, "n": "b"}),
        ("problem", {**problem, "groups": "2"}),
        ("problem", {**problem, "leg": "sideways"}),
        ("problem", {**problem, "axes": [[1, 2, 3]]}),
        ("problem", {**problem, "axes": [{**problem["axes"][0], "s": "2"}]}),
        ("problem", {**problem, "unheard_of": 1}),
        ("problem", {**problem, "x_dtype": 4}),
        ("problem", {"n": 1}),
    ]
    for number, (name, change) in enumerate(changes):
        broken = json.loads(text)
        broken["tables"][0]["measurements"][1] = {**measurement, name: change}
        yield f"{name} {number}", json.dumps(broken)


def test_a_corrupt_file_is_reported_ignored_and_replaced(table, tmp_path):
    path = tmp_path / "table.json"
    table.save(path)
    broken = dict(corruptions(path.read_text()))
    assert len(broken) > 20
    for name, text in broken.items():
        path.write_text(text)
        with pytest.warns(UserWarning, match=r"table\.json .* ignored"):
            assert TuningTable.load(path) == TuningTable(this_environment()), name
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.warns(UserWarning, match="ignored"):
        assert len(TuningTable.load(path)) == 0
    with pytest.warns(UserWarning, match="is replaced"):
        table.save(path)
    assert TuningTable.load(path) == table


def test_paths_fail_as_paths_do(table, tmp_path):
    with pytest.raises(FileNotFoundError):
        TuningTable.load(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError):
        table.save(tmp_path / "no" / "table.json")


def test_a_file_is_written_whole_or_not_at_all(table, tmp_path, monkeypatch):
    path = tmp_path / "table.json"
    table.save(path)
    before = path.read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        TuningTable(this_environment()).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["table.json"]


def test_tables_add_up(table):
    first = dataclasses.replace(table, measurements=table.measurements[:3])
    slower = tuple(
        dataclasses.replace(m, seconds=tuple((n, 2 * s) for n, s in m.seconds))
        for m in table.measurements[2:]
    )
    both = first | dataclasses.replace(table, measurements=slower)
    assert both.measurements == table.measurements[:2] + slower
    with pytest.raises(TypeError):
        first | TuningTable(Environment("tpu", "TPU v9", "0.1"))


# --- the command --------------------------------------------------------------------------

MODEL = """
import jax.numpy as jnp
import jconv

def loss(x, w):
    return jconv.conv(x, w, stride=2).sum()

def step():
    return loss(jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 2, 2)))
"""


@pytest.fixture
def direct_alone(monkeypatch):
    """One candidate, which compiles at once."""
    monkeypatch.setattr(autotune, "REGISTRY", (BY_NAME["direct"],))


def test_jconv_tune_of_shapes(capsys, tmp_path, direct_alone):
    path = tmp_path / "table.json"
    arguments = ["tune", "1,8,8,2", "3,3,2,4", "--stride", "2", "--rounds", "1", "-o", str(path)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "1x8x8x2 * 3x3x2x4, stride 2" in out
    assert max(map(len, out.splitlines())) <= 100
    assert len(TuningTable.load(path)) == 3
    transposed = ["tune", "1,4,4,4", "2,2,2,4", "--stride", "2", "--transpose", "--rounds", "1"]
    assert main([*transposed, "--json", "-o", str(path)]) == 0
    assert len(json.loads(capsys.readouterr().out)["measurements"]) == 3
    assert len(TuningTable.load(path)) == 6


@pytest.mark.parametrize("what", [["step"], ["loss", "1,8,8,2", "3,3,2,2"]])
def test_jconv_tune_of_a_function_of_this_folder(capsys, tmp_path, monkeypatch, direct_alone, what):
    module = f"tuned_{what[0]}"  # one that was not imported before
    (tmp_path / f"{module}.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    name, *shapes = what
    path = list(sys.path)
    assert main(["tune", f"{module}:{name}", *shapes, "--rounds", "1", "--json"]) == 0
    (first, *_) = json.loads(capsys.readouterr().out)["measurements"]
    assert first["problem"]["axes"][0]["s"] == 2
    assert sys.path == path


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["tune"], 2),
        (["tune", "1,8,8,2"], 2),
        (["tune", "no_such_module:loss"], 2),
        (["tune", "jconv:no_such_function"], 2),
        (["tune", "jconv:conv", "1,8,1", "3,1,1", "--stride", "2"], 2),
        (["tune", "1,8,1", "3,1,1", "-o", "no/such/folder.json", "--rounds", "1"], 2),
        (["tune", "1,8,8,2", "3,3,3,4"], 1),
        (["tune", "1,8,1", "3,1,1", "--rounds", "0"], 1),
    ],
)
def test_mistakes_on_the_command_line(capsys, arguments, status):
    try:
        found = main(arguments)
    except SystemExit as stopped:
        found = stopped.code
    printed = capsys.readouterr()
    assert found == status
    assert printed.err if status == 2 else printed.out


def test_doctor_names_the_table_in_force(capsys, table, tmp_path):
    path = tmp_path / "table.json"
    table.save(path)
    with table:
        assert main(["doctor"]) == 0
    assert main(["doctor", "--tuning", str(path)]) == 0
    assert capsys.readouterr().out.count("in use: TuningTable(6 legs on") == 2
    assert main(["doctor", "--tuning", str(tmp_path / "none.json")]) == 2


def test_plan_goes_by_the_table_that_it_is_given(table, tmp_path, monkeypatch):
    path, seen = tmp_path / "table.json", []
    table.save(path)
    plan = jconv.plan((1, 8, 8, 2), (3, 3, 2, 4))
    monkeypatch.setattr(jconv, "plan", lambda *_, **__: seen.append(current_tuning()) or plan)
    assert main(["plan", "1,8,8,2", "3,3,2,4", "--tuning", str(path)]) == 0
    assert main(["plan", "1,8,8,2", "3,3,2,4"]) == 0
    assert seen == [table, None]
