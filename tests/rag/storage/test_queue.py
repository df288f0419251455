"""The queue: one at a time, the oldest first, and never lost."""

from __future__ import annotations

import numpy as np

from contracts.retrieval import Counts, Page
from rag.ports import Limits, Storage, vector_key
from rag.storage.queue import MOST_ATTEMPTS
from tests.rag.storage.opening import Clock, Opened
from tests.rag.storage.preparing import prepared, put, vector
from tests.rag.storage.test_documents import found


async def waiting(storage: Storage, tenant: str, filename: str = "a.md", content: bytes = b"a") -> tuple[str, str]:
    """A new store with a document that waits: both ids."""
    store = await storage.create_store(tenant, "docs")
    file = await storage.add_file(tenant, filename, content)
    await storage.attach(tenant, store.id, [file.id])
    return store.id, file.id


async def test_the_oldest_of_all_tenants_comes_first_and_once(opened: Opened) -> None:
    storage, other = await opened.storage(), await opened.storage()
    assert await storage.claim(30) is None
    places = [(tenant, *await waiting(storage, tenant)) for tenant in ("b", "a", "c")]
    claimed = [await claimer.claim(30) for claimer in (storage, other, other, storage)]
    assert [(one.tenant, one.store_id, one.file_id) for one in claimed if one] == places
    assert claimed[3] is None


async def test_new_work_is_seen_by_one_who_found_none(opened: Opened) -> None:
    storage, other = await opened.storage(), await opened.storage()
    await storage.create_store("acme")
    assert await other.claim(30) is None
    _, file_id = await waiting(storage, "acme")
    work = await other.claim(30)
    assert work is not None and work.file_id == file_id


async def test_a_claim_that_is_not_renewed_lapses(opened: Opened, clock: Clock) -> None:
    storage, other = await opened.storage(), await opened.storage()
    await waiting(storage, "acme")
    first = await storage.claim(30)
    assert first is not None
    clock.pass_by(20)
    assert await storage.renew(first, 30)
    clock.pass_by(20)
    assert await other.claim(30) is None
    clock.pass_by(20)
    second = await other.claim(30)
    assert second is not None and second.file_id == first.file_id
    assert not await storage.renew(first, 30)
    assert not await storage.complete(first, prepared("late"))
    await storage.fail(first, "server_error", "late")
    assert await other.complete(second, prepared("one"))
    assert await found(storage, "one") == [second.file_id]
    assert not await other.complete(second, prepared("one"))


async def test_what_is_given_back_waits_again_and_only_what_that_holder_had(opened: Opened) -> None:
    storage, other = await opened.storage(), await opened.storage()
    places = [(tenant, *await waiting(storage, tenant)) for tenant in ("a", "b", "c")]
    killed = [await storage.claim(3600, "one"), await storage.claim(3600, "one")]
    assert await storage.claim(3600, "on") is not None
    assert await other.give_back("on_") == await other.give_back("two") == 0
    assert await other.give_back("one") == 2
    again = [await other.claim(3600, "one"), await other.claim(3600, "one")]
    assert [(one.tenant, one.store_id, one.file_id) for one in again if one] == places[:2]
    assert await other.claim(3600, "one") is None
    assert killed[0] is not None and not await storage.renew(killed[0], 3600)
    assert again[0] is not None and await other.complete(again[0], prepared("one"))
    assert await other.give_back("one") == 1


async def test_what_is_not_wanted_any_more_is_not_completed(storage: Storage) -> None:
    store_id, file_id = await waiting(storage, "acme")
    work = await storage.claim(30)
    assert work is not None
    await storage.detach("acme", store_id, file_id)
    assert not await storage.renew(work, 30)
    assert not await storage.complete(work, prepared("one"))
    await storage.attach("acme", store_id, [file_id], batch="vsfb_1")
    work = await storage.claim(30)
    assert work is not None
    await storage.cancel("acme", store_id, "vsfb_1")
    assert not await storage.complete(work, prepared("one"))
    await storage.attach("acme", store_id, [file_id])
    work = await storage.claim(30)
    assert work is not None
    await storage.delete_store("acme", store_id)
    assert not await storage.complete(work, prepared("one"))
    assert (await storage.file("acme", file_id)).id == file_id


