"""Two kinds of load on one URL: a closed loop, where each connection waits for its answer, and an open one.

The closed loop is wrk with one thread; it finds the most requests per second. The open loop sends at fixed times,
whatever is still unanswered, and counts each latency from the moment that the request was due: a system that stalls
is charged for all who would have come meanwhile. It runs on select() and not on asyncio, whose timers tick in whole
milliseconds, many times what is measured here.

A body that holds MARK is made unique with each request; any other is sent as it is.
"""

from __future__ import annotations

import json
import re
import secrets
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MARK = "0unique0mark0of0each0request0000"

_PATIENCE_S = 30
_MOST_CONNECTIONS = 512
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(frozen=True)
class Load:
    """What one run saw: answers with status 200 per second, and how long they took. Times in milliseconds."""

    rps: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    requests: int
    errors: int


def quantile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank; 0 where there is nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


# --- closed loop ---------------------------------------------------------------------------------------

# The mark is as long as what takes its place, so that Content-Length stays.
_LUA = """\
local before, nonce, after, count = {before}, "{nonce}", {after}, 0
request = function()
  count = count + 1
  return before .. nonce .. string.format("%016x", count) .. after
end
"""
_LUA_SAME = "request = function() return {before} end\n"
_LUA_DONE = """\
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('\\n{{"us":%d,"requests":%d,"failed":%d,"broken":%d,"p50":%f,"p99":%f,"p999":%f}}\\n',
    summary.duration, summary.requests, errors.status + 0,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


def closed(url: str, headers: Mapping[str, str], body: bytes, *, connections: int, seconds: float) -> Load:
    """wrk with `connections` connections, each with one request at a time."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as script:
        script.write(_script(_request(url, headers, body)))
        script.flush()
        command = (
            f"wrk -t1 -c{connections} -d{max(1, round(seconds))}s --timeout {_PATIENCE_S}s -s {script.name} {url}"
        )
        output = subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout
    return summed(output)


def summed(output: str) -> Load:
    """wrk's output, the last line of which is written by our script."""
    said = json.loads(output.strip().splitlines()[-1])
    served = said["requests"] - said["failed"]
    return Load(
        rps=served / said["us"] * 1e6,
        p50_ms=said["p50"] / 1e3,
        p99_ms=said["p99"] / 1e3,
        p999_ms=said["p999"] / 1e3,
        requests=said["requests"],
        errors=said["failed"] + said["broken"],
    )


def _script(request: bytes) -> str:
    before, _, after = request.decode().partition(MARK)
    made = _LUA if MARK.encode() in request else _LUA_SAME
    nonce = secrets.token_hex((len(MARK) - 16) // 2)
    return made.format(before=_lua(before), nonce=nonce, after=_lua(after)) + _LUA_DONE.format()


def _lua(text: str) -> str:
    """A Lua string: every byte by its number, so that nothing needs escaping."""
    return '"' + "".join(f"\\{byte:03d}" for byte in text.encode()) + '"'


def _request(url: str, headers: Mapping[str, str], body: bytes) -> bytes:
    parts = urlsplit(url)
    head = {"host": parts.netloc, "content-length": str(len(body)), **headers}
    lines = [f"POST {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


# --- open loop -----------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Connection:
    """One keep-alive connection. `due` is when its request was to be sent."""

    socket: socket.socket
    due: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self.received.clear()
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """The status once the answer is whole, 0 if the connection ended before."""
        try:
            chunk = self.socket.recv(65536)
        except OSError:
            return 0
        self.received += chunk
        if not chunk:
            return 0
        return int(self.received[9:12]) if whole(self.received) else None


def whole(received: bytes | bytearray) -> bool:
    """Whether this is a complete HTTP/1.1 answer, with a length or in chunks."""
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return False
    if length := _LENGTH.search(head):
        return len(body) >= int(length[1])
    return body.endswith(b"0\r\n\r\n")


class _OpenLoop:
    """Sends when a request is due, on any idle connection or a new one; waits where there are too many."""

    def __init__(self, url: str, request: bytes) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._request = request
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self.latencies: list[float] = []
        self.errors = 0

    def run(self, rate: float, seconds: float) -> float:
        """Seconds that it took, from the first request to the last answer."""
        count = max(1, round(rate * seconds))
        began = time.perf_counter()
        for index in range(count):
            due = began + index / rate
            while (now := time.perf_counter()) < due or len(self._busy) >= _MOST_CONNECTIONS:
                self._collect(max(0.0, due - now) or 0.001)
            self._send(due)
        until = time.perf_counter() + _PATIENCE_S
        while self._busy and time.perf_counter() < until:
            self._collect(0.1)
        took = time.perf_counter() - began
        self.errors += len(self._busy)
        for connection in (*self._idle, *self._busy):
            connection.socket.close()
        return took

    def _send(self, due: float) -> None:
        unique = secrets.token_hex(len(MARK) // 2).encode()
        try:
            connection = self._idle.pop() if self._idle else self._connect()
            connection.send(self._request.replace(MARK.encode(), unique), due)
        except OSError:
            self.errors += 1
        else:
            self._busy.add(connection)

    def _connect(self) -> _Connection:
        made = socket.create_connection(self._address, timeout=_PATIENCE_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Connection(made)

    def _collect(self, patience: float) -> None:
        readable, _, _ = select.select(self._busy, (), (), patience)
        for connection in readable:
            status = connection.receive()
            if status is None:
                continue
            self._busy.remove(connection)
            if status == 0:
                connection.socket.close()
            else:
                self._idle.append(connection)
            if status == 200:
                self.latencies.append(time.perf_counter() - connection.due)
            else:
                self.errors += 1


def opened(url: str, headers: Mapping[str, str], body: bytes, *, rate: float, seconds: float) -> Load:
    """`rate` requests per second, evenly spaced."""
    loop = _OpenLoop(url, _request(url, headers, body))
    took = loop.run(rate, seconds)
    ordered = sorted(latency * 1000 for latency in loop.latencies)
    return Load(
        rps=len(ordered) / took,
        p50_ms=quantile(ordered, 0.50),
        p99_ms=quantile(ordered, 0.99),
        p999_ms=quantile(ordered, 0.999),
        requests=len(ordered) + loop.errors,
        errors=loop.errors,
    )
