"""A tag that is told apart from now on: what was summed up before is read exactly, and summed up anew."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from contracts.budgets import Budget, nanodollars
from contracts.records import UsageEvent
from ledger.backfill import complete
from ledger.budgets.spent import LedgerSpent
from ledger.database import Database
from ledger.reports.costs import cost_report
from ledger.reports.latencies import latencies
from ledger.reports.single_events import Span
from ledger.retention import prune
from ledger.told_apart import tags_told_apart, tell_apart
from ledger.upkeep import Upkeep
from tests.ledger.storing import store

MakeEvent = Callable[..., UsageEvent]
DAY = datetime(2026, 11, 3, tzinfo=UTC)
SEARCH = Budget(name="b", measure="usd", limit=1, window="month", tag=("team", "search"))


async def spent(database: Database, folder: Path) -> int:
    ledger = LedgerSpent(database, folder, lambda: ("team",))
    return (await ledger.spent_so_far(SEARCH, DAY.replace(day=1))).get((), 0)


async def by_team(database: Database, folder: Path) -> dict[str | None, Decimal]:
    report = await cost_report(database, folder, by=("tag:team",), rolled_up=("team",))
    return {place[0]: line.cost for place, line in report.cut(("tag:team",)).items()}


async def before_and_after(database: Database, make_event: MakeEvent) -> None:
    """One event summed up when nobody told teams apart; one since."""
    await tell_apart(database, ())
    await store(database, [make_event(at=DAY, cost=Decimal(5), tags={"team": "search"})])
    later = make_event(at=DAY + timedelta(days=1), cost=Decimal(1), tags={"team": "search"})
    await store(database, [later], tags=("team",))


async def test_a_budget_on_a_new_tag_knows_what_was_spent_before_it(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    await before_and_after(database, make_event)
    assert await spent(database, folder) == nanodollars(Decimal(6))


async def test_the_roll_ups_are_summed_up_anew_with_a_new_tag(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    await before_and_after(database, make_event)
    assert await by_team(database, folder) == {"search": Decimal(6)}
    await Upkeep(database, tags=("team",), keep_days=None).turn(DAY)
    async with database.reading() as connection:
        assert await tags_told_apart(connection) == {"team": None}
        assert await complete(connection)
    async for _ in prune(database, DAY + timedelta(days=60)):
        pass
    assert await by_team(database, folder) == {"search": Decimal(6)}, "the sums tell it, without single events"


async def test_what_is_told_apart_already_is_not_summed_up_anew(database: Database, make_event: MakeEvent) -> None:
    await tell_apart(database, ("team",))
    await store(database, [make_event(at=DAY, tags={"team": "search"})], tags=("team",))
    assert not await tell_apart(database, ("team",))
    assert not await tell_apart(database, ()), "a tag that is given up costs nothing"
    assert await tell_apart(database, ("team",)), "but what came meanwhile does not have it"


async def test_days_whose_events_were_deleted_say_that_a_new_tag_is_not_known(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    await tell_apart(database, ())
    await store(database, [make_event(at=DAY, cost=Decimal(5), tags={"team": "search"})])
    async for _ in prune(database, DAY + timedelta(days=60)):
        pass
    await Upkeep(database, tags=("team",), keep_days=None).turn(DAY)
    report = await cost_report(database, folder, by=("tag:team",), rolled_up=("team",))
    assert report.total.cost == Decimal(5)
    assert any("team is not known" in note for note in report.notes)


async def test_while_a_new_tag_is_summed_up_what_was_deleted_counts_all_the_same(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    await tell_apart(database, ())
    await store(database, [make_event(at=DAY, cost=Decimal(5), tags={"team": "search"})])
    async for _ in prune(database, DAY + timedelta(days=60)):
        pass
    late = DAY + timedelta(days=70)
    await store(database, [make_event(at=late, cost=Decimal(1), tags={"team": "search"})])
    assert await tell_apart(database, ("team",))
    assert await by_team(database, folder) == {None: Decimal(5), "search": Decimal(1)}
    assert (await cost_report(database, folder, rolled_up=("team",))).total.cost == Decimal(6)
    assert sum((await latencies(database, folder, Span()))["support", "large"].values()) == 2