async def test_a_document_that_failed_says_why_and_what_was_found_stays(storage: Storage) -> None:
    store_id, file_id = await waiting(storage, "acme")
    work = await storage.claim(30)
    assert work is not None
    assert await storage.complete(work, prepared("old"))
    await storage.attach("acme", store_id, [file_id])
    work = await storage.claim(30)
    assert work is not None
    await storage.fail(work, "unsupported_file", "Convert it.")
    document = await storage.document("acme", store_id, file_id)
    assert (document.status, document.error_code, document.error) == ("failed", "unsupported_file", "Convert it.")
    assert (await storage.store("acme", store_id)).counts == Counts(failed=1)
    assert await found(storage, "old") == [file_id]
    assert await storage.claim(30) is None


async def test_one_that_never_comes_to_an_end_fails(storage: Storage, clock: Clock) -> None:
    store_id, file_id = await waiting(storage, "acme")
    for _ in range(MOST_ATTEMPTS):
        assert await storage.claim(30) is not None
        clock.pass_by(31)
    assert await storage.claim(30) is None
    document = await storage.document("acme", store_id, file_id)
    assert (document.status, document.error_code) == ("failed", "server_error")


async def test_a_file_that_expires_while_it_waits_is_not_ingested(storage: Storage, clock: Clock) -> None:
    store = await storage.create_store("acme", "docs")
    file = await storage.add_file("acme", "a.md", b"a", expires_after_s=60)
    await storage.attach("acme", store.id, [file.id])
    clock.pass_by(61)
    assert await storage.claim(30) is None
    await storage.upkeep()
    assert (await storage.store("acme", store.id)).counts == Counts()


async def test_a_document_that_does_not_fit_fails_and_changes_nothing(opened: Opened) -> None:
    storage = await opened.storage(Limits(store_chunks=3))
    store_id, file_id = await waiting(storage, "acme")
    before = await storage.change("acme", store_id, [put("b.md", "one", "two")], [])
    work = await storage.claim(30)
    assert work is not None
    assert await storage.complete(work, prepared("three", "four"))
    document = await storage.document("acme", store_id, file_id)
    assert (document.status, document.chunks, document.error_code) == ("failed", 0, "invalid_file")
    assert "max_store_chunks" in document.error
    after = await storage.store("acme", store_id)
    assert (after.state, after.chunks) == (before.state, 2)


async def test_what_was_staged_or_is_in_a_store_need_not_be_encoded_again(storage: Storage, clock: Clock) -> None:
    staged = {bytes([n]) * 16: vector(str(n)).tobytes() for n in range(3)}
    await storage.stage("acme", staged)
    await storage.stage("acme", {bytes([0]) * 16: staged[bytes([0]) * 16]})
    assert await storage.staged("acme", [*staged, b"?" * 16]) == staged
    assert await storage.staged("other", list(staged)) == {}
    await storage.clear_stage("acme", [bytes([1]) * 16])
    assert len(await storage.staged("acme", list(staged))) == 2
    clock.pass_by(2 * 86_400)
    await storage.create_store("acme", "docs")
    await storage.upkeep()
    assert await storage.staged("acme", list(staged)) == {}

    store = await storage.change("acme", (await storage.store("acme", "docs")).id, [put("a.md", "one", "two")], [])
    key = vector_key("e1", "Where it stands", "two")
    held = await storage.staged("acme", [key, vector_key("e2", "Where it stands", "two")])
    assert list(held) == [key]
    assert np.allclose(np.frombuffer(held[key], "<f4"), vector("two"), atol=1e-3)
    (document,) = await storage.documents("acme", store.id, Page())
    await storage.detach("acme", store.id, document.file_id)
    assert await storage.staged("acme", [key]) == {}
