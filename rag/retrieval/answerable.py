"""Whether what was found holds what was asked for: a probability, so that a floor under it means something.

Two logistic models (Cox, 1958), of few things that hold for any corpus: one of a search, one of each passage. The
non-obvious decision: three or four things and no more. Of forty that were tried, how the best passage stands out
from the others, sentences, rare words and kinds of question among them, none added to these by cross-validation;
see benchmarks/RETRIEVAL.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rag.ports import indexed
from rag.rarity import K1, idf
from rag.retrieval.ranking import Ranking
from rag.retrieval.reranking import score
from rag.retrieval.shipped import shipped
from rag.retrieval.words import words_of

Rows = NDArray[np.float64]

_FILE = "rag-answerable.json"
_MOST_BM25 = K1 + 1
"""What a word's idf is multiplied by at most."""

SEARCH = ("meaning", "covered", "spoken", "share")
"""Of a search. Of the first passage: its cosine, the share of the question's words that is in it, by rarity, and
the share of what was said before. Of all: BM25's best as a share of what all words could reach, which counts where
there are no cosines."""
PASSAGE = ("meaning", "covered", "spoken", "behind", "first")
"""Of a passage: the same three, how far it fits worse than the first, and 1 over its rank."""


class Odds(Struct, frozen=True, forbid_unknown_fields=True):
    """Log odds: `constant`, and `weights` by name for each unit of a feature."""

    constant: float
    weights: dict[str, float]

    def of(self, rows: Rows, names: Sequence[str]) -> Rows:
        """Probabilities (rows,) of `rows` (rows, names)."""
        odds = self.constant + rows @ np.array([self.weights.get(name, 0.0) for name in names])
        sure: Rows = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        return sure


class Learned(Struct, frozen=True, forbid_unknown_fields=True):
    """What ships. `blind` ones are for searches by words alone, where there is no cosine."""

    found: Odds
    helps: Odds
    blind_found: Odds
    blind_helps: Odds


class Judge:
    """For one thread or many."""

    def __init__(self, learned: Learned) -> None:
        self._learned = learned

    @classmethod
    def load(cls, path: Path | None = None) -> Judge:
        """From a file; None: the one that ships. Raises OSError, and ValueError for what is no such file."""
        found = shipped(_FILE) if path is None else path
        return cls(msgspec.json.decode(found.read_bytes(), type=Learned))

    def of(self, ranking: Ranking) -> tuple[float, tuple[float, ...]]:
        """The probability that the passages hold the answer, and for each that it helps. Nothing: 0."""
        if not ranking.passages:
            return 0.0, ()
        blind = is_blind(ranking)
        found = self._learned.blind_found if blind else self._learned.found
        helps = self._learned.blind_helps if blind else self._learned.helps
        of_search, of_passages = features(ranking)
        answerable = float(found.of(of_search[None, :], SEARCH)[0])
        return answerable, tuple(float(each) for each in helps.of(of_passages, PASSAGE))


def is_blind(ranking: Ranking) -> bool:
    """Whether nothing was compared by meaning."""
    return all(passage.meaning is None for passage in ranking.passages)


def features(ranking: Ranking) -> tuple[Rows, Rows]:
    """`SEARCH` as (names,), and `PASSAGE` as (passages, names). Of a ranking with a passage at least."""
    counts = ranking.counts
    words = (*ranking.asked, *ranking.spoken)
    rarity = {word: idf(counts.chunks, counts.having.get(word, 0)) for word in words}
    covered = _covered(ranking, rarity)
    fits = np.array([score(fit) for fit in ranking.fits])
    meaning = np.array([fit.meaning for fit in ranking.fits])
    spoken = np.array([fit.spoken for fit in ranking.fits])
    behind, first = fits[0] - fits, 1 / np.arange(1, len(fits) + 1)
    of_passages = np.column_stack([meaning, covered, spoken, behind, first])
    of_search = np.array([meaning[0], covered[0], spoken[0], _share(ranking, rarity)])
    return of_search, of_passages


def _covered(ranking: Ranking, rarity: Mapping[str, float]) -> Rows:
    """The share of the question's words that is in each passage, by rarity; (passages,)."""
    whole = sum(rarity[word] for word in ranking.asked)
    if not whole:
        return np.zeros(len(ranking.passages))
    held = [set(words_of(indexed(passage.context, passage.text))) for passage in ranking.passages]
    return np.array([sum(rarity[word] for word in ranking.asked if word in words) / whole for words in held])


def _share(ranking: Ranking, rarity: Mapping[str, float]) -> float:
    """BM25's best as a share of what all words, each of them without end, would reach."""
    words = {**ranking.spoken, **ranking.asked}
    reach = sum(weight * rarity[word] for word, weight in words.items()) * _MOST_BM25
    best = max(passage.words or 0.0 for passage in ranking.passages)
    return best / reach if reach else 0.0
