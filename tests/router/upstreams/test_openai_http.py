"""OpenAIUpstream against exact bytes on real sockets: what it sends, and what it makes of every way to fail."""

from __future__ import annotations

import asyncio
import gzip
import socket
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.errors import (
    ConnectionRefused,
    ConnectionReset,
    MalformedAnswer,
    RateLimited,
    ServerFault,
    SlowUpstream,
    StreamCut,
    StreamStalled,
    UpstreamFailure,
    UpstreamRefusedKey,
    UpstreamRejected,
)
from contracts.ports import UpstreamCall
from contracts.records import Endpoint
from router.upstreams.openai_http import OpenAIUpstream
from tests.router.upstreams.wire import STREAM_END, STREAM_HEAD, Sends, Wire, chunk, http, listening

ROOT = Path(__file__).parents[3]
KEY = "sk-test-0123456789abcdef"
GOOD = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"}}],"usage":{}}'
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
DONE_EVENT = b"data: [DONE]\n\n"


def call(
    endpoint: Endpoint = "chat/completions", *, first_byte_s: float = 5, stall_s: float = 5, **fields: Any
) -> UpstreamCall:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **fields}
    return UpstreamCall(
        endpoint=endpoint, body=body, request_id="req_1", first_byte_s=first_byte_s, stall_s=stall_s
    )


@asynccontextmanager
async def reaching(*answers: Sends, **options: Any) -> AsyncIterator[tuple[OpenAIUpstream, Wire]]:
    async with listening(*answers) as wire:
        upstream = OpenAIUpstream("up", wire.base_url, KEY, **options)
        await upstream.start()
        try:
            yield upstream, wire
        finally:
            await upstream.close()


async def failure_of_send(upstream: OpenAIUpstream, asked: UpstreamCall) -> UpstreamFailure:
    with pytest.raises(UpstreamFailure) as raised:
        await upstream.send(asked)
    return raised.value


async def failure_of_stream(upstream: OpenAIUpstream, asked: UpstreamCall) -> tuple[bytes, UpstreamFailure]:
    """What had come, and how it failed."""
    events = b""
    with pytest.raises(UpstreamFailure) as raised:
        stream = await upstream.open(asked)
        try:
            while piece := await stream.read():
                events += piece
        finally:
            await stream.close()
    return events, raised.value


@dataclass(frozen=True)
class Row:
    name: str
    sends: Sends
    failure: type[UpstreamFailure]
    first_byte_s: float = 5
    stall_s: float = 5


