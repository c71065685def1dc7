"""Every example runs in a process of its own and says what it should; so does every docstring."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import jconv

ROOT = Path(__file__).parents[2]


def run(script: Path, folder: Path, *arguments: str) -> str:
    """What the script prints in that folder, with this checkout's jconv and warnings as errors."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:__main__", str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_train_by_hand(printed: str) -> None:
    losses = [float(loss) for loss in re.findall(r"^step .*? loss (\d+\.\d+)", printed, re.M)]
    assert len(losses) >= 2
    assert losses[-1] < losses[0] / 2
    difference, largest = re.search(
        r"largest difference (\S+), largest gradient ([^:]+): they agree", printed
    ).groups()
    assert float(difference) <= 1e-5 * float(largest)
    assert float(largest) > 0


def check_unet(printed: str) -> None:
    assert "(1, 46, 38, 8); with output_shape: (1, 45, 37, 8)" in printed
    overlaps = {
        size: float(percent)
        for size, percent in re.findall(r"unseen images of (.*): overlap (\S+)%", printed)
    }
    assert set(overlaps) == {"(45, 37)", "(46, 38)", "(61, 83)"}
    assert min(overlaps.values()) > 50


def check_feedback_alignment(printed: str) -> None:
    losses = {
        name.strip(): (float(first), float(last))
        for name, first, last in re.findall(r"^(.+?) loss (\S+) -> (\S+)", printed, re.M)
    }
    assert [*losses] == ["true backprop", "feedback alignment", "last layer alone"]
    assert losses["feedback alignment"][1] < losses["last layer alone"][1] < 2.303
    angles = [float(angle) for angle in re.findall(r"layer \d: (\d+)", printed)]
    assert max(angles) < 90  # every layer gets a gradient that helps
    assert angles[-1] == 0  # nothing stands between the last one and the loss


def check_shape_failures(printed: str) -> None:
    assert re.findall(r"^(\d)\. ", printed, re.M) == ["1", "2", "3", "4", "5"]
    # Each failing call is followed by its explanation, and by a call that works.
    assert len(re.findall(r"^conv\w*: ", printed, re.M)) == 6
    for shape in ["(3, 3, 3, 8)", "(1, 6, 6, 3)", "(1, 28, 28, 1)", "(1, 12, 12, 4)"]:
        assert f"\n{shape}\n" in printed


def check_export(printed: str) -> None:
    off = [float(value) for value in re.findall(r"the artifact is off by (\S+)", printed)]
    assert len(off) == 3
    assert max(off) <= 1e-5
    assert "the artifact and the direct step agree" in printed


def check_second_order(printed: str) -> None:
    off = [float(value) for value in re.findall(r"by products: off by (\S+)", printed)]
    assert len(off) == 2
    assert max(off) < 1e-4
    before, after = re.search(r"Gauss-Newton step: loss (\S+) -> (\S+)", printed).groups()
    assert float(after) < float(before)


def check_data_parallel(printed: str) -> None:
    assert "4 devices: " in printed
    assert "(32, 8, 8, 1) on each device" in printed
    assert "its filter gradient: float32[3,3,1,16]" in printed
    losses = re.findall(r"steps on .*: loss (\S+),", printed)
    assert abs(float(losses[0]) - float(losses[1])) < 1e-3
    assert "as they should" in printed
    # Other algorithms than direct run on the larger layers, and one sum is all that is sent.
    assert re.search(r"larger layers: .*(gemm|winograd)", printed)
    assert "holds 1 all-reduce, 0 all-gather, 0 all-to-all, 0 collective-permute" in printed
    assert "as it should" in printed


def check_many_processes(printed: str) -> None:
    losses = re.findall(r"^(?:one|2) process.*: loss (\S+) -> (\S+?),?(?: |$)", printed, re.M)
    assert len(losses) == 2
    assert losses[0] == losses[1]
    assert float(losses[0][1]) < float(losses[0][0])
    assert re.search(r"^ +\d+ collective-permute, \d+ bytes", printed, re.M)
    assert re.search(r"^ +\d+ all-reduce, \d+ bytes", printed, re.M)
    assert "all-gather" not in printed
    assert "they agree" in printed


def check_segment_volume(printed: str) -> None:
    rows = re.findall(
        r"^(\d) parts: each holds \((\d+), .* (\S+) MB of temporaries, .* off by (\S+) of",
        printed,
        re.M,
    )
    assert [int(parts) for parts, *_ in rows] == [1, 8]
    assert len({int(parts) * int(held) for parts, held, *_ in rows}) == 1
    whole, part = (float(amount) for _, _, amount, _ in rows)
    assert part < whole / 4
    assert len(re.findall("0 all-gather, 0 all-to-all", printed)) == 2
    assert "the gradients agree" in printed


def check_check_your_own(printed: str) -> None:
    right, wrong = printed.split("--- one with a bug")
    assert "conv: ok: " in right
    assert "check_grads found nothing either" in right
    assert "conv: NOT OK: " in wrong
    assert "likeliest cause: remainder dropped" in wrong
    assert re.search(r"conv\(x \(1, \d, 1\), w .*stride=.*, by reverse", wrong)


def check_digits(printed: str) -> None:
    losses = [float(loss) for loss in re.findall(r"^step .*? loss (\d+\.\d+)", printed, re.M)]
    assert losses[-1] < losses[0] / 2
    assert float(re.findall(r"digits (\S+)%", printed)[-1]) > 50
    times = re.findall(r"^(\S+) +(\d+\.\d+) ms a step, (\d+\.\d+) of lax's time", printed, re.M)
    assert [name for name, _, _ in times] == ["lax", "jconv", "accelerate(lax)"]
    assert all(float(milliseconds) > 0 for _, milliseconds, _ in times)
    assert float(times[0][2]) == 1


