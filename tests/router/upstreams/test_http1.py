"""One connection: whatever a server sends, cut anywhere, is an answer or a fault, in bounded memory and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.upstreams.http1 import Connection, NotHTTP, head
from tests.router.upstreams.wire import STREAM_END, STREAM_HEAD, Sends, accepting, chunk, http, listening

ASKED = head("POST", "/v1/x", {"host": "up"}) + b"content-length: 0\r\n\r\n"
MUCH = 64 * 1024 * 1024
"""More than sockets hold back by themselves."""


class Script(asyncio.Transport):
    """The far end of no socket."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def abort(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@dataclass(frozen=True)
class Answer:
    status: int
    fields: dict[bytes, bytes]
    body: bytes
    reusable: bool


async def answer_of(pieces: list[bytes], *, eof: bool = False) -> Answer:
    """What a connection makes of an answer that comes in `pieces`."""
    loop = asyncio.get_running_loop()
    connection = Connection(lambda _: None)
    connection.connection_made(Script())
    asking = asyncio.ensure_future(connection.ask(ASKED, b"", loop.time() + 5))
    await asyncio.sleep(0)
    for piece in pieces:
        connection.data_received(piece)
    if eof:
        connection.eof_received()
    try:
        await asking
        body = b""
        while more := await connection.read():
            body += more
        return Answer(connection.status, connection.fields, body, connection.reusable)
    finally:
        connection.connection_lost(None)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


JSON = {b"content-type": b"application/json"}
ANSWERS: dict[str, tuple[bytes, Answer]] = {
    "a stated length": (http(b"{}"), Answer(200, {**JSON, b"content-length": b"2"}, b"{}", True)),
    "no body": (b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", Answer(204, {b"x": b"1"}, b"", True)),
    "chunks, an extension, a trailer": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Late: 1\r\n\r\n",
        Answer(200, {b"transfer-encoding": b"Chunked"}, b"abcde", True),
    ),
    "notices before it": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + http(b"{}"),
        Answer(200, {**JSON, b"content-length": b"2"}, b"{}", True),
    ),
    "repeated headers": (
        b"HTTP/1.1 200 OK\r\nVary: a\r\nX: 1\r\nVARY: b\r\nContent-Length: 0\r\n\r\n",
        Answer(200, {b"vary": b"a, b", b"x": b"1", b"content-length": b"0"}, b"", True),
    ),
    "the last of its connection": (
        http(b"{}", headers="Connection: close\r\n"),
        Answer(200, {**JSON, b"connection": b"close", b"content-length": b"2"}, b"{}", False),
    ),
    "an older protocol": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        Answer(200, {b"content-length": b"2"}, b"{}", False),
    ),
    "sloppiness that others let pass": (
        b"HTTP/1.1 200 OK\nX: a\x01b\nTransfer-Encoding: chunked\n\n2 \r\n{}\r\n0\r\n\r\n",
        Answer(200, {b"x": b"a\x01b", b"transfer-encoding": b"chunked"}, b"{}", True),
    ),
}
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nall there is"


@pytest.mark.parametrize("name", ANSWERS)
@given(places=st.lists(st.integers(min_value=0, max_value=1000), max_size=40))
def test_an_answer_is_the_same_wherever_it_was_cut(name: str, places: list[int]) -> None:
    data, answer = ANSWERS[name]
    assert asyncio.run(answer_of(cut(data, places))) == answer


@given(places=st.lists(st.integers(min_value=0, max_value=1000), max_size=40))
def test_a_body_without_a_length_ends_with_its_connection(places: list[int]) -> None:
    answer = asyncio.run(answer_of(cut(UNTIL_CLOSE, places), eof=True))
    assert answer == Answer(200, {b"x": b"1"}, b"all there is", False)


# fmt: off
_LINES = [
    b"HTTP/1.1 000 No", b"HTTP/1.1 101 Switch", b"Upgrade: x", b"Connection: upgrade",
    b"Content-Length: 3", b"Content-Length: -1", b"Content-Length: 9999999999999999999999", b"Content-Length:",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"", b"3", b"abc", b"0", b"zz", b": x", b"\x00\xff",
]
# fmt: on


