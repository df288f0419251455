"""The cost report: exact at any moment, and every cut adds up to the same total."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from contracts.records import AttemptRecord, UsageEvent, Verdict
from contracts.usage import TokenUsage
from ledger.backfill import PRUNED
from ledger.database import Database
from ledger.reports.costs import USUAL, CostReport, Line, Place, Sums, checked_cut, cost_report
from ledger.reports.document import Unanswerable
from ledger.spool import Spool, segments
from ledger.tables import marks, usage_days, usage_events, usage_hours
from ledger.writer import Writer
from tests.ledger.reports.stored import insert_events
from tests.ledger.storing import store

MakeEvent = Callable[..., UsageEvent]
NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
MIDNIGHT = NOON.replace(hour=0)
ROLLED_UP = ("team",)

money = st.decimals(min_value=0, max_value=1000, places=12)
names = st.sampled_from(["a", "b", "ü"])
usages = st.builds(
    TokenUsage,
    prompt=st.integers(0, 10**9),
    completion=st.integers(0, 10**9),
    cached=st.integers(0, 10**9),
    source=st.sampled_from(["reported", "estimated", "cache", "none"]),
)
attempts = st.lists(
    st.builds(
        AttemptRecord,
        model=names,
        upstream=st.just("u"),
        started_ms=st.just(0.0),
        took_ms=st.just(1.0),
        usage=st.none() | usages,
        cost=st.none() | money,
    ),
    max_size=2,
).map(tuple)
some_events = st.lists(
    st.builds(
        UsageEvent,
        request_id=st.uuids().map(str),
        at=st.datetimes(min_value=datetime(2026, 11, 3), max_value=datetime(2026, 11, 8), timezones=st.just(UTC)),
        tenant=names,
        key_id=names,
        route=names,
        endpoint=st.just("embeddings"),
        requested_model=names,
        model=st.just("") | names,
        purpose=st.sampled_from(["serve", "serve", "judge"]),
        outcome=st.sampled_from(["answered", "failed", "cut"]),
        usage=usages,
        cost=money,
        saved=money,
        avoided=st.decimals(min_value=-10, max_value=10, places=12),
        priced_by=st.sampled_from(["config", "unpriced"]),
        verdict=st.builds(Verdict, kind=st.sampled_from(["exact", "semantic", "miss", "bypass"])),
        attempts=attempts,
        tags=st.dictionaries(st.sampled_from(["team", "app"]), st.sampled_from(["x", "-", ""])),
    ),
    max_size=20,
    unique_by=lambda event: event.request_id,
)
moments = (
    st.none()
    | st.datetimes(min_value=datetime(2026, 11, 2), max_value=datetime(2026, 11, 9), timezones=st.just(UTC))
    | st.sampled_from([NOON, NOON.replace(hour=0), NOON + timedelta(days=2), NOON + timedelta(minutes=30)])
)


def total_by_hand(events: Sequence[UsageEvent]) -> Line:
    """What all rows add up to, counted straight from the events."""

    def sums(some: Sequence[UsageEvent]) -> dict[str, Any]:
        billed = [event.usage for event in some if event.usage.source != "cache"]
        billed += [
            attempt.usage
            for event in some
            for attempt in event.attempts
            if attempt.usage is not None and attempt.usage.source != "cache"
        ]
        return {
            "requests": len(some),
            "prompt_tokens": sum(usage.prompt for usage in billed),
            "completion_tokens": sum(usage.completion for usage in billed),
            "cached_tokens": sum(usage.cached for usage in billed),
            "cost": sum((event.cost for event in some), Decimal(0)),
            "saved": sum((event.saved for event in some), Decimal(0)),
            "avoided": sum((event.avoided for event in some), Decimal(0)),
            "hits": sum(event.verdict.kind in ("exact", "semantic") for event in some),
            "failed": sum(event.outcome != "answered" for event in some),
            "estimated": sum(event.usage.source == "estimated" for event in some),
            "unpriced": sum(event.priced_by == "unpriced" for event in some),
            "calls": sum(len(event.attempts) for event in some),
        }

    served = [event for event in events if event.purpose == "serve"]
    return Line(Sums(**sums(events)), Sums(**sums(served)))


def assert_adds_up(report: CostReport, events: Sequence[UsageEvent], by: Sequence[str] = USUAL) -> None:
    assert report.total == total_by_hand(events)
    for size in range(len(by) + 1):
        for chosen in combinations(by, size):
            for some in permutations(chosen):
                rows = report.cut(some)
                assert sum(rows.values(), start=Line()) == report.total
                found = {place: line.whole.requests for place, line in rows.items() if line.whole.requests}
                assert found == counted(events, some)


def counted(events: Sequence[UsageEvent], by: Sequence[str]) -> dict[Place, int]:
    found: dict[Place, int] = {}
    for event in events:
        place = tuple(value_of(event, name) for name in by)
        found[place] = found.get(place, 0) + 1
    return found


def value_of(event: UsageEvent, name: str) -> Any:
    match name:
        case "key":
            return event.key_id
        case "day":
            return event.at.date()
        case "hour":
            return event.at.replace(minute=0, second=0, microsecond=0)
        case _ if name.startswith("tag:"):
            return event.tags.get(name.removeprefix("tag:"))
        case _:
            return getattr(event, name)


CUTS = [
    USUAL,
    ("tenant", "tag:team"),
    ("tenant", "tag:app", "tag:team"),
    ("key", "day", "purpose"),
    ("hour", "model", "tag:team"),
]


@given(
    events=some_events,
    shipped=st.integers(0, 20),
    doubled=st.integers(0, 20),
    since=moments,
    until=moments,
    by=st.sampled_from(CUTS),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_cut_adds_up_however_far_the_writer_is(
    tmp_path_factory: pytest.TempPathFactory,
    database: Database,
    events: list[UsageEvent],
    shipped: int,
    doubled: int,
    since: datetime | None,
    until: datetime | None,
    by: tuple[str, ...],
) -> None:
    """The first `shipped` events are in the database, and of those the last `doubled` still in the spool too."""
    folder = tmp_path_factory.mktemp("spool")
    await insert_events(database, events[:shipped], ROLLED_UP)
    spool = Spool(folder)
    for event in events[max(0, min(shipped, len(events)) - doubled) :]:
        spool.append(event)
    spool.close()
    here = [e for e in events if (since is None or e.at >= since) and (until is None or e.at < until)]
    report = await cost_report(database, folder, by=by, since=since, until=until, rolled_up=ROLLED_UP)
    assert_adds_up(report, here, by)
    of_a = await cost_report(database, folder, by=by, since=since, until=until, tenant="a", rolled_up=ROLLED_UP)
    assert_adds_up(of_a, [event for event in here if event.tenant == "a"], by)


async def forget(database: Database, before: datetime) -> None:
    """Delete single events as `retention` does, which on PostgreSQL deletes whole months only."""
    async with database.writing() as connection:
        await connection.execute(delete(usage_events).where(usage_events.c.at < before))
        await connection.execute(insert(marks).values(name=PRUNED, value=before.isoformat()))


async def test_roll_ups_are_what_is_read(database: Database, folder: Path, make_event: MakeEvent) -> None:
    """Single events are deleted one day; the sums stay, to the last digit, and so do tags that are rolled up."""
    events = [make_event(at=NOON + timedelta(hours=hours), tags={"team": "x", "app": "y"}) for hours in range(60)]
    await insert_events(database, events, ROLLED_UP)
    async with database.writing() as connection:
        await connection.execute(delete(usage_events))
    report = await cost_report(database, folder, by=("tag:team", "day"), rolled_up=ROLLED_UP)
    assert_adds_up(report, events, ("tag:team", "day"))
    since, until = NOON + timedelta(hours=3), NOON + timedelta(hours=40)
    part = await cost_report(database, folder, since=since, until=until)
    assert part.total.requests == 37
    assert part.notes == ()


async def test_a_tag_that_is_not_rolled_up_is_known_as_far_as_single_events_go(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    events = [make_event(at=NOON + timedelta(days=days), tags={"app": "y"}) for days in range(4)]
    await insert_events(database, events, ROLLED_UP)
    await forget(database, MIDNIGHT + timedelta(days=2))
    report = await cost_report(database, folder, by=("tag:app",), rolled_up=ROLLED_UP)
    assert {place: line.requests for place, line in report.cut(("tag:app",)).items()} == {(None,): 2, ("y",): 2}
    assert report.total.cost == Decimal("0.0004")
    assert "app is not known" in report.notes[0]
    newer = await cost_report(
        database, folder, by=("tag:app",), since=NOON + timedelta(days=2), rolled_up=ROLLED_UP
    )
    assert (newer.total.requests, newer.notes) == (2, ())


async def test_an_old_event_that_comes_late_does_not_hide_the_sums_of_what_was_deleted(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    events = [make_event(at=NOON + timedelta(days=days), tags={"app": "y"}) for days in range(4)]
    await insert_events(database, events, ROLLED_UP)
    await forget(database, MIDNIGHT + timedelta(days=3))
    await store(database, [make_event(at=NOON - timedelta(days=1), tags={"app": "y"})], ROLLED_UP)
    report = await cost_report(database, folder, by=("tag:app",), rolled_up=ROLLED_UP)
    assert {place: line.requests for place, line in report.cut(("tag:app",)).items()} == {(None,): 4, ("y",): 1}
    assert "app is not known" in report.notes[0]


async def test_a_day_that_is_half_deleted_is_read_from_its_sums(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    events = [make_event(at=NOON + timedelta(hours=hours), tags={"app": "y"}) for hours in range(3)]
    await insert_events(database, events)
    await forget(database, NOON + timedelta(hours=2))
    report = await cost_report(database, folder, by=("tag:app",))
    assert {place: line.requests for place, line in report.cut(("tag:app",)).items()} == {(None,): 3}


async def test_an_hour_whose_events_are_deleted_is_not_cut_in_silence(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    await insert_events(database, [make_event(at=NOON + timedelta(minutes=40))])
    await forget(database, NOON + timedelta(days=1))
    report = await cost_report(database, folder, since=NOON + timedelta(minutes=30))
    assert report.total.requests == 0
    assert "Choose full hours" in report.notes[0]


async def test_while_roll_ups_are_missing_events_are_read(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    await insert_events(database, [make_event(tags={"team": "x"})])
    async with database.writing() as connection:
        await connection.execute(delete(usage_days))
        await connection.execute(delete(usage_hours))
        await connection.execute(insert(marks).values(name="roll-ups", value="missing"))
    report = await cost_report(database, folder, by=("tag:team",), rolled_up=ROLLED_UP)
    assert {place: line.requests for place, line in report.cut(("tag:team",)).items()} == {("x",): 1}
    assert "weir ledger status" in report.notes[0]


async def test_single_events_at_the_ends_fall_into_their_hours(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    events = [make_event(at=NOON + timedelta(minutes=20 * number)) for number in range(12)]
    await insert_events(database, events)
    since, until = NOON + timedelta(minutes=30), NOON + timedelta(minutes=190)
    report = await cost_report(database, folder, by=("hour",), since=since, until=until)
    found = {place: line.requests for place, line in report.cut(("hour",)).items()}
    assert found == {(NOON + timedelta(hours=hours),): count for hours, count in enumerate([1, 3, 3, 1])}


async def test_other_purposes_are_in_the_cost_and_not_in_the_requests(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    events = [
        make_event(cost=Decimal(1)),
        make_event(cost=Decimal(2)),
        make_event(cost=Decimal(3), purpose="judge"),
    ]
    await insert_events(database, events)
    report = await cost_report(database, folder)
    total = report.total
    assert (total.requests, total.cost, total.other_cost, total.cost_per_1000) == (2, 6, 3, 3000)
    judge = report.cut(("purpose",))[("judge",)]
    assert (judge.requests, judge.cost, judge.cost_per_1000) == (0, 3, None)


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
        await insert_events(database, events)
    assert (await cost_report(database, folder, since=moments[1], until=moments[3])).total.requests == 2
    assert (await cost_report(database, folder, since=moments[1])).total.requests == 3
    assert (await cost_report(database, folder, until=moments[1])).total.requests == 1
    assert (await cost_report(database, folder, since=moments[3], until=moments[1])).total.requests == 0


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
    await insert_events(database, [make_event(request_id="r0", cost=Decimal(1))])
    assert (await cost_report(database, folder)).total.cost == 3


async def test_more_leftovers_than_one_question_can_name(
    folder: Path, database: Database, make_event: MakeEvent
) -> None:
    spool = Spool(folder)
    events = [make_event() for _ in range(2500)]
    for event in events:
        spool.append(event)
    await insert_events(database, events[::2])
    assert_adds_up(await cost_report(database, folder), events)
    spool.close()


async def test_nothing_yet_is_an_empty_report(tmp_path: Path, database: Database) -> None:
    report = await cost_report(database, tmp_path / "no spool")
    assert (report.rows, report.total, report.set_aside) == ({}, Line(), 0)
    assert report.cut(["tenant"]) == {}
    assert (report.total.hit_rate, report.total.estimated_share, report.total.cost_per_1000) == (0, 0, None)


@pytest.mark.parametrize("text", ["tenant,colour", "tenant,tenant", "tag:", "", "tenant,,route"])
def test_what_is_no_cut_is_refused(text: str) -> None:
    with pytest.raises(Unanswerable, match="each once"):
        checked_cut(text)


def test_a_cut_may_have_spaces_and_tags() -> None:
    assert checked_cut("tenant, tag:team,day") == ("tenant", "tag:team", "day")