BEFORE_ANY_ANSWER = [
    Row("closed without a byte", Sends(then="close"), ConnectionReset),
    Row("reset without a byte", Sends(then="reset"), ConnectionReset),
    Row("no headers", Sends(then="hang"), SlowUpstream, first_byte_s=0.1),
    Row("half the headers, then silence", Sends((b"HTTP/1.1 200 OK\r\nCont",), "hang"), SlowUpstream, 0.1),
    Row("half the headers, then closed", Sends((b"HTTP/1.1 200 OK\r\nCont",), "close"), ConnectionReset),
    Row("not HTTP", Sends((b"SSH-2.0-OpenSSH_9.2\r\n\r\n",), "close"), MalformedAnswer),
    Row("redirect", Sends((http(b"", status="302 Found", headers="Location: /elsewhere\r\n"),)), MalformedAnswer),
    Row("no content", Sends((b"HTTP/1.1 204 No Content\r\n\r\n",)), MalformedAnswer),
    Row("wrong type", Sends((http(b"<html></html>", kind="text/html"),)), MalformedAnswer),
    Row("not JSON", Sends((http(b'{"choices":['),)), MalformedAnswer),
    Row("empty", Sends((http(b""),)), MalformedAnswer),
    Row("401", Sends((http(b"{}", status="401 Unauthorized"),)), UpstreamRefusedKey),
    Row("402", Sends((http(b"{}", status="402 Payment Required"),)), UpstreamRefusedKey),
    Row("403", Sends((http(b"<html>", status="403 Forbidden", kind="text/html"),)), UpstreamRefusedKey),
    Row("404", Sends((http(b"{}", status="404 Not Found"),)), UpstreamRejected),
    Row("408", Sends((http(b"{}", status="408 Request Timeout"),)), ServerFault),
    Row("409", Sends((http(b"{}", status="409 Conflict"),)), ServerFault),
    Row("425", Sends((http(b"{}", status="425 Too Early"),)), ServerFault),
    Row("429", Sends((http(b"{}", status="429 Too Many Requests"),)), RateLimited),
    Row("500, body cut", Sends((http(b"{}", status="500 Oops", length=99),), "close"), ServerFault),
    Row("529", Sends((http(b"{}", status="529 Overloaded"),)), ServerFault),
    Row("error in a 200", Sends((http(b'{"error":{"message":"x"}}'),)), ServerFault),
    Row("429 in a 200", Sends((http(b'{"error":{"message":"x","code":429}}'),)), RateLimited),
]
WHOLE = [
    Row("headers, then reset", Sends((http(b"", length=9),), "reset"), ConnectionReset),
    Row("headers, then silence", Sends((http(b"", length=9),), "hang"), SlowUpstream, first_byte_s=0.1),
    Row("cut in the body", Sends((http(GOOD[:20], length=99),), "close"), StreamCut),
    Row("reset in the body", Sends((http(GOOD[:20], length=99),), "reset"), StreamCut),
    Row("silence in the body", Sends((http(GOOD[:20], length=99),), "hang"), StreamStalled, first_byte_s=0.1),
    Row("a list", Sends((http(b"[]"),)), MalformedAnswer),
    Row("no choices", Sends((http(b'{"object":"chat.completion"}'),)), MalformedAnswer),
    Row("choices empty", Sends((http(b'{"choices":[]}'),)), MalformedAnswer),
    Row("choices not objects", Sends((http(b'{"choices":["Hi"]}'),)), MalformedAnswer),
    Row("choices not a list", Sends((http(b'{"choices":{"index":0}}'),)), MalformedAnswer),
    Row("claims to be too large", Sends((http(b"", length=5000),), "hang"), MalformedAnswer),
    Row(
        "grows too large",
        Sends((STREAM_HEAD.replace(b"text/event-stream", b"application/json"), chunk(b" " * 5000)), "hang"),
        MalformedAnswer,
    ),
    Row(
        "chunks broken",
        Sends((STREAM_HEAD.replace(b"text/event-stream", b"application/json") + b"2\r\n{}\r\nzz\r\n",), "hang"),
        MalformedAnswer,
    ),
    Row(
        "gzip broken",
        Sends((http(b"not gzip at all", headers="Content-Encoding: gzip\r\n"),)),
        MalformedAnswer,
    ),
]
STREAMED = [
    Row("headers, then reset", Sends((STREAM_HEAD,), "reset"), ConnectionReset),
    Row("headers, then silence", Sends((STREAM_HEAD,), "hang"), SlowUpstream, first_byte_s=0.1),
    Row("no event", Sends((STREAM_HEAD + STREAM_END,)), MalformedAnswer),
    Row("closed after an event", Sends((STREAM_HEAD + chunk(EVENT),), "close"), StreamCut),
    Row("reset after an event", Sends((STREAM_HEAD + chunk(EVENT),), "reset"), StreamCut),
    Row("ends within an event", Sends((STREAM_HEAD + chunk(EVENT + b"data: {") + STREAM_END,)), StreamCut),
    Row("silence after an event", Sends((STREAM_HEAD + chunk(EVENT),), "hang"), StreamStalled, stall_s=0.1),
    Row(
        "one event trickles",
        Sends((STREAM_HEAD + chunk(EVENT), *[chunk(b"data: ")] * 40), "hang", pause_s=0.01),
        StreamStalled,
        stall_s=0.1,
    ),
    Row("chunks broken", Sends((STREAM_HEAD + chunk(EVENT), b"zz\r\n"), "hang"), MalformedAnswer),
]


@pytest.mark.parametrize("row", BEFORE_ANY_ANSWER + WHOLE, ids=lambda row: row.name)
async def test_how_a_whole_answer_fails(row: Row) -> None:
    async with reaching(row.sends, max_answer_bytes=4096) as (upstream, wire):
        failure = await failure_of_send(upstream, call(first_byte_s=row.first_byte_s))
        assert type(failure) is row.failure
        assert len(wire.requests) == 1, "a POST is never repeated here"
        assert KEY not in failure.message + failure.detail
        assert "127.0.0.1" not in failure.message


