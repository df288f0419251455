"""Documents that wait are ingested, refused with advice, or dropped where nobody wants them any more."""

from __future__ import annotations

import asyncio

import pytest

from contracts.retrieval import ChunkRules, Page, Store
from rag.ingesting.preparing import Workshop
from rag.ingesting.queue import Queue
from rag.ports import Storage
from tests.rag.ingesting.counting import CountingEncoder, words

AMPLE_S = 20.0
RULES = ChunkRules(size=100, overlap=0)


async def _attached(storage: Storage, content: bytes, filename: str = "a.md") -> tuple[Store, str]:
    store = await storage.create_store("acme", "handbook")
    file = await storage.add_file("acme", filename, content)
    await storage.attach("acme", store.id, [file.id], rules=RULES)
    return store, file.id


async def test_what_waits_is_read_encoded_and_found(storage: Storage, workshop: Workshop) -> None:
    store, file_id = await _attached(storage, f"# Rain\n\n{words(40, 'rain')}".encode())
    assert await Queue(storage, workshop).drain() == 1
    document = await storage.document("acme", store.id, file_id)
    assert (document.status, document.error) == ("completed", "")
    assert document.chunks > 3
    (holding,) = await storage.holdings("acme", store.id)
    assert holding.chunker == workshop.reading.chunker(RULES)
    view = await storage.view("acme", store.id)
    assert len(await view.by_words({"rain7": 1.0}, 5)) == 1
    assert await Queue(storage, workshop).drain() == 0


async def test_front_matter_dates_the_document(storage: Storage, workshop: Workshop) -> None:
    store, file_id = await _attached(storage, b"---\nupdated: 2020-02-03\n---\ntext")
    await Queue(storage, workshop).drain()
    assert (await storage.document("acme", store.id, file_id)).updated_at.year == 2020


@pytest.mark.parametrize(
    ("content", "filename", "code", "advice"),
    [
        (b"MZ", "a.exe", "unsupported_file", "These can: Markdown"),
        (b"%PDF-1.7 damaged", "a.pdf", "invalid_file", "save it anew"),
    ],
)
async def test_what_cannot_be_read_fails_with_advice(
    storage: Storage, workshop: Workshop, content: bytes, filename: str, code: str, advice: str
) -> None:
    store, file_id = await _attached(storage, content, filename)
    await Queue(storage, workshop).drain()
    document = await storage.document("acme", store.id, file_id)
    assert (document.status, document.error_code) == ("failed", code)
    assert advice in document.error


async def test_a_fault_of_weirs_own_fails_the_document_and_no_other(
    storage: Storage, workshop: Workshop, encoder: CountingEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(texts: object) -> None:
        if "poison" in str(texts):
            raise RuntimeError("of the network")

    encoder.before = fault
    store, bad = await _attached(storage, b"poison")
    good = (await storage.add_file("acme", "b.md", b"fine")).id
    await storage.attach("acme", store.id, [good])
    await Queue(storage, workshop).drain()
    assert (await storage.document("acme", store.id, bad)).error_code == "server_error"
    assert (await storage.document("acme", store.id, good)).status == "completed"
    assert "of the network" in caplog.text


async def test_a_document_that_is_detached_meanwhile_is_dropped(
    storage: Storage, workshop: Workshop, encoder: CountingEncoder
) -> None:
    store, file_id = await _attached(storage, b"text")
    loop = asyncio.get_running_loop()

    def detach(_: object) -> None:
        asyncio.run_coroutine_threadsafe(storage.detach("acme", store.id, file_id), loop).result()

    encoder.before = detach
    await Queue(storage, workshop).drain()
    assert list(await storage.documents("acme", store.id, Page())) == []
    assert (await storage.store("acme", store.id)).chunks == 0


async def test_a_claim_is_renewed_while_its_document_is_at_work(
    storage: Storage, workshop: Workshop, encoder: CountingEncoder
) -> None:
    """It takes several leases, and nobody else gets it."""
    store, file_id = await _attached(storage, b"text")
    loop = asyncio.get_running_loop()
    others: list[object] = []

    def wait_long(_: object) -> None:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(1.5), loop).result()
        others.append(asyncio.run_coroutine_threadsafe(storage.claim(1.0), loop).result())

    encoder.before = wait_long
    await Queue(storage, workshop, lease_s=1.0).drain()
    assert others == [None]
    assert (await storage.document("acme", store.id, file_id)).status == "completed"


async def test_who_begins_takes_up_what_was_claimed_in_its_name(storage: Storage, workshop: Workshop) -> None:
    store, file_id = await _attached(storage, b"text")
    other, _ = await _attached(storage, b"another")
    claims = [await storage.claim(3600, holder) for holder in ("ours", "theirs")]
    assert [work.store_id for work in claims if work] == [store.id, other.id]
    draining = asyncio.create_task(Queue(storage, workshop, holder="ours").keep_draining())
    async with asyncio.timeout(AMPLE_S):
        while (await storage.document("acme", store.id, file_id)).status != "completed":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    assert (await storage.store("acme", other.id)).counts.in_progress == 1


async def test_who_is_stopped_gives_the_claim_back(
    storage: Storage, workshop: Workshop, encoder: CountingEncoder
) -> None:
    store, file_id = await _attached(storage, b"text")
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell(_: object) -> None:
        loop.call_soon_threadsafe(began.set)

    encoder.before = tell
    draining = asyncio.create_task(Queue(storage, workshop).keep_draining())
    await began.wait()
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    encoder.before = lambda _: None
    if (await storage.document("acme", store.id, file_id)).status != "completed":  # it may have been that quick
        assert await Queue(storage, workshop).drain() == 1
