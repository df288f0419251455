"""The two loops against a server that counts what it gets."""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from benchmarks.load import MARK, closed, opened, quantile, summed, whole

HEADERS = {"content-type": "application/json"}
BODY = f'{{"text": "{MARK}"}}'.encode()


@dataclass
class Counting:
    """Answers every request with `status`, in chunks or with a length; keeps the bodies."""

    status: int = 200
    chunked: bool = False
    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"transfer-encoding: chunked" if self.chunked else b"Content-Length: 5"
        body = b"5\r\nhello\r\n0\r\n\r\n" if self.chunked else b"hello"
        try:
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", asked)
                assert length is not None
                self.bodies.append(await reader.readexactly(int(length[1])))
                writer.write(b"HTTP/1.1 %d Said\r\n%s\r\n\r\n%s" % (self.status, head, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@contextmanager
def counting(status: int = 200, *, chunked: bool = False) -> Iterator[Counting]:
    """One that runs in a thread of its own, as the loops block."""
    counter = Counting(status, chunked)
    loop = asyncio.new_event_loop()
    up = threading.Event()

    async def serve() -> None:
        server = await asyncio.start_server(counter.answer, "127.0.0.1", 0)
        counter.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
        up.set()
        await stopped.wait()
        server.close()

    stopped = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    up.wait(10)
    try:
        yield counter
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
        for task in asyncio.all_tasks(loop):
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_the_open_loop_sends_so_many_and_no_text_twice(chunked: bool) -> None:
    with counting(chunked=chunked) as server:
        load = opened(server.url, HEADERS, BODY, rate=400, seconds=0.25)
    assert (load.requests, load.errors, len(set(server.bodies))) == (100, 0, 100)
    assert all(len(body) == len(BODY) for body in server.bodies)
    assert 0 < load.p50_ms <= load.p99_ms <= load.p999_ms


def test_a_body_without_the_mark_is_sent_as_it_is() -> None:
    with counting() as server:
        opened(server.url, HEADERS, b'{"text": "same"}', rate=400, seconds=0.05)
    assert set(server.bodies) == {b'{"text": "same"}'}


def test_refusals_are_errors_and_no_throughput() -> None:
    with counting(503) as server:
        load = opened(server.url, HEADERS, BODY, rate=400, seconds=0.05)
    assert (load.requests, load.errors, load.rps) == (20, 20, 0)


def test_a_dead_port_is_all_errors() -> None:
    with counting() as server:
        pass
    assert opened(server.url, HEADERS, BODY, rate=400, seconds=0.05).errors == 20


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize(("status", "body"), [(200, BODY), (200, b'{"text": "\\n]]"}'), (404, BODY)])
def test_wrk_sends_the_body_and_tells_refusals(status: int, body: bytes) -> None:
    with counting(status) as server:
        load = closed(server.url, HEADERS, body, connections=2, seconds=1)
    sent = set(server.bodies)
    assert len(sent) == (len(server.bodies) if MARK.encode() in body else 1)
    assert {len(each) for each in sent} == {len(body)}
    if MARK.encode() not in body:
        assert sent == {body}
    assert load.requests > 0
    refused = 0 if status == 200 else load.requests
    assert abs(load.errors - refused) <= 2  # what is under way at the end may be counted as one and not the other


def test_wrks_figures_are_per_second_and_in_milliseconds() -> None:
    said = '{"us":2000000,"requests":1010,"failed":10,"broken":3,"p50":1500.0,"p99":2500.0,"p999":9000.0}'
    load = summed(f"Running 2s test\nRequests/sec: 505\n\n{said}\n")
    assert (load.rps, load.requests, load.errors) == (500.0, 1010, 13)
    assert (load.p50_ms, load.p99_ms, load.p999_ms) == (1.5, 2.5, 9.0)


@pytest.mark.parametrize(
    ("received", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_with_its_last_byte(received: bytes, complete: bool) -> None:
    assert whole(received) is complete


def test_quantiles_by_nearest_rank() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert [quantile(ordered, share) for share in (0.5, 0.99, 0.999)] == [51, 100, 100]
    assert quantile([7.0], 0.5) == 7
    assert quantile([], 0.5) == 0
