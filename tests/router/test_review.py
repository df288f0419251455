"""Cheap answers that are judged before the client has them: delivered, or paid for and dropped for a better one.

Every test here also checks what `works_over` does at its end: all permits have been given back.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

from contracts.money import ZERO
from contracts.ports import CheckTerms, WholeAnswer
from tests.router.doubting import (
    BAD,
    BETTER,
    GOOD,
    Doubting,
    answer,
    ask_and_read,
    check_of,
    choices_in,
    piece,
    reviewed,
    said,
    stream_of,
    streamed,
)
from tests.router.plain import COST, PlainUpstream, Script, chat, read_out, whole

# --- good enough


@streamed
async def test_a_good_answer_is_delivered_as_if_nothing_had_been_asked(tmp_path: Path, stream: bool) -> None:
    cheap, strong = PlainUpstream("cheap", answer(GOOD, stream)), PlainUpstream("strong", answer(BETTER, stream))
    policy = Doubting()
    async with reviewed(tmp_path, policy, cheap, strong) as works:
        got = await read_out(await works.ask(chat("support", stream=stream)))
        choices = choices_in(got, stream)
        assert [choice["logprobs"] for choice in choices] == [None] * len(choices)
        assert b'logprob"' not in got
        assert (cheap.calls[0].body["logprobs"], cheap.calls[0].body["top_logprobs"]) == (True, 5)
        assert strong.calls == []
        (draft,) = policy.drafts
        assert (draft.model, draft.text, draft.whole, draft.finish) == ("cheap", GOOD, True, "stop")
        assert "".join(token["token"] for token in draft.logprobs) == GOOD
        (event,) = works.events
        assert (event.model, event.cost, event.outcome, check_of(event).escalated) == (
            "cheap",
            COST,
            "answered",
            False,
        )
        assert [(attempt.model, attempt.usage, attempt.cost) for attempt in event.attempts] == [
            ("cheap", None, None)
        ]
        assert [ended.request_id for ended in policy.ended] == [event.request_id]


@streamed
async def test_log_probabilities_reach_the_client_that_asked_for_them(tmp_path: Path, stream: bool) -> None:
    cheap = PlainUpstream("cheap", answer(GOOD, stream))
    policy = Doubting()
    async with reviewed(tmp_path, policy, cheap, PlainUpstream("strong", whole())) as works:
        reply = await works.ask(chat("support", stream=stream, logprobs=True, top_logprobs=2))
        choices = choices_in(await read_out(reply), stream)
        shown = [token["token"] for choice in choices for token in choice["logprobs"]["content"]]
        assert "".join(shown) == GOOD
        assert cheap.calls[0].body["top_logprobs"] == 2
        assert len(policy.drafts[0].logprobs) == len(shown)


@streamed
async def test_what_is_sure_is_not_checked(tmp_path: Path, stream: bool) -> None:
    cheap = PlainUpstream("cheap", answer(BAD, stream))
    policy = Doubting(outlook="local")
    async with reviewed(tmp_path, policy, cheap, PlainUpstream("strong", whole())) as works:
        assert await ask_and_read(works, stream=stream) == BAD
        assert "logprobs" not in cheap.calls[0].body
        assert policy.drafts == []


async def test_a_stream_is_judged_by_its_first_tokens_while_the_rest_is_still_to_come(tmp_path: Path) -> None:
    rest = asyncio.Event()
    cheap = PlainUpstream("cheap", stream_of("good enough to go on", rest))
    policy = Doubting(CheckTerms(logprobs=5, first_tokens=2, hold_s=60))
    async with reviewed(tmp_path, policy, cheap, PlainUpstream("strong", whole())) as works:
        reply = await works.ask(chat("support", stream=True))
        assert (policy.drafts[0].text, policy.drafts[0].whole) == ("good enough ", False)
        rest.set()
        got = await read_out(reply)
        assert b'"logprob"' not in got
        assert "".join(choice["delta"]["content"] for choice in choices_in(got, True)) == "good enough to go on"


# --- doubted


@streamed
async def test_of_a_doubted_answer_the_client_sees_nothing_and_pays_for_both(tmp_path: Path, stream: bool) -> None:
    bad, better = answer(BAD, stream), answer(BETTER, stream)
    cheap, strong = PlainUpstream("cheap", bad), PlainUpstream("strong", better)
    policy = Doubting()
    async with reviewed(tmp_path, policy, cheap, strong) as works:
        reply = await works.ask(chat("support", stream=stream))
        assert reply.headers["x-weir-model"] == "strong"
        assert "x-weir-degraded" not in reply.headers
        got = await read_out(reply)
        assert b"bad" not in got
        assert b"better" in got
        assert "logprobs" not in strong.calls[0].body
        (event,) = works.events
        assert (event.model, event.upstream, event.cost, event.outcome) == (
            "strong",
            "strong",
            2 * COST,
            "answered",
        )
        assert (event.usage.prompt, event.usage.completion) == (3, 2)
        first, second = event.attempts
        assert (first.model, first.error, first.cost) == ("cheap", "", COST)
        assert first.usage is not None
        assert (first.usage.source, first.usage.total) == ("reported", 5)
        assert (second.model, second.error, second.usage, second.cost) == ("strong", "", None, None)
        assert (check_of(event).escalated, check_of(event).model) == (True, "cheap")
        if not stream:
            assert Decimal(reply.headers["x-weir-cost"]) == 2 * COST
        for script in (bad, better):
            assert not isinstance(script, Script) or script.closed


@streamed
async def test_the_answer_that_is_kept_is_the_better_one(tmp_path: Path, stream: bool) -> None:
    cheap, strong = PlainUpstream("cheap", answer(BAD, stream)), PlainUpstream("strong", answer(BETTER, stream))
    async with reviewed(tmp_path, Doubting(), cheap, strong) as works:
        await ask_and_read(works, stream=stream)
        for again in (False, True):
            reply = await works.ask(chat("support", stream=again))
            assert (reply.headers["x-weir-cache"], reply.headers["x-weir-model"]) == ("exact", "strong")
            assert await said(reply) == BETTER
        assert [(event.cost, event.saved) for event in works.events[1:]] == [(ZERO, 2 * COST)] * 2


async def test_equal_requests_wait_for_the_better_answer(tmp_path: Path) -> None:
    cheap = PlainUpstream("cheap", answer(BAD, False))
    strong = PlainUpstream("strong", answer(BETTER, False), gate=asyncio.Event())
    assert strong.gate is not None
    async with reviewed(tmp_path, Doubting(), cheap, strong) as works:
        tasks = [asyncio.create_task(ask_and_read(works)) for _ in range(3)]
        await strong.called.wait()
        strong.gate.set()
        assert await asyncio.gather(*tasks) == [BETTER] * 3
        assert (len(cheap.calls), len(strong.calls)) == (1, 1)
        assert sum(event.cost for event in works.events) == 2 * COST


async def test_a_stream_doubted_by_its_beginning_is_ended_and_its_cost_estimated(tmp_path: Path) -> None:
    bad = stream_of("bad from its very beginning on")
    policy = Doubting(CheckTerms(first_tokens=1, hold_s=60))
    strong = PlainUpstream("strong", stream_of(BETTER))
    async with reviewed(tmp_path, policy, PlainUpstream("cheap", bad), strong) as works:
        assert await ask_and_read(works, stream=True) == BETTER
        assert (bad.left, bad.closed) == (7, 1)
        (event,) = works.events
        cheap = event.attempts[0]
        assert cheap.usage is not None
        assert cheap.usage.source == "estimated"
        assert cheap.cost is not None
        assert event.cost == cheap.cost + COST > COST


async def test_a_stream_is_held_no_longer_than_its_terms_say(tmp_path: Path) -> None:
    never = asyncio.Event()
    bad = Script(piece("bad "), never)
    policy = Doubting(CheckTerms(hold_s=0.02))
    strong = PlainUpstream("strong", stream_of(BETTER))
    async with reviewed(tmp_path, policy, PlainUpstream("cheap", bad), strong) as works:
        assert await ask_and_read(works, stream=True) == BETTER
        assert (policy.drafts[0].whole, bad.closed) == (False, 1)


@streamed
async def test_all_choices_of_an_answer_go_or_stay_together(tmp_path: Path, stream: bool) -> None:
    def both(text: str) -> WholeAnswer | Script:
        if stream:
            return stream_of(text, choices=2)
        return whole(
            choices=[{"index": at, "message": {"content": text}, "finish_reason": "stop"} for at in range(2)]
        )

    cheap = PlainUpstream("cheap", both(BAD), both(GOOD))
    strong = PlainUpstream("strong", both(BETTER))
    async with reviewed(tmp_path, Doubting(), cheap, strong) as works:
        for text in (BETTER, GOOD):
            got = await read_out(await works.ask(chat("support", text, stream=stream, n=2)))
            for index in range(2):
                parts = [choice for choice in choices_in(got, stream) if choice["index"] == index]
                assert "".join(part["delta" if stream else "message"]["content"] for part in parts) == text


@streamed
async def test_a_check_that_fails_lets_the_better_model_answer_and_says_so(tmp_path: Path, stream: bool) -> None:
    cheap, strong = PlainUpstream("cheap", answer(GOOD, stream)), PlainUpstream("strong", answer(BETTER, stream))
    policy = Doubting()
    policy.fault = ZeroDivisionError("a fault of the check")
    async with reviewed(tmp_path, policy, cheap, strong) as works:
        reply = await works.ask(chat("support", stream=stream))
        assert reply.headers["x-weir-degraded"] == "check"
        assert await said(reply) == BETTER
        (event,) = works.events
        assert (check_of(event).degraded, check_of(event).escalated) == ("check", True)
        assert (event.model, event.cost) == ("strong", 2 * COST)
