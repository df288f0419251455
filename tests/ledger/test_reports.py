"""The cost report: exact at any moment, and every cut adds up to the same total."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations, permutations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from contracts.records import UsageEvent, Verdict
from contracts.usage import TokenUsage
from ledger.database import Database
from ledger.events import to_json, to_row
from ledger.reports import DIMENSIONS, CostReport, Sums, cost_report
from ledger.spool import Spool, segments
from ledger.tables import usage_events
from ledger.writer import Writer

MakeEvent = Callable[..., UsageEvent]
NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)

money = st.decimals(min_value=0, max_value=1000, places=12)
names = st.sampled_from(["a", "b", "ü"])
usages = st.builds(
    TokenUsage,
    prompt=st.integers(0, 10**9),
    completion=st.integers(0, 10**9),
    cached=st.integers(0, 10**9),
    source=st.sampled_from(["reported", "estimated", "cache", "none"]),
)
some_events = st.lists(
    st.builds(
        UsageEvent,
        request_id=st.uuids().map(str),
        at=st.datetimes(min_value=datetime(2026, 11, 1), max_value=datetime(2026, 11, 9), timezones=st.just(UTC)),
        tenant=names,
        key_id=st.just("k"),
        route=names,
        endpoint=st.just("embeddings"),
        requested_model=names,
        model=st.just("") | names,
        outcome=st.sampled_from(["answered", "failed", "cut"]),
        usage=usages,
        cost=money,
        saved=money,
        verdict=st.builds(Verdict, kind=st.sampled_from(["exact", "semantic", "miss", "bypass"])),
    ),
    max_size=25,
    unique_by=lambda event: event.request_id,
)


async def insert(database: Database, events: Sequence[UsageEvent]) -> None:
    async with database.writing() as connection:
        await connection.execute(delete(usage_events))
        if events:
            await connection.execute(usage_events.insert(), [to_row(to_json(event)) for event in events])


def by_hand(events: Sequence[UsageEvent]) -> Sums:
    billed = [event.usage for event in events if event.usage.source != "cache"]
    return Sums(
        requests=len(events),
        prompt_tokens=sum(usage.prompt for usage in billed),
        completion_tokens=sum(usage.completion for usage in billed),
        cached_tokens=sum(usage.cached for usage in billed),
        cost=sum((event.cost for event in events), Decimal(0)),
        saved=sum((event.saved for event in events), Decimal(0)),
        hits=sum(event.verdict.kind in ("exact", "semantic") for event in events),
        failed=sum(event.outcome != "answered" for event in events),
        estimated=sum(event.usage.source == "estimated" for event in events),
    )


def assert_adds_up(report: CostReport, events: Sequence[UsageEvent]) -> None:
    assert report.total == by_hand(events)
    for size in range(len(DIMENSIONS) + 1):
        for chosen in combinations(DIMENSIONS, size):
            for by in permutations(chosen):
                rows = report.cut(by)
                assert sum(rows.values(), start=Sums()) == report.total
                for place, sums in rows.items():
                    here = [e for e in events if all(getattr(e, d) == p for d, p in zip(by, place, strict=True))]
                    assert sums == by_hand(here)


@given(events=some_events, shipped=st.integers(0, 25), doubled=st.integers(0, 25))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_cut_adds_up_however_far_the_writer_is(
    tmp_path_factory: pytest.TempPathFactory,
    database: Database,
    events: list[UsageEvent],
    shipped: int,
    doubled: int,
) -> None:
    """The first `shipped` events are in the database, and of those the last `doubled` still in the spool too."""
    folder = tmp_path_factory.mktemp("spool")
    await insert(database, events[:shipped])
    spool = Spool(folder)
    for event in events[max(0, min(shipped, len(events)) - doubled) :]:
        spool.append(event)
    assert_adds_up(await cost_report(database, folder), events)
    assert_adds_up(await cost_report(database, folder, tenant="a"), [e for e in events if e.tenant == "a"])
    span = [event for event in events if NOON <= event.at < NOON + timedelta(days=2)]
    assert_adds_up(await cost_report(database, folder, since=NOON, until=NOON + timedelta(days=2)), span)
    spool.close()


@pytest.mark.parametrize("in_spool", [True, False])
async def test_a_span_holds_its_beginning_and_not_its_end(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent, in_spool: bool
) -> None:
    moments = [NOON + timedelta(microseconds=step) for step in (-1, 0, 1, 2)]
    events = [make_event(at=at) for at in moments]
    if in_spool:
        for event in events:
            spool.append(event)
    else:
        await insert(database, events)
    assert (await cost_report(database, folder, since=moments[1], until=moments[3])).total.requests == 2
    assert (await cost_report(database, folder, since=moments[1])).total.requests == 3
    assert (await cost_report(database, folder, until=moments[1])).total.requests == 1


async def test_it_is_exact_at_every_moment_of_a_running_server(
    folder: Path, database: Database, make_event: MakeEvent
) -> None:
    """Reports, appends and flushes run together. What was appended before a report began must be in it once."""
    spool = Spool(folder, segment_bytes=3000)
    writer = Writer(spool, database, flush_s=0.001, batch=3)
    writer.start()
    appended = 0

    async def append() -> None:
        nonlocal appended
        for _ in range(300):
            spool.append(make_event(cost=Decimal(1)))
            appended += 1
            await asyncio.sleep(random.random() / 500)

    appending = asyncio.create_task(append())
    reports = 0
    while not appending.done():
        before = appended
        total = (await cost_report(database, folder)).total
        assert before <= total.requests <= appended
        assert total.cost == total.requests
        reports += 1
    assert reports > 5
    await writer.stop()
    assert (await cost_report(database, folder)).total.requests == 300
    spool.close()


async def test_it_is_exact_after_a_crash_with_a_torn_end(
    folder: Path, database: Database, make_event: MakeEvent
) -> None:
    dead = Spool(folder)
    for _ in range(3):
        dead.append(make_event(cost=Decimal(1)))
    dead.close()
    (path,) = segments(folder)
    with path.open("ab") as file:
        file.write(b'01234567 {"request_id":"to')
    await insert(database, [make_event(request_id="r0", cost=Decimal(1))])
    assert (await cost_report(database, folder)).total.cost == 3


async def test_more_leftovers_than_one_question_can_name(
    folder: Path, database: Database, make_event: MakeEvent
) -> None:
    spool = Spool(folder)
    events = [make_event() for _ in range(2500)]
    for event in events:
        spool.append(event)
    await insert(database, events[::2])
    assert_adds_up(await cost_report(database, folder), events)
    spool.close()


async def test_nothing_yet_is_an_empty_report(tmp_path: Path, database: Database) -> None:
    report = await cost_report(database, tmp_path / "no spool")
    assert (report.rows, report.total, report.set_aside) == ({}, Sums(), 0)
    assert report.cut(["tenant"]) == {}
    assert (report.total.hit_rate, report.total.estimated_share) == (0, 0)


async def test_shares_and_what_was_set_aside(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent
) -> None:
    for kind in ("exact", "semantic", "miss", "bypass"):
        usage = TokenUsage(prompt=7, source="estimated") if kind == "miss" else TokenUsage(prompt=7, source="cache")
        spool.append(make_event(verdict=Verdict(kind=kind), usage=usage))
    spool.set_aside(b"x", "torn")
    report = await cost_report(database, folder)
    assert (report.total.hit_rate, report.total.estimated_share) == (0.5, 0.25)
    assert report.total.prompt_tokens == 7, "a replay's tokens were billed before"
    assert report.set_aside == 1


async def test_rows_are_sorted(spool: Spool, folder: Path, database: Database, make_event: MakeEvent) -> None:
    for tenant, model in (("b", "y"), ("a", "z"), ("a", "x")):
        spool.append(make_event(tenant=tenant, model=model))
    report = await cost_report(database, folder)
    assert list(report.rows) == [("a", "support", "x"), ("a", "support", "z"), ("b", "support", "y")]
    assert list(report.cut(["model", "tenant"])) == [("x", "a"), ("y", "b"), ("z", "a")]
