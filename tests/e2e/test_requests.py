"""What travels through, and what is refused at the door."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.running import RunningWeir, running_weir, write_config

HELLO = [{"role": "user", "content": "Hello"}]
PRICE = {"input": "1", "output": "2"}


@pytest.fixture(scope="module")
def weir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeir]:
    folder = tmp_path_factory.mktemp("requests")
    models = {
        name: {"upstream": "scripted", "name": name, "price": PRICE}
        for name in ("mirror", "scripted-tools", "echo")
    }
    config = write_config(
        folder, models=models, routes={}, server={"max_body_bytes": 100_000, "admin_key": "${WEIR_ADMIN_KEY}"}
    )
    with running_weir(config, folder / "state") as weir:
        yield weir


def test_unknown_fields_images_and_formats_travel_on_untouched(weir: RunningWeir) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}]
    reply = weir.client().chat.completions.create(
        model="mirror",
        messages=messages,
        response_format={"type": "json_object"},
        logprobs=True,
        extra_body={"brand_new_field": {"deep": [1, None, "é"]}},
    )
    sent = json.loads(reply.choices[0].message.content)
    assert sent["messages"] == messages
    assert sent["brand_new_field"] == {"deep": [1, None, "é"]}
    assert sent["response_format"] == {"type": "json_object"}
    assert sent["logprobs"] is True
    assert "stream_options" not in sent


def test_tools_n_and_logprobs_come_back_as_openai_sends_them(weir: RunningWeir) -> None:
    client = weir.client()
    tool: Any = {
        "type": "function",
        "function": {
            "name": "find_order",
            "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
        },
    }
    called = client.chat.completions.with_raw_response.create(model="scripted-tools", messages=HELLO, tools=[tool])
    assert called.headers["x-weir-cache"] == "bypass"
    assert called.parse().choices[0].message.tool_calls[0].function.name == "find_order"
    several = client.chat.completions.with_raw_response.create(model="echo", messages=HELLO, n=3)
    assert several.headers["x-weir-cache"] == "bypass"
    assert len(several.parse().choices) == 3
    probable = client.chat.completions.create(model="echo", messages=HELLO, logprobs=True)
    assert probable.choices[0].logprobs.content


def test_what_the_cache_is_asked_not_to_do_it_does_not(weir: RunningWeir) -> None:
    question = [{"role": "user", "content": "Is the cache polite?"}]

    def verdict(**headers: str) -> str:
        reply = weir.client().chat.completions.with_raw_response.create(
            model="echo", messages=question, extra_headers=headers
        )
        return reply.headers["x-weir-cache"]

    assert verdict(**{"Cache-Control": "no-store"}) == "bypass"
    assert verdict(**{"x-weir-cache": "bypass"}) == "bypass"
    assert verdict() == "miss"
    assert verdict() == "exact"
    assert verdict(**{"x-weir-cache": "exact"}) == "exact"
    assert verdict(**{"Cache-Control": "no-cache"}) == "bypass"
    assert verdict() == "exact"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": HELLO}, "model"),
        ({"model": 3, "messages": HELLO}, "model"),
        ({"model": "echo"}, "messages"),
        ({"model": "echo", "messages": []}, "messages"),
        ({"model": "echo", "messages": ["hi"]}, "messages[0]"),
        ({"model": "echo", "messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"model": "echo", "messages": HELLO, "temperature": "hot"}, "temperature"),
        ({"model": "echo", "messages": HELLO, "temperature": 3}, "temperature"),
        ({"model": "echo", "messages": HELLO, "n": 0}, "n"),
        ({"model": "echo", "messages": HELLO, "stream": "yes"}, "stream"),
        ({"model": "nowhere", "messages": HELLO}, "model"),
    ],
)
def test_a_wrong_request_is_told_which_field(weir: RunningWeir, body: dict[str, Any], param: str) -> None:
    status, answer = weir.send("POST", "/v1/chat/completions", "sk-weir-demo-acme", body)
    assert status == (404 if body.get("model") == "nowhere" else 400)
    assert answer["error"]["param"] == param
    assert answer["error"]["type"] == "invalid_request_error"
    assert f"'{param}'" in answer["error"]["message"] or "nowhere" in answer["error"]["message"]


def test_a_body_that_is_too_large_or_no_json_is_refused(weir: RunningWeir) -> None:
    big = {"model": "echo", "messages": [{"role": "user", "content": "x" * 100_001}]}
    status, answer = weir.send("POST", "/v1/chat/completions", "sk-weir-demo-acme", big)
    assert (status, answer["error"]["code"]) == (413, "request_too_large")
    status, answer = weir.send("POST", "/v1/chat/completions", "sk-weir-demo-acme", "just a string")
    assert (status, answer["error"]["code"]) == (400, "invalid_request")


def test_wrong_paths_and_methods_are_openai_errors_too(weir: RunningWeir) -> None:
    assert weir.get("/v1/nothing")[1]["error"]["code"] == "unknown_path"
    assert weir.get("/v1/chat/completions")[1]["error"]["code"] == "method_not_allowed"
    assert weir.send("POST", "/v1/models", "sk-weir-demo-acme")[1]["error"]["code"] == "method_not_allowed"


def test_a_revoked_or_unknown_key_is_a_401_and_nothing_else(weir: RunningWeir) -> None:
    with pytest.raises(openai.AuthenticationError) as refusal:
        weir.client("sk-weir-made-up").chat.completions.create(model="echo", messages=HELLO)
    assert refusal.value.code == "invalid_api_key"
    assert refusal.value.response.headers["www-authenticate"] == "Bearer"


def test_every_answer_says_how_it_came_about(weir: RunningWeir) -> None:
    reply = weir.client().chat.completions.with_raw_response.create(model="echo", messages=HELLO)
    names = {name for name in reply.headers if name.startswith("x-weir-")}
    assert {f"x-weir-{name}" for name in ("request-id", "route", "model", "cache", "intent", "cost")} <= names
    assert reply.headers["x-weir-route"] == "direct"


def test_metadata_becomes_tags(weir: RunningWeir) -> None:
    reply = weir.client().chat.completions.with_raw_response.create(
        model="echo", messages=HELLO, metadata={"team": "web\x00"}
    )
    decision = weir.decision(reply.headers["x-weir-request-id"])
    assert decision["tags"]["team"].startswith("web")
    assert weir.costs()["total"]["requests"] > 0


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/admin/v1/keys"])
def test_a_stranger_is_refused_before_the_body_is_read(weir: RunningWeir, path: str) -> None:
    host, port = weir.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 90000\r\n\r\n".encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 401 ")


def test_a_body_for_the_admin_that_is_no_json_says_so(weir: RunningWeir) -> None:
    request = urllib.request.Request(f"{weir.url}/admin/v1/keys", data=b"{", method="POST")
    request.add_header("Authorization", f"Bearer {weir.admin_key}")
    request.add_header("Content-Type", "application/json")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as reply:
        error = json.loads(reply.read())["error"]
    assert (reply.code, error["param"], "not valid JSON" in error["message"]) == (400, None, True)


async def test_equal_streams_that_outlast_the_deadline_are_all_answered(tmp_path: Path) -> None:
    models = {"steady": {"upstream": "scripted", "name": "slow-tokens-100/long-25", "price": PRICE}}
    routes = {"auto": {"candidates": ["steady"], "attempts": {"deadline_seconds": 1.5, "attempt_seconds": 1}}}
    config = write_config(tmp_path, models=models, routes=routes)

    async def ask(client: openai.AsyncOpenAI) -> str | None:
        stream = await client.chat.completions.create(model="auto", messages=HELLO, stream=True)
        return [chunk.choices[0].finish_reason async for chunk in stream][-1]

    with running_weir(config, tmp_path / "state") as weir:
        async with weir.async_client() as client:
            assert await asyncio.gather(*(ask(client) for _ in range(3))) == ["stop"] * 3


def test_a_client_that_offers_another_protocol_is_answered_in_this_one(weir: RunningWeir) -> None:
    """Java's HttpClient offers h2c with its first request."""
    body = json.dumps({"model": "echo", "messages": HELLO}).encode()
    request = urllib.request.Request(f"{weir.url}/v1/chat/completions", data=body, method="POST")
    request.add_header("Authorization", "Bearer sk-weir-demo-acme")
    request.add_header("Content-Type", "application/json")
    request.add_header("Upgrade", "h2c")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.loads(answer.read())["choices"][0]["message"]["content"] == "Hello"
