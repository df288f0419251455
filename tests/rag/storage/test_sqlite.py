"""SQLite's own: killed processes, two at once, a file that comes back from a backup, and idle tenants."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from contracts.errors import RetrievalUnavailable
from contracts.retrieval import Page
from rag.ports import Limits, StorageUnusable
from rag.storage.sqlite import SqliteStorage
from tests.rag.storage.opening import Clock
from tests.rag.storage.preparing import put
from tests.rag.storage.test_documents import found

ROOT = Path(__file__).parents[3]

CHANGES = """
import asyncio, sys
from contextlib import closing
from pathlib import Path
from contracts.retrieval import Page
from rag.storage.sqlite import SqliteStorage
from tests.rag.storage.preparing import put

async def main() -> None:
    storage = SqliteStorage(Path(sys.argv[1]))
    store = await storage.store("acme", "docs")
    print("ready", flush=True)
    for turn in range(1000):
        gone = [one.file_id for one in await storage.documents("acme", store.id, Page(limit=100))]
        puts = [put(f"{at}.md", f"turn{turn}", "both") for at in range(12)]
        await storage.change("acme", store.id, puts, gone)

asyncio.run(main())
"""


async def opened(folder: Path) -> SqliteStorage:
    storage = SqliteStorage(folder)
    await storage.prepare()
    return storage


def changing(folder: Path) -> subprocess.Popen[str]:
    """A process that changes all of the store `docs`, over and over."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHANGES, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


async def whole(storage: SqliteStorage) -> None:
    """That the store is as one of the changes left it: twelve documents of one turn, as its state says."""
    store = await storage.store("acme", "docs")
    documents = await storage.documents("acme", store.id, Page(limit=100))
    assert {one.revision for one in documents} == {store.state.revision}
    assert (len(documents), store.chunks, len(await storage.files("acme", Page(limit=100)))) == (12, 24, 12)
    texts = {await storage.text("acme", store.id, one.file_id) for one in documents}
    assert len(texts) == 1
    view = await storage.view("acme", "docs")
    ranked = await view.by_words({"both": 1.0, texts.pop().split()[0]: 1.0}, 100)
    assert len(await view.passages([one.chunk for one in ranked])) == len(ranked) == 24
    turn = (await storage.text("acme", store.id, documents[0].file_id)).split()[0]
    again = await storage.create_store("acme")
    again = await storage.change("acme", again.id, [put(f"{at}.md", turn, "both") for at in range(12)], [])
    assert again.state.version == store.state.version
    copies = await storage.documents("acme", again.id, Page(limit=100))
    await storage.change("acme", again.id, [], [one.file_id for one in copies])


async def test_a_killed_process_leaves_the_store_as_it_was_or_as_it_should_be(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "rag")
    store = await storage.create_store("acme", "docs")
    await storage.change("acme", store.id, [put(f"{at}.md", "turn", "both") for at in range(12)], [])
    draw = random.Random(3)
    for _ in range(2):
        process = changing(tmp_path / "rag")
        try:
            await asyncio.sleep(draw.uniform(0.05, 0.4))
            os.kill(process.pid, signal.SIGKILL)
        finally:
            process.kill()
            process.communicate()
        await whole(storage)
    await storage.close()


async def test_two_processes_change_one_database(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "rag")
    store = await storage.create_store("acme", "docs")
    await storage.change("acme", store.id, [put(f"{at}.md", "turn", "both") for at in range(12)], [])
    process = changing(tmp_path / "rag")
    try:
        for at in range(3):
            other = await storage.create_store("acme", f"mine{at}")
            await storage.change("acme", other.id, [put("a.md", "mine")], [])
            view = await storage.view("acme", "docs")
            ranked = await view.by_words({"both": 1.0}, 100)
            assert len(ranked) == 12
            passages = await view.passages([one.chunk for one in ranked])
            assert len(passages) in (0, 12)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    await storage.close()


async def test_two_that_start_at_once_prepare_one_database_together(tmp_path: Path) -> None:
    storages = [SqliteStorage(tmp_path / "rag") for _ in range(4)]
    await asyncio.gather(*(storage.prepare() for storage in storages))
    await asyncio.gather(*(storage.create_store("acme", str(at)) for at, storage in enumerate(storages)))
    assert len(await storages[0].stores("acme", Page())) == 4
    for storage in storages:
        await storage.close()


async def test_folders_are_the_owner_s_alone(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "rag")
    await storage.create_store("acme")
    for folder in (tmp_path / "rag", tmp_path / "rag" / "acme"):
        assert folder.stat().st_mode & 0o777 == 0o700
    await storage.close()