@given(
    lines=st.lists(st.sampled_from(_LINES), max_size=12),
    end=st.sampled_from([b"\r\n", b"\n", b"\r"]),
    places=st.lists(st.integers(min_value=0, max_value=1000), max_size=9),
)
def test_anything_is_an_answer_or_a_fault(lines: list[bytes], end: bytes, places: list[int]) -> None:
    try:
        answer = asyncio.run(answer_of(cut(end.join([b"HTTP/1.1 200 OK", *lines]), places), eof=True))
    except (NotHTTP, ConnectionResetError):
        return
    assert answer.status >= 200
    assert int(answer.fields.get(b"content-length", 0)) in (0, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 099 Odd\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"SSH-2.0-x\r\n",
    ],
    ids=["a status below all", "another protocol", "never was HTTP"],
)
async def test_what_is_no_answer_is_named_so(data: bytes) -> None:
    with pytest.raises(NotHTTP):
        await answer_of([data])


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: Chunked", b"Content-Length: 8"])
async def test_a_body_with_an_end_of_its_own_does_not_end_with_its_connection(framing: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        await answer_of([b"HTTP/1.1 200 OK\r\n", framing, b"\r\n\r\n1\r\na\r\n"], eof=True)


@pytest.mark.parametrize(
    "surplus", [b"HTTP/1.1 200 OK\r\n", b"H", http(b"{}"), b"garbage"], ids=["begun", "a byte", "whole", "garbage"]
)
async def test_what_comes_after_an_answer_spoils_the_connection_and_not_the_answer(surplus: bytes) -> None:
    answer = await answer_of([http(b"{}") + surplus])
    assert (answer.status, answer.body, answer.reusable) == (200, b"{}", False)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nX: ", *[b"x" * 1000] * 70],
        [b"HTTP/1.1 200 OK\r\n", *[b"X: 1\r\n" * 1000] * 12],
        [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000] * 3,
        [STREAM_HEAD, b"0\r\nX: ", *[b"x" * 1000] * 70],
    ],
    ids=["one header", "many headers", "notices", "trailer"],
)
async def test_what_is_no_body_is_bounded(pieces: list[bytes]) -> None:
    with pytest.raises(NotHTTP, match="headers or framing"):
        await answer_of(pieces)


async def test_head_and_body_of_a_request_go_out_together() -> None:
    connection, script = Connection(lambda _: None), Script()
    connection.connection_made(script)
    asking = asyncio.ensure_future(connection.ask(ASKED, bytes(100_000), soon()))
    await asyncio.sleep(0)
    connection.data_received(http(b"{}"))
    await asking
    connection.connection_lost(None)
    assert script.writes == [ASKED + bytes(100_000)]


async def test_a_large_body_goes_out_in_pieces_and_only_while_they_are_taken() -> None:
    connection, script = Connection(lambda _: None), Script()
    connection.connection_made(script)
    body = bytes(range(256)) * 8192
    asking = asyncio.ensure_future(connection.ask(ASKED, body, soon()))
    await asyncio.sleep(0)
    assert len(script.writes) == 2, "the head and a piece, and then others have their turn"
    connection.pause_writing()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(script.writes) == 2
    connection.resume_writing()
    for _ in range(40):
        await asyncio.sleep(0)
    assert b"".join(script.writes) == ASKED + body
    connection.data_received(http(b"{}"))
    await asking
    connection.connection_lost(None)


# --- on real sockets -----------------------------------------------------------------------------------


@asynccontextmanager
async def connected(*answers: Sends) -> AsyncIterator[Connection]:
    async with listening(*answers) as wire, reaching(urlsplit(wire.base_url).port) as connection:
        yield connection


@asynccontextmanager
async def reaching(port: int | None) -> AsyncIterator[Connection]:
    loop = asyncio.get_running_loop()
    lost = asyncio.Event()
    connection = Connection(lambda _: lost.set())
    await loop.create_connection(lambda: connection, "127.0.0.1", port)
    try:
        async with asyncio.timeout(20):  # against a test that hangs
            yield connection
    finally:
        connection.abort()
        await lost.wait()


@asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
) -> AsyncIterator[Connection]:
    """A connection to a server that does just what `serve` says, and is cut off at the end."""
    async with accepting(serve) as port, reaching(port) as connection:
        yield connection


def soon(seconds: float = 10) -> float:
    return asyncio.get_running_loop().time() + seconds


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\nX: 1",)], ids=["nothing", "half a head"])
async def test_a_connection_that_breaks_before_the_answer(pieces: tuple[bytes, ...], then: str) -> None:
    async with connected(Sends(pieces, then)) as connection:  # type: ignore[arg-type]
        with pytest.raises(ConnectionResetError):
            await connection.ask(ASKED, b"", soon())


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_connection_that_breaks_within_the_answer_gives_what_it_had(then: str) -> None:
    async with connected(Sends((http(b"half", length=8),), then)) as connection:  # type: ignore[arg-type]
        await connection.ask(ASKED, b"", soon())
        assert await connection.read() == b"half"
        assert connection.began
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                await connection.read()
        assert not connection.reusable


async def test_an_endless_body_that_is_reset_is_no_whole_answer() -> None:
    async with connected(Sends((UNTIL_CLOSE,), "reset")) as connection:
        await connection.ask(ASKED, b"", soon())
        assert await connection.read() == b"all there is"
        with pytest.raises(ConnectionResetError):
            await connection.read()


