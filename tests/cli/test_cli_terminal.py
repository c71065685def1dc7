"""The command in a shell: closed and full outputs, Ctrl-C, colours, narrow terminals."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from jconv._cli.main import main
from jconv._cli.printing import bold
from jconv._support.progress import Progress

PLAN = ["plan", "1,8,8,3", "3,3,3,4"]


def run(arguments, redirect="", **environment):
    command = f"exec {sys.executable} -m jconv {arguments} {redirect}"
    return subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
    )


@pytest.mark.parametrize(("redirect", "status"), [(">&-", 0), (">/dev/full", 2), ("| true", 0)])
def test_an_output_that_takes_nothing(redirect, status):
    done = run("plan 1,8,8,3 3,3,3,4", redirect)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.returncode == status
    if status:
        assert done.stderr.startswith("jconv: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["solve", "--input", "28", "--output", "14", "--limit", "-3"],
        ["solve", "--input", "28", "--output", "14", "--limit", "0"],
        ["solve", "--input", "28", "--output", "14", "--max-kernel", "-1"],
        ["solve", "--input", "6,6", "--output", "12"],
        ["solve", "--input", "6", "--output", "12,12"],
        ["solve", "--input", "(" * 3000, "--output", "12"],
        [*PLAN, "--stride", "[" * 3000],
        [*PLAN, "--padding", "(" * 3000],
        [*PLAN, "--svg", ""],
        [*PLAN, "--svg", "/dev/null"],
        [*PLAN, "--svg", "/no/such/folder/x.svg"],
        ["tune", "1,8,8,3", "3,3,3,4", "-o", ""],
        ["bench", "--csv", ""],
        ["demo", "-o", ""],
        ["chain", ""],
    ],
)
def test_a_wrong_command_line_is_said_in_a_sentence(arguments, capsys):
    try:
        status = main(arguments)
    except SystemExit as stop:  # argparse
        status = stop.code
    said = capsys.readouterr().err
    assert status == 2
    assert "jconv" in said
    assert len(said) < 3000


def test_a_search_without_end_is_refused(capsys):
    begin = time.process_time()
    assert main(["solve", "--input", "28", "--output", "14", "--max-kernel", "10000000"]) == 1
    assert time.process_time() - begin < 5
    assert "at most 256" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["tune", "bench", "demo"])
def test_ctrl_c_ends_in_a_line(command, monkeypatch, capsys):
    from jconv._cli import bench as _cli_bench
    from jconv._cli import demo as _cli_demo
    from jconv._cli import speed as _cli_speed

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(_cli_speed.jconv, "autotune", interrupted)
    monkeypatch.setattr(_cli_bench, "play", interrupted)
    monkeypatch.setattr(_cli_demo, "run", interrupted)
    monkeypatch.setattr(_cli_demo, "missing", list)
    arguments = [command, *(PLAN[1:] if command == "tune" else [])]
    assert main(arguments) == 130
    assert capsys.readouterr().err == "jconv: interrupted\n"


# Ctrl-C interrupts the child even where the suite runs in the background, which ignores it.
HEED_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "


def test_a_real_ctrl_c(tmp_path):
    tune = ["tune", "1,64,64,16", "3,3,16,16", "--rounds", "100000"]
    start = (
        HEED_CTRL_C
        + "import sys; from jconv._cli.main import main; print(flush=True); sys.exit(main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start, *tune, "-o", str(tmp_path / "table.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()  # importing JAX takes long on a busy machine
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.endswith("jconv: interrupted\n")
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_no_color(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert bold("x") != "x"
    monkeypatch.setenv("NO_COLOR", "")
    assert bold("x") != "x"  # the convention: empty means unset
    monkeypatch.setenv("NO_COLOR", "1")
    assert bold("x") == "x"


def test_forty_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 40
    assert main(PLAN) == 0
    upper, lower = pty.openpty()
    with open(lower, "w") as stream, Progress(3, stream) as progress:
        progress.show("a convolution with a long description, of many channels and many rows")
        shown = os.read(upper, 1000).decode()
    os.close(upper)
    assert len(shown.replace("\r\033[K", "")) < 40
