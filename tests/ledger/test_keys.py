"""Keys: answered from memory, never guessed, revoked at once, and kept through an outage."""

from __future__ import annotations

import asyncio
import logging
import re
from hashlib import sha256

import pytest
from sqlalchemy import select

from contracts.access import Author
from contracts.errors import DemoKeyRefused, KeyRefused, KeysUnavailable
from contracts.records import Key
from ledger.database import Database
from ledger.keys import MemoryKeyring, hash_of, is_demo
from ledger.stored_keys import create_key, list_keys, revoke_key
from ledger.tables import keys
from tests.ledger.switchable import Switchable

TENANTS = ("acme", "globex")
DEMO = "sk-weir-demo-acme"
BY = Author("admin")
DECLARED = Key(id="acme/demo", tenant="acme", hash=hash_of(DEMO), name="demo")


def ring(database: Database, declared: tuple[Key, ...] = (DECLARED,)) -> MemoryKeyring:
    return MemoryKeyring(declared, TENANTS, database, refresh_s=0.005)


def test_a_hash_is_sha256_of_the_secret() -> None:
    assert hash_of("sk-x") == "sha256:" + sha256(b"sk-x").hexdigest()
    assert hash_of("\udcff").startswith("sha256:"), "whatever bytes a client sends"


def test_demo_keys_are_told_by_their_beginning() -> None:
    assert is_demo(DEMO)
    assert not is_demo("sk-weir-abc")


async def test_a_declared_key_works_before_the_database_was_read(database: Database) -> None:
    found = ring(database).find(DEMO)
    assert found is DECLARED


async def test_an_unknown_key_is_not_judged_before_the_database_was_read(database: Database) -> None:
    keyring = ring(database)
    with pytest.raises(KeysUnavailable) as caught:
        keyring.find("sk-weir-unknown")
    assert caught.value.retry_after_s
    assert not keyring.known
    await keyring.refresh()
    with pytest.raises(KeyRefused):
        keyring.find("sk-weir-unknown")
    assert keyring.known
    assert keyring.database_up


async def test_a_made_key_works_after_a_refresh_and_its_secret_is_nowhere(database: Database) -> None:
    keyring = ring(database)
    key, secret = await create_key(
        database, "globex", "web", routes=["support"], models=["large", "small"], author=BY
    )
    assert re.fullmatch(r"sk-weir-[A-Za-z0-9_-]{43}", secret)
    assert key.hash == hash_of(secret)
    await keyring.refresh()
    found = keyring.find(secret)
    assert found == key
    assert (found.routes, found.models) == (frozenset({"support"}), frozenset({"large", "small"}))
    async with database.reading() as connection:
        rows = (await connection.execute(select(keys))).mappings().all()
    assert secret not in str(rows)
    with pytest.raises(KeyRefused):
        keyring.find(secret[:-1])


async def test_no_limit_and_an_empty_limit_are_two_things(database: Database) -> None:
    free, _ = await create_key(database, "acme", author=BY)
    bound, _ = await create_key(database, "acme", routes=[], author=BY)
    stored = {key.id: key.routes for key in await list_keys(database)}
    assert stored == {free.id: None, bound.id: frozenset()}


async def test_a_revoked_key_is_refused_and_stays_so(database: Database) -> None:
    keyring = ring(database)
    key, secret = await create_key(database, "acme", author=BY)
    other, other_secret = await create_key(database, "acme", author=BY)
    await keyring.refresh()
    revoked = await revoke_key(database, key.id, author=BY)
    assert revoked is not None
    assert revoked.revoked_at is not None
    await keyring.refresh()
    with pytest.raises(KeyRefused):
        keyring.find(secret)
    assert keyring.find(other_secret) == other
    again = await revoke_key(database, key.id, author=BY)
    assert again == revoked, "the first moment stays"
    assert await revoke_key(database, "key_none", author=BY) is None


async def test_keys_are_listed_by_tenant_oldest_first(database: Database) -> None:
    first, _ = await create_key(database, "acme", "one", author=BY)
    second, _ = await create_key(database, "globex", "two", author=BY)
    third, _ = await create_key(database, "acme", "three", author=BY)
    assert await list_keys(database) == [first, second, third]
    assert await list_keys(database, "acme") == [first, third]
    assert await list_keys(database, "nobody") == []


