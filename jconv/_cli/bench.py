"""jconv bench: jconv against lax and PyTorch on this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from jconv._bench.contestants import default_names, enter, names
from jconv._bench.machine import header, use_threads
from jconv._bench.match import play
from jconv._bench.models import contestants as model_contestants
from jconv._bench.models import model_records, models_table, play_models, wrong_models
from jconv._bench.nets import NETS
from jconv._bench.plot import check_plotting, plot
from jconv._bench.suites import SUITES
from jconv._bench.summary import (
    records,
    summarise,
    summary_table,
    times_table,
    write_csv,
    wrong_results,
)
from jconv._cli.printing import bold_headers, print_json
from jconv._cli.reading import add_command, add_tuning
from jconv._plan.table import wrap
from jconv._support.files import write_whole

FINE, WRONG, MISUSE = 0, 1, 2


def add_bench(commands: Any, name: str) -> None:
    command = add_command(
        commands,
        name,
        _run_bench,
        "Time suites of convolutions: lax, jconv and PyTorch, verified and in turns.",
        "jconv bench --suite core --legs --csv core.csv --plot core.svg",
    )
    command.add_argument(
        "--suite",
        type=_listed,
        default=["core"],
        metavar="NAMES",
        help=f"of {', '.join(SUITES)}; core unless told otherwise, none for models alone",
    )
    command.add_argument(
        "--models", type=_listed, default=[], metavar="NAMES", help=f"of {', '.join(NETS)}"
    )
    command.add_argument("--legs", action="store_true", help="each leg too, not the step alone")
    command.add_argument(
        "--contestants",
        type=_listed,
        metavar="NAMES",
        help=f"of {', '.join(names())}; torch is both of its formats",
    )
    command.add_argument("--rounds", type=int, default=15, metavar="N", help="samples each (15)")
    command.add_argument("--threads", type=int, metavar="N", help="cores for each contestant")
    command.add_argument("--csv", type=Path, metavar="FILE", help="write every timing")
    command.add_argument("--plot", type=Path, metavar="FILE", help="write a picture of the ratios")
    add_tuning(command)


def _listed(text: str) -> list[str]:
    return [] if text == "none" else [part.strip() for part in text.split(",") if part.strip()]


def _run_bench(options: argparse.Namespace) -> int:
    fault = _fault(options)
    if fault:
        print(f"jconv bench: {fault}", file=sys.stderr)
        return MISUSE
    if options.plot is not None:
        check_plotting(options.plot)
    threads = use_threads(options.threads)
    about = header(threads)
    chosen = _expanded(options.contestants or default_names(options.suite))
    timings = play(
        {suite: SUITES[suite] for suite in options.suite},
        {name: enter(name, threads) for name in chosen},
        legs=options.legs,
        rounds=options.rounds,
    )
    entries = model_contestants(threads)
    wanted = {name: make for name, make in entries.items() if name in chosen or name == "lax"}
    models = play_models(options.models, wanted, rounds=options.rounds)
    if options.csv is not None:
        write_whole(options.csv, write_csv(records(timings)))
    if options.plot is not None:
        plot(records(timings), options.plot, f"{about['device']}, jax {about['jax']}")
    wrong = [*wrong_results(timings), *wrong_models(models)]
    if options.json:
        print_json(
            {
                "about": about,
                "timings": records(timings),
                "summary": summarise(timings),
                "models": model_records(models),
            }
        )
    else:
        lines = [*wrap(", ".join(f"{name} {value}" for name, value in about.items() if value)), ""]
        if timings:
            lines += [*times_table(timings), "", *summary_table(timings), ""]
        if models:
            lines += [*models_table(models), ""]
        print(bold_headers("\n".join([*lines, *wrong]).rstrip()))
    return WRONG if wrong else FINE


def _fault(options: argparse.Namespace) -> str | None:
    for kind, given, known in (
        ("suite", options.suite, SUITES),
        ("model", options.models, NETS),
        ("contestant", options.contestants or [], [*names(), "torch"]),
    ):
        unknown = [name for name in given if name not in known]
        if unknown:
            return f"there is no {kind} {unknown[0]!r} here; there are {', '.join(known)}"
    if options.rounds < 1 or (options.threads is not None and options.threads < 1):
        return "--rounds and --threads are at least 1"
    return None


def _expanded(chosen: list[str]) -> list[str]:
    """Contestants with `torch` as its two formats."""
    formats = [name for name in names() if name.startswith("torch ")]
    return [n for name in chosen for n in (formats if name == "torch" else [name])]
