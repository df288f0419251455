"""A store in step with a folder: only what changed is work, and all of it is one step."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from contracts.errors import StoreFull
from contracts.retrieval import Page
from rag.ingesting.embedding import Embedding
from rag.ingesting.folder import Progress, Synced, is_in_step, sync
from rag.ingesting.preparing import Workshop
from rag.ingesting.scanning import FolderUnusable
from rag.ports import Limits, Storage
from tests.rag.ingesting.conftest import LIMITS
from tests.rag.ingesting.counting import DIMENSIONS, VERSION, CountingEncoder, words


@pytest.fixture(autouse=True)
async def store(storage: Storage) -> str:
    return (await storage.create_store("acme", "handbook")).id


async def _sync(storage: Storage, workshop: Workshop, folder: Path, limits: Limits = LIMITS) -> Synced:
    return await sync(storage, workshop, "acme", "handbook", folder, limits=limits)


async def _names(storage: Storage, store: str) -> list[str]:
    return sorted(document.filename for document in await storage.documents("acme", store, Page(limit=100)))


async def test_new_changed_and_gone_are_one_step(
    storage: Storage, workshop: Workshop, encoder: CountingEncoder, folder: Path, store: str
) -> None:
    for name in ("a.md", "b.txt", "c.html"):
        (folder / name).write_text(f"text of {name}")
    first = await _sync(storage, workshop, folder)
    assert len(first.plan.new) == 3
    assert first.store.counts.completed == 3

    (folder / "a.md").write_text("another text")
    (folder / "b.txt").unlink()
    (folder / "d").mkdir()
    (folder / "d/e.md").write_text("new")
    encoder.texts.clear()
    second = await _sync(storage, workshop, folder)
    plan = second.plan
    assert [one.filename for one in plan.new] == ["d/e.md"]
    assert [one.filename for one in plan.changed] == ["a.md"]
    assert [one.filename for one in plan.gone] == ["b.txt"]
    assert plan.unchanged == 1
    assert second.store.state.revision == first.store.state.revision + 1
    assert await _names(storage, store) == ["a.md", "c.html", "d/e.md"]
    assert sorted(encoder.texts) == ["a\nanother text", "e\nnew"]
    assert len(await storage.files("acme", Page(limit=100))) == 3


async def test_what_has_not_changed_is_no_work(
    storage: Storage, workshop: Workshop, encoder: CountingEncoder, folder: Path
) -> None:
    (folder / "a.md").write_text("text")
    first = await _sync(storage, workshop, folder)
    encoder.texts.clear()
    (folder / "a.md").touch()
    second = await _sync(storage, workshop, folder)
    assert second.plan.is_empty
    assert second.store.state == first.store.state
    assert encoder.texts == []


async def test_a_small_change_of_a_large_document_is_little_work(
    storage: Storage, workshop: Workshop, encoder: CountingEncoder, folder: Path
) -> None:
    parts = [f"## Part {number}\n\n{words(12, f'topic{number}')}" for number in range(30)]
    (folder / "a.md").write_text("\n\n".join(parts))
    whole = (await _sync(storage, workshop, folder)).chunks
    assert whole >= 30
    parts[3] += " One more sentence."
    (folder / "a.md").write_text("\n\n".join(parts))
    again = await _sync(storage, workshop, folder)
    assert again.chunks == whole
    assert 1 <= again.computed <= 3


async def test_a_file_that_cannot_be_read_is_told_and_its_old_version_stays(
    storage: Storage, workshop: Workshop, folder: Path, store: str
) -> None:
    (folder / "a.md").write_text("old text")
    await _sync(storage, workshop, folder)
    (folder / "a.md").write_bytes(b"\x00\x01 no text")
    (folder / "b.md").write_text("good")
    (folder / "c.pdf").write_bytes(b"%PDF-1.7")
    synced = await _sync(storage, workshop, folder)
    assert sorted(synced.failures) == ["a.md", "c.pdf"]
    assert "Its old version stays" in synced.failures["a.md"]
    assert "old version" not in synced.failures["c.pdf"]
    assert await _names(storage, store) == ["a.md", "b.md"]
    (holding,) = [one for one in await storage.holdings("acme", store) if one.filename == "a.md"]
    assert await storage.text("acme", store, holding.file_id) == "old text"


async def test_a_folder_that_is_gone_takes_nothing_out(
    storage: Storage, workshop: Workshop, folder: Path, store: str
) -> None:
    (folder / "a.md").write_text("text")
    await _sync(storage, workshop, folder)
    await asyncio.to_thread(folder.rename, folder.with_name("elsewhere"))
    with pytest.raises(FolderUnusable):
        await _sync(storage, workshop, folder)
    assert await _names(storage, store) == ["a.md"]


async def test_more_than_a_store_takes_is_refused_before_it_is_encoded(
    storage: Storage, workshop: Workshop, encoder: CountingEncoder, folder: Path, store: str
) -> None:
    for number in range(4):
        (folder / f"{number}.md").write_text(f"text {number}")
    with pytest.raises(StoreFull, match="more than 3 chunks"):
        await _sync(storage, workshop, folder, Limits(store_chunks=3))
    assert encoder.texts == []
    assert await _names(storage, store) == []


async def test_a_store_that_is_changed_meanwhile_is_planned_for_anew(
    storage: Storage, workshop: Workshop, encoder: CountingEncoder, folder: Path, store: str
) -> None:
    """The other one puts the same folder in; in the end there is one of each."""
    (folder / "a.md").write_text("text")
    loop = asyncio.get_running_loop()

    def other(_: Sequence[str]) -> None:
        encoder.before = lambda _: None
        asyncio.run_coroutine_threadsafe(workshop_of_another(), loop).result()

    async def workshop_of_another() -> None:
        embedding = Embedding(storage, CountingEncoder(), VERSION, DIMENSIONS)
        await _sync(storage, Workshop(workshop.reading, embedding), folder)

    encoder.before = other
    synced = await _sync(storage, workshop, folder)
    assert synced.plan.is_empty
    assert await _names(storage, store) == ["a.md"]


async def test_another_encoder_makes_all_of_it_anew(
    storage: Storage, workshop: Workshop, folder: Path, store: str
) -> None:
    (folder / "a.md").write_text("text")
    await _sync(storage, workshop, folder)
    assert await is_in_step(storage, "acme", "handbook", folder, VERSION)
    assert not await is_in_step(storage, "acme", "handbook", folder, "another")
    assert not await is_in_step(storage, "acme", "handbook", folder, VERSION, context=False)
    assert not await is_in_step(storage, "acme", "no such store", folder, VERSION)
    workshop.embedding.version = "another"
    again = await _sync(storage, workshop, folder)
    assert (len(again.plan.changed), again.computed) == (1, 1)
    assert [one.encoder for one in await storage.holdings("acme", store)] == ["another"]


async def test_progress_is_told(storage: Storage, workshop: Workshop, folder: Path) -> None:
    for number in range(3):
        (folder / f"{number}.md").write_text(f"text {number}")
    seen: list[Progress] = []
    await sync(storage, workshop, "acme", "handbook", folder, limits=LIMITS, tell=seen.append)
    assert seen[-1] == Progress(read=3, documents=3, encoded=3, chunks=3)
    assert [one.read for one in seen] == sorted(one.read for one in seen)


async def test_files_that_no_store_takes_leave_the_others_alone(
    storage: Storage, workshop: Workshop, folder: Path, store: str
) -> None:
    long = folder / "/".join(["d" * 200] * 6)
    long.mkdir(parents=True)
    for path in (folder / "a.md", folder / "two\nlines.md", long / "b.md"):
        path.write_text("text")
    with (folder / "large.md").open("wb") as file:
        file.truncate(LIMITS.file_bytes + 1)
    synced = await _sync(storage, workshop, folder)
    assert await _names(storage, store) == ["a.md"]
    assert sorted(advice.split(":")[0][:20] for advice in synced.failures.values()) == [
        "A filename has 1 to ",
        "A filename holds no ",
        "It has 33,554,433 by",
    ]


async def test_more_than_a_tenant_may_keep_is_refused_before_it_is_read(
    storage: Storage, workshop: Workshop, folder: Path
) -> None:
    for name in "abc":
        (folder / f"{name}.md").write_text("text")
    with pytest.raises(StoreFull, match="max_tenant_bytes"):
        await _sync(storage, workshop, folder, Limits(tenant_bytes=11))
