"""The documentation site: it builds strictly, and reading a page loads nothing from elsewhere.

The second test needs playwright (the extra `browser`) and a Chromium: Debian's package, or the path
in the environment variable JCONV_CHROMIUM.
"""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("JCONV_CHROMIUM") or shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
READ = (  # a page of each kind: pictures, tables, long code, an API reference
    "index.html",
    "questions.html",
    "speed.html",
    "algorithms/winograd.html",
    "api/operations.html",
    "guides/explore.html",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is missing: install the extra `docs`")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is missing: install the extra `docs`")
    folder = tmp_path_factory.mktemp("site")
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return folder


def test_the_site_builds_strictly_and_names_nothing_elsewhere(site: Path) -> None:
    built = list(site.rglob("*.html"))
    assert len(built) > 20
    for page in built:
        text = page.read_text(encoding="utf-8")
        # A link may lead elsewhere; nothing that is loaded to show the page may.
        loaded = re.findall(
            r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^\"'>\s]+",
            text,
        )
        assert [tag for tag in loaded if 'rel="canonical"' not in tag] == [], page
        # A docstring's `>>>` is a quotation to Markdown, unless its section is read as examples.
        assert "<blockquote>" not in text, page
        # Two asterisks of an equation that is not in backticks are emphasis to Markdown.
        assert re.findall(r"\w<em>.*?</em>|<em>.*?</em>\w", text) == [], page


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            del format, args

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_browser_asks_nobody_else_and_scrolls_no_page_sideways(address: str) -> None:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is missing: the extra `browser` brings it"
    )
    if CHROMIUM is None:
        pytest.skip("no chromium: `apt-get install chromium`, or set JCONV_CHROMIUM")
    asked: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 400, "height": 900}, color_scheme="dark")
        page.on("request", lambda request: asked.append(request.url))
        for name in READ:
            page.goto(address + name, wait_until="networkidle")
            root = "document.documentElement"
            assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), name
            pictures = "[...document.images].every(image => image.naturalWidth > 0)"
            assert page.evaluate(pictures), name
        browser.close()
    assert {address + name for name in READ} <= set(asked)
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
