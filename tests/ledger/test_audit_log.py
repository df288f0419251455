"""Every change has its entry, no entry is without its change, and who touches the log afterwards is found out."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, insert, select, update

from contracts.access import Author
from contracts.errors import InvalidRequest, NotFound
from ledger.audit_log import (
    CONFIGURATION,
    GENESIS,
    Head,
    append,
    changing,
    hash_of,
    list_entries,
    record_configuration,
    verify,
)
from ledger.database import Database
from ledger.stored_budgets import list_budgets, remove_budget, set_budget
from ledger.stored_keys import create_key, find_key, list_keys, revoke_key
from ledger.stored_tenants import change_tenant, close_tenant, create_tenant, list_tenants
from ledger.tables import audit_log, budgets, keys, tenants

BY = Author("cli:ada", "because")
BUDGET = {"usd": "10.5", "per": "month", "warn_at": [0.8, 1.0], "hard": True}


async def changed_in_all_ways(database: Database) -> None:
    await create_tenant(database, "initech", ["support"], author=BY)
    await change_tenant(database, "initech", {"routes": None, "refused_models": ["large"]}, author=BY)
    key, _ = await create_key(database, "initech", "web", author=BY)
    await set_budget(database, "calm", BUDGET, author=BY)
    await set_budget(database, "calm", BUDGET | {"usd": "11"}, author=BY)
    await revoke_key(database, key.id, author=BY)
    await remove_budget(database, "calm", author=BY)
    await close_tenant(database, "initech", author=BY)


async def test_every_change_is_told_with_what_was_and_what_is(database: Database) -> None:
    before = datetime.now(UTC)
    await changed_in_all_ways(database)
    entries = await list_entries(database)
    assert [entry.number for entry in entries] == list(range(1, 9))
    assert [entry.what for entry in entries] == [
        "tenant.created",
        "tenant.changed",
        "key.created",
        "budget.created",
        "budget.changed",
        "key.revoked",
        "budget.removed",
        "tenant.closed",
    ]
    assert {(entry.by, entry.reason) for entry in entries} == {("cli:ada", "because")}
    assert all(before <= entry.at <= datetime.now(UTC) for entry in entries)
    assert (entries[0].before, entries[0].after) == (
        None,
        {"routes": ["support"], "models": None, "refused_models": []},
    )
    assert entries[1].before == entries[0].after
    assert entries[1].after == {"routes": None, "models": None, "refused_models": ["large"]}
    assert (entries[4].before, entries[4].after) == (BUDGET, BUDGET | {"usd": "11"})
    assert entries[6].before == BUDGET | {"usd": "11"}
    assert entries[6].after is None
    found = await verify(database)
    assert (found.entries, found.problem) == (8, None)
    assert found.head == Head(8, entries[-1].hash)


async def test_no_secret_and_no_whole_hash_is_in_it(database: Database) -> None:
    key, secret = await create_key(database, "acme", author=BY)
    await revoke_key(database, key.id, author=BY)
    told = str(await list_entries(database))
    assert key.id in told
    assert secret not in told
    assert key.hash not in told
    assert key.hash[:19] in told


async def test_what_changes_nothing_is_not_told(database: Database) -> None:
    await changed_in_all_ways(database)
    number = (await verify(database)).head.number
    key = (await list_keys(database))[0]
    assert await revoke_key(database, key.id, author=BY) == key
    assert await revoke_key(database, "key_none", author=BY) is None
    assert not await remove_budget(database, "calm", author=BY)
    closed = await close_tenant(database, "initech", author=BY)
    assert closed == (await list_tenants(database))[0]
    again = await set_budget(database, "new", BUDGET, author=BY)
    assert await set_budget(database, "new", BUDGET, author=BY) == again
    assert (await verify(database)).head.number == number + 1, "the one new budget"


async def test_refused_changes_leave_no_entry(database: Database) -> None:
    await create_tenant(database, "initech", author=BY)
    await close_tenant(database, "initech", author=BY)
    with pytest.raises(InvalidRequest, match="not given again"):
        await create_tenant(database, "initech", author=BY)
    with pytest.raises(InvalidRequest, match="was closed"):
        await change_tenant(database, "initech", {"routes": ["support"]}, author=BY)
    for gone in (change_tenant(database, "x", {"routes": []}, author=BY), close_tenant(database, "x", author=BY)):
        with pytest.raises(NotFound):
            await gone
    await set_budget(database, "calm", BUDGET | {"tenant": "acme"}, author=BY)
    with pytest.raises(NotFound):
        await set_budget(database, "calm", BUDGET, author=BY, tenant="globex")
    assert not await remove_budget(database, "calm", author=BY, tenant="globex")
    assert (await list_budgets(database))[0].settings == BUDGET | {"tenant": "acme"}
    assert (await verify(database)).entries == 3


class Killed(Exception):
    pass


@pytest.mark.parametrize("table", [keys, tenants, budgets], ids=str)
async def test_a_change_whose_transaction_dies_leaves_neither_row_nor_entry(
    database: Database, table: object
) -> None:
    row = {
        keys: {
            "id": "key_1", "tenant": "acme", "hash": "h", "name": "", "role": "", "created_at": datetime.now(UTC)
        },
        tenants: {"name": "x", "refused_models": [], "created_at": datetime.now(UTC)},
        budgets: {"name": "x", "settings": BUDGET, "changed_at": datetime.now(UTC)},
    }[table]  # type: ignore[index]  # fmt: skip
    with pytest.raises(Killed):
        async with changing(database) as connection:
            await connection.execute(insert(table).values(**row))  # type: ignore[arg-type]
            await append(connection, BY, "key.created", "x")
            raise Killed
    assert (await verify(database)).entries == 0
    async with database.reading() as connection:
        assert (await connection.execute(select(table))).all() == []  # type: ignore[call-overload]


async def test_a_change_whose_entry_cannot_be_written_is_not_made(database: Database) -> None:
    async with database.writing() as connection:
        await connection.execute(
            insert(audit_log).values(
                number=2**63 - 1,
                at=datetime.now(UTC),
                by="x",
                what="x",
                subject="x",
                reason="",
                previous="",
                hash="",
            )
        )
    with pytest.raises(Exception, match=r"(?i)integer|range|large"):
        await create_key(database, "acme", author=BY)
    assert await list_keys(database) == []


async def test_writers_in_several_processes_leave_no_gap_and_no_fork(url: str, database: Database) -> None:
    others = [Database(url) for _ in range(4)]
    await asyncio.gather(
        *(create_key(each, "acme", f"{number}", author=BY) for number in range(10) for each in (database, *others))
    )
    for other in others:
        await other.close()
    found = await verify(database)
    assert (found.entries, found.head.number, found.problem) == (50, 50, None)
    assert len(await list_keys(database)) == 50


async def test_a_change_waits_until_the_one_before_it_is_over(url: str, database: Database) -> None:
    other = Database(url)
    await other.prepare()
    async with changing(database) as connection:
        second = asyncio.create_task(create_tenant(other, "second", author=BY))
        await asyncio.sleep(0.2)  # a change that does not wait is over by then
        assert not second.done()
        await append(connection, BY, "tenant.created", "first")
    await second
    await other.close()
    assert [entry.subject for entry in await list_entries(database)] == ["first", "second"]


async def test_two_who_make_the_same_tenant_do_not_both_succeed(url: str, database: Database) -> None:
    other = Database(url)
    made = await asyncio.gather(
        create_tenant(database, "initech", author=BY),
        create_tenant(other, "initech", author=BY),
        return_exceptions=True,
    )
    await other.close()
    assert sorted(type(one).__name__ for one in made) == ["InvalidRequest", "Tenant"]
    assert (await verify(database)).entries == 1


# --- tampering


async def swap(database: Database, one: int, other: int) -> None:
    """Have two entries change places, all but their numbers."""
    async with database.writing() as connection:
        rows = {row["number"]: dict(row) for row in (await connection.execute(select(audit_log))).mappings().all()}
        for number, source in ((one, other), (other, one)):
            values = rows[source] | {"number": number}
            await connection.execute(update(audit_log).where(audit_log.c.number == number).values(**values))


async def put_in(database: Database, at: int, *, forged: bool) -> None:
    """Have an entry stand where `at` was, and all from there on one further; `forged`: with the right hashes."""
    entries = await list_entries(database)
    async with database.writing() as connection:
        for entry in reversed(entries[at - 1 :]):
            moved = update(audit_log).where(audit_log.c.number == entry.number).values(number=entry.number + 1)
            await connection.execute(moved)
        new = {"number": at, "at": datetime.now(UTC), "by": "x", "what": "key.created", "subject": "x"}
        previous = entries[at - 2].hash if at > 1 else GENESIS
        await connection.execute(insert(audit_log).values(**new, reason="", previous=previous, hash="0" * 64))
    if forged:
        entry = (await list_entries(database))[at - 1]
        async with database.writing() as connection:
            await connection.execute(update(audit_log).where(audit_log.c.number == at).values(hash=hash_of(entry)))


@pytest.mark.parametrize(
    "column", [{"by": "nobody"}, {"reason": ""}, {"after": None}, {"subject": "x"}, {"at": datetime.now(UTC)}]
)
async def test_an_entry_that_was_changed_is_named(database: Database, column: dict[str, object]) -> None:
    await changed_in_all_ways(database)
    async with database.writing() as connection:
        await connection.execute(update(audit_log).where(audit_log.c.number == 3).values(**column))
    problem = (await verify(database)).problem
    assert problem is not None
    assert (problem.number, problem.kind) == (3, "changed")


@pytest.mark.parametrize(("gone", "first"), [([1], 1), ([4], 4), ([2, 3, 4], 2)])
async def test_entries_that_were_removed_are_named(database: Database, gone: list[int], first: int) -> None:
    await changed_in_all_ways(database)
    async with database.writing() as connection:
        await connection.execute(delete(audit_log).where(audit_log.c.number.in_(gone)))
    problem = (await verify(database)).problem
    assert problem is not None
    assert (problem.number, problem.kind) == (first, "removed")
    assert str(gone[-1]) in problem.message


@pytest.mark.parametrize(("one", "other"), [(3, 4), (2, 7)])
async def test_entries_that_changed_places_are_named(database: Database, one: int, other: int) -> None:
    await changed_in_all_ways(database)
    await swap(database, one, other)
    problem = (await verify(database)).problem
    assert problem is not None
    assert (problem.number, problem.kind) == (one, "reordered")
    assert f"written as entry {other}" in problem.message


async def test_an_entry_that_was_put_in_is_found(database: Database) -> None:
    await changed_in_all_ways(database)
    await put_in(database, 4, forged=False)
    problem = (await verify(database)).problem
    assert problem is not None
    assert (problem.number, problem.kind) == (4, "changed")


async def test_so_is_one_with_a_hash_that_fits(database: Database) -> None:
    await changed_in_all_ways(database)
    await put_in(database, 4, forged=True)
    problem = (await verify(database)).problem
    assert problem is not None
    assert (problem.number, problem.kind) == (5, "reordered")
    assert "one was put in" in problem.message


async def test_one_entry_written_anew_with_its_hash_breaks_the_next(database: Database) -> None:
    await changed_in_all_ways(database)
    async with database.writing() as connection:
        await connection.execute(update(audit_log).where(audit_log.c.number == 3).values(by="nobody"))
    entry = (await list_entries(database))[2]
    async with database.writing() as connection:
        await connection.execute(update(audit_log).where(audit_log.c.number == 3).values(hash=hash_of(entry)))
    problem = (await verify(database)).problem
    assert problem is not None
    assert (problem.number, problem.kind) == (4, "changed")
    assert "does not follow entry 3" in problem.message


async def test_a_cut_tail_is_found_with_a_head_that_was_kept(database: Database) -> None:
    await changed_in_all_ways(database)
    kept = (await verify(database)).head
    async with database.writing() as connection:
        await connection.execute(delete(audit_log).where(audit_log.c.number > 6))
    assert (await verify(database)).problem is None, "nothing else can tell"
    problem = (await verify(database, kept)).problem
    assert problem is not None
    assert (problem.number, problem.kind) == (7, "cut tail")


async def test_a_log_that_was_written_anew_is_found_with_a_head_that_was_kept(database: Database) -> None:
    await changed_in_all_ways(database)
    kept = (await verify(database)).head
    async with database.writing() as connection:
        await connection.execute(delete(audit_log))
    for number in range(9):
        await create_tenant(database, f"tenant-{number}", author=BY)
    problem = (await verify(database, kept)).problem
    assert problem is not None
    assert (problem.number, problem.kind) == (8, "rewritten")


async def test_a_head_that_was_kept_still_fits_when_the_log_has_grown(database: Database) -> None:
    await create_tenant(database, "one", author=BY)
    kept = (await verify(database)).head
    await create_tenant(database, "two", author=BY)
    assert (await verify(database, kept)).problem is None
    assert (await verify(database, Head())).problem is None


# --- what else there is


async def test_a_configuration_is_told_when_it_is_another(database: Database) -> None:
    for digest in ("a", "a", "b", "b", "a"):
        await record_configuration(database, digest, "/etc/weir.yaml")
    await record_configuration(database, "a", "/other/weir.yaml")
    entries = await list_entries(database, subject="/etc/weir.yaml")
    assert [(entry.what, entry.before, entry.after) for entry in entries] == [
        (CONFIGURATION, None, {"digest": "a"}),
        (CONFIGURATION, {"digest": "a"}, {"digest": "b"}),
        (CONFIGURATION, {"digest": "b"}, {"digest": "a"}),
    ]
    assert (await verify(database)).entries == 4


async def test_the_log_is_searched_by_subject_and_time(database: Database) -> None:
    await changed_in_all_ways(database)
    entries = await list_entries(database)
    assert [entry.number for entry in await list_entries(database, subject="initech")] == [1, 2, 8]
    assert await list_entries(database, since=entries[5].at) == entries[5:]
    assert await list_entries(database, since=datetime.now(UTC) + timedelta(days=1)) == []
    assert await list_entries(database, most=2) == entries[-2:]


async def test_what_a_key_is_can_be_asked(database: Database) -> None:
    key, _ = await create_key(database, "", "finance", author=BY, role="viewer")
    assert await find_key(database, key.id) == key
    assert await find_key(database, "key_none") is None