async def test_the_background_task_takes_up_what_others_change(database: Database) -> None:
    keyring = ring(database)
    keyring.start()
    key, secret = await create_key(database, "acme", author=BY)

    async def until(refused: bool) -> None:
        while True:
            try:
                keyring.find(secret)
                now = False
            except (KeyRefused, KeysUnavailable):
                now = True
            if now is refused:
                return
            await asyncio.sleep(0.002)

    await asyncio.wait_for(until(refused=False), 30)
    await revoke_key(database, key.id, author=BY)
    await asyncio.wait_for(until(refused=True), 30)
    await keyring.stop()


async def until_up(keyring: MemoryKeyring, *, up: bool) -> None:
    while keyring.database_up is not up:  # noqa: ASYNC110 - there is nothing to wait on
        await asyncio.sleep(0.002)


async def test_an_outage_keeps_the_last_known_keys(
    switchable: Switchable, caplog: pytest.LogCaptureFixture
) -> None:
    keyring = ring(switchable)
    _, secret = await create_key(switchable, "acme", author=BY)
    await keyring.refresh()
    switchable.away = True
    with pytest.raises(ConnectionRefusedError):
        await keyring.refresh()
    keyring.start()
    await asyncio.wait_for(until_up(keyring, up=False), 30)
    await asyncio.sleep(0.03)
    assert keyring.find(secret).tenant == "acme"
    with pytest.raises(KeyRefused):
        keyring.find("sk-weir-unknown")
    assert len(caplog.records) == 1, "once per outage"
    switchable.away = False
    await asyncio.wait_for(until_up(keyring, up=True), 30)
    await keyring.stop()


async def test_a_database_that_never_came_leaves_unknown_keys_unjudged(caplog: pytest.LogCaptureFixture) -> None:
    down = Database("postgresql://postgres@127.0.0.1:1/weir")
    keyring = ring(down)
    keyring.start()
    while not caplog.records:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    assert keyring.find(DEMO) is DECLARED
    with pytest.raises(KeysUnavailable):
        keyring.find("sk-weir-unknown")
    await keyring.stop()
    await down.close()
    assert logging.getLevelName(caplog.records[0].levelno) == "WARNING"


async def test_demo_keys_are_refused_by_name_where_they_may_not_be_used(database: Database) -> None:
    keyring = MemoryKeyring([DECLARED], TENANTS, database, demo_keys=False)
    for demo in (DEMO, "sk-weir-demo-made-up"):
        with pytest.raises(DemoKeyRefused, match="weir keys create"):
            keyring.find(demo)
    _, secret = await create_key(database, "acme", author=BY)
    await keyring.refresh()
    assert keyring.find(secret).tenant == "acme"


async def test_a_reload_replaces_declared_keys_and_tenants(database: Database) -> None:
    keyring = ring(database)
    _, stored = await create_key(database, "globex", author=BY)
    await keyring.refresh()
    new = Key(id="acme/new", tenant="acme", hash=hash_of("sk-new"))
    keyring.configure([new], ["acme"])
    assert keyring.find("sk-new") is new
    for gone in (DEMO, stored):
        with pytest.raises(KeyRefused):
            keyring.find(gone)
    keyring.configure([new], TENANTS)
    assert keyring.find(stored).tenant == "globex", "its tenant is back"


async def test_a_tenant_that_is_gone_is_refused_even_before_the_database_was_read(database: Database) -> None:
    keyring = ring(database)
    keyring.configure([DECLARED], ["globex"])
    with pytest.raises(KeyRefused):
        keyring.find(DEMO)


async def test_a_key_both_declared_and_stored_follows_the_configuration_unless_revoked(database: Database) -> None:
    key, secret = await create_key(database, "acme", author=BY)
    declared = Key(id="acme/mine", tenant="acme", hash=key.hash, routes=frozenset({"support"}))
    keyring = ring(database, (declared,))
    await keyring.refresh()
    assert keyring.find(secret).id == "acme/mine"
    await revoke_key(database, key.id, author=BY)
    await keyring.refresh()
    with pytest.raises(KeyRefused):
        keyring.find(secret)
