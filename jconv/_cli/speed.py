"""jconv tune: measure the algorithms on this machine."""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

import jconv
from jconv._cli.printing import bold_headers, print_json
from jconv._cli.reading import add_command, add_settings, given, shape

FINE, MISUSE = 0, 2


def add_tune(commands: Any, name: str) -> None:
    command = add_command(
        commands,
        name,
        _run_tune,
        "Time the algorithms of a convolution, or of every one in a function, on this machine.",
        "jconv tune 8,56,56,64 3,3,64,64 -o table.json\n"
        "         jconv tune my_model:loss 8,224,224,3 7,7,3,64 -o table.json\n"
        "         jconv tune my_model:step -o table.json      (a function of no arguments)",
    )
    command.add_argument("target", help="module:function, or the input's shape as in jconv plan")
    command.add_argument(
        "shapes", nargs="*", type=shape, help="the function's arguments, or the filter's shape"
    )
    add_settings(command)
    command.add_argument("--transpose", action="store_true", help="a transposed convolution")
    command.add_argument("--dtype", default="float32", help="of the arguments")
    command.add_argument("--rounds", type=int, default=9, help="how often each is timed (9)")
    command.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="add the measurements to a JSON file"
    )


def _run_tune(options: argparse.Namespace) -> int:
    settings = given(options)
    try:
        if ":" in options.target:
            if settings or options.transpose:
                raise _MisuseError("a function takes shapes alone, no keywords of a convolution")
            fn, shapes = _function(options.target), options.shapes
        else:
            fn, shapes = _convolution(options, settings)
    except _MisuseError as misuse:
        print(f"jconv tune: {misuse}", file=sys.stderr)
        return MISUSE
    arguments = [jax.ShapeDtypeStruct(sizes, options.dtype) for sizes in shapes]
    table = jconv.autotune(fn, *arguments, rounds=options.rounds)
    if options.output is not None:
        if options.output.exists():
            (jconv.TuningTable.load(options.output) | table).save(options.output)
        else:
            table.save(options.output)
    if options.json:
        print_json(table.to_dict())
    else:
        print(bold_headers(str(table)))
        if options.output is not None:
            print(f"\nadded to {options.output}")
    return FINE


class _MisuseError(Exception):
    """The command line asks for something that is not there."""


def _convolution(
    options: argparse.Namespace, settings: dict[str, Any]
) -> tuple[Callable[..., Any], list[tuple[Any, ...]]]:
    shapes = [shape(options.target), *options.shapes]
    if len(shapes) != 2:
        raise _MisuseError("give module:function, or two shapes: the input's and the filter's")
    operation = jconv.conv_transpose if options.transpose else jconv.conv
    plan = jconv.plan_transpose if options.transpose else jconv.plan
    plan(*shapes, dtype=options.dtype, **settings)  # says what is wrong, if anything is
    return functools.partial(operation, **settings), shapes


def _function(target: str) -> Any:
    module, _, path = target.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)  # as python -m does; a console script does not
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise _MisuseError(str(error)) from error
    finally:
        sys.path.remove(here)
    for name in path.split("."):
        if not hasattr(found, name):
            raise _MisuseError(f"{module} has no {path}")
        found = getattr(found, name)
    return found
