"""Costs that no request of Weir's caused, as a usage event: a training run on rented GPUs, an optimiser elsewhere.

They stand in every report like all other costs, under their purpose, and are taken off what was saved. The
non-obvious decision: a charge has an id that its maker may choose, so that one that is stated twice, as by a script
that runs again, counts once.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, get_args

from contracts import money
from contracts.access import Author
from contracts.errors import InvalidRequest
from contracts.records import CHARGE, UsageEvent
from contracts.usage import TokenUsage
from ledger import audit_log
from ledger.database import Database
from ledger.events import find_event, to_json
from ledger.incoming import incoming
from ledger.intake import Intake

ChargePurpose = Literal["train", "optimise", "eval"]
CHARGE_PURPOSES: tuple[str, ...] = get_args(ChargePurpose)
STATED = "stated"
"""`priced_by` of a charge: somebody said so."""
_WHAT = "charge.stated"
_ID = "chg_"
_TRIES = 2  # somebody else may state it between the look and the insert


async def state_charge(
    database: Database,
    *,
    tenant: str,
    purpose: ChargePurpose,
    usd: Decimal,
    at: datetime,
    author: Author,
    tags: Sequence[str],
    route: str = "",
    model: str = "",
    charge_id: str = "",
) -> UsageEvent:
    """Put a charge of `usd` dollars into the ledger and the audit log. `tags`: those that roll-ups tell apart.

    Stated again under its id, the charge is as it was the first time. Raises InvalidRequest where the amount is
    none or the id is another charge's, and what the driver raises.
    """
    if not usd.is_finite() or usd < money.QUANTUM:
        raise InvalidRequest("A charge is an amount of dollars above 0.", param="usd")
    event = UsageEvent(
        request_id=f"{_ID}{charge_id or secrets.token_hex(16)}",
        at=at,
        tenant=tenant,
        key_id=CHARGE,
        route=route,
        endpoint=CHARGE,
        requested_model=model,
        model=model,
        purpose=purpose,
        usage=TokenUsage(source="none"),
        cost=usd,
        priced_by=STATED,
        tags={"reason": author.reason} if author.reason else {},
    )
    await database.prepare()
    stated = await _put(database, event, tags)
    await _record(database, stated, author)
    return stated


async def _put(database: Database, event: UsageEvent, tags: Sequence[str]) -> UsageEvent:
    """The charge that is in the ledger under the id of `event` now. Raises InvalidRequest where it is another."""
    try:
        incoming(to_json(event), tags)
    except ValueError as error:
        raise InvalidRequest(f"It cannot be put into the ledger: {error}.") from error
    for _ in range(_TRIES):
        stated = await find_event(database, event.request_id, None) or event
        if _said(stated) != _said(event):
            break
        if not await Intake(database).insert([incoming(to_json(stated), tags)]):
            return stated
    raise InvalidRequest(f"There is another charge with the id '{event.request_id.removeprefix(_ID)}'.", param="id")


def _said(event: UsageEvent) -> tuple[object, ...]:
    """What makes two charges the same."""
    return event.tenant, event.purpose, money.usd(event.cost), event.route, event.model


async def _record(database: Database, event: UsageEvent, author: Author) -> None:
    """After the charge, and once: where a crash came between, stating it again makes up for that."""
    after = {"tenant": event.tenant, "purpose": event.purpose, "usd": str(event.cost), "at": event.at.isoformat()}
    async with audit_log.changing(database) as connection:
        if not await audit_log.has(connection, _WHAT, event.request_id):
            await audit_log.append(connection, author, _WHAT, event.request_id, after=after)
