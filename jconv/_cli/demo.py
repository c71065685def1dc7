"""jconv demo: train a small network, check its gradients, measure it, draw it."""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import jax

import jconv
from jconv._cli.printing import bold_headers, print_json
from jconv._cli.reading import add_command
from jconv._core.jax_cache import cache_folder, programs_kept
from jconv._core.problem import LEGS
from jconv._demo.network import IMAGE, LAYERS
from jconv._demo.picture import draw
from jconv._demo.run import BATCH, Found, missing, ratio, run
from jconv._plan.table import table
from jconv._support.clock import stopwatch

FINE, WRONG, MISUSE = 0, 1, 2
SUFFIXES = (".png", ".svg")


def add_demo(commands: Any, name: str) -> None:
    command = add_command(
        commands,
        name,
        _run_demo,
        "Train a network on handwritten digits, check its gradients, time it against lax, draw it.",
        "jconv demo -o demo.svg",
    )
    command.add_argument("--steps", type=int, default=200, metavar="N", help="of training (200)")
    command.add_argument("--rounds", type=int, default=15, metavar="N", help="of timing (15)")
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("jconv_demo.png"),
        metavar="FILE",
        help="the picture, .png or .svg (jconv_demo.png)",
    )
    command.add_argument(
        "--no-cache",
        action="store_true",
        help=f"keep no compiled programs for the next start (in {cache_folder()})",
    )


def _run_demo(options: argparse.Namespace) -> int:
    fault = _fault(options)
    if fault:
        print(f"jconv demo: {fault}", file=sys.stderr)
        return MISUSE
    elapsed = stopwatch()
    chain = jconv.plan_chain((BATCH, *IMAGE), [{"kind": "conv", **layer} for layer in LAYERS])
    if not options.json:
        print(f"jconv {jconv.__version__}, jax {jax.__version__} on {jax.default_backend()}\n")
        print(bold_headers("\n".join([str(chain), "", *_algorithms(chain)])), flush=True)
    with programs_kept(None if options.no_cache else cache_folder()):
        found = run(options.steps, options.rounds)
    draw(found, options.output)
    if options.json:
        print_json(_record(found, chain, options.output))
    else:
        print(bold_headers("\n".join(_report(found))))
        print(f"\npicture written to {options.output}; {elapsed():.0f} s in all")
    return FINE if found.agree and found.learned else WRONG


def _fault(options: argparse.Namespace) -> str | None:
    if missing():
        return (
            f"{', '.join(missing())} missing; the extra `examples` brings what the demo needs: "
            'pip install "jconv[examples]", or pip install ".[examples]" in a copy of its source'
        )
    if options.steps < 2 or options.rounds < 1:
        return "--steps is at least 2 and --rounds at least 1"
    if options.output.suffix.lower() not in SUFFIXES:
        return f"--output ends in {' or '.join(SUFFIXES)}; it is {options.output}"
    if not options.output.absolute().parent.is_dir():
        return f"there is no folder {options.output.absolute().parent}"
    return None


def _report(found: Found) -> list[str]:
    lines = ["", *table(["trained with jconv", "loss", "accuracy on unseen digits"], _curve(found))]
    lines += [f"{found.seconds:.1f} s, compilation included", ""]
    verdict = "they agree" if found.agree else "THEY DIFFER"
    lines += [
        "gradients by conv_input_grad and conv_filter_grad, and by jax.grad through lax:",
        f"largest difference {found.difference:.1e}, "
        f"largest gradient {found.largest:.1e}: {verdict}",
        "",
    ]
    lines += table(
        ["forward and backward", "lax ms", "jconv ms", "jconv/lax", "quartiles"], _times(found)
    )
    lines += ["accelerate(lax): the network on lax's convolution, given to jconv.accelerate"]
    if not found.learned:
        lines += ["", "THE LOSS DID NOT HALVE: something is wrong"]
    return lines


def _algorithms(chain: Any) -> list[str]:
    rows = [
        [name, *(plan.legs[leg].algorithm for leg in LEGS)] for name, plan in chain.plans.items()
    ]
    return table(["computed by", *LEGS], rows, left=4)


def _curve(found: Found) -> list[list[str]]:
    return [[f"step {step}", f"{loss:.4f}", f"{share:.1%}"] for step, loss, share in found.curve]


def _times(found: Found) -> list[list[str]]:
    rows = [
        _row("training step", found.times, "jconv"),
        _row("  accelerate(lax)", found.times, "accelerate(lax)"),
    ]
    return rows + [_row(f"layer {name}", times, "jconv") for name, times in found.layers.items()]


def _row(title: str, times: dict[str, list[float]], name: str) -> list[str]:
    middle, low, high = ratio(times, name)
    medians = [f"{1e3 * statistics.median(times[key]):.2f}" for key in ("lax", name)]
    return [title, *medians, f"{middle:.2f}", f"{low:.2f} to {high:.2f}"]


def _record(found: Found, chain: Any, path: Path) -> dict[str, Any]:
    return {
        "plan": chain.to_dict(),
        "curve": found.curve,
        "gradients": {
            "difference": found.difference,
            "largest": found.largest,
            "agree": found.agree,
        },
        "step": {
            "seconds": {name: statistics.median(times) for name, times in found.times.items()},
            "jconv/lax": ratio(found.times, "jconv")[0],
            "accelerate/lax": ratio(found.times, "accelerate(lax)")[0],
        },
        "layers": {name: ratio(times, "jconv")[0] for name, times in found.layers.items()},
        "picture": str(path),
    }
