"""How long the page of `jconv explore` waits for its server, in milliseconds for each answer.

    python benchmarks/explore_answers.py

Each answer is asked for many times over HTTP, so that the time includes reading the request,
planning, drawing and writing JSON. The bound is 50 ms of processor time for the median, which
other programs on the machine do not change; the time on the clock stands beside it. The exit
status is 1 where an answer takes longer.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import threading
import time
from typing import Any

from jconv._explore.server import ExploreServer

BOUND = 50.0  # ms; an answer that comes sooner is felt as immediate
TIMES = 40
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "plan, the example": ("/api/plan", {"address": ""}),
    "plan, a network's first layer": (
        "/api/plan",
        {"address": "x=8,224,224,3&w=7,7,3,64&stride=2"},
    ),
    "plan, transposed": ("/api/plan", {"address": "op=conv_transpose&x=8,56,56,64&w=4,4,32,64"
                                                  "&stride=2"}),
    "plan, three axes": ("/api/plan", {"address": "x=1,32,64,64,16&w=3,3,3,16,32"}),
    "plan, symbols": ("/api/plan", {"address": "x=b,h,w,3&w=3,3,3,8&stride=2"}),
    "plan, a change": (
        "/api/plan",
        {"address": "", "change": {"field": "stride", "axis": 0, "value": "3"}},
    ),
    "diagnose, right": ("/api/diagnose", {"address": ""}),
    "diagnose, wrong": ("/api/diagnose", {"address": "x=1,3,32,32&w=3,3,3,8"}),
    "solve": ("/api/solve", {"input": "224, 200", "output": "112, 100"}),
    "chain, the example": ("/api/chain", {}),
}  # fmt: skip


def milliseconds(server: ExploreServer, path: str, request: dict[str, Any]) -> tuple[float, float]:
    """The processor's time and the clock's for one answer, client included."""
    start, clock = time.process_time(), time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    body = json.dumps(request).encode()
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    connection.close()
    if reply.status != 200 or "ok" not in answer:
        raise RuntimeError(f"{path} answered {reply.status}")
    return 1e3 * (time.process_time() - start), 1e3 * (time.perf_counter() - clock)


def main() -> int:
    slow = 0
    with ExploreServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"{'milliseconds':32}{'first':>8}{'median':>8}{'slowest':>9}{'clock':>8}")
        for name, (path, request) in REQUESTS.items():
            found = [milliseconds(server, path, request) for _ in range(TIMES + 1)]
            times, clocks = zip(*found[1:], strict=True)
            middle = statistics.median(times)
            slow += middle > BOUND
            print(f"{name:32}{found[0][0]:8.1f}{middle:8.1f}{max(times):9.1f}", end="")
            print(f"{statistics.median(clocks):8.1f}")
        server.shutdown()
    print(f"\nevery median is below {BOUND:.0f} ms" if not slow else f"\n{slow} above {BOUND:.0f}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
