"""Charges: in the ledger and the audit log, once, and in reports beside what requests cost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.access import Author
from contracts.budgets import Budget, Measure
from contracts.errors import InvalidRequest
from contracts.records import UsageEvent
from ledger.audit_log import list_entries
from ledger.budgets.spent import LedgerSpent
from ledger.charges import state_charge
from ledger.database import Database
from ledger.reports.costs import cost_report

BY = Author("cli:ada", "8 GPU hours")
AT = datetime(2026, 11, 5, 12, tzinfo=UTC)


async def charge(database: Database, **changes: Any) -> UsageEvent:
    usual = {"tenant": "acme", "purpose": "train", "usd": Decimal("41.60"), "at": AT, "author": BY, "tags": ()}
    return await state_charge(database, **{**usual, **changes})


async def test_a_charge_is_a_cost_of_its_purpose_and_no_request(database: Database, folder: Path) -> None:
    event = await charge(database, route="support")
    by = ("tenant", "route", "purpose")
    lines = (await cost_report(database, folder, by=by)).cut(by)
    assert {place: (line.cost, line.requests) for place, line in lines.items()} == {
        ("acme", "support", "train"): (Decimal("41.6"), 0)
    }
    (entry,) = await list_entries(database)
    assert (entry.what, entry.subject, entry.by, entry.reason) == (
        "charge.stated",
        event.request_id,
        "cli:ada",
        "8 GPU hours",
    )
    assert entry.after is not None
    assert entry.after["usd"] == "41.60"


async def test_stated_twice_under_its_id_it_counts_once(database: Database, folder: Path) -> None:
    first = await charge(database, charge_id="run-17")
    again = await charge(database, charge_id="run-17", at=datetime(2026, 11, 6, tzinfo=UTC))
    assert (again.request_id, again.at) == (first.request_id, first.at) == ("chg_run-17", AT)
    with pytest.raises(InvalidRequest, match="another charge with the id 'run-17'"):
        await charge(database, charge_id="run-17", usd=Decimal(1))
    assert (await cost_report(database, folder)).total.cost == Decimal("41.6")
    assert len(await list_entries(database)) == 1
    await charge(database)
    assert (await cost_report(database, folder)).total.cost == Decimal("83.2")


async def test_stated_by_several_at_once_it_counts_once(url: str, database: Database, folder: Path) -> None:
    others = [Database(url) for _ in range(4)]
    for other in others:
        await other.prepare()
    for number in range(5):
        stated = await asyncio.gather(
            *(
                charge(other, charge_id=f"run-{number}", at=AT + timedelta(hours=hour))
                for hour, other in enumerate(others)
            )
        )
        assert len({event.at for event in stated}) == 1
    assert (await cost_report(database, folder)).total.cost == 5 * Decimal("41.6")
    assert len(await list_entries(database)) == 5
    for other in others:
        await other.close()


async def test_digits_that_no_column_has_make_no_other_charge(database: Database, folder: Path) -> None:
    for _ in range(2):
        await charge(database, charge_id="run", usd=Decimal("0.1234567890125"))
    assert (await cost_report(database, folder)).total.cost == Decimal("0.123456789012")


@pytest.mark.parametrize(
    ("changes", "why"), [({"usd": Decimal("1e60")}, "cost"), ({"at": AT.replace(1999)}, "time")]
)
async def test_what_the_ledger_does_not_believe_is_told(
    database: Database, changes: dict[str, object], why: str
) -> None:
    with pytest.raises(InvalidRequest, match=f"its {why} is not to be believed"):
        await charge(database, **changes)


@pytest.mark.parametrize("usd", ["0", "-1", "NaN", "Infinity", "1e-13"])
async def test_nothing_is_no_charge(database: Database, usd: str) -> None:
    with pytest.raises(InvalidRequest, match="above 0"):
        await charge(database, usd=Decimal(usd))
    assert await list_entries(database) == []


async def test_what_was_paid_elsewhere_is_no_part_of_a_budget(database: Database, folder: Path) -> None:
    await charge(database)
    measures: tuple[Measure, ...] = ("usd", "requests", "tokens")
    for measure in measures:
        budget = Budget(name="b", measure=measure, limit=10, window="total", tenant="acme")
        spent = await LedgerSpent(database, folder, tuple).spent_so_far(budget, None)
        assert sum(spent.values()) == 0, measure
