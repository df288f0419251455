"""How an answer is framed and sent, who waits for whom, and what becomes of applications that fail."""

from __future__ import annotations

import asyncio

import pytest

from router.web.asgi import Receive, Scope, Send
from tests.router.web.serving import (
    ASKED,
    answer,
    body_of,
    echo,
    eventually,
    serving,
    streams,
)


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
