"""HTTP/1.1 as clients speak it, well and badly, over real sockets."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from router.web.asgi import Receive, Scope, Send
from router.web.connection import IDLE_S, LINGER_S, UNFINISHED_S
from tests.router.web.serving import (
    ASKED,
    ASKED_AND_GONE,
    Client,
    answer,
    body_of,
    echo,
    eventually,
    serving,
    tell,
)

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


async def test_a_client_that_wants_it_closed_gets_it_closed() -> None:
    async with serving(echo) as house, house.client() as client:
        client.writer.write(ASKED_AND_GONE)
        reply = await client.read_all()
        assert reply.endswith(b"POST hello")
        assert reply.count(b"connection: close") == 1


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
