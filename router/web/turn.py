"""One request and its answer on a connection: `scope`, `receive` and `send` of ASGI.

https://asgi.readthedocs.io/en/latest/specs/www.html. The non-obvious decision: the head of an answer waits for the
first of its body, and both leave in one write.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson

from router.web import errors
from router.web.asgi import JSON, Message, Scope

if TYPE_CHECKING:
    from router.web.connection import Connection

log = logging.getLogger("weir.web")

MOST_UNREAD_BYTES = 64 * 1024
"""Of a request's body; then the client has to wait."""

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Turn:
    """Begun by its connection, which then feeds it the request's body; over once it is `complete` or lost."""

    __slots__ = (
        "_body",
        "_body_read",
        "_chunked",
        "_connection",
        "_continue",
        "_head",
        "_left",
        "_lost",
        "_more",
        "_scope",
        "_unread",
        "_waiter",
        "complete",
        "keep_alive",
        "task",
    )

    def __init__(
        self, connection: Connection, scope: Scope, *, keep_alive: bool, awaits_continue: bool = False
    ) -> None:
        self._connection = connection
        self._scope = scope
        self.keep_alive = keep_alive
        self.complete = False
        self.task: asyncio.Task[None] | None = None
        self._body: list[bytes] = []
        self._unread = 0
        self._more = True
        self._body_read = False
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._continue = awaits_continue
        self._head: bytes | None = None
        """The answer's, until it is sent; empty from then on."""
        self._chunked = False
        self._left: int | None = None
        """Bytes of the body that were announced and are still to come."""

    # --- for the connection

    @property
    def started(self) -> bool:
        """Whether any of the answer was sent."""
        return self._head == b""

    def begin(self) -> None:
        connection = self._connection
        connection.turns.add(self)
        self.task = connection.loop.create_task(self._run())

    def feed(self, body: bytes) -> int:
        """Take in a part of the request's body. How many bytes wait to be read."""
        if self.complete:
            return 0
        self._body.append(body)
        self._unread += len(body)
        self._wake()
        return self._unread

    def feed_end(self) -> None:
        self._more = False
        self._wake()

    def lose(self) -> None:
        """The client has left."""
        self._lost = True
        self._wake()

    # --- ASGI

    async def receive(self) -> Message:
        if not self._body_read:
            if self._continue:
                self._continue = False
                if self._more and not self._body:
                    self._connection.transport.write(_CONTINUE)
            while self._more and not self._body and not self._lost:
                await self._wait()
            if not self._lost:
                return self._take_body()
        while not self._lost and not self.complete:
            await self._wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._lost:
            return
        if message["type"] == "http.response.start":
            self._head = self._start(message["status"], message["headers"])
            return
        if self._head is None or self.complete:
            raise RuntimeError(f"{message['type']} was sent before the start of an answer, or after its end")
        body, more = message.get("body", b""), message.get("more_body", False)
        data = self._framed(body, more)
        if data:
            connection = self._connection
            connection.transport.write(data)
            self._head = b""
            if connection.drained is not None and not self._lost:
                await asyncio.shield(connection.drained)
        if not more:
            self._finish()

    # --- inside

    async def _run(self) -> None:
        try:
            await self._connection.app(self._scope, self.receive, self.send)
        except Exception as error:
            log.exception("%s %s failed", self._scope["method"], self._scope["path"])
            if not self.started and not self._lost:
                self._connection.transport.write(closing_error(500, error))
        finally:
            self._connection.turns.discard(self)
            if not self.complete:  # nothing more will come: the client must not wait for it
                self._connection.transport.close()

    def _take_body(self) -> Message:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        if self._unread > MOST_UNREAD_BYTES:
            self._connection.resume_reading()
        self._unread = 0
        self._body_read = not self._more
        return {"type": "http.request", "body": body, "more_body": self._more}

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The answer's head. Raises ValueError where a header would end it early."""
        length: int | None = None
        parts = [_STATUS_LINES[status]]
        for name, value in headers:
            if name == b"connection":
                self.keep_alive = self.keep_alive and value != b"close"
                continue
            if name == b"content-length":
                length = int(value)
            parts += (name, b": ", value, b"\r\n")
        if self._more:  # a body that was not waited for is not read either
            self.keep_alive = False
        self._left = 0 if status in (204, 304) or self._scope["method"] == "HEAD" else length
        if self._left is None:
            self._chunked = self._scope["http_version"] == "1.1"
            if self._chunked:
                parts += (b"transfer-encoding", b": ", b"chunked", b"\r\n")
            else:
                self.keep_alive = False  # its end is the connection's
        if not self.keep_alive:
            parts += (b"connection", b": ", b"close", b"\r\n")
        parts.append(b"\r\n")
        head = b"".join(parts)
        lines = len(parts) // 4 + 2
        if head.count(b"\n") != lines or head.count(b"\r") != lines:
            raise ValueError("a header of the answer holds a line break")
        return head

    def _framed(self, body: bytes, more: bool) -> bytes:
        """What to write, with the head where that is still to be sent. Raises ValueError beyond its length."""
        head = self._head or b""
        if self._chunked:
            if not body:
                return head if more else head + b"0\r\n\r\n"
            return b"%b%x\r\n%b%b" % (head, len(body), body, b"\r\n" if more else b"\r\n0\r\n\r\n")
        if self._left is not None:
            if self._scope["method"] == "HEAD":
                return head
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise ValueError("the answer's body is not as long as its head says")
        return head + body

    def _finish(self) -> None:
        self.complete = True
        self._wake()
        self._connection.answered(self)

    async def _wait(self) -> None:
        self._waiter = self._connection.loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def closing_error(status: int, error: Exception) -> bytes:
    body = orjson.dumps(errors.body_of(error))
    head = b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (JSON, len(body))
    return _STATUS_LINES[status] + head + body
