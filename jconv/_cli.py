"""The jconv command: plan, diagnose, solve, chain and doctor, for a person or with --json.

Exit status: 0 fine, 1 a shape problem was found (and explained), 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jconv
from jconv._doctor import examine
from jconv._errors import ConvError
from jconv._symbols import read_constraints
from jconv._table import table

FINE, PROBLEM, MISUSE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    try:
        return options.run(options)
    except ConvError as error:
        _report_problem(error, options.json)
        return PROBLEM
    except BrokenPipeError:  # the reader has seen enough
        return FINE
    except OSError as error:
        print(f"jconv: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return MISUSE


def _joined(arguments: Sequence[str]) -> list[str]:
    """--padding -1,2 as --padding=-1,2: argparse takes a value that begins so for an option."""
    joined: list[str] = []
    for argument in arguments:
        if re.match(r"-\d", argument) and joined and re.fullmatch(r"--[a-z-]+", joined[-1]):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


# --- reading the command line -------------------------------------------------------------


def shape(text: str) -> tuple[Any, ...]:
    """8,224,224,3 or b,h,w,3 or 8x224x224x3: whole numbers and sizes as text."""
    inner = text.strip().strip("()[]").strip()
    separator = "," if "," in inner or " " in inner else "x"
    parts = [part.strip() for part in inner.replace(" ", ",").split(separator) if part.strip()]
    return tuple(int(part) if part.lstrip("-").isdigit() else part for part in parts)


def factor(text: str) -> Any:
    """2 or 2,1: one whole number, or one for each axis."""
    return _literal(text, f"{text!r} is not a whole number, nor a list such as 2,1")


def padding(text: str) -> Any:
    """SAME, 1, 1,2 (one for each axis), or (1,2),(0,1) (a pair for each)."""
    if text.strip().lstrip("-").replace("_", "").isalpha():
        return text.strip()
    value = _literal(text, f"{text!r} is neither a rule, nor a number, nor a list of (low,high)")
    pair_alone = text.strip().startswith("(") and text.count("(") == 1
    return (value,) if pair_alone and isinstance(value, tuple) else value


def _literal(text: str, problem: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        raise argparse.ArgumentTypeError(problem) from None


def layout(text: str) -> Any:
    """NHWC, NCHW, or three dimension strings: NCHW,OIHW,NCHW."""
    return tuple(text.split(",")) if "," in text else text


def sizes(text: str) -> dict[str, int]:
    """h=224,w=224."""
    try:
        return {name.strip(): int(size) for name, size in (p.split("=") for p in text.split(","))}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} does not read like h=224,w=224") from None


def constraint(text: str) -> str:
    """h >= 7."""
    try:
        return read_constraints("--constraint", (text,))[0]
    except ConvError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jconv", description="Convolutions explained before they run."
    )
    parser.add_argument("--version", action="version", version=f"jconv {jconv.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, add in _COMMANDS.items():
        add(commands, name)
    return parser


def _command(commands: Any, name: str, run: Callable[..., int], text: str, example: str) -> Any:
    made = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--json", action="store_true", help="print JSON, for a program")
    made.set_defaults(run=run)
    return made


def _settings(command: Any) -> None:
    group = command.add_argument_group("the convolution's keywords")
    group.add_argument("--stride", type=factor, metavar="S", help="2 or 2,1")
    group.add_argument("--padding", type=padding, metavar="P", help="SAME, 1, 1,2 or (1,2),(0,1)")
    group.add_argument("--dilation", type=factor, metavar="D")
    group.add_argument("--input-dilation", type=factor, metavar="B")
    group.add_argument("--groups", type=factor, metavar="G")
    group.add_argument("--layout", type=layout, help="NHWC, NCHW, or NCHW,OIHW,NCHW")
    group.add_argument("--padding-mode", metavar="MODE", help="zeros, reflect, edge or circular")
    group.add_argument("--output-padding", type=factor, metavar="N", help="of a transposed one")
    group.add_argument("--output-shape", type=shape, metavar="SHAPE", help="of a transposed one")


_SETTINGS = (
    "stride",
    "padding",
    "dilation",
    "input_dilation",
    "groups",
    "layout",
    "padding_mode",
    "output_padding",
    "output_shape",
)


def _given(options: argparse.Namespace, names: Sequence[str] = _SETTINGS) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _add_plan(commands: Any, name: str) -> None:
    command = _command(
        commands,
        name,
        _run_plan,
        "Shapes, pads, cost and algorithm of one convolution.",
        "jconv plan b,h,w,3 7,7,3,64 --stride 2 --at h=224,w=224",
    )
    command.add_argument("x", type=shape, help="the input's shape: 8,224,224,3 or b,h,w,3")
    command.add_argument("w", type=shape, help="the filter's shape: 7,7,3,64")
    command.add_argument("--transpose", action="store_true", help="plan a transposed convolution")
    _settings(command)
    command.add_argument("--dtype", default="float32")
    command.add_argument("--platform", choices=["cpu", "cuda", "rocm", "tpu"])
    command.add_argument(
        "--constraint", type=constraint, action="append", default=[], metavar="'h >= 7'"
    )
    command.add_argument("--at", type=sizes, metavar="h=224,w=224", help="give symbols sizes")
    command.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of it")


def _add_diagnose(commands: Any, name: str) -> None:
    command = _command(
        commands,
        name,
        _run_diagnose,
        "What is wrong with a call, and what would mend it.",
        "jconv diagnose --op conv_filter_grad --x 1,5,5,3 --g 1,5,5,8 --filter-shape 3,3",
    )
    operations = ["conv", "conv_input_grad", "conv_filter_grad", "conv_transpose"]
    command.add_argument("--op", choices=operations, default="conv")
    for operand in "xwg":
        command.add_argument(f"--{operand}", type=shape, metavar="SHAPE", dest=f"{operand}_shape")
    command.add_argument("--input-shape", type=shape, metavar="SHAPE")
    command.add_argument("--filter-shape", type=shape, metavar="SHAPE")
    _settings(command)


def _add_solve(commands: Any, name: str) -> None:
    command = _command(
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
    command.add_argument("--max-kernel", type=int, metavar="N")
    command.add_argument("--max-stride", type=int, metavar="N")
    command.add_argument("--limit", type=int, default=12, help="how many to print (12)")


def _add_chain(commands: Any, name: str) -> None:
    command = _command(
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


def _add_doctor(commands: Any, name: str) -> None:
    _command(
        commands,
        name,
        _run_doctor,
        "Versions, devices, policy, and what is known to be slow or wrong in this JAX.",
        "jconv doctor",
    )


_COMMANDS = {
    "plan": _add_plan,
    "diagnose": _add_diagnose,
    "solve": _add_solve,
    "chain": _add_chain,
    "doctor": _add_doctor,
}


# --- running ------------------------------------------------------------------------------


def _run_plan(options: argparse.Namespace) -> int:
    make = jconv.plan_transpose if options.transpose else jconv.plan
    transposed_only = {"output_padding", "output_shape"}
    settings = _given(options)
    refused = set(settings) & ({"input_dilation"} if options.transpose else transposed_only)
    if refused:
        flag = "--" + sorted(refused)[0].replace("_", "-")
        other = "without --transpose" if options.transpose else "with --transpose"
        print(f"jconv plan: {flag} goes {other} only", file=sys.stderr)
        return MISUSE
    plan = make(
        options.x,
        options.w,
        dtype=options.dtype,
        platform=options.platform,
        constraints=options.constraint,
        **settings,
    )
    return _show_plan(plan.at(**options.at) if options.at else plan, options)


def _show_plan(plan: Any, options: argparse.Namespace) -> int:
    if options.svg is not None:
        _write(options.svg, plan.to_svg())
    if options.json:
        _print_json(plan.to_dict())
    else:
        print(_bold_headers(str(plan)))
        if options.svg is not None:
            print(f"\npicture written to {options.svg}")
    return FINE


def _run_diagnose(options: argparse.Namespace) -> int:
    names = ("x_shape", "w_shape", "g_shape", "input_shape", "filter_shape", *_SETTINGS)
    diagnosis = jconv.diagnose(op=options.op, **_given(options, names))
    if options.json:
        _print_json(
            {
                "ok": diagnosis.ok,
                "argument": diagnosis.argument,
                "remedies": [_remedy(remedy) for remedy in diagnosis.remedies],
                "text": diagnosis.text,
            }
        )
    else:
        print(diagnosis.text)
    return FINE if diagnosis.ok else PROBLEM


def _run_solve(options: argparse.Namespace) -> int:
    names = ("kernel", "stride", "padding", "dilation", "max_kernel", "max_stride")
    found = jconv.solve(
        input=options.input,
        output=options.output,
        transposed=options.transposed,
        **_given(options, names),
    )
    shown = found[: options.limit]
    fields = ("kernel", "stride", "padding", "dilation", "output_padding")
    if options.json:
        _print_json([{**{f: getattr(s, f) for f in fields}, "call": s.call} for s in shown])
    elif shown:
        lines = table(["kernel", "call"], [[s.kernel, s.call] for s in shown], left=2)
        print(_bold_headers("\n".join(lines)))
        if len(found) > len(shown):
            print(f"\n{len(found) - len(shown)} more; --limit shows them")
    else:
        print(f"nothing takes {options.input} to {options.output} within these ranges")
    return FINE if found else PROBLEM


def _run_chain(options: argparse.Namespace) -> int:
    if not options.file.is_file():
        print(f"jconv chain: there is no file {options.file}", file=sys.stderr)
        return MISUSE
    chain = jconv.plan_chain(options.x, options.file)
    return _show_plan(chain.at(**options.at) if options.at else chain, options)


def _run_doctor(options: argparse.Namespace) -> int:
    findings = examine()
    if options.json:
        _print_json(findings)
        return FINE
    width = max(len(name) for name in findings)
    for name, value in findings.items():
        values = value if isinstance(value, list) else [value]
        for number, line in enumerate(values or ["none"]):
            print(f"{_bold(name.ljust(width)) if number == 0 else ' ' * width}  {line}")
    return FINE


# --- printing -----------------------------------------------------------------------------


def _report_problem(error: ConvError, as_json: bool) -> None:
    if as_json:
        _print_json(
            {
                "ok": False,
                "argument": error.argument,
                "message": error.message,
                "got": str(error.got),
                "expected": str(error.expected),
                "remedies": [_remedy(remedy) for remedy in error.remedies],
            }
        )
    else:
        print(error)


def _remedy(remedy: Any) -> dict[str, Any]:
    return {"argument": remedy.argument, "value": remedy.value, "text": remedy.text}


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))


def _bold(text: str) -> str:
    on_terminal = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"\033[1m{text}\033[0m" if on_terminal else text


def _bold_headers(text: str) -> str:
    """The line above each rule in bold, on a terminal alone."""
    lines = text.split("\n")
    for number, line in enumerate(lines[1:], start=1):
        if line and set(line) == {"-"}:
            lines[number - 1] = _bold(lines[number - 1])
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=path.name, suffix=".part", delete=False, encoding="utf-8"
    ) as file:
        try:
            file.write(text)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
