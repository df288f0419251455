"""What the database knows of access is read when it has changed, and kept for a start without the database."""

from __future__ import annotations

import asyncio
import logging
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event, insert

from contracts.access import Author, Known
from contracts.errors import AccessDenied, KeyRefused, KeysUnavailable
from contracts.records import Key
from ledger.access_doors import StoredBudgets, StoredHistory, StoredKeys, StoredTenants
from ledger.audit_log import list_entries
from ledger.database import Database
from ledger.directory import Directory
from ledger.keys import MemoryKeyring, hash_of
from ledger.snapshot import FILE, KEY_FILE, Snapshot
from ledger.stored_budgets import set_budget
from ledger.stored_keys import create_key, revoke_key
from ledger.stored_tenants import change_tenant, close_tenant, create_tenant
from ledger.tables import keys
from tests.ledger.switchable import Switchable

BY = Author("admin")


def ring(database: Database, snapshot: Snapshot | None = None) -> MemoryKeyring:
    return MemoryKeyring((), ["acme"], database, refresh_s=0.005, snapshot=snapshot)


async def test_everything_is_read_and_told_to_who_follows(database: Database) -> None:
    directory, told = Directory(database), list[Known]()
    directory.follow(told.append)
    assert told == [], "nothing is known yet"
    key, _ = await create_key(database, "acme", author=BY)
    tenant = await create_tenant(database, "initech", author=BY)
    budget = await set_budget(database, "calm", {"requests": 5, "per": "minute"}, author=BY)
    await directory.refresh()
    assert told == [Known(keys=(key,), tenants=(tenant,), budgets=(budget,))]
    late = list[Known]()
    directory.follow(late.append)
    assert late == told, "at once, where something is known"
    await directory.refresh()
    assert len(told) == 1
    await close_tenant(database, "initech", author=BY)
    await directory.refresh()
    assert told[1].open_tenants() == {}
    assert late == told


async def test_an_unchanged_database_is_asked_one_question(database: Database) -> None:
    directory = Directory(database)
    await create_key(database, "acme", author=BY)
    await directory.refresh()
    asked: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        asked.append(statement)

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    await directory.refresh()
    asked = [statement for statement in asked if statement.startswith("SELECT")]
    assert len(asked) == 1, asked
    assert "audit_log" in asked[0]
    event.remove(engine, "before_cursor_execute", note)


async def test_keys_that_were_made_before_there_was_a_log_are_known(database: Database) -> None:
    async with database.writing() as connection:
        old = {"id": "key_old", "tenant": "acme", "hash": hash_of("sk-old"), "name": "", "role": ""}
        await connection.execute(insert(keys).values(**old, created_at=datetime.now(UTC)))
    keyring = ring(database)
    await keyring.refresh()
    assert keyring.find("sk-old").id == "key_old"
    assert await revoke_key(database, "key_old", author=BY)
    await keyring.refresh()
    with pytest.raises(KeyRefused):
        keyring.find("sk-old")


async def test_a_tenant_of_the_database_has_keys_until_it_is_closed(database: Database) -> None:
    keyring = ring(database)
    await create_tenant(database, "initech", author=BY)
    _, secret = await create_key(database, "initech", author=BY)
    await keyring.refresh()
    assert keyring.find(secret).tenant == "initech"
    keyring.configure((), ["acme"])
    assert keyring.find(secret).tenant == "initech", "a reload forgets nothing of the database"
    await close_tenant(database, "initech", author=BY)
    await keyring.refresh()
    with pytest.raises(KeyRefused):
        keyring.find(secret)
    keyring.configure((), ["acme", "initech"])
    assert keyring.find(secret).tenant == "initech", "the configuration wins"


async def test_a_key_of_the_staff_answers_no_requests(database: Database) -> None:
    declared = Key(id="staff/bob", tenant="acme", hash=hash_of("sk-bob"), role="operator")
    keyring = MemoryKeyring([declared], ["acme"], database)
    ada, secret = await create_key(database, "", author=BY, role="approver")
    _, tenants = await create_key(database, "acme", author=BY)
    _, gone = await create_key(database, "nobody", author=BY, role="viewer")
    await keyring.refresh()
    for known in (secret, "sk-bob"):
        with pytest.raises(AccessDenied, match="answers no requests"):
            keyring.find(known)
    assert keyring.staff(secret) == ada
    assert keyring.staff("sk-bob") is declared
    assert [keyring.staff(other) for other in (tenants, gone, "sk-x")] == [None, None, None]
    with pytest.raises(KeyRefused):
        keyring.find(gone)
    await revoke_key(database, ada.id, author=BY)
    await keyring.refresh()
    assert keyring.staff(secret) is None
    with pytest.raises(KeyRefused):
        keyring.find(secret)


