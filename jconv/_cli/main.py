"""The jconv command, for a person or with --json.

Exit status: 0 fine, 1 a shape problem was found (and explained), 2 the command line is wrong or a
file cannot be read or written, 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jconv
from jconv._check.operations import ARRAY_NAMES, KEYWORDS, OPERATIONS
from jconv._check.settings import entries_of
from jconv._cli.bench import add_bench
from jconv._cli.demo import add_demo
from jconv._cli.doctor import examine
from jconv._cli.explore import add_explore
from jconv._cli.printing import bold, bold_headers, print_json, remedy_dict, report_problem
from jconv._cli.reading import (
    add_command,
    add_settings,
    add_tuning,
    constraint,
    count,
    counts_or_mesh,
    factor,
    given,
    joined,
    mesh,
    padding,
    partition,
    shape,
    sizes,
)
from jconv._cli.speed import add_tune
from jconv._core.errors import ConvError
from jconv._plan.table import table
from jconv._support.files import check_writable, write_whole

FINE, PROBLEM, MISUSE = 0, 1, 2
INTERRUPTED = 130  # as shells say it of a program that Ctrl-C has ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(joined(sys.argv[1:] if arguments is None else arguments))
    try:
        status = _answer(options)
        if sys.stdout is not None:  # None where the shell has closed it
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # the program that reads the output, such as head, has ended
        _drop_output()
        return FINE
    except OSError as error:
        _drop_output()
        where = f"{error.filename}: " if error.filename else ""
        print(f"jconv: {where}{error.strerror or error}", file=sys.stderr)
        return MISUSE
    except KeyboardInterrupt:
        print("jconv: interrupted", file=sys.stderr)
        return INTERRUPTED


def _answer(options: argparse.Namespace) -> int:
    try:
        for name in ("svg", "csv", "plot", "output"):  # before the work, not after it
            path = getattr(options, name, None)
            if isinstance(path, Path):
                check_writable(path)
        with _tuning(options):
            return options.run(options)
    except ConvError as error:
        report_problem(error, options.json)
        return PROBLEM


def _drop_output() -> None:
    """Send all further output to nowhere, so that the exit does not fail on a closed stdout."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _tuning(options: argparse.Namespace) -> contextlib.AbstractContextManager[Any]:
    """A context in which the tuning table of --tuning is in force, if one was given."""
    path = getattr(options, "tuning", None)
    return contextlib.nullcontext() if path is None else jconv.TuningTable.load(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jconv", description="Convolutions explained before they run."
    )
    parser.add_argument("--version", action="version", version=f"jconv {jconv.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, add in _COMMANDS.items():
        add(commands, name)
    return parser


def _add_plan(commands: Any, name: str) -> None:
    command = add_command(
        commands,
        name,
        _run_plan,
        "Shapes, pads, cost and algorithm of one convolution.",
        "jconv plan b,h,w,3 7,7,3,64 --stride 2 --at h=224,w=224",
    )
    command.add_argument("x", type=shape, help="the input's shape: 8,224,224,3 or b,h,w,3")
    command.add_argument("w", type=shape, help="the filter's shape: 7,7,3,64")
    command.add_argument("--transpose", action="store_true", help="plan a transposed convolution")
    add_settings(command)
    command.add_argument("--dtype", default="float32")
    command.add_argument("--platform", choices=["cpu", "cuda", "rocm", "tpu"])
    command.add_argument(
        "--constraint", type=constraint, action="append", default=[], metavar="'h >= 7'"
    )
    command.add_argument("--at", type=sizes, metavar="h=224,w=224", help="give symbols sizes")
    command.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of it")
    more = "; D or 1..4096 compares how x may be split, for 1 to 4096 devices"
    _add_mesh(command, "xw", counts_or_mesh, more)
    add_tuning(command)


def _add_diagnose(commands: Any, name: str) -> None:
    command = add_command(
        commands,
        name,
        _run_diagnose,
        "What is wrong with a call, and what would mend it.",
        "jconv diagnose --op conv_filter_grad --x 1,5,5,3 --g 1,5,5,8 --filter-shape 3,3",
    )
    command.add_argument("--op", choices=list(OPERATIONS), default="conv")
    for operand in ARRAY_NAMES:
        command.add_argument(f"--{operand}", type=shape, metavar="SHAPE", dest=f"{operand}_shape")
    command.add_argument("--input-shape", type=shape, metavar="SHAPE")
    command.add_argument("--filter-shape", type=shape, metavar="SHAPE")
    add_settings(command)


def _add_solve(commands: Any, name: str) -> None:
    command = add_command(
        commands,
        name,
        _run_solve,
        "Which kernel, stride and padding take one size to another, the simplest first.",
        "jconv solve --input 6,6 --output 12,12 --transposed",
    )
    command.add_argument("--input", type=factor, required=True, metavar="SIZES")
    command.add_argument("--output", type=factor, required=True, metavar="SIZES")
    command.add_argument("--kernel", type=factor)
    command.add_argument("--stride", type=factor)
    command.add_argument("--padding", type=padding)
    command.add_argument("--dilation", type=factor)
    command.add_argument("--transposed", action="store_true")
    command.add_argument("--max-kernel", type=count, metavar="N")
    command.add_argument("--max-stride", type=count, metavar="N")
    command.add_argument("--limit", type=count, default=12, help="how many to print (12)")


def _add_chain(commands: Any, name: str) -> None:
    command = add_command(
        commands,
        name,
        _run_chain,
        "A whole network from a TOML file, one row a layer.",
        "jconv chain network.toml --at h=224,w=224",
    )
    command.add_argument("file", type=Path, help="the network: a TOML file")
    command.add_argument("--x", type=shape, help="the input's shape, if the file does not say")
    command.add_argument("--at", type=sizes, metavar="h=224,w=224", help="give symbols sizes")
    command.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of it")
    _add_mesh(command, "x", mesh)


def _add_mesh(command: Any, operands: str, read: Any, more: str = "") -> None:
    group = command.add_argument_group("many devices")
    told = f"sizes of mesh axes{more}"
    group.add_argument("--mesh", type=read, metavar="data=2,rows=4", help=told)
    for operand in operands:
        text = f"the mesh axis of each dimension of {operand}; . for none, a+b for several"
        group.add_argument(f"--{operand}-spec", type=partition, metavar="data,rows,.", help=text)


def _add_doctor(commands: Any, name: str) -> None:
    command = add_command(
        commands,
        name,
        _run_doctor,
        "Versions, devices, policy, and what is known to be slow or wrong in this JAX.",
        "jconv doctor",
    )
    add_tuning(command)


_COMMANDS = {
    "plan": _add_plan,
    "diagnose": _add_diagnose,
    "solve": _add_solve,
    "chain": _add_chain,
    "tune": add_tune,
    "bench": add_bench,
    "doctor": _add_doctor,
    "demo": add_demo,
    "explore": add_explore,
}


# --- running ------------------------------------------------------------------------------


def _run_plan(options: argparse.Namespace) -> int:
    make = jconv.plan_transpose if options.transpose else jconv.plan
    settings = given(options)
    op = OPERATIONS["conv_transpose" if options.transpose else "conv"]
    refused = set(settings) - set(op.keywords)
    if refused:
        flag = "--" + sorted(refused)[0].replace("_", "-")
        other = "without --transpose" if options.transpose else "with --transpose"
        print(f"jconv plan: {flag} can only be given {other}", file=sys.stderr)
        return MISUSE
    counts = options.mesh if isinstance(options.mesh, tuple) else None
    if counts and (options.x_spec or options.w_spec or options.svg):
        why = (
            "--mesh with numbers of devices compares splits: leave --x-spec, --w-spec and --svg out"
        )
        print(f"jconv plan: {why}", file=sys.stderr)
        return MISUSE
    plan = make(
        options.x,
        options.w,
        dtype=options.dtype,
        platform=options.platform,
        constraints=options.constraint,
        mesh=None if counts else options.mesh,
        x_spec=options.x_spec,
        w_spec=options.w_spec,
        **settings,
    )
    plan = plan.at(**options.at) if options.at else plan
    return _show_plan(plan.splits(counts) if counts else plan, options)


def _show_plan(plan: Any, options: argparse.Namespace) -> int:
    if options.svg is not None:
        write_whole(options.svg, plan.to_svg())
    if options.json:
        print_json(plan.to_dict())
    else:
        print(bold_headers(str(plan)))
        if options.svg is not None:
            print(f"\npicture written to {options.svg}")
    return FINE


def _run_diagnose(options: argparse.Namespace) -> int:
    names = (*(f"{name}_shape" for name in ARRAY_NAMES), *KEYWORDS)
    diagnosis = jconv.diagnose(op=options.op, **given(options, names))
    if options.json:
        print_json(
            {
                "ok": diagnosis.ok,
                "argument": diagnosis.argument,
                "remedies": [remedy_dict(remedy) for remedy in diagnosis.remedies],
                "text": diagnosis.text,
            }
        )
    else:
        print(diagnosis.text)
    return FINE if diagnosis.ok else PROBLEM


def _run_solve(options: argparse.Namespace) -> int:
    lengths = [len(entries_of(size) or (size,)) for size in (options.input, options.output)]
    if lengths[0] != lengths[1]:
        print(
            f"jconv solve: --input has {lengths[0]} axes and --output {lengths[1]}; "
            "give one size for each axis to both",
            file=sys.stderr,
        )
        return MISUSE
    names = ("kernel", "stride", "padding", "dilation", "max_kernel", "max_stride")
    found = jconv.solve(
        input=options.input,
        output=options.output,
        transposed=options.transposed,
        **given(options, names),
    )
    shown = found[: options.limit]
    fields = ("kernel", "stride", "padding", "dilation", "output_padding")
    if options.json:
        print_json([{**{f: getattr(s, f) for f in fields}, "call": s.call} for s in shown])
    elif shown:
        lines = table(["kernel", "call"], [[s.kernel, s.call] for s in shown], left=2)
        print(bold_headers("\n".join(lines)))
        if len(found) > len(shown):
            print(f"\n{len(found) - len(shown)} more; --limit shows them")
    else:
        print(f"nothing takes {options.input} to {options.output} within these ranges")
    return FINE if found else PROBLEM


def _run_chain(options: argparse.Namespace) -> int:
    if not options.file.is_file():
        print(f"jconv chain: there is no file {options.file}", file=sys.stderr)
        return MISUSE
    chain = jconv.plan_chain(options.x, options.file, mesh=options.mesh, x_spec=options.x_spec)
    return _show_plan(chain.at(**options.at) if options.at else chain, options)


def _run_doctor(options: argparse.Namespace) -> int:
    findings = examine()
    if options.json:
        print_json(findings)
        return FINE
    width = max(len(name) for name in findings)
    for name, value in findings.items():
        values = value if isinstance(value, list) else [value]
        for number, line in enumerate(values or ["none"]):
            print(f"{bold(name.ljust(width)) if number == 0 else ' ' * width}  {line}")
    return FINE