async def test_what_has_come_is_read_without_waiting_and_the_end_stays_the_end() -> None:
    async with connected(Sends((http(b"{}"),))) as connection:
        await connection.ask(ASKED, b"", soon())
        for expected in (b"{}", b"", b""):
            reading = connection.read()
            with pytest.raises(StopIteration) as returned:
                reading.send(None)
            assert returned.value.value == expected


async def test_cancelled_reads_lose_nothing() -> None:
    pieces = [chunk(b"%d," % number) for number in range(40)]
    async with connected(Sends((STREAM_HEAD, *pieces, STREAM_END), pause_s=0.001)) as connection:
        await connection.ask(ASKED, b"", soon())
        body, cancelled = b"", 0
        while not connection.complete or connection.alive:
            reading = asyncio.ensure_future(connection.read())
            await asyncio.sleep(0)
            if not reading.done():
                reading.cancel()
            try:
                more = await reading
            except asyncio.CancelledError:
                cancelled += 1
                await asyncio.sleep(0.0005)
                continue
            if not more:
                break
            body += more
        assert body == b"".join(b"%d," % number for number in range(40))
        assert cancelled > 0
        assert connection.reusable


async def test_silence_is_a_timeout_and_a_new_moment_needs_no_new_connection() -> None:
    """`due` is moved both ways: nearer than the timer that is set, and past it."""
    async with connected(Sends((STREAM_HEAD, chunk(b"a"), chunk(b"b"), STREAM_END), pause_s=0.2)) as connection:
        await connection.ask(ASKED, b"", soon(60))
        for _ in range(2):
            connection.due = soon(0.02)
            with pytest.raises(TimeoutError):
                await connection.read()
        connection.due = soon(0.05)
        reading = asyncio.ensure_future(connection.read())
        await asyncio.sleep(0)
        connection.due = soon(60)
        assert await reading == b"a"
        assert await connection.read() == b"b"
        assert await connection.read() == b""


async def test_a_moment_that_has_passed_is_a_timeout_at_once() -> None:
    async with connected(Sends(then="hang")) as connection:
        with pytest.raises(TimeoutError):
            await connection.ask(ASKED, b"", soon(-1))


async def test_who_reads_slowly_holds_the_server_back() -> None:
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(b"", length=MUCH))
        piece = b"x" * (1024 * 1024)
        while sent < MUCH:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
        await reader.read()  # what is still buffered would be lost with the connection

    async with serving(pour) as connection:
        await connection.ask(ASKED, b"", soon(20))
        before, quiet = -1, 0
        while quiet < 10:
            quiet = quiet + 1 if sent == before else 0
            before = sent
            await asyncio.sleep(0.01)
        assert sent < MUCH
        size = len(await connection.read())
        assert size < 4 * 256 * 1024, "what was read ahead"
        while more := await connection.read():
            size += len(more)
        assert (sent, size) == (MUCH, MUCH)
        assert connection.reusable


async def test_a_large_body_is_sent_whole_and_the_loop_goes_on_meanwhile() -> None:
    turns = 0

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        size = 0
        while size < MUCH:
            size += len(await reader.read(1024 * 1024))
        writer.write(http(b"{}"))
        await reader.read()

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with serving(swallow) as connection:
        counting = asyncio.create_task(count())
        await connection.ask(ASKED, bytes(MUCH), soon(20))
        counting.cancel()
        assert await connection.read() == b"{}"
        assert connection.reusable
        assert turns > MUCH // (256 * 1024)


async def test_a_large_body_that_nobody_takes_is_a_timeout() -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serving(ignore) as connection:
        with pytest.raises(TimeoutError):
            await connection.ask(ASKED, bytes(MUCH), soon(0.3))
        assert not connection.reusable


async def test_a_refusal_ends_the_sending_of_a_large_body() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(b"{}", status="413 Too Large"))
        await asyncio.Event().wait()

    async with serving(refuse) as connection:
        await connection.ask(ASKED, bytes(MUCH), soon(20))
        assert (connection.status, await connection.read()) == (413, b"{}")
        assert not connection.reusable


async def test_a_server_that_speaks_first_does_not_speak_http() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await asyncio.Event().wait()

    async with serving(greet) as connection:
        while connection.alive:  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0.001)
        with pytest.raises(NotHTTP):
            await connection.ask(ASKED, b"", soon())


async def test_nothing_is_asked_on_a_dead_connection() -> None:
    async with connected(Sends(then="hang")) as connection:
        connection.abort()
        with pytest.raises(ConnectionResetError):
            await connection.ask(ASKED, b"", soon())
