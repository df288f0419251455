"""`/v1/vector_stores`: OpenAI's client lives with it unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import openai
import pytest
from openai.types import VectorStore
from openai.types.vector_stores import VectorStoreFile, VectorStoreFileBatch

from rag.storage.moments import now
from tests.router.web.shelves import NO_FILE, RETURNS, SHIPPING, Shelf, file_of, found, send, shelf_in, store_with


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    async with shelf_in(tmp_path) as shelf:
        yield shelf


async def _eventually_later(shelf: Shelf, store: VectorStore) -> None:
    """Until it is known to have been active after what `store` says."""
    async with asyncio.timeout(10):
        while True:
            if (await shelf.acme.vector_stores.retrieve(store.id)).last_active_at != store.last_active_at:
                return
            await asyncio.sleep(0.01)


class TestStores:
    async def test_a_store_lives_and_dies(self, shelf: Shelf) -> None:
        made = await shelf.acme.vector_stores.create(
            name="docs", metadata={"team": "support"}, expires_after={"anchor": "last_active_at", "days": 3}
        )
        assert (made.object, made.name, made.status, made.metadata) == (
            "vector_store",
            "docs",
            "completed",
            {"team": "support"},
        )
        assert (made.usage_bytes, made.file_counts.total) == (0, 0)
        assert made.last_active_at is not None
        assert made.expires_at == made.last_active_at + 3 * 86_400
        assert await shelf.acme.vector_stores.retrieve(made.id) == made
        assert await shelf.acme.vector_stores.retrieve("docs") == made
        changed = await shelf.acme.vector_stores.update(made.id, name="papers", expires_after=None)
        assert (changed.name, changed.metadata, changed.expires_after) == ("papers", {"team": "support"}, None)
        emptied = await shelf.acme.vector_stores.update("papers", metadata=None)
        assert (emptied.name, emptied.metadata) == ("papers", {})
        deleted = await shelf.acme.vector_stores.delete(made.id)
        assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "vector_store.deleted")
        with pytest.raises(openai.NotFoundError):
            await shelf.acme.vector_stores.retrieve(made.id)

    async def test_it_can_be_made_with_files(self, shelf: Shelf) -> None:
        ids = [await file_of(shelf, RETURNS), await file_of(shelf, SHIPPING)]
        made = await shelf.acme.vector_stores.create(
            file_ids=[*ids, ids[0]],
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50},
            },
        )
        assert (made.status, made.file_counts.in_progress, made.file_counts.total) == ("in_progress", 2, 2)
        documents = [document async for document in shelf.acme.vector_stores.files.list(made.id, order="asc")]
        assert [document.id for document in documents] == ids
        for document in documents:
            assert document.chunking_strategy is not None
            assert document.chunking_strategy.to_dict() == {
                "type": "static",
                "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50},
            }

    async def test_with_a_file_that_is_not_there_none_is_made(self, shelf: Shelf) -> None:
        with pytest.raises(openai.NotFoundError) as caught:
            await shelf.acme.vector_stores.create(file_ids=[await file_of(shelf, RETURNS), NO_FILE])
        assert caught.value.param == "file_ids"
        assert not [store async for store in shelf.acme.vector_stores.list()]

    async def test_lists_are_walked_page_by_page_in_both_orders(self, shelf: Shelf) -> None:
        made = [(await shelf.acme.vector_stores.create(name=f"{number}")).id for number in range(5)]
        assert [store.id async for store in shelf.acme.vector_stores.list(limit=2)] == made[::-1]
        assert [store.id async for store in shelf.acme.vector_stores.list(limit=2, order="asc")] == made
        page = await shelf.acme.vector_stores.list(limit=2, order="asc", before=made[4])
        assert ([store.id for store in page.data], page.has_more) == (made[2:4], True)
        assert page.to_dict()["first_id"] == made[2]
        assert page.to_dict()["last_id"] == made[3]


class TestExpiry:
    async def test_a_store_that_nobody_used_is_gone_in_time(self, tmp_path: Path) -> None:
        start = now()
        moment = [start]
        async with shelf_in(tmp_path, lambda: moment[0]) as shelf:
            store, (file_id,) = await store_with(
                shelf, RETURNS, expires_after={"anchor": "last_active_at", "days": 1}
            )
            moment[0] = start + timedelta(hours=20)
            assert await found(shelf, store.id, "refunds")
            await _eventually_later(shelf, store)  # the search did not wait until it was noted
            moment[0] = start + timedelta(hours=40)
            assert (await shelf.acme.vector_stores.retrieve(store.id)).id == store.id
            moment[0] = start + timedelta(hours=45)
            for gone in (shelf.acme.vector_stores.retrieve(store.id), found(shelf, store.id, "refunds")):
                with pytest.raises(openai.NotFoundError):
                    await gone
            assert not [one async for one in shelf.acme.vector_stores.list()]
            assert (await shelf.acme.files.retrieve(file_id)).id == file_id

    async def test_a_file_takes_its_documents_with_it(self, tmp_path: Path) -> None:
        start = now()
        moment = [start]
        async with shelf_in(tmp_path, lambda: moment[0]) as shelf:
            store, _ = await store_with(shelf, SHIPPING)
            brief = await shelf.acme.files.create(
                file=("brief.md", RETURNS),
                purpose="assistants",
                expires_after={"anchor": "created_at", "seconds": 3600},
            )
            await shelf.acme.vector_stores.files.create(store.id, file_id=brief.id)
            await shelf.ingest()
            assert "Refunds are paid within a week." in await found(shelf, store.id, "refunds paid")
            moment[0] = start + timedelta(hours=2)
            assert "Refunds are paid within a week." not in await found(shelf, store.id, "refunds paid")
            for gone in (
                shelf.acme.files.retrieve(brief.id),
                shelf.acme.vector_stores.files.retrieve(brief.id, vector_store_id=store.id),
            ):
                with pytest.raises(openai.NotFoundError):
                    await gone
            assert (await shelf.acme.vector_stores.retrieve(store.id)).file_counts.total == 1


class TestDocuments:
    async def test_the_clients_helpers_wait_until_it_is_found(self, shelf: Shelf) -> None:
        store = await shelf.acme.vector_stores.create(name="docs")
        async with shelf.ingesting():
            document = await shelf.acme.vector_stores.files.upload_and_poll(
                vector_store_id=store.id, file=("returns.md", RETURNS), attributes={"lang": "en", "year": 2026}
            )
        assert isinstance(document, VectorStoreFile)
        assert (document.status, document.last_error, document.vector_store_id) == ("completed", None, store.id)
        assert document.attributes == {"lang": "en", "year": 2026}
        assert document.usage_bytes > 0
        assert (await shelf.acme.vector_stores.retrieve(store.id)).file_counts.completed == 1
        assert await found(shelf, store.id, "refunds paid", max_num_results=1) == [
            "Refunds are paid within a week."
        ]

    async def test_its_text_is_shown_and_its_offsets_count_in_it(self, shelf: Shelf) -> None:
        store, (file_id,) = await store_with(shelf, RETURNS)
        page = await shelf.acme.vector_stores.files.content(file_id, vector_store_id=store.id)
        (part,) = page.data
        text = RETURNS.decode()
        assert (part.type, part.text) == ("text", text)
        results = await shelf.acme.vector_stores.search(store.id, query="refunds")
        for result in results.data:
            told = result.to_dict()["weir"]
            assert isinstance(told, dict)
            assert text[told["start"] : told["end"]] == result.content[0].text

    async def test_its_attributes_change_and_are_searched_by(self, shelf: Shelf) -> None:
        store, (_, shipping) = await store_with(shelf, RETURNS, SHIPPING)
        changed = await shelf.acme.vector_stores.files.update(
            shipping, vector_store_id=store.id, attributes={"lang": "de", "year": 2026, "new": True, "share": 0.5}
        )
        assert changed.attributes == {"lang": "de", "year": 2026, "new": True, "share": 0.5}
        german = {"type": "eq", "key": "lang", "value": "de"}
        assert await found(shelf, store.id, "refunds paid shipped", filters=german) == [SHIPPING.decode()]
        emptied = await shelf.acme.vector_stores.files.update(shipping, vector_store_id=store.id, attributes=None)
        assert emptied.attributes == {}
        assert await found(shelf, store.id, "refunds paid shipped", filters=german) == []

    async def test_what_is_detached_or_deleted_is_not_found_any_more(self, shelf: Shelf) -> None:
        store, (returns, shipping) = await store_with(shelf, RETURNS, SHIPPING)
        gone = await shelf.acme.vector_stores.files.delete(returns, vector_store_id=store.id)
        assert (gone.id, gone.deleted, gone.object) == (returns, True, "vector_store.file.deleted")
        assert RETURNS.decode() not in "".join(await found(shelf, store.id, "refunds"))
        assert (await shelf.acme.files.retrieve(returns)).id == returns
        await shelf.acme.files.delete(shipping)
        assert await found(shelf, store.id, "refunds parcels shipped") == []
        assert not [document async for document in shelf.acme.vector_stores.files.list(store.id)]

    async def test_one_that_failed_says_why(self, shelf: Shelf) -> None:
        store = await shelf.acme.vector_stores.create(name="docs")
        file_id = await file_of(shelf, RETURNS)
        await shelf.acme.vector_stores.files.create(store.id, file_id=file_id)
        work = await shelf.storage.claim(30)
        assert work is not None
        await shelf.storage.fail(work, "unsupported_file", "This is no document.")
        document = await shelf.acme.vector_stores.files.poll(file_id, vector_store_id=store.id)
        assert document.status == "failed"
        assert document.last_error is not None
        assert (document.last_error.code, document.last_error.message) == (
            "unsupported_file",
            "This is no document.",
        )
        failed = [one.id async for one in shelf.acme.vector_stores.files.list(store.id, filter="failed")]
        completed = [one.id async for one in shelf.acme.vector_stores.files.list(store.id, filter="completed")]
        assert (failed, completed) == ([file_id], [])


class TestBatches:
    async def test_the_clients_helper_uploads_and_waits(self, shelf: Shelf) -> None:
        store = await shelf.acme.vector_stores.create(name="docs")
        there = await file_of(shelf, RETURNS)
        async with shelf.ingesting():
            batch = await shelf.acme.vector_stores.file_batches.upload_and_poll(
                store.id, files=[("b.md", SHIPPING), ("c.md", b"Third.")], file_ids=[there]
            )
        assert isinstance(batch, VectorStoreFileBatch)
        assert (batch.status, batch.file_counts.completed, batch.file_counts.total) == ("completed", 3, 3)
        files = shelf.acme.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, limit=2)
        assert len([document async for document in files]) == 3
        assert await shelf.acme.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id) == batch

    async def test_files_have_their_own_settings(self, shelf: Shelf) -> None:
        store = await shelf.acme.vector_stores.create(name="docs")
        ids = [await file_of(shelf, RETURNS) for _ in range(3)]
        batch = await shelf.acme.vector_stores.file_batches.create(
            store.id,
            files=[
                {"file_id": ids[0], "attributes": {"n": 1}},
                {"file_id": ids[1], "attributes": {"n": True}},
                {"file_id": ids[2], "chunking_strategy": {"type": "auto"}},
            ],
        )
        assert (batch.status, batch.file_counts.in_progress) == ("in_progress", 3)
        shown = {one.id: one.attributes async for one in shelf.acme.vector_stores.files.list(store.id)}
        assert shown == {ids[0]: {"n": 1}, ids[1]: {"n": True}, ids[2]: {}}
        assert shown[ids[1]]["n"] is True  # type: ignore[index]

    @pytest.mark.parametrize("own_settings", [False, True])
    async def test_one_file_that_is_not_there_leaves_nothing(self, shelf: Shelf, own_settings: bool) -> None:
        store = await shelf.acme.vector_stores.create(name="docs")
        file_id = await file_of(shelf, RETURNS)
        files = [{"file_id": file_id, "attributes": {"n": 1}}, {"file_id": NO_FILE}]
        body = {"files": files} if own_settings else {"file_ids": [file_id, NO_FILE]}
        wire = await send(shelf, "POST", f"/{store.id}/file_batches", body)
        assert (wire.status, wire.error["param"]) == (404, next(iter(body)))
        assert not [document async for document in shelf.acme.vector_stores.files.list(store.id)]

    async def test_what_is_cancelled_is_given_up(self, shelf: Shelf) -> None:
        store, _ = await store_with(shelf, RETURNS)
        batch = await shelf.acme.vector_stores.file_batches.create(
            store.id, file_ids=[await file_of(shelf, SHIPPING), await file_of(shelf, b"Third.")]
        )
        batch = await shelf.acme.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
        assert (batch.status, batch.file_counts.cancelled, batch.file_counts.in_progress) == ("cancelled", 2, 0)
        assert await shelf.ingest() == 0
        assert (await shelf.acme.vector_stores.retrieve(store.id)).file_counts.completed == 1

    async def test_clients_that_wait_are_told_when_to_look_again(self, shelf: Shelf) -> None:
        store = await shelf.acme.vector_stores.create(name="docs")
        file_id = await file_of(shelf, RETURNS)
        batch = await shelf.acme.vector_stores.file_batches.create(store.id, file_ids=[file_id])
        for path in (f"/{store.id}/files/{file_id}", f"/{store.id}/file_batches/{batch.id}"):
            assert (await send(shelf, "GET", path)).headers["openai-poll-after-ms"] == "250"
        await shelf.ingest()
        for path in (f"/{store.id}/files/{file_id}", f"/{store.id}/file_batches/{batch.id}"):
            assert "openai-poll-after-ms" not in (await send(shelf, "GET", path)).headers
