"""Benchmarks: the suites' shapes are right, results are verified, and the ratios are counted."""

import dataclasses
import functools
import importlib.util
import json
import math
import pathlib
import sys

import jax
import numpy as np
import pytest

import jconv
from jconv._bench import contestant_torch, contestants, machine, models, reference, steps
from jconv._bench.match import Timing, play
from jconv._bench.plot import can_plot
from jconv._bench.reference import TOLERANCE, error, expected
from jconv._bench.suites import SUITES, Row
from jconv._bench.summary import summarise, summary_table, times_table
from jconv._cli.main import main

ROWS = [(suite, row) for suite, rows in SUITES.items() for row in rows]
RUN = pathlib.Path(__file__).parents[2] / "benchmarks" / "run.py"
plotting = pytest.mark.skipif(not can_plot(), reason="needs matplotlib")
torch_only = pytest.mark.skipif(not contestant_torch.installed(), reason="needs PyTorch")


# --- the suites ---------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_every_row_can_be_planned(suite):
    names = [row.name for row in SUITES[suite]]
    assert len(set(names)) == len(names)
    for row in SUITES[suite]:
        plan = row.plan()
        assert plan.x_shape == row.x
        assert plan.y_shape == row.y
        assert math.prod(row.y) > 0
        across, down = row.x[1], row.y[1]
        if suite == "reported":  # not all of which keep the size
            continue
        if row.transposed:
            assert down == max(across * row.stride, row.w[0])
        else:
            assert down == across // row.stride


def total(suite, leg="conv"):
    rows = [(row, row.plan().legs[leg].flops / 2) for row in SUITES[suite]]
    return sum(row.count for row, _ in rows), sum(row.count * macs for row, macs in rows)


def test_the_suites_are_the_networks_they_are_named_after():
    assert len(SUITES["core"]) == 16
    assert sum(row.dense for row in SUITES["core"]) == 12
    layers, products = total("resnet50")
    assert layers == 53
    assert products / 8 == pytest.approx(4.087e9, rel=1e-3)  # with the published 2 M of its head
    assert total("mobilenetv2")[0] == 17
    assert total("convnext-t")[0] == 4 + 18
    assert [row.dilation for row in SUITES["wavenet"]] == [2**n for n in range(10)]
    assert SUITES["dcgan"][-1].y == (32, 64, 64, 3)
    assert {row.rank for row in SUITES["unet-3d"]} == {3}


def test_the_resnet50_that_is_trained_is_the_published_one():
    weights = sum(array.size for array in steps.parameters("resnet50"))
    assert weights == 25_557_032 - 1000  # but for the head's bias


@pytest.mark.parametrize("name", steps.NETS)
def test_every_network_runs_on_its_batch(name):
    network, batch = steps.NETS[name]

    def run(x):
        take = functools.partial(jax.numpy.zeros, dtype="float32")
        return network(steps.Net(steps.JAX_OPERATIONS["jconv"], take), x)

    y = jax.eval_shape(run, jax.ShapeDtypeStruct(batch, "float32"))
    assert y.shape[0] == batch[0]
    assert y.ndim == 2 or y.shape[1:3] == batch[1:3]


# --- the reference ------------------------------------------------------------------------


@pytest.mark.parametrize("pads", [((0, 0), (2, 1)), ((3, 3), (0, 4))])
def test_spectra_are_what_taps_add_up_to(pads, monkeypatch):
    row = Row("depthwise", (2, 9, 7, 3), (4, 5, 1, 3), pads, groups=3)
    arrays = reference.operands(row)
    by_taps = reference.expected(row, *arrays)
    monkeypatch.setattr(reference, "MANY_TAPS", 20)
    by_spectra = reference.expected(row, *arrays)
    assert list(by_spectra) == list(by_taps)
    for leg, values in by_taps.items():
        assert by_spectra[leg].shape == values.shape
        np.testing.assert_allclose(by_spectra[leg], values, rtol=0, atol=1e-12)


