"""explore: the page in a notebook's output cell, opened on one call."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from html import escape
from typing import Any

from jconv._explore.question import PER_AXIS, Question, plain_question, write_address
from jconv._explore.server import ExploreServer
from jconv._explore.whole import entries, forward_plan
from jconv._plan.plan import Plan

HEIGHT = 900  # px of the frame in the output cell
# Who may frame the page: notebooks served from this machine, and those in an editor.
_NOTEBOOKS = "http://127.0.0.1:* http://localhost:* vscode-webview:"
_OPERATIONS = ("conv", "conv_transpose")


class Explorer:
    """The page on one call: a notebook shows it as the value of a cell.

    The frame shows the page where the browser runs on the machine of the notebook. Elsewhere,
    and in a notebook that is read later, the picture of the plan below it remains.

    Attributes:
        url: where the page is, for a browser on this machine.
        plan: the plan of the call; None for the page's own example.
    """

    def __init__(self, url: str, plan: Plan | None) -> None:
        self.url = url
        self.plan = plan

    def __repr__(self) -> str:
        return f"jconv explore: {self.url}"

    def _repr_html_(self) -> str:
        frame = (
            f'<iframe src="{escape(self.url)}" title="jconv explore" width="100%" '
            f'height="{HEIGHT}" style="border:0"></iframe>'
        )
        if self.plan is None:
            return frame
        picture = self.plan._repr_html_()
        return f"{frame}<details><summary>the plan as a picture</summary>{picture}</details>"


_server: ExploreServer | None = None
_starting = threading.Lock()


def _running() -> ExploreServer:
    """The one server of this process, which ends with it."""
    global _server
    with _starting:
        if _server is None:
            _server = ExploreServer(0, frame_ancestors=_NOTEBOOKS)
            threading.Thread(target=_server.serve_forever, daemon=True).start()
        return _server


def explore(
    x_shape: Iterable[Any] | None = None,
    w_shape: Iterable[Any] | None = None,
    *,
    op: str = "conv",
    **settings: Any,
) -> Explorer:
    """Open the page of `jconv explore` on a call, in a notebook's output cell.

    A server for the page starts with the first use, on a free port of 127.0.0.1, and ends with
    the process.

    Args:
        x_shape, w_shape: shapes of the operands; both left out for the page's own example.
        op: "conv" or "conv_transpose".
        **settings: keywords of the operation; the page shows not all of them.

    Returns:
        An Explorer: a notebook shows it, and its `url` opens in a browser on this machine.

    Raises:
        ConvError: as the operation would raise it.
        TypeError: for a keyword that the page does not show.

    Examples:
        >>> import jconv
        >>> jconv.explore((1, 8, 8, 3), (3, 3, 3, 8), stride=2).url
        'http://127.0.0.1:...op=conv&x=1,8,8,3&w=3,3,3,8&stride=2'
    """
    if x_shape is None and w_shape is None and not settings:
        return Explorer(_running().url, None)
    if op not in _OPERATIONS or x_shape is None or w_shape is None:
        raise TypeError("explore takes both shapes, of a conv or a conv_transpose")
    question = _question(op, tuple(x_shape), tuple(w_shape), settings)
    plan = forward_plan(question)
    return Explorer(f"{_running().url}#{write_address(question)}", plan)


def _question(op: str, x: tuple[Any, ...], w: tuple[Any, ...], settings: Any) -> Question:
    question = plain_question(max(len(x) - 2, 1)).replace(op=op, x=_plain(x), w=_plain(w))
    for name, value in settings.items():
        if name in PER_AXIS and value is not None:
            value = entries(question, name, value, None)
        elif name == "layout" and isinstance(value, tuple | list):
            value = ",".join(value)
        elif name not in (*PER_AXIS, "layout", "groups", "dtype", "platform"):
            raise TypeError(f"explore shows no keyword {name!r}")
        question = question.replace(**{name: value})
    return question


def _plain(shape: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(size if isinstance(size, int) else str(size) for size in shape)
