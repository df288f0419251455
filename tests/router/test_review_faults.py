"""Judged answers where something goes wrong: no better model, a cheap one that breaks off, a client that leaves.

Every test here also checks what `works_over` does at its end: all permits have been given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errors import RateLimited, ServerFault, StreamCut, UpstreamRejected
from contracts.ports import CheckTerms
from contracts.records import UsageEvent
from router.config import schema
from tests.router.doubting import (
    BAD,
    BETTER,
    GOOD,
    Doubting,
    answer,
    ask_and_read,
    check_of,
    piece,
    reviewed,
    said,
    stream_of,
    streamed,
)
from tests.router.plain import (
    COST,
    DONE,
    QUICK,
    USAGE,
    PlainUpstream,
    Script,
    Works,
    chat,
    plan,
    read_out,
    setup_over,
    whole,
    works_over,
)

ONCE = QUICK.model_copy(update={"retries": 0})


async def ticks(until: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not until():  # noqa: ASYNC110 - what is waited for is inside the pipeline
            await asyncio.sleep(0)


# --- no better answer to be had


@pytest.mark.parametrize(
    "failure",
    [ServerFault("down"), UpstreamRejected("no", status=400), RateLimited("later", retry_after_s=60)],
    ids=lambda failure: failure.code,
)
@streamed
async def test_where_the_better_model_fails_the_doubted_answer_is_better_than_none(
    tmp_path: Path, stream: bool, failure: ServerFault
) -> None:
    doubted = answer(BAD, stream)
    cheap, strong = PlainUpstream("cheap", doubted), PlainUpstream("strong", failure)
    async with reviewed(tmp_path, Doubting(), cheap, strong) as works:
        reply = await works.ask(chat("support", stream=stream))
        assert reply.headers["x-weir-model"] == "cheap"
        assert await said(reply) == BAD
        (event,) = works.events
        assert (event.model, event.cost, event.outcome, event.usage.total) == ("cheap", COST, "answered", 5)
        assert (event.attempts[0].usage, event.attempts[0].cost) == (None, None)
        assert {attempt.error for attempt in event.attempts[1:]} == {failure.code}
        assert check_of(event).escalated
        assert len(cheap.calls) == 1
        assert not isinstance(doubted, Script) or doubted.closed == 1


@streamed
async def test_so_it_is_where_there_is_no_other_model(tmp_path: Path, stream: bool) -> None:
    models = {"cheap": PlainUpstream("cheap", answer(BAD, stream))}
    route = plan("support", "cheap", policy=Doubting())
    async with works_over(setup_over(models, route), tmp_path) as works:
        assert await ask_and_read(works, stream=stream) == BAD
        assert works.events[0].cost == COST


async def test_and_where_the_time_is_up_while_it_is_held(tmp_path: Path) -> None:
    rest = asyncio.Event()
    policy = Doubting(CheckTerms(hold_s=60))
    cheap, strong = PlainUpstream("cheap", stream_of("bad but late", rest)), PlainUpstream("strong", whole())
    soon = ONCE.model_copy(update={"deadline_seconds": 0.1})
    async with reviewed(tmp_path, policy, cheap, strong, soon) as works:
        reply = await works.ask(chat("support", stream=True))
        assert policy.drafts[0].whole is False
        assert strong.calls == []
        rest.set()
        assert await said(reply) == "bad but late"
        assert works.events[0].cost == COST


# --- a cheap model that fails, or takes no wish for log probabilities


@pytest.mark.parametrize(("attempts", "tries"), [(ONCE, 1), (QUICK, 2)], ids=["once", "retried"])
async def test_a_stream_that_breaks_while_it_is_held_is_tried_again_or_left_for_the_next(
    tmp_path: Path, attempts: schema.Attempts, tries: int
) -> None:
    broken = [Script(piece("Half "), piece("an "), StreamCut("lost")) for _ in range(tries)]
    cheap, strong = PlainUpstream("cheap", *broken), PlainUpstream("strong", stream_of(BETTER))
    policy = Doubting()
    async with reviewed(tmp_path, policy, cheap, strong, attempts) as works:
        assert await ask_and_read(works, stream=True) == BETTER
        assert [script.closed for script in broken] == [1] * tries
        assert policy.drafts == []
        (event,) = works.events
        assert [attempt.error for attempt in event.attempts] == [StreamCut.code] * tries + [""]
        assert (event.model, event.decision is not None and event.decision.check) == ("strong", None)


@streamed
async def test_the_answer_of_a_model_that_stands_by_is_not_checked(tmp_path: Path, stream: bool) -> None:
    cheap, strong = PlainUpstream("cheap", ServerFault("down")), PlainUpstream("strong", answer(BAD, stream))
    policy = Doubting()
    async with reviewed(tmp_path, policy, cheap, strong) as works:
        assert await ask_and_read(works, stream=stream) == BAD
        assert policy.drafts == []


@streamed
async def test_a_model_that_takes_no_wish_for_log_probabilities_is_asked_without(
    tmp_path: Path, stream: bool
) -> None:
    refusal = UpstreamRejected("logprobs are not supported", status=400)
    cheap = PlainUpstream("cheap", refusal, answer(GOOD, stream), answer(GOOD, stream))
    policy = Doubting()
    async with reviewed(tmp_path, policy, cheap, PlainUpstream("strong", whole())) as works:
        for text in ("one", "another"):
            assert await said(await works.ask(chat("support", text, stream=stream))) == GOOD
        assert ["logprobs" in call.body for call in cheap.calls] == [True, False, False]
        assert [[attempt.error for attempt in event.attempts] for event in works.events] == [[""], [""]]
        assert [event.cost for event in works.events] == [COST] * 2
        assert len(policy.drafts) == 2
        assert works.breakers.of("cheap").allows(0.0)


@streamed
async def test_what_it_rejects_the_next_may_take_and_it_is_asked_for_them_again(
    tmp_path: Path, stream: bool
) -> None:
    refusal = UpstreamRejected("no", status=400)
    cheap = PlainUpstream("cheap", refusal, refusal, answer(GOOD, stream))
    async with reviewed(tmp_path, Doubting(), cheap, PlainUpstream("strong", answer(BAD, stream))) as works:
        assert await said(await works.ask(chat("support", "one", stream=stream))) == BAD
        assert await said(await works.ask(chat("support", "another", stream=stream))) == GOOD
        assert ["logprobs" in call.body for call in cheap.calls] == [True, False, True]
        assert [attempt.error for attempt in works.events[0].attempts] == ["upstream_rejected", ""]


@streamed
async def test_what_all_reject_is_the_clients_mistake(tmp_path: Path, stream: bool) -> None:
    refusal = UpstreamRejected("no", status=400)
    cheap, strong = PlainUpstream("cheap", refusal, refusal), PlainUpstream("strong", refusal)
    async with reviewed(tmp_path, Doubting(), cheap, strong) as works:
        with pytest.raises(UpstreamRejected):
            await works.ask(chat("support", "one", stream=stream))


# --- clients that leave


async def given_up(works: Works, asking: asyncio.Task[str]) -> UsageEvent:
    """What is written down of a request that is cancelled now."""
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    (event,) = works.events
    assert (event.outcome, event.status, event.error, event.model) == ("failed", 499, "abandoned", "")
    return event


async def test_one_who_leaves_while_the_answer_is_held_leaves_no_stream_behind(tmp_path: Path) -> None:
    held = Script(piece("bad "), asyncio.Event())
    policy = Doubting(CheckTerms(hold_s=60))
    strong = PlainUpstream("strong", whole())
    async with reviewed(tmp_path, policy, PlainUpstream("cheap", held), strong) as works:
        asking = asyncio.create_task(ask_and_read(works, stream=True))
        await ticks(lambda: held.left == 1)
        await given_up(works, asking)
        assert held.closed == 1
        assert policy.drafts == []
        assert strong.calls == []
        assert works.breakers.of("cheap").allows(0.0)


@streamed
async def test_nor_while_it_is_judged_and_what_was_answered_is_paid_for(tmp_path: Path, stream: bool) -> None:
    judged = answer(BAD, stream)
    policy = Doubting()
    policy.judged.clear()
    strong = PlainUpstream("strong", whole())
    async with reviewed(tmp_path, policy, PlainUpstream("cheap", judged), strong) as works:
        asking = asyncio.create_task(ask_and_read(works, stream=stream))
        await policy.judging.wait()
        event = await given_up(works, asking)
        assert (event.cost, event.attempts[0].cost) == (COST, COST)
        assert not isinstance(judged, Script) or judged.closed == 1
        assert strong.calls == []


@streamed
async def test_nor_while_the_better_model_thinks(tmp_path: Path, stream: bool) -> None:
    doubted = answer(BAD, stream)
    strong = PlainUpstream("strong", whole(), gate=asyncio.Event())
    async with reviewed(tmp_path, Doubting(), PlainUpstream("cheap", doubted), strong) as works:
        asking = asyncio.create_task(ask_and_read(works, stream=stream))
        await strong.called.wait()
        event = await given_up(works, asking)
        assert (event.cost, event.attempts[0].cost) == (COST, COST)
        assert not isinstance(doubted, Script) or doubted.closed == 1


class Clinging(Script):
    """A stream that is slow to let go."""

    def __init__(self, *steps: bytes) -> None:
        super().__init__(*steps)
        self.closing = asyncio.Event()

    async def close(self) -> None:
        await super().close()
        self.closing.set()
        if self.closed == 1:
            await asyncio.sleep(60)


async def test_nor_while_the_cheap_stream_is_let_go(tmp_path: Path) -> None:
    clinging = Clinging(piece("bad "), piece("one", finish="stop"), USAGE, DONE)
    better = stream_of(BETTER)
    strong = PlainUpstream("strong", better)
    async with reviewed(tmp_path, Doubting(), PlainUpstream("cheap", clinging), strong) as works:
        asking = asyncio.create_task(ask_and_read(works, stream=True))
        await clinging.closing.wait()
        event = await given_up(works, asking)
        assert (better.closed, event.attempts[0].cost) == (1, COST)
        assert event.cost > COST


async def test_one_who_hangs_up_on_the_better_stream_is_billed_for_both(tmp_path: Path) -> None:
    bad, better = stream_of(BAD), stream_of(BETTER)
    cheap, strong = PlainUpstream("cheap", bad), PlainUpstream("strong", better)
    async with reviewed(tmp_path, Doubting(), cheap, strong) as works:
        reply = await works.ask(chat("support", stream=True))
        assert reply.stream is not None
        assert await reply.stream.next()
        reply.stream.hang_up()
        await read_out(reply)
        (event,) = works.events
        assert (event.outcome, event.hung_up, event.cost) == ("answered", True, 2 * COST)
        assert (bad.closed, better.closed) == (1, 1)


@streamed
async def test_a_fault_of_our_own_after_a_doubt_is_settled_with_what_was_paid(tmp_path: Path, stream: bool) -> None:
    doubted = answer(BAD, stream)
    cheap, strong = PlainUpstream("cheap", doubted), PlainUpstream("strong", KeyError("bug"))
    async with reviewed(tmp_path, Doubting(), cheap, strong) as works:
        with pytest.raises(KeyError):
            await works.ask(chat("support", stream=stream))
        (event,) = works.events
        assert (event.outcome, event.status, event.cost) == ("failed", 500, COST)
        assert not isinstance(doubted, Script) or doubted.closed == 1