@pytest.mark.parametrize("row", BEFORE_ANY_ANSWER + STREAMED, ids=lambda row: row.name)
async def test_how_a_stream_fails(row: Row) -> None:
    async with reaching(row.sends) as (upstream, wire):
        asked = call(first_byte_s=row.first_byte_s, stall_s=row.stall_s, stream=True)
        events, failure = await failure_of_stream(upstream, asked)
        assert type(failure) is row.failure
        assert events == (EVENT if row in STREAMED[3:] else b"")
        assert len(wire.requests) == 1
        assert KEY not in failure.message + failure.detail


@pytest.mark.parametrize("endpoint", ["chat/completions", "completions", "embeddings"])
async def test_what_is_sent(endpoint: Endpoint) -> None:
    body = GOOD if endpoint != "embeddings" else b'{"data":[{"embedding":[1.0]}]}'
    async with reaching(Sends((http(body),)), headers={"x-team": "blue"}) as (upstream, wire):
        answer = await upstream.send(call(endpoint, unheard_of={"kept": [1, None, "é"]}))
        assert answer.body == body
        assert answer.data == orjson.loads(body)
        head, sent = wire.requests[0].split(b"\r\n\r\n", 1)
        lines = head.decode().lower().split("\r\n")
        assert lines[0] == f"post /v1/{endpoint} http/1.1"
        assert {f"authorization: bearer {KEY}", "x-team: blue", "x-request-id: req_1"} <= set(lines)
        assert "content-type: application/json" in lines
        assert orjson.loads(sent)["unheard_of"] == {"kept": [1, None, "é"]}


async def test_a_query_in_the_base_url_stays_and_no_key_means_no_header() -> None:
    async with listening(Sends((http(GOOD),))) as wire:
        upstream = OpenAIUpstream("up", f"{wire.base_url}/?api-version=3")
        await upstream.send(call())
        await upstream.close()
        assert wire.requests[0].startswith(b"POST /v1/chat/completions?api-version=3 ")
        assert b"authorization" not in wire.requests[0].lower()


async def test_a_body_of_megabytes_arrives_whole() -> None:
    image = "x" * 3_000_000
    async with reaching(Sends((http(GOOD),))) as (upstream, wire):
        await upstream.send(call(image=image))
        assert orjson.loads(wire.requests[0].split(b"\r\n\r\n", 1)[1])["image"] == image


async def test_connections_are_used_again_and_cookies_are_not_kept() -> None:
    cookie = http(GOOD, headers="Set-Cookie: a=b\r\n")
    stream = Sends((STREAM_HEAD + chunk(EVENT) + chunk(DONE_EVENT), STREAM_END))
    answers = [Sends((cookie,)), stream, Sends((http(b"{}", status="500 Oops"),)), Sends((cookie,))]
    async with reaching(*answers) as (upstream, wire):
        await upstream.send(call())
        opened = await upstream.open(call(stream=True))
        assert await opened.read() == EVENT + DONE_EVENT
        await opened.close()  # before the end of the body is in
        await failure_of_send(upstream, call())
        await upstream.send(call())
        assert wire.connections == 1
        assert not any(b"Cookie" in request for request in wire.requests)


async def test_a_connection_whose_answer_was_not_read_is_given_up() -> None:
    endless = Sends((STREAM_HEAD + chunk(EVENT),), "hang")
    async with reaching(endless, Sends((http(GOOD),))) as (upstream, wire):
        stream = await upstream.open(call(stream=True))
        await stream.read()
        await stream.close()
        assert (await upstream.send(call())).body == GOOD
        assert wire.connections == 2


async def test_a_kept_connection_that_is_cut_is_a_reset_and_is_not_tried_again() -> None:
    async with reaching(Sends((http(GOOD),)), Sends(then="close"), Sends((http(GOOD),))) as (upstream, wire):
        await upstream.send(call())
        assert type(await failure_of_send(upstream, call())) is ConnectionReset
        assert (wire.connections, len(wire.requests)) == (1, 2)
        await upstream.send(call())
        assert (wire.connections, len(wire.requests)) == (2, 3)


async def test_a_call_without_a_free_connection_waits_within_its_own_time() -> None:
    async with reaching(Sends(then="hang"), max_connections=1) as (upstream, wire):
        holding = asyncio.create_task(upstream.send(call()))
        await wire.received.wait()
        assert type(await failure_of_send(upstream, call(first_byte_s=0.05))) is SlowUpstream
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        assert len(wire.requests) == 1


async def test_a_compressed_answer_is_read_all_the_same() -> None:
    packed = http(gzip.compress(GOOD), headers="Content-Encoding: gzip\r\n")
    async with reaching(Sends((packed,))) as (upstream, _):
        assert (await upstream.send(call())).body == GOOD


