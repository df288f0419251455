"""What the ledger has of a budget, from roll-ups and the spool together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.budgets import Amount, Budget, Claim, dollars
from contracts.errors import BudgetSpent
from contracts.records import AttemptRecord, UsageEvent
from contracts.usage import TokenUsage
from ledger.budgets.local import LocalBudgets
from ledger.budgets.spent import LedgerSpent
from ledger.database import Database
from ledger.spool import Spool
from ledger.writer import Writer

MakeEvent = Callable[..., UsageEvent]
MONTH = datetime(2026, 11, 1, tzinfo=UTC)
LONG = "x" * 80


@pytest.fixture
async def events(spool: Spool, database: Database, make_event: MakeEvent) -> list[UsageEvent]:
    """Half of them in the database, one of those in the spool too, the others in the spool only."""
    cheap = AttemptRecord(
        model="small",
        upstream="u",
        started_ms=0,
        took_ms=1,
        usage=TokenUsage(prompt=7, completion=3),
        cost=Decimal("0.2"),
    )
    failed = AttemptRecord(model="large", upstream="u", started_ms=0, took_ms=1, error="upstream_reset")
    answered = AttemptRecord(model="large", upstream="u", started_ms=0, took_ms=1)
    made = [
        make_event(at=MONTH - timedelta(microseconds=1), cost=Decimal(64)),
        make_event(at=MONTH, cost=Decimal("0.0000000001"), attempts=(failed, answered)),
        make_event(cost=Decimal(2), attempts=(cheap, answered), tags={"team": "search", "long": LONG}),
        make_event(cost=Decimal(4), key_id="key_2", tenant="globex", attempts=(answered,)),
        make_event(cost=Decimal(8), route="sales", attempts=(answered,), tags={"team": "ads"}),
        make_event(cost=Decimal(16), purpose="judge", attempts=(answered,)),
        make_event(usage=TokenUsage(prompt=90, source="cache"), cost=Decimal(0)),
    ]
    for event in made[:4]:
        spool.append(event)
    writer = Writer(spool, database, tags=("team", "long"))
    await writer.flush(at_once=True)
    assert writer.written == 4
    for event in made[3:]:
        spool.append(event)
    return made


@pytest.mark.parametrize(
    ("changes", "spent"),
    [
        ({"measure": "usd"}, {(): Decimal("30.000000001")}),
        ({"measure": "usd", "begin": None}, {(): Decimal("94.000000001")}),
        ({"measure": "usd", "each": ("tenant",)}, {("acme",): Decimal("26.000000001"), ("globex",): Decimal(4)}),
        (
            {"measure": "usd", "tenant": "acme", "each": ("model", "route")},
            {
                ("large", "support"): Decimal("17.800000001"),
                ("small", "support"): Decimal("0.2"),
                ("large", "sales"): Decimal(8),
            },
        ),
        ({"measure": "usd", "key": "key_2"}, {(): Decimal(4)}),
        ({"measure": "usd", "route": "sales"}, {(): Decimal(8)}),
        ({"measure": "usd", "model": "small"}, {(): Decimal("0.2")}),
        ({"measure": "usd", "tag": ("team", "search")}, {(): Decimal(2)}),
        ({"measure": "usd", "tag": ("long", LONG)}, {(): Decimal(2)}),
        ({"measure": "usd", "tag": ("long", LONG[:-20])}, {}),
        ({"measure": "tokens", "tenant": "acme"}, {(): 4 * 110 + 10}),
        ({"measure": "requests"}, {(): 5}),
        ({"measure": "requests", "each": ("model",)}, {("large",): 5, ("small",): 1}),
    ],
)
async def test_it_is_what_fits_from_the_begin_on(
    changes: dict[str, Any],
    spent: dict[tuple[str, ...], Any],
    events: list[UsageEvent],
    database: Database,
    folder: Path,
) -> None:
    begin = changes.get("begin", MONTH)
    changes = {name: value for name, value in changes.items() if name != "begin"}
    budget = Budget(**{"name": "b", "limit": 1, "window": "month", **changes})
    for rolled_up in ((), ("team", "long")):
        found = await LedgerSpent(database, folder, lambda rolled_up=rolled_up: rolled_up).spent_so_far(
            budget, begin
        )
        if budget.measure == "usd":
            assert {values: dollars(amount) for values, amount in found.items()} == spent
        else:
            assert found == spent


async def test_a_process_that_starts_again_goes_on(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent
) -> None:
    """Killed, with the event of what it had spent on disk and not in the database yet."""
    budget = Budget(name="b", measure="usd", limit=10**9, window="total", tenant="acme")
    claim = Claim(request_id="r1", tenant="acme", key_id="key_1", route="support")
    spent = LedgerSpent(database, folder, tuple)
    first = LocalBudgets(spent_so_far=spent.spent_so_far)
    first.configure([budget])
    await first.start()
    await first.reserve(claim, "large", Amount(usd=10**9))
    spool.append(make_event(cost=Decimal("0.7")))
    await first.stop()
    second = LocalBudgets(spent_so_far=spent.spent_so_far)
    second.configure([budget])
    await second.start()
    with pytest.raises(BudgetSpent, match=r"\$0\.3 is left"):
        await second.reserve(claim, "large", Amount(usd=4 * 10**8))
    assert await second.reserve(claim, "large", Amount(usd=3 * 10**8))
    await second.stop()
