"""jconv.explore: the page in a notebook, opened on a call; and the guide's own code."""

from __future__ import annotations

import html
import re
import urllib.request
from pathlib import Path

import pytest

import jconv
from jconv._explore.answers import plan_answer

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "explore.md"

CALLS = [
    ((1, 8, 8, 3), (3, 3, 3, 8), {"stride": 2}),
    ((1, 3, 8, 8), (8, 3, 3, 3), {"layout": "NCHW", "padding": ((1, 2), 0)}),
    (("b", "2*h+1", 3), (3, 3, 8), {"padding": 1, "stride": 3}),
    ((1, 6, 8), (3, 4, 8), {"op": "conv_transpose", "stride": 2, "output_shape": (11,)}),
]


@pytest.mark.parametrize(("x", "w", "settings"), CALLS)
def test_it_opens_on_the_call(x: tuple, w: tuple, settings: dict) -> None:
    page = jconv.explore(x, w, **settings)
    base, _, address = page.url.partition("#")
    answer = plan_answer({"address": address})
    assert answer["ok"], answer
    keywords = {name: value for name, value in settings.items() if name != "op"}
    make = jconv.plan_transpose if "op" in settings else jconv.plan
    assert answer["text"] == str(make(x, w, **keywords)) == str(page.plan)
    shown = page._repr_html_()
    assert f'<iframe src="{html.escape(page.url)}"' in shown
    assert "<svg" in shown  # what remains where the frame cannot be reached
    with urllib.request.urlopen(base) as reply:
        assert "frame-ancestors http://127.0.0.1:*" in reply.headers["Content-Security-Policy"]


def test_one_server_serves_all_cells() -> None:
    first, second = jconv.explore(), jconv.explore((1, 8, 3), (3, 3, 8))
    assert second.url.startswith(first.url)


def test_a_wrong_call_raises_as_the_operation_does() -> None:
    with pytest.raises(jconv.ConvError, match="channels"):
        jconv.explore((1, 8, 8, 3), (3, 3, 4, 8))
    with pytest.raises(TypeError, match="no keyword 'strides'"):
        jconv.explore((1, 8, 8, 3), (3, 3, 3, 8), strides=2)


def test_the_guide_runs_and_its_pictures_are_there() -> None:
    text = GUIDE.read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    exec(compile(code, GUIDE.name, "exec"), {})
    pictures = re.findall(r"\]\((\.\./pictures/[^)]+)\)", text)
    assert len(pictures) == 3
    assert all((GUIDE.parent / picture).stat().st_size < 60_000 for picture in pictures)
