"""What rankings are worth, with intervals; and the plain BM25 that they are put beside.

An interval is the percentile bootstrap's at 95 %, over groups of questions that share passages: questions of one
conversation or page are not independent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log, log2

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval_data import Asked

Row = NDArray[np.float64]
MEASURES = ("recall@1", "recall@5", "recall@10", "mrr", "ndcg@10")
_DRAWS = 2000


def judged(asked: Sequence[Asked], rankings: Sequence[Sequence[int]]) -> dict[str, Row]:
    """Each of `MEASURES` for each question. Relevance is yes or no."""
    rows = [_judged(each.right, ranking) for each, ranking in zip(asked, rankings, strict=True)]
    return {name: np.array([row[place] for row in rows]) for place, name in enumerate(MEASURES)}


def _judged(right: frozenset[int], ranking: Sequence[int]) -> tuple[float, ...]:
    def recall(most: int) -> float:
        return len(right.intersection(ranking[:most])) / len(right)

    first = next((1 / place for place, number in enumerate(ranking, start=1) if number in right), 0.0)
    gain = sum(1 / log2(place + 1) for place, number in enumerate(ranking[:10], start=1) if number in right)
    best = sum(1 / log2(place + 1) for place in range(1, min(10, len(right)) + 1))
    return recall(1), recall(5), recall(10), first, gain / best


def interval(rows: Sequence[Row], groups: Sequence[Sequence[str]], seed: int = 1) -> tuple[float, float, float]:
    """The mean over sets of their means, and its interval. `rows` and `groups` have one entry for each set."""
    draw = np.random.default_rng(seed)
    means = np.mean([_drawn(row, group, draw) for row, group in zip(rows, groups, strict=True)], axis=0)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(np.mean([row.mean() for row in rows])), float(low), float(high)


def _drawn(row: Row, groups: Sequence[str], draw: np.random.Generator) -> Row:
    """Means of the set with its groups drawn anew, `_DRAWS` times."""
    _, places = np.unique(np.asarray(groups), return_inverse=True)
    sums, sizes = np.bincount(places, row), np.bincount(places)
    times = draw.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), _DRAWS)
    means: Row = (times @ sums) / (times @ sizes)
    return means


class PlainWords:
    """BM25 (k1 1.2, b 0.75) over `[a-z0-9]+`: the floor that retrieval is measured from."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(_tokens(text)) for text in texts]
        lengths = np.array([sum(count.values()) for count in counts], float)
        self._dampening = 1.2 * (0.25 + 0.75 * lengths / lengths.mean())
        self._having: dict[str, list[tuple[int, int]]] = {}
        for number, count in enumerate(counts):
            for token, times in count.items():
                self._having.setdefault(token, []).append((number, times))

    def ranking(self, query: str, most: int = 50) -> list[int]:
        scores = np.zeros(len(self._dampening))
        for token, times in Counter(_tokens(query)).items():
            having = self._having.get(token, [])
            rarity = log(1 + (len(scores) - len(having) + 0.5) / (len(having) + 0.5))
            for number, count in having:
                scores[number] += times * rarity * 2.2 * count / (count + self._dampening[number])
        return [int(number) for number in np.argsort(-scores, kind="stable")[:most]]


def span_scores(
    spans: Sequence[tuple[int, int]], found: Sequence[tuple[int, int]], elsewhere: int
) -> tuple[float, float]:
    """Recall and precision of characters. `found` are in the document of `spans`, `elsewhere` characters are
    not."""
    wanted = {place for start, end in spans for place in range(start, end)}
    got = {place for start, end in found for place in range(start, end)}
    returned = len(got) + elsewhere
    return len(wanted & got) / len(wanted), len(wanted & got) / returned if returned else 0.0


def _tokens(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
