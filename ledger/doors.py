"""The ledger's database as the ports that the admin and decision pages use."""

from __future__ import annotations

from collections.abc import Sequence

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
        made = await create_key(self._database, tenant, name, routes, models)
        await self._keyring.refresh()
        return made

    async def revoke(self, key_id: str) -> bool:
        revoked = await revoke_key(self._database, key_id)
        await self._keyring.refresh()
        return revoked is not None

    async def list(self, tenant: str | None = None) -> Sequence[Key]:
        return await list_keys(self._database, tenant)


class StoredEvents:
    """Implements `contracts.ports.EventArchive`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, request_id: str) -> UsageEvent | None:
        return await find_event(self._database, request_id, None)
