"""The process that ingests, as a server keeps it: the queue, declared stores, and kills."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contracts.retrieval import Store
from encoder.card import BUILT, CARD, read_card
from rag.ingesting.embedding import AT_ONCE
from rag.ingesting.folder import is_in_step
from rag.ingesting.process import ingest_process
from rag.ingesting.settings import IngestSettings, WatchedStore
from rag.ports import Storage
from rag.storage.opening import open_storage
from system.kept_process import KeptProcess

pytestmark = pytest.mark.skipif(
    not (BUILT / CARD).exists() and not os.environ.get("CI"), reason="the encoder is not built: weir encoder build"
)
AMPLE_S = 60.0


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    opened = open_storage("", tmp_path / "rag")
    await opened.prepare()
    yield opened
    await opened.close()


@asynccontextmanager
async def child(state: Path, *stores: WatchedStore) -> AsyncIterator[KeptProcess]:
    settings = IngestSettings(
        url="",
        folder=str(state / "rag"),
        encoder=str(BUILT),
        lock=str(state / "ingest.lock"),
        lease_s=3600.0,
        stores=stores,
    )
    process = ingest_process(settings)
    process.start()
    try:
        yield process
    finally:
        await process.stop()


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(AMPLE_S):
        while not await check():  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)


async def _attached(storage: Storage, *contents: bytes) -> Store:
    store = await storage.create_store("acme", "handbook")
    files = [await storage.add_file("acme", f"{n}.md", content) for n, content in enumerate(contents)]
    await storage.attach("acme", store.id, [file.id for file in files])
    return store


async def test_what_is_attached_is_ingested_and_a_declared_store_is_in_step(
    storage: Storage, tmp_path: Path
) -> None:
    """By one of two that have one lock, while the other one stands by."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("# Rain\n\nIt rains.")
    store = await _attached(storage, b"# One\n\nText.", b"\x00 no text")
    watched = WatchedStore(tenant="globex", name="kept", folder=str(folder), look_s=0.1)
    async with child(tmp_path, watched) as one, child(tmp_path, watched) as other:

        async def is_done() -> bool:
            counts = (await storage.store("acme", store.id)).counts
            return (counts.completed, counts.failed) == (1, 1)

        async def is_kept() -> bool:
            return await is_in_step(storage, "globex", "kept", folder, read_card(BUILT).version)

        await eventually(is_done)
        await eventually(is_kept)
        (folder / "a.md").unlink()
        await eventually(is_kept)
        assert one.pid and other.pid
    assert (await storage.store("globex", "kept")).counts.completed == 0


async def test_killed_at_work_another_one_goes_on(storage: Storage, tmp_path: Path) -> None:
    """The document is found whole or not at all, and nobody waits for its lease to lapse."""
    parts = [f"## Part {number}\n\nIt rains.\n" for number in range(2 * AT_ONCE + 40)]
    store = await _attached(storage, "\n".join(parts).encode())
    async with child(tmp_path) as process:

        async def is_at_work() -> bool:
            return bool(process.pid) and await _staged(tmp_path) > 0

        await eventually(is_at_work)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        left = await storage.store("acme", store.id)  # it may have been that quick
        assert (left.state.revision - store.state.revision, left.chunks) in ((0, 0), (1, len(parts)))

        async def is_done() -> bool:
            return (await storage.store("acme", store.id)).counts.completed == 1

        async def is_cleared() -> bool:
            return await _staged(tmp_path) == 0

        await eventually(is_done)
        if not left.chunks:
            await eventually(is_cleared)
    done = await storage.store("acme", store.id)
    assert (done.state.revision, done.chunks) == (store.state.revision + 1, len(parts))


async def _staged(state: Path) -> int:
    """Vectors on the stage, by a look into the database."""
    with sqlite3.connect(state / "rag/acme/corpus.db") as connection:
        return int(connection.execute("select count(*) from rag_staged").fetchone()[0])


async def test_without_an_encoder_it_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = IngestSettings(
        url="", folder=str(tmp_path / "rag"), encoder=str(tmp_path), lock=str(tmp_path / "ingest.lock")
    )
    process = ingest_process(settings)
    process.start()
    told = ""

    async def is_told() -> bool:
        nonlocal told
        told += capfd.readouterr().err
        return "nothing can be ingested" in told

    await eventually(is_told)
    await process.stop()


async def test_where_documents_cannot_be_kept_it_says_so_without_a_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rag").write_text("a file")
    told = ""

    async def said() -> bool:
        nonlocal told
        told += capfd.readouterr().err
        return "nothing can be ingested: The folder" in told

    async with child(tmp_path):
        await eventually(said)
    assert "Traceback" not in told
