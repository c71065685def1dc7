"""The page in a real browser: every control, the pictures, the keyboard, and no request elsewhere.

Needs playwright (the extra `browser`) and a Chromium: Debian's package, or the path in the
environment variable JCONV_CHROMIUM.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jconv._explore.calls.write import WRITERS
from jconv._explore.server import ExploreServer
from jconv._plan.picture import grid
from jconv._support import svg

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: the extra `browser` brings it"
)
CHROMIUM = os.environ.get("JCONV_CHROMIUM") or shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip(
        "no chromium: `apt-get install chromium`, or set JCONV_CHROMIUM", allow_module_level=True
    )
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ANSWERED = "body[data-answered='{}']"


@pytest.fixture(scope="module")
def server() -> Iterator[ExploreServer]:
    with ExploreServer() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


class Opened:
    """A page, with what it asked for and complained of; each wait is for the next answer."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, address: str = "") -> None:
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#{address}")
        self.page.wait_for_selector("body[data-answered]")

    def answered(self) -> int:
        return int(self.page.get_attribute("body", "data-answered"))

    def after(self, act: Any) -> None:
        """Act, and wait for one more answer."""
        before = self.answered()
        act()
        self.page.wait_for_selector(ANSWERED.format(before + 1))

    def fill(self, label: str, value: str) -> None:
        self.after(lambda: self.page.get_by_label(label, exact=True).fill(value))

    def choose(self, label: str, value: str) -> None:
        self.after(lambda: self.page.get_by_label(label, exact=True).select_option(value))

    def value(self, label: str) -> str:
        return self.page.get_by_label(label, exact=True).input_value()

    def call(self) -> str:
        return self.page.locator("#answer pre").first.inner_text()

    def shapes(self) -> str:
        return self.page.locator("#shapes").inner_text()

    @property
    def hash(self) -> str:
        return self.page.evaluate("location.hash")


@pytest.fixture
def opened(server: ExploreServer, browser: Any) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = Opened(context.new_page(), server.url)
    yield page
    context.close()
    assert page.complaints == []
    own = (server.url, "about:", "data:")
    assert [url for url in page.requests if not url.startswith(own)] == []


def test_it_opens_on_an_example(opened: Opened) -> None:
    opened.open()
    assert "op=conv" in opened.hash
    assert "y (32, 5, 5, 128)" in opened.shapes()
    assert opened.page.locator("#plane svg").count() == 1
    assert opened.page.locator(".strip svg .jc-window").count() == 10
    assert "never read" in opened.page.locator(".strip svg").text_content()


def test_each_control_changes_the_call(opened: Opened) -> None:
    opened.open("x=2,9,12,4&w=3,3,4,6&padding=VALID")
    for label, value, expected in [
        ("input x, axis H", "11", "x (2, 11, 12, 4)"),
        ("kernel, axis W", "2", "w (3, 2, 4, 6)"),
        ("batch", "5", "x (5, 11, 12, 4)"),
        ("channels in", "8", "w (3, 2, 8, 6)"),
        ("channels out", "10", "y (5, 9, 11, 10)"),
        ("groups", "2", "w (3, 2, 4, 10)"),
        ("stride, axis H", "2", "y (5, 5, 11, 10)"),
        ("dilation, axis W", "3", "y (5, 5, 9, 10)"),
        ("input dilation, axis W", "2", "y (5, 5, 20, 10)"),
        ("padding high, axis H", "1", "y (5, 5, 20, 10)"),
        ("output y, axis H", "7", "x (5, 14, 12, 8)"),
    ]:
        opened.fill(label, value)
        assert expected in opened.shapes(), (label, opened.shapes())
    for label, value, expected in [
        ("padding, axis H", "SAME", "padding="),
        ("padding, axis W", "SAME", "stride=(2, 1)"),
        ("layout", "NCHW", "layout='NCHW'"),
        ("spatial axes", "1", "layout='NCW'"),
        ("layout", "NWC", "stride=2"),
        ("operation", "conv_transpose", "jconv.conv_transpose("),
        ("operation", "conv_filter_grad", "filter_shape="),
        ("operation", "conv_input_grad", "input_shape="),
        ("platform", "tpu", "input_shape="),
        ("dtype", "bfloat16", "input_shape="),
    ]:
        opened.choose(label, value)
        assert expected in opened.call(), (label, opened.call())
    assert "platform=tpu" in opened.hash
    assert "dtype=bfloat16" in opened.hash


