"""Roll-ups have what the events have, to the last digit, however the events came."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from contracts.records import AttemptRecord, UsageEvent, Verdict
from contracts.usage import TokenUsage
from ledger.backfill import MISSING, ROLL_UPS, complete, rebuild, step
from ledger.database import Database
from ledger.events import from_json, to_json
from ledger.incoming import incoming
from ledger.intake import Intake
from ledger.rollups import Place, Sums, bounds_of, bucket_of, parts_of, quantile_of
from ledger.tables import (
    COUNTED,
    MONEY,
    ROLLED_UP_BY,
    marks,
    usage_days,
    usage_events,
    usage_hours,
    usage_latencies,
)

MakeEvent = Callable[..., UsageEvent]

money = st.decimals(min_value=0, max_value=1000, places=12)
names = st.sampled_from(["a", "b", "ü\0"])
usages = st.builds(
    TokenUsage,
    prompt=st.integers(0, 10**9),
    completion=st.integers(0, 10**9),
    cached=st.integers(0, 10**9),
    source=st.sampled_from(["reported", "estimated", "cache", "none"]),
    raw=st.none() | st.just({"prompt_tokens": 3}),
)
attempts = st.lists(
    st.builds(
        AttemptRecord,
        model=names,
        upstream=st.just("u"),
        started_ms=st.just(0.0),
        took_ms=st.just(1.0),
        error=st.sampled_from(["", "upstream_timeout", "insufficient_quota"]),
        usage=st.none() | usages,
        cost=st.none() | money,
    ),
    max_size=3,
).map(tuple)
some_events = st.lists(
    st.builds(
        UsageEvent,
        request_id=st.uuids().map(str),
        at=st.datetimes(datetime(2026, 10, 30), datetime(2026, 11, 2), timezones=st.just(UTC)),
        tenant=names,
        key_id=names,
        route=names,
        endpoint=st.just("embeddings"),
        requested_model=names,
        model=st.just("") | names,
        purpose=st.sampled_from(["serve", "audit"]),
        outcome=st.sampled_from(["answered", "failed", "cut"]),
        usage=usages,
        cost=money,
        saved=money,
        avoided=st.decimals(min_value=-1000, max_value=1000, places=12),
        priced_by=st.sampled_from(["", "list:1", "unpriced"]),
        verdict=st.builds(Verdict, kind=st.sampled_from(["exact", "semantic", "miss", "bypass"])),
        attempts=attempts,
        latency_ms=st.floats(0, 1e6),
        tags=st.dictionaries(st.sampled_from(["team", "user"]), st.text(max_size=80), max_size=2),
    ),
    max_size=25,
    unique_by=lambda event: event.request_id,
)


def total(parts: Iterable[Sums]) -> Sums:
    return reduce(Sums.__add__, parts, Sums())


async def rolled_up(database: Database) -> dict[str, dict[tuple[datetime, Place], Sums]]:
    found: dict[str, dict[tuple[datetime, Place], Sums]] = {}
    async with database.reading() as connection:
        for table in (usage_hours, usage_days):
            rows = (await connection.execute(select(table))).mappings().all()
            found[table.name] = {
                (row["start"], Place(*(row[name] for name in ROLLED_UP_BY))): Sums(
                    **{name: row[name] for name in (*COUNTED, *MONEY)}
                )
                for row in rows
            }
    return found


async def empty(database: Database) -> None:
    async with database.writing() as connection:
        for table in (usage_events, usage_hours, usage_days, usage_latencies, marks):
            await connection.execute(delete(table))


def by_hand(
    events: Sequence[UsageEvent], tags: Sequence[str], step: timedelta
) -> dict[tuple[datetime, Place], Sums]:
    found: dict[tuple[datetime, Place], Sums] = {}
    for event in events:
        start = event.at - (event.at - datetime(2026, 1, 1, tzinfo=UTC)) % step
        for place, sums in parts_of(from_json(to_json(event)), tags):
            found[start, place] = found.get((start, place), Sums()) + sums
    return found


@given(events=some_events, seed=st.integers(), batch=st.integers(1, 10), tags=st.sampled_from([(), ("team",)]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_roll_ups_equal_events_however_they_are_batched_and_repeated(
    database: Database, events: list[UsageEvent], seed: int, batch: int, tags: tuple[str, ...]
) -> None:
    await empty(database)
    offered = [*events, *events[::2]]
    random.Random(seed).shuffle(offered)
    intake = Intake(database)
    for start in range(0, len(offered), batch):
        some = [incoming(to_json(event), tags) for event in offered[start : start + batch]]
        assert await intake.insert(some) == []
    found = await rolled_up(database)
    assert found["usage_hours"] == by_hand(events, tags, timedelta(hours=1))
    assert found["usage_days"] == by_hand(events, tags, timedelta(days=1))
    whole = total(found["usage_days"].values())
    assert whole.requests == len(events)
    assert (whole.cost, whole.saved, whole.avoided) == tuple(
        sum((getattr(event, name) for event in events), Decimal(0)) for name in MONEY
    )
    assert whole.calls == sum(
        attempt.error != "insufficient_quota" or attempt.usage is not None or attempt.cost is not None
        for event in events
        for attempt in event.attempts
    )
    async with database.reading() as connection:
        assert (await connection.execute(select(func.sum(usage_events.c.cost)))).scalar() in (whole.cost, None)
        latencies = (await connection.execute(select(func.sum(usage_latencies.c.requests)))).scalar()
    assert (latencies or 0) == len(events)


@given(events=some_events)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_days_that_are_summed_up_anew_have_the_same_sums(
    database: Database, events: list[UsageEvent]
) -> None:
    await empty(database)
    await Intake(database).insert([incoming(to_json(event), ("team",)) for event in events])
    before = await rolled_up(database)
    async with database.writing() as connection:
        await connection.execute(marks.insert().values(name=ROLL_UPS, value=MISSING))
        await connection.execute(delete(usage_hours))
        await connection.execute(usage_latencies.update().values(requests=0))
    while await step(database, ("team",)):
        pass
    assert await rolled_up(database) == before
    async with database.reading() as connection:
        assert await complete(connection)
        latencies = (await connection.execute(select(func.sum(usage_latencies.c.requests)))).scalar()
    assert (latencies or 0) == len(events)


def test_money_stands_with_the_model_that_was_paid(make_event: MakeEvent) -> None:
    cheap = AttemptRecord(
        model="small",
        upstream="u",
        started_ms=0,
        took_ms=1,
        usage=TokenUsage(prompt=50, completion=5),
        cost=Decimal("0.01"),
    )
    down = AttemptRecord(model="large", upstream="u", started_ms=1, took_ms=1, error="upstream_timeout")
    answered = AttemptRecord(model="large", upstream="u", started_ms=2, took_ms=1)
    event = make_event(cost=Decimal("0.11"), avoided=Decimal("-0.01"), attempts=(cheap, down, answered))
    (own, small) = parts_of(event)
    assert (own[0].model, own[1].cost, own[1].requests, own[1].calls, own[1].failed_calls) == (
        ("large", Decimal("0.10"), 1, 2, 1)
    )
    assert own[1].avoided == Decimal("-0.01")
    assert small == (own[0]._replace(model="small"), Sums(
        calls=1, prompt_tokens=50, completion_tokens=5, cost=Decimal("0.01")
    ))  # fmt: skip


@pytest.mark.parametrize(
    "error", ["rate_limit_exceeded", "insufficient_quota", "budget_unavailable", "upstream_resting"]
)
async def test_an_attempt_at_which_no_model_was_asked_is_no_call(
    database: Database, make_event: MakeEvent, error: str
) -> None:
    refused = [
        AttemptRecord(model=model, upstream="u", started_ms=0, took_ms=0, error=error)
        for model in ("small", "large")
    ]
    called = AttemptRecord(model="large", upstream="u", started_ms=1, took_ms=1, error="upstream_rate_limited")
    event = make_event(attempts=(*refused, called))
    ((place, sums),) = parts_of(event)
    assert (place.model, sums.requests, sums.calls, sums.failed_calls) == ("large", 1, 1, 1)
    await Intake(database).insert([incoming(to_json(event), ())])
    async with database.reading() as connection:
        row = (await connection.execute(select(usage_events))).mappings().one()
        assert parts_of(dict(row)) == [(place, sums)]
    assert list((await rolled_up(database))["usage_days"].values()) == [sums]


def test_only_tags_that_are_asked_for_tell_places_apart_and_long_values_are_cut(make_event: MakeEvent) -> None:
    event = make_event(tags={"team": "search", "user": "u" * 500})
    assert parts_of(event)[0][0].tags == "{}"
    assert parts_of(event, ["team", "nothing"])[0][0].tags == '{"team":"search"}'
    assert parts_of(event, ["user", "team"])[0][0].tags == '{"team":"search","user":"%s…"}' % ("u" * 63)


@given(st.floats(0, 1e12))
def test_a_bucket_holds_its_latencies(ms: float) -> None:
    low, high = bounds_of(bucket_of(ms))
    assert low <= ms < high


@given(st.lists(st.floats(0.1, 1e8), min_size=1, max_size=50), st.floats(0, 1))
def test_quantiles_are_within_their_stated_error(latencies: list[float], share: float) -> None:
    buckets: dict[int, int] = {}
    for ms in latencies:
        buckets[bucket_of(ms)] = buckets.get(bucket_of(ms), 0) + 1
    exact = sorted(latencies)[max(0, -(-int(share * len(latencies) * 10**9) // 10**9) - 1)]
    found = quantile_of(buckets, share)
    assert found is not None
    neighbours = sorted(latencies)
    place = neighbours.index(exact)
    near = neighbours[max(0, place - 1) : place + 2]
    assert any(abs(found - ms) <= 0.0251 * ms for ms in near)


def test_no_requests_have_no_quantile() -> None:
    assert quantile_of({}, 0.5) is None


async def test_a_day_whose_events_were_deleted_keeps_its_sums(database: Database, make_event: MakeEvent) -> None:
    event = make_event()
    await Intake(database).insert([incoming(to_json(event), ())])
    before = await rolled_up(database)
    async with database.writing() as connection:
        await connection.execute(delete(usage_events))
        await connection.execute(marks.insert().values(name="pruned", value="2026-11-06T00:00:00+00:00"))
    assert await rebuild(database, datetime(2026, 11, 5, tzinfo=UTC), ()) is None
    assert await rolled_up(database) == before


async def test_events_that_come_while_a_day_is_summed_up_count_once(
    url: str, database: Database, make_event: MakeEvent
) -> None:
    import asyncio

    other = Database(url)
    await other.prepare()
    intake, events = Intake(other), [make_event() for _ in range(200)]

    async def write() -> None:
        for event in events:
            await intake.insert([incoming(to_json(event), ())])
            await asyncio.sleep(0)

    writing = asyncio.create_task(write())
    day = datetime(2026, 11, 5, tzinfo=UTC)
    while not writing.done():
        await rebuild(database, day, ())
    await writing
    assert total((await rolled_up(database))["usage_hours"].values()).requests == 200
    assert total((await rolled_up(database))["usage_days"].values()).cost == sum(event.cost for event in events)
    await other.close()


@pytest.mark.parametrize("interrupted_after", [0, 1, 2])
async def test_a_backfill_that_is_cut_off_goes_on(
    url: str, database: Database, make_event: MakeEvent, interrupted_after: int
) -> None:
    at = datetime(2026, 10, 31, 12, tzinfo=UTC)
    events = [make_event(at=at + timedelta(days=day)) for day in range(4)]
    await Intake(database).insert([incoming(to_json(event), ()) for event in events])
    meant = await rolled_up(database)
    async with database.writing() as connection:
        await connection.execute(marks.insert().values(name=ROLL_UPS, value=MISSING))
        for table in (usage_hours, usage_days, usage_latencies):
            await connection.execute(delete(table))
    for _ in range(interrupted_after):
        assert await step(database, ())
    heir = Database(url)
    while await step(heir, ()):
        pass
    assert await rolled_up(heir) == meant
    await heir.close()
