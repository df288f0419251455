"""Mock upstreams that cost as little as can be: `whole()` for plain answers, `streaming()` for tokens at a pace.

    python benchmarks/mock_upstream.py --gap 0.02 --tokens 100

`whole()` is an nginx that returns one fixed chat completion. `streaming()` is a small server on uvloop that sends
streamed chat completions one token per gap, the first at once; it answers plain requests and GET /v1/models too. A
request whose text says "in 25 tokens" gets so many. Each token's text is the moment it was sent at,
`~0000012345678901234~` in nanoseconds of time.perf_counter_ns(), a clock that all processes of one machine share:
so a client knows exactly how long a token was on its way.

All streams hang on one timer that ticks every millisecond; a timer for each would cost more than the sending.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import uvloop

from benchmarks.systems import Command, free_port, process

STAMP = re.compile(rb"~(\d{19})~")
"""A token's text: when it was sent."""

_TICK_S = 0.001
_READY_WITHIN_S = 10.0
_BACKLOG = 4096


@contextmanager
def whole() -> Iterator[str]:
    """The URL (without a path) of an nginx with one worker that gives the same whole answer to every request."""
    with tempfile.TemporaryDirectory(prefix="bench-mock-") as name:
        folder, port = Path(name), free_port()
        config = folder / "nginx.conf"
        config.write_text(_NGINX.format(folder=folder, port=port, whole=_WHOLE, models=_MODELS), encoding="utf-8")
        with _answering(Command(["nginx", "-e", f"{folder}/log", "-c", str(config)]), folder, port) as url:
            yield url


@contextmanager
def streaming(gap_s: float, tokens: int, processes: int = 1) -> Iterator[str]:
    """The URL (without a path) of this file's server: `tokens` tokens, one every `gap_s` seconds (whole ms)."""
    with tempfile.TemporaryDirectory(prefix="bench-mock-") as name:
        folder, port = Path(name), free_port()
        options = f"--port {port} --gap {gap_s} --tokens {tokens} --processes {processes}"
        with _answering(Command([sys.executable, __file__, *options.split()]), folder, port) as url:
            yield url


@contextmanager
def _answering(command: Command, folder: Path, port: int) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    until = time.perf_counter() + _READY_WITHIN_S
    with process(command, folder) as started:
        while started.poll() is None and time.perf_counter() < until:
            with suppress(OSError), urllib.request.urlopen(f"{url}/v1/models", timeout=1):
                yield url
                return
            time.sleep(0.01)
        raise RuntimeError(
            f"the mock upstream did not start: {(folder / 'log').read_text(errors='replace')[-2000:]}"
        )


# --- what it says --------------------------------------------------------------------------------------


def _completion(kind: str, choices: list[dict[str, Any]], tokens: int | None = None) -> str:
    answer: dict[str, Any] = {"id": "chatcmpl-mock", "object": kind, "created": 1767225600, "model": "mock"}
    answer |= {"choices": choices}
    if tokens is not None:
        answer["usage"] = {"prompt_tokens": 24, "completion_tokens": tokens, "total_tokens": 24 + tokens}
    return json.dumps(answer, separators=(",", ":"))


_MODELS = json.dumps({"object": "list", "data": [{"id": "mock", "object": "model", "owned_by": "mock"}]})
_WHOLE = _completion(
    "chat.completion",
    [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "We roast on Tuesdays and send on Wednesdays."},
            "finish_reason": "stop",
        }
    ],
    tokens=12,
)


def chat_completion() -> bytes:
    """The whole answer."""
    return _WHOLE.encode()