def test_a_policys_contestant_takes_part_where_its_algorithm_runs():
    depthwise, dense = SUITES["tiny"][1], SUITES["tiny"][0]
    taps = contestants.enter("jconv:taps", 1)
    assert taps(depthwise, "forward", reference.operands(depthwise)) is not None
    grouped = contestants.enter("jconv:grouped", 1)
    assert grouped(dense, "forward", reference.operands(dense)) is None
    assert "jconv:gemm" in contestants.alternatives()
    assert "jconv:direct" not in contestants.alternatives()


@pytest.mark.parametrize("row", SUITES["tiny"], ids=lambda row: row.name)
def test_the_reference_is_the_definition(row):
    random = np.random.default_rng(3)
    x, w, g = (random.integers(-2, 3, s).astype(np.float32) for s in (row.x, row.w, row.y))
    with jconv.policy("exact"):
        enter = contestants.enter("jconv", 1)
        for leg, reference in expected(row, x, w, g).items():
            (result,) = enter(row, leg, (x, w, g)).results()
            np.testing.assert_array_equal(result, reference)
            assert result.shape == {"forward": row.y, "input_grad": row.x}.get(leg, row.w)


def test_a_single_wrong_element_is_seen():
    right = np.random.default_rng(0).standard_normal((8, 112, 112, 64))
    wrong = right.copy()
    wrong[3, 0, 5, 1] += 1
    assert error(right.astype(np.float32), right) < TOLERANCE / 100
    assert error(wrong, right) > TOLERANCE
    for broken in (right[:-1], right.T, np.full_like(right, np.nan), np.full_like(right, np.inf)):
        assert error(broken, right) == math.inf


# --- a match ------------------------------------------------------------------------------


def off_by_one_tap(results):
    return tuple(np.roll(result, 1, axis=0) for result in results)


def one_element(results):
    *rest, last = results
    last = last.copy()
    last.flat[0] += 1
    return (*rest, last)


MUTANTS = [
    off_by_one_tap,
    one_element,
    lambda results: results[:-1],
    lambda results: tuple(np.full_like(result, np.nan) for result in results),
]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_contestant_is_caught_and_not_timed(mutant, monkeypatch, capsys):
    honest = contestants.enter("jconv", 1)

    def cheat(row, leg, arrays):
        entry = honest(row, leg, arrays)
        return dataclasses.replace(entry, results=lambda: mutant(entry.results()))

    suites = {"tiny": SUITES["tiny"][:1]}
    timings = play(suites, {"lax": honest, "jconv": cheat}, legs=False, rounds=2)
    assert [(t.contestant, t.wrong, len(t.seconds)) for t in timings] == [
        ("lax", False, 2),
        ("jconv", True, 0),
    ]
    assert any("WRONG" in line for line in times_table(timings))
    assert summarise(timings)[0]["step"] is None
    monkeypatch.setitem(SUITES, "tiny", suites["tiny"])
    monkeypatch.setattr("jconv._cli.bench.enter", lambda name, threads: cheat)
    assert main(["bench", "--suite", "tiny", "--rounds", "1", "--contestants", "jconv"]) == 1
    assert "WRONG: jconv: tiny: 8 3 -> 4 3x3/2 step" in capsys.readouterr().out


def test_a_wrong_training_step_is_caught_and_not_timed():
    right = functools.partial(steps.jax_step, host="lax")

    def wrong(name):
        step = right(name)
        loss, grads = step.results()
        grads[3] = np.flip(grads[3], 0)
        return dataclasses.replace(step, results=lambda: (loss, grads))

    timings = models.play_models(["tiny"], {"lax": right, "jconv": wrong}, rounds=2)
    assert [(t.wrong, len(t.seconds)) for t in timings] == [(False, 2), (True, 0)]
    assert len(models.wrong_models(timings)) == 1
    assert any("WRONG" in line for line in models.models_table(timings))


def timing(row, leg, contestant, milliseconds):
    seconds = tuple(m / 1e3 for m in milliseconds)
    return Timing("core", row, leg, contestant, seconds, 0.0, None)


