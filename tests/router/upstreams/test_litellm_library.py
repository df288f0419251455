"""The litellm library against real servers on loopback: one that speaks Anthropic's protocol, one OpenAI's."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from contracts.errors import (
    ConnectionRefused,
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
from contracts.sse import DONE, payloads
from contracts.usage import TokenUsage, reported_usage
from router.upstreams.litellm_library import LiteLLMStream, LiteLLMUpstream
from router.upstreams.scripted_knowledge import Knowledge
from router.upstreams.scripted_server import ScriptedServer
from tests.router.upstreams.anthropic_server import PIECES, AnthropicServer, anthropic_server

pytest.importorskip("litellm")
# Both are silenced for good once litellm is imported, which pytest undoes.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Accessing the 'model_.*fields':DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:coroutine '.*acompletion.*' was never awaited:RuntimeWarning"),
]

KEY = "horse-battery-staple"  # nothing that looks like a key, so that only knowing it can hide it
CACHED_USAGE = TokenUsage(prompt=60, completion=5, cached=30, cache_write=20)


def call(model: str = "claude", endpoint: Endpoint = "chat/completions", **fields: Any) -> UpstreamCall:
    body: dict[str, Any] = {"model": model, **fields}
    if endpoint == "chat/completions":
        body.setdefault("messages", [{"role": "user", "content": "Hello?"}])
    return UpstreamCall(endpoint=endpoint, body=body, request_id="req_1", first_byte_s=10, stall_s=10)


def streamed(model: str = "claude") -> UpstreamCall:
    return call(model, stream=True, stream_options={"include_usage": True})


async def read_all(stream: LiteLLMStream) -> list[dict[str, Any]]:
    events = b""
    while piece := await stream.read():
        events += piece
    *chunks, done = payloads(events)
    assert done == DONE
    return [orjson.loads(chunk) for chunk in chunks]


@pytest.fixture
async def server() -> AsyncIterator[AnthropicServer]:
    async with anthropic_server() as server:
        yield server


@pytest.fixture
async def anthropic(server: AnthropicServer) -> AsyncIterator[LiteLLMUpstream]:
    upstream = LiteLLMUpstream("claude", "anthropic", KEY, server.url)
    await upstream.start()
    yield upstream
    await upstream.close()


@pytest.fixture
async def openai() -> AsyncIterator[LiteLLMUpstream]:
    server = ScriptedServer(Knowledge(()), token="sk-scripted")
    await server.start()
    upstream = LiteLLMUpstream("scripted", "openai", "sk-scripted", server.base_url)
    await upstream.start()
    yield upstream
    await upstream.close()
    await server.close()


async def test_another_protocols_answer_has_openais_shape(
    anthropic: LiteLLMUpstream, server: AnthropicServer
) -> None:
    answer = await anthropic.send(call(temperature=0.5, max_tokens=9, top_k=3, metadata={"team": "blue"}))
    assert answer.data["choices"][0]["message"]["content"] == "".join(PIECES)
    assert answer.data["choices"][0]["finish_reason"] == "stop"
    assert orjson.loads(answer.body) == answer.data
    headers, body = server.seen[0]
    assert headers["x-api-key"] == KEY
    assert (body["temperature"], body["max_tokens"], body["top_k"]) == (0.5, 9, 3)
    assert "metadata" not in body


async def test_what_the_providers_cache_did_is_in_the_usage(anthropic: LiteLLMUpstream) -> None:
    whole = (await anthropic.send(call())).data["usage"]
    *_, last = await read_all(await anthropic.open(streamed()))
    for usage in (whole, last["usage"]):
        assert reported_usage(usage) == replace(CACHED_USAGE, raw=usage)
        assert usage["cache_creation_input_tokens"] == 20
        assert usage["cache_read_input_tokens"] == 30


async def test_a_stream_is_openais_events(anthropic: LiteLLMUpstream) -> None:
    stream = await anthropic.open(streamed())
    *chunks, last = await read_all(stream)
    assert await stream.read() == b""
    await stream.close()
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == "".join(PIECES)
    assert [choice["finish_reason"] for choice in choices] == [None, None, "stop"]
    assert last["choices"] == []
    assert {chunk["object"] for chunk in (*chunks, last)} == {"chat.completion.chunk"}


async def test_an_answer_without_a_word_is_still_an_answer(anthropic: LiteLLMUpstream) -> None:
    finish, usage = await read_all(await anthropic.open(streamed("mute")))
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert reported_usage(usage["usage"]) == replace(CACHED_USAGE, raw=usage["usage"])


async def test_tools_come_back_as_openais_calls(anthropic: LiteLLMUpstream) -> None:
    function = {"name": "look_up", "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}}}
    answer = await anthropic.send(call(tools=[{"type": "function", "function": function}]))
    message = answer.data["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"]["name"] == "look_up"
    assert orjson.loads(message["tool_calls"][0]["function"]["arguments"]) == {"order": 7}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "kind", "status", "retry_after_s"),
    [
        ("limited", RateLimited, 429, 7),
        ("overloaded", ServerFault, 529, None),
        ("rejected", UpstreamRejected, 400, None),
        ("locked", UpstreamRefusedKey, 401, None),
        ("page", MalformedAnswer, None, None),
        ("slow", SlowUpstream, None, None),
    ],
)
async def test_failures_have_their_names(
    anthropic: LiteLLMUpstream,
    model: str,
    kind: type[UpstreamFailure],
    status: int | None,
    retry_after_s: float | None,
    stream: bool,
) -> None:
    asked = call(model, stream=True) if stream else call(model)
    if model == "slow":
        asked = replace(asked, first_byte_s=0.3)
    with pytest.raises(UpstreamFailure) as caught:
        if stream:
            opened = await anthropic.open(asked)
            try:
                await read_all(opened)
            finally:
                await opened.close()
        else:
            await anthropic.send(asked)
    failure = caught.value
    assert type(failure) is kind
    assert (failure.status, failure.retry_after_s) == (status, retry_after_s)
    for leak in (KEY, "html", "litellm", "{"):
        assert leak not in failure.message
    assert KEY not in failure.detail


async def test_a_rejection_says_what_to_mend(anthropic: LiteLLMUpstream) -> None:
    with pytest.raises(UpstreamRejected, match="max_tokens: 9 is too many"):
        await anthropic.send(call("rejected"))


@pytest.mark.parametrize(
    ("model", "kind"), [("stalling", StreamStalled), ("cut", StreamCut), ("failing", StreamCut)]
)
async def test_a_stream_that_breaks_off_says_how(
    anthropic: LiteLLMUpstream, model: str, kind: type[UpstreamFailure]
) -> None:
    stream = await anthropic.open(replace(streamed(model), stall_s=0.2))
    first = await stream.read()
    with pytest.raises(UpstreamFailure) as caught:
        while await stream.read():
            pass
    await stream.close()
    assert PIECES[0].encode() in first
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "field", ["logprobs", "novel_field", "api_base", "extra_headers", "mock_response", "model_list"]
)
async def test_what_the_provider_cannot_take_is_rejected_by_name(
    anthropic: LiteLLMUpstream, server: AnthropicServer, field: str
) -> None:
    """Among them what litellm would take for its own: no client may choose where Weir's key goes."""
    fields: dict[str, Any] = {field: True}
    with pytest.raises(UpstreamRejected) as caught:
        await anthropic.send(call(**fields))
    assert caught.value.param == field
    assert field in caught.value.message
    assert server.seen == []


