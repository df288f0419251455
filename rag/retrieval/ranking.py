"""From what is wanted to a ranked list of passages: two searches, their fusion, and the reranking of the best.

The non-obvious decision: several stores are searched as if they were one. Their lists are put together by score
before they are fused, so that a store with nothing to say does not get a first place of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from contracts.retrieval import Passage
from rag.ports import Ranked, View, WordCounts
from rag.retrieval import fusion, reranking
from rag.retrieval.rewriting import Wanted, weights
from rag.retrieval.tuned import Fit, tuned

if TYPE_CHECKING:
    from rag.ports import Vectors

DEPTH = 100
"""Candidates from each ranking."""
RERANKED = 50
"""Of these, as many are read and compared with the question."""

Place = tuple[int, int]
"""The number of a view, and of a chunk in it."""


class Weighing(Struct, frozen=True, kw_only=True):
    """How the two rankings are put together: their shares, and whether the best are reranked."""

    words: float = field(default_factory=lambda: tuned().shares.words)
    meaning: float = field(default_factory=lambda: tuned().shares.meaning)
    rerank: bool = True


class Ranking(Struct, frozen=True, kw_only=True):
    """Passages, the best first, and what they were found for.

    `asked` are all words of the question, each with weight one, `spoken` what there is of those of turns before,
    with less; `counts` says of all stores how rare they are. `fits` has one for each passage,
    `places` its rank by words and by meaning, from 1, and 0 where it was not among the `DEPTH` best. A passage's
    `score` is not calibrated yet.
    """

    question: str
    asked: Mapping[str, float]
    spoken: Mapping[str, float]
    counts: WordCounts
    passages: tuple[Passage, ...]
    fits: tuple[Fit, ...]
    places: tuple[tuple[int, int], ...]


class _Lists(Struct, frozen=True):
    """What was found for one wording, over all views, the best first."""

    words: dict[Place, float]
    meaning: dict[Place, float]


async def ranked(
    views: Sequence[View],
    wordings: Sequence[tuple[Wanted, Vectors | None]],
    *,
    most: int = RERANKED,
    weighing: Weighing | None = None,
    filters: Mapping[str, Any] | None = None,
    encoder: str | None = None,
) -> Ranking:
    """`wordings` are the question and other ways to put it, each with its vector (dimensions,), None where there is
    none. `encoder` is the version that made those: views with vectors of another are searched by words alone; None:
    it is that of all views. Raises what views raise."""
    weighing = weighing or Weighing()
    known = tuple(dict.fromkeys(word for want, _ in wordings for word in want.words))
    counts = _together([await view.counts(known) for view in views])
    lists = [await _lists(views, want, vector, counts, filters, encoder) for want, vector in wordings]
    order = fusion.fused(
        pair
        for each in lists
        for pair in ((weighing.words, tuple(each.words)), (weighing.meaning, tuple(each.meaning)))
    )
    chosen = list(order)[: max(RERANKED, most)]
    passages = await _passages(views, chosen, lists)
    question = wordings[0][0]
    _, spoken = weights(question, counts)
    farthest = min((min(each.meaning.values()) for each in lists if each.meaning), default=0.0)
    fits = await asyncio.to_thread(
        reranking.fits, question.question, tuple(passages.values()), spoken, counts, farthest=farthest
    )
    places = list(zip(passages, fits, strict=True))
    if weighing.rerank:
        by = reranking.weights_of(weighing.words, weighing.meaning)
        places.sort(key=lambda pair: -reranking.score(pair[1], by))
    return Ranking(
        question=question.question,
        asked=dict.fromkeys(question.asked, 1.0),
        spoken=spoken,
        counts=counts,
        passages=tuple(replace(passages[place], score=reranking.score(fit)) for place, fit in places),
        fits=tuple(fit for _, fit in places),
        places=_ranks([place for place, _ in places], lists[0]),
    )


def mean_direction(rows: Sequence[Vectors]) -> Vectors:
    """Of vectors (dimensions,): what lies between them, of length one."""
    total: Vectors = np.sum(rows, axis=0, dtype=np.float32)
    length = np.float32(np.linalg.norm(total))
    return total / length if length else total


async def _lists(
    views: Sequence[View],
    want: Wanted,
    vector: Vectors | None,
    counts: WordCounts,
    filters: Mapping[str, Any] | None,
    encoder: str | None,
) -> _Lists:
    asked, spoken = weights(want, counts)

    async def by_words(view: View) -> Sequence[Ranked]:
        return await view.by_words({**spoken, **asked}, DEPTH, filters) if asked or spoken else ()

    async def by_meaning(view: View) -> Sequence[Ranked]:
        if vector is None or encoder not in (None, view.encoder):
            return ()
        return await view.by_meaning(vector, DEPTH, filters)

    words: dict[Place, float] = {}
    meaning: dict[Place, float] = {}
    for number, view in enumerate(views):
        found = await asyncio.gather(by_words(view), by_meaning(view))
        words |= _at(number, found[0])
        meaning |= _at(number, found[1])
    return _Lists(_best(words), _best(meaning))


def _at(number: int, found: Sequence[Ranked]) -> dict[Place, float]:
    return {(number, each.chunk): each.score for each in found}


def _best(found: Mapping[Place, float]) -> dict[Place, float]:
    return dict(sorted(found.items(), key=lambda pair: -pair[1])[:DEPTH])


def _together(counts: Sequence[WordCounts]) -> WordCounts:
    """Of all stores as if they were one."""
    chunks = sum(each.chunks for each in counts)
    having: dict[str, int] = {}
    for each in counts:
        for word, number in each.having.items():
            having[word] = having.get(word, 0) + number
    length = sum(each.chunks * each.mean_length for each in counts) / max(1, chunks)
    return WordCounts(chunks, length, having)


async def _passages(
    views: Sequence[View], chosen: Sequence[Place], lists: Sequence[_Lists]
) -> dict[Place, Passage]:
    """In the order of `chosen`, with what each was found by: the best of all wordings."""
    read: dict[Place, Passage] = {}
    for number, view in enumerate(views):
        chunks = [chunk for at, chunk in chosen if at == number]
        if chunks:
            found = await view.passages(chunks)
            read |= {(number, chunk): passage for chunk, passage in found.items()}

    def most(scores: list[float]) -> float | None:
        return max(scores, default=None)

    return {
        place: replace(
            read[place],
            words=most([each.words[place] for each in lists if place in each.words]),
            meaning=most([each.meaning[place] for each in lists if place in each.meaning]),
        )
        for place in chosen
        if place in read
    }


def _ranks(places: Sequence[Place], lists: _Lists) -> tuple[tuple[int, int], ...]:
    by_words = {place: rank for rank, place in enumerate(lists.words, start=1)}
    by_meaning = {place: rank for rank, place in enumerate(lists.meaning, start=1)}
    return tuple((by_words.get(place, 0), by_meaning.get(place, 0)) for place in places)
