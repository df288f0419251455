from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import orjson
import pytest
from aiohttp import web

from evals.targets.base_url import BaseUrlTarget
from evals.targets.port import TargetFailure
from evals.targets.prices import stated_price
from tests.evals.targets.servers import HELLO, nobody, scripted, serving

SECRET = "sk-very-secret-4711"


@asynccontextmanager
async def started(model: str, base_url: str, key: str = "", **options: Any) -> AsyncIterator[BaseUrlTarget]:
    target = BaseUrlTarget(model, base_url, key, **{"timeout_s": 10, **options})
    await target.start()
    try:
        yield target
    finally:
        await target.close()


async def test_an_answer_comes_with_its_tokens_cost_and_time() -> None:
    price = stated_price("input=1000000,output=1000000")
    async with scripted() as server, started("echo", server.base_url, price=price) as target:
        answer = await target.ask(HELLO)
    assert (answer.text, answer.finish, answer.model) == ("Hello there", "stop", "echo")
    assert answer.prompt_tokens > 0
    assert answer.cost == answer.prompt_tokens + answer.completion_tokens
    assert answer.latency_ms


async def test_a_model_that_no_list_has_costs_nobody_knows_what() -> None:
    async with scripted() as server, started("echo", server.base_url) as target:
        assert (await target.ask(HELLO)).cost is None
        assert target.price() is None
        answer, price = await target.ask(HELLO, model="gpt-5.1"), target.price("gpt-5.1")
    assert price is not None
    assert answer.cost == price.cost(answer.prompt_tokens, answer.completion_tokens) > 0


async def test_another_model_is_asked_by_its_name() -> None:
    async with scripted() as server, started("echo", server.base_url) as target:
        await target.ask(HELLO, model="mirror")
        assert server.calls == {"mirror": 1}


@pytest.mark.parametrize(
    ("model", "code", "expected"),
    [
        ("rate-limited-3", "rate_limit_error", {"retryable": True, "slow_down": True, "retry_after_s": 3.0}),
        ("rate-limited", "rate_limit_error", {"retryable": True, "slow_down": True, "retry_after_s": None}),
        ("error-500", "server_error", {"retryable": True, "slow_down": False}),
        ("error-400", "invalid_request_error", {"retryable": False, "fatal": False}),
        ("error-402", "invalid_request_error", {"retryable": False, "fatal": True}),
        ("error-404", "invalid_request_error", {"retryable": False, "fatal": True}),
        ("reset", "reset", {"retryable": True, "fatal": False}),
        ("reset-after-headers", "reset", {"retryable": True}),
        ("cut-mid-stream", "reset", {"retryable": True}),
        ("malformed", "malformed", {"retryable": True}),
        ("empty", "malformed", {"retryable": True}),
        ("wrong-type", "malformed", {"retryable": True}),
    ],
)
async def test_each_fault_has_its_name(model: str, code: str, expected: dict[str, Any]) -> None:
    async with scripted() as server, started(model, server.base_url) as target:
        with pytest.raises(TargetFailure) as caught:
            await target.ask(HELLO)
    assert caught.value.code == code
    assert {name: getattr(caught.value, name) for name in expected} == expected


@pytest.mark.parametrize("model", ["stall", "stall-mid-stream"])
async def test_who_falls_silent_is_given_up(model: str) -> None:
    async with scripted() as server, started(model, server.base_url, timeout_s=0.3) as target:
        with pytest.raises(TargetFailure) as caught:
            await target.ask(HELLO)
    assert (caught.value.code, caught.value.retryable) == ("timeout", True)


async def test_a_server_that_has_gone_is_unreachable_for_now() -> None:
    async with scripted() as server:
        target = BaseUrlTarget("echo", server.base_url, timeout_s=5)
        await target.start()
    failures = []
    for _ in range(2):  # the first may still go out on the connection that was kept
        with pytest.raises(TargetFailure) as caught:
            await target.ask(HELLO)
        failures.append(caught.value)
    assert failures[1].code == "unreachable"
    assert all(failure.retryable and not failure.fatal for failure in failures)
    await target.close()


async def test_where_nobody_listens_a_start_says_what_to_do() -> None:
    target = BaseUrlTarget("echo", nobody(), SECRET, timeout_s=5)
    with pytest.raises(TargetFailure, match=r"No server answers at .*weir serve.*--base-url") as caught:
        await target.start()
    assert caught.value.fatal


async def test_a_wrong_key_is_told_at_the_start_without_the_key() -> None:
    async with scripted("sk-right") as server:
        with pytest.raises(TargetFailure, match="WEIR_API_KEY") as caught:
            await BaseUrlTarget("echo", server.base_url, SECRET, timeout_s=5).start()
        assert (caught.value.code, caught.value.fatal) == ("invalid_api_key", True)
        async with started("echo", server.base_url, "sk-right") as target:
            assert (await target.ask(HELLO)).text == "Hello there"


