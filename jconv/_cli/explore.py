"""jconv explore: the page, served until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import sys
import webbrowser
from typing import Any

from jconv._explore.server import HOST, ExploreServer

FINE, MISUSE = 0, 2
PORT = 8765


def add_explore(commands: Any, name: str) -> None:
    text = "A local page on which sizes are set and the picture, plan and errors follow."
    command = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog="example: jconv explore --port 8800 --no-browser",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--port", type=_port, default=PORT, metavar="N", help=f"{PORT}; 0 for any that is free"
    )
    command.add_argument("--no-browser", action="store_true", help="open no browser")
    command.set_defaults(run=_run_explore, json=False)


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return port


def _run_explore(options: argparse.Namespace) -> int:
    try:
        server = ExploreServer(options.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"port {options.port} is in use; --port 0 takes any that is free"
        else:
            why = f"port {options.port} of {HOST} cannot be opened: {error.strerror}"
        print(f"jconv explore: {why}", file=sys.stderr)
        return MISUSE
    with server:
        try:
            print(f"jconv explore: {server.url} (Ctrl-C ends it)", flush=True)
            if not options.no_browser:
                webbrowser.open(server.url)
            server.serve_forever()
        except KeyboardInterrupt:
            print("\njconv explore: ended")
    return FINE
