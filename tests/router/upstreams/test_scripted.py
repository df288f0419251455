"""Each scripted behaviour as it is seen on the wire, by plain HTTP and by the official client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import orjson
import pytest
from click.testing import CliRunner

from contracts.errors import ConnectionRefused
from contracts.ports import UpstreamCall
from contracts.sse import DONE, payloads
from contracts.usage import reported_usage
from router.upstreams.scripted import ScriptedUpstream
from router.upstreams.scripted_answers import NOTICE, tokens
from router.upstreams.scripted_behaviours import BEHAVIOURS
from router.upstreams.scripted_knowledge import Knowledge
from router.upstreams.scripted_server import ScriptedServer
from weir.scripted import scripted as command

ROOT = Path(__file__).parents[3]
TOKEN = "sk-scripted"
HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 2},
                "unit": {"enum": ["C", "F"]},
                "places": {"type": "array", "items": {"$ref": "#/$defs/place"}},
            },
            "$defs": {"place": {"anyOf": [{"type": "object", "properties": {"near": {"$ref": "#/$defs/place"}}}]}},
        },
    },
}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(Knowledge(()), token=TOKEN)
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key=TOKEN, max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        yield http


@pytest.fixture
def post(server: ScriptedServer, http: aiohttp.ClientSession) -> Any:
    def post(model: str, *, path: str = "chat/completions", stream: bool = False, **fields: Any) -> Any:
        body = {"model": model, "messages": HELLO, "stream": stream, **fields}
        return http.post(f"{server.base_url}/{path}", json=body)

    return post


def text_of(chunks: list[bytes]) -> str:
    parsed = [orjson.loads(chunk) for chunk in chunks if chunk != DONE]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in parsed if chunk["choices"])


# The official client.


async def test_an_unknown_model_says_that_it_is_scripted(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="gpt-something", messages=HELLO)
    assert answer.model == "gpt-something"
    assert (answer.choices[0].message.content or "").endswith(NOTICE)
    assert answer.choices[0].finish_reason == "stop"


async def test_a_teacher_does_not_say_so(client: openai.AsyncOpenAI) -> None:
    said = [
        (await client.chat.completions.create(model=model, messages=HELLO)).choices[0].message.content or ""
        for model in ("unmarked", "gpt-something")
    ]
    assert f"{said[0]} {NOTICE}" == said[1]


@pytest.mark.parametrize("n", [1, 3])
async def test_a_stream_has_every_token_and_usage_at_its_end(client: openai.AsyncOpenAI, n: int) -> None:
    stream = await client.chat.completions.create(
        model="echo", messages=HELLO, stream=True, stream_options={"include_usage": True}, n=n
    )
    texts = [""] * n
    finishes = []
    usages = []
    async for chunk in stream:
        assert chunk.object == "chat.completion.chunk"
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            finishes += [choice.finish_reason] if choice.finish_reason else []
        usages += [chunk.usage] if chunk.usage else []
    assert texts == ["Hello there"] * n
    assert finishes == ["stop"] * n
    assert len(usages) == 1
    assert usages[0].completion_tokens == n * len(tokens("Hello there"))


async def test_usage_is_the_same_whole_and_streamed_and_counts_what_is_long(client: openai.AsyncOpenAI) -> None:
    system = [{"role": "system", "content": "rule " * 1500}]
    short = await client.chat.completions.create(model="echo", messages=HELLO)
    long = await client.chat.completions.create(model="echo", messages=[*system, *HELLO])  # type: ignore[list-item]
    assert short.usage and long.usage
    assert short.usage.total_tokens == short.usage.prompt_tokens + short.usage.completion_tokens
    assert short.usage.prompt_tokens_details and long.usage.prompt_tokens_details
    assert short.usage.prompt_tokens_details.cached_tokens == 0
    assert long.usage.prompt_tokens > 1500
    assert long.usage.prompt_tokens_details.cached_tokens == 1408  # whole steps of 128
    stream = await client.chat.completions.create(
        model="echo", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert [chunk.usage async for chunk in stream if chunk.usage] == [short.usage]


async def test_tools_are_called_and_their_answer_reported(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="scripted-tools", messages=HELLO, tools=[WEATHER])
    call = answer.choices[0].message.tool_calls[0]  # type: ignore[index]
    assert call.type == "function"
    arguments = orjson.loads(call.function.arguments)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None
    assert (call.function.name, arguments["city"], arguments["days"]) == ("weather", "Hello there", 2)
    assert (arguments["unit"], list(arguments["places"][0])) == ("C", ["near"])
    told = [*HELLO, answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}]
    final = await client.chat.completions.create(model="scripted-tools", messages=told, tools=[WEATHER])
    assert "Sunny." in (final.choices[0].message.content or "")


async def test_tools_are_called_in_a_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="scripted-tools",
        messages=HELLO,
        tools=[{"type": "function", "function": {"name": "other"}}, WEATHER],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        stream=True,
    )
    name, arguments, finish = "", "", None
    async for chunk in stream:
        for part in chunk.choices[0].delta.tool_calls or []:
            assert part.function is not None
            name += part.function.name or ""
            arguments += part.function.arguments or ""
        finish = chunk.choices[0].finish_reason or finish
    assert (name, finish) == ("weather", "tool_calls")
    assert orjson.loads(arguments)["days"] == 2


async def test_no_tool_is_called_where_none_is_wanted(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="scripted-tools", messages=HELLO, tools=[WEATHER], tool_choice="none"
    )
    assert answer.choices[0].message.tool_calls is None


async def test_logprobs_belong_to_the_tokens(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="echo", messages=HELLO, logprobs=True, top_logprobs=3)
    logprobs = answer.choices[0].logprobs
    assert logprobs and logprobs.content
    assert "".join(item.token for item in logprobs.content) == "Hello there"
    assert all(-1 <= item.logprob <= 0 and len(item.top_logprobs) == 3 for item in logprobs.content)


async def test_json_is_json_and_fits_its_schema(client: openai.AsyncOpenAI) -> None:
    loose = await client.chat.completions.create(
        model="any", messages=HELLO, response_format={"type": "json_object"}
    )
    assert NOTICE in orjson.loads(loose.choices[0].message.content or "")["notice"]
    schema = WEATHER["function"]["parameters"]
    strict = await client.chat.completions.create(
        model="any",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": schema}},
    )
    assert set(orjson.loads(strict.choices[0].message.content or "")) == set(schema["properties"])


async def test_images_are_accepted_and_counted(client: openai.AsyncOpenAI) -> None:
    parts = [
        {"type": "text", "text": "Hello there"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    plain = await client.chat.completions.create(model="echo", messages=HELLO)
    seen = await client.chat.completions.create(model="echo", messages=[{"role": "user", "content": parts}])  # type: ignore[list-item, misc]
    assert seen.choices[0].message.content == "Hello there"
    assert plain.usage and seen.usage
    assert seen.usage.prompt_tokens == plain.usage.prompt_tokens + 85


async def test_a_limit_is_kept(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="echo", messages=HELLO, max_completion_tokens=2)
    assert answer.choices[0].message.content == "Hello"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage and answer.usage.completion_tokens == 2


async def test_text_completions(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="echo", prompt="Say it", logprobs=1)
    assert answer.choices[0].text == "Say it"
    assert answer.choices[0].logprobs and answer.choices[0].logprobs.tokens == tokens("Say it")
    stream = await client.completions.create(model="echo", prompt="Say it", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "Say it"


async def test_embeddings_are_unit_vectors_and_near_for_near_texts(client: openai.AsyncOpenAI) -> None:
    texts = ["the red house", "the red houses", "tax law"]
    packed = await client.embeddings.create(model="any", input=texts)
    plain = await client.embeddings.create(model="any", input=texts, encoding_format="float", dimensions=16)
    red, reds, law = (item.embedding for item in packed.data)

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert cosine(red, red) == pytest.approx(1, abs=1e-5)
    assert cosine(red, reds) > cosine(red, law)
    assert [len(item.embedding) for item in plain.data] == [16, 16, 16]
    assert packed.usage.prompt_tokens == sum(len(tokens(text)) for text in texts)


async def test_models_are_listed_and_strangers_refused(client: openai.AsyncOpenAI, server: ScriptedServer) -> None:
    listed = [model.id async for model in client.models.list()]
    assert listed == [behaviour.name for behaviour in BEHAVIOURS]
    stranger = client.with_options(api_key="sk-wrong")
    with pytest.raises(openai.AuthenticationError):
        await stranger.chat.completions.create(model="any", messages=HELLO)
    assert server.calls == {}


# Behaviours on the wire.


async def test_echo_and_mirror_and_long(post: Any) -> None:
    async with post("mirror", extra={"kept": [1]}) as response:
        said = (await response.json())["choices"][0]["message"]["content"]
        assert orjson.loads(said)["extra"] == {"kept": [1]}
    async with post("long-40") as response:
        answer = await response.json()
        assert answer["usage"]["completion_tokens"] == 40 * len(tokens(" word"))


@pytest.mark.parametrize("stream", [False, True])
async def test_length_ends_early(post: Any, stream: bool) -> None:
    async with post("echo/length", stream=stream) as response:
        data = await response.read()
    assert b'"finish_reason":"length"' in data
    assert b'"finish_reason":"stop"' not in data


@pytest.mark.parametrize(("status", "retry_after"), [("rate-limited", None), ("rate-limited-3", "3")])
async def test_rate_limits(post: Any, status: str, retry_after: str | None) -> None:
    async with post(status) as response:
        assert response.status == 429
        assert response.headers.get("Retry-After") == retry_after
        assert (await response.json())["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("status", [400, 401, 404, 500, 502, 503, 529])
async def test_errors(post: Any, status: int) -> None:
    async with post(f"error-{status}") as response:
        assert response.status == status
        assert (await response.json())["error"]["message"]


@pytest.mark.parametrize("model", ["reset", "refused"])
async def test_a_reset_comes_before_any_byte(post: Any, model: str) -> None:
    with pytest.raises(aiohttp.ClientOSError) as raised:
        await post(model)
    assert raised.value.errno == 104


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reset_after_the_headers(post: Any, stream: bool) -> None:
    async with post("reset-after-headers", stream=stream) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
        assert response.content.total_bytes == 0


async def test_a_stall_sends_nothing(post: Any) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await post("stall")


async def seen_until_it_breaks(response: aiohttp.ClientResponse) -> tuple[bytes, BaseException]:
    data = b""
    try:
        async with asyncio.timeout(0.2):
            while True:
                piece = await response.content.readany()
                assert piece, "the body must not end well"
                data += piece
    except (TimeoutError, aiohttp.ClientPayloadError) as error:
        return data, error


@pytest.mark.parametrize(("model", "error"), [("stall", TimeoutError), ("cut", aiohttp.ClientPayloadError)])
@pytest.mark.parametrize("stream", [False, True])
async def test_breaking_off_midway(post: Any, model: str, error: type[Exception], stream: bool) -> None:
    async with post(f"{model}-mid-stream", stream=stream) as response:
        data, broken = await seen_until_it_breaks(response)
    assert isinstance(broken, error)
    if stream:
        assert len(list(payloads(data))) == 4, "the role and three tokens"
        assert DONE not in data
    else:
        assert 0 < len(data) < response.content_length


async def test_an_error_in_the_middle(post: Any) -> None:
    async with post("error-mid-stream", stream=True) as response:
        chunks = list(payloads(await response.read()))
    assert text_of(chunks[:-1])
    assert orjson.loads(chunks[-1])["error"]["type"] == "server_error"
    async with post("error-mid-stream") as response:
        assert response.status == 500


@pytest.mark.parametrize("model", ["malformed", "malformed-stream"])
async def test_broken_json(post: Any, model: str) -> None:
    async with post(model) as response:
        assert response.content_type == "application/json"
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(await response.read())
    async with post(model, stream=True) as response:
        *good, last = list(payloads(await response.read()))
    assert len(good) == (4 if model == "malformed-stream" else 0)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(last)


@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_and_the_wrong_thing(post: Any, stream: bool) -> None:
    async with post("empty", stream=stream) as response:
        assert (response.status, await response.read()) == (200, b"")
    async with post("wrong-type", stream=stream) as response:
        assert (response.status, response.content_type) == (200, "text/html")


@pytest.mark.parametrize("model", ["wrong-usage", "wrong-usage-1", "wrong-usage-2", "wrong-usage-3"])
async def test_usage_that_cannot_be(post: Any, model: str) -> None:
    async with post(model) as response:
        usage = (await response.json())["usage"]
    assert usage["prompt_tokens"]
    assert reported_usage(usage) is None


@pytest.mark.parametrize("stream", [False, True])
async def test_no_usage(post: Any, stream: bool) -> None:
    async with post("no-usage", stream=stream, stream_options={"include_usage": True}) as response:
        assert b'"usage"' not in await response.read()


async def test_no_done(post: Any) -> None:
    async with post("no-done", stream=True) as response:
        chunks = list(payloads(await response.read()))
    assert orjson.loads(chunks[-1])["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'"x"', b"{}", b'{"model":[],"messages":[]}', b'{"model":"scripted-tools","tools":[1]}'],
)
@pytest.mark.parametrize("path", ["chat/completions", "completions", "embeddings"])
async def test_a_request_of_the_wrong_shape_is_no_server_error(
    server: ScriptedServer, http: aiohttp.ClientSession, body: bytes, path: str
) -> None:
    async with http.post(f"{server.base_url}/{path}", data=body) as response:
        assert response.status in (200, 400)
        assert response.content_type == "application/json"


async def test_calls_are_counted_by_model(server: ScriptedServer, http: aiohttp.ClientSession, post: Any) -> None:
    for model in ("echo", "echo", "error-500"):
        async with post(model):
            pass
    async with http.get(server.base_url.replace("/v1", "/scripted/calls")) as response:
        assert await response.json() == {"calls": {"echo": 2, "error-500": 1}, "total": 3}


# In Weir's own process, and as a command.


async def test_in_process_refused_is_refused_and_flaky_counts_it() -> None:
    upstream = ScriptedUpstream("scripted")
    await upstream.start()

    def call(model: str) -> UpstreamCall:
        body = {"model": model, "messages": HELLO}
        return UpstreamCall(endpoint="chat/completions", body=body, request_id="r", first_byte_s=5, stall_s=5)

    try:
        with pytest.raises(ConnectionRefused):
            await upstream.send(call("refused"))
        with pytest.raises(ConnectionRefused):
            await upstream.open(call("flaky-1/refused/echo"))
        answer = await upstream.send(call("flaky-1/refused/echo"))
        assert answer.data["choices"][0]["message"]["content"] == "Hello there"
        assert upstream.calls == {"refused": 1, "flaky-1/refused/echo": 2}
    finally:
        await upstream.close()


async def test_a_knowledge_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.jsonl"
    path.write_text('{"questions": ["Hi?"], "answer": "Hi."}\n{"questions": [], "answer": "?"}\n')
    for wrong in (path, tmp_path / "absent.jsonl"):
        with pytest.raises(ConnectionRefused, match=wrong.name):
            await ScriptedUpstream("scripted", wrong).start()


def test_the_command_says_what_it_can_do() -> None:
    shown = CliRunner().invoke(command, ["--help"])
    assert shown.exit_code == 0
    for option in ("--port", "--knowledge", "--token"):
        assert option in shown.output


async def test_the_command_prints_its_address_and_stops_when_told(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.jsonl"
    path.write_text('{"id": "hours", "questions": ["When are you open?"], "answer": "From nine to five."}\n')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "weir", "scripted", "--knowledge", str(path), "--token", TOKEN),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        base_url = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
        asked: list[Any] = [{"role": "user", "content": "When do you open?"}]
        async with openai.AsyncOpenAI(base_url=base_url, api_key=TOKEN, max_retries=0) as client:
            answer = await client.chat.completions.create(model="any", messages=asked)
        assert (answer.choices[0].message.content or "").startswith("From nine to five.")
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0
