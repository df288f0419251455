"""The stores that are in memory: those searched last, as many as fit.

The non-obvious decision: bytes are counted, not stores, and a store that is larger than the bound by itself is kept
while it is the one in use, since a search has to be answered. About 1,800 bytes for a chunk of 100 different words
and 384 dimensions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from contracts.retrieval import StoreState
from rag.index.memory import Load, StoreIndex
from rag.index.snapshot import Snapshot

Key = tuple[str, str]
"""Tenant and store."""


class Shelf:
    """`most_bytes` of indexes, of all tenants together. `load` makes what loads a store that is not here yet."""

    def __init__(self, most_bytes: int, load: Callable[[Key], Load]) -> None:
        self._most_bytes = most_bytes
        self._load = load
        self._indexes: OrderedDict[Key, StoreIndex] = OrderedDict()

    def __len__(self) -> int:
        return len(self._indexes)

    @property
    def bytes(self) -> int:
        return sum(index.size for index in self._indexes.values())

    async def snapshot(self, key: Key, state: StoreState) -> Snapshot:
        """At least of that state. What is later than it now, or equally old and another, is of a database that was
        replaced by a backup, and is loaded anew."""
        index = self._indexes.get(key)
        if index is not None and index.snapshot is not None and _is_of_another(index.snapshot.state, state):
            index = None
        if index is None:
            index = self._indexes[key] = StoreIndex(self._load(key))
        self._indexes.move_to_end(key)
        before = index.snapshot
        found = await index.fresh(state.revision)
        if found is not before:
            self._make_room()
        return found

    async def settled(self) -> None:
        """When no merge is under way any more."""
        for index in list(self._indexes.values()):
            await index.settled()

    def drop(self, key: Key) -> None:
        self._indexes.pop(key, None)

    def drop_all_of(self, tenant: str) -> None:
        for key in [key for key in self._indexes if key[0] == tenant]:
            self.drop(key)

    async def close(self) -> None:
        for index in self._indexes.values():
            await index.close()
        self._indexes.clear()

    def _make_room(self) -> None:
        while len(self._indexes) > 1 and self.bytes > self._most_bytes:
            self._indexes.popitem(last=False)


def _is_of_another(loaded: StoreState, now: StoreState) -> bool:
    return loaded.revision > now.revision or (loaded.revision == now.revision and loaded != now)
