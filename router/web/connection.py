"""One client's HTTP/1.1 connection: the server's side of ASGI, over llhttp.

A server for everybody's needs costs more than all that Weir does for a cached answer, so this one is for Weir's.
Its non-obvious decisions: requests that a client sends ahead are answered one after the other, and there are no
timers, as the server looks over all connections once a second.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools

from contracts.errors import InvalidRequest
from router.web.asgi import App, Scope
from router.web.turn import MOST_UNREAD_BYTES, Turn, closing_error

if TYPE_CHECKING:
    from collections.abc import MutableSet

IDLE_S = 75.0
"""How long a connection may lie idle: longer than clients keep theirs, so that none is closed as it is used."""
UNFINISHED_S = 60.0
"""How long a request that has begun may stay silent."""
LINGER_S = 2.0
"""How long the rest of a request that was refused is read: closed at once, a client might never see the refusal."""

_MOST_HEAD_BYTES = 256 * 1024
_OFFER = re.compile(rb"(?i)\r\nupgrade:")
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Connection(asyncio.Protocol):
    """One of `connections` while it is open; its turns are among `turns` while they are answered."""

    def __init__(self, app: App, connections: MutableSet[Connection], turns: MutableSet[Turn]) -> None:
        self.app = app
        self.turns = turns
        self.loop = asyncio.get_running_loop()
        self.transport = cast(asyncio.Transport, None)
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._turn: Turn | None = None
        """The one that is being read, or was read last."""
        self._ahead: deque[Turn] = deque()
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._continue = False
        self._reading = False
        self._head_bytes = 0
        self._heard_at = 0.0
        self._lingers_until = 0.0
        self._drained: asyncio.Future[None] | None = None

    # --- asyncio's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._server, self._client = _address(transport, "sockname"), _address(transport, "peername")
        self._connections.add(self)
        self._heard_at = self.loop.time()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        if b"pgrade:" in data or b"PGRADE:" in data:
            # A client may offer another protocol (Java's offers h2c with its first request), which a server may
            # pass over (RFC 9110, 7.8). httptools would pass over the body too. No JSON is changed by this: text
            # in it holds no line breaks.
            data = _OFFER.sub(b"\r\nx-upgrade:", data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # CONNECT, which is answered like any other method
            self._stop_reading()
        except httptools.HttpParserError:
            self._refuse("This is not valid HTTP.")
        else:
            if self._reading and self._head_bytes:
                self._head_bytes += len(data)
                if self._head_bytes > _MOST_HEAD_BYTES:
                    self._refuse("The request's headers are too large.")

    def pause_writing(self) -> None:
        self._drained = self.loop.create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        for turn in (self._turn, *self._ahead):
            if turn is not None:
                turn.lose()
        self._ahead.clear()
        self._turn = None
        self.resume_writing()
        del self._parser  # which holds this object, as this object holds it

    # --- httptools' callbacks

    def on_message_begin(self) -> None:
        self._url, self._headers = b"", []
        self._reading, self._head_bytes, self._continue = True, 1, False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._headers.append((name, value))
        if name == b"expect":
            self._continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        version = self._parser.get_http_version()
        path, query = _target(self._url)
        scope: Scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": self._parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": path,
            "raw_path": self._url.partition(b"?")[0],
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "server": self._server,
            "client": self._client,
        }
        keep_alive = version == "1.1" and self._parser.should_keep_alive()
        before = self._turn
        self._turn = Turn(self, scope, keep_alive=keep_alive, awaits_continue=self._continue)
        if before is None or before.complete:
            self._turn.begin()
        else:
            self._ahead.append(self._turn)
            self.transport.pause_reading()

    def on_body(self, body: bytes) -> None:
        if self._turn is not None and self._turn.feed(body) > MOST_UNREAD_BYTES:
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        self._reading = False
        if self._lingers_until:
            self.transport.close()
        elif self._turn is not None:
            self._turn.feed_end()

    # --- for turns and the server

    @property
    def drained(self) -> asyncio.Future[None] | None:
        """To be waited for before more is written; None where the client keeps up."""
        return self._drained

    def resume_reading(self) -> None:
        """What was read so far has been taken. Requests sent ahead wait for theirs to be answered."""
        if not self._ahead and not self.transport.is_closing():
            self.transport.resume_reading()

    def answered(self, turn: Turn) -> None:
        """`turn` is complete: on with the next one, if there is to be one."""
        if not turn.keep_alive:
            self._close()
        elif self._ahead:
            self._ahead.popleft().begin()
            self.resume_reading()
        else:
            self._heard_at = self.loop.time()

    def end(self) -> None:
        """Close as soon as what was asked is answered."""
        turn = self._turn
        if turn is None or turn.complete:
            self._close()
        else:
            turn.keep_alive = False

    def look_over(self, now: float) -> None:
        """Close if nobody has asked anything for long, or somebody stopped in the middle of a request."""
        silent_s = now - self._heard_at
        busy = self._turn is not None and not self._turn.complete
        if self._lingers_until:
            over = now > self._lingers_until
        elif self._reading:
            over = silent_s > UNFINISHED_S
        else:
            over = silent_s > IDLE_S and not busy
        if over:
            self.transport.close()

    def _close(self) -> None:
        """For good, once all is written; what is left of a request is read first, and dropped."""
        if not self._reading:
            self.transport.close()
        elif not self._lingers_until and not self.transport.is_closing():
            self._lingers_until = self.loop.time() + LINGER_S
            self.transport.write_eof()
            self.transport.resume_reading()

    def _refuse(self, why: str) -> None:
        """What came is no HTTP. That is no matter of the request that is being answered, unless it is its body."""
        in_body, self._reading = self._reading and not self._head_bytes, False
        turn = self._turn
        if self._lingers_until:
            self.transport.close()
        elif turn is None or turn.complete or in_body:
            if turn is None or not turn.started or not in_body:
                self.transport.write(closing_error(400, InvalidRequest(why)))
            self.transport.close()
        else:
            self._stop_reading()

    def _stop_reading(self) -> None:
        """What comes after the request that is being answered is not for Weir."""
        self.transport.pause_reading()
        self.end()


def _target(url: bytes) -> tuple[str, bytes]:
    """Path and query of a request's target, also where it names the whole URL (RFC 9112, 3.2.2)."""
    if not url.startswith(b"/") or b"#" in url:
        try:
            parsed = httptools.parse_url(url)
        except httptools.HttpParserInvalidURLError:
            return url.decode("latin-1"), b""
        path, query = parsed.path or b"/", parsed.query or b""
    else:
        path, _, query = url.partition(b"?")
    text = path.decode("latin-1")
    return unquote(text) if "%" in text else text, query


def _address(transport: asyncio.BaseTransport, name: str) -> tuple[str, int] | None:
    address: Any = transport.get_extra_info(name)
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else None
