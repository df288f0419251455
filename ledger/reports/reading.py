"""The ledger read exactly, at any moment, by whatever a report is cut by.

The proof: all questions to the database are asked of one snapshot, and `unshipped` gives what is in the spool and
is not in it. Roll-ups are written in the same transaction as their events, so a snapshot has both or neither.

Whole days come from the daily roll-ups, whole hours from the hourly ones, and only what is left at the two ends
from single events. Where a tag is asked for that is not rolled up, single events are read as far back as they go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson
from sqlalchemy import ColumnElement, RowMapping, Select, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.records import UsageEvent
from ledger.backfill import complete, pruned_before, summed_up
from ledger.database import Database
from ledger.reports.unshipped import spooled_in
from ledger.rollups import READ_BY_PARTS, Sums, parts_of
from ledger.spool import set_aside
from ledger.tables import COUNTED, MONEY, usage_days, usage_events, usage_hours
from ledger.told_apart import tags_told_apart

Grain = Literal["", "day", "hour"]
"""Whether rows are told apart by time."""

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_LAST_DAY = datetime.max.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
_ROWS_AT_ONCE = 1000
_NO_TAGS = "{}"
_ALWAYS = ("tenant", "route", "model", "purpose")


class Cell(NamedTuple):
    """What is told apart. `start` is the begin of the day or hour; what a reading does not ask for is empty.

    `tags` is a JSON object of the tags that were asked for and that the events have.
    """

    start: datetime | None
    tenant: str
    key_id: str
    route: str
    model: str
    purpose: str
    tags: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is read: from `since` on and before `until` (aware; None: no bound), of one tenant or of all.

    `tags` are told apart; those in `rolled_up` should be in the roll-ups too: what is configured.
    """

    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None
    grain: Grain = ""
    keys: bool = False
    tags: tuple[str, ...] = ()
    rolled_up: tuple[str, ...] = ()

    def holds(self, event: UsageEvent) -> bool:
        return (
            (self.since is None or event.at >= self.since)
            and (self.until is None or event.at < self.until)
            and (self.tenant is None or event.tenant == self.tenant)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`set_aside` counts records that no report can hold (see Spool); `notes` say where the ledger knows less."""

    rows: Mapping[Cell, Sums]
    set_aside: int = 0
    notes: Sequence[str] = ()


class Piece(NamedTuple):
    """A part of the span, and where it is read from."""

    source: Literal["days", "hours", "events"]
    since: datetime | None
    until: datetime | None


async def read(database: Database, spool_folder: Path, question: Question) -> Reading:
    """Every event once. Raises what the driver raises where the database does not answer."""
    await database.prepare()
    sums = _Adding(question)
    with spooled_in(spool_folder) as spooled:
        aside = await asyncio.to_thread(set_aside, spool_folder)
        async with database.reading() as connection:
            notes = await _add_stored(connection, question, sums)
            async for events in spooled.unshipped(connection, question.holds):
                aside += await asyncio.to_thread(sums.add_spooled, events)
    return Reading(rows=dict(sorted(sums.rows.items(), key=_order)), set_aside=aside, notes=tuple(notes))


def pieces(question: Question, pruned_before: datetime | None = None) -> list[Piece]:
    """How the span is put together where roll-ups are complete. Single events before `pruned_before` are gone."""
    since, until = question.since, question.until
    if not set(question.tags) <= set(question.rolled_up):
        if pruned_before is None or (since is not None and since >= pruned_before):
            return [Piece("events", since, until)]
        if until is None or until > pruned_before:
            older = Question(since=since, until=pruned_before, grain=question.grain)
            return [*pieces(older), Piece("events", pruned_before, until)]
    begin = _rounded(since, _HOUR, up=True)
    end = _rounded(until, _HOUR)
    if begin is not None and end is not None and begin > end:
        return [Piece("events", since, until)]
    found = [Piece("events", since, begin)] if since != begin else []
    found += _whole(begin, end, question.grain)
    if until != end:
        found.append(Piece("events", end, until))
    return found


def floor(moment: datetime, step: timedelta) -> datetime:
    """The begin of the hour or day, in UTC. A zone's own clock may skip an hour on the way back there."""
    moment = moment.astimezone(UTC)
    return moment - (moment - datetime.min.replace(tzinfo=UTC)) % step


def _whole(begin: datetime | None, end: datetime | None, grain: Grain) -> list[Piece]:
    """From full hour to full hour."""
    if begin is not None and begin == end:
        return []
    day, last = _rounded(begin, _DAY, up=True), _rounded(end, _DAY)
    if grain == "hour" or (day is not None and last is not None and day >= last):
        return [Piece("hours", begin, end)]
    found = [Piece("hours", begin, day)] if begin != day else []
    found.append(Piece("days", day, last))
    return [*found, Piece("hours", last, end)] if last != end else found


def _rounded(moment: datetime | None, step: timedelta, *, up: bool = False) -> datetime | None:
    if moment is None:
        return None
    below = floor(moment, step)
    return below + step if up and below != moment and below < _LAST_DAY else below


@dataclass(slots=True)
class _Adding:
    question: Question
    rows: dict[Cell, Sums] = field(default_factory=dict)

    def add(self, cell: Cell, sums: Sums) -> None:
        self.rows[cell] = self.rows[cell] + sums if cell in self.rows else sums

    def add_event(self, event: UsageEvent | Mapping[str, Any]) -> None:
        """Raises ValueError or ArithmeticError where its money is none."""
        asked = self.question
        at = event.at if isinstance(event, UsageEvent) else event["at"]
        step = _HOUR if asked.grain == "hour" else _DAY
        start = floor(at, step) if asked.grain else None
        for place, sums in parts_of(event, asked.tags):
            tenant, key_id, route, model, purpose, tags = place
            self.add(Cell(start, tenant, key_id if asked.keys else "", route, model, purpose, tags), sums)

    def add_rows(self, rows: Sequence[RowMapping]) -> None:
        """Of `usage_events`; in a thread, because a server goes on answering meanwhile."""
        for row in rows:
            self.add_event(dict(row))

    def add_spooled(self, events: Sequence[UsageEvent]) -> int:
        """How many are none: their money is no number, and the writer will set them aside."""
        bad = 0
        for event in events:
            try:
                self.add_event(event)
            except (ValueError, ArithmeticError):
                bad += 1
        return bad

    def add_rolled_up(self, row: Mapping[str, Any]) -> None:
        asked = self.question
        start = row.get("start")
        if start is not None and asked.grain == "day":
            start = floor(start, _DAY)
        tags = _chosen(row["tags"], asked.tags) if asked.tags else _NO_TAGS
        place = (row["tenant"], row.get("key_id", ""), row["route"], row["model"], row["purpose"])
        counts: dict[str, Any] = {name: int(row[name]) for name in COUNTED}
        self.add(Cell(start, *place, tags), Sums(**counts, **{name: row[name] for name in MONEY}))


async def _add_stored(connection: AsyncConnection, question: Question, sums: _Adding) -> list[str]:
    """What is in the database, and what has to be known about it."""
    if not await summed_up(connection):
        await _add_events(connection, question, question.since, question.until, sums)
        return ["The roll-ups are still being built, so every event was read: `weir ledger status`."]
    told = await tags_told_apart(connection) if await complete(connection) else {}
    if told is not None:
        question = replace(question, rolled_up=tuple(name for name in question.rolled_up if name in told))
    plan, notes = pieces(question), []
    pruned = _rounded(await pruned_before(connection), _DAY, up=True)
    if pruned is not None and any(piece.source == "events" for piece in plan):
        plan = pieces(question, pruned)
        notes = _shortfalls(question, plan, pruned)
    for source, since, until in plan:
        if source == "events":
            await _add_events(connection, question, since, until, sums)
        else:
            table = usage_days if source == "days" else usage_hours
            for row in (await connection.execute(_rolled_up(table, question, since, until))).mappings():
                sums.add_rolled_up(row)
    for name, day in (told or {}).items():
        if name in question.tags and day is not None and (question.since is None or question.since < day):
            notes.append(_unknown(day, [name]))
    return notes


def _shortfalls(question: Question, plan: Sequence[Piece], pruned: datetime) -> list[str]:
    notes = []
    unknown = [name for name in question.tags if name not in question.rolled_up]
    if unknown and (question.since is None or question.since < pruned):
        notes.append(f"{_unknown(pruned, unknown)} Tags in `ledger.tags` are kept.")
    if any(source == "events" and begin is not None and begin < pruned for source, begin, _ in plan):
        notes.append(
            f"Single events before {pruned:%Y-%m-%d} were deleted: an hour there is counted whole or not at all. "
            "Choose full hours."
        )
    return notes


def _unknown(day: datetime, tags: Sequence[str]) -> str:
    return f"Single events before {day:%Y-%m-%d} were deleted, so there {', '.join(tags)} is not known."


async def _add_events(
    connection: AsyncConnection, question: Question, since: datetime | None, until: datetime | None, sums: _Adding
) -> None:
    columns = [usage_events.c[name] for name in READ_BY_PARTS]
    query = select(*columns).where(*_bounds(usage_events, "at", question, since, until))
    async with connection.stream(query) as found:
        async for rows in found.mappings().partitions(_ROWS_AT_ONCE):
            await asyncio.to_thread(sums.add_rows, rows)


def _rolled_up(table: Table, question: Question, since: datetime | None, until: datetime | None) -> Select[Any]:
    asked = {"start": bool(question.grain), "key_id": question.keys, "tags": bool(question.tags)}
    names = [*_ALWAYS, *(name for name, wanted in asked.items() if wanted)]
    places = [table.c[name] for name in names]
    sums = [func.sum(table.c[name]).label(name) for name in (*COUNTED, *MONEY)]
    return select(*places, *sums).where(*_bounds(table, "start", question, since, until)).group_by(*places)


def _bounds(
    table: Table, at: str, question: Question, since: datetime | None, until: datetime | None
) -> Iterator[ColumnElement[bool]]:
    if since is not None:
        yield table.c[at] >= since
    if until is not None:
        yield table.c[at] < until
    if question.tenant is not None:
        yield table.c.tenant == question.tenant


def _chosen(tags: str, names: Sequence[str]) -> str:
    """`tags`, as roll-ups have them, with none but `names`."""
    found = orjson.loads(tags)
    kept = {name: found[name] for name in names if name in found}
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()


def _order(item: tuple[Cell, Sums]) -> tuple[Any, ...]:
    cell = item[0]
    return (cell.start or datetime.min.replace(tzinfo=UTC), *cell[1:])
