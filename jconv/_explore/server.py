"""The server of the page: HTTP on 127.0.0.1 alone, JSON in and out, nothing read from a disk.

The page is read once, from the package. A request is served only if its Host is this server and,
where a browser says who sent it, its Origin too: no other site's page can ask.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.resources
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from jconv._explore.answers import diagnose_answer, plan_answer, solve_answer
from jconv._explore.network import chain_answer

HOST = "127.0.0.1"
MAX_BODY = 64 * 1024  # bytes of a request's body; a longer one is answered with status 413
MAX_READ = 1024 * 1024  # bytes read of a longer one: a client that still sends sees no answer
MAX_HANDLERS = 64  # requests handled at once; others wait in the socket's queue
SECONDS = 10  # seconds that a connection may stay silent
MAX_SECONDS = 20  # seconds until a request has arrived; sent byte by byte it would keep a handler

ANSWERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "/api/plan": plan_answer,
    "/api/diagnose": diagnose_answer,
    "/api/solve": solve_answer,
    "/api/chain": chain_answer,
}


def read_page() -> bytes:
    """The page as it stands in the package."""
    return importlib.resources.files("jconv._explore").joinpath("page.html").read_bytes()


def policy_of(page: bytes, frame_ancestors: str) -> str:
    """The Content-Security-Policy that lets this page run its own script and style and no other."""

    def digest(tag: str) -> str:
        found = re.search(rf"<{tag}>(.*?)</{tag}>", page.decode(), re.DOTALL)
        assert found is not None
        hashed = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        return f"'sha256-{hashed}'"

    return (
        f"default-src 'none'; script-src {digest('script')}; style-src {digest('style')}; "
        "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors {frame_ancestors}"
    )


class ExploreServer(ThreadingHTTPServer):
    """Serves the page on a port of this machine.

    Args:
        port: the port; 0 for any that is free.
        frame_ancestors: who may show the page inside of another, in the words of a
            Content-Security-Policy.

    Raises:
        OSError: where the port is in use.
    """

    daemon_threads = True
    request_queue_size = 1024
    allow_reuse_address = True

    def __init__(self, port: int = 0, *, frame_ancestors: str = "'none'"):
        self.page = read_page()
        self.policy = policy_of(self.page, frame_ancestors)
        # One plan at a time: Python code gains nothing from a second thread.
        self.planning = threading.Lock()
        self.in_hand = threading.BoundedSemaphore(MAX_HANDLERS)
        self.reading: dict[socket.socket, float] = {}  # when each unfinished request began
        super().__init__((HOST, port), Handler)
        self.port: int = self.server_address[1]
        self.hosts = {f"{name}:{self.port}" for name in (HOST, "localhost")}

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"

    def service_actions(self) -> None:
        """End connections whose request takes too long to arrive."""
        late = time.monotonic() - MAX_SECONDS
        for connection, since in list(self.reading.items()):
            if since < late:
                with contextlib.suppress(OSError):  # it may have ended by itself
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        while not self.in_hand.acquire(timeout=0.5):
            self.service_actions()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.in_hand.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.in_hand.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client that goes away in the middle is no error of the server."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: ExploreServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.0"  # one request a connection: an idle one holds no thread
    server_version = "jconv"
    sys_version = ""
    timeout = SECONDS
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = "text/plain; charset=utf-8"
    ALLOWED: ClassVar[str] = "GET, HEAD, POST"

    def setup(self) -> None:
        super().setup()
        self.server.reading[self.connection] = time.monotonic()

    def finish(self) -> None:
        self._has_arrived()
        super().finish()

    def _has_arrived(self) -> None:
        self.server.reading.pop(self.connection, None)

    def do_GET(self) -> None:
        self._has_arrived()
        if not self._is_for_us():
            return
        if self.path.split("?")[0] == "/":
            self._send(200, "text/html; charset=utf-8", self.server.page)
        elif self.path in ANSWERS:
            self._refuse(405, "This address answers POST alone.")
        else:
            self._refuse(404, "There is no such page.")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        body = self._body()
        self._has_arrived()
        if body is None or not self._is_for_us():
            return
        answer = ANSWERS.get(self.path)
        if answer is None:
            self._refuse(404, "There is no such page.")
            return
        if self.headers.get_content_type() != "application/json":
            self._refuse(415, "The body must be application/json.")
            return
        try:
            request = json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            self._refuse(400, "The body is not JSON.")
            return
        if not isinstance(request, dict):
            self._refuse(400, "The body must be a JSON object.")
            return
        try:
            with self.server.planning:
                made = answer(request)
        except Exception as error:
            self._refuse(500, f"jconv explore failed: {type(error).__name__}.")
            raise
        self._send(200, "application/json", json.dumps(made).encode())

    def _not_allowed(self) -> None:
        if self._body() is not None:
            self._refuse(405, "This server answers GET and POST alone.")

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = _not_allowed  # noqa: N815

    def _is_for_us(self) -> bool:
        """Whether the request names this server, and comes from its own page or from no page."""
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            self._refuse(403, "The Host is not this server.")
            return False
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in self.server.hosts}:
            self._refuse(403, "The Origin is not this server's page.")
            return False
        site = self.headers.get("Sec-Fetch-Site", "none")
        if self.command == "POST" and site not in ("same-origin", "none"):
            self._refuse(403, "The request comes from another site.")
            return False
        return True

    def _body(self) -> bytes | None:
        """The body, read to its end; None where it was refused (and the refusal sent)."""
        if self.headers.get("Transfer-Encoding") is not None:
            self._refuse(411, "The body needs a Content-Length.")
            return None
        text = self.headers.get("Content-Length", "0" if self.command != "POST" else "")
        if not re.fullmatch(r"[0-9]{1,18}", text):
            self._refuse(411, "The body needs a Content-Length.")
            return None
        length = int(text)
        if length > MAX_BODY:
            left = min(length, MAX_READ)
            while left > 0:
                chunk = self.rfile.read(min(left, MAX_BODY))
                if not chunk:
                    break
                left -= len(chunk)
            self._refuse(413, f"The body has more than {MAX_BODY} bytes.")
            return None
        body = self.rfile.read(length)
        if len(body) < length:
            self._refuse(400, "The body ended early.")
            return None
        return body

    def _refuse(self, status: int, why: str) -> None:
        more = {"Allow": self.ALLOWED} if status == 405 else {}
        self._send(status, "application/json", json.dumps({"error": why}).encode(), more)

    def _send(
        self, status: int, kind: str, body: bytes, more: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": self.server.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
            **(more or {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing for a request."""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