def chat_chunk(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    """One chunk of a streamed answer."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return dict(json.loads(_completion("chat.completion.chunk", [choice])))


def _event(payload: str) -> bytes:
    """One server-sent event in a chunk of its own."""
    data = f"data: {payload}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def _delta_event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    return _event(json.dumps(chat_chunk(delta, finish_reason), separators=(",", ":")))


_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_ROLE = _delta_event({"role": "assistant", "content": ""})
_BEFORE_STAMP, _AFTER_STAMP = _delta_event({"content": f"~{0:019}~"}).split(b"%019d" % 0)
_FINISH = _delta_event({}, "stop")
_END = _event("[DONE]") + b"0\r\n\r\n"


def _token() -> bytes:
    return b"%s%019d%s" % (_BEFORE_STAMP, time.perf_counter_ns(), _AFTER_STAMP)


def _plain(body: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


_NGINX = """\
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 100000000; default_type application/json; client_body_buffer_size 1m;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 '{whole}'; }}
    location = /v1/models {{ return 200 '{models}'; }}
  }}
}}
"""


# --- the streaming server ------------------------------------------------------------------------------

_CONTENT_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_STREAM = re.compile(rb'"stream" ?: ?true')
_WANTED = re.compile(rb"in (\d+) tokens")


class Wheel:
    """The one timer: a slot for each millisecond of a gap, and in it the streams that are due then."""

    def __init__(self, gap_s: float) -> None:
        self._slots: list[list[Stream]] = [[] for _ in range(max(1, round(gap_s / _TICK_S)))]
        self._next = 0
        self._due = time.perf_counter()

    def add(self, stream: Stream) -> None:
        """Its next token is due a gap from now."""
        self._slots[self._next - 1].append(stream)

    def turn(self) -> None:
        """Every slot whose time has come; after a hold-up, those that were missed too."""
        now = time.perf_counter()
        while self._due <= now:
            self._slots[self._next] = [stream for stream in self._slots[self._next] if stream.send()]
            self._next = (self._next + 1) % len(self._slots)
            self._due += _TICK_S
        asyncio.get_running_loop().call_later(_TICK_S, self.turn)


class Stream:
    """One answer that is being sent."""

    __slots__ = ("_ending", "_left", "_transport")

    def __init__(self, transport: asyncio.WriteTransport, tokens: int, *, usage: bool) -> None:
        self._transport = transport
        self._left = tokens
        reported = _event(_completion("chat.completion.chunk", [], tokens)) if usage else b""
        self._ending = _FINISH + reported + _END

    def begin(self) -> None:
        self._left -= 1
        self._transport.write(_STREAM_HEAD + _ROLE + _token())

    def send(self) -> bool:
        """The next token, or the end; whether there is more to come."""
        if self._transport.is_closing():
            return False
        self._left -= 1
        self._transport.write(_token() if self._left >= 0 else self._ending)
        return self._left >= 0


class Connection(asyncio.Protocol):
    """HTTP/1.1 with Content-Length, one request after the other."""

    def __init__(self, wheel: Wheel, tokens: int) -> None:
        self._wheel = wheel
        self._tokens = tokens
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(head)
        if len(self._received) < len(head) + 4 + (int(length[1]) if length else 0):
            return
        self._received = b""
        if head.startswith(b"GET"):
            self._transport.write(_plain(_MODELS))
        elif not _STREAM.search(body):
            self._transport.write(_plain(_WHOLE))
        else:
            wanted = _WANTED.search(body)
            stream = Stream(
                self._transport, int(wanted[1]) if wanted else self._tokens, usage=b'"include_usage"' in body
            )
            stream.begin()
            self._wheel.add(stream)


async def _serve(listening: socket.socket, gap_s: float, tokens: int) -> None:
    wheel = Wheel(gap_s)
    wheel.turn()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(wheel, tokens), sock=listening, backlog=_BACKLOG)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="%(prog)s [options]"
    )
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--gap", type=float, default=0.02, help="seconds between two tokens")
    parser.add_argument("--tokens", type=int, default=100, help="of each streamed answer")
    parser.add_argument("--processes", type=int, default=1, help="that share the port")
    options = parser.parse_args()
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    listening = socket.create_server(("127.0.0.1", options.port), backlog=_BACKLOG)
    print(f"The mock upstream is at http://127.0.0.1:{listening.getsockname()[1]}/v1", flush=True)
    for _ in range(options.processes - 1):
        if os.fork() == 0:
            break
    with suppress(KeyboardInterrupt):
        uvloop.run(_serve(listening, options.gap, options.tokens))


if __name__ == "__main__":
    main()
