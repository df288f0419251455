"""The measured saving: by hand, on both engines, in the spool and in the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.records import UsageEvent
from ledger.backfill import PRUNED
from ledger.database import Database
from ledger.events import to_json, to_row
from ledger.partitions import make_partitions
from ledger.reports.saving import Arm, RouteSaving, Savings, measure
from ledger.reports.single_events import Bounds, Span
from ledger.spool import Spool
from ledger.tables import marks, usage_events
from tests.ledger.storing import store

MakeEvent = Callable[..., UsageEvent]
NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)


async def insert(database: Database, events: Sequence[UsageEvent]) -> None:
    async with database.writing() as connection:
        await make_partitions(connection, [event.at for event in events])
    async with database.writing() as connection:
        await connection.execute(usage_events.delete())
        if events:
            await connection.execute(usage_events.insert(), [to_row(to_json(event)) for event in events])


def two_arms(make: MakeEvent, dear: int = 40, usual: int = 400, **changes: object) -> list[UsageEvent]:
    """Dear requests cost 10 cents, usual ones 2, over ten days; each is a conversation of its own."""
    return [
        make(
            arm="dear" if number < dear else "usual",
            cost=Decimal("0.10") if number < dear else Decimal("0.02"),
            at=NOON + timedelta(days=10 * number / (dear + usual - 1)),
            **changes,
        )
        for number in range(dear + usual)
    ]


def only(savings: Savings) -> RouteSaving:
    (route,) = savings.routes
    return route


@pytest.mark.parametrize("spooled", [0, 100, 440])
async def test_the_saving_is_requests_times_the_difference_of_the_means(
    database: Database, spool: Spool, folder: Path, make_event: MakeEvent, spooled: int
) -> None:
    events = two_arms(make_event)
    await insert(database, events[spooled:])
    for event in events[: spooled + 50]:  # some are in both
        spool.append(event)
    savings = await measure(database, folder, Span())
    route = only(savings)
    assert route.usual == Arm(400, Decimal(8)) and route.dear == Arm(40, Decimal(4))
    assert route.saving is not None
    assert route.saving.middle == 32  # 400 x (0.10 - 0.02)
    assert float(route.saving.low) == pytest.approx(32) and float(route.saving.high) == pytest.approx(32)
    assert savings.total == route.saving
    assert route.measuring == Decimal("3.2")
    assert savings.bounds == Bounds(NOON, NOON + timedelta(days=10))


async def test_all_that_is_not_serving_counts_as_optimising(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    events = two_arms(make_event)
    purposes = ("audit", "judge", "check", "shadow", "eval", "optimise", "train")
    events += [make_event(purpose=purpose, cost=Decimal(1)) for purpose in purposes]
    events += [make_event(purpose="eval", route="direct", cost=Decimal(5))]
    await insert(database, events)
    savings = await measure(database, folder, Span())
    assert {route.route: route.optimising for route in savings.routes} == {"support": 7, "direct": 5}
    assert savings.optimising == 12
    (measured,) = savings.measured
    assert measured.usual.requests == 400, "Weir's own calls are no requests"


async def test_requests_without_a_lot_say_nothing(database: Database, folder: Path, make_event: MakeEvent) -> None:
    events = two_arms(make_event)
    events += [make_event(cost=Decimal(9)), make_event(cost=Decimal(9), route="direct")]
    await insert(database, events)
    route = only(await measure(database, folder, Span()))
    assert route.undrawn == 1, "a model that was named has no route"
    assert route.saving is not None and route.saving.middle == 32


async def test_too_few_dear_conversations_give_no_saving(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    await insert(database, two_arms(make_event, dear=29))
    savings = await measure(database, folder, Span())
    assert only(savings).saving is None and savings.total is None
    assert only(savings).effective == 29
    many = two_arms(make_event, conversation="all one")
    await insert(database, many)
    assert only(await measure(database, folder, Span())).effective == 1


async def test_the_total_is_the_sum_and_its_interval_is_narrower_than_the_intervals_together(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    events = []
    for route in ("a", "b"):
        for number in range(300):
            dear = number < 60
            cost = Decimal(number % 7 + 1) / (10 if dear else 100)
            events.append(make_event(route=route, arm="dear" if dear else "usual", cost=cost))
    await insert(database, events)
    savings = await measure(database, folder, Span())
    assert savings.total is not None
    parts = [route.saving for route in savings.routes if route.saving is not None]
    assert len(parts) == 2
    assert savings.total.middle == sum(part.middle for part in parts)
    assert savings.total.low > sum(part.low for part in parts)
    assert savings.total.high < sum(part.high for part in parts)
    again = await measure(database, folder, Span())
    assert again.total == savings.total, "the seed is fixed"


async def test_a_span_and_a_tenant_narrow_it(database: Database, folder: Path, make_event: MakeEvent) -> None:
    events = two_arms(make_event) + two_arms(make_event, tenant="globex") + two_arms(make_event, route="other")
    await insert(database, events)
    found = await measure(database, folder, Span(tenant="acme", route="support", since=NOON + timedelta(days=1)))
    late = [e for e in events[:440] if e.at >= NOON + timedelta(days=1)]
    assert only(found).usual.requests + only(found).dear.requests == len(late)
    found = await measure(database, folder, Span(tenant="acme", until=NOON))
    assert (found.routes, found.total, found.bounds) == ([], None, None)


async def test_failures_count_as_they_cost(database: Database, folder: Path, make_event: MakeEvent) -> None:
    events = two_arms(make_event)
    events += [make_event(arm="dear", outcome="failed", cost=Decimal(0)) for _ in range(10)]
    await insert(database, events)
    route = only(await measure(database, folder, Span()))
    assert route.dear == Arm(50, Decimal(4), 10)
    assert route.dear.failed_share == 0.2
    assert route.saving is not None and route.saving.middle == 400 * Decimal("0.08") - 8


drawn = st.lists(
    st.builds(
        UsageEvent,
        request_id=st.uuids().map(str),
        at=st.datetimes(min_value=datetime(2026, 10, 30), max_value=datetime(2026, 11, 3), timezones=st.just(UTC)),
        tenant=st.just("t"),
        key_id=st.just("k"),
        route=st.sampled_from(["a", "b", "direct"]),
        endpoint=st.just("embeddings"),
        requested_model=st.just("m"),
        purpose=st.sampled_from(["serve", "serve", "judge"]),
        outcome=st.sampled_from(["answered", "failed", "cut"]),
        cost=st.decimals(min_value=0, max_value=10, places=12),
        arm=st.sampled_from(["", "usual", "dear"]),
        conversation=st.sampled_from(["", "x", "y"]),
    ),
    max_size=30,
    unique_by=lambda event: event.request_id,
)


@given(events=drawn, shipped=st.integers(0, 30))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_request_is_counted_once_wherever_it_is(
    tmp_path_factory: pytest.TempPathFactory, database: Database, events: list[UsageEvent], shipped: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    await insert(database, events[:shipped])
    spool = Spool(folder)
    for event in events[max(0, shipped - 5) :]:
        spool.append(event)
    savings = await measure(database, folder, Span())
    spool.close()
    for route in savings.routes:
        mine = [event for event in events if event.route == route.route]
        serve = [event for event in mine if event.purpose == "serve"]
        for arm, found in (("usual", route.usual), ("dear", route.dear)):
            here = [event for event in serve if event.arm == arm]
            cost = sum((event.cost for event in here), Decimal(0))
            assert found == Arm(len(here), cost, sum(event.outcome != "answered" for event in here))
        assert route.undrawn == (0 if route.route == "direct" else sum(not event.arm for event in serve))
        assert route.optimising == sum((event.cost for event in mine if event.purpose != "serve"), Decimal(0))
    asked_for = {e.route for e in events if e.purpose != "serve" or e.arm or e.route != "direct"}
    assert {route.route for route in savings.routes} == asked_for


@pytest.mark.parametrize(("since", "told"), [(None, True), (NOON, True), (NOON + timedelta(days=2), False)])
async def test_that_single_events_were_deleted_is_told_also_where_an_old_one_came_late(
    database: Database, folder: Path, make_event: MakeEvent, since: datetime | None, told: bool
) -> None:
    await store(database, [make_event(at=NOON + timedelta(days=day)) for day in range(4)])
    gone = NOON.replace(hour=0) + timedelta(days=2)
    async with database.writing() as connection:
        await connection.execute(usage_events.delete().where(usage_events.c.at < gone))
        await connection.execute(marks.insert().values(name=PRUNED, value=gone.isoformat()))
    await store(database, [make_event(at=NOON)])
    assert (await measure(database, folder, Span(since=since))).gone_before == (gone if told else None)
    assert (await measure(database, folder, Span(route="another"))).gone_before is None