async def test_a_first_look_reads_before_anything_is_asked(database: Database) -> None:
    _, secret = await create_key(database, "acme", author=BY)
    keyring = ring(database)
    await keyring.directory.first_look()
    assert keyring.find(secret).tenant == "acme"


async def test_a_first_look_waits_for_no_dead_database() -> None:
    down = Database("postgresql://postgres@127.0.0.1:1/weir")
    keyring = ring(down)
    await keyring.directory.first_look()
    assert (keyring.known, keyring.database_up) == (False, False)
    await down.close()


async def test_the_configuration_is_recorded_once_the_database_answers(switchable: Switchable) -> None:
    directory = Directory(switchable, refresh_s=0.005)
    directory.record_configuration("abc", "weir.yaml")
    switchable.away = True
    await directory.first_look()
    switchable.away = False
    assert await list_entries(switchable) == []
    await directory.first_look()
    await directory.first_look()
    assert [entry.after for entry in await list_entries(switchable)] == [{"digest": "abc"}]


# --- a start without the database


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


async def learned(database: Database, state: Path) -> tuple[str, str]:
    """A snapshot in `state`, and the secrets of a good key and a revoked one."""
    await create_tenant(database, "initech", ["support"], refused_models=["large"], author=BY)
    _, good = await create_key(database, "initech", routes=["support"], author=BY)
    key, revoked = await create_key(database, "acme", author=BY)
    await revoke_key(database, key.id, author=BY)
    await set_budget(database, "calm", {"usd": "0.5", "per": "day", "warn_at": [0.8]}, author=BY)
    keyring = ring(database, Snapshot(state, database.name))
    await keyring.refresh()
    return good, revoked


async def test_keys_stay_valid_when_weir_starts_without_its_database(
    switchable: Switchable, tmp_path: Path
) -> None:
    good, revoked = await learned(switchable, tmp_path)
    live = Directory(switchable)
    await live.refresh()
    switchable.away = True
    keyring = ring(switchable, Snapshot(tmp_path, switchable.name))
    assert keyring.find(good).tenant == "initech"
    assert keyring.directory.known == live.known
    assert (keyring.known, keyring.database_up) == (True, False)
    with pytest.raises(KeyRefused):
        keyring.find(revoked)
    with pytest.raises(KeysUnavailable):
        keyring.find("sk-weir-made-since")
    await keyring.directory.first_look()
    assert keyring.find(good).tenant == "initech"
    switchable.away = False
    await keyring.refresh()
    with pytest.raises(KeyRefused):
        keyring.find("sk-weir-made-since")


async def test_what_was_revoked_since_counts_once_the_database_answers(database: Database, tmp_path: Path) -> None:
    key, secret = await create_key(database, "acme", author=BY)
    await ring(database, Snapshot(tmp_path, database.name)).refresh()
    await revoke_key(database, key.id, author=BY)
    keyring = ring(database, Snapshot(tmp_path, database.name))
    assert keyring.find(secret)
    await keyring.refresh()
    with pytest.raises(KeyRefused):
        keyring.find(secret)


