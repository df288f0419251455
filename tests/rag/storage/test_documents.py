"""Documents: attached, listed, changed and detached, by one or by the batch."""

from __future__ import annotations

import pytest

from contracts.errors import InvalidRequest, NotFound
from contracts.retrieval import ChunkRules, Counts, Page
from rag.ports import Prepared, Storage
from tests.rag.storage.preparing import AT, prepared, put


async def uploaded(storage: Storage, *names: str) -> list[str]:
    return [(await storage.add_file("acme", name, name.encode(), updated_at=AT)).id for name in names]


async def ingest(storage: Storage, made: Prepared) -> None:
    """Whatever waits first."""
    work = await storage.claim(30)
    assert work is not None
    assert await storage.complete(work, made)


async def found(storage: Storage, word: str, **filters: object) -> list[str]:
    """Files in the store `docs` that have it."""
    view = await storage.view("acme", "docs")
    ranked = await view.by_words({word: 1.0}, 10, filters or None)
    return sorted(one.file_id for one in (await view.passages([one.chunk for one in ranked])).values())


async def test_a_document_is_in_progress_until_it_is_ingested(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    (file_id,) = await uploaded(storage, "a.md")
    rules = ChunkRules(400, 40)
    (document,) = await storage.attach(
        "acme", store.id, [file_id], attributes={"n": 5, "s": "x", "b": True}, rules=rules
    )
    assert document == await storage.document("acme", store.id, file_id)
    assert (document.status, document.filename, document.rules) == ("in_progress", "a.md", rules)
    assert document.attributes == {"n": 5, "s": "x", "b": True} and document.updated_at == AT
    with pytest.raises(NotFound):
        await storage.text("acme", store.id, file_id)
    await ingest(storage, prepared("one two", "three"))
    document = await storage.document("acme", store.id, file_id)
    assert (document.status, document.revision, document.chunks, document.tokens) == ("completed", 1, 2, 3)
    assert document.bytes == len("one two" + "three") + 2 * len("Where it stands") + 2 * 2 * 4
    assert await storage.text("acme", store.id, file_id) == "one two\nthree"
    store = await storage.store("acme", store.id)
    assert (store.counts, store.chunks, store.bytes) == (Counts(completed=1), 2, document.bytes)
    (holding,) = await storage.holdings("acme", store.id)
    assert (holding.file_id, holding.digest) == (file_id, (await storage.file("acme", file_id)).digest)
    assert (holding.encoder, holding.chunker, holding.status) == ("e1", "c1", "completed")


async def test_attaching_is_all_or_nothing_and_in_the_order_named(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    ids = await uploaded(storage, *"dbca")
    with pytest.raises(NotFound):
        await storage.attach("acme", store.id, [*ids, "file-" + "0" * 24])
    assert await storage.documents("acme", store.id, Page()) == []
    attached = await storage.attach("acme", store.id, ids, batch="vsfb_1")
    assert [one.file_id for one in attached] == ids
    for batch in ("", "vsfb_1"):
        listed = await storage.documents("acme", store.id, Page(newest_first=False), batch=batch)
        assert list(listed) == list(attached)
    after = await storage.documents("acme", store.id, Page(newest_first=False, after=ids[1], limit=1))
    assert [one.file_id for one in after] == [ids[2]]


async def test_what_is_attached_again_is_found_as_it_was_until_it_is_ingested(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    (file_id,) = await uploaded(storage, "a.md")
    await storage.attach("acme", store.id, [file_id], attributes={"n": 1})
    await ingest(storage, prepared("old words"))
    await storage.attach("acme", store.id, [file_id], attributes={"n": 2})
    assert (await storage.document("acme", store.id, file_id)).attributes == {"n": 2}
    assert await found(storage, "old", type="eq", key="n", value=1) == [file_id]
    assert (await storage.store("acme", store.id)).counts == Counts(in_progress=1)
    await ingest(storage, prepared("new words"))
    assert await found(storage, "old") == []
    assert await found(storage, "new", type="eq", key="n", value=2) == [file_id]
    assert (await storage.document("acme", store.id, file_id)).revision == 2


async def test_a_batch_is_counted_and_cancelled_alone(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    first, second, third = await uploaded(storage, *"abc")
    await storage.attach("acme", store.id, [first], batch="vsfb_1")
    await ingest(storage, prepared("old"))
    await storage.attach("acme", store.id, [first, second], attributes={"n": 1}, batch="vsfb_1")
    await storage.attach("acme", store.id, [third], batch="vsfb_2")
    assert await storage.batch("acme", store.id, "vsfb_1") == Counts(in_progress=2)
    assert await storage.cancel("acme", store.id, "vsfb_1") == Counts(completed=1, cancelled=1)
    assert await storage.batch("acme", store.id, "vsfb_2") == Counts(in_progress=1)
    assert await found(storage, "old") == [first]
    assert (await storage.document("acme", store.id, first)).attributes == {}
    in_progress = await storage.documents("acme", store.id, Page(), status="in_progress")
    assert [one.file_id for one in in_progress] == [third]
    for asking in (storage.batch, storage.cancel):
        with pytest.raises(NotFound):
            await asking("acme", store.id, "vsfb_3")
    with pytest.raises(NotFound):
        await storage.documents("acme", store.id, Page(), batch="vsfb_3")


async def test_attributes_are_what_filters_ask_for_at_once(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    store = await storage.change("acme", store.id, [put("a.md", "one", n=1), put("b.md", "one", n=1)], [])
    first, second = [one.file_id for one in await storage.documents("acme", store.id, Page(newest_first=False))]
    changed = await storage.set_attributes("acme", store.id, first, {"n": 2})
    assert (changed.attributes, changed.revision) == ({"n": 2}, 2)
    assert await found(storage, "one", type="eq", key="n", value=1) == [second]
    assert await found(storage, "one", type="gt", key="n", value=1) == [first]
    after = (await storage.store("acme", store.id)).state
    assert after.revision == 2 and after.version != store.state.version
    await storage.set_attributes("acme", store.id, first, {"n": 1})
    assert (await storage.store("acme", store.id)).state.version == store.state.version
    with pytest.raises(InvalidRequest):
        await storage.set_attributes("acme", store.id, first, {str(n): n for n in range(17)})


async def test_detached_and_deleted_files_are_gone_from_searches(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    second_store = await storage.create_store("acme", "more")
    first, second = await uploaded(storage, *"ab")
    for one in (store, second_store):
        await storage.attach("acme", one.id, [first, second])
    for _ in range(4):
        await ingest(storage, prepared("one"))
    await storage.detach("acme", store.id, first)
    assert await found(storage, "one") == [second]
    assert (await storage.file("acme", first)).id == first
    for asking in (storage.detach, storage.document, storage.text):
        with pytest.raises(NotFound):
            await asking("acme", store.id, first)
    await storage.delete_file("acme", second)
    assert await found(storage, "one") == []
    assert [one.file_id for one in await storage.documents("acme", second_store.id, Page())] == [first]
    assert (await storage.store("acme", store.id)).state.version == "0" * 32


async def test_attributes_that_no_database_holds_are_refused(storage: Storage) -> None:
    store = await storage.create_store("acme")
    file = await storage.add_file("acme", "a.md", b"a")
    for value in (10**400, float("nan"), float("inf"), "a\0b", "\ud800"):
        with pytest.raises(InvalidRequest):
            await storage.attach("acme", store.id, [file.id], attributes={"n": value})
