"""A hosted model on this machine that keeps each request as it came, and answers as the scripted ones do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson

from contracts.sse import DONE, event
from router.upstreams.scripted_answers import reply
from router.upstreams.scripted_behaviours import script
from router.upstreams.scripted_knowledge import Knowledge
from router.upstreams.scripted_shapes import chunks, whole


class RecordingUpstream(ThreadingHTTPServer):
    """`bodies` are the requests so far. While `gate` is clear, streams stand still in the middle."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, knowledge: Knowledge) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.knowledge = knowledge
        self.bodies: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RecordingUpstream

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(content)
        body = orjson.loads(content)
        said = reply(script(body["model"]), body, self.server.knowledge)
        self.send_response(200)
        if not body.get("stream"):
            answer = orjson.dumps(whole(said, chat=True))
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            return
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        events = [event(orjson.dumps(chunk)) for chunk in chunks(said, chat=True)]
        half = len(events) // 2
        self.wfile.write(b"".join(events[:half]))
        self.server.gate.wait()
        self.wfile.write(b"".join(events[half:]) + event(DONE))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nothing."""


@contextmanager
def recording_upstream(knowledge: Knowledge | None = None) -> Iterator[RecordingUpstream]:
    with RecordingUpstream(knowledge or Knowledge(())) as upstream:
        serving = threading.Thread(target=upstream.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield upstream
        finally:
            upstream.gate.set()
            upstream.shutdown()
            serving.join()
