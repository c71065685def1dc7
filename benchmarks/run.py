"""Run every benchmark and keep the results, with the machine that they came from.

    python benchmarks/run.py [--suites core,resnet50] [--models unet] [--steps] [--rounds 15]
                             [--out FOLDER]
    python benchmarks/run.py --draw FOLDER

It wants a quiet machine and some tens of minutes, PyTorch for its part of the comparison
(`pip install "jconv[bench,peers]"`), and writes into benchmarks/results/MACHINE-JAX/:

    report.txt    the tables, as `jconv bench` prints them
    timings.csv   every leg of every row by every contestant: median, spread, error
    models.csv    the training steps: time, compile time, temporaries
    results.json  all of it and the ratios, for a program
    SUITE.svg     the ratios of a suite as a picture, where matplotlib is installed; from
                  results.json, by --draw, where it was not
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from jconv._bench.contestants import default_names, enter
from jconv._bench.machine import header, use_threads
from jconv._bench.match import Timing, play
from jconv._bench.models import (
    ModelTiming,
    contestants,
    model_records,
    models_table,
    play_models,
    wrong_models,
)
from jconv._bench.nets import NETS
from jconv._bench.plot import can_plot, check_plotting, plot
from jconv._bench.suites import SUITES
from jconv._bench.summary import (
    records,
    summarise,
    summary_table,
    times_table,
    write_csv,
    wrong_results,
)
from jconv._support.files import write_whole

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    everything = [name for name in SUITES if name != "tiny"]
    models = [name for name in NETS if name != "tiny"]
    parser.add_argument("--suites", default=",".join(everything))
    parser.add_argument("--models", default=",".join(models))
    parser.add_argument("--steps", action="store_true", help="steps alone, in a fourth of the time")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--draw", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.draw is not None:
        check_plotting(options.draw / "suite.svg")
        draw(options.draw)
        return 0
    threads = use_threads(options.threads)
    about = header(threads)
    slug = re.sub(r"[^a-z0-9.]+", "-", f"{about['device']} jax {about['jax']}".lower()).strip("-")
    folder = options.out or RESULTS / slug
    folder.mkdir(parents=True, exist_ok=True)

    suites = {name: SUITES[name] for name in options.suites.split(",") if name}
    timings, steps = [], []
    for name, rows in suites.items():
        entries = {each: enter(each, threads) for each in default_names([name])}
        legs = not options.steps
        timings += play({name: rows}, entries, legs=legs, rounds=options.rounds)
        keep(folder, about, timings, steps)
    for name in filter(None, options.models.split(",")):
        steps += play_models([name], contestants(threads), rounds=options.rounds)
        keep(folder, about, timings, steps)
    if can_plot():
        draw(folder)
    else:
        print(f"no pictures without matplotlib; python benchmarks/run.py --draw {folder}")
    print((folder / "report.txt").read_text(encoding="utf-8"), f"kept in {folder}", sep="")
    return 1 if wrong_results(timings) or wrong_models(steps) else 0


def keep(
    folder: Path, about: dict[str, str], timings: list[Timing], steps: list[ModelTiming]
) -> None:
    """Write down everything that was found so far, since a run takes up to an hour."""
    lines = [f"{name}: {value}" for name, value in about.items()]
    lines += ["", *summary_table(timings), "", *models_table(steps), "", *times_table(timings)]
    lines += [*wrong_results(timings), *wrong_models(steps)]
    write_whole(folder / "report.txt", "\n".join(lines) + "\n")
    results = {
        "about": about,
        "summary": summarise(timings),
        "models": model_records(steps),
        "timings": records(timings),
    }
    write_whole(folder / "results.json", json.dumps(results, separators=(",", ":")) + "\n")
    write_whole(folder / "timings.csv", write_csv(records(timings)))
    write_whole(folder / "models.csv", write_csv(model_records(steps)))


def draw(folder: Path) -> None:
    """A picture for each suite that is kept in a folder."""
    kept = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    about = kept["about"]
    for suite in dict.fromkeys(entry["suite"] for entry in kept["timings"]):
        own = [entry for entry in kept["timings"] if entry["suite"] == suite]
        title = f"{suite}, {about['device']}, jax {about['jax']}, PyTorch {about['torch']}"
        plot(own, folder / f"{suite}.svg", title)


if __name__ == "__main__":
    sys.exit(main())
