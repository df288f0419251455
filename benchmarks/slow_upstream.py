"""An upstream that takes its time, to see how many requests are let in at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class SlowUpstream(ThreadingHTTPServer):
    """Answers after `pause_s`, and counts how many it answers at a time; `most` is the most so far."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, pause_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pause_s = pause_s
        self.lock = threading.Lock()
        self.now = self.most = 0

    @property
    def url(self) -> str:
        """Its origin, without a path."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SlowUpstream
    ANSWER = json.dumps(
        {
            "id": "chatcmpl-slow",
            "object": "chat.completion",
            "created": 1767225600,
            "model": "mock",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 24, "completion_tokens": 1, "total_tokens": 25},
        }
    ).encode()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        time.sleep(self.server.pause_s)
        with self.server.lock:
            self.server.now -= 1
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(self.ANSWER)))
        self.end_headers()
        self.wfile.write(self.ANSWER)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nothing."""


@contextmanager
def slow_upstream(pause_s: float = 0.2) -> Iterator[SlowUpstream]:
    with SlowUpstream(pause_s) as upstream:
        serving = threading.Thread(target=upstream.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield upstream
        finally:
            upstream.shutdown()
            serving.join()
