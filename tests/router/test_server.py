"""Getting an address, and a server that says where it is and ends in good order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from dataclasses import dataclass, field
from typing import Any

import pytest

from router.server import Server, is_loopback, listen


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_loopback_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "10.0.0.1", "192.168.127.1", "1270.0.0.1", "weir.example.com", "localhost.example.com",
     "127.example.com"],
)  # fmt: skip
def test_everything_else_is_the_world(host: str) -> None:
    assert not is_loopback(host)


def test_port_0_is_a_free_one() -> None:
    with listen("127.0.0.1", 0) as first, listen("127.0.0.1", 0) as second:
        assert first.getsockname()[1] != second.getsockname()[1] != 0
        assert first.family == socket.AF_INET


def test_so_it_is_on_ipv6() -> None:
    with listen("::1", 0) as door:
        assert door.family == socket.AF_INET6


def test_a_taken_port_is_said_with_advice() -> None:
    with listen("127.0.0.1", 0) as door:
        port = door.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port} cannot be had: Address already in use") as refusal:
            listen("127.0.0.1", port)
    message = str(refusal.value)
    assert message.endswith("Choose others with --host and --port.")
    assert "(" not in message


def test_so_is_an_address_of_another_machine() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1:0 cannot be had: .*assign.* --host"):  # RFC 5737: nobody's
        listen("192.0.2.1", 0)


def test_and_one_that_is_none() -> None:
    with pytest.raises(OSError, match=r"no such host:0 cannot be had: .* --host"):
        listen("no such host", 0)


async def alive(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"alive"})


@dataclass
class Told:
    """What a server has told so far."""

    urls: list[str] = field(default_factory=list)
    reloads: int = 0
    closings: int = 0
    up: asyncio.Event = field(default_factory=asyncio.Event)

    def listening(self, url: str) -> None:
        self.urls.append(url)
        self.up.set()

    def reload(self) -> None:
        self.reloads += 1

    def closing(self) -> None:
        self.closings += 1

    def server(self, host: str) -> Server:
        return Server(
            alive, host=host, shutdown_s=1, listening=self.listening, reload=self.reload, closing=self.closing
        )


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_it_says_where_it_is_once_requests_are_taken(host: str, shown: str) -> None:
    told = Told()
    with listen(host, 0) as door:
        port = door.getsockname()[1]
        serving = asyncio.create_task(told.server(host).serve(door))
        await told.up.wait()
        assert told.urls == [f"http://{shown}:{port}"]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n")
        reply = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert reply.endswith(b"alive")
        os.kill(os.getpid(), signal.SIGTERM)
        await serving
    assert (told.closings, told.reloads) == (1, 0)


async def test_sighup_reloads_and_sigint_ends_it() -> None:
    told = Told()
    with listen("127.0.0.1", 0) as door:
        serving = asyncio.create_task(told.server("127.0.0.1").serve(door))
        await told.up.wait()
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.01)
        assert (told.reloads, serving.done()) == (1, False)
        os.kill(os.getpid(), signal.SIGINT)
        await serving
    assert told.closings == 1


async def wait_for_ever(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


def server_of(told: Told, app: Any, shutdown_s: float) -> Server:
    return Server(
        app,
        host="127.0.0.1",
        shutdown_s=shutdown_s,
        listening=told.listening,
        reload=told.reload,
        closing=told.closing,
    )


async def test_all_who_come_at_once_are_let_in() -> None:
    told = Told()
    with listen("127.0.0.1", 0) as door:
        port = door.getsockname()[1]
        server = told.server("127.0.0.1")
        serving = asyncio.create_task(server.serve(door))
        await told.up.wait()

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n")
            reply = await reader.read()
            writer.close()
            return reply

        replies = await asyncio.gather(*(ask() for _ in range(300)))
        assert all(reply.endswith(b"alive") for reply in replies)
        server.end()
        await serving


@pytest.mark.parametrize("signals", [1, 2])
async def test_what_does_not_end_is_cut_off_in_time_or_at_the_second_signal(
    signals: int, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    with listen("127.0.0.1", 0) as door:
        port = door.getsockname()[1]
        server = server_of(told, wait_for_ever, 0.2 if signals == 1 else 3600)
        serving = asyncio.create_task(server.serve(door))
        await told.up.wait()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n")
        await asyncio.sleep(0.05)
        for _ in range(signals):
            server.end()
        await asyncio.wait_for(serving, 10)
        assert await reader.read() == b""
        writer.close()
    assert told.closings == 1
    assert "1 answers are cut off" in caplog.text
