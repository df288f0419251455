"""HTTP/1.1 as clients speak it, well and badly, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
import pytest

from router.web.asgi import App, Receive, Scope, Send
from router.web.connection import IDLE_S, LINGER_S, UNFINISHED_S, Connection
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


# --- what is asked well


async def test_requests_follow_each_other_on_one_connection() -> None:
    async with serving(echo) as house, house.client() as client:
        for _ in range(3):
            head, body = await client.ask(ASKED)
            assert (head.splitlines()[0], body) == (b"HTTP/1.1 200 OK", b"POST hello")
            assert b"x-path: /echo\r\n" in head
            assert b"connection" not in head
        assert len(house.connections) == 1
        assert house.turns == set()


async def test_a_request_may_be_cut_anywhere() -> None:
    async with serving(echo) as house, house.client() as client:
        for cut in range(1, len(ASKED)):
            client.writer.write(ASKED[:cut])
            await client.writer.drain()
            await asyncio.sleep(0)
            _, body = await client.ask(ASKED[cut:])
            assert body == b"POST hello"


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    async with serving(echo) as house, house.client() as client:
        client.writer.write(b"".join(ASKED.replace(b"hello", b"no. %d" % number) for number in range(5)))
        assert [(await client.read())[1] for _ in range(5)] == [b"POST no. %d" % number for number in range(5)]
        assert (await client.ask(ASKED))[1] == b"POST hello"


async def test_a_body_in_chunks_is_one_body() -> None:
    chunked = b"POST / HTTP/1.1\r\nHost: weir\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    async with serving(echo) as house, house.client() as client:
        assert (await client.ask(chunked))[1] == b"POST hello"


async def test_a_stream_is_sent_in_chunks_and_the_connection_stays() -> None:
    async with serving(streams(b"He", b"llo")) as house, house.client() as client:
        for _ in range(2):
            client.writer.write(ASKED)
            reply = await client.reader.readuntil(b"0\r\n\r\n")
            head, _, body = reply.partition(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head
            assert body == b"2\r\nHe\r\n3\r\nllo\r\n0\r\n\r\n"


async def test_http_1_0_knows_no_chunks() -> None:
    async with serving(streams(b"He", b"llo")) as house, house.client() as client:
        client.writer.write(ASKED.replace(b"HTTP/1.1", b"HTTP/1.0"))
        head, _, body = (await client.read_all()).partition(b"\r\n\r\n")
        assert body == b"Hello"
        assert b"connection: close" in head
        assert b"chunked" not in head


async def test_a_client_that_wants_it_closed_gets_it_closed() -> None:
    async with serving(echo) as house, house.client() as client:
        client.writer.write(ASKED_AND_GONE)
        reply = await client.read_all()
        assert reply.endswith(b"POST hello")
        assert reply.count(b"connection: close") == 1


async def test_head_is_answered_by_a_head() -> None:
    async with serving(echo) as house, house.client() as client:
        client.writer.write(b"HEAD / HTTP/1.1\r\nHost: weir\r\n\r\n")
        assert b"content-length: 5" in await client.reader.readuntil(b"\r\n\r\n")
        assert (await client.ask(ASKED))[1] == b"POST hello"


async def test_no_content_is_none() -> None:
    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with serving(nothing) as house, house.client() as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 204 No Content")
        assert b"chunked" not in head


@pytest.mark.parametrize("known", [b"100-continue", b"100-Continue"])
async def test_a_client_that_waits_for_it_is_told_to_go_on(known: bytes) -> None:
    async with serving(echo) as house, house.client() as client:
        head, _, body = ASKED.partition(b"\r\n\r\n")
        client.writer.write(head + b"\r\nExpect: " + known + b"\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.ask(body))[1] == b"POST hello"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/v1/a%20b?x=%20&y", "/v1/a b", "x=%20&y"),
        ("http://weir:80/v1/models?x", "/v1/models", "x"),
        ("http://weir", "/", ""),
        ("/?a?b", "/", "a?b"),
    ],
)
async def test_targets_in_every_form(target: str, path: str, query: str) -> None:
    async with serving(tell) as house, house.client() as client:
        _, body = await client.ask(f"GET {target} HTTP/1.1\r\nHost: weir\r\nX-A: é\r\n\r\n".encode("latin-1"))
        told = orjson.loads(body)
        assert (told["path"], told["query"], told["method"]) == (path, query, "GET")
        assert told["headers"] == {"host": "weir", "x-a": "é"}


async def test_offers_of_other_protocols_are_passed_over() -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x"
    async with serving(echo) as house, house.client() as client:
        assert (await client.ask(ASKED.replace(b"X-Name: \xe9", offer)))[1] == b"POST hello"


# --- what is asked badly


async def test_what_is_no_http_is_refused_in_words() -> None:
    async with serving(echo) as house, house.client() as client:
        client.writer.write(b"\x16\x03\x01 this is TLS\r\n\r\n")
        head, _, body = (await client.read_all()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request")
        assert orjson.loads(body)["error"]["code"] == "invalid_request"
        await eventually(lambda: not house.connections)


async def test_garbage_after_a_request_does_not_spoil_its_answer() -> None:
    async with serving(echo) as house, house.client() as client:
        client.writer.write(ASKED + b"\x00\x01garbage")
        reply = await client.read_all()
        assert reply.startswith(b"HTTP/1.1 200 OK")
        assert reply.endswith(b"POST hello")


async def test_a_broken_body_is_refused() -> None:
    broken = b"POST / HTTP/1.1\r\nHost: weir\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n"
    async with serving(echo) as house, house.client() as client:
        client.writer.write(broken)
        assert (await client.read_all()).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("smuggled", [b"Content-Length: 4", b"Transfer-Encoding: chunked"])
async def test_two_ideas_of_a_body_s_length_are_refused(smuggled: bytes) -> None:
    async with serving(echo) as house, house.client() as client:
        client.writer.write(ASKED.replace(b"X-Name: \xe9", smuggled))
        assert (await client.read_all()).startswith(b"HTTP/1.1 400")


async def test_a_head_without_end_is_not_kept() -> None:
    async with serving(echo) as house, house.client() as client:
        client.writer.write(b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"x" * 300_000)
        reply = await client.read_all()
        assert reply.startswith(b"HTTP/1.1 400")
        assert b"too large" in reply


async def test_an_upload_that_is_refused_sees_why() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"too large", (b"connection", b"close"), status=413)

    async with serving(refuse) as house, house.client() as client:
        client.writer.write(b"POST / HTTP/1.1\r\nHost: weir\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        reply = await client.read_all()
        assert reply.startswith(b"HTTP/1.1 413")
        assert reply.endswith(b"too large")
        client.writer.write(b"x" * 100_000)
        await client.writer.drain()
        connection = house.only
        connection.look_over(asyncio.get_running_loop().time() + LINGER_S + 1)
        await eventually(lambda: not house.connections)


async def test_one_who_goes_on_sending_is_heard_out() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"no", status=401)

    async with serving(refuse) as house, house.client() as client:
        client.writer.write(b"POST / HTTP/1.1\r\nHost: weir\r\nContent-Length: 2000\r\n\r\n" + b"x" * 1000)
        head, body = await client.read()
        assert (b"connection: close" in head, body) == (True, b"no")
        client.writer.write(b"x" * 1000)
        assert await client.read_all() == b""
        await eventually(lambda: not house.connections)


# --- clients that leave, or are slow


async def test_a_client_that_leaves_is_noticed_and_nothing_is_sent_to_it() -> None:
    seen: list[str] = []
    gone = asyncio.Event()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        seen.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b"y" * 1_000_000, "more_body": True})
        gone.set()

    async with serving(wait) as house:
        async with house.client() as client:
            client.writer.write(ASKED)
            await client.reader.readuntil(b"x\r\n")
        await asyncio.wait_for(gone.wait(), 10)
        assert seen == ["http.disconnect"]
        await eventually(lambda: not house.turns and not house.connections)


async def test_one_that_leaves_in_the_middle_of_its_request_too() -> None:
    seen: list[str] = []

    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        while not seen or seen[-1] == "http.request":
            seen.append((await receive())["type"])

    async with serving(read) as house:
        async with house.client() as client:
            client.writer.write(ASKED[:-2])
            await eventually(lambda: seen == ["http.request"])
        await eventually(lambda: seen == ["http.request", "http.disconnect"])


async def test_a_slow_reader_is_waited_for() -> None:
    sent = 0

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent += 1
        await send({"type": "http.response.body", "body": b""})

    async with serving(flood) as house, house.client() as client:
        client.writer.write(ASKED)
        await eventually(lambda: sent > 0)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.05)
        assert sent < 200
        reply = b""
        while not reply.endswith(b"\r\n0\r\n\r\n"):
            reply = reply[-10:] + await client.reader.read(1_000_000)
        assert sent == 200


async def test_a_fast_sender_is_held_back_until_its_body_is_read() -> None:
    read_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await read_on.wait()
        await answer(send, str(len(await body_of(receive))).encode())

    async with serving(slow) as house, house.client() as client:
        size = 50_000_000
        client.writer.write(b"POST / HTTP/1.1\r\nHost: weir\r\nContent-Length: %d\r\n\r\n" % size)
        sending = asyncio.create_task(flow(client, size))
        await eventually(lambda: bool(house.connections) and not house.only.transport.is_reading())
        assert not sending.done()
        read_on.set()
        assert (await client.read())[1] == str(size).encode()
        await sending


async def flow(client: Client, size: int) -> None:
    for _ in range(size // 1_000_000):
        client.writer.write(b"x" * 1_000_000)
        await client.writer.drain()


# --- applications that fail


async def test_an_application_that_fails_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("a secret detail")

    async with serving(fail) as house, house.client() as client:
        client.writer.write(ASKED)
        reply = await client.read_all()
        assert reply.startswith(b"HTTP/1.1 500 ")
        assert b"secret" not in reply
        assert "a secret detail" in caplog.text


async def test_one_that_has_only_announced_its_answer_has_sent_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError("early")

    async with serving(fail) as house, house.client() as client:
        client.writer.write(ASKED)
        assert (await client.read_all()).startswith(b"HTTP/1.1 500 ")
        assert "early" in caplog.text


async def test_one_that_fails_in_the_middle_cuts_its_answer(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise KeyError("late")

    async with serving(fail) as house, house.client() as client:
        client.writer.write(ASKED)
        reply = await client.read_all()
        assert reply.endswith(b"1\r\nx\r\n")
        assert "late" in caplog.text


@pytest.mark.parametrize("broken", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb"])
async def test_no_header_can_hold_another(broken: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def inject(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"", (b"x-name", broken))

    async with serving(inject) as house, house.client() as client:
        client.writer.write(ASKED)
        reply = await client.read_all()
        assert reply.startswith(b"HTTP/1.1 500 ")
        assert b"set-cookie" not in reply
        assert "line break" in caplog.text


@pytest.mark.parametrize("body", [b"1234", b"123456"])
async def test_a_body_of_another_length_than_announced_is_cut(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def lie(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": body})

    async with serving(lie) as house, house.client() as client:
        client.writer.write(ASKED)
        assert not (await client.read_all()).endswith(b"6")
        assert "not as long" in caplog.text


# --- what the server does with connections


async def test_the_idle_and_the_silent_are_closed_and_the_busy_are_not() -> None:
    go_on = asyncio.Event()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await answer(send, await body_of(receive))

    async with serving(wait) as house, house.client() as client:
        await eventually(lambda: len(house.connections) == 1)
        connection = house.only
        now = asyncio.get_running_loop().time()
        client.writer.write(ASKED)
        await eventually(lambda: len(house.turns) == 1)
        connection.look_over(now + IDLE_S + UNFINISHED_S)
        go_on.set()
        assert (await client.read())[1] == b"hello"
        connection.look_over(now + IDLE_S - 1)
        assert not connection.transport.is_closing()
        connection.look_over(asyncio.get_running_loop().time() + IDLE_S + 1)
        assert await client.read_all() == b""


@pytest.mark.parametrize("part", [ASKED[:10], ASKED[:-1]])
async def test_half_a_request_is_not_waited_for_for_ever(part: bytes) -> None:
    async with serving(echo) as house, house.client() as client:
        client.writer.write(part)
        await client.writer.drain()
        await eventually(lambda: bool(house.connections))
        await asyncio.sleep(0.01)
        house.only.look_over(asyncio.get_running_loop().time() + UNFINISHED_S + 1)
        assert await client.read_all() == b""
        await eventually(lambda: not house.turns)


async def test_told_to_end_it_finishes_what_was_asked() -> None:
    go_on = asyncio.Event()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await answer(send, await body_of(receive))

    async with serving(wait) as house, house.client() as idle, house.client() as client:
        client.writer.write(ASKED)
        await eventually(lambda: len(house.connections) == 2 and bool(house.turns))
        for connection in tuple(house.connections):
            connection.end()
        assert await idle.read_all() == b""
        go_on.set()
        reply = await client.read_all()
        assert reply.endswith(b"hello")
        assert b"connection: close" in reply