def test_a_border_of_copies_and_output_padding(opened: Opened) -> None:
    opened.open("x=1,9,3&w=3,3,4")
    opened.choose("padding mode, axis W", "reflect")
    assert "padding_mode='reflect'" in opened.call()
    opened.choose("padding mode, axis W", "circular:edge")
    assert "padding_mode=(('circular', 'edge'),)" in opened.call()
    assert "padding_mode=circular:edge" in opened.hash
    opened.open("op=conv_transpose&x=1,6,3&w=3,4,3&stride=2&padding=1")
    opened.fill("output padding, axis W", "1")
    assert "y (1, 12, 4)" in opened.shapes()
    assert "output_padding=1" in opened.call()


def test_symbols_go_along_to_every_operation(opened: Opened) -> None:
    opened.open("x=b,h,8,3&w=3,3,3,4&stride=2")
    for op, expected in [
        ("conv_input_grad", "dx (b, h, 8, 3)"),
        ("conv_filter_grad", "dw (3, 3, 3, 4)"),
        ("conv_transpose", "y (b, h, 8, 3)"),
        ("conv", "y (b, - floordiv(- h, 2), 4, 4)"),
    ]:
        opened.choose("operation", op)
        assert expected in opened.shapes()
    opened.fill("input x, axis H", "9")
    assert "y (b, 5, 4, 4)" in opened.shapes()


def test_a_wrong_call_is_mended_by_its_button(opened: Opened) -> None:
    opened.open("op=conv_filter_grad&x=1,5,5,3&g=1,5,5,8&w=3,3,3,8&padding=VALID")
    page = opened.page
    assert "This call does not fit" in page.locator("#answer").inner_text()
    opened.after(lambda: page.locator("button.remedy").first.click())
    assert page.locator("#answer .error").count() == 0
    assert "dw (3, 3, 3, 8)" in opened.shapes()


def test_consistent_sizes_are_buttons(opened: Opened) -> None:
    opened.open("op=conv_input_grad&g=1,5,8&x=1,20,3&w=3,3,8&stride=2&padding=VALID")
    page = opened.page
    assert page.locator(".error button.size").all_inner_texts() == ["11", "12"]
    opened.after(lambda: page.get_by_label("input_shape 12 on axis W").click())
    assert "dx (1, 12, 3)" in opened.shapes()
    assert page.locator("button.size[aria-pressed=true]").inner_text() == "12"


def test_what_cannot_be_read_is_said_and_changes_nothing(opened: Opened) -> None:
    opened.open("x=1,9,3&w=3,3,4")
    opened.fill("stride, axis W", "two")
    assert "whole number" in opened.page.locator("#refused").inner_text()
    assert "y (1, 9, 4)" in opened.shapes()


def test_the_address_and_the_back_button(opened: Opened) -> None:
    opened.open("x=1,9,3&w=3,3,4")
    opened.fill("stride, axis W", "2")
    opened.choose("padding, axis W", "VALID")
    assert opened.hash == "#op=conv&x=1,9,3&w=3,3,4&stride=2&padding=VALID"
    there = opened.hash
    opened.after(opened.page.go_back)
    assert opened.value("padding, axis W") == "SAME"
    opened.after(opened.page.go_back)
    assert opened.value("stride, axis W") == "1"
    opened.after(opened.page.go_forward)
    assert opened.value("stride, axis W") == "2"
    opened.open(there.removeprefix("#"))
    assert "y (1, 4, 4)" in opened.shapes()


