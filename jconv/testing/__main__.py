"""python -m jconv.testing soak: random convolutions in child processes, against the oracle."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from jconv._algorithms import algorithms
from jconv.testing.soak.child import run_block
from jconv.testing.soak.draw import RULES
from jconv.testing.soak.soak import soak
from jconv.testing.soak.trial import OPS


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 if a process died, raised an error or computed a wrong value."""
    parser = argparse.ArgumentParser(prog="python -m jconv.testing", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="soak")
    one = commands.add_parser("soak", help="random configurations against the oracle")
    one.add_argument("--configurations", type=int, metavar="N", help="how many to run")
    one.add_argument("--minutes", type=float, metavar="N", help="for how long to run")
    one.add_argument("--seed", type=int, default=0, help="from which configurations are drawn")
    one.add_argument("--first", type=int, default=0, metavar="N", help="number of the first one")
    one.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="file to continue from, written after every block",
    )
    one.add_argument("--ops", default=",".join(OPS), help=f"which to run, of {','.join(OPS)}")
    one.add_argument(
        "--policies",
        default=",".join(RULES),
        help="policies or names of algorithms, in equal shares",
    )
    block = commands.add_parser("block")
    block.add_argument("log")
    options = parser.parse_args(arguments)
    if options.command == "block":
        _leave_no_core()
        with open(options.log, "w", encoding="utf-8") as log:
            run_block(sys.stdin.read(), log)
        return 0
    names = options.ops.split(",")
    if unknown := set(names) - set(OPS):
        parser.error(f"--ops: {', '.join(sorted(unknown))}: not among {', '.join(OPS)}")
    rules = options.policies.split(",")
    known = {*RULES, "exact", *algorithms()}
    if unknown := set(rules) - known:
        parser.error(f"--policies: {', '.join(sorted(unknown))}: not among {', '.join(known)}")
    if options.configurations is None and options.minutes is None:
        parser.error("give --configurations or --minutes")
    figures = soak(
        options.configurations,
        minutes=options.minutes,
        seed=options.seed,
        first=options.first,
        names=names,
        rules=rules,
        say=lambda line: print(line, flush=True),
        state=options.state,
    )
    return 0 if figures.ok else 1


def _leave_no_core() -> None:
    """Keep a process that aborts from writing its memory to a file."""
    with contextlib.suppress(ImportError):  # a module of Unix
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main())
