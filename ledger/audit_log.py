"""The audit log: who changed which tenant, key or budget, when and why, in a chain of hashes.

An entry is written in the transaction of the change itself, so that they stand or fall together. The non-obvious
decision: whoever changes something first takes the log's turn, and only then looks at what is there. So numbers
have no gap, and no two changes rest on the same state.

An entry's hash is SHA-256 over it as JSON with sorted names, the hash of the entry before included. That finds
damage and quiet edits. Who rewrites the end of the log, or cuts it, is found only by comparing it with a head that
was kept elsewhere: `weir audit verify` prints one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

import orjson
from msgspec import Struct, structs
from sqlalchemy import RowMapping, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.access import Author, Entry
from ledger.database import Database
from ledger.tables import audit_log

GENESIS = "0" * 64
"""What the first entry has for the hash of the one before it."""
CONFIGURATION = "configuration.taken"

_TURN = 0x57656972_6C6F67  # "Weirlog": PostgreSQL's advisory locks are numbers
_PAGE = 1000

Kind = Literal["changed", "removed", "reordered", "put in", "cut tail", "rewritten"]


class Head(Struct, frozen=True):
    """The newest entry's number and hash: what to keep elsewhere. Of an empty log, 0."""

    number: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


class Problem(Struct, frozen=True):
    """The first thing that is wrong with the chain: at which entry, and of what kind."""

    number: int
    kind: Kind
    message: str

    def __str__(self) -> str:
        return f"entry {self.number}: {self.kind}: {self.message}"


class Verified(Struct, frozen=True):
    """What `verify` found: how many entries there are, their head, and what is wrong, if anything."""

    entries: int
    head: Head
    problem: Problem | None = None


@asynccontextmanager
async def changing(database: Database) -> AsyncIterator[AsyncConnection]:
    """A transaction for a change and its entries; one at a time, whichever process asks."""
    await database.prepare()
    async with database.writing() as connection:
        if database.dialect == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
        yield connection


async def append(
    connection: AsyncConnection,
    author: Author,
    what: str,
    subject: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> Entry:
    """Write an entry, in the transaction that `changing` gave. `before` and `after` hold no secret."""
    head = await newest(connection)
    entry = Entry(
        number=head.number + 1,
        at=datetime.now(UTC),
        by=author.by,
        what=what,
        subject=subject,
        before=before,
        after=after,
        reason=author.reason,
        previous=head.hash,
    )
    entry = structs.replace(entry, hash=hash_of(entry))
    await connection.execute(audit_log.insert().values(**structs.asdict(entry)))
    return entry


async def record_configuration(database: Database, digest: str, source: str) -> None:
    """Write down that the configuration `source` with this `digest` is in force; nothing where it was already."""
    mine = (audit_log.c.what == CONFIGURATION, audit_log.c.subject == source)
    async with changing(database) as connection:
        last = select(audit_log.c.after).where(*mine).order_by(audit_log.c.number.desc()).limit(1)
        before = (await connection.execute(last)).scalar()
        after = {"digest": digest}
        if before != after:
            await append(connection, Author("weir"), CONFIGURATION, source, before=before, after=after)


async def has(connection: AsyncConnection, what: str, subject: str) -> bool:
    """Whether there is an entry of this kind about `subject`."""
    mine = select(audit_log.c.number).where(audit_log.c.what == what, audit_log.c.subject == subject).limit(1)
    return (await connection.execute(mine)).first() is not None


async def newest(connection: AsyncConnection) -> Head:
    """The head of the log: the one cheap question that tells whether anything has changed."""
    query = select(audit_log.c.number, audit_log.c.hash).order_by(audit_log.c.number.desc()).limit(1)
    row = (await connection.execute(query)).first()
    return Head() if row is None else Head(*row)


async def list_entries(
    database: Database, *, subject: str | None = None, since: datetime | None = None, most: int = 1000
) -> list[Entry]:
    """The newest `most` entries that fit, oldest first."""
    query = select(audit_log).order_by(audit_log.c.number.desc()).limit(most)
    if subject is not None:
        query = query.where(audit_log.c.subject == subject)
    if since is not None:
        query = query.where(audit_log.c.at >= since)
    await database.prepare()
    async with database.reading() as connection:
        rows = (await connection.execute(query)).mappings().all()
    return [_entry(row) for row in reversed(rows)]


async def verify(database: Database, kept: Head | None = None) -> Verified:
    """Follow the chain from its first entry; `kept` is a head that was noted down earlier."""
    await database.prepare()
    async with database.reading() as connection:
        before, problem, count, at_kept = Head(), None, 0, Head()
        async for entry in _entries(connection):
            count += 1
            problem = problem or await _problem(connection, before, entry)
            before = Head(entry.number, entry.hash)
            if kept is not None and entry.number <= kept.number:
                at_kept = before
    if problem is None and kept is not None:
        problem = _against(kept, at_kept)
    return Verified(count, before, problem)


def hash_of(entry: Entry) -> str:
    """64 hex digits over all fields but `hash`."""
    fields = structs.asdict(entry) | {"at": entry.at.astimezone(UTC).isoformat(timespec="microseconds")}
    del fields["hash"]
    return sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def _problem(connection: AsyncConnection, before: Head, entry: Entry) -> Problem | None:
    """What is wrong with `entry` after the one before it."""
    number = entry.number
    if number < 1:
        return Problem(number, "put in", "entries are counted from 1")
    if hash_of(entry) != entry.hash:
        written_as = await _written_as(connection, entry)
        if written_as is None:
            return Problem(number, "changed", "it is not what its hash was made of")
        return Problem(
            number, "reordered", f"it was written as entry {written_as}: entries changed places or one was put in"
        )
    if number > before.number + 1:
        missing = f"{before.number + 1}" + (f" to {number - 1}" if number > before.number + 2 else "")
        return Problem(before.number + 1, "removed", f"there is no entry {missing}")
    if entry.previous != before.hash:
        said = f"its hash fits, but it does not follow entry {before.number}: one of the two was written anew"
        return Problem(number, "changed", said)
    return None


async def _written_as(connection: AsyncConnection, entry: Entry) -> int | None:
    """The number that `entry` had when its hash was made, where only that is not as it was."""
    numbers: list[int] = list((await connection.execute(select(audit_log.c.number))).scalars())
    candidates = {near for number in numbers for near in (number - 1, number, number + 1)}
    for number in sorted(candidates, key=lambda number: abs(number - entry.number)):
        if hash_of(structs.replace(entry, number=number)) == entry.hash:
            return number
    return None


def _against(kept: Head, found: Head) -> Problem | None:
    if found.number < kept.number:
        said = f"{kept.number} entries were written, and the last is {found.number}"
        return Problem(found.number + 1, "cut tail", said)
    if found.hash != kept.hash:
        said = "the chain is whole, but this is not the entry whose hash was kept: it was written anew"
        return Problem(kept.number, "rewritten", said)
    return None


async def _entries(connection: AsyncConnection) -> AsyncIterator[Entry]:
    """All of them in order, a page in memory at a time."""
    after: int | None = None
    while True:
        query = select(audit_log).order_by(audit_log.c.number).limit(_PAGE)
        if after is not None:
            query = query.where(audit_log.c.number > after)
        rows = (await connection.execute(query)).mappings().all()
        if not rows:
            return
        for row in rows:
            yield _entry(row)
        after = rows[-1]["number"]


def _entry(row: RowMapping) -> Entry:
    return Entry(**row)
