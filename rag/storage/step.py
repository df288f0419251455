"""One change of what a search finds in a store: documents in and out, and the store's revision and version with it.

The non-obvious decision: a store's version is a sum, modulo 2^128, of one hash for each document that is found. So
a change costs what it changes, the order in which documents came does not matter, and what came and went again has
left no trace. The hash of a document is made of what a search can find: name, contents, attributes, chunks, words
and the encoder, and not its ids or times.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import msgspec
import orjson
from sqlalchemy import Row, delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rag.ports import Limits, Prepared
from rag.storage import documents as rows
from rag.storage import stores
from rag.storage.bounds import check_bytes, check_chunks
from rag.storage.ids import lots
from rag.storage.moments import micros
from rag.storage.tables import documents, texts
from rag.storage.tables import stores as store_table

_MODULUS = 1 << 128


class Chunks(Protocol):
    """The engine's own part of a document: its chunks and what they are found by. In the step's transaction."""

    @abstractmethod
    async def _put_chunks(
        self,
        connection: AsyncConnection,
        tenant: str,
        store_id: str,
        file_id: str,
        revision: int,
        prepared: Prepared,
    ) -> int:
        """The number of the first, where they are numbered one after another; else 0."""

    @abstractmethod
    async def _drop_chunks(
        self, connection: AsyncConnection, tenant: str, store_id: str, file_ids: Sequence[str]
    ) -> None: ...


class Step:
    """Begun by `begin`, over with `finish`; all that is raised between has to roll the transaction back."""

    def __init__(
        self, connection: AsyncConnection, tenant: str, store: Row[Any], chunks: Chunks, limits: Limits, now: int
    ) -> None:
        self.revision = store.revision + 1
        self._connection = connection
        self._tenant = tenant
        self._store_id: str = store.id
        self._version = int(store.version, 16)
        self._days: int | None = store.expires_after_days
        self._chunks = chunks
        self._limits = limits
        self._now = now
        self._changed = self._grown = False
        self._new: list[tuple[dict[str, Any], dict[str, Any]]] = []  # written at once, which is much quicker

    async def take_in(
        self,
        row: Mapping[Any, Any],
        digest: str,
        prepared: Prepared,
        attributes: Mapping[str, Any],
        *,
        is_new: bool = False,
    ) -> None:
        """A document as `rag.storage.documents` has it. `is_new`: its row is not there yet."""
        file_id: str = row["file_id"]
        if row["mark"]:
            await self._forget([row])
        mark = _content_mark(row["filename"], digest, prepared)
        values: dict[str, Any] = {
            "status": "completed",
            "revision": self.revision,
            "updated": micros(prepared.updated_at) if prepared.updated_at else row["updated"],
            "chunks": len(prepared.chunks),
            "bytes": _size(prepared),
            "tokens": prepared.tokens,
            "attributes": dict(attributes),
            "next_attributes": None,
            "encoder": prepared.encoder if prepared.chunks else "",
            "chunker": prepared.chunker,
            "content_mark": mark,
            "mark": _mark(mark, attributes),
            "error_code": "",
            "error": "",
            "queued": None,
            "claim": "",
            "lease": 0,
        }
        place = (self._tenant, self._store_id, file_id)
        values["first_chunk"] = await self._chunks._put_chunks(self._connection, *place, self.revision, prepared)
        key = dict(zip(("tenant", "store_id", "file_id"), place, strict=True))
        if is_new:
            self._new.append((dict(row) | values, key | {"text": prepared.text}))
        else:
            await self._connection.execute(texts.insert(), key | {"text": prepared.text})
            await self._connection.execute(update(documents).where(*_where(place)).values(values))
        self._version += int(values["mark"], 16)
        self._changed = self._grown = True

    async def take_out(self, file_ids: Sequence[str]) -> Sequence[str]:
        """Those of them that were there."""
        there = await rows.rows_of(self._connection, self._tenant, self._store_id, file_ids)
        await self._forget([row._mapping for row in there if row.mark])
        for some in lots([row.file_id for row in there]):
            mine = (documents.c.tenant == self._tenant, documents.c.store_id == self._store_id)
            await self._connection.execute(delete(documents).where(*mine, documents.c.file_id.in_(some)))
        return [row.file_id for row in there]

    async def set_attributes(self, row: Mapping[Any, Any], attributes: Mapping[str, Any]) -> None:
        values: dict[str, Any] = {"attributes": dict(attributes), "next_attributes": None}
        if row["mark"]:
            values |= {"mark": _mark(row["content_mark"], attributes), "revision": self.revision}
            self._version += int(values["mark"], 16) - int(row["mark"], 16)
            self._changed = True
        place = (self._tenant, self._store_id, row["file_id"])
        await self._connection.execute(update(documents).where(*_where(place)).values(values))

    async def finish(self) -> None:
        """Raises StoreFull where what was taken in is too much."""
        if self._new:
            await self._connection.execute(documents.insert(), [row for row, _ in self._new])
            await self._connection.execute(texts.insert(), [text for _, text in self._new])
        if self._grown:
            await check_chunks(self._limits, self._connection, self._tenant, self._store_id)
            await check_bytes(self._limits, self._connection, self._tenant)
        if self._changed:
            version = f"{self._version % _MODULUS:032x}"
            among = (store_table.c.tenant == self._tenant, store_table.c.id == self._store_id)
            values = {"revision": self.revision, "version": version}
            await self._connection.execute(update(store_table).where(*among).values(values))

    async def _forget(self, found: Sequence[Mapping[Any, Any]]) -> None:
        """What a search finds of these."""
        file_ids = [row["file_id"] for row in found]
        for some in lots(file_ids):
            await self._chunks._drop_chunks(self._connection, self._tenant, self._store_id, some)
            among = (texts.c.tenant == self._tenant, texts.c.store_id == self._store_id, texts.c.file_id.in_(some))
            await self._connection.execute(delete(texts).where(*among))
        self._version -= sum(int(row["mark"], 16) for row in found)
        self._changed = self._changed or bool(found)


async def begin(
    connection: AsyncConnection, tenant: str, store_id: str, chunks: Chunks, limits: Limits, now: int
) -> Step:
    """Nobody else changes the store until the transaction ends. Raises NotFound."""
    store = await stores.row_of(connection, tenant, store_id, now, lock=True)
    return Step(connection, tenant, store, chunks, limits, now)


def _where(place: tuple[str, str, str]) -> tuple[Any, ...]:
    columns = (documents.c.tenant, documents.c.store_id, documents.c.file_id)
    return tuple(column == value for column, value in zip(columns, place, strict=True))


def _size(prepared: Prepared) -> int:
    """What its chunks take: their texts and context lines, and two bytes for each number of their vectors."""
    texts_size = sum(
        len(prepared.text[chunk.start : chunk.end].encode()) + len(chunk.context.encode())
        for chunk in prepared.chunks
    )
    return texts_size + 2 * int(prepared.vectors.size)


def _content_mark(filename: str, digest: str, prepared: Prepared) -> str:
    chunks = [(chunk.start, chunk.end, chunk.context) for chunk in prepared.chunks]
    words = [sorted(counts.items()) for counts in prepared.words]
    made = msgspec.msgpack.encode((filename, digest, prepared.encoder, chunks, words))
    return blake2b(made, digest_size=16).hexdigest()


def _mark(content_mark: str, attributes: Mapping[str, Any]) -> str:
    canonical = orjson.dumps(dict(attributes), option=orjson.OPT_SORT_KEYS)
    return blake2b(content_mark.encode() + canonical, digest_size=16).hexdigest()
