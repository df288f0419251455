"""The ledger's database as the ports that the admin and decision pages use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from contracts.errors import KeysUnavailable, LedgerUnavailable, Unavailable
from contracts.records import Key, UsageEvent
from ledger.database import Database
from ledger.events import find_event
from ledger.keys import MemoryKeyring, create_key, list_keys, revoke_key


class StoredKeys:
    """Implements `contracts.ports.KeyStore`; `keyring` learns of each change before the call returns."""

    def __init__(self, database: Database, keyring: MemoryKeyring) -> None:
        self._database = database
        self._keyring = keyring

    async def create(
        self, tenant: str, name: str, routes: Sequence[str] | None, models: Sequence[str] | None
    ) -> tuple[Key, str]:
        with _or(KeysUnavailable):
            made = await create_key(self._database, tenant, name, routes, models)
            await self._keyring.refresh()
        return made

    async def revoke(self, key_id: str) -> bool:
        with _or(KeysUnavailable):
            revoked = await revoke_key(self._database, key_id)
            await self._keyring.refresh()
        return revoked is not None

    async def list(self, tenant: str | None = None) -> Sequence[Key]:
        with _or(KeysUnavailable):
            return await list_keys(self._database, tenant)


class StoredEvents:
    """Implements `contracts.ports.EventArchive`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, request_id: str) -> UsageEvent | None:
        with _or(LedgerUnavailable):
            return await find_event(self._database, request_id, None)


@contextmanager
def _or(error: type[Unavailable]) -> Iterator[None]:
    """Drivers raise SQLAlchemy's errors, or the system's where they do not even connect."""
    try:
        yield
    except (SQLAlchemyError, OSError) as cause:
        raise error("The ledger's database does not answer right now.", retry_after_s=5) from cause
