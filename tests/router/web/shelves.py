"""Files and stores of two tenants behind their pages, on the shipped storage, and the official client over ASGI.

Ingest is in this process and plain: a paragraph is a chunk, and its vector is that of its words.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
from fastapi import FastAPI
from openai import AsyncOpenAI
from openai.types import VectorStore

from contracts.records import Key
from contracts.retrieval import Library
from ledger.database import Database, sqlite_url
from ledger.keys import MemoryKeyring, hash_of
from rag.ports import Chunk, Limits, Prepared, Storage
from rag.retrieval.search import StoredLibrary
from rag.retrieval.words import counted
from rag.storage.moments import now
from rag.storage.sqlite import SqliteStorage
from router.web.app import pages_app
from router.web.file_pages import file_pages
from router.web.store_pages import store_pages
from tests.router.plain_encoder import WordEncoder
from tests.router.web.wire import Wire

ACME, GLOBEX, STAFF = "sk-weir-of-acme", "sk-weir-of-globex", "sk-weir-of-the-staff"
NO_FILE, NO_STORE, NO_BATCH = f"file-{'0' * 24}", f"vs_{'0' * 24}", f"vsfb_{'0' * 24}"
"""Ids that nothing has."""
RETURNS = b"Goods may be sent back within thirty days.\n\nRefunds are paid within a week."
SHIPPING = b"Parcels are shipped on the day of the order."
MOST_FILE_BYTES = 200_000
MOST_BODY_BYTES = 100_000


@dataclass(kw_only=True)
class Shelf:
    storage: Storage
    encoder: WordEncoder
    app: FastAPI
    clients: dict[str, AsyncOpenAI]

    @property
    def acme(self) -> AsyncOpenAI:
        return self.clients[ACME]

    @property
    def globex(self) -> AsyncOpenAI:
        return self.clients[GLOBEX]

    async def ingest(self) -> int:
        """All that waits; how many documents that were."""
        done = 0
        while work := await self.storage.claim(30):
            content = await self.storage.content(work.tenant, work.file_id)
            await self.storage.complete(work, await self._prepared(content.decode()))
            done += 1
        return done

    @asynccontextmanager
    async def ingesting(self) -> AsyncIterator[None]:
        """Documents are ingested as they come, in here."""

        async def work() -> None:
            while True:
                await self.ingest()
                await asyncio.sleep(0.01)

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _prepared(self, text: str) -> Prepared:
        spans = [match.span() for match in re.finditer(r"\S(?:.*?\S)??(?=\n\n|\s*\Z)", text, re.DOTALL)]
        pieces = [text[start:end] for start, end in spans]
        vectors = [await self.encoder.encode(piece) for piece in pieces]
        return Prepared(
            text=text,
            tokens=len(text) // 4 + 1,
            chunks=tuple(Chunk(start, end, "", (end - start) // 4 + 1) for start, end in spans),
            words=tuple(counted(piece) for piece in pieces),
            vectors=np.array(vectors, np.float32).reshape(len(pieces), self.encoder.dimensions),
            encoder=self.encoder.version,
        )


@asynccontextmanager
async def shelf_in(folder: Path, clock: Callable[[], datetime] = now) -> AsyncIterator[Shelf]:
    keys = [
        Key(id="acme/main", tenant="acme", hash=hash_of(ACME)),
        Key(id="globex/main", tenant="globex", hash=hash_of(GLOBEX)),
        Key(id="staff/all", tenant="", hash=hash_of(STAFF), role="approver"),
    ]
    keyring = MemoryKeyring(keys, ["acme", "globex"], Database(sqlite_url(folder)))
    storage = SqliteStorage(folder / "rag", Limits(file_bytes=MOST_FILE_BYTES), clock=clock)
    await storage.prepare()
    encoder = WordEncoder()
    library = StoredLibrary(storage, encoder)

    async def corpus() -> Storage:
        return storage

    async def open_library() -> Library:
        return library

    app = pages_app(
        [
            file_pages(keyring, corpus, max_file_bytes=MOST_FILE_BYTES),
            store_pages(keyring, corpus, open_library, max_body_bytes=MOST_BODY_BYTES),
        ]
    )
    clients = {key: client_of(app, key) for key in (ACME, GLOBEX)}
    try:
        yield Shelf(storage=storage, encoder=encoder, app=app, clients=clients)
    finally:
        for client in clients.values():
            await client.close()
        await storage.close()


def client_of(app: Any, key: str) -> AsyncOpenAI:
    """The official client, straight into an application."""
    transport = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://weir")
    return AsyncOpenAI(base_url="http://weir/v1", api_key=key, max_retries=0, http_client=transport)


async def file_of(shelf: Shelf, content: bytes, name: str = "a.md") -> str:
    return (await shelf.acme.files.create(file=(name, content), purpose="assistants")).id


async def send(shelf: Shelf, method: str, path: str, body: object = None, key: str = ACME) -> Wire:
    raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    address, _, query = path.partition("?")
    wire = Wire(raw, path=f"/v1/vector_stores{address}", method=method, key=key, content_type="application/json")
    wire.scope["query_string"] = query.encode()
    return await wire.through(shelf.app)


async def store_with(shelf: Shelf, *contents: bytes, **more: Any) -> tuple[VectorStore, list[str]]:
    """A store of these documents, ingested, and the ids of the files."""
    store = await shelf.acme.vector_stores.create(name="docs", **more)
    ids = [await file_of(shelf, content, f"{number}.md") for number, content in enumerate(contents)]
    for file_id in ids:
        await shelf.acme.vector_stores.files.create(store.id, file_id=file_id)
    await shelf.ingest()
    return store, ids


async def found(shelf: Shelf, store_id: str, query: str, **more: Any) -> list[str]:
    page = await shelf.acme.vector_stores.search(store_id, query=query, **more)
    return [result.content[0].text async for result in page]
