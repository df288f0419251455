"""A server on a real socket that sends exactly the bytes it is told to, and breaks exactly when it is told to."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

_PAUSE_S = 0.02
"""Between two pieces, and before a connection is broken: enough for the other side to have read what was sent."""


@dataclass(frozen=True)
class Sends:
    """One answer, piece by piece, and then what becomes of the connection."""

    pieces: tuple[bytes, ...] = ()
    then: Literal["keep", "close", "reset", "hang"] = "keep"
    pause_s: float = _PAUSE_S


@dataclass
class Wire:
    """Answers its requests with `answers` in turn, the last one again and again."""

    answers: list[Sends]
    requests: list[bytes] = field(default_factory=list)
    received: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the first request is in."""
    connections: int = 0
    base_url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._answer(reader, writer):
                    pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        self.requests.append(head + body)
        self.received.set()
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        for index, piece in enumerate(answer.pieces):
            if index:
                await asyncio.sleep(answer.pause_s)
            writer.write(piece)
            await writer.drain()
        if answer.then == "hang":
            await asyncio.Event().wait()
        if answer.then in ("close", "reset"):
            await asyncio.sleep(_PAUSE_S)
        if answer.then == "reset":
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return answer.then == "keep"


@asynccontextmanager
async def listening(*answers: Sends) -> AsyncIterator[Wire]:
    wire = Wire(list(answers))
    async with accepting(wire.serve) as port:
        wire.base_url = f"http://127.0.0.1:{port}/v1"
        yield wire


@asynccontextmanager
async def accepting(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
) -> AsyncIterator[int]:
    """The port of a server that does with each connection just what `serve` says; at the end it is cut off."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(ConnectionError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await server.wait_closed()


def http(
    body: bytes,
    *,
    status: str = "200 OK",
    kind: str | None = "application/json",
    headers: str = "",
    length: int | None = None,
) -> bytes:
    """A whole HTTP response. `length` is the length it claims."""
    stated = f"Content-Type: {kind}\r\n" if kind else ""
    head = (
        f"HTTP/1.1 {status}\r\n{stated}{headers}Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
