"""Declared stores follow their folders, and a folder that has not changed is not read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from contracts.retrieval import Page
from rag.ingesting.preparing import Workshop
from rag.ingesting.scanning import FolderUnusable
from rag.ingesting.settings import WatchedStore
from rag.ingesting.watching import Watching, made_store
from rag.ports import Storage
from tests.rag.ingesting.conftest import LIMITS

AMPLE_S = 20.0


def _watching(storage: Storage, workshop: Workshop, folder: Path) -> Watching:
    watched = WatchedStore(tenant="acme", name="handbook", folder=str(folder), look_s=0.02)
    return Watching(storage, workshop, watched, LIMITS)


async def test_the_store_is_made_and_nothing_is_done_without_a_change(
    storage: Storage, workshop: Workshop, folder: Path
) -> None:
    (folder / "a.md").write_text("text")
    watching = _watching(storage, workshop, folder)
    first = await watching.look()
    assert first is not None
    assert (await storage.store("acme", "handbook")).counts.completed == 1
    assert await watching.look() is None
    (folder / "a.md").write_text("more")
    again = await watching.look()
    assert again is not None
    assert len(again.plan.changed) == 1


async def test_a_change_of_the_store_is_undone(storage: Storage, workshop: Workshop, folder: Path) -> None:
    (folder / "a.md").write_text("text")
    watching = _watching(storage, workshop, folder)
    await watching.look()
    store = await storage.store("acme", "handbook")
    (holding,) = await storage.holdings("acme", store.id)
    await storage.detach("acme", store.id, holding.file_id)
    assert await watching.look() is not None
    assert (await storage.store("acme", "handbook")).counts.completed == 1


async def test_it_goes_on_until_it_is_cancelled(storage: Storage, workshop: Workshop, folder: Path) -> None:
    keeping = asyncio.create_task(_watching(storage, workshop, folder).keep_in_step())
    store = await made_store(storage, "acme", "handbook")
    for count in range(1, 4):
        (folder / f"{count}.md").write_text(f"text {count}")
        async with asyncio.timeout(AMPLE_S):
            while len(await storage.documents("acme", store.id, Page())) < count:  # noqa: ASYNC110 - no one tells
                await asyncio.sleep(0.02)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_a_folder_that_is_missing_is_told_once(
    storage: Storage, workshop: Workshop, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeping = asyncio.create_task(_watching(storage, workshop, folder / "missing").keep_in_step())
    async with asyncio.timeout(AMPLE_S):
        while "is not in step: The folder" not in caplog.text:  # noqa: ASYNC110 - no one tells
            await asyncio.sleep(0.02)
    assert not keeping.done()
    keeping.cancel()
    await asyncio.wait([keeping])


async def test_of_two_stores_that_are_made_at_once_the_older_one_stays(storage: Storage) -> None:
    made = await asyncio.gather(*(made_store(storage, "acme", "handbook") for _ in range(4)))
    assert (await storage.store("acme", "handbook")).id in {store.id for store in made}
    assert len(await storage.stores("acme", Page())) <= 2


async def test_an_empty_folder_is_believed_only_where_it_was_seen_full(
    storage: Storage, workshop: Workshop, folder: Path
) -> None:
    (folder / "a.md").write_text("text")
    watching = _watching(storage, workshop, folder)
    await watching.look()
    _unmount(folder)
    for one in (watching, _watching(storage, workshop, folder)):
        with pytest.raises(FolderUnusable, match="weir rag sync"):
            await one.look()
    assert (await storage.store("acme", "handbook")).counts.completed == 1
    _mount(folder)
    assert await watching.look() is None
    (folder / "a.md").unlink()
    assert await watching.look() is not None
    assert (await storage.store("acme", "handbook")).counts.completed == 0


def _unmount(folder: Path) -> None:
    folder.rename(folder.with_name("unmounted"))
    folder.mkdir()


def _mount(folder: Path) -> None:
    folder.rmdir()
    folder.with_name("unmounted").rename(folder)
