"""What was spent and saved, cut by tenant, route, model, key, purpose, day, hour and tags, in any combination.

Every cut is added up from the same finest rows, so that all cuts have the same total; an event without a tag that
is asked for is in a row of its own. `reading` says why the rows are exact at any moment.

The non-obvious decision: `requests` are those that clients made. What Weir asked besides (judging, auditing,
shadows) is in the cost and not in the requests, so that the cost per 1,000 requests is what a client's request
really costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from contracts.money import ZERO, usd
from ledger.database import Database
from ledger.reports.allocation import SERVE, Overhead, shifts
from ledger.reports.document import Unanswerable
from ledger.reports.reading import Cell, Grain, Question, read
from ledger.rollups import Sums

__all__ = ["DIMENSIONS", "USUAL", "CostReport", "Line", "Place", "Sums", "checked_cut", "cost_report"]

USUAL = ("tenant", "route", "model")
DIMENSIONS = (*USUAL, "key", "purpose", "day", "hour")
"""And `tag:NAME`."""
TAG = "tag:"

Place = tuple[Any, ...]
"""Texts, and a time for a day or an hour. A tag that is not there is None."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is in one row: all that was spent, and of it what was spent to serve clients.

    `allocated` is what it bears of costs that others caused, in its `cost` already; below zero: what others bear.
    """

    whole: Sums = field(default_factory=Sums)
    served: Sums = field(default_factory=Sums)
    allocated: Decimal = ZERO

    def __add__(self, other: Line) -> Line:
        return Line(self.whole + other.whole, self.served + other.served, self.allocated + other.allocated)

    @property
    def requests(self) -> int:
        return self.served.requests

    @property
    def cost(self) -> Decimal:
        return self.whole.cost + self.allocated

    @property
    def other_cost(self) -> Decimal:
        """The part of `cost` that was spent on other purposes than to serve clients."""
        return self.whole.cost - self.served.cost

    @property
    def cost_per_1000(self) -> Decimal | None:
        """Dollars for 1,000 requests, rounded to `money.QUANTUM`; None where there were none."""
        return usd(self.cost * 1000 / self.requests) if self.requests else None

    @property
    def hit_rate(self) -> float:
        """Share of requests answered from the cache; 0 where there were none."""
        return self.served.hits / self.requests if self.requests else 0.0

    @property
    def estimated_share(self) -> float:
        """Share of all events whose tokens had to be estimated, of any purpose; 0 where there were none."""
        return self.whole.estimated / self.whole.requests if self.whole.requests else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """`rows` are the finest; those of idle GPUs have no tenant where nobody used them.

    `set_aside` counts records that no report can hold (see Spool). `allocated` is by cell, empty where nothing was
    asked to be allocated. `notes` say where the ledger knows less.
    """

    rows: Mapping[Cell, Sums]
    allocated: Mapping[Cell, Decimal] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None
    set_aside: int = 0
    notes: Sequence[str] = ()

    @property
    def total(self) -> Line:
        return self.cut(()).get((), Line())

    def cut(self, by: Sequence[str]) -> dict[Place, Line]:
        """The rows added up by some dimensions, in the order given. Every cut has the same total."""
        readers = [_reader(name) for name in by]
        found: dict[Place, Line] = {}
        for cell in {**self.rows, **dict.fromkeys(self.allocated)}:
            sums = self.rows.get(cell, Sums())
            served = sums if cell.purpose == SERVE else Sums()
            line = Line(sums, served, self.allocated.get(cell, ZERO))
            place = tuple(read(cell) for read in readers)
            found[place] = found[place] + line if place in found else line
        return dict(sorted(found.items(), key=lambda item: tuple(map(_sortable, item[0]))))


def checked_cut(text: str) -> tuple[str, ...]:
    """Dimensions, separated by commas. Raises Unanswerable with advice."""
    names = tuple(name.strip() for name in text.split(","))
    known = all(name in DIMENSIONS or (name.startswith(TAG) and len(name) > len(TAG)) for name in names)
    if not known or len(set(names)) != len(names):
        raise Unanswerable(
            f"'{text}' must name some of {', '.join(DIMENSIONS)} and tag:NAME, each once, with commas."
        )
    return names


async def cost_report(
    database: Database,
    spool_folder: Path,
    *,
    by: Sequence[str] = USUAL,
    since: datetime | None = None,
    until: datetime | None = None,
    tenant: str | None = None,
    rolled_up: Sequence[str] = (),
    by_day: bool = False,
    allocate: Sequence[Overhead] | None = None,
) -> CostReport:
    """Everything from `since` on and before `until` (aware times; None: no bound), of one tenant or of all.

    It can be cut by the dimensions in `by`, by `USUAL`, and with `by_day` by day. `rolled_up` names the tags in the
    roll-ups (`ledger.tags`). `allocate`, even where it is empty, spreads costs as `allocation` says; a tenant then
    bears of overheads its part of what all tenants were charged.
    """
    grain: Grain = "hour" if "hour" in by else "day" if by_day or "day" in by else ""
    question = Question(
        since=since,
        until=until,
        tenant=tenant if allocate is None else None,
        grain=grain,
        keys="key" in by,
        tags=tuple(name.removeprefix(TAG) for name in by if name.startswith(TAG)),
        rolled_up=tuple(rolled_up),
    )
    reading = await read(database, spool_folder, question)
    rows, allocated = reading.rows, {} if allocate is None else shifts(reading.rows, allocate)
    if allocate is not None and tenant is not None:
        rows = {cell: sums for cell, sums in rows.items() if cell.tenant == tenant}
        allocated = {cell: amount for cell, amount in allocated.items() if cell.tenant == tenant}
    return CostReport(
        rows=rows,
        allocated=allocated,
        since=since,
        until=until,
        tenant=tenant,
        set_aside=reading.set_aside,
        notes=reading.notes,
    )


def _reader(name: str) -> Callable[[Cell], Any]:
    if name.startswith(TAG):
        tag = name.removeprefix(TAG)
        return lambda cell: orjson.loads(cell.tags).get(tag)
    match name:
        case "key":
            return lambda cell: cell.key_id
        case "hour":
            return lambda cell: cell.start
        case "day":
            return lambda cell: cell.start.date() if cell.start is not None else None
        case _:
            return lambda cell: getattr(cell, name)


def _sortable(value: Any) -> tuple[bool, str]:
    return value is not None, "" if value is None else value if isinstance(value, str) else value.isoformat()
