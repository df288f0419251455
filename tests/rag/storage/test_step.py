"""Steps: all of a change or nothing, one revision each, and a version that only the contents decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import NotFound, RequestTooLarge, StoreFull
from contracts.retrieval import Page
from rag.ports import Limits, Put, Storage, StoreChanged
from tests.rag.storage.opening import Opened
from tests.rag.storage.preparing import AT, prepared, put
from tests.rag.storage.test_documents import found


async def test_a_change_is_one_step(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    store = await storage.change("acme", store.id, [put("a.md", "one"), put("b.md", "one two")], [])
    assert (store.state.revision, store.chunks, store.counts.completed) == (1, 2, 2)
    listed = await storage.documents("acme", store.id, Page(newest_first=False))
    assert [(one.filename, one.revision, one.updated_at) for one in listed] == [("a.md", 1, AT), ("b.md", 1, AT)]
    first, second = [one.file_id for one in listed]
    store = await storage.change("acme", store.id, [put("b.md", "three", replaces=second)], [first])
    (document,) = await storage.documents("acme", store.id, Page())
    assert (store.state.revision, document.filename, document.revision) == (2, "b.md", 2)
    assert await found(storage, "one") == [] and await found(storage, "three") == [document.file_id]
    for gone in (first, second):
        with pytest.raises(NotFound):
            await storage.file("acme", gone)
    assert (await storage.change("acme", store.id, [], [])).state == store.state


async def test_a_file_that_was_uploaded_or_is_elsewhere_outlives_its_document(storage: Storage) -> None:
    store, other = [await storage.create_store("acme", name) for name in ("docs", "more")]
    await storage.change("acme", store.id, [put("a.md", "one")], [])
    (made,) = await storage.documents("acme", store.id, Page())
    await storage.attach("acme", other.id, [made.file_id])
    uploaded = await storage.add_file("acme", "b.md", b"b")
    await storage.attach("acme", store.id, [uploaded.id])
    await storage.change("acme", store.id, [], [made.file_id, uploaded.id])
    assert {one.id for one in await storage.files("acme", Page())} == {made.file_id, uploaded.id}
    await storage.change("acme", other.id, [], [made.file_id])
    assert [one.id for one in await storage.files("acme", Page())] == [uploaded.id]


async def test_a_step_that_fails_changes_nothing(opened: Opened) -> None:
    storage = await opened.storage(Limits(store_chunks=4, file_bytes=10, tenant_bytes=300))
    store = await storage.create_store("acme", "docs")
    store = await storage.change("acme", store.id, [put("a.md", "one"), put("b.md", "two")], [])
    before = await storage.documents("acme", store.id, Page())
    first = before[0].file_id
    for puts, gone, error in (
        ([put("c.md", "five"), put("d.md", *"wxyz")], [first], StoreFull),
        ([put("c.md", "x" * 300)], [first], StoreFull),
        ([put("c.md", "x"), put("c" * 11 + ".md", "x")], [first], RequestTooLarge),
        ([put("c.md", "x")], [first, "file-0"], NotFound),
        ([put("c.md", "x", replaces="file-0")], [first], NotFound),
    ):
        with pytest.raises(error):
            await storage.change("acme", store.id, puts, gone)
        assert await storage.store("acme", store.id) == store
        assert await storage.documents("acme", store.id, Page()) == before
        assert len(await storage.files("acme", Page())) == 2
    assert await found(storage, "one") and not await found(storage, "x")
    with pytest.raises(StoreChanged):
        await storage.change("acme", store.id, [], [first], at=0)
    assert (await storage.change("acme", store.id, [], [first], at=1)).state.revision == 2


TEXTS = ("one", "one two", "two three three", "")
Contents = tuple[str, str, tuple[tuple[str, int], ...]]


@dataclass
class Model:
    """A store as a dictionary: file id to name, text and attributes."""

    documents: dict[str, Contents] = field(default_factory=dict)
    versions: dict[tuple[Contents, ...], str] = field(default_factory=dict)

    def having(self, word: str) -> set[str]:
        return {file_id for file_id, (_, text, _) in self.documents.items() if word in text.split()}


actions = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "change", "replace", "detach", "delete", "attributes", "reattach"]),
        st.integers(0, 5),
        st.sampled_from(TEXTS),
        st.sampled_from([(), (("n", 1),), (("n", 2),)]),
    ),
    min_size=4,
    max_size=8,
)


@given(actions=actions)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_store_is_what_a_dictionary_would_be(opened: Opened, actions: list[Any]) -> None:
    storage = await opened.storage()
    store = await storage.create_store("acme")
    model = Model()
    revision = 0
    for action, at, text, attributes in actions:
        changed = await act(storage, store.id, model, action, at, text, dict(attributes))
        state = (await storage.store("acme", store.id)).state
        revision += changed
        assert state.revision == revision
        key = tuple(sorted(model.documents.values()))
        assert model.versions.setdefault(key, state.version) == state.version
        view = await storage.view("acme", store.id)
        assert view.state == state
        for word in ("one", "three"):
            ranked = await view.by_words({word: 1.0}, 50)
            passages = await view.passages([one.chunk for one in ranked])
            assert {one.file_id for one in passages.values()} == model.having(word)
    assert len(set(model.versions.values())) == len(model.versions)


async def act(
    storage: Storage, store_id: str, model: Model, action: str, at: int, text: str, attributes: Mapping[str, int]
) -> bool:
    """Whether it changed what a search finds."""
    there = list(model.documents)
    file_id = there[at % len(there)] if there else ""
    made = prepared(*[text] if text else [])
    contents = (f"{at}.md", text, tuple(attributes.items()))
    if action == "add" or not there:
        file = await storage.add_file("acme", f"{at}.md", text.encode())
        await storage.attach("acme", store_id, [file.id], attributes=attributes)
        model.documents[file.id] = contents
        return await ingest(storage, made)
    name, old_text, old_attributes = model.documents[file_id]
    if action in ("change", "replace"):
        gone = {"change": "", "replace": file_id}[action]
        put = Put(
            filename=f"{at}.md",
            content=text.encode(),
            updated_at=AT,
            prepared=made,
            attributes=attributes,
            replaces=gone,
        )
        await storage.change("acme", store_id, [put], [])
        model.documents.pop(gone, None)
        (newest,) = await storage.documents("acme", store_id, Page(limit=1))
        model.documents[newest.file_id] = contents
        return True
    if action in ("detach", "delete"):
        del model.documents[file_id]
        if action == "detach":
            await storage.detach("acme", store_id, file_id)
        else:
            await storage.delete_file("acme", file_id)
        return True
    if action == "attributes":
        await storage.set_attributes("acme", store_id, file_id, attributes)
        model.documents[file_id] = (name, old_text, tuple(attributes.items()))
        return True
    await storage.attach("acme", store_id, [file_id], attributes=dict(old_attributes))
    return await ingest(storage, prepared(*[old_text] if old_text else []))


async def ingest(storage: Storage, made: Any) -> bool:
    work = await storage.claim(30)
    assert work is not None
    return await storage.complete(work, made)