async def test_a_content_type_may_be_missing_or_have_parameters() -> None:
    for kind in (None, "application/json; charset=utf-8"):
        async with reaching(Sends((http(GOOD, kind=kind),))) as (upstream, _):
            assert (await upstream.send(call())).body == GOOD


@pytest.mark.parametrize("ending", [b"", b"data: [DONE]", b"data:[DONE]\n", b"\n", DONE_EVENT])
async def test_a_stream_may_end_untidily(ending: bytes) -> None:
    async with reaching(Sends((STREAM_HEAD + chunk(EVENT), chunk(ending) * bool(ending) + STREAM_END))) as (up, _):
        stream = await up.open(call(stream=True))
        events = b""
        while piece := await stream.read():
            events += piece
        await stream.close()
        assert events.startswith(EVENT)


async def test_events_come_whole_however_they_were_cut() -> None:
    data = b": ping\r\n\r\n" + EVENT + EVENT + DONE_EVENT
    bits = tuple(chunk(data[i : i + 7]) for i in range(0, len(data), 7))
    async with reaching(Sends((STREAM_HEAD, *bits, STREAM_END), pause_s=0.001)) as (upstream, _):
        stream = await upstream.open(call(stream=True))
        pieces = []
        while piece := await stream.read():
            assert piece.endswith((b"\n\n", b"\r\n\r\n"))
            pieces.append(piece)
        await stream.close()
        assert b"".join(pieces) == data


async def test_keep_alive_comments_are_no_silence() -> None:
    pings = [chunk(b": ping\n\n")] * 12
    async with reaching(Sends((STREAM_HEAD, *pings, chunk(EVENT) + STREAM_END), pause_s=0.02)) as (upstream, _):
        stream = await upstream.open(call(stream=True, first_byte_s=0.15, stall_s=0.15))
        events = b""
        while piece := await stream.read():
            events += piece
        await stream.close()
        assert events.endswith(EVENT)


async def test_reading_a_closed_stream_is_a_failure() -> None:
    async with reaching(Sends((STREAM_HEAD + chunk(EVENT),), "hang")) as (upstream, _):
        stream = await upstream.open(call(stream=True))
        await stream.close()
        with pytest.raises(StreamCut):
            await stream.read()


async def test_a_rejection_says_what_to_mend_and_nothing_else() -> None:
    message = f"Unknown field 'foo'. Key {KEY} at https://internal.example/x was used."
    error = orjson.dumps({"error": {"message": message, "param": "foo", "type": "invalid_request_error"}})
    async with reaching(Sends((http(error, status="400 Bad Request"),))) as (upstream, _):
        failure = await failure_of_send(upstream, call())
        assert failure.message == "Unknown field 'foo'. Key [redacted] at [address] was used."
        assert (failure.param, failure.status) == ("foo", 400)


async def test_a_wait_that_was_asked_for_is_kept() -> None:
    for status, failure in (("429 Slow Down", RateLimited), ("503 Busy", ServerFault)):
        async with reaching(Sends((http(b"{}", status=status, headers="retry-after: 3\r\n"),))) as (upstream, _):
            raised = await failure_of_send(upstream, call())
            assert type(raised) is failure
            assert raised.retry_after_s == 3


async def test_nobody_listens_or_has_the_name() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        for address in (f"http://127.0.0.1:{bound.getsockname()[1]}/v1", "http://nowhere.invalid/v1"):
            upstream = OpenAIUpstream("up", address, KEY)
            failure = await failure_of_send(upstream, call())
            assert type(failure) is ConnectionRefused
            assert "nowhere" not in failure.message
            with pytest.raises(ConnectionRefused):
                await upstream.probe()
            await upstream.close()


