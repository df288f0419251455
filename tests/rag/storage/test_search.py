"""What a view finds: BM25 as the formula says, the nearest vectors, filters, and always what is there now."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from contracts.errors import InvalidRequest, NotFound
from contracts.retrieval import Page
from rag.filters import matches
from rag.ports import Put, Ranked, Storage
from tests.rag.storage.opening import Opened
from tests.rag.storage.preparing import AT, prepared, put, vector
from tests.rag.storage.test_documents import found

WORDS = [f"w{n}" for n in range(30)]


def bm25(chunks: Sequence[Sequence[str]], words: Mapping[str, float]) -> dict[int, float]:
    """By place of the chunk, of those that have one of the words."""
    mean = sum(map(len, chunks)) / len(chunks)
    scores: dict[int, float] = {}
    for word, weight in words.items():
        having = sum(word in chunk for chunk in chunks)
        for at, chunk in enumerate(chunks):
            if count := chunk.count(word):
                idf = math.log(1 + (len(chunks) - having + 0.5) / (having + 0.5))
                share = count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(chunk) / mean))
                scores[at] = scores.get(at, 0.0) + weight * idf * share
    return scores


def made(texts: Sequence[str], at: int) -> Put:
    attributes = {"n": at, "kind": "even" if at % 2 == 0 else "odd"}
    return put(f"{at}.md", *texts, **attributes)


async def texts_of(storage: Storage, ranked: Sequence[Ranked]) -> list[str]:
    passages = await (await storage.view("acme", "docs")).passages([one.chunk for one in ranked])
    return [passages[one.chunk].text for one in ranked]


async def filled(storage: Storage) -> list[list[str]]:
    """Texts of the chunks of each document in the store `docs`, all of them different."""
    draw = random.Random(7)
    store = await storage.create_store("acme", "docs")
    texts = [[" ".join(draw.choices(WORDS, k=draw.randint(2, 12))) for _ in range(3)] for _ in range(20)]
    for begin in range(0, 20, 5):
        puts = [made(texts[at], at) for at in range(begin, begin + 5)]
        await storage.change("acme", store.id, puts, [])
    listed = await storage.documents("acme", store.id, Page(limit=100, newest_first=False))
    await storage.change("acme", store.id, [made(["w1 w1 w2"], 20)], [one.file_id for one in listed[:4]])
    return [*texts[4:], ["w1 w1 w2"]]


async def test_words_are_ranked_as_the_formula_says(storage: Storage) -> None:
    texts = await filled(storage)
    chunks = [text for document in texts for text in document]
    view = await storage.view("acme", "docs")
    split = [chunk.split() for chunk in chunks]
    for words in ({"w1": 1.0, "w2": 1.0}, {"w3": 2.0, "w4": 0.5, "w29": 1.0, "none": 1.0}, {"none": 1.0}):
        ranked = await view.by_words(words, 100)
        expected = bm25(split, words)
        assert [one.score for one in ranked] == pytest.approx(sorted(expected.values(), reverse=True), abs=1e-6)
        scores = {chunks[at]: score for at, score in expected.items()}
        assert [scores[text] for text in await texts_of(storage, ranked)] == pytest.approx(
            [one.score for one in ranked]
        )
        assert await view.by_words(words, 3) == list(ranked)[:3]
    counts = await view.counts(["w1", "none"])
    assert (counts.chunks, counts.having["none"]) == (len(chunks), 0)
    assert counts.having["w1"] == sum("w1" in chunk for chunk in split)
    assert counts.mean_length == pytest.approx(sum(map(len, split)) / len(split))


async def test_meaning_is_ranked_by_cosine(storage: Storage) -> None:
    texts = [text for document in await filled(storage) for text in document]
    view = await storage.view("acme", "docs")
    assert view.encoder == "e1"
    query = vector("?")
    ranked = await view.by_meaning(query, 5)
    cosines = sorted(((float(vector(text) @ query), text) for text in texts), reverse=True)
    assert [one.score for one in ranked] == pytest.approx([cosine for cosine, _ in cosines[:5]], abs=2e-3)
    assert len(await view.by_meaning(query, 1000)) == len(texts)
    (best,) = await view.by_meaning(vector(texts[7]), 1)
    assert await texts_of(storage, [best]) == [texts[7]]


FILTERS: list[dict[str, Any]] = [
    {"type": "eq", "key": "n", "value": 7},
    {"type": "ne", "key": "kind", "value": "even"},
    {
        "type": "and",
        "filters": [{"type": "gte", "key": "n", "value": 8}, {"type": "lt", "key": "n", "value": 12.5}],
    },
    {
        "type": "or",
        "filters": [{"type": "in", "key": "n", "value": [5, 6]}, {"type": "eq", "key": "kind", "value": "odd"}],
    },
    {"type": "nin", "key": "missing", "value": ["x"]},
    {"type": "gt", "key": "kind", "value": "even"},
    {"type": "gt", "key": "kind", "value": 3},
    {"type": "eq", "key": "missing", "value": "x"},
    {"type": "eq", "key": "n", "value": "7"},
]


async def test_filters_leave_the_documents_they_match_and_no_score_changes(storage: Storage) -> None:
    await filled(storage)
    view = await storage.view("acme", "docs")
    words = {"w1": 1.0, "w2": 1.0, "w3": 1.0}
    by_words, by_meaning = await view.by_words(words, 100), await view.by_meaning(vector("?"), 100)
    passages = await view.passages([one.chunk for one in by_meaning])
    for filters in FILTERS:
        kept = {chunk for chunk, one in passages.items() if matches(filters, one.attributes)}
        found_there = {one.chunk: one.score for one in await view.by_words(words, 100, filters)}
        assert found_there == pytest.approx({one.chunk: one.score for one in by_words if one.chunk in kept})
        found_near = await view.by_meaning(vector("?"), 100, filters)
        assert [one.chunk for one in found_near] == [one.chunk for one in by_meaning if one.chunk in kept]
    with pytest.raises(InvalidRequest):
        await view.by_words(words, 10, {"type": "like", "key": "n", "value": 1})


async def test_passages_say_where_they_stand(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    await storage.change("acme", store.id, [put("a.md", "one", "twö drei", "three", n=1)], [])
    view = await storage.view("acme", "docs")
    everything = await view.by_meaning(vector("?"), 10)
    passages = await view.passages([*sorted(one.chunk for one in everything), 1 << 40])
    (document,) = await storage.documents("acme", store.id, Page())
    text = await storage.text("acme", store.id, document.file_id)
    assert [one.text for one in passages.values()] == ["one", "twö drei", "three"]
    numbers = sorted(passages)
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    for one in passages.values():
        assert text[one.start : one.end] == one.text
        assert (one.store_id, one.file_id, one.filename) == (store.id, document.file_id, "a.md")
        assert (one.revision, one.updated_at, one.context, one.attributes) == (1, AT, "Where it stands", {"n": 1})
    assert [one.tokens for one in passages.values()] == [1, 2, 1] and {
        one.document_tokens for one in passages.values()
    } == {4}


async def test_what_another_process_changed_is_seen_at_once(opened: Opened) -> None:
    storage, other = await opened.storage(), await opened.storage()
    store = await storage.create_store("acme", "docs")
    for at in range(6):
        await other.change("acme", store.id, [put(f"{at}.md", "one", f"w{at}")], [])
        assert len(await found(storage, "one")) == at + 1
    old = await storage.view("acme", "docs")
    ranked = await old.by_words({"one": 1.0}, 10)
    documents = await other.documents("acme", store.id, Page())
    for at, document in enumerate(documents):
        await other.detach("acme", store.id, document.file_id)
        assert len(await found(storage, "one")) == 5 - at
    assert await old.passages([one.chunk for one in ranked]) == {}
    assert (await storage.view("acme", "docs")).encoder == ""
    await other.delete_store("acme", store.id)
    with pytest.raises(NotFound):
        await storage.view("acme", "docs")


async def test_searches_beside_changes_see_whole_steps(opened: Opened) -> None:
    storage, other = await opened.storage(), await opened.storage()
    store = await storage.create_store("acme", "docs")
    await storage.change("acme", store.id, [put("a.md", "one"), put("b.md", "one")], [])

    async def change() -> None:
        for _ in range(6):
            gone = [one.file_id for one in await other.documents("acme", store.id, Page())]
            await other.change("acme", store.id, [put("a.md", "one"), put("b.md", "one")], gone)

    changing = asyncio.create_task(change())
    while not changing.done():
        view = await storage.view("acme", "docs")
        assert len(await view.by_words({"one": 1.0}, 10)) == 2
        await asyncio.sleep(0)
    await changing


async def test_vectors_of_another_encoder_are_not_compared(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    await storage.change("acme", store.id, [put("a.md", "one")], [])
    changed = prepared("one", encoder="e2", dimensions=6)
    await storage.change("acme", store.id, [Put(filename="b.md", content=b"", updated_at=AT, prepared=changed)], [])
    view = await storage.view("acme", "docs")
    assert view.encoder == "e2"
    assert len(await view.by_words({"one": 1.0}, 10)) == 2
    assert len(await view.by_meaning(np.asarray(vector("?", 6)), 10)) == 1


async def test_an_answer_is_current_until_what_it_was_built_on_changes(storage: Storage) -> None:
    store = await storage.create_store("acme", "docs")
    await storage.change("acme", store.id, [put("a.md", "one"), put("b.md", "two")], [])
    view = await storage.view("acme", "docs")
    bases = {}
    for word in ("one", "two"):
        (ranked,) = await view.by_words({word: 1.0}, 1)
        passage = (await view.passages([ranked.chunk]))[ranked.chunk]
        bases[word] = passage.basis
        gone = passage.file_id
    nothing = f"{store.id}@{view.state.revision}"
    for basis in ([], [nothing], [bases["one"], bases["two"]], [*bases.values(), nothing]):
        assert await storage.current("acme", basis)
        assert await storage.current("other", basis) == (basis == [])
    for basis in ([f"{store.id}@7"], ["vs_0@1"], [f"{store.id}/file-0@1"], [bases["one"] + "0"], ["?"]):
        assert not await storage.current("acme", basis)
    await storage.change("acme", store.id, [put("b.md", "two", replaces=gone)], [])
    assert await storage.current("acme", [bases["one"]])
    for basis in ([bases["two"]], [bases["one"], bases["two"]], [nothing]):
        assert not await storage.current("acme", basis)
    await storage.delete_store("acme", store.id)
    assert not await storage.current("acme", [bases["one"]])
