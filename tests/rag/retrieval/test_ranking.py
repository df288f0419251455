"""From a question to ranked passages, in the embedded storage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from contracts.retrieval import Turn
from rag.ports import Put, View
from rag.retrieval.ranking import RERANKED, Ranking, Weighing, mean_direction, ranked
from rag.retrieval.rewriting import wanted
from rag.storage.sqlite import SqliteStorage
from tests.rag.retrieval.documents import meaning, put

HANDBOOK = (
    put("returns.md", "Boots may be returned within thirty days.", "A worn pair is not taken back."),
    put("fees.md", "Sending a parcel back costs four euros, and all fees are listed here."),
    put("shops.md", "Our shops are in Leipzig and Kiel."),
)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    opened = SqliteStorage(tmp_path)
    await opened.prepare()
    yield opened
    await opened.close()


async def stored(storage: SqliteStorage, name: str, documents: Sequence[Put]) -> View:
    store = await storage.create_store("acme", name)
    await storage.change("acme", store.id, list(documents), [])
    return await storage.view("acme", name)


async def found(
    views: Sequence[View], *turns: str, weighing: Weighing | None = None, blind: bool = False, most: int = RERANKED
) -> Ranking:
    roles = ["user" if (len(turns) - place) % 2 else "assistant" for place in range(len(turns))]
    want = wanted([Turn(role, text) for role, text in zip(roles, turns, strict=True)])
    vector = None if blind else mean_direction([meaning(text) for text in want.texts])
    return await ranked(views, [(want, vector)], weighing=weighing, most=most)


def files(ranking: Ranking) -> list[str]:
    return list(dict.fromkeys(passage.filename for passage in ranking.passages))


async def test_passages_tell_what_they_were_found_by(storage: SqliteStorage) -> None:
    ranking = await found([await stored(storage, "handbook", HANDBOOK)], "when may boots be returned")
    best = ranking.passages[0]

    assert best.text == "Boots may be returned within thirty days."
    assert best.words is not None and best.words > 0
    assert best.meaning == pytest.approx(1, abs=0.01)
    assert ranking.places[0] == (1, 1)
    assert ranking.asked == {"boot": 1.0, "return": 1.0}
    assert ranking.counts.having["boot"] == 1
    assert ranking.counts.chunks == 4


async def test_what_was_not_found_by_words_has_none(storage: SqliteStorage) -> None:
    ranking = await found([await stored(storage, "handbook", HANDBOOK)], "fees for a refund of what was bought")
    other = next(passage for passage in ranking.passages if passage.filename == "shops.md")

    assert other.words is None
    assert other.meaning is not None
    assert dict(zip(files(ranking), ranking.places, strict=False))["fees.md"][0] == 1


async def test_without_a_vector_words_alone_rank(storage: SqliteStorage) -> None:
    ranking = await found([await stored(storage, "handbook", HANDBOOK)], "the Leipzig shops", blind=True)

    assert files(ranking) == ["shops.md"]
    assert ranking.passages[0].meaning is None


async def test_a_question_of_stop_words_is_searched_by_meaning(storage: SqliteStorage) -> None:
    ranking = await found([await stored(storage, "handbook", HANDBOOK)], "what is it?")

    assert len(ranking.passages) == 4
    assert all(passage.words is None for passage in ranking.passages)


async def test_a_turn_that_points_back_finds_what_was_talked_about(storage: SqliteStorage) -> None:
    view = await stored(storage, "handbook", HANDBOOK)
    alone = await found([view], "And how much is it?", blind=True)
    after = await found(
        [view], "What are the fees of a parcel?", "They are listed.", "And how much is it?", blind=True
    )

    assert files(alone) == []
    assert files(after) == ["fees.md"]
    assert after.spoken
    assert not after.asked or set(after.asked) == {"much"}


@pytest.mark.parametrize(("words", "meaning", "first"), [(1.0, 0.0, "words.md"), (0.0, 1.0, "meaning.md")])
@pytest.mark.parametrize("rerank", [True, False])
async def test_shares_decide_which_ranking_counts(
    storage: SqliteStorage, words: float, meaning: float, first: str, *, rerank: bool
) -> None:
    documents = [
        put("words.md", "parcel carriers and their vans"),
        put("meaning.md", "boots"),
        put("neither.md", "nothing"),
    ]
    view = await stored(storage, "handbook", documents)
    want = wanted([Turn("user", "parcel carriers and vans")])
    weighing = Weighing(words=words, meaning=meaning, rerank=rerank)

    ranking = await ranked([view], [(want, np.eye(5, dtype=np.float32)[0])], weighing=weighing)

    assert files(ranking)[0] == first


async def test_other_wordings_find_too(storage: SqliteStorage) -> None:
    view = await stored(storage, "handbook", HANDBOOK)
    wordings = [(wanted([Turn("user", text)]), None) for text in ("Leipzig shops there", "parcel costs euros")]

    ranking = await ranked([view], wordings)

    assert set(files(ranking)) == {"shops.md", "fees.md"}
    assert ranking.question == "Leipzig shops there"


async def test_two_stores_are_ranked_as_one(storage: SqliteStorage) -> None:
    handbook = await stored(storage, "handbook", HANDBOOK)
    notes = await stored(storage, "notes", [put("notes.md", "Staff may park in Kiel.")])

    ranking = await found([notes, handbook], "when may boots be returned")

    assert ranking.passages[0].filename == "returns.md"
    assert {passage.store_id for passage in ranking.passages} == {handbook.state.id, notes.state.id}
    assert ranking.counts.chunks == 5
    assert [place[1] for place in ranking.places].count(1) == 1


async def test_no_more_than_the_most_promising_are_read(storage: SqliteStorage) -> None:
    many = [put(f"{number}.md", f"boots number{number}") for number in range(RERANKED + 20)]
    view = await stored(storage, "many", many)

    assert len((await found([view], "boots of number7 and number8")).passages) == RERANKED
    assert len((await found([view], "boots of number7 and number8", most=RERANKED + 10)).passages) == RERANKED + 10


async def test_an_empty_store_has_nothing(storage: SqliteStorage) -> None:
    ranking = await found([await stored(storage, "empty", [])], "when may boots be returned")

    assert ranking.passages == ()
    assert ranking.fits == ()


def test_between_two_directions_is_one_of_length_one() -> None:
    one, other = np.eye(2, dtype=np.float32)

    assert mean_direction([one, other]) == pytest.approx([0.5**0.5, 0.5**0.5])
    assert mean_direction([one, -one]) == pytest.approx([0, 0])
