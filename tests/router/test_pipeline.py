"""The whole story in one process, over the shipped cache, spool and keyring: what is answered, kept, written down.

Every test here also checks what `works_over` does at its end: all permits have been given back.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.errors import (
    Abandoned,
    BreakerOpen,
    InvalidRequest,
    KeyMissing,
    KeysUnavailable,
    LedgerUnavailable,
    Overloaded,
    ServerFault,
    ShuttingDown,
    StreamCut,
    UnknownModel,
    UpstreamRejected,
    WeirError,
)
from contracts.money import ZERO
from contracts.ports import Query
from contracts.records import DIRECT, Decision, Endpoint
from prompts.prompt import BookedPrompt
from router.choice.fixed import FixedChoice
from router.upstreams.scripted import ScriptedUpstream
from tests.router.plain import (
    COST,
    DONE,
    HELLO_STREAM,
    SECRET,
    UNKEPT,
    PlainUpstream,
    Script,
    Works,
    ask_and_read,
    chat,
    chunk,
    incoming,
    plan,
    read_out,
    setup_over,
    text_in,
    text_of,
    ticks,
    whole,
    works_over,
)

SCRIPTED = ("echo", "no-usage", "error-500", "error-422", "cut-mid-stream", "slow-tokens-1", "long-2000", "any")


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedUpstream]:
    upstream = ScriptedUpstream("scripted")
    await upstream.start()
    yield upstream
    await upstream.close()


@pytest.fixture
async def works(scripted: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Works]:
    """Every scripted model by its own name, and two routes."""
    setup = setup_over(
        dict.fromkeys(SCRIPTED, scripted),
        plan("support", "echo", "any", prompt=BookedPrompt.plain("Be brief.", "prepend").filled()),
        plan("guarded", "error-500", "echo"),
    )
    async with works_over(setup, tmp_path) as works:
        yield works


# --- answers and their events


async def test_a_whole_answer_is_billed_and_written_down(works: Works) -> None:
    reply = await works.ask(chat("echo", metadata={"feature": "search"}))
    assert text_of(reply.body) == "Hello"
    (event,) = works.events
    assert event == works.told[0]
    assert (event.outcome, event.status, event.error, event.verdict.kind) == ("answered", 200, "", "miss")
    assert (event.tenant, event.key_id, event.route, event.requested_model) == ("acme", "acme/main", DIRECT, "echo")
    assert (event.model, event.upstream, event.policy_version) == ("echo", "scripted", "named")
    assert (event.usage.source, event.priced_by, event.tags) == ("reported", "config", {"feature": "search"})
    assert event.cost == (event.usage.prompt + 2 * event.usage.completion) * Decimal("0.000001") > 0
    assert [attempt.error for attempt in event.attempts] == [""]
    assert reply.headers["x-weir-request-id"] == event.request_id
    assert Decimal(reply.headers["x-weir-cost"]) == event.cost


async def test_so_is_a_streamed_one_before_its_end_is_sent(works: Works) -> None:
    reply = await works.ask(chat("slow-tokens-1", stream=True))
    assert reply.stream is not None
    assert "x-weir-cost" not in reply.headers
    sent = []
    while part := await reply.stream.next():
        assert len(works.events) == part.endswith(DONE)
        sent.append(part)
    await reply.stream.close()
    (event,) = works.events
    assert (event.outcome, event.stream, event.usage.source) == ("answered", True, "reported")
    assert event.first_token_ms is not None
    assert event.cost > 0
    assert b'"usage"' not in b"".join(sent).replace(b'"usage":null', b"")


async def test_usage_that_was_not_reported_is_estimated(works: Works) -> None:
    await works.ask(chat("no-usage"))
    await read_out(await works.ask(chat("no-usage", "Hello again", stream=True)))
    for event in works.events:
        assert (event.usage.source, event.usage.method) == ("estimated", "bytes/4")
        assert event.cost > 0


async def test_a_route_is_answered_with_its_prompt_by_its_first_candidate(works: Works) -> None:
    reply = await works.ask(chat("support"))
    (event,) = works.events
    assert (event.route, event.requested_model, event.model) == ("support", "support", "echo")
    assert event.policy_version == "fixed:first"
    assert event.prompt_version == reply.headers["x-weir-prompt"] != ""
    assert event.decision is not None
    assert [candidate.model for candidate in event.decision.candidates] == ["echo", "any"]


async def test_a_model_named_directly_stands_alone_and_apart_from_the_route(works: Works) -> None:
    assert (await works.ask(chat("support"))).headers["x-weir-cache"] == "miss"
    reply = await works.ask(chat("echo"))
    assert (reply.headers["x-weir-cache"], reply.headers["x-weir-route"]) == ("miss", DIRECT)
    assert "x-weir-prompt" not in reply.headers
    with pytest.raises(ServerFault):
        await works.ask(chat("error-500"))
    assert [len(event.attempts) for event in works.events] == [1, 1, 2]


async def test_the_next_candidate_answers_for_one_that_fails(works: Works) -> None:
    reply = await works.ask(chat("guarded"))
    assert reply.headers["x-weir-model"] == "echo"
    (event,) = works.events
    assert event.outcome == "answered"
    assert [attempt.error for attempt in event.attempts] == ["upstream_server_error", "upstream_server_error", ""]


async def test_several_choices_are_streamed_and_not_stored(works: Works) -> None:
    for _ in range(2):
        reply = await works.ask(chat("echo", stream=True, n=3))
        assert reply.headers["x-weir-cache"] == "bypass"
        events = await read_out(reply)
        assert [text_in(events, index) for index in range(3)] == ["Hello"] * 3
        assert events.endswith(DONE)
    assert [event.outcome for event in works.events] == ["answered"] * 2
    assert len(works.cache) == 0


async def test_completions_and_embeddings_take_the_same_way(works: Works) -> None:
    requests: Mapping[Endpoint, Mapping[str, Any]] = {
        "completions": {"model": "echo", "prompt": "Hello"},
        "embeddings": {"model": "any", "input": ["Hello"]},
    }
    for endpoint, body in requests.items():
        for verdict in ("miss", "exact"):
            reply = await works.ask(body, endpoint)
            assert reply.headers["x-weir-cache"] == verdict
    assert [event.endpoint for event in works.events] == ["completions"] * 2 + ["embeddings"] * 2


async def test_embeddings_are_never_streamed(works: Works) -> None:
    """OpenAI has no such field there, but a client may send it."""
    for verdict in ("miss", "exact"):
        body = {"model": "any", "input": ["Hello"], "stream": True}
        reply = await works.ask(body, "embeddings")
        assert reply.headers["x-weir-cache"] == verdict
        assert orjson.loads(reply.body)["data"]
    assert [event.stream for event in works.events] == [False, False]


# --- the cache


async def test_a_hit_costs_nothing_and_says_what_it_saved(works: Works) -> None:
    first = await works.ask(chat("echo"))
    second = await works.ask(chat("echo"))
    assert text_of(second.body) == text_of(first.body)
    paid, saved = works.events
    assert (saved.verdict.kind, saved.cost, saved.saved) == ("exact", ZERO, paid.cost)
    assert (saved.usage.source, saved.usage.total, saved.priced_by) == ("cache", 0, "cache")
    assert (saved.model, saved.attempts, saved.decision) == ("echo", (), None)
    assert saved.verdict.entry_id
    assert second.headers["x-weir-cost"] == "0"


@pytest.mark.parametrize("first", [True, False])
async def test_an_answer_is_kept_and_given_either_way(works: Works, first: bool) -> None:
    asked = await works.ask(chat("echo", stream=first))
    answered = await read_out(asked)
    again = await works.ask(chat("echo", stream=not first, stream_options={"include_usage": True}))
    replayed = await read_out(again)
    assert again.headers["x-weir-cache"] == "exact"
    streamed, body = (answered, replayed) if first else (replayed, answered)
    assert text_in(streamed) == text_of(body) == "Hello"
    assert b'"total_tokens"' in replayed
    assert [event.stream for event in works.events] == [first, not first]


async def test_what_may_not_be_stored_is_not(works: Works) -> None:
    await works.ask(chat("echo"), cache_control="no-store")
    assert len(works.cache) == 0
    assert works.events[0].verdict.kind == "bypass"


async def test_a_fresh_answer_replaces_the_stored_one(tmp_path: Path) -> None:
    upstream = PlainUpstream("plain", whole("old"), whole("new"))
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        assert text_of((await works.ask(chat())).body) == "old"
        fresh = await works.ask(chat(), cache_control="no-cache")
        assert (fresh.headers["x-weir-cache"], text_of(fresh.body)) == ("bypass", "new")
        assert text_of((await works.ask(chat())).body) == "new"


async def test_a_route_that_keeps_nothing_keeps_nothing(tmp_path: Path) -> None:
    upstream = PlainUpstream("plain", whole())
    setup = setup_over({"good": upstream}, plan("fresh", "good", cache=UNKEPT))
    async with works_over(setup, tmp_path) as works:
        for _ in range(2):
            await works.ask(chat("fresh"))
        assert len(works.cache) == 0
        assert {event.verdict.reason for event in works.events} == {"the route keeps no answers"}


@pytest.mark.parametrize(
    "answer",
    [whole(finish="length"), Script(chunk("He"), chunk(finish="length"), DONE), Script(chunk("He"), DONE)],
    ids=["whole", "streamed", "streamed without a finish"],
)
async def test_an_unfinished_answer_is_not_stored(tmp_path: Path, answer: Any) -> None:
    upstream = PlainUpstream("plain", answer)
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        await read_out(await works.ask(chat(stream=isinstance(answer, Script))))
        assert len(works.cache) == 0
        assert works.events[0].outcome == "answered"


async def test_a_stream_too_long_to_keep_is_passed_on_all_the_same(works: Works) -> None:
    await read_out(await works.ask(chat("long-2000", stream=True)))
    assert len(works.cache) == 0
    assert works.events[0].usage.completion == 2000


# --- failures


async def test_a_cut_stream_is_billed_and_not_stored(works: Works) -> None:
    reply = await works.ask(chat("cut-mid-stream", "one two three four five", stream=True))
    with pytest.raises(StreamCut):
        await read_out(reply)
    (event,) = works.events
    assert (event.outcome, event.status, event.error) == ("cut", 200, "upstream_cut")
    assert event.usage.source == "estimated"
    assert event.cost > 0
    assert len(works.cache) == 0


async def test_the_breaker_hears_how_a_stream_ended(tmp_path: Path) -> None:
    cut = [Script(chunk("He"), StreamCut("lost")) for _ in range(5)]
    upstream = PlainUpstream("plain", *cut, Script(*HELLO_STREAM))
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        for number in range(5):
            with pytest.raises(StreamCut):
                await read_out(await works.ask(chat(text=str(number), stream=True)))
        with pytest.raises(BreakerOpen):
            await works.ask(chat(stream=True))
        works.breakers.of("good").record_success()
        await read_out(await works.ask(chat(stream=True)))
        assert [event.outcome for event in works.events] == ["cut"] * 5 + ["failed", "answered"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_is_an_event_with_its_status_and_no_cost(works: Works, stream: bool) -> None:
    with pytest.raises(UpstreamRejected):
        await works.ask(chat("error-422", stream=stream))
    (event,) = works.events
    assert (event.outcome, event.status, event.error) == ("failed", 422, "upstream_rejected")
    assert (event.model, event.cost, event.usage.source) == ("", ZERO, "none")


async def test_a_fault_of_our_own_is_an_event_too(tmp_path: Path) -> None:
    async with works_over(setup_over({"good": PlainUpstream("plain", KeyError("bug"))}), tmp_path) as works:
        with pytest.raises(KeyError):
            await works.ask(chat())
        (event,) = works.events
        assert (event.outcome, event.status, event.error) == ("failed", 500, "internal_error")


async def test_a_stream_too_deep_to_be_written_again_is_passed_on_and_settled(tmp_path: Path) -> None:
    """orjson reads deeper than it writes, so such an answer cannot be put together for the cache."""
    deep = chunk("x", finish="stop", extra=orjson.Fragment(b"[" * 500 + b"]" * 500))
    upstream = PlainUpstream("plain", Script(deep, DONE))
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        assert await read_out(await works.ask(chat(stream=True))) == deep + DONE
        assert [event.outcome for event in works.events] == ["answered"]
        assert len(works.cache) == 0


@pytest.mark.parametrize(
    ("body", "authorization", "refusal"),
    [
        (b"{", f"Bearer {SECRET}", InvalidRequest),
        (b"[]", f"Bearer {SECRET}", InvalidRequest),
        (chat("nowhere"), f"Bearer {SECRET}", UnknownModel),
        (chat("echo"), "Bearer sk-weir-other", KeysUnavailable),
        (chat("echo"), "", KeyMissing),
    ],
)
async def test_what_is_refused_at_the_door_leaves_no_event_and_takes_no_permit(
    works: Works, body: bytes | Mapping[str, Any], authorization: str, refusal: type[WeirError]
) -> None:
    asked = incoming(body, authorization=authorization)
    with pytest.raises(refusal):
        works.pipeline.recognise(asked.headers)
        await works.pipeline.answer(asked)
    assert works.events == works.told == []


async def test_a_full_or_closed_house_refuses_without_an_event(tmp_path: Path) -> None:
    gate = asyncio.Event()
    upstream = PlainUpstream("plain", whole(), gate=gate)
    async with works_over(setup_over({"good": upstream}), tmp_path, most=1) as works:
        inside = asyncio.create_task(works.ask(chat()))
        await upstream.called.wait()
        with pytest.raises(Overloaded):
            await works.ask(chat(text="Another"))
        works.permits.close()
        with pytest.raises(ShuttingDown):
            await works.ask(chat(text="Another"))
        gate.set()
        assert text_of((await inside).body) == "Hello"
        assert len(works.events) == 1


# --- the ledger


async def test_without_a_ledger_nothing_is_asked_of_a_model(tmp_path: Path) -> None:
    upstream = PlainUpstream("plain", whole())
    async with works_over(setup_over({"good": upstream}), tmp_path, max_bytes=1) as works:
        await works.ask(chat())
        with pytest.raises(LedgerUnavailable) as refusal:
            await works.ask(chat(text="Another"))
        assert refusal.value.retry_after_s
        assert len(upstream.calls) == 1
        assert len(works.events) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_cannot_be_written_down_is_not_given_or_kept(tmp_path: Path, stream: bool) -> None:
    gate = asyncio.Event()
    upstream = PlainUpstream("plain", Script(*HELLO_STREAM) if stream else whole(), gate=gate)
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        asking = asyncio.create_task(ask_and_read(works, chat(stream=stream)))
        await upstream.called.wait()
        works.spool.close()
        gate.set()
        with pytest.raises(LedgerUnavailable):
            await asking
        assert len(works.cache) == 0
        assert len(works.told) == 1


# --- hang-ups and cancellation


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_cancelled_while_its_model_thinks_is_settled(tmp_path: Path, stream: bool) -> None:
    upstream = PlainUpstream("plain", whole(), gate=asyncio.Event())
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        asking = asyncio.create_task(works.ask(chat(stream=stream)))
        await upstream.called.wait()
        assert works.permits.taken == 1
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        (event,) = works.events
        assert (event.outcome, event.status, event.error) == ("failed", 499, "abandoned")


async def test_a_stream_given_up_in_the_middle_is_billed_for_what_was_read(tmp_path: Path) -> None:
    script = Script(chunk("He"), chunk("llo"), asyncio.Event())
    async with works_over(setup_over({"good": PlainUpstream("plain", script)}), tmp_path) as works:
        reading = asyncio.create_task(ask_and_read(works, chat(stream=True)))
        await ticks(lambda: script.left == 1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        (event,) = works.events
        assert (event.outcome, event.error) == ("cut", "abandoned")
        assert event.cost > 0
        assert script.closed
        assert works.breakers.of("good").allows(0.0)


async def test_a_hung_up_stream_that_is_read_to_its_end_is_answered_and_stored(tmp_path: Path) -> None:
    upstream = PlainUpstream("plain", Script(*HELLO_STREAM))
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        reply = await works.ask(chat(stream=True))
        assert reply.stream is not None
        reply.stream.hang_up()
        await read_out(reply)
        (event,) = works.events
        assert (event.outcome, event.hung_up, event.cost) == ("answered", True, COST)
        assert len(works.cache) == 1


async def test_one_that_is_not_says_so_and_blames_nobody(tmp_path: Path) -> None:
    upstream = PlainUpstream("plain", Script(*HELLO_STREAM))
    async with works_over(setup_over({"good": upstream}), tmp_path, drain_s=-1) as works:
        reply = await works.ask(chat(stream=True))
        assert reply.stream is not None
        assert await reply.stream.next()
        reply.stream.hang_up()
        with pytest.raises(Abandoned):
            await read_out(reply)
        (event,) = works.events
        assert (event.outcome, event.error, event.hung_up) == ("cut", "abandoned", True)
        assert len(works.cache) == 0


# --- choice and reload


class Broken(FixedChoice):
    """A policy that cannot choose."""

    async def choose(self, query: Query, models: Sequence[str], *, dry: bool = False) -> Decision:
        raise LookupError("no classifier")


async def test_a_policy_that_fails_costs_the_choice_not_the_answer(tmp_path: Path) -> None:
    models = {name: PlainUpstream(name, whole(name)) for name in ("large", "small")}
    setup = setup_over(models, plan("clever", "large", "small", policy=Broken(None)))
    async with works_over(setup, tmp_path) as works:
        reply = await works.ask(chat("clever"))
        assert reply.headers["x-weir-degraded"] == "policy"
        (event,) = works.events
        assert event.decision is not None
        assert (event.model, event.decision.degraded) == ("large", "policy")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_keeps_the_setup_it_began_with(tmp_path: Path, stream: bool) -> None:
    gate, rest = asyncio.Event(), asyncio.Event()
    old = PlainUpstream("old", Script(chunk("He"), rest, *HELLO_STREAM[1:]) if stream else whole(), gate=gate)
    new = PlainUpstream("new", whole("New"))
    async with works_over(setup_over({"good": old}), tmp_path) as works:
        leaves = asyncio.Event()
        loop = asyncio.get_running_loop()
        weakref.finalize(works.pipeline.setup, loop.call_soon, leaves.set)
        asking = asyncio.create_task(ask_and_read(works, chat(stream=stream)))
        await old.called.wait()
        works.pipeline.setup = setup_over({"better": new})
        gate.set()
        with pytest.raises(UnknownModel):
            await works.ask(chat())
        assert text_of((await works.ask(chat("better"))).body) == "New"
        if stream:
            assert not leaves.is_set()
        rest.set()
        assert b"He" in await asking
        del asking
        gc.collect()
        await asyncio.sleep(0)
        assert leaves.is_set()
        assert {event.upstream for event in works.events} == {"old", "new"}
        assert all(event.cost > 0 for event in works.events)
