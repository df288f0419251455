"""What another tenant has is not there: not by its id, not by its name, not in any list or search."""

from __future__ import annotations

import pytest

from contracts.errors import InvalidRequest, NotFound
from contracts.retrieval import Page
from rag.ports import Storage
from rag.storage.opening import open_storage
from rag.storage.sqlite import SqliteStorage
from tests.rag.storage.preparing import put
from tests.rag.storage.test_documents import found


async def test_the_same_names_are_different_things(storage: Storage) -> None:
    ids = {}
    for tenant, word in (("acme", "ours"), ("other", "theirs")):
        store = await storage.create_store(tenant, "docs")
        await storage.change(tenant, store.id, [put("a.md", word)], [])
        (document,) = await storage.documents(tenant, store.id, Page())
        ids[tenant] = (store.id, document.file_id)
    assert await found(storage, "theirs") == []
    assert await found(storage, "ours") == [ids["acme"][1]]
    store_id, file_id = ids["other"]
    mine = ids["acme"][0]
    for refused in (
        storage.file("acme", file_id),
        storage.content("acme", file_id),
        storage.delete_file("acme", file_id),
        storage.store("acme", store_id),
        storage.change_store("acme", store_id, {}),
        storage.delete_store("acme", store_id),
        storage.view("acme", store_id),
        storage.attach("acme", mine, [file_id]),
        storage.attach("acme", store_id, []),
        storage.document("acme", store_id, file_id),
        storage.document("acme", mine, file_id),
        storage.documents("acme", store_id, Page()),
        storage.holdings("acme", store_id),
        storage.set_attributes("acme", store_id, file_id, {}),
        storage.detach("acme", store_id, file_id),
        storage.text("acme", store_id, file_id),
        storage.batch("acme", store_id, "vsfb_1"),
        storage.change("acme", store_id, [], []),
        storage.change("acme", mine, [], [file_id]),
    ):
        with pytest.raises(NotFound):
            await refused
    assert len(await storage.files("acme", Page())) == len(await storage.stores("acme", Page())) == 1
    assert not await storage.current("acme", [f"{store_id}@1"])
    theirs = await storage.view("other", "docs")
    (ranked,) = await theirs.by_words({"theirs": 1.0}, 5)
    mine_view = await storage.view("acme", "docs")
    assert {one.text for one in (await mine_view.passages([ranked.chunk])).values()} <= {"ours"}


@pytest.mark.parametrize("tenant", ["", ".nothing", "..", "a/b", "../acme", "a\0"])
async def test_a_tenant_is_never_another_folder(tmp_path: object, tenant: str) -> None:
    storage = open_storage("", tmp_path / "rag")  # type: ignore[operator]
    assert isinstance(storage, SqliteStorage)
    await storage.prepare()
    for refused in (storage.create_store(tenant), storage.view(tenant, "docs"), storage.files(tenant, Page())):
        with pytest.raises(InvalidRequest):
            await refused
    await storage.close()


async def test_who_only_reads_gets_no_folder(storage: Storage) -> None:
    assert await storage.files("acme", Page()) == []
    assert await storage.stores("acme", Page()) == []
    with pytest.raises(NotFound):
        await storage.view("acme", "docs")
    assert not await storage.current("acme", ["vs_0@0"])
    if isinstance(storage, SqliteStorage):
        assert not (storage.folder / "acme").exists()