def test_ratios_and_their_means_are_counted_as_they_say():
    dense, grouped = SUITES["core"][0], SUITES["core"][8]
    timings = [
        timing(dense, "step", "lax", [8, 8, 100]),
        timing(dense, "step", "jconv", [2, 1, 9]),
        timing(dense, "step", "torch nchw", [5]),
        timing(dense, "step", "torch nhwc", [4]),
        timing(grouped, "step", "lax", [16]),
        timing(grouped, "step", "jconv", [1]),
        timing(grouped, "step", "torch nchw", [2]),
        timing(dense, "forward", "lax", [2]),
        timing(dense, "forward", "jconv", [1]),
        timing(dense, "filter_grad", "lax", [2]),
        timing(dense, "filter_grad", "jconv", [3]),
    ]
    lax, torch = summarise(timings)
    assert (lax["ratio"], lax["rows"], lax["dense_rows"]) == ("jconv / lax", 2, 1)
    assert lax["step"] == pytest.approx(math.sqrt(1 / 4 * 1 / 16))
    assert lax["dense_step"] == pytest.approx(1 / 4)
    assert lax["worst_leg_ratio"] == pytest.approx(1.5)
    assert lax["worst_leg"] == f"{dense.name} filter_grad"
    assert torch["step"] == pytest.approx(1 / 2)
    assert torch["worst_leg"] is None
    assert timings[0].spread == pytest.approx(46 / 2 / 8)
    many = [timing(dense, "step", f"jconv:{n}", [123.456789, 1000]) for n in range(9)]
    for entries in (timings, timings + many):
        text = times_table(entries) + summary_table(entries)
        assert max(map(len, text)) <= 100


# --- end to end ---------------------------------------------------------------------------


@plotting
def test_jconv_bench_writes_a_table_a_csv_and_a_plot(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(SUITES, "tiny", SUITES["tiny"][:2])
    csv, plot = tmp_path / "times.csv", tmp_path / "times.svg"
    arguments = ["--suite", "tiny", "--legs", "--rounds", "1"]
    arguments += ["--contestants", "lax,jconv,jconv:direct", "--csv", str(csv), "--plot", str(plot)]
    assert main(["bench", *arguments]) == 0
    out = capsys.readouterr().out
    assert f"jax {jax.__version__}" in " ".join(out.split())  # the line may break anywhere
    assert "thresholds" in out
    assert "jconv / lax" in out
    assert max(map(len, out.splitlines())) <= 100
    lines = csv.read_text().splitlines()
    assert len(lines) == 1 + 2 * 4 * 3
    assert plot.read_text().rstrip().endswith("</svg>")


def test_jconv_bench_for_a_program(capsys):
    arguments = ["bench", "--suite", "none", "--models", "tiny", "--rounds", "1", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["timings"] == []
    assert {entry["contestant"] for entry in found["models"]} >= {"lax", "jconv"}
    assert all(entry["median_ms"] > 0 for entry in found["models"])
    of_jax = [entry for entry in found["models"] if "torch" not in entry["contestant"]]
    assert all(e["compile_s"] > 0 and e["temporary_bytes"] > 0 for e in of_jax)
    assert all(e["second_start_s"] > 0 for e in of_jax)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--suite", "cores"],
        ["--models", "alexnet"],
        ["--contestants", "cudnn"],
        ["--rounds", "0"],
        ["--threads", "0"],
        ["--suite", "none", "--tuning", "/no/such/file.json"],
    ],
)
def test_mistakes_on_the_command_line(arguments, capsys):
    assert main(["bench", *arguments]) == 2
    assert capsys.readouterr().err


@plotting
def test_a_plot_of_an_unknown_kind_is_refused_before_anything_runs(capsys, tmp_path, monkeypatch):
    def play(*args, **kwargs):
        pytest.fail("the match began")

    monkeypatch.setattr("jconv._cli.bench.play", play)
    assert main(["bench", "--suite", "tiny", "--plot", str(tmp_path / "times.bad")]) == 1
    told = "".join(capsys.readouterr())
    assert "times.bad ends in .bad" in told
    assert ".svg" in told
    assert not list(tmp_path.iterdir())