async def test_a_server_without_tls_is_no_secure_server() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 plain text spoken here\r\n")
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        upstream = OpenAIUpstream("up", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", KEY)
        failure = await failure_of_send(upstream, call())
        await upstream.close()
    assert type(failure) is ConnectionRefused
    assert "secure" in failure.message


async def test_connecting_has_a_time_of_its_own() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        full.setblocking(False)
        waiting = [socket.socket() for _ in range(3)]
        for other in waiting:  # fills the queue of connections that nobody accepts
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        upstream = OpenAIUpstream("up", f"http://127.0.0.1:{full.getsockname()[1]}/v1", connect_s=0.1)
        failure = await failure_of_send(upstream, call())
        await upstream.close()
        for other in waiting:
            other.close()
        assert type(failure) is SlowUpstream
        assert "Connection timeout" in failure.detail, "not the time of the whole call"


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (http(b'{"data":[]}'), None),
        (http(b"nothing here", status="404 Not Found", kind="text/plain"), None),
        (http(b"{}", status="401 Unauthorized"), UpstreamRefusedKey),
        (http(b"{}", status="503 Starting"), ServerFault),
    ],
)
async def test_a_probe_asks_for_the_models(answer: bytes, failure: type[UpstreamFailure] | None) -> None:
    async with reaching(Sends((answer,))) as (upstream, wire):
        if failure is None:
            await upstream.probe()
        else:
            with pytest.raises(failure):
                await upstream.probe()
        assert wire.requests[0].startswith(b"GET /v1/models ")


@pytest.mark.parametrize("url", ["http://", "v1", "https:///v1"])
def test_an_address_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        OpenAIUpstream("up", url)


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        OpenAIUpstream("up", "http://localhost/v1", "sk-with\nnewline")


@pytest.mark.parametrize("name", ["x team", "x-team:", "x\r\nhost", ""])
def test_a_header_that_no_request_can_carry_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header"):
        OpenAIUpstream("up", "http://localhost/v1", headers={name: "blue"})


async def test_the_upstreams_own_headers_come_before_weirs_and_never_in_place_of_the_calls() -> None:
    own = {"Accept": "application/json", "X-Request-Id": "mine", "Content-Length": "1", "AUTHORIZATION": "none"}
    async with reaching(Sends((http(GOOD),)), headers=own) as (upstream, wire):
        await upstream.send(call())
        head, _ = wire.requests[0].lower().split(b"\r\n\r\n", 1)
        lines = head.split(b"\r\n")[1:]
        assert len({line.split(b":")[0] for line in lines}) == len(lines), "each header once"
        assert {b"accept: application/json", b"x-request-id: req_1", f"authorization: bearer {KEY}".encode()} <= {
            *lines
        }


async def test_what_a_path_cannot_hold_is_escaped() -> None:
    async with listening(Sends((http(GOOD),))) as wire:
        upstream = OpenAIUpstream("up", f"{wire.base_url}/a b/{{ü}}/%7Ec/?x=1 2&y=é#part")
        await upstream.send(call())
        await upstream.close()
        assert wire.requests[0].startswith(
            b"POST /v1/a%20b/%7B%C3%BC%7D/%7Ec/chat/completions?x=1%202&y=%C3%A9 HTTP/1.1\r\n"
        )


async def test_a_small_answer_that_would_become_too_large_is_not_unpacked() -> None:
    packed = http(gzip.compress(bytes(50_000_000)), headers="Content-Encoding: gzip\r\n")
    async with reaching(Sends((packed,)), max_answer_bytes=1_000_000) as (upstream, _):
        failure = await failure_of_send(upstream, call())
        assert type(failure) is MalformedAnswer
        assert "too large" in failure.message


async def test_a_compressed_stream_is_read_as_it_comes() -> None:
    packing = zlib.compressobj(wbits=31)
    events = [packing.compress(piece) + packing.flush(zlib.Z_SYNC_FLUSH) for piece in (EVENT, DONE_EVENT)]
    head = STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    ending = chunk(packing.flush()) + STREAM_END
    async with reaching(Sends((head, chunk(events[0]), chunk(events[1]), ending))) as (upstream, _):
        stream = await upstream.open(call(stream=True))
        assert [await stream.read() for _ in range(3)] == [EVENT, DONE_EVENT, b""]
        await stream.close()


async def test_a_stream_at_its_end_has_given_its_connection_back() -> None:
    stream = Sends((STREAM_HEAD, chunk(EVENT), chunk(DONE_EVENT) + STREAM_END))
    async with reaching(stream, Sends((http(GOOD),)), max_connections=1) as (upstream, wire):
        opened = await upstream.open(call(stream=True))
        while await opened.read():
            pass
        assert (await upstream.send(call())).body == GOOD
        assert await opened.read() == b""
        await opened.close()
        assert (await upstream.send(call())).body == GOOD
        assert wire.connections == 1


def test_a_process_that_only_calls_models_brings_no_second_client_along() -> None:
    script = "import sys, router.main; sys.exit('aiohttp' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