def check_private_training(printed: str) -> None:
    assert float(re.search(r"off from vmap of grad by (\S+)", printed).group(1)) < 1e-5
    ours, theirs = (float(mb) for mb in re.findall(r"^.*: (\S+) MB of temporaries", printed, re.M))
    assert ours < theirs
    losses = [float(loss) for loss in re.findall(r"^step .*? loss (\d+\.\d+)", printed, re.M)]
    assert losses[-1] < losses[0]


def check_kfac(printed: str) -> None:
    assert "kfac_factors: patches" in printed
    found = re.findall(r"^(\S+) +loss (\S+) -> (\S+)", printed, re.M)
    assert [name for name, _, _ in found] == ["momentum", "K-FAC"]
    assert all(float(last) < float(first) / 4 for _, first, last in found)


def check_deformable(printed: str) -> None:
    off = [float(value) for value in re.findall(r"offsets of zero, .*: off by (\S+)", printed)]
    assert len(off) == 3
    assert max(off) < 1e-5
    assert "offsets found: (-1.0" in printed


def check_ragged_images(printed: str) -> None:
    losses = [float(loss) for loss in re.findall(r"^step .*? loss (\d+\.\d+)", printed, re.M)]
    assert losses[-1] < losses[0]
    table = dict(
        re.findall(r"^(ragged|one program a size|padded, no mask) .* ms +(\S+)$", printed, re.M)
    )
    assert float(table["ragged"]) < 1e-4
    assert float(table["padded, no mask"]) > 1e-2
    assert re.search(r"^ragged +1 ", printed, re.M)
    assert re.search(r"^one program a size +6 ", printed, re.M)


def check_ragged_speech(printed: str) -> None:
    assert "a frame sees 400 samples, one every 320" in printed
    shares = [int(share) for share in re.findall(r"samples: (\d+)% is padding", printed)]
    assert shares[1] < shares[0] / 2
    assert float(re.search(r"each clip alone: (\S+) of", printed)[1]) < 1e-5


def check_stream_audio(printed: str) -> None:
    assert "latency: 0 rows" in printed
    assert float(re.search(r"off from the whole by (\S+) of", printed)[1]) < 1e-5
    assert float(re.search(r"^(\d+) us a chunk", printed, re.M)[1]) > 0


def check_library_inside(printed: str) -> None:
    assert "outside (1, 0), inside jconv.everywhere() (0, 1)" in printed
    assert re.findall(r"^fit with (\S+) *: loss ", printed, re.M) == ["lax", "jconv"]
    assert "as they should" in printed


SHORT_FORMS: dict[str, tuple[list[str], Callable[[str], None]]] = {
    "digits.py": (["--steps", "30", "--rounds", "2"], check_digits),
    "train_by_hand.py": (["--steps", "30"], check_train_by_hand),
    "unet_odd_sizes.py": (["--steps", "60", "--picture", "of.mine"], check_unet),
    "feedback_alignment.py": (["--steps", "80"], check_feedback_alignment),
    "shape_failures.py": ([], check_shape_failures),
    "export_training_step.py": (["--steps", "1"], check_export),
    "second_order.py": (["--iterations", "4"], check_second_order),
    "data_parallel.py": (["--steps", "20"], check_data_parallel),
    "many_processes.py": (["--processes", "2", "--steps", "2"], check_many_processes),
    "segment_volume.py": (["--parts", "1", "8", "--steps", "1"], check_segment_volume),
    "check_your_own.py": (["--short"], check_check_your_own),
    "private_training.py": (["--steps", "30"], check_private_training),
    "kfac.py": (["--steps", "30"], check_kfac),
    "deformable.py": ([], check_deformable),
    "ragged_images.py": (["--steps", "10", "--sizes", "6"], check_ragged_images),
    "ragged_speech.py": (["--clips", "2", "--width", "8"], check_ragged_speech),
    "library_inside.py": (["--steps", "4"], check_library_inside),
    "stream_audio.py": (["--seconds", "0.2"], check_stream_audio),
}
PICTURES = {"unet_odd_sizes.py": "of.mine", "feedback_alignment.py": "feedback_alignment.png"}


def test_every_example_has_a_short_form() -> None:
    assert set(SHORT_FORMS) == {path.name for path in (ROOT / "examples").glob("*.py")}


@pytest.mark.once
@pytest.mark.parametrize("name", SHORT_FORMS)
def test_example(name: str, tmp_path: Path) -> None:
    pytest.importorskip("optax", reason="optax is missing: install the extra `test`")
    pytest.importorskip("sklearn", reason="scikit-learn is missing: install the extra `test`")
    arguments, check = SHORT_FORMS[name]
    check(run(ROOT / "examples" / name, tmp_path, *arguments))
    # A picture is whole, and nothing else is left behind.
    left = [path.name for path in tmp_path.iterdir()]
    assert left == ([PICTURES[name]] if name in PICTURES else [])
    assert all((tmp_path / file).read_bytes().endswith(b"IEND\xaeB`\x82") for file in left)


MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(jconv.__path__, "jconv.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["jconv", *MODULES])
def test_docstring_examples(name: str) -> None:
    module = importlib.import_module(name)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(module, optionflags=options).failed == 0


def test_public_functions_have_examples() -> None:
    finder = doctest.DocTestFinder()
    functions = {name: getattr(jconv, name) for name in jconv.__all__}
    functions = {n: f for n, f in functions.items() if callable(f) and not isinstance(f, type)}
    assert "conv" in functions
    without = [
        name
        for name, function in functions.items()
        if not any(test.examples for test in finder.find(function, name))
    ]
    assert without == []
