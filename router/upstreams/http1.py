"""One connection that speaks HTTP/1.1 as a client: an asyncio.Protocol over llhttp, no task and no timer per call.

It carries one exchange at a time and is its own answer, since an object for each would cost as much as parsing it.
Whoever waits on it does so until `due`. The timer for that is not moved when `due` is: it rings, looks, and is set
again only while somebody still waits, so that a stream of a thousand events needs one timer and not a thousand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

_READ_AHEAD = 256 * 1024
"""Bytes received and not yet read, above which the server has to wait."""
_BARREN = 64 * 1024
"""Bytes received in a row without any of a body among them: headers, trailers, framing."""
_LARGE = 1024 * 1024
"""One write of more would hold up the loop."""
_PIECE = 256 * 1024
_TICK_S = 0.001
"""uvloop's timers count in whole milliseconds, so one may ring this much early."""


class NotConnected(OSError):
    """No connection was made, so nothing was sent."""


class NotSecure(NotConnected):
    """TLS could not be agreed on, or the certificate was not accepted."""


class NotHTTP(Exception):
    """The server sent something that is no HTTP/1.1 answer."""


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """A request's head without its last, empty line. The caller vouches that no line breaks are in it."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), ""]
    return "\r\n".join(lines).encode()


class Connection(asyncio.Protocol):
    """`status` (0 until the headers are in), `fields` and `read()` are of the answer under way, or of the last.

    `lost` is called once, when its socket is no more.
    """

    __slots__ = (
        "_ahead",
        "_chunks",
        "_fault",
        "_held_back",
        "_keep_alive",
        "_loop",
        "_lost",
        "_parser",
        "_rings_at",
        "_timer",
        "_transport",
        "_unsent",
        "_waiter",
        "_write_paused",
        "alive",
        "began",
        "complete",
        "due",
        "fields",
        "idle_since",
        "on_body",
        "status",
    )

    def __init__(self, lost: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost = lost
        self._chunks: list[bytes] = []
        self.on_body = self._chunks.append  # what the parser calls: a method around it would double its cost
        self._ahead = 0
        self._fault: Exception | None = None
        self._held_back = self._write_paused = self._unsent = self._keep_alive = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self.fields: dict[bytes, bytes] = {}
        """The answer's headers by their names in lower case; those that came twice are joined with commas."""
        self.status = 0
        self.due = 0.0
        self.idle_since = 0.0
        self.alive = False
        self.began = False
        """Whether any of the answer's body has been read."""
        self.complete = True
        """Whether all of the answer has come, read or not. So it is where nothing was asked."""
        self._parser = HttpResponseParser(self)
        # What other clients let pass too: a proxy that fails where they work is no use to anybody.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    @property
    def reusable(self) -> bool:
        return self.complete and self._keep_alive and self.alive and not self._unsent and not self._held_back

    @property
    def headers(self) -> dict[str, str]:
        """`fields` as text, for those who look at more than one."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.fields.items()}

    async def ask(self, request_head: bytes, body: bytes, due: float) -> None:
        """Send a request and wait for its answer's headers. `due` is a moment of the loop's clock.

        Raises TimeoutError when it has passed, NotHTTP, or another OSError where the connection broke.
        """
        if self._fault is not None:
            raise self._fault
        self._chunks.clear()
        self.fields = {}
        self.status = self._ahead = 0
        self.began = self.complete = self._unsent = False
        self.due = due
        if len(body) > _LARGE:
            await self._send_in_pieces(request_head, body)
        else:
            self._transport.write(request_head + body)
        while not self.status:
            if self._fault is not None:
                raise self._fault
            await self._news()

    async def read(self) -> bytes:
        """All of the body that has come since the last read, or b"" at its end. Waits only where there is nothing.

        Raises as `ask` does, once everything that came before was read. Cancelling loses nothing.
        """
        chunks = self._chunks
        while not chunks:
            if self.complete:
                return b""
            if self._fault is not None:
                raise self._fault
            await self._news()
        self._ahead = 0
        self.began = True
        if self._held_back:
            self._held_back = False
            self._transport.resume_reading()
        if len(chunks) == 1:
            return chunks.pop()
        data = b"".join(chunks)
        chunks.clear()
        return data

    def abort(self) -> None:
        """Drop the connection. Who waits on it gets a ConnectionResetError."""
        self._break(ConnectionResetError("The connection was given up."))

    async def _send_in_pieces(self, request_head: bytes, body: bytes) -> None:
        """An early refusal ends it: the server does not want the rest, which spoils the connection for others."""
        self._transport.write(request_head)
        view = memoryview(body)
        self._unsent = True
        for start in range(0, len(body), _PIECE):
            self._transport.write(view[start : start + _PIECE])
            await asyncio.sleep(0)
            while self._write_paused and self.alive and self.status < 300:
                await self._news()
            if not self.alive or self.status >= 300:
                return
        self._unsent = False

    def _news(self) -> asyncio.Future[None]:
        """What to await for anything to have happened. It raises TimeoutError when `due` has passed."""
        if self._timer is None or self._rings_at > self.due:
            self._set_timer()
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = self.due
        self._timer = self._loop.call_at(self.due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self._loop.time() + _TICK_S < self.due:
            self._set_timer()
        else:
            waiter.set_exception(TimeoutError("The server was silent for too long."))

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _break(self, fault: Exception) -> None:
        """No more exchanges here. The one under way fails with `fault`, once what has come was read."""
        if not self.alive:
            return
        self.alive = False
        self._fault = fault
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()
        self._wake()

    def _ends_with_connection(self) -> bool:
        """Whether the body has no other end (RFC 9112, 6.3)."""
        chunked = self.fields.get(b"transfer-encoding", b"").lower().endswith(b"chunked")
        return self.status > 0 and not chunked and b"content-length" not in self.fields

    # --- called by the transport ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.alive = True

    def data_received(self, data: bytes) -> None:
        self._ahead += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._break(NotHTTP(f"{type(error).__name__}: {error}"))
            return
        if self._chunks:
            if self._ahead > _READ_AHEAD and not self.complete and not self._held_back:
                self._held_back = True
                self._transport.pause_reading()
        elif self._ahead > _BARREN and not self.complete:
            self._break(NotHTTP(f"more than {_BARREN} bytes of headers or framing"))
            return
        waiter, self._waiter = self._waiter, None  # _wake(), without the call
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def eof_received(self) -> None:
        if not self.complete and self._ends_with_connection():
            self.complete = True
        self._break(ConnectionResetError("The server closed the connection."))

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(exc or ConnectionResetError("The connection was closed."))
        del self._parser  # which holds on to this object in turn
        self._lost(self)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._wake()

    # --- called by the parser -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            raise NotHTTP("an answer to nothing")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status:
            return  # a trailer
        name = name.lower()
        fields = self.fields
        fields[name] = b"%b, %b" % (fields[name], value) if name in fields else value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 100:
            raise NotHTTP(f"the status {status}")
        if status < 200:
            self.fields.clear()  # only a notice that an answer is to come
        else:
            self.status = status

    def on_message_complete(self) -> None:
        if self.status:
            self._keep_alive = self._parser.should_keep_alive()
            self.complete = True