def test_the_window_follows_pointer_and_arrow_keys(opened: Opened) -> None:
    opened.open("x=1,9,12,4&w=3,3,4,6&stride=2&padding=VALID")
    page, plane = opened.page, opened.page.locator("#plane")
    taps = page.locator("#plane .jc-plane-tap")
    plane.focus()
    for _ in range(5):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    words = page.locator("#reads")
    assert words.inner_text() == "y[0, 0] reads rows 0 to 2 and columns 0 to 2 of x."
    assert taps.count() == 9
    page.keyboard.press("ArrowRight")
    assert words.inner_text() == "y[0, 1] reads rows 0 to 2 and columns 2 to 4 of x."
    cells = page.locator("#plane .jc-plane-y")
    cells.scroll_into_view_if_needed()
    box = cells.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 4, box["y"] + box["height"] - 4)
    assert words.inner_text() == "y[3, 4] reads rows 6 to 8 and columns 8 to 10 of x."
    image = page.locator("#plane .jc-plane-x").bounding_box()
    page.mouse.move(image["x"] + 3, image["y"] + 3)
    assert "rows 0 to 2 and columns 0 to 2" in words.inner_text()


def test_the_window_moves_beyond_what_is_drawn(opened: Opened) -> None:
    opened.open("x=1,90,80,4&w=3,3,4,6")
    page = opened.page
    page.locator("#plane").focus()
    for _ in range(40):
        page.keyboard.press("ArrowDown")
    page.wait_for_selector("#reads:text('y[41, 1] reads rows 40 to 42 and columns 0 to 2 of x.')")
    assert page.locator("#plane .jc-plane-tap").count() == 9


def test_by_keyboard_alone(opened: Opened) -> None:
    opened.open("x=1,9,3&w=3,3,4")
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-call"
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
        if seen[-1] == "stride, axis W":
            break
    opened.after(lambda: page.keyboard.press("ArrowUp"))
    assert "stride=2" in opened.call()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "stride, axis W"
    page.locator("#tab-call").focus()
    opened.after(lambda: page.keyboard.press("ArrowRight"))
    assert page.locator("#solve").is_visible()
    opened.after(lambda: page.keyboard.press("ArrowRight"))
    assert page.locator("#network").is_visible()


def test_everything_has_a_name_for_screen_readers(opened: Opened) -> None:
    for address in ("", "op=conv_transpose&x=1,5,3&w=3,4,3&stride=2", "from=6&to=12", "network"):
        opened.open(address)
        nameless = opened.page.evaluate(
            "[...document.querySelectorAll('input, select, textarea, button, figure')].filter(e =>"
            "!(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label')"
            " || e.getAttribute('aria-hidden'))).map(e => e.outerHTML)"
        )
        assert nameless == []
        ids = opened.page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids))


def test_copy_buttons(opened: Opened) -> None:
    opened.open("x=1,9,3&w=3,3,4&stride=2")
    page = opened.page
    read = "navigator.clipboard.readText()"
    page.locator("#copy-call").click()
    page.wait_for_selector("#status:text('copied')")
    assert page.evaluate(read) == "y = jconv.conv(x, w, stride=2)"
    page.locator("#link").click()
    page.wait_for_selector("#status:text('the link copied')")
    assert page.evaluate(read) == page.url


def test_the_call_in_every_framework(opened: Opened) -> None:
    opened.open("x=1,9,3&w=3,3,4&input_dilation=2")
    for framework in WRITERS:
        opened.page.locator(f"#framework-{framework}").click()
        text = opened.page.locator("#code").inner_text()
        assert text.startswith("Cannot be said in") == (framework != "lax")
    opened.page.locator("#framework-lax").click()
    assert "lhs_dilation" in opened.page.locator("#code").inner_text()


def test_from_one_size_to_another(opened: Opened) -> None:
    opened.open("from=28&to=14")
    page = opened.page
    first = page.locator("#solutions tbody tr").first.inner_text()
    assert 'jconv.conv(x, w, stride=2, padding="SAME")' in first
    opened.after(lambda: page.get_by_label("kernel (any)").fill("5"))
    assert page.locator("#solutions tbody tr td:first-child").first.inner_text() == "5"
    assert "kernel=5" in opened.hash
    opened.after(lambda: page.locator("button.use").first.click())
    assert page.locator("#call").is_visible()
    assert opened.value("kernel, axis W") == "5"
    opened.after(lambda: page.get_by_role("tab", name="From 6 to 12").click())
    opened.after(lambda: page.get_by_label("output size").fill("1000"))
    assert "Nothing takes" in page.locator("#solutions").inner_text()


