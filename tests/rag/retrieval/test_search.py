"""A tenant's library: searched as fresh as its storage, with or without an encoder."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from msgspec.structs import replace

from contracts.errors import EncoderUnavailable, InvalidRequest, NotFound
from contracts.retrieval import Search, Turn
from rag.retrieval.search import StoredLibrary
from rag.storage.sqlite import SqliteStorage
from tests.rag.retrieval.documents import ENCODER, TOPICS, meaning, put

if TYPE_CHECKING:
    from contracts.ports import Vector


class TopicEncoder:
    """Tells what a text means by the topics in it, unless it is `down`."""

    def __init__(self, version: str = ENCODER, *, down: bool = False) -> None:
        self.version = version
        self.dimensions = len(TOPICS) + 1
        self.up = not down
        self.asked: list[str] = []

    async def encode(self, text: str) -> Vector:
        self.asked.append(text)
        if not self.up:
            raise EncoderUnavailable("The encoder is down.")
        return np.asarray(meaning(text), np.float32)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    opened = SqliteStorage(tmp_path)
    await opened.prepare()
    store = await opened.create_store("acme", "handbook")
    documents = [
        put("returns.md", "Boots may be returned within thirty days.", "A worn pair is not taken back."),
        put("fees.md", "Sending a parcel back costs four euros, and all fees are listed here."),
    ]
    await opened.change("acme", store.id, documents, [])
    yield opened
    await opened.close()


def asked(*texts: str, **how: object) -> Search:
    roles = ["user" if (len(texts) - place) % 2 else "assistant" for place in range(len(texts))]
    turns = tuple(Turn(role, text) for role, text in zip(roles, texts, strict=True))
    return Search(stores=("handbook",), turns=turns, **how)  # type: ignore[arg-type]


async def test_the_best_passage_comes_first_with_a_probability(storage: SqliteStorage) -> None:
    findings = await StoredLibrary(storage, TopicEncoder()).search("acme", asked("when may boots be returned"))

    assert findings.passages[0].text == "Boots may be returned within thirty days."
    assert all(0 <= passage.score <= 1 for passage in findings.passages)
    assert 0 <= findings.answerable <= 1
    assert findings.queries == ("when may boots be returned",)
    assert not findings.rewritten
    assert findings.degraded == ""
    assert await StoredLibrary(storage, None).current("acme", findings.basis)


class Threshold(float):
    """Notes the threads in which scores are compared with it."""

    threads: ClassVar[set[int]] = set()

    def __le__(self, score: float) -> bool:
        self.threads.add(threading.get_ident())
        return float.__le__(self, score)


async def test_passages_are_chosen_beside_the_loop(storage: SqliteStorage) -> None:
    """To pack some dozens of them takes milliseconds in which nobody else would be served."""
    search = asked("when may boots be returned", score_threshold=Threshold(0.0), token_budget=40)
    findings = await StoredLibrary(storage, TopicEncoder()).search("acme", search)
    assert findings.passages
    assert Threshold.threads and threading.get_ident() not in Threshold.threads


async def test_what_cannot_stand_alone_is_rewritten_unless_that_is_off(storage: SqliteStorage) -> None:
    library = StoredLibrary(storage, TopicEncoder())
    turns = ("How long may boots be returned?", "Thirty days.", "And worn ones?")

    findings = await library.search("acme", asked(*turns))
    off = await library.search("acme", asked(*turns, rewriting="off"))

    assert findings.rewritten
    assert findings.queries == ("And worn ones?", "How long may boots be returned? And worn ones?")
    assert await library.rewrite("acme", asked(*turns).turns) == findings.queries[1]
    assert not off.rewritten
    assert off.queries == ("And worn ones?",)


@pytest.mark.parametrize("encoder", [TopicEncoder(down=True), TopicEncoder("another"), None])
async def test_without_a_fitting_encoder_words_alone_are_compared(
    storage: SqliteStorage, encoder: TopicEncoder | None
) -> None:
    findings = await StoredLibrary(storage, encoder).search("acme", asked("the costs of a parcel"))

    assert [passage.filename for passage in findings.passages] == ["fees.md"]
    assert findings.passages[0].meaning is None
    assert findings.degraded == "encoder"


async def test_an_empty_store_is_not_degraded_without_an_encoder(storage: SqliteStorage) -> None:
    await storage.create_store("acme", "empty")
    search = Search(stores=("empty",), turns=(Turn("user", "anything at all there"),))

    findings = await StoredLibrary(storage, None).search("acme", search)

    assert findings.passages == ()
    assert findings.degraded == ""
    assert findings.basis == tuple(f"{state.id}@{state.revision}" for state in findings.stores)


async def test_a_search_sees_what_was_changed_before_it(storage: SqliteStorage) -> None:
    library = StoredLibrary(storage, TopicEncoder())
    before = await library.search("acme", asked("when may boots be returned"))
    gone = before.passages[0].file_id

    await storage.detach("acme", before.stores[0].id, gone)
    after = await library.search("acme", asked("when may boots be returned"))

    assert gone not in {passage.file_id for passage in after.passages}
    assert not await library.current("acme", before.basis)
    assert await library.current("acme", after.basis)


async def test_bounds_are_kept(storage: SqliteStorage) -> None:
    library = StoredLibrary(storage, TopicEncoder())

    assert len((await library.search("acme", asked("boots or fees", most=1))).passages) == 1
    assert (await library.search("acme", asked("boots or fees", score_threshold=1.01))).passages == ()
    assert (await library.search("acme", asked("boots or fees", token_budget=1))).passages == ()
    packed = await library.search("acme", asked("when may boots be returned", token_budget=1000))
    assert packed.passages[0].filename == "returns.md"


async def test_other_wordings_are_searched_too(storage: SqliteStorage) -> None:
    encoder = TopicEncoder()

    findings = await StoredLibrary(storage, encoder).search(
        "acme", asked("what must be known first of sandals", more=("the costs of a parcel",))
    )

    assert "fees.md" in {passage.filename for passage in findings.passages if passage.words}
    assert encoder.asked == list(findings.queries)


async def test_a_store_of_somebody_else_is_not_there(storage: SqliteStorage) -> None:
    library = StoredLibrary(storage, TopicEncoder())

    with pytest.raises(NotFound):
        await library.search("globex", asked("when may boots be returned"))


async def test_a_search_has_a_store_and_a_question(storage: SqliteStorage) -> None:
    library = StoredLibrary(storage, TopicEncoder())

    for search in (Search(stores=(), turns=(Turn("user", "boots"),)), Search(stores=("handbook",), turns=())):
        with pytest.raises(InvalidRequest):
            await library.search("acme", search)


async def test_shares_that_were_asked_for_decide(storage: SqliteStorage) -> None:
    library = StoredLibrary(storage, TopicEncoder())

    by_meaning = await library.search("acme", asked("boots parcel back costs", word_weight=0.0))
    by_words = await library.search("acme", asked("boots parcel back costs", meaning_weight=0.0))

    assert by_meaning.passages[0].filename == "returns.md"
    assert by_words.passages[0].filename == "fees.md"


async def test_a_store_that_another_encoder_made_is_searched_by_words_beside_one_that_ours_did(
    storage: SqliteStorage,
) -> None:
    other = await storage.create_store("acme", "old")
    old = put("old.md", "Boots may be returned within thirty days.", "A vehicle is none.")
    vectors = np.eye(3, dtype=np.float32)[: len(old.prepared.chunks)]
    made = replace(old.prepared, encoder="another", vectors=vectors)
    await storage.change("acme", other.id, [replace(old, prepared=made)], [])
    library = StoredLibrary(storage, TopicEncoder())
    search = replace(asked("when may boots be returned"), stores=("handbook", "old"))
    findings = await library.search("acme", search)
    meanings = {passage.filename: passage.meaning for passage in findings.passages}
    assert meanings["old.md"] is None and meanings["returns.md"] is not None
    assert findings.degraded == "encoder"
