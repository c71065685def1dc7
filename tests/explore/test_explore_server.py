"""The server without a browser: what it answers, what it refuses, and how long it takes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import jconv
from jconv._cli.main import main
from jconv._explore import server as server_module
from jconv._explore.limits import MAX_LAYERS
from jconv._explore.server import ANSWERS, MAX_BODY, MAX_HANDLERS, ExploreServer, read_page

SECOND = 1.0  # of processor time that any answer may take, since the machine may be busy


@pytest.fixture(scope="module")
def server() -> Iterator[ExploreServer]:
    with ExploreServer() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


Reply = tuple[int, dict[str, str], bytes]


def send(
    server: ExploreServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, given)
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


def post(server: ExploreServer, path: str, request: Any, **headers: str) -> Reply:
    headers = {"Content_Type": "application/json", **headers}
    return send(server, "POST", path, json.dumps(request).encode(), **headers)


def ask(server: ExploreServer, path: str, **request: Any) -> dict[str, Any]:
    status, _, body = post(server, path, request)
    assert status == 200, body
    return json.loads(body)


# --- what is answered ---------------------------------------------------------------------


def test_the_page_is_the_packaged_one_and_may_load_nothing_else(server: ExploreServer) -> None:
    status, headers, body = send(server, "GET", "/")
    assert (status, body) == (200, read_page())
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(r'(?:src|href)="(?!data:)', body.decode())
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", body.decode())


def test_plan_is_jconv_plan(server: ExploreServer) -> None:
    answer = ask(server, "/api/plan", address="x=8,224,224,3&w=7,7,3,64&stride=2")
    plan = jconv.plan((8, 224, 224, 3), (7, 7, 3, 64), stride=2)
    assert answer["ok"]
    assert answer["text"] == str(plan)
    assert answer["shapes"]["y"] == ["8", "112", "112", "64"]
    assert [leg["algorithm"] for leg in answer["legs"]] == [
        leg.algorithm for leg in plan.legs.values()
    ]
    assert answer["call"] == "y = jconv.conv(x, w, stride=2)"


def test_diagnose_mends_a_wrong_call(server: ExploreServer) -> None:
    wrong = "x=1,3,32,32&w=3,3,3,8"
    assert not ask(server, "/api/plan", address=wrong)["ok"]
    found = ask(server, "/api/diagnose", address=wrong)
    assert found["text"] == jconv.diagnose(x_shape=(1, 3, 32, 32), w_shape=(3, 3, 3, 8)).text
    assert ask(server, "/api/plan", address=found["remedies"][0]["address"])["ok"]


def test_remedies_that_mend_together_are_one_button(server: ExploreServer) -> None:
    wrong = (
        "op=conv_transpose&x=6,14,5,5&w=6,5,1,5&stride=2&padding=3:3,SAME&groups=12&output_shape=40"
    )
    found = ask(server, "/api/diagnose", address=wrong)
    (both,) = found["remedies"]
    assert both["text"] == "pass groups=5 and leave output_shape out"
    assert ask(server, "/api/plan", address=both["address"])["ok"]


def test_sizes_are_offered_where_they_mend_the_call(server: ExploreServer) -> None:
    wrong = "op=conv_input_grad&g=1,5,6,8&x=1,20,12,3&w=3,3,3,8&stride=2"
    (row,) = ask(server, "/api/diagnose", address=wrong)["sizes"]
    assert (row["axis"], [button["size"] for button in row["buttons"]]) == ("H", [9, 10])
    assert ask(server, "/api/diagnose", address=wrong.replace("w=3,3,3", "w=3,3,4"))["sizes"] == []


@pytest.mark.parametrize("op", ["conv_input_grad", "conv_filter_grad"])
def test_a_backprop_may_be_told_spatial_sizes_alone(server: ExploreServer, op: str) -> None:
    full = f"op={op}&x=2,9,12,4&w=3,5,2,6&g=2,9,12,6&groups=2"
    short = full.replace("x=2,9,12,4", "x=9,12") if "input" in op else full.replace(",2,6&g", "&g")
    assert ask(server, "/api/plan", address=short)["address"] == full
    assert ask(server, "/api/plan", address=full)["ok"]


def test_a_backprop_of_whole_numbers_is_refused(server: ExploreServer) -> None:
    address = "op=conv_filter_grad&x=1,8,3&g=1,8,4&w=3,3,4&dtype=int8"
    assert "floating-point" in ask(server, "/api/plan", address=address)["error"]
    (remedy,) = ask(server, "/api/diagnose", address=address)["remedies"]
    assert ask(server, "/api/plan", address=remedy["address"])["ok"]


def test_an_address_of_a_wrong_shape_is_read_back(server: ExploreServer) -> None:
    change = {"field": "x", "value": ""}
    emptied = ask(server, "/api/plan", address="x=1,9,9,3&w=3,3,3,8&stride=2,1", change=change)
    again = ask(server, "/api/plan", address=emptied["address"])
    assert again["refused"] is None
    assert again["error"] == emptied["error"]


def test_solve_and_the_call_that_it_opens(server: ExploreServer) -> None:
    answer = ask(server, "/api/solve", input="6", output="12", transposed=True)
    expected = jconv.solve(input=6, output=12, transposed=True)
    assert [found["call"] for found in answer["solutions"]] == [s.call for s in expected]
    for found in answer["solutions"]:
        opened = ask(server, "/api/plan", address=found["address"])
        assert opened["ok"]
        assert opened["axes"][0]["output"] == "12"


def test_chain_sets_the_output_padding_that_restores(server: ExploreServer) -> None:
    answer = ask(server, "/api/chain")
    assert answer["ok"]
    changes = [r["change"] for r in answer["restores"] if r["change"]]
    assert changes
    while changes:
        answer = ask(server, "/api/chain", toml=answer["toml"], change=changes[0])
        changes = [r["change"] for r in answer["restores"] if r["change"]]
    assert all(restore["restored"] for restore in answer["restores"])


def test_a_wrong_layer_is_pointed_at(server: ExploreServer) -> None:
    change = {"row": 2, "text": 'kind = "conv", feature = 3, kernel = 3'}
    answer = ask(server, "/api/chain", change=change)
    assert (answer["ok"], answer["row"]) == (False, 2)
    assert "features" in answer["error"]
    answer = ask(server, "/api/chain", change={"row": 2, "text": "kind = conv }, b = {"})
    assert answer["ok"]  # what cannot be read changes nothing
    assert "not TOML" in answer["refused"]


# --- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"3", b'{"address": NaN}', b"\xff\xfe", b"[" * 60_000],
    ids=["empty", "cut", "list", "number", "nan", "bytes", "deep"],
)
def test_what_is_not_json_is_refused(server: ExploreServer, body: bytes) -> None:
    status, _, said = send(server, "POST", "/api/plan", body, Content_Type="application/json")
    assert status == 400
    assert "JSON" in json.loads(said)["error"]


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1", "127.0.0.1:1", "localhost.evil:80"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_hosts_are_refused(server: ExploreServer, method: str, host: str) -> None:
    path = "/" if method == "GET" else "/api/plan"
    assert send(server, method, path, b"{}", Host=host, Content_Type="application/json")[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
    ids=lambda headers: next(iter(headers.values())),
)
def test_foreign_origins_are_refused(server: ExploreServer, headers: dict[str, str]) -> None:
    assert post(server, "/api/plan", {}, **headers)[0] == 403
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec_Fetch_Site": "same-origin"}
    assert post(server, "/api/plan", {}, **own)[0] == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(server: ExploreServer, method: str) -> None:
    status, headers, _ = send(server, method, "/api/plan")
    assert (status, headers["Allow"]) == (405, "GET, HEAD, POST")
    assert send(server, "BREW", "/")[0] == 501
    assert send(server, "GET", "/api/plan")[0] == 405


@pytest.mark.parametrize("path", ["/etc/passwd", "/../pyproject.toml", "/page.html", "/api"])
def test_no_other_path_is_served(server: ExploreServer, path: str) -> None:
    assert send(server, "GET", path)[0] == 404
    assert post(server, path, {})[0] == 404


def test_a_form_of_another_site_is_refused(server: ExploreServer) -> None:
    assert send(server, "POST", "/api/plan", b"{}", Content_Type="text/plain")[0] == 415


def test_a_body_that_is_too_long_is_read_off(server: ExploreServer) -> None:
    status, _, said = post(server, "/api/plan", {"address": "x" * (MAX_BODY + 1)})
    assert status == 413
    assert str(MAX_BODY) in json.loads(said)["error"]


def test_a_body_without_end_is_not_read(server: ExploreServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as wire:
        head = f"POST /api/plan HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        wire.sendall(f"{head}Content-Length: 999999999999\r\n\r\n".encode())
        sent = 0
        try:
            while sent < 8 * 2**20:
                sent += wire.send(b" " * 65536)
        except OSError:
            pass  # the server has closed: it answered after its bound
    assert sent < 8 * 2**20
    assert ask(server, "/api/plan")["ok"]
    headers = {"Transfer_Encoding": "chunked", "Content_Type": "application/json"}
    assert send(server, "POST", "/api/plan", b"0\r\n\r\n", **headers)[0] == 411


def test_slow_clients_do_not_hold_the_server(
    server: ExploreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_SECONDS", 1)
    with contextlib.ExitStack() as opened:
        address = ("127.0.0.1", server.port)
        slow = [
            opened.enter_context(socket.create_connection(address, timeout=30))
            for _ in range(MAX_HANDLERS)
        ]
        for wire in slow:
            wire.sendall(b"POST /api/plan HTTP/1.0\r\n")
        assert ask(server, "/api/plan")["ok"]
        assert all(wire.recv(1) == b"" for wire in slow[:3])


# --- bounded work -------------------------------------------------------------------------

BIG = "1000000000000"
HOSTILE = {
    "size": f"x=1,{BIG},{BIG},3&w=3,3,3,8",
    "largest size": "x=2147483647,2147483647,2147483647,3&w=3,3,3,8&stride=2",
    "kernel": "x=1,100,100,3&w=1000000000,1000000000,3,8",
    "kernel first": "x=1,3,100,100&w=8,3,1000000000,3&layout=NCHW",
    "stride": "x=1,100000,100000,3&w=3,3,3,8&stride=30000",
    "stride in volume": "x=1,900,900,900,3&w=2,2,2,3,8&stride=1000&padding=VALID",
    "input dilation": "x=1,1000,1000,3&w=3,3,3,8&input_dilation=1000",
    "dilation": "x=1,1000,1000,3&w=3,3,3,8&dilation=100000",
    "padding": "x=1,10,10,3&w=3,3,3,8&padding=2000000000",
    "crop": "x=1,10,10,3&w=3,3,3,8&padding=-2000000000",
    "axes": "x=" + ",".join(["3"] * 30) + "&w=3,3",
    "digits": "x=1," + "9" * 150 + ",3&w=3,3,8",
    "groups": "x=1,8,8,2147483647&w=3,3,1,2147483647&groups=2147483647",
    "transposed": f"op=conv_transpose&x=1,{BIG},8&w=3,8,8&stride=1024",
    "transposed output": "op=conv_transpose&x=1,2000000000,8&w=3,8,8&stride=1024",
    "told": "op=conv_input_grad&g=1,5,5,8&x=1,2000000000,9,3&w=3,3,3,8&stride=1000,1",
    "filter told": "op=conv_filter_grad&x=1,9,9,3&g=1,5,5,8&w=256,256,3,8&padding=9999",
    "symbols": "x=b,h,w,d,3&w=3,3,3,3,8&stride=3",
    "deep symbol": "x=b," + "(" * 90 + "h" + ")" * 90 + ",3&w=3,3,8",
    "power": "x=b,h*h*h*h*h*h*h*h*h*h*h*h*h*h,3&w=3,3,8&stride=7",
    "nothing": "x=0,0,0,0&w=0,0,0,0&stride=0",
    "negative": "x=-1,-5,-5,-3&w=-3,3,3,8&stride=-1&groups=-1",
    "widest allowed": "x=1,9000,9000,3&w=256,256,3,8&stride=32",
    "most axes": "x=1,20,20,20,20,3&w=9,9,9,9,3,8&stride=5&dilation=2",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_each_answer_is_bounded_and_says_what_it_is(server: ExploreServer, name: str) -> None:
    changes = [
        None,
        {"field": "op", "value": "conv_transpose"},
        {"field": "output", "axis": 0, "value": BIG},
        {"field": "rank", "value": "4"},
        {"field": "padding", "axis": 0, "value": "numbers"},
    ]
    for change in changes:
        start = time.process_time()
        answer = ask(server, "/api/plan", address=HOSTILE[name], change=change, at=[10**30, -1])
        took = time.process_time() - start
        assert took < SECOND, (change, took)
        assert answer["ok"] or answer["error"] or answer["refused"]
        assert len(json.dumps(answer)) < 400_000
    start = time.process_time()
    found = ask(server, "/api/diagnose", address=HOSTILE[name])
    assert time.process_time() - start < SECOND
    assert found["text"]


@pytest.mark.parametrize(
    "request_of",
    [
        {"input": BIG, "output": BIG},
        {"input": "1000000000", "output": "500000000", "kernel": "1000000000"},
        {"input": "100,100,100,100", "output": "33,50,25,20"},
        {"input": "9,9,9,9,9", "output": "3"},
        {"input": "100", "output": "50", "stride": "0"},
        {"input": "", "output": None},
        {"input": ["6"], "output": {"a": 1}},
    ],
    ids=str,
)
def test_solve_is_bounded(server: ExploreServer, request_of: dict[str, Any]) -> None:
    start = time.process_time()
    answer = ask(server, "/api/solve", **request_of)
    assert time.process_time() - start < SECOND
    assert answer["ok"] or answer["error"]


LAYER = '[[layers]]\nkind="conv"\nfeatures=8\nkernel=3\n'
SHAPE = "x_shape=[1,64,64,8]\n"
NETWORKS = {
    "long": SHAPE + "layers=[" + "{}," * 10_000 + "]",
    "just too long": SHAPE + LAYER * (MAX_LAYERS + 1),
    "kernels": SHAPE + LAYER.replace("3", "1000000000"),
    "strides": SHAPE + LAYER + "stride=1000000\n",
    "symbols": 'x_shape=["b","h","w",8]\n' + LAYER * 20,
    "not TOML": "layers = [",
    "not layers": "x_shape=[1,2,3]",
    "not a shape": 'x_shape="conv"\n' + LAYER,
    "a path": 'x_shape="/etc/passwd"\nlayers=["/etc/passwd.toml"]',
    "axes": "x_shape=[" + "9," * 30 + "]\n" + LAYER,
    "deep": "x_shape=" + "[" * 500 + "]" * 500,
    "odd keys": SHAPE + LAYER + '"a b"={x=[1,{y=2}]}\n1=2\n',
    "dates": SHAPE + LAYER + "stride=1979-05-27\n",
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_bounded(server: ExploreServer, name: str) -> None:
    for change in (None, {"insert": 0}, {"row": -1, "text": ""}, {"top": "x_shape = 3"}):
        start = time.process_time()
        answer = ask(server, "/api/chain", toml=NETWORKS[name], change=change)
        assert time.process_time() - start < SECOND
        assert answer["ok"] or answer["error"]
    if "long" in name:
        assert str(MAX_LAYERS) in answer["error"] or "characters" in answer["error"]


def test_a_longest_network_is_planned(server: ExploreServer) -> None:
    start = time.process_time()
    answer = ask(server, "/api/chain", toml=SHAPE + LAYER * MAX_LAYERS)
    assert answer["ok"]
    assert time.process_time() - start < 2 * SECOND  # as much as there can be


@pytest.mark.parametrize("path", ANSWERS)
@pytest.mark.parametrize("value", [None, 3, [], {}, "op=eval", "x=1,8,8&w=__import__", "%00", "&&"])
def test_odd_requests_are_answered(server: ExploreServer, path: str, value: Any) -> None:
    fields = ("address", "toml", "change", "at", "input", "output", "kernel", "transposed")
    ask(server, path, **dict.fromkeys(fields, value))
    for field in ("row", "insert", "remove", "move", "top", "field", "axis"):
        ask(server, path, change={field: value, "text": value, "value": value})


def test_a_thousand_requests_at_once(server: ExploreServer) -> None:
    body = json.dumps({"address": "x=1,8,3&w=3,3,8"}).encode()
    head = (
        f"POST /api/diagnose HTTP/1.0\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )

    def one(_: int) -> bool:
        with socket.create_connection(("127.0.0.1", server.port), timeout=120) as wire:
            wire.sendall(head.encode() + body)
            with wire.makefile("rb") as reply:
                return b"nothing is wrong" in reply.read()

    with concurrent.futures.ThreadPoolExecutor(1000) as pool:
        assert all(pool.map(one, range(1000)))


# --- the command --------------------------------------------------------------------------


# Ctrl-C interrupts the child even where the suite runs in the background, which ignores it.
HEED_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "


def test_ctrl_c_ends_it_cleanly() -> None:
    start = HEED_CTRL_C + "import sys; from jconv._cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "explore", "--no-browser", "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.fullmatch(r"jconv explore: http://127\.0\.0\.1:\d+/ \(Ctrl-C ends it\)\n", line)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "\njconv explore: ended\n", "")


def test_a_port_in_use_is_said(server: ExploreServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "--no-browser", "--port", str(server.port)]) == 2
    assert f"port {server.port} is in use" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_what_is_no_port_is_said(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["explore", f"--port={port}"])
    assert "is no port" in capsys.readouterr().err
