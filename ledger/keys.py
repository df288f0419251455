"""Keys: who a secret belongs to, answered from memory.

The keys and tenants of the configuration and those of the database count together; where both know a tenant or a
key, the configuration wins, but what was revoked in the database is refused whoever knows it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from contracts.access import Known
from contracts.errors import AccessDenied, DemoKeyRefused, KeyRefused, KeysUnavailable
from contracts.records import Key
from ledger.database import Database
from ledger.directory import Directory
from ledger.snapshot import Snapshot
from ledger.stored_keys import hash_of, is_demo

__all__ = ["MemoryKeyring", "hash_of", "is_demo"]


class MemoryKeyring:
    """Implements `contracts.ports.Keyring`. Its `directory` is what the database knows, tenants and budgets too.

    `declared` are the configuration's keys, `tenants` the names it knows; a key of a tenant that neither knows is
    refused. `demo_keys`: whether the published example keys may be used, which is so on loopback only. `snapshot`
    is what a start without the database goes by.
    """

    def __init__(
        self,
        declared: Iterable[Key],
        tenants: Collection[str],
        database: Database,
        *,
        refresh_s: float = 1.0,
        demo_keys: bool = True,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.directory = Directory(database, refresh_s=refresh_s, snapshot=snapshot)
        self._demo_keys = demo_keys
        self.configure(declared, tenants)
        self.directory.follow(lambda _: self._index())

    def configure(self, declared: Iterable[Key], tenants: Collection[str]) -> None:
        """Take the keys and tenants of a new configuration; those of the old one are forgotten."""
        self._declared = tuple(declared)
        self._declared_tenants = frozenset(tenants)
        self._index()

    def find(self, secret: str) -> Key:
        """The key of `secret`, of a tenant.

        Raises KeyRefused where it is unknown, revoked, or of a tenant that is gone; AccessDenied where it is a key
        of the staff; KeysUnavailable where it is unknown but the database was never read, so that it may be a good
        one; DemoKeyRefused.
        """
        if not self._demo_keys and is_demo(secret):
            raise DemoKeyRefused(
                "Demo keys are public and work on loopback only. Make one with 'weir keys create'."
            )
        key = self._by_hash.get(hash_of(secret))
        if key is not None and self._is_good(key):
            if key.role:
                raise AccessDenied("This key is for /admin: it answers no requests. Send a key of a tenant.")
            return key
        if key is None and not self.directory.was_read:
            raise KeysUnavailable("Keys cannot be checked right now. Try again shortly.", retry_after_s=1)
        raise KeyRefused("This API key is unknown or was revoked.")

    def staff(self, secret: str) -> Key | None:
        """The key with a role; None for every other secret, and for one revoked or of a tenant that is gone."""
        if not self._demo_keys and is_demo(secret):
            return None
        key = self._by_hash.get(hash_of(secret))
        return key if key is not None and key.role and self._is_good(key) else None

    @property
    def known(self) -> bool:
        """Whether the database has been read, or there is a snapshot of it."""
        return self.directory.known is not None

    @property
    def database_up(self) -> bool:
        """Whether the last reading succeeded."""
        return self.directory.database_up

    def start(self) -> None:
        """Begin to read the database from time to time."""
        self.directory.start()

    async def stop(self) -> None:
        await self.directory.stop()

    async def refresh(self) -> None:
        """Read the database now, so that what was just made or revoked counts. Raises what the driver raises."""
        await self.directory.refresh()

    def _is_good(self, key: Key) -> bool:
        of_all = bool(key.role) and not key.tenant
        return key.revoked_at is None and (of_all or key.tenant in self._tenants)

    def _index(self) -> None:
        known = self.directory.known or Known()
        found = {key.hash: key for key in known.keys}
        for key in self._declared:
            stored = found.get(key.hash)
            found[key.hash] = key if stored is None else replace(key, revoked_at=stored.revoked_at)
        self._by_hash = found
        self._tenants = self._declared_tenants | known.open_tenants().keys()
