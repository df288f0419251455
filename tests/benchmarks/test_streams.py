"""The mock upstream's streams, and the client that tells whether a stream was held."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from benchmarks.mock_upstream import STAMP, streaming, whole
from benchmarks.stream_client import Notes, Order, Stream, hold
from benchmarks.streams import markdown, targets
from benchmarks.systems import SYSTEMS, ask

DIRECT = SYSTEMS["direct"]
HEADERS = {"content-type": "application/json"}
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
TOKENS = [b'data: {"content":"~%019d~"}\n\n' % number for number in range(3)]
END = b"data: [DONE]\n\n\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    with streaming(0.001, 5) as url:
        yield url


def events(body: bytes) -> list[Any]:
    payloads = [event.removeprefix(b"data: ") for event in body.split(b"\n\n") if event]
    assert payloads.pop() == b"[DONE]"
    return [json.loads(payload) for payload in payloads]


def test_a_stream_has_the_tokens_asked_for_each_with_a_later_stamp_and_its_usage(mock_url: str) -> None:
    for text, tokens in [("Tell me all.", 5), ("Tell me all in 12 tokens.", 12)]:
        status, headers, body = ask(mock_url + DIRECT.path, HEADERS, DIRECT.body(text, stream=True))
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        stamps = [int(stamp) for stamp in STAMP.findall(body)]
        assert len(stamps) == tokens
        assert stamps == sorted(set(stamps))
        *_, finish, usage = events(body)
        assert finish["choices"][0]["finish_reason"] == "stop"
        assert usage["usage"]["completion_tokens"] == tokens


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_plain_requests_get_a_whole_answer_from_either_mock(mock_url: str) -> None:
    with whole() as whole_url:
        for url in (mock_url, whole_url):
            status, _, body = ask(url + DIRECT.path, HEADERS, DIRECT.body("Hello"))
            assert status == 200
            assert json.loads(body)["choices"][0]["message"]["content"]


def order(url: str, streams: int, tokens: int) -> Order:
    parts = urlsplit(url)
    body = DIRECT.body(f"Tell me all in {tokens} tokens.", stream=True)
    request = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    return Order(parts.hostname or "", parts.port or 80, [request] * streams, tokens, ramp_s=0.01, within_s=30)


def test_streams_that_come_whole_are_held(mock_url: str) -> None:
    report = hold(order(mock_url, streams=20, tokens=100))
    assert (report.held, report.failures, report.tokens) == (20, {}, 2000)
    assert report.at_once == 20
    assert 0 < report.token_ms.p50 <= report.token_ms.p99 <= report.token_ms.most


def test_where_nobody_listens_no_stream_is_held() -> None:
    with streaming(0.001, 5) as url:
        pass
    report = hold(order(url, streams=3, tokens=5))
    assert (report.held, report.failures) == (0, {"no answer": 3})


class Nowhere(asyncio.Transport):
    """A connection whose other end is never heard of."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def close(self) -> None:
        pass


async def received(*reads: bytes, ended: bool = True) -> Stream:
    stream = Stream(b"", Notes())
    stream.connection_made(Nowhere())
    for data in reads:
        stream.data_received(data)
    if ended:
        stream.connection_lost(None)
    return stream


@pytest.mark.parametrize(
    ("reads", "ended", "failure"),
    [
        ([HEAD, *TOKENS, END], True, ""),
        ([HEAD, *TOKENS, END], False, "too late"),
        ([HEAD, *TOKENS], True, "cut off"),
        ([HEAD, *TOKENS[:2], END], True, "tokens missing"),
        ([], True, "no answer"),
        ([b"HTTP/1.1 503 Service Unavailable\r\n\r\n"], True, "status 503"),
    ],
)
async def test_why_a_stream_was_not_held(reads: list[bytes], ended: bool, failure: str) -> None:
    assert (await received(*reads, ended=ended)).failure(tokens=3) == failure


async def test_tokens_are_found_however_reads_are_cut() -> None:
    answer = HEAD + b"".join(TOKENS) + END
    for size in range(12, len(answer)):
        stream = await received(*(answer[at : at + size] for at in range(0, len(answer), size)))
        assert (stream.tokens, stream.failure(tokens=3)) == (3, "")


def result(system: str, **changes: Any) -> dict[str, Any]:
    spread = {"p50": 1.0, "p99": 2.0, "most": 3.0}
    cell = {
        **{"held": 512, "failures": {}, "stalls": 0, "stalled_streams": 0, "cpu_s_per_1000_tokens": 0.02},
        **dict.fromkeys(("first_ms", "gap_ms", "token_ms", "added_first_ms", "added_token_ms"), spread),
        **dict.fromkeys(("cpu_share", "mock_cpu_share", "client_cpu_share"), 0.5),
        **dict.fromkeys(("upstream_gap_ms", "lag_ms", "rss_mb", "pss_mb"), 20.0),
    }
    return {"system": system, "streams": {"512": {**cell, **changes}}}


def test_what_failed_is_told_and_missed() -> None:
    failed = result("weir", held=500, failures={"too late": 12}, stalls=7)
    assert "500 (12 too late)" in markdown([result("direct"), failed])
    assert [target.met for target in targets([failed])] == [False, False, True, None]
    assert [target.met for target in targets([result("weir")])] == [True, True, True, None]