async def test_no_secret_is_in_a_name_a_version_or_an_error() -> None:
    async def refuse(request: web.Request) -> web.Response:
        quoted = {"error": {"message": f"{request.headers['authorization']} is wrong", "code": "invalid_api_key"}}
        return web.json_response(quoted, status=401)

    async with serving(("POST", "/chat/completions", refuse)) as base_url:
        one, other = (BaseUrlTarget("echo", base_url, key, timeout_s=5) for key in (SECRET, "another"))
        assert (one.name, one.version) == (other.name, other.version)
        await one.start()  # a server without a list of models will do
        with pytest.raises(TargetFailure) as caught:
            await one.ask(HELLO)
        await one.close()
    assert SECRET not in f"{caught.value} {caught.value!r} {one.name} {one!r}"


async def test_versions_differ_by_address_and_model() -> None:
    versions = {
        BaseUrlTarget(model, base_url, timeout_s=1).version
        for model in ("a", "b")
        for base_url in ("http://one/v1", "http://two/v1")
    }
    assert len(versions) == 4
    same = [BaseUrlTarget("a", url, timeout_s=1).version for url in ("http://one/v1", "http://ONE/v1/ ")]
    assert same[0] == same[1]


async def test_a_weir_is_told_that_it_is_an_eval_and_that_answers_must_be_fresh() -> None:
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.headers.get("x-weir-purpose"), request.headers.get("cache-control")))
        body = {"choices": [{"message": {"content": "Hi"}}]}
        return web.json_response(body, headers={"X-Weir-Cost": "0.5", "X-Weir-Cache": "bypass"})

    async with serving(("POST", "/chat/completions", answer)) as base_url, started("echo", base_url) as target:
        told = await target.ask(HELLO)
        await target.ask(HELLO, fresh=False)
    assert seen == [("eval", "no-store"), ("eval", None)]
    assert (told.cost, told.evidence) == (Decimal("0.5"), {"cache": "bypass"})


async def test_an_unknown_model_is_told_with_what_the_server_lists() -> None:
    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "auto"}, {"id": "support"}]})

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "No such.", "code": "model_not_found"}}, status=404)

    routes = ("GET", "/models", models), ("POST", "/chat/completions", refuse)
    async with serving(*routes) as base_url, started("nope", base_url) as target:
        with pytest.raises(TargetFailure, match="There are: auto, support") as caught:
            await target.ask(HELLO)
    assert caught.value.fatal


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    came = []

    async def elsewhere(request: web.Request) -> web.Response:
        came.append(request.path)
        raise web.HTTPTemporaryRedirect("/v1/trap")

    async def trap(request: web.Request) -> web.Response:
        came.append(request.path)
        return web.json_response({})

    routes = ("POST", "/chat/completions", elsewhere), ("POST", "/trap", trap)
    async with serving(*routes) as base_url, started("echo", base_url, SECRET) as target:
        with pytest.raises(TargetFailure, match="leads elsewhere") as caught:
            await target.ask(HELLO)
    assert caught.value.fatal
    assert came == ["/v1/chat/completions"]


async def test_a_proxy_is_never_asked_for_what_is_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", nobody())
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with scripted() as server, started("echo", server.base_url) as target:
        assert (await target.ask(HELLO)).text == "Hello there"


async def test_connections_are_kept_and_used_again() -> None:
    ports = set()

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.json_response({"choices": [{"message": {"content": "Hi"}}]})

    async with serving(("POST", "/chat/completions", answer)) as base_url, started("echo", base_url) as target:
        for _ in range(5):
            await target.ask(HELLO)
    assert len(ports) == 1


async def test_cancelling_gives_the_connection_up() -> None:
    gone = asyncio.Event()

    async def stall(_: web.Request) -> web.Response:
        try:
            await asyncio.sleep(60)
        finally:
            gone.set()
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/chat/completions", stall)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    async with started("echo", base_url) as target:
        asking = asyncio.create_task(target.ask(HELLO))
        await asyncio.sleep(0.1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(5):
            await gone.wait()
    await runner.cleanup()


@pytest.mark.parametrize(
    "base_url",
    ["", "127.0.0.1:8080/v1", "ftp://host/v1", "http://user:secret@host/v1", "http://host/v1?key=secret"],
)
def test_a_base_url_that_is_none_is_refused_without_being_quoted(base_url: str) -> None:
    with pytest.raises(ValueError, match="a base URL") as caught:
        BaseUrlTarget("echo", base_url, timeout_s=1)
    assert "secret" not in str(caught.value)


def test_a_key_with_a_line_break_is_refused_without_being_quoted() -> None:
    with pytest.raises(ValueError, match="the key holds") as caught:
        BaseUrlTarget("echo", "http://host/v1", f"{SECRET}\n", timeout_s=1)
    assert SECRET not in str(caught.value)


async def test_the_body_goes_out_as_it_is_but_whole_and_with_its_model() -> None:
    async with scripted() as server, started("mirror", server.base_url) as target:
        sent = orjson.loads((await target.ask({**HELLO, "temperature": 0, "stream": True})).text)
    assert sent == {**HELLO, "temperature": 0, "model": "mirror"}
