"""Run every benchmark and keep the results, with the machine that they came from.

    python benchmarks/run.py [--suites core,resnet50] [--models unet] [--rounds 15] [--out FOLDER]
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
from jconv._bench.match import play
from jconv._bench.models import contestants, model_records, models_table, play_models, wrong_models
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
    entries = {name: enter(name, threads) for name in default_names()}
    timings = play(suites, entries, legs=True, rounds=options.rounds)
    names = [name for name in options.models.split(",") if name]
    steps = play_models(names, contestants(threads), rounds=options.rounds)

    wrong = [*wrong_results(timings), *wrong_models(steps)]
    lines = [f"{name}: {value}" for name, value in about.items()]
    lines += ["", *summary_table(timings), "", *models_table(steps), "", *times_table(timings)]
    write_whole(folder / "report.txt", "\n".join([*lines, *wrong]) + "\n")
    results = {
        "about": about,
        "summary": summarise(timings),
        "models": model_records(steps),
        "timings": records(timings),
    }
    write_whole(folder / "results.json", json.dumps(results, separators=(",", ":")) + "\n")
    write_whole(folder / "timings.csv", write_csv(records(timings)))
    write_whole(folder / "models.csv", write_csv(model_records(steps)))
    if can_plot():
        draw(folder)
    else:
        lines.append(f"no pictures without matplotlib; python benchmarks/run.py --draw {folder}")
    print("\n".join([*lines, *wrong, f"kept in {folder}"]))
    return 1 if wrong else 0


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
