"""Old events are deleted, and only they; what they added up to stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text

from contracts.records import UsageEvent
from ledger.backfill import MISSING, ROLL_UPS, pruned_before, rebuild
from ledger.database import Database
from ledger.partitions import attached_months
from ledger.retention import InUse, RollUpsIncomplete, prune
from ledger.tables import marks, usage_events
from ledger.upkeep import Upkeep
from tests.ledger.storing import store
from tests.ledger.test_rollups import rolled_up

MakeEvent = Callable[..., UsageEvent]

MOMENTS = [datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 30, 23, 59, 59, tzinfo=UTC)]
MOMENTS += [datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 5, tzinfo=UTC)]


async def kept(database: Database) -> list[datetime]:
    async with database.reading() as connection:
        return list((await connection.execute(select(usage_events.c.at).order_by(usage_events.c.at))).scalars())


async def total(database: Database, before: datetime) -> int:
    return sum([number async for number in prune(database, before)])


async def test_events_from_before_a_moment_go_and_their_sums_stay(
    database: Database, make_event: MakeEvent
) -> None:
    await store(database, [make_event(at=at) for at in MOMENTS])
    meant = await rolled_up(database)
    assert await total(database, datetime(2026, 10, 1, tzinfo=UTC)) == 2
    assert await kept(database) == MOMENTS[2:]
    assert await rolled_up(database) == meant
    assert await total(database, datetime(2026, 10, 1, tzinfo=UTC)) == 0
    for day in (MOMENTS[1].replace(hour=0, minute=0, second=0), MOMENTS[3]):
        await rebuild(database, day, ())
    assert await rolled_up(database) == meant, "and nobody sums up anew what is gone"
    async with database.reading() as connection:
        assert await pruned_before(connection) == datetime(2026, 10, 1, tzinfo=UTC)


async def test_an_event_for_a_month_that_is_gone_is_taken_all_the_same(
    database: Database, make_event: MakeEvent
) -> None:
    from ledger.events import to_json
    from ledger.incoming import incoming
    from ledger.intake import Intake

    intake = Intake(database)
    assert await intake.insert([incoming(to_json(make_event(at=MOMENTS[0])), ())]) == []
    assert await total(database, datetime(2026, 10, 1, tzinfo=UTC)) == 1
    assert await intake.insert([incoming(to_json(make_event(at=MOMENTS[0])), ())]) == []
    assert await kept(database) == MOMENTS[:1]


async def test_nothing_is_deleted_that_is_not_rolled_up(database: Database, make_event: MakeEvent) -> None:
    await store(database, [make_event(at=at) for at in MOMENTS])
    async with database.writing() as connection:
        await connection.execute(marks.insert().values(name=ROLL_UPS, value=MISSING))
    with pytest.raises(RollUpsIncomplete):
        await total(database, datetime(2026, 11, 1, tzinfo=UTC))
    assert await kept(database) == MOMENTS


async def test_upkeep_builds_what_is_missing_and_deletes_what_is_old(
    database: Database, make_event: MakeEvent
) -> None:
    await store(database, [make_event(at=at) for at in MOMENTS])
    meant = await rolled_up(database)
    async with database.writing() as connection:
        await connection.execute(marks.insert().values(name=ROLL_UPS, value=MISSING))
        await connection.execute(text("DELETE FROM usage_days"))
    await Upkeep(database, tags=(), keep_days=30).turn(datetime(2026, 11, 5, 12, tzinfo=UTC))
    assert await rolled_up(database) == meant
    assert await kept(database) == MOMENTS[2 if database.dialect == "postgresql" else 3 :]


@pytest.mark.parametrize("url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
async def test_a_month_that_is_read_is_left_alone(database: Database, make_event: MakeEvent) -> None:
    await store(database, [make_event(at=at) for at in MOMENTS])
    before = datetime(2026, 10, 1, tzinfo=UTC)
    async with database.reading() as report:
        await report.execute(select(usage_events.c.at))
        with pytest.raises(InUse, match="2026-08"):
            await total(database, before)
    assert await kept(database) == MOMENTS
    assert await total(database, before) == 2
    async with database.reading() as connection:
        assert [month.month for month in await attached_months(connection)] == [10, 11]