def run_script():
    spec = importlib.util.spec_from_file_location("run_benchmarks", RUN)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_a_run_that_is_stopped_has_kept_the_suites_before(tmp_path, monkeypatch):
    monkeypatch.setitem(SUITES, "tiny", SUITES["tiny"][:1])
    script = run_script()
    play_one = script.play

    def stopped(suites, *args, **settings):
        if "core" in suites:
            raise KeyboardInterrupt
        return play_one(suites, *args, **settings)

    monkeypatch.setattr(script, "play", stopped)
    arguments = ["--suites", "tiny,core", "--rounds", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    with pytest.raises(KeyboardInterrupt):
        script.main()
    kept = json.loads((tmp_path / "results.json").read_text())
    assert {entry["suite"] for entry in kept["timings"]} == {"tiny"}


@plotting
def test_one_command_keeps_everything(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SUITES, "tiny", SUITES["tiny"][:2])
    script = run_script()
    out = tmp_path / "results"
    arguments = ["--suites", "tiny", "--models", "tiny", "--rounds", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    assert script.main() == 0
    names = {"report.txt", "results.json", "timings.csv", "models.csv", "tiny.svg"}
    assert {path.name for path in out.iterdir()} == names
    kept = json.loads((out / "results.json").read_text())
    assert kept["about"]["device"] in (out / "report.txt").read_text()
    assert {line["ratio"] for line in kept["summary"]} >= {"jconv / lax"}
    assert str(out) in capsys.readouterr().out
    (out / "tiny.svg").unlink()
    monkeypatch.setattr(sys, "argv", ["run.py", "--draw", str(out)])
    assert script.main() == 0
    assert (out / "tiny.svg").exists()


@torch_only
def test_a_leg_that_pytorch_refuses_is_left_out(monkeypatch):
    def refuse(*_):
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(contestant_torch, "_legs", refuse)
    entries = {name: contestants.enter(name, 1) for name in ("jconv", "torch nchw")}
    timings = play({"tiny": SUITES["tiny"][:1]}, entries, legs=False, rounds=1)
    assert [t.contestant for t in timings] == ["jconv"]


@torch_only
def test_another_error_of_pytorchs_is_not_hidden(monkeypatch):
    def fail(*_):
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(contestant_torch, "_legs", fail)
    entries = {"torch nchw": contestants.enter("torch nchw", 1)}
    with pytest.raises(RuntimeError, match="memory"):
        play({"tiny": SUITES["tiny"][:1]}, entries, legs=False, rounds=1)


@torch_only
def test_pytorch_takes_part_in_both_formats():
    entries = {name: contestants.enter(name, 1) for name in ("jconv", *contestant_torch.FORMATS)}
    timings = play({"tiny": SUITES["tiny"]}, entries, legs=True, rounds=1)
    assert not any(t.wrong for t in timings)
    assert len(timings) == 4 * (3 * len(SUITES["tiny"]) - 1)  # one row has one axis
    found = models.play_models(["tiny"], models.contestants(1), rounds=1)
    assert [(t.contestant, t.wrong) for t in found] == [
        (name, False) for name in ("lax", "jconv", *contestant_torch.FORMATS)
    ]


# --- where it ran -------------------------------------------------------------------------


def test_the_header_says_whether_the_allocator_was_changed():
    assert machine.allocator({"PATH": "/"}) == "glibc's own thresholds, settled by one freed block"
    assert machine.allocator({"MALLOC_MMAP_MAX_": "0"}) == "MALLOC_MMAP_MAX_=0"
    tunables = "glibc.malloc.mmap_max=0"
    assert tunables in machine.allocator({"GLIBC_TUNABLES": tunables})


def test_threads_are_cores(monkeypatch):
    cores = {3, 4, 5, 6}
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: cores, raising=False)
    monkeypatch.setattr(
        machine.os,
        "sched_setaffinity",
        lambda _, some: cores.intersection_update(some),
        raising=False,
    )
    assert machine.use_threads(None) == 4
    assert machine.use_threads(9) == 4
    assert machine.use_threads(2) == 2
    assert cores == {3, 4}
