"""Equal requests at the same time, in a whole pipeline: one asks, and all are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import UpstreamRejected
from contracts.money import ZERO
from router.exchange import Reply
from tests.router.plain import (
    COST,
    HELLO_STREAM,
    PlainUpstream,
    Script,
    Works,
    ask_and_read,
    chat,
    chunk,
    read_out,
    setup_over,
    text_in,
    text_of,
    ticks,
    whole,
    works_over,
)


async def crowd(works: Works, bodies: Sequence[Mapping[str, Any]]) -> list[asyncio.Task[Reply]]:
    """All of them asking: the first of them at its model, the others waiting for it."""
    tasks = [asyncio.create_task(works.ask(body)) for body in bodies]
    await ticks(lambda: works.permits.taken == len(bodies))
    return tasks


async def test_of_equal_requests_one_asks_and_all_are_answered(tmp_path: Path) -> None:
    gate = asyncio.Event()
    upstream = PlainUpstream("plain", whole(), gate=gate)
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        tasks = await crowd(works, [chat(), chat(stream=True), chat(), chat(user="someone else")])
        gate.set()
        answers = [await read_out(reply) for reply in await asyncio.gather(*tasks)]
        assert len(upstream.calls) == 1
        assert [text_of(answers[0]), text_in(answers[1]), text_of(answers[2])] == ["Hello"] * 3
        pilot, *others = sorted(works.events, key=lambda event: event.cost, reverse=True)
        assert (pilot.verdict.kind, pilot.cost) == ("miss", COST)
        assert {(event.verdict.kind, event.cost, event.saved) for event in others} == {("exact", ZERO, COST)}
        assert {event.verdict.reason for event in others} == {"an equal request was in flight"}
        assert len({event.request_id for event in works.events}) == 4


async def test_those_who_want_it_whole_wait_for_a_streaming_pilot(tmp_path: Path) -> None:
    rest = asyncio.Event()
    upstream = PlainUpstream("plain", Script(chunk("He"), rest, *HELLO_STREAM[1:]))
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        pilot, *others = await crowd(works, [chat(stream=True), chat(), chat()])
        stream = await pilot
        assert not any(task.done() for task in others)
        rest.set()
        assert text_in(await read_out(stream)) == "Hello"
        for reply in await asyncio.gather(*others):
            assert text_of(reply.body) == "Hello"
        assert len(upstream.calls) == 1
        assert sum(event.cost for event in works.events) == COST


async def test_the_pilots_failure_is_each_passengers_own_event(tmp_path: Path) -> None:
    gate = asyncio.Event()
    upstream = PlainUpstream("plain", UpstreamRejected("No.", status=422), gate=gate)
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        tasks = await crowd(works, [chat()] * 3)
        gate.set()
        failures = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(failure) for failure in failures] == [UpstreamRejected] * 3
        assert [event.status for event in works.events] == [422] * 3
        assert len(upstream.calls) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_passenger_flies_on_when_the_pilot_is_given_up(tmp_path: Path, stream: bool) -> None:
    gate = asyncio.Event()
    stuck = Script(chunk("He"), asyncio.Event()) if stream else whole()
    upstream = PlainUpstream("plain", stuck, whole("Second"), gate=gate)
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        pilot = asyncio.create_task(ask_and_read(works, chat(stream=stream)))
        await upstream.called.wait()
        other = asyncio.create_task(works.ask(chat()))
        await ticks(lambda: works.permits.taken == 2)
        if stream:
            gate.set()
            await ticks(lambda: isinstance(stuck, Script) and stuck.left == 1)
        pilot.cancel()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await pilot
        assert (await other).headers["x-weir-cache"] == "miss"
        assert [event.outcome for event in works.events] == ["cut" if stream else "failed", "answered"]


async def test_an_answer_that_is_not_to_be_shared_sends_everyone_to_the_model(tmp_path: Path) -> None:
    gate = asyncio.Event()
    upstream = PlainUpstream("plain", whole(finish="length"), gate=gate)
    async with works_over(setup_over({"good": upstream}), tmp_path) as works:
        tasks = await crowd(works, [chat()] * 3)
        gate.set()
        await asyncio.gather(*tasks)
        assert len(upstream.calls) == 3
        assert [event.verdict.kind for event in works.events] == ["miss"] * 3
