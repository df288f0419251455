"""Doors of several workers on one address, and the line between a worker and its parent."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator

import orjson
import pytest

from router.server import listen
from router.station import Station, doors

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere workers share one socket")


def close(*sockets: socket.socket) -> None:
    for one in sockets:
        one.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_port_0_is_one_free_port_for_all(host: str) -> None:
    opened = doors(host, 0, 3)
    addresses = {door.getsockname()[:2] for door in opened}
    close(*opened)
    assert len(opened) == 3
    ((address, port),) = addresses
    assert (address, port > 0) == (host, True)


@on_linux
def test_connections_are_spread_over_them() -> None:
    opened = doors("127.0.0.1", 0, 2)
    clients = [socket.create_connection(opened[0].getsockname()) for _ in range(64)]
    came = []
    for door in opened:
        door.setblocking(False)
        came.append(0)
        try:
            while True:
                door.accept()[0].close()
                came[-1] += 1
        except BlockingIOError:
            pass
    close(*clients, *opened)
    assert sum(came) == 64
    assert min(came) > 8


def test_an_address_that_others_share_is_taken_all_the_same() -> None:
    opened = doors("127.0.0.1", 0, 2)
    port = opened[0].getsockname()[1]
    for number in (1, 2):
        with pytest.raises(OSError, match=f"127.0.0.1:{port} cannot be had: .* --port"):
            close(*doors("127.0.0.1", port, number))
    close(*opened)
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="cannot be had"):
        close(*doors("127.0.0.1", taken.getsockname()[1], 2))


@pytest.fixture
def line() -> Iterator[tuple[Station, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    with ours, theirs, socket.socket() as door:
        yield Station(1, 2, door, ours, replaces=False), theirs


def test_what_a_worker_says_is_a_line_each(line: tuple[Station, socket.socket]) -> None:
    station, parent = line
    station.listening("http://127.0.0.1:1")
    station.tell("publish")
    station.failed("One.\nTwo.")
    said = [orjson.loads(text) for text in parent.recv(4096).splitlines()]
    assert said == [["listening", "http://127.0.0.1:1"], ["publish", ""], ["failed", "One.\nTwo."]]


def test_to_a_dead_parent_it_says_nothing(line: tuple[Station, socket.socket]) -> None:
    station, parent = line
    parent.close()
    station.tell("reload")


async def test_it_does_what_it_is_told_and_ends_with_its_parent(line: tuple[Station, socket.socket]) -> None:
    station, parent = line
    done: list[str] = []
    ended = asyncio.Event()
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    station.attend(
        {"reload": lambda: done.append("reload"), "publish": lambda: done.append("publish")}, end=ended.set
    )
    parent.send(b"publish\n")
    await asyncio.sleep(0.01)
    assert done == ["publish"]
    parent.send(b"reload\nreload\nlater-words\n")
    await asyncio.sleep(0.01)
    assert done == ["publish", "reload"]
    assert not ended.is_set()
    station.tell("reload")
    parent.close()  # with something unread
    await asyncio.wait_for(ended.wait(), 5)
    assert done == ["publish", "reload"]
    assert not faults
