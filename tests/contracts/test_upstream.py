"""What every upstream promises, whatever it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.errors import (
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
from contracts.ports import AnswerStream, UpstreamCall
from contracts.records import Endpoint
from contracts.sse import DONE, payloads
from contracts.usage import reported_usage
from tests.contracts.upstreams import SUBJECTS, Subject

# Both are silenced for good once litellm is imported, which pytest undoes.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Accessing the 'model_.*fields':DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:coroutine '.*acompletion.*' was never awaited:RuntimeWarning"),
]
HELLO = [{"role": "user", "content": "Hello there"}]

FAULTS: dict[str, type[UpstreamFailure]] = {
    "reset": ConnectionReset,
    "stall": SlowUpstream,
    "rate-limited": RateLimited,
    "rate-limited-7": RateLimited,
    "error-500": ServerFault,
    "error-503": ServerFault,
    "error-529": ServerFault,
    "error-408": ServerFault,
    "error-401": UpstreamRefusedKey,
    "error-403": UpstreamRefusedKey,
    "error-400": UpstreamRejected,
    "error-422": UpstreamRejected,
    "malformed": MalformedAnswer,
    "empty": MalformedAnswer,
    "wrong-type": MalformedAnswer,
}
"""What a whole answer that fails so is raised as."""
LATE_FAULTS: dict[str, type[UpstreamFailure]] = {
    "stall-mid-stream": StreamStalled,
    "cut-mid-stream": StreamCut,
}


@pytest.fixture(params=SUBJECTS)
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    async with SUBJECTS[request.param](tmp_path) as subject:
        yield subject


def call(
    subject: Subject,
    endpoint: Endpoint = "chat/completions",
    *,
    fault: str | None = None,
    first_byte_s: float = 20,
    stall_s: float = 20,
    **fields: Any,
) -> UpstreamCall:
    model = subject.model
    if endpoint == "embeddings":
        model = subject.embedder
        body: dict[str, Any] = {"input": "Hello there"}
    elif endpoint == "completions":
        body = {"prompt": "Hello there", "max_tokens": 12, "temperature": 0}
    else:
        body = {"messages": HELLO, "max_tokens": 12, "temperature": 0}
    if fault is not None:
        model = faulty(subject, fault)
    return UpstreamCall(
        endpoint=endpoint,
        body={"model": model, **body, **fields},
        request_id="req_conformance",
        first_byte_s=first_byte_s,
        stall_s=stall_s,
    )


def faulty(subject: Subject, fault: str) -> str:
    if subject.fault is None:
        pytest.skip(f"{subject.upstream.name} cannot be made to fail on demand")
    return subject.fault(fault)


async def read_all(stream: AnswerStream) -> list[bytes]:
    """Every payload of `stream`, which is closed then."""
    events = b""
    try:
        while piece := await stream.read():
            assert piece.endswith((b"\n\n", b"\r\n\r\n")), "whole events only"
            events += piece
    finally:
        await stream.close()
    return list(payloads(events))


def said(chunks: list[bytes]) -> str:
    parsed = [orjson.loads(chunk) for chunk in chunks if chunk != DONE]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in parsed if chunk["choices"])


async def text_of(subject: Subject) -> str:
    answer = await subject.upstream.send(call(subject))
    text = answer.data["choices"][0]["message"]["content"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("endpoint", ["chat/completions", "completions", "embeddings"])
async def test_a_whole_answer_has_the_endpoints_shape(subject: Subject, endpoint: Endpoint) -> None:
    asked = call(subject, endpoint)
    before = deepcopy(asked.body)
    if endpoint not in subject.endpoints:
        with pytest.raises(UpstreamFailure):
            await subject.upstream.send(asked)
        return
    answer = await subject.upstream.send(asked)
    assert orjson.loads(answer.body) == answer.data
    assert len(answer.data["data" if endpoint == "embeddings" else "choices"]) == 1
    usage = reported_usage(answer.data["usage"])
    assert usage is not None
    assert usage.prompt > 0
    assert (usage.completion > 0) == (endpoint != "embeddings")
    assert asked.body == before, "the caller's body is the caller's"


async def test_a_stream_says_what_the_whole_answer_says(subject: Subject) -> None:
    whole = await text_of(subject)
    asked = call(subject, stream=True, stream_options={"include_usage": True})
    chunks = await read_all(await subject.upstream.open(asked))
    assert whole
    assert said(chunks) == whole
    assert chunks[-1] == DONE
    finishes = [choice["finish_reason"] for c in chunks[:-1] for choice in orjson.loads(c)["choices"]]
    assert [finish for finish in finishes if finish] in (["stop"], ["length"])
    usages = [usage for c in chunks[:-1] if (usage := reported_usage(orjson.loads(c).get("usage")))]
    assert len(usages) == 1
    assert usages[0].completion > 0


async def test_the_end_of_a_stream_stays_its_end(subject: Subject) -> None:
    stream = await subject.upstream.open(call(subject, stream=True))
    while await stream.read():
        pass
    assert await stream.read() == b""
    await stream.close()
    await stream.close()


async def test_cancelled_reads_lose_nothing(subject: Subject) -> None:
    whole = await text_of(subject)
    cancelled = 0
    for _ in range(50):  # on a busy machine all of a stream may be there before it is read
        stream = await subject.upstream.open(call(subject, stream=True))
        times, events = await read_with_cancellations(stream)
        await stream.close()
        assert said(list(payloads(events))) == whole
        cancelled += times
        if cancelled:
            break
    assert cancelled > 0


async def read_with_cancellations(stream: AnswerStream) -> tuple[int, bytes]:
    """A stream read to its end, and how often a read that had to wait was cancelled first."""
    events = b""
    cancelled = 0
    while True:
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        if not reading.done() and cancelled < 500:
            reading.cancel()
        try:
            piece = await reading
        except asyncio.CancelledError:
            cancelled += 1
            await asyncio.sleep(0.0005)
            continue
        if not piece:
            return cancelled, events
        events += piece


async def test_a_stream_can_be_read_on_by_another_task(subject: Subject) -> None:
    whole = await text_of(subject)
    stream = await subject.upstream.open(call(subject, stream=True))
    first = await asyncio.create_task(stream.read())
    rest = await asyncio.create_task(read_all(stream))
    assert said([*payloads(first), *rest]) == whole


async def test_an_abandoned_stream_or_call_leaves_the_upstream_well(subject: Subject) -> None:
    stream = await subject.upstream.open(call(subject, stream=True))
    await stream.read()
    await stream.close()
    sending = asyncio.create_task(subject.upstream.send(call(subject)))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert await text_of(subject)


async def test_calls_at_the_same_time_do_not_mix(subject: Subject) -> None:
    alone = await text_of(subject)
    together = await asyncio.gather(*(text_of(subject) for _ in range(8)))
    assert together == [alone] * 8


async def test_a_probe_of_a_server_that_is_well_says_nothing(subject: Subject) -> None:
    await subject.upstream.probe()


async def test_starting_twice_is_harmless(subject: Subject) -> None:
    await subject.upstream.start()
    assert await text_of(subject)


async def test_after_close_every_call_is_a_failure(subject: Subject) -> None:
    upstream = subject.upstream
    await upstream.close()
    await upstream.close()
    with pytest.raises(UpstreamFailure):
        await upstream.send(call(subject))
    with pytest.raises(UpstreamFailure):
        await upstream.open(call(subject, stream=True))
    with pytest.raises(UpstreamFailure):
        await upstream.probe()


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_of_a_whole_answer_has_its_name(subject: Subject, fault: str) -> None:
    with pytest.raises(UpstreamFailure) as raised:
        await subject.upstream.send(call(subject, fault=fault, first_byte_s=2 if fault != "stall" else 0.1))
    assert type(raised.value) is FAULTS[fault]
    assert_fit_for_a_client(raised.value)
    if "error-" in fault:
        assert raised.value.status == int(fault[-3:])


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_of_a_stream_has_the_same_name(subject: Subject, fault: str) -> None:
    asked = call(subject, fault=fault, stream=True, first_byte_s=2 if fault != "stall" else 0.1)
    if fault == "malformed":  # the framing is right, so it is the reader of the events who finds out
        stream = await subject.upstream.open(asked)
        try:
            assert await stream.read()
        except MalformedAnswer:
            pass
        finally:
            await stream.close()
        return
    with pytest.raises(UpstreamFailure) as raised:
        await read_all(await subject.upstream.open(asked))
    assert type(raised.value) is FAULTS[fault]
    assert_fit_for_a_client(raised.value)


@pytest.mark.parametrize("fault", LATE_FAULTS)
async def test_a_stream_that_breaks_off_gives_what_it_had(subject: Subject, fault: str) -> None:
    asked = call(subject, fault=fault, stream=True, first_byte_s=5, stall_s=0.2)
    stream = await subject.upstream.open(asked)
    events = b""
    with pytest.raises(UpstreamFailure) as raised:
        while piece := await stream.read():
            events += piece
    await stream.close()
    assert type(raised.value) is LATE_FAULTS[fault]
    assert said(list(payloads(events)))
    assert_fit_for_a_client(raised.value)


async def test_a_whole_answer_that_stops_half_way_is_not_waited_for(subject: Subject) -> None:
    with pytest.raises((SlowUpstream, StreamStalled)) as raised:  # some see that it had begun
        await subject.upstream.send(call(subject, fault="stall-mid-stream", first_byte_s=0.2))
    assert_fit_for_a_client(raised.value)


async def test_how_long_to_wait_is_told_where_the_upstream_said_so(subject: Subject) -> None:
    with pytest.raises(RateLimited) as told:
        await subject.upstream.send(call(subject, fault="rate-limited-7"))
    with pytest.raises(RateLimited) as untold:
        await subject.upstream.send(call(subject, fault="rate-limited"))
    assert told.value.retry_after_s == 7
    assert untold.value.retry_after_s is None


def assert_fit_for_a_client(failure: UpstreamFailure) -> None:
    assert failure.message
    for unfit in ("127.0.0.1", "sk-", "Bearer", "html", "Traceback", "{"):
        assert unfit not in failure.message
