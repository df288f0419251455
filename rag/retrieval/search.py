"""The library: from a tenant's conversation to passages, as fresh as the storage.

The non-obvious decision: the encoder is an aid. Without it, or where a store was encoded by another, words alone
are compared, and the findings say so (`degraded`); a search that cannot be made at all is an error and never an
empty list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from contracts.errors import EncoderUnavailable, InvalidRequest
from contracts.ports import Encoder
from contracts.retrieval import Findings, Passage, Search, Turn
from rag.ports import Storage, View
from rag.retrieval.answerable import Judge
from rag.retrieval.packing import packed
from rag.retrieval.ranking import RERANKED, Ranking, Weighing, mean_direction, ranked
from rag.retrieval.rewriting import Wanted, rewritten, wanted
from rag.retrieval.tuned import tuned

if TYPE_CHECKING:
    from rag.ports import Vectors

_MOST_WORDINGS = 8


class StoredLibrary:
    """`contracts.retrieval.Library` over a storage. Without an encoder words alone are compared.

    Raises OSError or ValueError where the files that ship are missing or damaged."""

    def __init__(self, storage: Storage, encoder: Encoder | None) -> None:
        self._storage = storage
        self._encoder = encoder
        self._judge = Judge.load()
        tuned()  # a damaged file is told at the start, not by the first search

    async def search(self, tenant: str, search: Search) -> Findings:
        if not search.stores or not search.turns:
            raise InvalidRequest("A search needs a store and a question.")
        views = await self._views(tenant, search.stores)
        wants = [wanted(search.turns, history=search.rewriting == "history")]
        wants += [wanted((Turn("user", text),)) for text in search.more[:_MOST_WORDINGS]]
        vectors = await self._vectors(views, wants)
        ranking = await ranked(
            views,
            list(zip(wants, vectors, strict=True)),
            most=search.most,
            weighing=_weighing(search),
            filters=search.filters,
            encoder=self._encoder.version if self._encoder is not None else None,
        )
        answerable, passages = await asyncio.to_thread(self._judged, ranking, search)
        states = tuple(view.state for view in views)
        await self._storage.touch(tenant, [state.id for state in states])
        return Findings(
            passages=passages,
            stores=states,
            answerable=answerable,
            queries=tuple(dict.fromkeys(text for want in wants for text in want.texts)),
            rewritten=len(wants[0].texts) > 1,
            degraded="encoder" if self._half_blind(views, vectors) else "",
        )

    async def current(self, tenant: str, basis: Sequence[str]) -> bool:
        return await self._storage.current(tenant, basis)

    async def rewrite(self, tenant: str, turns: Sequence[Turn]) -> str | None:
        return rewritten(turns) if turns else None

    def _judged(self, ranking: Ranking, search: Search) -> tuple[float, tuple[Passage, ...]]:
        answerable, helps = self._judge.of(ranking)
        return answerable, _chosen(ranking, helps, search)

    async def _views(self, tenant: str, stores: Sequence[str]) -> list[View]:
        """One for each store, also where it is named twice."""
        views = [await self._storage.view(tenant, store) for store in dict.fromkeys(stores)]
        return list({view.state.id: view for view in views}.values())

    async def _vectors(self, views: Sequence[View], wants: Sequence[Wanted]) -> list[Vectors | None]:
        """One for each of `wants`; None for all where the encoder is none, or down, or nobody else's vectors are
        like its own."""
        encoder = self._encoder
        if encoder is None or not any(view.encoder == encoder.version for view in views):
            return [None] * len(wants)
        texts = [text for want in wants for text in want.texts]
        try:
            rows = iter(await asyncio.gather(*[encoder.encode(text) for text in texts]))
        except EncoderUnavailable:
            return [None] * len(wants)
        return [mean_direction([next(rows) for _ in want.texts]) for want in wants]

    def _half_blind(self, views: Sequence[View], vectors: Sequence[Vectors | None]) -> bool:
        """Whether there is something with vectors, and it was not compared by them."""
        made_by = {view.encoder for view in views} - {""}
        own = {self._encoder.version} if self._encoder is not None else set()
        return bool(made_by - own) or (bool(made_by) and any(vector is None for vector in vectors))


def _weighing(search: Search) -> Weighing:
    """Shares that were asked for, brought to a sum of one; where one is given, the other is the rest of it."""
    words, meaning = search.word_weight, search.meaning_weight
    if words is None and meaning is None:
        return Weighing(rerank=search.rerank)
    if words is None:
        words = max(0.0, 1 - (meaning or 0.0))
    if meaning is None:
        meaning = max(0.0, 1 - words)
    total = words + meaning
    if total <= 0:
        return Weighing(rerank=search.rerank)
    return Weighing(words=words / total, meaning=meaning / total, rerank=search.rerank)


def _chosen(ranking: Ranking, helps: Sequence[float], search: Search) -> tuple[Passage, ...]:
    """With their probabilities as scores: the best, or those that are worth their tokens."""
    passages = [
        replace(passage, score=score)
        for passage, score in zip(ranking.passages, helps, strict=True)
        if score >= search.score_threshold
    ]
    if search.token_budget is None:
        return tuple(passages[: search.most])
    return packed(passages[:RERANKED], search.token_budget, search.most)
