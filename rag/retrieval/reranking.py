"""How well a passage fits a question: a linear score of four things, better than either ranking and than their
fusion.

`words` is BM25 as a share of the best passage's, `meaning` the cosine, `pairs` the share of the question's
neighbouring words that are neighbours in the passage too, `spoken` the share of what was said before that is in it,
by rarity. The non-obvious decision: these four and no more. A dozen others were tried, and trained on two corpora
none of them helped on the third; see benchmarks/RETRIEVAL.md, which also has what learns the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from contracts.retrieval import Passage
from rag.ports import WordCounts
from rag.rarity import idf
from rag.retrieval.tuned import Fit, tuned
from rag.retrieval.words import matching, words_of


def weights_of(word_weight: float, meaning_weight: float) -> Fit:
    """Those that ship, for shares of the two rankings other than the tuned ones: nothing is left of what weighs
    nothing."""
    shares, fit = tuned().shares, tuned().fit
    words, meaning = word_weight / shares.words, meaning_weight / shares.meaning
    return Fit(fit.words * words, fit.meaning * meaning, fit.pairs * words, fit.spoken * words)


def score(fit: Fit, weights: Fit | None = None) -> float:
    """By the weights that ship, or others. Only differences between passages of one question mean something."""
    if weights is None:
        weights = tuned().fit
    return (
        weights.words * fit.words
        + weights.meaning * fit.meaning
        + weights.pairs * fit.pairs
        + weights.spoken * fit.spoken
    )


def fits(
    question: str,
    passages: Sequence[Passage],
    spoken: Mapping[str, float],
    counts: WordCounts,
    *,
    farthest: float = 0.0,
) -> list[Fit]:
    """Of passages that were found together. `farthest` is the cosine of what was not found by meaning: the least
    that was. `spoken` are words with weights, all of which `counts` must know."""
    best = max((passage.words or 0.0 for passage in passages), default=0.0)
    asked = words_of(question)
    pairs = set(pairwise(asked))
    rare = {word: weight * idf(counts.chunks, counts.having.get(word, 0)) for word, weight in spoken.items()}
    all_said = sum(rare.values())
    found: list[Fit] = []
    wanted = {*asked, *rare}
    for passage in passages:
        words = matching(f"{passage.context}\n{passage.text}", wanted) if pairs or rare else []
        near = {*pairwise(words), *zip(words, words[2:], strict=False)} if pairs else set()
        there = set(words)
        found.append(
            Fit(
                words=(passage.words or 0.0) / best if best else 0.0,
                meaning=farthest if passage.meaning is None else passage.meaning,
                pairs=len(pairs & near) / len(pairs) if pairs else 0.0,
                spoken=sum(share for word, share in rare.items() if word in there) / all_said if all_said else 0.0,
            )
        )
    return found
