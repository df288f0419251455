"""The pool: what is used again, who waits for whom, and that no way out of a call takes a place along."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from router.upstreams.dialling import Dialler, Origin
from router.upstreams.http1 import Connection, NotConnected, head
from router.upstreams.pool import Pool
from tests.router.upstreams.wire import STREAM_END, STREAM_HEAD, Sends, Wire, chunk, http, listening

GOOD = Sends((http(b"{}"),))
HANGS = Sends(then="hang")


@asynccontextmanager
async def pooled(*answers: Sends, limit: int = 1, keep_s: float = 30) -> AsyncIterator[tuple[Pool, Wire]]:
    async with listening(*answers) as wire:
        pool = Pool(Dialler(Origin.of(urlsplit(wire.base_url)), connect_s=5), limit, keep_s)
        try:
            async with asyncio.timeout(20):  # against a test that hangs
                yield pool, wire
        finally:
            await pool.close()


async def ask(pool: Pool, path: str = "/x", within_s: float = 10) -> Connection:
    asked = head("POST", path, {"host": "up"}) + b"content-length: 0\r\n\r\n"
    return await pool.ask(asked, b"", asyncio.get_running_loop().time() + within_s)


async def read_all(connection: Connection) -> bytes:
    body = b""
    while more := await connection.read():
        body += more
    return body


async def whole(pool: Pool, path: str = "/x") -> bytes:
    connection = await ask(pool, path)
    try:
        return await read_all(connection)
    finally:
        pool.release(connection)


async def gone(connection: Connection) -> None:
    while connection.alive:  # noqa: ASYNC110 - there is nothing to wait on
        await asyncio.sleep(0.005)


async def test_a_connection_is_used_again_the_last_one_first() -> None:
    async with pooled(GOOD, limit=8) as (pool, wire):
        first, second = await ask(pool), await ask(pool)
        for connection in (first, second):
            await read_all(connection)
            pool.release(connection)
        for _ in range(3):
            connection = await ask(pool)
            assert connection is second
            await read_all(connection)
            pool.release(connection)
        assert wire.connections == len(pool) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Sends((http(b"{}", headers="Connection: close\r\n"),)),
        Sends((http(b"{}") + b"HTTP/1.1 200 OK\r\n",)),
        Sends((b"HTTP/1.1 200 OK\r\n\r\n{}",), "close"),
    ],
    ids=["its last", "more than was asked for", "ended by closing"],
)
async def test_a_connection_that_cannot_be_used_again_is_not(answer: Sends) -> None:
    async with pooled(answer) as (pool, wire):
        assert [await whole(pool), await whole(pool)] == [b"{}", b"{}"]
        assert wire.connections == 2


async def test_an_answer_that_was_not_read_to_its_end_takes_its_connection_along() -> None:
    async with pooled(GOOD, Sends((STREAM_HEAD, chunk(b"a")), "hang"), GOOD) as (pool, wire):
        assert await whole(pool) == b"{}"
        connection = await ask(pool)
        assert await connection.read() == b"a"
        pool.release(connection)
        assert await whole(pool) == b"{}"
        assert wire.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        Sends((http(b"{}"),), "close"),
        Sends((http(b"{}"),), "reset"),
        Sends((http(b"{}"), b"HTTP/1.1 408 Request Timeout\r\n\r\n")),
    ],
    ids=["closed", "reset", "spoken to"],
)
async def test_an_idle_connection_that_ends_is_not_handed_out(answer: Sends) -> None:
    async with pooled(answer, GOOD) as (pool, wire):
        connection = await ask(pool)
        await read_all(connection)
        pool.release(connection)
        await gone(connection)
        assert await whole(pool) == b"{}"
        assert wire.connections == 2


async def test_what_nobody_uses_is_closed() -> None:
    async with pooled(GOOD, limit=4, keep_s=0.02) as (pool, wire):
        connections = [await ask(pool) for _ in range(4)]
        for connection in connections:
            await read_all(connection)
            pool.release(connection)
        for connection in connections:
            await gone(connection)
        assert await whole(pool) == b"{}"
        assert wire.connections == 5


async def test_what_is_used_stays() -> None:
    async with pooled(GOOD, limit=2, keep_s=0.5) as (pool, wire):
        unused, used = await ask(pool), await ask(pool)
        await read_all(unused)
        pool.release(unused)
        while unused.alive:
            await read_all(used)
            pool.release(used)
            await asyncio.sleep(0.005)
            assert await ask(pool) is used
        assert wire.connections == 2


async def test_a_connection_that_breaks_as_it_is_handed_on_is_no_turn() -> None:
    async with pooled(GOOD) as (pool, wire):
        holding = await ask(pool)
        await read_all(holding)
        waiting = [asyncio.create_task(whole(pool)) for _ in range(2)]
        await asyncio.sleep(0)
        pool.release(holding)
        holding.abort()
        assert await asyncio.gather(*waiting) == [b"{}"] * 2
        assert wire.connections == 2


async def test_never_more_than_the_bound_and_everyone_in_turn() -> None:
    async with pooled(GOOD, limit=2) as (pool, wire):
        holding = [await ask(pool, f"/{number}") for number in range(2)]
        waiting = [asyncio.create_task(whole(pool, f"/{number}")) for number in range(2, 20)]
        await asyncio.sleep(0)
        assert len(wire.requests) == 2
        for connection in holding:
            await read_all(connection)
            pool.release(connection)
        assert await asyncio.gather(*waiting) == [b"{}"] * 18
        paths = [int(request.split()[1].strip(b"/")) for request in wire.requests]
        assert [number // 2 for number in paths] == [number // 2 for number in range(20)]
        assert wire.connections == 2


async def test_a_place_that_becomes_free_goes_to_the_first_in_the_row() -> None:
    cut = Sends((http(b"half", length=8),), "close")
    async with pooled(cut, cut, GOOD) as (pool, wire):
        holding = await ask(pool)
        waiting = [asyncio.create_task(whole(pool, f"/{number}")) for number in range(3)]
        with pytest.raises(ConnectionResetError):
            await read_all(holding)
        pool.release(holding)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [ConnectionResetError, bytes, bytes]
        assert [request.split()[1] for request in wire.requests[1:]] == [b"/0", b"/1", b"/2"]


async def test_waiting_for_a_turn_ends_in_time() -> None:
    async with pooled(HANGS, GOOD) as (pool, wire):
        holding = asyncio.create_task(ask(pool))
        await wire.received.wait()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await ask(pool, within_s=0.01)
        holding.cancel()
        with suppress(asyncio.CancelledError):
            await holding
        assert await whole(pool) == b"{}"
        assert len(wire.requests) == 2


@pytest.mark.parametrize("ends", ["well", "badly"])
@pytest.mark.parametrize("turns", range(8))
async def test_a_call_cancelled_at_any_moment_takes_no_place_along(turns: int, ends: str) -> None:
    """Also in the very turn of the loop in which it is its turn."""
    first = GOOD if ends == "well" else Sends((http(b"half", length=8),), "hang")
    async with pooled(first, GOOD) as (pool, _):
        holding = await ask(pool)
        cancelled = [asyncio.create_task(whole(pool)) for _ in range(3)]
        await asyncio.sleep(0)
        await holding.read()
        pool.release(holding)
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*cancelled, return_exceptions=True)
        assert await asyncio.gather(*(whole(pool) for _ in range(3))) == [b"{}"] * 3


async def test_connections_that_cannot_be_made_take_no_place_along() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        pool = Pool(Dialler(Origin("127.0.0.1", bound.getsockname()[1], secure=False), connect_s=5), 1)
        faults = await asyncio.gather(*(ask(pool) for _ in range(5)), return_exceptions=True)
        assert [type(fault) for fault in faults] == [NotConnected] * 5
        await pool.close()


async def test_closing_ends_the_calls_under_way() -> None:
    async with pooled(HANGS, limit=2) as (pool, wire):
        calls = [asyncio.create_task(ask(pool)) for _ in range(4)]
        while len(wire.requests) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await pool.close()
        faults = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(fault) for fault in faults] == [ConnectionResetError] * 2 + [NotConnected] * 2
        with pytest.raises(NotConnected):
            await ask(pool)
        await pool.close()


async def test_closing_while_connecting_leaves_no_connection() -> None:
    async with pooled(GOOD) as (pool, wire):
        calling = asyncio.create_task(ask(pool))
        await asyncio.sleep(0)
        await pool.close()
        with pytest.raises(OSError):
            await calling
        assert wire.requests == []


async def test_closing_lets_go_of_idle_connections() -> None:
    async with pooled(GOOD, limit=4) as (pool, _):
        connections = [await ask(pool) for _ in range(4)]
        for connection in connections:
            await read_all(connection)
            pool.release(connection)
        await pool.close()
        assert not any(connection.alive for connection in connections)


async def test_a_stream_read_to_its_end_gives_its_connection_to_who_waits() -> None:
    stream = Sends((STREAM_HEAD, chunk(b"a"), STREAM_END))
    async with pooled(stream, GOOD) as (pool, wire):
        waiting: list[asyncio.Task[bytes]] = []
        connection = await ask(pool)
        waiting.append(asyncio.create_task(whole(pool)))
        assert await read_all(connection) == b"a"
        pool.release(connection)
        assert await waiting[0] == b"{}"
        assert wire.connections == 1
