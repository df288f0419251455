"""From one schema to the next, with events in place."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, select, text

import ledger
from ledger.database import Database, DatabaseUnusable
from ledger.tables import marks, usage_events

_TEXTS = """
    tenant key_id route endpoint requested_model model upstream purpose outcome error usage_source usage_method
    priced_by verdict prompt_version policy_version corpus_version
"""
_COUNTS = "prompt completion cached cache_write reasoning audio_prompt audio_completion"


def up_to(version: str, connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(ledger.__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, version)


def row_of_0001(connection: Connection, request_id: str, at: datetime) -> None:
    """As the first Weir would have written it, with a cost of an eighth of a dollar."""
    sqlite = connection.dialect.name == "sqlite"
    values: dict[str, object] = dict.fromkeys(_TEXTS.split(), "x")
    values |= {f"{name}_tokens": 1 for name in _COUNTS.split()}
    values |= {"request_id": request_id, "stream": False, "hung_up": False, "status": 200, "latency_ms": 1.5}
    values |= {"at": at.replace(tzinfo=None).isoformat(" ", "microseconds") if sqlite else at}
    values |= {name: 125 * 10**9 if sqlite else Decimal("0.125") for name in ("cost", "saved")}
    values |= {"verdict_detail": "{}", "attempts": "[]", "tags": '{"team": "ops"}'}
    json = ("verdict_detail", "attempts", "tags")
    names = ", ".join(values)
    places = ", ".join(f"CAST(:{name} AS json)" if name in json and not sqlite else f":{name}" for name in values)
    connection.execute(text(f"INSERT INTO usage_events ({names}) VALUES ({places})"), values)


async def test_events_of_the_first_schema_are_taken_over_and_their_roll_ups_marked_missing(url: str) -> None:
    first = Database(url)
    moments = {
        "a": datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        "b": datetime(2026, 1, 1, tzinfo=UTC),
        "c": datetime(2026, 11, 5, 12, tzinfo=UTC),
    }
    async with first.writing() as connection:
        await connection.run_sync(lambda sync: up_to("0001", sync))
        for request_id, at in moments.items():
            await connection.run_sync(row_of_0001, request_id, at)
    await first.close()
    database = Database(url)
    await database.prepare()
    async with database.reading() as connection:
        rows = (await connection.execute(select(usage_events).order_by(usage_events.c.request_id))).mappings().all()
        assert (await connection.execute(select(marks.c.value))).scalars().all() == ["missing"]
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert {row["request_id"]: row["at"] for row in rows} == moments
    assert {(row["cost"], row["avoided"], row["arm"], row["usage_tier"]) for row in rows} == {
        (Decimal("0.125"), Decimal(0), "", "")
    }
    assert rows[0]["tags"] == {"team": "ops"}
    assert "usage_events_unparted" not in tables
    await database.close()


async def test_a_new_database_has_nothing_to_build(database: Database) -> None:
    async with database.reading() as connection:
        assert (await connection.execute(select(marks.c.value))).scalars().all() == []


async def test_times_that_no_event_can_have_do_not_stop_a_start(url: str) -> None:
    first = Database(url)
    async with first.writing() as connection:
        await connection.run_sync(lambda sync: up_to("0001", sync))
        for request_id, year in (("early", 1), ("late", 9999), ("good", 2026)):
            await connection.run_sync(row_of_0001, request_id, datetime(year, 12, 31, tzinfo=UTC))
    await first.close()
    database = Database(url)
    await database.prepare()
    async with database.reading() as connection:
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        kept = set((await connection.execute(text("SELECT request_id FROM usage_events"))).scalars())
        if "usage_events_unparted" in tables:
            kept |= set((await connection.execute(text("SELECT request_id FROM usage_events_unparted"))).scalars())
    assert kept == {"early", "late", "good"}, "and nothing is lost"
    await database.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE keys DROP COLUMN role", r"the column 'role' of the table 'keys'"),
        ("DROP TABLE usage_days", r"the table 'usage_days'"),
    ],
)
async def test_a_schema_with_a_part_missing_is_refused_by_name(
    url: str, database: Database, change: str, named: str
) -> None:
    async with database.altering() as connection:
        await connection.execute(text(change))
    later = Database(url)
    with pytest.raises(DatabaseUnusable, match=rf"{named} is missing.*Restore a whole backup"):
        await later.prepare()
    await later.close()