async def test_the_files_are_for_their_owner_and_hold_no_secret(database: Database, tmp_path: Path) -> None:
    good, _ = await learned(database, tmp_path)
    for name in (FILE, KEY_FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        assert good not in (tmp_path / name).read_text()
    assert {name for name in names_in(tmp_path) if name.startswith("access")} == {FILE, KEY_FILE}


async def test_an_edited_file_is_refused(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await learned(database, tmp_path)
    file = tmp_path / FILE
    whole = file.read_bytes()
    for edited in (
        whole.replace(b'"revoked_at":"2', b'"revoked_at":"9'),
        whole.replace(b"initech", b"globex"),
        whole[:-1],
        whole.partition(b"\n")[2],
        b"",
    ):
        assert edited != whole
        file.write_bytes(edited)
        assert Snapshot(tmp_path, database.name).read() is None
        assert caplog.records.pop().levelno == logging.ERROR
    file.write_bytes(whole)
    assert Snapshot(tmp_path, database.name).read() is not None
    assert Snapshot(tmp_path, "another").read() is None, "what one database knows says nothing about another"


async def test_a_file_sealed_with_another_key_is_refused(database: Database, tmp_path: Path) -> None:
    await learned(database, tmp_path)
    for key in (b"", b"0" * 64):
        (tmp_path / KEY_FILE).write_bytes(key)
        assert Snapshot(tmp_path, database.name).read() is None
    (tmp_path / KEY_FILE).write_bytes(b"")
    Snapshot(tmp_path, database.name).write(Known())
    assert Snapshot(tmp_path, database.name).read() == Known(), "an empty key file is made anew"
    (tmp_path / KEY_FILE).unlink()
    assert Snapshot(tmp_path, database.name).read() is None


async def test_a_full_disk_costs_the_snapshot_only(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).mkdir()
    keyring = ring(database, Snapshot(tmp_path, database.name))
    _, secret = await create_key(database, "acme", author=BY)
    await keyring.refresh()
    assert keyring.find(secret)
    assert "cannot be kept" in caplog.text


def test_workers_that_start_together_make_one_key(tmp_path: Path) -> None:
    write = (
        "import sys; from pathlib import Path; from contracts.access import Known; "
        "from ledger.snapshot import Snapshot; Snapshot(Path(sys.argv[1]), 'db').write(Known())"
    )
    workers = [subprocess.Popen([sys.executable, "-c", write, str(tmp_path)]) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    assert Snapshot(tmp_path, "db").read() == Known()
    assert names_in(tmp_path) == {FILE, KEY_FILE}


# --- the doors


async def test_a_change_through_a_door_counts_when_the_call_returns(database: Database) -> None:
    keyring = ring(database)
    tenants, stored, budgets = (kind(database, keyring) for kind in (StoredTenants, StoredKeys, StoredBudgets))
    await tenants.create("initech", None, None, [], author=BY)
    key, secret = await stored.create("initech", "web", None, None, author=BY)
    assert keyring.find(secret) == key
    assert await stored.find(key.id) == key
    assert await stored.list("initech") == [key]
    changed = await tenants.change("initech", {"routes": ["support"]}, author=BY)
    assert keyring.directory.known is not None
    assert keyring.directory.known.tenants == (changed,)
    await budgets.set("calm", {"requests": 5, "per": "minute"}, author=BY)
    assert list(keyring.directory.known.budgets) == await budgets.list()
    assert await budgets.remove("calm", author=BY)
    assert keyring.directory.known.budgets == ()
    assert await stored.revoke(key.id, author=BY)
    with pytest.raises(KeyRefused):
        keyring.find(secret)
    await tenants.close("initech", author=BY)
    assert [tenant.closed_at is None for tenant in await tenants.list()] == [False]
    assert len(await StoredHistory(database).list()) == 7


async def test_doors_of_a_dead_database_say_that_it_is_unavailable() -> None:
    down = Database("postgresql://postgres@127.0.0.1:1/weir")
    keyring = ring(down)
    for asked in (
        StoredKeys(down, keyring).find("key_1"),
        StoredTenants(down, keyring).close("x", author=BY),
        StoredBudgets(down, keyring).list(),
        StoredHistory(down).list(),
    ):
        with pytest.raises(KeysUnavailable):
            await asked
    await down.close()


async def test_a_change_is_seen_in_one_look(database: Database) -> None:
    """Keys, tenants and budgets are of one moment: no key without its tenant."""
    directory = Directory(database)
    await create_tenant(database, "initech", author=BY)

    async def change() -> None:
        for number in range(10):
            await change_tenant(database, "initech", {"routes": [f"r{number}"]}, author=BY)
            await set_budget(database, "calm", {"requests": number + 1, "per": "day"}, author=BY)

    changing = asyncio.create_task(change())
    while not changing.done():
        await directory.refresh()
        assert directory.known is not None
        (tenant,), budgets = directory.known.tenants, directory.known.budgets
        if tenant.routes and budgets:
            number = int(next(iter(tenant.routes))[1:])
            assert budgets[0].settings["requests"] in (number, number + 1)
    await changing