def test_a_network_edited_in_place(opened: Opened) -> None:
    opened.open("network")
    page = opened.page
    assert page.locator("#network tbody tr").count() == 7
    opened.after(lambda: page.get_by_role("button", name="Set it").first.click())
    assert "[0, 1]" in page.locator("#row-5").input_value()
    wrong = 'kind = "conv", featurs = 8, kernel = 3'

    def type_row(text: str) -> None:
        page.locator("#row-0").fill(text)
        page.locator("#row-0").press("Enter")

    opened.after(lambda: type_row(wrong))
    assert page.locator("#network tr.bad #row-0").count() == 1
    assert "features" in page.locator("#network .error").inner_text()
    opened.after(lambda: type_row('kind = "conv", name = "down1", features = 16, kernel = 5'))
    assert "8, 45, 60, 16" in page.locator("#network tbody tr").first.inner_text()
    opened.after(lambda: page.get_by_label("remove layer 2").click())
    opened.after(lambda: page.get_by_label("add a layer after 1").click())
    assert page.locator("#network tbody tr").count() == 7
    there = opened.hash.removeprefix("#")
    text = page.locator("#toml").input_value()
    opened.open(there)
    assert page.locator("#toml").input_value() == text


@pytest.mark.parametrize("address", ["", "x=1,9,9,9,9,3&w=3,3,3,3,3,8", "network", "from=6&to=12"])
def test_400_pixels_wide(opened: Opened, address: str) -> None:
    opened.page.set_viewport_size({"width": 400, "height": 800})
    opened.open(address)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 400
    small = opened.page.evaluate(
        "[...document.querySelectorAll('input:not([type=checkbox]), select')]"
        ".filter(e => e.offsetParent && e.getBoundingClientRect().width < 40).length"
    )
    assert small == 0
    hidden = opened.page.evaluate(
        "[...document.querySelectorAll('.strip, .stack, button.use, button.size')].filter("
        "e => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > 400).length"
    )
    assert hidden == 0


def test_the_picture_follows_the_width_of_the_page(opened: Opened) -> None:
    opened.open()
    names = opened.page.locator(".strip svg .jc-window[data-o='0'] ~ .jc-name")
    assert "a window: 3 taps" in names.all_text_contents()
    opened.after(lambda: opened.page.set_viewport_size({"width": 400, "height": 800}))
    assert "a window: 3 taps" not in names.all_text_contents()


def test_dark(opened: Opened) -> None:
    """Every colour of the pictures has a counterpart on a dark page."""
    opened.page.emulate_media(color_scheme="dark")
    opened.open()
    luminance = "getComputedStyle(document.querySelector('{}')).{}.match(/\\d+/g).slice(0, 3)"

    def brightness(where: str, what: str) -> float:
        return sum(map(int, opened.page.evaluate(luminance.format(where, what)))) / 3

    assert brightness("body", "backgroundColor") < 60
    assert brightness("body", "color") > 180
    assert brightness("#plane .jc-paper", "fill") < 60
    assert brightness("#plane .jc-plane-x", "fill") < 110
    page = opened.page.evaluate("document.querySelector('style').textContent")
    dark = page[page.index("prefers-color-scheme: dark") :]
    pairs = [value for value in vars(grid).values() if isinstance(value, tuple)]
    for fill, stroke in pairs:
        assert f'[fill="{fill}"]' in dark
        assert f'[stroke="{stroke}"]' in dark
    for ink in (svg.INK, svg.FAINT, svg.PAPER):
        assert f'[fill="{ink}"]' in dark


def test_a_server_that_has_ended_is_said(browser: Any) -> None:
    with ExploreServer() as ending:
        thread = threading.Thread(target=ending.serve_forever, daemon=True)
        thread.start()
        context = browser.new_context()
        page = Opened(context.new_page(), ending.url)
        page.open()
        ending.shutdown()
        thread.join()
    page.page.get_by_label("batch", exact=True).fill("3")
    page.page.wait_for_selector("#status:text('does not answer')")
    context.close()