async def test_a_folder_that_cannot_be_used_is_told_with_advice(tmp_path: Path) -> None:
    (tmp_path / "rag").write_text("a file")
    with pytest.raises(StorageUnusable, match="name another state folder"):
        await opened(tmp_path / "rag")


async def test_a_database_of_a_newer_weir_is_left_alone(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "rag")
    await storage.create_store("acme")
    async with storage._writing("acme") as connection:
        await connection.exec_driver_sql("UPDATE rag_schema SET version = 99")
    await storage.close()
    storage = await opened(tmp_path / "rag")
    with pytest.raises(RetrievalUnavailable, match="newer Weir"):
        await storage.create_store("acme")
    await storage.close()


async def test_a_database_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "rag")
    (tmp_path / "rag" / "acme").mkdir()
    (tmp_path / "rag" / "acme" / "corpus.db").write_bytes(b"x" * 5000)
    for asking in (
        storage.view("acme", "docs"),
        storage.current("acme", ["vs_0@1"]),
        storage.files("acme", Page()),
    ):
        with pytest.raises(RetrievalUnavailable):
            await asking
    await storage.close()


async def test_a_tenant_whose_folder_is_deleted_has_nothing(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "rag")
    store = await storage.create_store("acme", "docs")
    await storage.change("acme", store.id, [put("a.md", "one")], [])
    assert await found(storage, "one")
    shutil.rmtree(tmp_path / "rag" / "acme")
    assert not await storage.current("acme", [f"{store.id}@1"])
    assert await storage.stores("acme", Page()) == []
    await storage.create_store("acme", "new")
    other = await opened(tmp_path / "rag")
    assert [one.name for one in await other.stores("acme", Page())] == ["new"]
    await other.close()
    await storage.close()


async def test_an_idle_tenant_is_looked_at_again_only_when_something_changed(tmp_path: Path, clock: Clock) -> None:
    storage = SqliteStorage(tmp_path / "rag", Limits(), clock=clock)
    store = await storage.create_store("acme", "docs")
    file = await storage.add_file("acme", "a.md", b"a")
    databases = storage._databases
    long_ago = 1_000_000_000
    for path in (tmp_path / "rag" / "acme").iterdir():
        os.utime(path, ns=(long_ago, long_ago))
    assert databases.with_news(0) == ["acme"]
    assert await storage.claim(30) is None
    assert databases.with_news(0) == []
    await storage.attach("acme", store.id, [file.id])
    assert databases.with_news(0) == ["acme"]
    assert await storage.claim(30) is not None
    assert await storage.claim(30) is None
    clock.pass_by(31)
    assert await storage.claim(30) is not None
    await storage.close()


@pytest.mark.parametrize("in_place", [True, False])
async def test_a_database_that_comes_back_from_a_backup_is_searched_as_it_is_then(
    tmp_path: Path, in_place: bool
) -> None:
    storage, database = await opened(tmp_path / "rag"), tmp_path / "rag" / "acme" / "corpus.db"
    store = await storage.create_store("acme", "docs")
    await storage.change("acme", store.id, [put("a.md", "one"), put("b.md", "one")], [])
    first, _ = await storage.holdings("acme", store.id)
    copy(database, tmp_path / "backup.db")
    for later in range(1 if in_place else 3):
        if in_place:
            await storage.change("acme", store.id, [put("c.md", "one", "one")], [first.file_id])
            assert len(await found(storage, "one")) == 3
            copy(tmp_path / "backup.db", database)
        else:
            shutil.rmtree(database.parent)
            database.parent.mkdir()
            shutil.copy(tmp_path / "backup.db", database)
            for _ in range(later):  # as far as the one before it was, or farther
                await storage.change("acme", store.id, [put("d.md", "two")], [])
        assert first.file_id in await found(storage, "one") and len(await found(storage, "one")) == 2
    await storage.close()


def copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


async def test_a_tenant_s_damaged_database_stops_nobody_else_s_work(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    storage = SqliteStorage(tmp_path / "rag", Limits(), clock=clock)
    store = await storage.create_store("globex", "docs")
    file = await storage.add_file("globex", "a.md", b"a")
    await storage.add_file("globex", "b.md", b"b", expires_after_s=3600)
    await storage.attach("globex", store.id, [file.id])
    (tmp_path / "rag" / "acme").mkdir()
    (tmp_path / "rag" / "acme" / "corpus.db").write_bytes(b"x" * 5000)
    for _ in range(2):
        assert await storage.claim(30, "me") is not None
        assert await storage.give_back("me") == 1
    clock.pass_by(3601)
    await storage.upkeep()
    async with storage._reading("globex") as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM rag_files")).scalar() == 1
    assert caplog.text.count("the documents of acme cannot be worked on") == 1
    await storage.close()
