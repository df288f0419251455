"""The books of the losses benchmark, and a small run of it: whatever fails, nothing is lost."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.losses import Answers, audited, measured, sound
from benchmarks.own_postgres import NoPostgres
from contracts.records import UsageEvent
from ledger.database import Database, sqlite_url
from ledger.spool import Spool
from ledger.writer import Writer

WHOLE: dict[str, Any] = {
    "answers": 3,
    "events": 4,
    "lost": 0,
    "twice": 0,
    "at_another_cost": 0,
    "cost_of_events": "0.4",
    "cost_of_roll_ups": "0.4",
    "requests_in_roll_ups": 4,
    "segments_left": 0,
}


def test_books_that_agree_are_sound() -> None:
    assert sound(WHOLE)


@pytest.mark.parametrize(
    "change",
    [
        {"lost": 1},
        {"twice": 1},
        {"at_another_cost": 1},
        {"segments_left": 1},
        {"cost_of_roll_ups": "0.5"},
        {"requests_in_roll_ups": 3},
        {"answers": 5},
    ],
)
def test_all_others_are_not(change: dict[str, Any]) -> None:
    assert not sound({**WHOLE, **change})


def event(number: int) -> UsageEvent:
    return UsageEvent(
        request_id=f"r{number}",
        at=datetime(2026, 11, 5, tzinfo=UTC),
        tenant="acme",
        key_id="acme/demo",
        route="auto",
        endpoint="chat/completions",
        requested_model="auto",
        model="mock",
        cost=Decimal("0.1"),
    )


async def test_what_is_missing_or_dearer_than_it_said_is_found(tmp_path: Path) -> None:
    url, folder = sqlite_url(tmp_path), tmp_path / "spool"
    database, spool = Database(url), Spool(folder)
    for number in range(2):
        spool.append(event(number))
    await Writer(spool, database).stop()
    spool.close()
    await database.close()
    answers = Answers()
    for number, cost in enumerate(("0.1", "0.2", None)):
        answers.had(f"r{number}", cost)
    answers.had("r0", "0.1")
    books = await audited(url, folder, answers)
    assert (books["events"], books["lost"], books["at_another_cost"], books["twice"]) == (2, 1, 1, 1)
    assert books["cost_of_events"] == books["cost_of_roll_ups"] == "0.2"


async def test_nothing_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    try:
        found = await measured(tmp_path, requests=300, outage_s=2)
    except NoPostgres as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    assert sound(found), found
    assert found["outage"]["answered_while_down"] > 0
    assert found["outage"]["answered_after_a_restart_without_database"] > 0, (
        "its key was known to the database only"
    )
    assert not found["outage"]["keys_refused"]
    assert found["full_disk"]["refused_as_ledger_unavailable"] > 0
