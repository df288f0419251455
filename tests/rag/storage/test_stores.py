"""Stores: made, found by id or name, changed, expired, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from contracts.errors import InvalidRequest, NotFound, StoreFull
from contracts.retrieval import Counts, Page
from rag.ports import Limits, Storage
from tests.rag.storage.opening import Clock, Opened
from tests.rag.storage.preparing import put


async def test_a_store_is_found_by_its_id_and_its_name(storage: Storage) -> None:
    first = await storage.create_store("acme", "docs", metadata={"a": "b"}, expires_after_days=3)
    second = await storage.create_store("acme", "docs")
    assert await storage.store("acme", first.id) == await storage.store("acme", "docs") == first
    assert await storage.store("acme", second.id) == second
    assert (first.metadata, first.expires_after_days, first.counts) == ({"a": "b"}, 3, Counts())
    assert first.expires_at == first.last_active_at + timedelta(days=3)
    assert (first.state.revision, first.state.id) == (0, first.id)
    assert first.state.version == second.state.version
    assert first.id.startswith("vs_") and len(first.id) == 27
    await storage.delete_store("acme", first.id)
    assert await storage.store("acme", "docs") == second
    assert [store.id for store in await storage.stores("acme", Page())] == [second.id]


async def test_a_store_without_a_name_is_not_found_by_none(storage: Storage) -> None:
    await storage.create_store("acme")
    with pytest.raises(NotFound):
        await storage.store("acme", "")


async def test_what_is_changed_changes_and_the_rest_stays(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs", metadata={"a": "b"}, expires_after_days=3)
    changed = await storage.change_store("acme", store.id, {"name": "more"})
    assert (changed.name, changed.metadata, changed.expires_after_days) == ("more", {"a": "b"}, 3)
    changed = await storage.change_store("acme", store.id, {"metadata": {}, "expires_after_days": None})
    assert (changed.name, changed.metadata, changed.expires_after_days) == ("more", {}, None)
    assert changed.expires_at is None
    assert await storage.store("acme", "more") == changed
    with pytest.raises(InvalidRequest):
        await storage.change_store("acme", store.id, {"id": "x"})


OUT_OF_BOUNDS: Sequence[Mapping[str, Any]] = (
    {"name": "x" * 257},
    {"name": "a\nb"},
    {"metadata": {str(n): "" for n in range(17)}},
    {"metadata": {"k": "x" * 513}},
    {"metadata": {"k" * 65: "x"}},
    {"metadata": {"k": 1}},
    {"expires_after_days": 0},
    {"expires_after_days": 4000},
)


async def test_values_out_of_bounds_are_refused(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    for changes in OUT_OF_BOUNDS:
        with pytest.raises(InvalidRequest):
            await storage.change_store("acme", store.id, changes)
        with pytest.raises(InvalidRequest):
            await storage.create_store("acme", **changes)
    assert await storage.stores("acme", Page()) == [store]


async def test_a_store_expires_so_many_days_after_it_was_searched_last(storage: Storage, clock: Clock) -> None:
    store = await storage.create_store("acme", "docs", expires_after_days=1)
    await storage.change("acme", store.id, [put("a.md", "one two")], [])
    clock.pass_by(0.9 * 86_400)
    await storage.touch("acme", [store.id])
    async with asyncio.timeout(10):
        while (await storage.store("acme", store.id)).last_active_at == store.last_active_at:  # noqa: ASYNC110
            await asyncio.sleep(0)
    clock.pass_by(0.9 * 86_400)
    assert (await storage.view("acme", "docs")).state.revision == 1
    clock.pass_by(0.2 * 86_400)
    for asking in (storage.store, storage.view, storage.delete_store):
        with pytest.raises(NotFound):
            await asking("acme", store.id)
    assert await storage.stores("acme", Page()) == []
    assert not await storage.current("acme", [f"{store.id}@1"])
    await storage.upkeep()
    clock.pass_by(-86_400)
    with pytest.raises(NotFound):
        await storage.store("acme", store.id)


async def test_deleting_a_store_leaves_files_that_were_uploaded(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    file = await storage.add_file("acme", "a.md", b"a")
    await storage.attach("acme", store.id, [file.id])
    await storage.delete_store("acme", store.id)
    assert await storage.file("acme", file.id) == file
    assert await storage.claim(30) is None
    for asking in (storage.store, storage.view, storage.delete_store):
        with pytest.raises(NotFound, match=store.id):
            await asking("acme", store.id)


async def test_there_is_a_bound_on_stores(opened: Opened) -> None:
    storage = await opened.storage(Limits(stores=2))
    for _ in range(2):
        await storage.create_store("acme")
    with pytest.raises(StoreFull, match="max_stores"):
        await storage.create_store("acme")
    await storage.create_store("other")
    assert len(await storage.stores("acme", Page())) == 2
