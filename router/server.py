"""Runs the application under uvicorn, and says where it is once it listens."""

from __future__ import annotations

import asyncio
import gc
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from router.web.asgi import WRITE_WHOLE

_BACKLOG = 2048
_MOST_HEAD_BYTES = 256 * 1024
_OFFER = re.compile(rb"(?i)\r\nupgrade:")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine only. A name, localhost apart, may stand for any address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 picks a free one. Raises OSError with advice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise OSError(f"{host}:{port} cannot be had: {reason}. Choose others with --host and --port.") from error


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with two gaps closed and a shorter way for whole answers.

    - A client may offer another protocol (Java's offers h2c with its first request), and a server may pass over
      that (RFC 9110, 7.8). httptools would pass over the body too, so the offer is renamed before it is parsed. No
      JSON is changed by this: text in it holds no line breaks.
    - A request's head is not kept without end.
    - ASGI sends head and body in two messages, each of which uvicorn checks and writes by itself. An endpoint that
      has both at once may hand them over together (`WRITE_WHOLE`, see `router.web.asgi`).
    """

    _head_bytes = 0
    _in_head = False

    def data_received(self, data: bytes) -> None:
        super().data_received(_OFFER.sub(b"\r\nx-upgrade:", data))
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's headers are too large.")

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
        self.scope["extensions"] = {WRITE_WHOLE: partial(_write_whole, self.cycle)}  # type: ignore[dict-item]


def _write_whole(cycle: RequestResponseCycle, head: bytes, body: bytes) -> bool:
    """Send `head`, which lacks its empty line, and `body`. False where the client reads too slowly to send now."""
    if cycle.disconnected:
        return True
    if cycle.flow.write_paused:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write(b"%b%b%b" % (head, b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n", body))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


class Server(uvicorn.Server):
    """uvicorn, with signals of its own: SIGTERM and SIGINT end it in good order, SIGHUP means reload.

    `listening` is told the URL once requests are taken, `closing` that no more will be.
    """

    def __init__(
        self,
        app: Any,
        *,
        host: str,
        shutdown_s: float,
        listening: Callable[[str], None],
        reload: Callable[[], None],
        closing: Callable[[], None],
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                http=HttpProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=max(1, round(shutdown_s)),
            )
        )
        self._listening = listening
        self._reload = reload
        self._closing = closing

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own would raise the signal again at the end, before the ledger is closed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.should_exit or not self.servers:
            return
        gc.collect()
        gc.freeze()  # what a server is made of stays for good: no collection needs to walk through it again
        port = self.servers[0].sockets[0].getsockname()[1]
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        self._listening(f"http://{host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing()
        await super().shutdown(sockets)
