"""Events straight into the database, as the writer would put them there."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.records import UsageEvent
from ledger.database import Database
from ledger.events import to_json
from ledger.incoming import incoming
from ledger.intake import Intake


async def store(database: Database, events: Sequence[UsageEvent], tags: Sequence[str] = ()) -> None:
    """Roll-ups included."""
    assert await Intake(database).insert([incoming(to_json(event), tags) for event in events]) == []