async def test_an_openai_server_gets_unknown_fields_in_its_body(openai: LiteLLMUpstream) -> None:
    unknown: dict[str, Any] = {
        "novel_field": {"a": 1},
        "api_base": "http://192.0.2.1",
        "mock_response": "mocked",
        "timeout": 0,
    }
    answer = await openai.send(call("mirror", seed=3, **unknown))
    received = orjson.loads(answer.data["choices"][0]["message"]["content"])
    assert received == {**received, **unknown, "seed": 3}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_count_that_nobody_reported_is_not_made_up(openai: LiteLLMUpstream, stream: bool) -> None:
    if stream:
        chunks = await read_all(await openai.open(streamed("no-usage")))
        assert chunks
        assert not any("usage" in chunk for chunk in chunks)
    else:
        assert "usage" not in (await openai.send(call("no-usage"))).data


async def test_text_completions_stream(openai: LiteLLMUpstream) -> None:
    asked = call("echo", "completions", prompt="Hello there", stream=True)
    chunks = await read_all(await openai.open(asked))
    whole = await openai.send(call("echo", "completions", prompt="Hello there"))
    assert "".join(c["text"] for chunk in chunks for c in chunk["choices"]) == whole.data["choices"][0]["text"]


async def test_options_are_litellms_arguments(server: AnthropicServer) -> None:
    upstream = LiteLLMUpstream("claude", "anthropic", KEY, options={"api_base": server.url, "user": "weir"})
    await upstream.start()
    try:
        await upstream.send(call())
    finally:
        await upstream.close()
    assert server.seen[0][1]["metadata"] == {"user_id": "weir"}


async def test_closing_one_leaves_the_others_connected(anthropic: LiteLLMUpstream, server: AnthropicServer) -> None:
    other = LiteLLMUpstream("other", "anthropic", KEY, server.url)
    await other.start()
    await other.send(call())
    await other.close()
    assert (await anthropic.send(call())).data["choices"]
    with pytest.raises(ConnectionRefused):
        await other.send(call())


async def test_the_probe_connects_and_costs_nothing(anthropic: LiteLLMUpstream, server: AnthropicServer) -> None:
    await anthropic.probe()
    assert server.seen == []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        absent = LiteLLMUpstream("absent", "anthropic", KEY, f"http://127.0.0.1:{free.getsockname()[1]}")
        await absent.start()
        for asked in (absent.probe(), absent.send(call()), absent.open(call(stream=True))):
            with pytest.raises(ConnectionRefused) as caught:
                await asked
            assert "127.0.0.1" not in caught.value.message
        await absent.close()


def test_litellm_is_imported_by_start_and_not_before() -> None:
    program = """
import asyncio, sys
from router.upstreams.litellm_library import LiteLLMUpstream
upstream = LiteLLMUpstream("claude", "anthropic", "key")
assert "litellm" not in sys.modules
asyncio.run(upstream.start())
assert "litellm" in sys.modules
assert not any(name.startswith("litellm.proxy.proxy_server") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


async def test_without_litellm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(ConnectionRefused, match=r"pip install 'weir\[litellm\]'"):
        await LiteLLMUpstream("claude", "anthropic", KEY).start()
