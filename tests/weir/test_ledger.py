"""`weir ledger`: the state of the ledger, roll-ups built anew, old events deleted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from contracts.records import UsageEvent
from ledger.database import Database, sqlite_url
from ledger.spool import Spool
from ledger.tables import marks, usage_days
from ledger.writer import Writer
from weir.ledger import ledger

CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models: {large: {upstream: stand-in, price: {input: 1, output: 1}}}
routes: {support: {candidates: [large]}}
tenants: {acme: {}}
ledger: {tags: [team]}
"""
Run = Callable[..., Result]


def event(number: int, at: datetime) -> UsageEvent:
    return UsageEvent(
        request_id=f"r{number}",
        at=at,
        tenant="acme",
        key_id="k",
        route="support",
        endpoint="embeddings",
        requested_model="support",
        model="large",
        cost=Decimal("0.5"),
        tags={"team": "search"},
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Three events in the database, of September, October and November; and one in the spool."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    Path("weir.yaml").write_text(CONFIG)

    async def fill() -> None:
        database, spool = Database(sqlite_url(Path("state"))), Spool(Path("state/spool"))
        for number, month in enumerate((9, 10, 11)):
            spool.append(event(number, datetime(2025, month, 5, tzinfo=UTC)))
        await Writer(spool, database).stop()
        spool.append(event(3, datetime(2025, 11, 6, tzinfo=UTC)))
        spool.close()
        await database.close()

    asyncio.run(fill())
    return lambda *arguments: CliRunner().invoke(ledger, arguments)


def tags_rolled_up() -> set[str]:
    async def ask() -> set[str]:
        database = Database(sqlite_url(Path("state")))
        async with database.reading() as connection:
            found = set((await connection.execute(select(usage_days.c.tags))).scalars())
        await database.close()
        return found

    return asyncio.run(ask())


def mark_as_missing() -> None:
    async def write() -> None:
        database = Database(sqlite_url(Path("state")))
        async with database.writing() as connection:
            await connection.execute(marks.insert().values(name="roll-ups", value="missing from 2025-10-01"))
        await database.close()

    asyncio.run(write())


def test_the_status_tells_of_events_roll_ups_and_spool(run: Run) -> None:
    found = json.loads(run("status", "--json").stdout)
    assert (found["events"], found["requests_rolled_up"], found["roll_ups_complete"]) == (3, 3, True)
    assert (found["waiting_events"], found["set_aside"], found["partitions"]) == (1, 0, [])
    assert found["first_at"].startswith("2025-09-05")
    assert found["bytes"] > found["waiting_bytes"] > 0
    shown = run("status").stdout
    assert "2025-09-05 00:00 to 2025-11-05 00:00 UTC" in shown
    assert "complete; 3 requests" in shown
    mark_as_missing()
    assert "missing from 2025-10-01 on" in run("status").stdout


def test_a_backfill_takes_up_tags_that_are_told_apart_now(run: Run) -> None:
    assert tags_rolled_up() == {"{}"}
    some = json.loads(run("backfill", "--since", "2025-10-01", "--until", "2025-11-01", "--json").stdout)
    assert some == {"days": 1, "events": 1, "days_kept": 0}
    assert tags_rolled_up() == {"{}", '{"team":"search"}'}
    assert run("backfill").stdout == "Summed up 3 events of 3 days.\n"
    assert tags_rolled_up() == {'{"team":"search"}'}


def test_old_events_are_deleted_and_their_sums_stay(run: Run) -> None:
    assert json.loads(run("prune", "--before", "2025-10-01", "--json").stdout) == {"deleted": 1}
    found = json.loads(run("status", "--json").stdout)
    assert (found["events"], found["requests_rolled_up"], found["pruned_before"][:10]) == (2, 3, "2025-10-01")
    assert "single events before 2025-10-01 were deleted" in run("status").stdout
    assert run("backfill").stdout == "Summed up 2 events of 2 days.\n"
    assert json.loads(run("status", "--json").stdout)["requests_rolled_up"] == 3
    assert run("prune", "--before", "2025-10-01").stdout == "Deleted 0 events.\n"


def test_nothing_is_deleted_before_it_is_rolled_up(run: Run) -> None:
    mark_as_missing()
    result = run("prune", "--before", "2025-10-01")
    assert (result.exit_code, "roll-ups are not complete" in result.output) == (1, True)
    assert json.loads(run("status", "--json").stdout)["events"] == 3


def test_a_day_in_the_future_is_a_slip(run: Run) -> None:
    result = run("prune", "--before", "2999-01-01")
    assert (result.exit_code, "must not be in the future" in result.output) == (2, True)


def test_every_verb_has_examples(run: Run) -> None:
    for verb in ("status", "backfill", "prune", "charge"):
        assert f"weir ledger {verb}" in run(verb, "--help").stdout


def test_a_charge_is_stated_once_under_its_name(run: Run) -> None:
    arguments = ("charge", "--tenant", "acme", "--purpose", "train", "--usd", "41.60", "--id", "student-3")
    told = run(*arguments, "--route", "support", "--json")
    assert json.loads(told.output) == {"id": "chg_student-3", "tenant": "acme", "usd": "41.6"}
    assert "Charged $41.6 to acme for train: chg_student-3." in run(*arguments, "--route", "support").output
    assert json.loads(run("status", "--json").output)["events"] == 4
    assert "another charge" in run(*arguments, "--route", "support", "--usd", "1").output


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (("--tenant", "acne"), "Did you mean 'acme'?"),
        (("--route", "suport"), "Did you mean 'support'?"),
        (("--model", "huge"), "There is no model 'huge'."),
        (("--usd", "41,60"), "'41,60' is no amount of dollars. Write 41.60."),
        (("--usd", "-5"), "above 0"),
        (("--purpose", "serve"), "'serve' is not one of"),
        (("--id", "a b"), "'id' must be"),
    ],
)
def test_a_charge_that_makes_no_sense_is_refused(run: Run, changes: tuple[str, ...], told: str) -> None:
    found = run("charge", "--tenant", "acme", "--purpose", "train", "--usd", "1", *changes)
    assert found.exit_code != 0
    assert told in " ".join(found.output.split())
