"""Small ASGI applications behind a real socket, and clients that speak to them in bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from router.web.asgi import App, Receive, Scope, Send
from router.web.connection import Connection
from router.web.turn import Turn

ASKED = b"POST /echo?x=1 HTTP/1.1\r\nHost: weir\r\nX-Name: \xe9\r\nContent-Length: 5\r\n\r\nhello"
ASKED_AND_GONE = ASKED.replace(b"X-Name: \xe9", b"Connection: close")

Act = Callable[[Scope, Receive, Send], Awaitable[None]]


async def body_of(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        if not message["more_body"]:
            return body


async def answer(send: Send, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, scope["method"].encode() + b" " + await body_of(receive), (b"x-path", scope["raw_path"]))


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """Everything of the scope that a page might read."""
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    told = {name: scope[name] for name in ("method", "path", "http_version", "scheme")}
    await answer(send, orjson.dumps({**told, "headers": headers, "query": scope["query_string"].decode()}))


def streams(*pieces: bytes) -> Act:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return stream


@dataclass
class House:
    """An application behind a door. `client` opens a connection to it."""

    port: int
    connections: set[Connection] = field(default_factory=set)
    turns: set[Turn] = field(default_factory=set)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()

    @property
    def only(self) -> Connection:
        (connection,) = self.connections
        return connection


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        self.writer.write(request)
        return await self.read()

    async def read(self) -> tuple[bytes, bytes]:
        """The next answer: its head, and its body, which has a length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head, await self.reader.readexactly(length)

    async def read_all(self) -> bytes:
        """All that comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), 10)


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[House]:
    house = House(0)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(app, house.connections, house.turns), "127.0.0.1", 0)
    house.port = server.sockets[0].getsockname()[1]
    try:
        yield house
    finally:
        server.close()
        tasks = [turn.task for turn in house.turns if turn.task is not None]
        for task in tasks:
            task.cancel()
        for connection in tuple(house.connections):
            connection.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what is waited for happens in a transport
            await asyncio.sleep(0.005)
