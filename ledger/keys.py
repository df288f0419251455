"""Keys: who a secret belongs to, answered from memory; made and revoked in the database.

Only the SHA-256 of a secret is kept: it is 256 random bits, so there is nothing a slow hash would protect.
Keys are never deleted and never come back from revocation, so two counts tell whether anything has changed.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import RowMapping, func, select, update

from contracts.errors import DemoKeyRefused, KeyRefused, KeysUnavailable
from contracts.records import Key
from ledger.database import Database
from ledger.tables import keys

log = logging.getLogger("weir.ledger")

PREFIX = "sk-weir-"
DEMO_PREFIX = "sk-weir-demo-"
_RANDOM_BYTES = 32  # 43 characters of URL-safe base64


class MemoryKeyring:
    """Implements `contracts.ports.Keyring`: keys of the configuration and of the database together.

    `declared` are the configuration's keys, `tenants` the names it knows; a key of any other tenant is refused.
    `demo_keys`: whether the published example keys may be used, which is so on loopback only.
    """

    def __init__(
        self,
        declared: Iterable[Key],
        tenants: Collection[str],
        database: Database,
        *,
        refresh_s: float = 1.0,
        demo_keys: bool = True,
    ) -> None:
        self._database = database
        self._demo_keys = demo_keys
        self._refresh_s = refresh_s
        self._stored: Sequence[Key] | None = None
        self._counts: tuple[int, int] | None = None
        self._refreshing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._down = False
        self.configure(declared, tenants)

    def configure(self, declared: Iterable[Key], tenants: Collection[str]) -> None:
        """Take the keys and tenants of a new configuration; those of the old one are forgotten."""
        self._declared = tuple(declared)
        self._tenants = frozenset(tenants)
        self._index()

    def find(self, secret: str) -> Key:
        """The key of `secret`.

        Raises KeyRefused where it is unknown, revoked, or of a tenant that is gone; KeysUnavailable where it is
        unknown but the database was never read, so that it may be a good one; DemoKeyRefused.
        """
        if not self._demo_keys and is_demo(secret):
            raise DemoKeyRefused(
                "Demo keys are public and work on loopback only. Make one with 'weir keys create'."
            )
        key = self._by_hash.get(hash_of(secret))
        if key is not None and key.revoked_at is None and key.tenant in self._tenants:
            return key
        if key is None and self._stored is None:
            raise KeysUnavailable("Keys cannot be checked right now. Try again shortly.", retry_after_s=1)
        raise KeyRefused("This API key is unknown or was revoked.")

    @property
    def known(self) -> bool:
        """Whether the database has been read at least once."""
        return self._stored is not None

    @property
    def database_up(self) -> bool:
        """Whether the last reading succeeded."""
        return self.known and not self._down

    def start(self) -> None:
        """Begin to read the database every `refresh_s` seconds."""
        self._task = asyncio.create_task(self._run(), name="keyring")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def refresh(self) -> None:
        """Read the database now, so that what was just made or revoked counts. Raises what the driver raises."""
        async with self._refreshing:
            await self._database.prepare()
            async with self._database.reading() as connection:
                made, revoked = (await connection.execute(_COUNTS)).one()
                if (made, revoked) == self._counts:
                    return
                rows = (await connection.execute(select(keys))).mappings().all()
            self._stored = tuple(_key(row) for row in rows)
            self._counts = (made, revoked)
            self._index()

    def _index(self) -> None:
        """The configuration wins where both know a key; a revoked key is refused whoever knows it."""
        found = {key.hash: key for key in self._stored or ()}
        for key in self._declared:
            stored = found.get(key.hash)
            found[key.hash] = key if stored is None else replace(key, revoked_at=stored.revoked_at)
        self._by_hash = found

    async def _run(self) -> None:
        while True:
            try:
                await self.refresh()
            # Whatever a driver raises, the keys known so far stay and this task lives on.
            except Exception as error:  # noqa: BLE001
                if not self._down:
                    kept = (
                        "Those known so far stay." if self.known else "Only those of the configuration are known."
                    )
                    log.warning("Keys cannot be read (%s: %s). %s", type(error).__name__, error, kept)
                self._down = True
            else:
                self._down = False
            await asyncio.sleep(self._refresh_s)


_COUNTS = select(func.count(), func.count(keys.c.revoked_at)).select_from(keys)


def hash_of(secret: str) -> str:
    """`sha256:` and the hex digest: how a key is written in a configuration and in the database."""
    return "sha256:" + sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_demo(secret: str) -> bool:
    """Whether this is one of the published example keys, which work on loopback only."""
    return secret.startswith(DEMO_PREFIX)


async def create_key(
    database: Database,
    tenant: str,
    name: str = "",
    routes: Collection[str] | None = None,
    models: Collection[str] | None = None,
) -> tuple[Key, str]:
    """Make a key for `tenant` and return it with its secret, which is shown this once and kept nowhere."""
    secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    key = Key(
        id=f"key_{secrets.token_hex(8)}",
        tenant=tenant,
        hash=hash_of(secret),
        name=name,
        routes=None if routes is None else frozenset(routes),
        models=None if models is None else frozenset(models),
        created_at=datetime.now(UTC),
    )
    await database.prepare()
    async with database.writing() as connection:
        await connection.execute(
            keys.insert().values(
                id=key.id,
                tenant=tenant,
                hash=key.hash,
                name=name,
                routes=None if key.routes is None else sorted(key.routes),
                models=None if key.models is None else sorted(key.models),
                created_at=key.created_at,
            )
        )
    return key, secret


async def revoke_key(database: Database, key_id: str) -> Key | None:
    """Revoke a key of the database and return it; None where there is none. Revoking twice changes nothing."""
    mine = keys.c.id == key_id
    await database.prepare()
    async with database.writing() as connection:
        now = datetime.now(UTC)
        await connection.execute(update(keys).where(mine, keys.c.revoked_at.is_(None)).values(revoked_at=now))
        row = (await connection.execute(select(keys).where(mine))).mappings().first()
    return None if row is None else _key(row)


async def list_keys(database: Database, tenant: str | None = None) -> list[Key]:
    """The keys of the database, revoked ones too, oldest first; of one tenant, or of all."""
    query = select(keys).order_by(keys.c.created_at, keys.c.id)
    if tenant is not None:
        query = query.where(keys.c.tenant == tenant)
    await database.prepare()
    async with database.reading() as connection:
        return [_key(row) for row in (await connection.execute(query)).mappings()]


def _key(row: RowMapping) -> Key:
    values = dict(row)
    for limit in ("routes", "models"):
        values[limit] = None if row[limit] is None else frozenset(row[limit])
    return Key(**values)
