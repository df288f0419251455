"""Driving the attempt policy: what each upstream is asked, how its failure is noted, and who is let go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.errors import (
    BreakerOpen,
    DeadlineExceeded,
    MalformedAnswer,
    RateLimited,
    ServerFault,
    SlowUpstream,
    UpstreamRejected,
)
from contracts.ports import CacheTerms, WholeAnswer
from router.breaker import Breakers
from router.calling import Caller
from router.config import schema
from router.delivery import Tee
from router.exchange import Exchange
from tests.router.plain import (
    DONE,
    HELLO_STREAM,
    QUICK,
    PlainUpstream,
    Script,
    chat,
    chunk,
    exchange_for,
    plan,
    setup_over,
    whole,
)

HASTY = QUICK.model_copy(update={"attempt_seconds": 0.05, "retries": 0})
FAULT = ServerFault("down", status=503, detail="a provider's words")


def exchange(
    *upstreams: PlainUpstream,
    stream: bool = False,
    attempts: schema.Attempts = QUICK,
    terms: CacheTerms | None = None,
    **body: Any,
) -> Exchange:
    """A request to the route `all` over `upstreams`, each of which has the model of its name."""
    models = {upstream.name: upstream for upstream in upstreams}
    setup = setup_over(models, plan("all", *models, attempts=attempts))
    return exchange_for(setup, chat("all", stream=stream, **body), terms=terms)


def caller(failures: int = 5, keep_bytes: int = 10_000) -> Caller:
    return Caller(Breakers(schema.Breaker(failures=failures)), keep_bytes=keep_bytes)


async def test_the_first_that_answers_is_returned_with_where_it_came_from() -> None:
    answer = whole()
    upstream = PlainUpstream("a", answer)
    asked = exchange(upstream)
    deployment, began = await caller().call(asked, ["a"])
    assert (deployment.model, deployment.upstream, began) == ("a", upstream, answer)
    (attempt,) = asked.trail.attempts
    assert (attempt.model, attempt.upstream, attempt.error, attempt.status) == ("a", "a", "", None)


async def test_the_body_goes_on_untouched_under_the_upstreams_own_name() -> None:
    upstream = PlainUpstream("a", whole())
    asked = exchange(upstream, brand_new={"deep": [1]}, stream_options={"odd": 1})
    await caller().call(asked, ["a"])
    (call,) = upstream.calls
    assert call.body == {**asked.body, "model": "a"}
    assert asked.body["model"] == "all"
    assert (call.endpoint, call.request_id) == ("chat/completions", asked.trail.request_id)
    assert (call.first_byte_s, call.stall_s) == (QUICK.attempt_seconds, QUICK.stall_seconds)


async def test_usage_is_asked_for_in_every_stream() -> None:
    upstream = PlainUpstream("a", Script(*HELLO_STREAM))
    asked = exchange(upstream, stream=True, stream_options={"odd": 1, "include_usage": False})
    await caller().call(asked, ["a"])
    assert upstream.calls[0].body["stream_options"] == {"odd": 1, "include_usage": True}
    assert asked.body["stream_options"] == {"odd": 1, "include_usage": False}


async def test_a_stream_is_returned_at_its_first_token() -> None:
    script = Script(*HELLO_STREAM)
    _, began = await caller().call(exchange(PlainUpstream("a", script), stream=True), ["a"])
    assert isinstance(began, tuple)
    tee, head = began
    assert isinstance(tee, Tee)
    assert head == chunk("He")
    assert (script.left, script.closed) == (len(HELLO_STREAM) - 1, 0)


@pytest.mark.parametrize(("store", "kept"), [(True, True), (False, False)])
async def test_a_stream_is_remembered_only_where_it_may_be_stored(store: bool, kept: bool) -> None:
    terms = CacheTerms(lookup=True, store=store)
    asked = exchange(PlainUpstream("a", Script(*HELLO_STREAM)), stream=True, terms=terms)
    _, began = await caller().call(asked, ["a"])
    assert isinstance(began, tuple)
    assert (began[0].assembly is not None) is kept


async def test_each_failure_is_noted_and_the_next_model_tried() -> None:
    asked = exchange(PlainUpstream("a", FAULT), PlainUpstream("b", whole()))
    deployment, _ = await caller().call(asked, ["a", "b"])
    assert deployment.model == "b"
    assert [(a.model, a.error, a.status, a.detail) for a in asked.trail.attempts] == [
        ("a", "upstream_server_error", 503, "a provider's words"),
        ("a", "upstream_server_error", 503, "a provider's words"),
        ("b", "", None, ""),
    ]
    begun = [attempt.started_ms for attempt in asked.trail.attempts]
    assert begun == sorted(begun)


async def test_a_stream_that_fails_before_its_first_token_is_closed_and_tried_again() -> None:
    bad, good = Script(chunk(), DONE), Script(*HELLO_STREAM)
    asked = exchange(PlainUpstream("a", bad, good), stream=True)
    _, began = await caller().call(asked, ["a"])
    assert isinstance(began, tuple)
    assert [attempt.error for attempt in asked.trail.attempts] == [MalformedAnswer.code, ""]
    assert (bad.closed, good.closed) == (1, 0)


async def test_a_rejected_request_is_tried_nowhere_else() -> None:
    other = PlainUpstream("b", whole())
    with pytest.raises(UpstreamRejected):
        await caller().call(exchange(PlainUpstream("a", UpstreamRejected("no", status=400)), other), ["a", "b"])
    assert other.calls == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_is_slow_to_begin_is_given_up(stream: bool) -> None:
    silent = Script(chunk(), asyncio.Event())
    upstream = PlainUpstream("a", silent, gate=None if stream else asyncio.Event())
    asked = exchange(upstream, stream=stream, attempts=HASTY)
    with pytest.raises(SlowUpstream):
        await caller().call(asked, ["a"])
    assert [attempt.error for attempt in asked.trail.attempts] == ["upstream_slow"]
    assert silent.closed == stream


async def test_the_deadline_counts_from_arrival() -> None:
    asked = exchange(PlainUpstream("a", whole()), attempts=QUICK.model_copy(update={"deadline_seconds": 5}))
    asked.trail.arrived -= 5
    with pytest.raises(DeadlineExceeded):
        await caller().call(asked, ["a"])
    assert asked.trail.attempts == []


async def test_a_whole_answer_or_a_failure_is_told_to_the_breaker() -> None:
    calls = caller(failures=2)
    with pytest.raises(ServerFault):
        await calls.call(exchange(PlainUpstream("a", FAULT)), ["a"])
    with pytest.raises(BreakerOpen):
        await calls.call(exchange(PlainUpstream("a", whole())), ["a"])
    calls.breakers.of("a").record_success()
    for _ in range(3):
        _, began = await calls.call(exchange(PlainUpstream("a", FAULT, whole())), ["a"])
        assert isinstance(began, WholeAnswer)


async def test_a_stream_that_has_begun_is_no_success_yet() -> None:
    calls = caller(failures=2)
    hasty = QUICK.model_copy(update={"retries": 0})
    with pytest.raises(ServerFault):
        await calls.call(exchange(PlainUpstream("a", FAULT), attempts=hasty), ["a"])
    await calls.call(exchange(PlainUpstream("a", Script(*HELLO_STREAM)), stream=True), ["a"])
    with pytest.raises(ServerFault):
        await calls.call(exchange(PlainUpstream("a", FAULT), attempts=hasty), ["a"])
    with pytest.raises(BreakerOpen):
        await calls.call(exchange(PlainUpstream("a", whole())), ["a"])


async def test_one_that_asks_to_be_left_alone_is_left_for_the_next() -> None:
    calls = caller()
    busy = PlainUpstream("a", RateLimited("later", status=429, retry_after_s=60))
    asked = exchange(busy, PlainUpstream("b", whole()))
    deployment, _ = await calls.call(asked, ["a", "b"])
    assert (deployment.model, len(busy.calls)) == ("b", 1)
    deployment, _ = await calls.call(exchange(busy, PlainUpstream("b", whole())), ["a", "b"])
    assert (deployment.model, len(busy.calls)) == ("b", 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_call_is_nobodys_fault_and_lets_go_of_its_stream(stream: bool) -> None:
    calls = caller(failures=1)
    silent = Script(chunk(), asyncio.Event())
    upstream = PlainUpstream("a", silent, gate=None if stream else asyncio.Event())
    calling = asyncio.create_task(calls.call(exchange(upstream, stream=stream), ["a"]))
    await upstream.called.wait()
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert silent.closed == stream
    _, began = await calls.call(exchange(PlainUpstream("a", whole())), ["a"])
    assert isinstance(began, WholeAnswer)
